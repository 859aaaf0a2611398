"""The primary procedure against plain scikit-learn, and what each rung of the ladder keeps apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from made_study import study
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cryhear.analysis import cross_validation
from cryhear.corpus import splits
from cryhear.errors import EvaluationError, ParameterError, SplitError
from cryhear.evaluation.auc import macro_auc
from cryhear.evaluation.validation import strata
from cryhear.models import classical, primary
from cryhear.models.fitted import Reduction

SAME = 2e-3  # probabilities: float32 components and a solver stopped at logits good to 1e-4


def test_reduction_equals_standard_scaler_then_pca():
    rng = np.random.default_rng(0)
    for shape in ((90, 20), (30, 50)):
        X = rng.normal(size=shape) @ rng.normal(size=(shape[1], shape[1])) + 3
        reduction = Reduction.fit(X, 0.9)
        reference = make_pipeline(StandardScaler(), PCA(0.9, svd_solver="full"))
        expected = reference.fit_transform(X)
        found = reduction(X)
        assert found.shape == expected.shape
        signs = np.sign((found * expected).sum(axis=0))
        np.testing.assert_allclose(found * signs, expected, atol=1e-4)


def test_reduction_weights_equal_repeated_rows_and_constants_pass():
    rng = np.random.default_rng(1)
    X, weight = rng.normal(size=(40, 6)), rng.integers(0, 3, 40)
    X[:, 2] = 7.0
    one = Reduction.fit(X, 0.95, weight)
    two = Reduction.fit(np.repeat(X, weight, axis=0), 0.95)
    np.testing.assert_allclose(np.abs(one(X)), np.abs(two(X)), atol=1e-5)
    with pytest.raises(EvaluationError, match="1 of 240"):
        Reduction.fit(np.where(np.arange(240).reshape(40, 6) == 5, np.nan, X))


def test_choosing_C_equals_a_loop_over_scikit_learn():
    data = study(seed=3)
    Z, y = Reduction.fit(data.X)(data.X), data.y
    inner = np.random.default_rng(0).integers(0, 3, len(y))
    share = len(y) / (3 * np.bincount(y))
    losses = []
    for C in primary.PRIMARY.Cs:
        loss = 0.0
        for fold in range(3):
            train, test = inner != fold, inner == fold
            model = LogisticRegression(C=C, class_weight="balanced", max_iter=5000)
            p = model.fit(Z[train], y[train]).predict_proba(Z[test])
            loss -= (share[y[test]] * np.log(p[np.arange(test.sum()), y[test]])).sum()
        losses.append(loss)
    expected = primary.PRIMARY.Cs[int(np.argmin(losses))]
    few = primary.choose_C(Z, y[None], inner)
    # Seventeen label vectors take the other way round the inner folds.
    many = primary.choose_C(Z, np.tile(y, (17, 1)), inner)
    assert few.tolist() == [expected]
    assert set(many) == {expected}


def test_cross_validation_equals_a_plain_loop():
    data = study(seed=4, identity=0.5)
    folds = primary.primary_folds(data.recordings, 4, 1)
    fixed = primary.Procedure(Cs=(0.01,))
    table = cross_validation.cross_validate(data, cross_validation.primary_model(fixed), folds)
    expected = np.empty((len(data.y), 3))
    for k in range(4):
        train, test = folds[0] != k, folds[0] == k
        before = make_pipeline(StandardScaler(), PCA(0.95, svd_solver="full")).fit(data.X[train])
        model = LogisticRegression(C=0.01, class_weight="balanced", tol=1e-8, max_iter=5000)
        model.fit(before.transform(data.X[train]), data.y[train])
        expected[test] = model.predict_proba(before.transform(data.X[test]))
    found = table.set_index("recording").loc[
        data.recordings["recording"], cross_validation.P_COLUMNS
    ]
    np.testing.assert_allclose(found, expected, atol=SAME)
    assert set(table["part"]) == {"oof"}
    assert table["recording"].is_unique
    assert table["p_pain"].dtype == np.float32


def test_an_infant_on_both_sides_is_refused():
    data = study()
    folds = np.arange(len(data.y))[None] % 5
    with pytest.raises(SplitError, match="infant"):
        cross_validation.cross_validate(data, cross_validation.primary_model(), folds)


def _prior(task):
    return np.full((len(task.test), 3), 1 / 3)


def tasks(rung, copies=2):
    data, seen = study(), []
    made = np.stack([data.X + c + 1 for c in range(copies)])

    def spy(task):
        seen.append(task)
        return _prior(task)

    table = cross_validation.ladder(data, spy, (rung,), copies=made, n_splits=3, repeats=range(2))
    return data, seen, table


@pytest.mark.parametrize("rung", ["L0", "L1", "L2", "L3", "L4"])
def test_what_a_rung_keeps_apart(rung):
    data, seen, table = tasks(rung)
    n = len(data.y)
    for task in seen:
        recording, infant, platform = (
            task.recordings[c].to_numpy() for c in ("recording", "infant", "platform")
        )
        train, test = task.train, task.test
        assert not np.intersect1d(train, test).size
        assert np.isin(train, task.fitted).all()
        assert np.isin(test, task.fitted).all() == (rung in ("L0", "L1"))
        crossing = np.isin(recording[test], recording[train]).any()
        assert crossing == (rung == "L0")
        assert np.isin(infant[test], infant[train]).any() == (rung in ("L0", "L1", "L2"))
        assert (train >= n).any()
        assert (test >= n).any() == (rung == "L0")
        assert (len(set(platform[test])) == 1) == (rung == "L4")
        inner = task.inner_folds(3)
        assert set(inner) == {0, 1, 2}
        keys = pd.DataFrame({"group": task.groups[task.fitted], "inner": inner})
        assert keys.drop_duplicates()["group"].is_unique
    repeats = 1 if rung == "L4" else 2
    assert (table["part"] == "oof").sum() == n * repeats
    assert (table["part"] == "oof_copies").sum() == (2 * n * repeats if rung == "L0" else 0)


def test_identity_is_rewarded_over_recordings_and_not_over_infants():
    data = study(infants=120, seed=5, identity=3.0, dimension=40)
    table = cross_validation.ladder(
        data, cross_validation.primary_model(), ("L2", "L3"), repeats=range(2)
    )
    score = {
        rung: macro_auc(
            own["label"],
            own[cross_validation.P_COLUMNS].to_numpy(float),
            strata(own, ["repeat", "fold", "platform"]),
        )
        for rung, own in table.groupby("protocol")
    }
    assert score["L2"] > 0.6
    assert abs(score["L3"] - 0.5) < 0.1


def test_estimators_see_only_what_the_rung_allows():
    data, seen = study(), []

    def factory(task):
        seen.append(len(task.fitted))
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.5))

    model = cross_validation.estimator_model(factory)
    table = cross_validation.ladder(data, model, ("L1", "L3"), n_splits=3, repeats=range(2))
    assert seen[:6] == [len(data.y)] * 6
    assert max(seen[6:]) < len(data.y)
    np.testing.assert_allclose(table[cross_validation.P_COLUMNS].sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(("name", "searches"), [("logistic_regression", 6), ("random_forest", 3)])
def test_what_takes_long_is_searched_in_the_first_repeat_alone(name, searches, monkeypatch):
    data, seen = study(infants=45), []
    copies = np.stack([data.X + 100, data.X + 100])

    def spy(name, X, y, groups, how, refit):
        seen.append(float(X.max()))
        hyper = {"C": 0.1} if name == "logistic_regression" else {"n_estimators": 4}
        return classical.SearchResult(hyper, pd.DataFrame())

    monkeypatch.setattr(classical, "search", spy)
    folds = splits.repeated_folds(data.recordings, "infant", 3, 2, 0)
    model = cross_validation.searched_model(name, 2)
    table = cross_validation.cross_validate(data, model, folds, copies=copies)
    assert len(seen) == searches
    assert max(seen) < 50  # on plain rows, without copies
    assert len(table) == 2 * len(data.y)


def test_unknown_rung():
    with pytest.raises(ParameterError, match="L9"):
        cross_validation.ladder(study(), _prior, ("L9",))


def test_stopping_the_search_after_a_rise_changes_no_choice(monkeypatch):
    data = study(infants=90, seed=8, identity=0.5, dimension=30)
    Z = Reduction.fit(data.X)(data.X)
    rng = np.random.default_rng(0)
    inner = rng.integers(0, 3, len(data.y))
    Y = np.stack([rng.permutation(data.y) for _ in range(20)])
    for labels in (Y[:3], Y):
        stopped = primary.choose_C(Z, labels, inner)
        monkeypatch.setattr(primary, "RISE", np.inf)
        np.testing.assert_array_equal(primary.choose_C(Z, labels, inner), stopped)
        monkeypatch.undo()


def test_by_infant_predicts_everyone_once_a_repeat(monkeypatch):
    data = study(infants=90, seed=3)
    data.X[np.arange(len(data.y)), data.y] += 3
    known = data.recordings.assign(sex="f", age_band="04", level_dbfs=-20.0)
    data = dataclasses.replace(data, recordings=known)
    monkeypatch.setattr(type(data), "copies", lambda self: np.stack([self.X, self.X]))
    folds = splits.repeated_folds(data.recordings, "infant", 3, 2, 0)
    table = cross_validation.by_infant(data, ["logistic_regression"], folds, n_jobs=1)
    known = cross_validation.baselines_by_infant(data, folds)
    assert set(known["model"]) == {"majority", "stratified", "metadata"}
    for own in (table, known):
        counts = own.groupby(["model", "repeat"])["recording"].agg(["size", "nunique"])
        assert (counts == len(data.y)).all().all()
    p = table[cross_validation.P_COLUMNS].to_numpy(float)
    assert macro_auc(table["label"], p, strata(table, ["repeat", "fold"])) > 0.9
