"""Classical models: they find what is planted and nothing else; a search equals scikit-learn's."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

from cryhear.analysis import four_way
from cryhear.embedding.tables import Derived
from cryhear.errors import ParameterError, SplitError
from cryhear.models import classical, estimators

FOUND = 0.9
"""Macro AUC every model must reach on a shift of 2 SD between infants; chance is 0.5."""
CHANCE = 0.15
"""Three standard errors of a null macro AUC on 90 test infants (Mann-Whitney, about 0.05)."""
EQUAL = 1e-9
"""Same arithmetic in the same order: only the summation may round differently."""

ELSEWHERE = 1e-6
"""Of a score: the published run may have been made on another processor (`classical.DECIMALS`)."""
ROOT = Path(__file__).parents[2]

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def planted(shift: float, seed: int, n_infants: int = 90, per_infant: int = 3, d: int = 16) -> Data:
    """Embeddings float32 [n, d] whose class moves one direction each by `shift` SD; y; infants."""
    rng = np.random.default_rng(seed)
    infants = np.repeat(np.arange(n_infants), per_infant)
    y = (np.arange(n_infants) % 3)[infants]
    own = rng.normal(size=(n_infants, d))[infants]
    X = own + 0.5 * rng.normal(size=(len(y), d))
    X[np.arange(len(y)), y] += shift
    return X.astype(np.float32), y, infants


def permuted(data: Data, seed: int) -> Data:
    """The same rows, class labels exchanged between infants."""
    X, y, infants = data
    order = np.random.default_rng(seed).permutation(infants.max() + 1)
    first = y[:: int((infants == 0).sum())]
    return X, first[order][infants], infants


@pytest.fixture
def small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight trees a forest: a search is the same, only faster."""
    for preset in classical.SPACES:
        monkeypatch.setitem(classical.SPACES[preset]["random_forest"], "n_estimators", [8])


def auc(y: np.ndarray, p: np.ndarray) -> float:
    return roc_auc_score(y, p, multi_class="ovr", average="macro")


@pytest.mark.parametrize("name", classical.MEMBERS)
def test_finds_planted_signal_in_new_infants(name: str) -> None:
    X, y, infants = planted(3.0, seed=1)
    X_new, y_new, _ = planted(3.0, seed=2)
    fitted = classical.fit(classical.model(name, seed=0), X, y, infants)
    p = estimators.probabilities(fitted, X_new)
    assert auc(y_new, p) > FOUND
    assert np.mean(fitted.predict(X_new) == y_new) > 0.8
    np.testing.assert_array_equal(fitted.predict(X_new), p.argmax(axis=1))


@pytest.mark.parametrize("name", classical.MEMBERS)
def test_finds_nothing_in_permuted_labels(name: str) -> None:
    X, y, infants = permuted(planted(3.0, seed=1), seed=3)
    X_new, y_new, _ = permuted(planted(3.0, seed=2), seed=4)
    fitted = classical.fit(classical.model(name, seed=0), X, y, infants)
    assert abs(auc(y_new, estimators.probabilities(fitted, X_new)) - 0.5) < CHANCE


@pytest.mark.parametrize("preset", ["default", "original"])
@pytest.mark.parametrize("name", classical.MEMBERS)
def test_probabilities_clones_and_determinism(name: str, preset: str) -> None:
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    before = X.copy()
    pipeline = classical.model(name, seed=5, preset=preset)
    state = repr(np.random.get_state())  # noqa: NPY002 - keys and place: to see it untouched
    first = classical.fit(pipeline, X, y, infants).predict_proba(X)
    again = classical.fit(clone(pipeline), X, y, infants).predict_proba(X)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first.sum(axis=1), 1.0, atol=EQUAL)
    assert first.shape == (len(y), 3)
    assert first.min() >= 0
    np.testing.assert_array_equal(X, before)
    assert repr(np.random.get_state()) == state  # noqa: NPY002


def test_presets_differ_as_stated() -> None:
    for name in ("svm_rbf", "logistic_regression", "random_forest"):
        assert classical.model(name)[-1].class_weight == "balanced"
        assert classical.model(name, preset="original")[-1].class_weight is None
    assert type(classical.model("gradient_boosting", preset="original")[-1]).__name__ == (
        "GradientBoostingClassifier"
    )
    assert list(classical.model("svm_rbf").named_steps) == [
        "double",
        "impute",
        "standardise",
        "pca",
        "round",
        "classifier",
    ]
    assert "pca" not in classical.model("svm_rbf", pca_variance=None).named_steps


@pytest.mark.parametrize("pca_variance", [0.95, None])
def test_rows_in_float32_are_prepared_in_float64(pca_variance: float | None) -> None:
    X = planted(1.0, seed=1, n_infants=24, d=40)[0]
    assert X.dtype == np.float32
    narrow = classical.preprocessing(1, pca_variance).fit(X).transform(X)
    wide = classical.preprocessing(1, pca_variance).fit(X.astype(float)).transform(X.astype(float))
    assert narrow.dtype == np.float64
    np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize("name", classical.MEMBERS)
