"""The perceptron: it finds what is planted, repeats itself, and leaves torch as it found it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from cryhear.errors import ParameterError
from cryhear.models import estimators

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")
from cryhear.models import mlp  # noqa: E402

FOUND = 0.9
"""Macro AUC to be reached on a shift of 3 SD between infants; chance is 0.5."""
CHANCE = 0.15
"""Three standard errors of a null macro AUC on 90 test infants (Mann-Whitney, about 0.05)."""
ROUNDING = 1e-6
"""float32 arithmetic in another order."""
SMALL = {"hidden": (16, 8), "epochs": 12, "batch_size": 32, "lr": 1e-2, "dropout": 0.2}


def made(settings: dict | None = None, seed: int = 0) -> mlp.MLP:
    return mlp.MLP(mlp.MLPSettings(**(settings or {})), seed)


def planted(shift: float, seed: int, n_infants: int = 90, per_infant: int = 3, d: int = 16):
    """Embeddings float32 [n, d] whose class moves one direction each by `shift` SD; y; infants."""
    rng = np.random.default_rng(seed)
    infants = np.repeat(np.arange(n_infants), per_infant)
    y = (np.arange(n_infants) % 3)[infants]
    X = rng.normal(size=(n_infants, d))[infants] + 0.5 * rng.normal(size=(len(y), d))
    X[np.arange(len(y)), y] += shift
    return X.astype(np.float32), y, infants


def permuted(seed: int, n_infants: int = 90):
    X, y, infants = planted(3.0, seed, n_infants)
    return X, np.random.default_rng(seed).permutation(y[::3])[infants], infants


def auc(y, p):
    return roc_auc_score(y, p, multi_class="ovr", average="macro")


def test_finds_planted_signal_in_new_infants() -> None:
    X, y, infants = planted(3.0, seed=1)
    X_new, y_new, _ = planted(3.0, seed=2)
    fitted = estimators.fit(made(SMALL, seed=0), X, y, infants)
    p = estimators.probabilities(fitted, X_new)
    assert auc(y_new, p) > FOUND
    np.testing.assert_array_equal(fitted.predict(X_new), p.argmax(axis=1))


def test_finds_nothing_in_permuted_labels() -> None:
    X, y, infants = permuted(seed=1)
    X_new, y_new, _ = permuted(seed=2)
    fitted = made(SMALL, seed=0).fit(X, y, groups=infants)
    assert abs(auc(y_new, fitted.predict_proba(X_new)) - 0.5) < CHANCE


def test_same_numbers_twice_and_generators_left_alone() -> None:
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    before = X.copy()
    net = made(SMALL, seed=3)
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 - to see it untouched
    threads = torch.get_num_threads()
    first = net.fit(X, y, infants).predict_proba(X)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.get_num_threads() == threads
    torch.manual_seed(99)  # what others drew before must not matter
    again = clone(net).fit(X, y, infants)
    np.testing.assert_array_equal(first, again.predict_proba(X))
    assert mlp.history(net).equals(mlp.history(again))
    other = made(SMALL, seed=4).fit(X, y, infants).predict_proba(X)
    assert np.abs(first - other).max() > 1e-3
    np.testing.assert_array_equal(X, before)


def test_probabilities_sum_to_one_and_classes_keep_their_codes() -> None:
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    seen = y != 1
    fitted = made(SMALL).fit(X[seen], y[seen], infants[seen])
    np.testing.assert_array_equal(fitted.classes_, [0, 2])
    p = fitted.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    assert set(fitted.predict(X)) <= {0, 2}
    assert (estimators.probabilities(fitted, X)[:, 1] == 0).all()


@pytest.mark.parametrize(("n", "size"), [(33, 32), (65, 32), (3, 2), (64, 32), (31, 32), (1, 4)])
def test_no_batch_of_one(n: int, size: int) -> None:
    pieces = mlp.batches(torch.arange(n), size)
    assert torch.equal(torch.cat(pieces), torch.arange(n))
    assert n == 1 or min(len(p) for p in pieces) > 1
    assert max(len(p) for p in pieces) <= size + 1


def test_trains_with_a_last_batch_of_one() -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=11)  # 33 rows: 32 and 1
    fitted = made(SMALL).fit(X, y, validation=(X[:6], y[:6]))
    assert np.isfinite(fitted.predict_proba(X)).all()
    assert fitted.predict_proba(X[:1]).shape == (1, 3)


def test_history_and_the_best_weights_restored() -> None:
    X, y, _ = permuted(seed=1, n_infants=30)  # nothing to learn: validation soon gets worse
    settings = mlp.MLPSettings(**{**SMALL, "epochs": 60, "patience": 4})
    fitted = mlp.MLP(settings).fit(X[:60], y[:60], validation=(X[60:], y[60:]))
    curves = mlp.history(fitted)
    assert list(curves.columns) == [
        "epoch", "train_loss", "train_acc", "valid_loss", "valid_acc", "objective", "lr", "best",
    ]  # fmt: skip
    assert len(curves) < 60
    assert curves["best"].sum() == 1
    best = curves[curves["best"]].iloc[0]
    assert len(curves) == best["epoch"] + 4
    assert np.mean(fitted.predict(X[60:]) == y[60:]) == pytest.approx(
        best["valid_acc"], abs=ROUNDING
    )
    assert np.mean(fitted.predict(X[:60]) == y[:60]) == pytest.approx(
        best["train_acc"], abs=ROUNDING
    )
    # Cosine annealing from lr: lr_e = lr (1 + cos(pi (e - 1) / epochs)) / 2.
    expected = settings.lr * (1 + np.cos(np.pi * (curves["epoch"] - 1) / 60)) / 2
    np.testing.assert_allclose(curves["lr"], expected, rtol=ROUNDING)


def test_early_stopping_never_sees_a_training_infant(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}

    def spy(settings, seed, rows, valid, n_classes):
        kept.update(rows=rows[0], valid=valid[0])
        raise InterruptedError

    monkeypatch.setattr(mlp, "train", spy)
    X, y, infants = planted(1.0, seed=1, n_infants=30)
    X[:, 0] = infants  # standardised and without PCA it still tells infants apart
    with pytest.raises(InterruptedError):
        made({"pca_variance": None}).fit(X, y, infants)
    assert len(kept["rows"]) + len(kept["valid"]) == len(X)
    assert not set(kept["rows"][:, 0].tolist()) & set(kept["valid"][:, 0].tolist())


def test_preprocessing_is_fitted_on_training_rows_alone() -> None:
    X, y, _ = planted(1.0, seed=1, n_infants=20)
    settings = {**SMALL, "epochs": 1, "pca_variance": None}
    fitted = made(settings).fit(X[:45], y[:45], validation=(X[45:] + 100, y[45:]))
    np.testing.assert_allclose(
        fitted.preprocess_["standardise"].mean_, X[:45].mean(axis=0), atol=1e-5
    )
    with_pca = made({**SMALL, "epochs": 1}).fit(X[:45], y[:45], validation=(X[45:], y[45:]))
    assert "pca" in with_pca.preprocess_.named_steps
    reduced = made({**settings, "standardise": False}).fit(X, y)
    assert list(reduced.preprocess_.named_steps) == ["double", "impute"]


def test_class_weights_raise_the_rare_class() -> None:
    X, y, infants = planted(0.5, seed=1, n_infants=60)
    keep = (y == 0) | (infants % 5 == 1)
    X, y, infants = X[keep], y[keep], infants[keep]
    weighted, plain = (
        made({**SMALL, "class_weight": w}).fit(X, y, infants).predict_proba(X)
        for w in (True, False)
    )
    assert weighted[:, 0].mean() < plain[:, 0].mean() - 0.1


def test_network_matches_the_weights() -> None:
    X, y, infants = planted(1.0, seed=1, n_infants=24)
    fitted = made(SMALL).fit(X, y, infants)
    Z = torch.as_tensor(fitted.preprocess_.transform(X).astype(np.float32))
    bare = mlp.network(fitted.settings, Z.shape[1], 3)
    bare.load_state_dict(fitted.net_.module_.state_dict())
    with torch.no_grad():
        p = torch.softmax(bare.eval()(Z), dim=1).numpy()
    np.testing.assert_allclose(p, fitted.predict_proba(X), atol=ROUNDING)


@pytest.mark.parametrize("preset", ["default", "original"])
def test_search_draws_the_original_space(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mlp.SPACE, "hidden", [(8,), (16, 8)])
    X, y, infants = planted(2.0, seed=1, n_infants=30)
    base = mlp.MLPSettings(epochs=4, batch_size=32)
    arguments = {"how": mlp.MLPSearch(preset, 3, 1, epochs=2), "settings": base}
    found = mlp.search_mlp(X, y, infants, **arguments)
    assert len(found.table) == 3
    assert found.table["chosen"].sum() == 1
    assert set(found.best_params) == {"hidden", "lr", "weight_decay", "dropout"}
    assert all(0.3 <= json.loads(params)["dropout"] <= 0.7 for params in found.table["params"])
    assert len(mlp.history(found.estimator)) == 4
    assert found.table["score"].max() == found.table.loc[found.table["chosen"], "score"].item()
    again = mlp.search_mlp(X, y, infants, **arguments)
    np.testing.assert_array_equal(found.table["score"], again.table["score"])
    rebuilt = made({**base.model_dump(), **found.best_params}, seed=1).fit(X, y, infants)
    np.testing.assert_array_equal(rebuilt.predict_proba(X), found.estimator.predict_proba(X))


def test_the_preset_original_trains_as_the_original_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mlp.SPACE, "hidden", [(8,)])
    X, y, infants = planted(0.5, seed=1, n_infants=30)
    trained, train = [], mlp.train

    def spy(settings, *rest):
        trained.append(settings)
        return train(settings, *rest)

    monkeypatch.setattr(mlp, "train", spy)
    found = mlp.search_mlp(X, y, infants, how=mlp.MLPSearch("original", 2, 1, epochs=3))
    fitted = found.estimator
    assert "pca" not in fitted.preprocess_.named_steps
    assert "standardise" in fitted.preprocess_.named_steps
    curves = mlp.history(fitted)
    kept = curves.loc[curves["best"], "valid_acc"].item()
    assert kept == curves["valid_acc"].max()
    assert [s.mixup_probability for s in trained] == [0.0, 0.0, 0.5]
    assert [s.patience for s in trained] == [3, 3, 15]
    assert {s.batch_size for s in trained} == {16}
    # The default keeps the epoch of the lowest loss, on components, and mixes up in its search.
    trained.clear()
    default = mlp.search_mlp(X, y, infants, how=mlp.MLPSearch("default", 1, 1, epochs=3)).estimator
    curves = mlp.history(default)
    assert curves.loc[curves["best"], "valid_loss"].item() == curves["valid_loss"].min()
    assert "pca" in default.preprocess_.named_steps
    assert [s.mixup_probability for s in trained] == [0.5, 0.5]


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValidationError, match="dropout"):
        made({"dropout": 1.5})
    with pytest.raises(ValidationError, match="hiden"):
        made({"hiden": [4]})
    with pytest.raises(ValidationError):
        mlp.MLPSettings(batch_size=1)
    X, y, _ = planted(1.0, seed=1, n_infants=6)
    with pytest.raises(ParameterError, match="in validation alone"):
        made(SMALL).fit(X[y < 2], y[y < 2], validation=(X, y))


def test_analyses_load_torch_only_where_a_network_is_trained() -> None:
    code = (
        "import sys; from cryhear.analysis import cross_validation, four_way, leakage; "
        "assert not {'torch', 'skorch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