def test_another_processor_s_rounding_changes_no_model(name: str) -> None:
    X, y, infants = planted(0.5, seed=1, d=40)
    X, y, infants = (np.tile(a, (3, *[1] * (a.ndim - 1))) for a in (X, y, infants))
    # Last digits as another order of summation leaves them: rows that were equal no longer are.
    noise = np.random.default_rng(2).normal(size=X.shape)
    sides = X.astype(float), X + 1e-14 * np.abs(X).max() * noise
    seen, new = slice(len(y) // 2), slice(len(y) // 2, None)
    here, there = (
        classical.fit(classical.model(name, seed=3), Z[seen], y[seen], infants[seen]).predict_proba(
            Z[new]
        )
        for Z in sides
    )
    np.testing.assert_allclose(here, there, atol=EQUAL)


def test_missing_values_are_imputed_and_unseen_classes_get_zero() -> None:
    X, y, _ = planted(2.0, seed=1, n_infants=30)
    X[::7, 3] = np.nan
    seen = y != 1
    fitted = classical.model("logistic_regression").fit(X[seen], y[seen])
    p = estimators.probabilities(fitted, X)
    assert p.shape == (len(X), 3)
    assert np.isfinite(p).all()
    assert (p[:, 1] == 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=EQUAL)


@pytest.mark.parametrize("rows", [24, 270])
def test_boosting_on_bins_is_scikit_learns_own(rows: int) -> None:
    X, y, _ = planted(0.5, seed=1)
    X, y = X[:rows].astype(np.float64), y[:rows]
    X[1::9] = X[0::9][: len(X[1::9])]  # rows that stand twice, as unaltered copies do
    X_new = planted(0.5, seed=2)[0].astype(np.float64)
    pipeline = classical.model("gradient_boosting", seed=3, max_iter=20, min_samples_leaf=5)
    theirs = clone(Pipeline([s for s in pipeline.steps if s[0] != "bins"])).fit(X, y)
    mine = pipeline.fit(X, y)
    assert set(np.unique(mine[:-1].transform(X))) <= set(range(classical.MAX_BINS))
    np.testing.assert_allclose(mine.predict_proba(X_new), theirs.predict_proba(X_new), atol=EQUAL)


# The support vector machine.


def test_svm_without_calibration_is_scikit_learns() -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=30)
    plain = estimators.CalibratedSVC(C=2.0, class_weight="balanced", calibrate=False).fit(X, y)
    theirs = SVC(C=2.0, class_weight="balanced").fit(X, y)
    np.testing.assert_array_equal(plain.predict(X), theirs.predict(X))
    assert not hasattr(plain, "predict_proba")


def test_svm_calibration_beats_the_prior_and_warns_of_nothing() -> None:
    X, y, infants = planted(2.0, seed=1)
    X_new, y_new, _ = planted(2.0, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = estimators.CalibratedSVC().fit(X, y, groups=infants)
    assert log_loss(y_new, fitted.predict_proba(X_new)) < 0.8 * np.log(3)


def test_svm_two_classes() -> None:
    X, y, infants = planted(2.0, seed=1, n_infants=30)
    two = y < 2
    p = estimators.CalibratedSVC().fit(X[two], y[two], groups=infants[two]).predict_proba(X[two])
    assert p.shape == (two.sum(), 2)
    assert roc_auc_score(y[two], p[:, 1]) > FOUND


def test_groups_reach_the_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = estimators.inner_folds

    def spy(y, groups, *args):
        folds = original(y, groups, *args)
        seen.extend(set(groups[a]) & set(groups[b]) for a, b in folds)
        return folds

    monkeypatch.setattr(estimators, "inner_folds", spy)
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    classical.fit(classical.model("svm_rbf"), X, y, infants)
    assert len(seen) == 3
    assert not any(seen)


# Inner folds.


def test_inner_folds_keep_infants_apart_and_cover_all_rows() -> None:
    _, y, infants = planted(0.0, seed=1)
    folds = estimators.inner_folds(y, infants, 5, seed=3)
    assert len(folds) == 5
    for train, test in folds:
        assert not set(infants[train]) & set(infants[test])
        assert set(y[train]) == {0, 1, 2}
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(y)))


def test_inner_folds_shrink_to_the_rarest_class_and_refuse_one_infant() -> None:
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert len(estimators.inner_folds(y, np.array([0, 1, 2, 3, 4, 4, 5, 5]), 5)) == 2
    with pytest.raises(SplitError, match="at least 2"):
        estimators.inner_folds(y, np.array([0, 1, 2, 3, 4, 4, 4, 4]), 5)
    assert len(estimators.inner_folds(y, None, 5)) == 4


# Searches.


@pytest.mark.parametrize("name", ["svm_rbf", "logistic_regression", "random_forest"])
@pytest.mark.parametrize("preset", ["default", "original"])
@pytest.mark.usefixtures("small_forests")
def test_search_equals_one_without_a_memory(name: str, preset: str) -> None:
    X, y, infants = planted(0.8, seed=1, n_infants=36)
    found = classical.search(name, X, y, infants, classical.Search(preset, 4, 7))
    pipeline = classical.model(name, seed=7, preset=preset)
    scoring = classical.SCORING[preset][name]
    if name == "svm_rbf":
        pipeline.set_params(classifier__calibrate=False)
    theirs = RandomizedSearchCV(
        pipeline,
        {f"classifier__{k}": v for k, v in classical.SPACES[preset][name].items()},
        n_iter=4,
        scoring=classical.SCORERS.get(scoring, scoring),
        cv=3 if preset == "original" else estimators.inner_folds(y, infants, 3, seed=7),
        random_state=7,
        refit=False,
    )
    theirs.fit(X.astype(np.float64), y)
    scores = found.table.pivot(index="candidate", columns="fold", values="score")
    for fold in scores.columns:
        np.testing.assert_allclose(
            scores[fold], theirs.cv_results_[f"split{fold}_test_score"], atol=EQUAL
        )
    best = theirs.cv_results_["params"][int(theirs.cv_results_["rank_test_score"].argmin())]
    assert found.best_params == {k.removeprefix("classifier__"): v for k, v in best.items()}


def test_components_are_fitted_once_a_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []
    plain = classical.PCA.fit_transform

    def spy(self, X, y=None):
        fitted.append(len(X))
        return plain(self, X, y)

    monkeypatch.setattr(classical.PCA, "fit_transform", spy)
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    how = classical.Search(n_iter=5, n_jobs=1)
    classical.search("logistic_regression", X, y, infants, how, refit=False)
    assert len(fitted) == classical.FOLDS


@pytest.mark.parametrize("name", ["svm_rbf", "logistic_regression"])
def test_search_finds_what_the_published_run_found(name: str) -> None:
    chapter = ROOT / "book" / "chapters" / "05_classical"
    used = json.loads((chapter / "ledger.json").read_text(encoding="utf-8"))["parameters"]
    table = pd.read_csv(chapter / "tables" / "search.csv")
    table = table.query("model == @name and representation == 'egemaps' and unit == 'infant'")
    data = Derived(ROOT / "data" / "donateacry").study_set(
        set_name=used["set"], labels=used["labels"], representation="egemaps"
    )
    split = four_way.split_by(data, "infant", used["seed"], used["augment"])
    how = classical.Search(used["search"], used["n_iter"], used["seed"])
    result = classical.search(name, *split.training(), how, refit=False)
    best, found = result.best_params, result.table
    np.testing.assert_allclose(found["score"], table["score"], rtol=0, atol=ELSEWHERE)
    assert [json.loads(p) for p in found["params"]] == [json.loads(p) for p in table["params"]]
    assert best == json.loads(table.loc[table["chosen"], "params"].iloc[0])


def test_original_grids_are_capped_and_covered() -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=24)
    found = classical.search("logistic_regression", X, y, how=classical.Search("original"))
    assert found.table["candidate"].nunique() == 4
    grid = GridSearchCV(
        classical.model("logistic_regression", preset="original"),
        {"classifier__C": classical.SPACES["original"]["logistic_regression"]["C"]},
        scoring="accuracy",
        cv=3,
    ).fit(X.astype(np.float64), y)
    assert found.table["mean_score"].max() == pytest.approx(grid.best_score_, abs=EQUAL)


def test_search_table_is_tidy_and_survives_parquet(tmp_path) -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=24)
    table = classical.search("svm_rbf", X, y, how=classical.Search("original", 5)).table
    assert len(table) == 5 * 3
    assert table.loc[table["chosen"], "rank"].eq(1).all()
    assert table.groupby("candidate")["score"].mean().max() == pytest.approx(
        table.loc[table["chosen"], "mean_score"].iloc[0], abs=EQUAL
    )
    table.to_parquet(tmp_path / "t.parquet")
    assert [set(json.loads(params)) for params in table["params"]] == [{"C", "gamma"}] * 15


@pytest.mark.usefixtures("small_forests")
def test_search_is_deterministic_with_any_number_of_processes() -> None:
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    one, two = (
        classical.search("random_forest", X, y, infants, classical.Search("default", 2, 1, n))
        for n in (1, 2)
    )
    assert one.best_params == two.best_params
    np.testing.assert_array_equal(one.table["score"], two.table["score"])


def test_balanced_log_loss_by_hand() -> None:
    class Fixed:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.array([[0.8, 0.2], [0.8, 0.2], [0.5, 0.5]])

    # Class 0: -log 0.8, twice; class 1: -log 0.5, once; each class half the weight.
    by_hand = 0.5 * np.log(0.8) + 0.5 * np.log(0.5)
    value = classical.balanced_log_loss(Fixed(), np.zeros((3, 1)), np.array([0, 0, 1]))
    assert value == pytest.approx(by_hand, abs=EQUAL)


def test_errors_say_what_to_do() -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=6)
    with pytest.raises(ParameterError, match="groups is None"):
        classical.search("svm_rbf", X, y)
    with pytest.raises(ParameterError, match="expected one of"):
        classical.model("nearest_neighbour")
    with pytest.raises(ParameterError, match="svm_rbf"):
        classical.model("svm_rbf", depth=3)
