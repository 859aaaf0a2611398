"""Batched logistic regression against scikit-learn, one model at a time."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cryhear.errors import ParameterError
from cryhear.models import batched_logistic

COEF = 2e-5  # scikit-learn's own lbfgs, at tol 1e-10, stops about this far from the minimum
LOGIT_32 = 5e-3  # root-mean-square: float32 gradients over a few hundred rows; far below any gap


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Features with falling variances, and 70 label vectors: more than one batch of the solver."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 12)) * np.geomspace(5, 0.5, 12)
    Y = rng.choice(3, size=(70, 240), p=[0.12, 0.76, 0.12])
    return X - X.mean(axis=0), Y


def reference(X, y, weight, C):
    model = LogisticRegression(C=C, tol=1e-10, max_iter=20_000).fit(X, y, sample_weight=weight)
    return model.coef_, model.intercept_


@pytest.mark.parametrize("C", [1e-4, 1e-2, 1.0])
def test_equals_scikit_learn(data, C):
    X, Y = data
    weights = batched_logistic.balanced_weights(Y)
    coef, intercept = batched_logistic.fit_batched(X, Y, weights, C, tolerance=1e-6)
    for i in (0, 63, 64, 69):
        expected = reference(X, Y[i], weights[i], C)
        np.testing.assert_allclose(coef[i], expected[0], atol=COEF)
        np.testing.assert_allclose(intercept[i], expected[1], atol=COEF * 10)


def test_single_precision_ranks_alike(data):
    X, Y = data
    weights = batched_logistic.balanced_weights(Y)
    coef, intercept = batched_logistic.fit_batched(X.astype(np.float32), Y, weights, 0.01)
    assert coef.dtype == np.float32
    expected = reference(X, Y[3], weights[3], 0.01)
    off = X @ coef[3].T + intercept[3] - (X @ expected[0].T + expected[1])
    assert np.sqrt((off**2).mean()) < LOGIT_32


def test_own_C_and_warm_start_reach_the_same_minimum(data):
    X, Y = data
    C = np.geomspace(1e-4, 1, len(Y))
    cold = batched_logistic.fit_batched(X, Y, None, C, tolerance=1e-7)
    start = batched_logistic.fit_batched(X, Y, None, 1e-3, tolerance=1e-2)
    warm = batched_logistic.fit_batched(X, Y, None, C, tolerance=1e-7, start=start)
    np.testing.assert_allclose(cold[0], warm[0], atol=1e-6)
    alone = batched_logistic.fit_batched(X, Y[5], None, C[5], tolerance=1e-7)
    np.testing.assert_allclose(alone[0][0], cold[0][5], atol=1e-6)


def test_zero_weight_leaves_a_row_out_and_two_doubles_it(data):
    X, Y = data
    weight = np.random.default_rng(1).integers(0, 3, len(X))
    rows = np.repeat(np.arange(len(X)), weight)
    weighted = batched_logistic.fit_batched(
        X, Y[:1], batched_logistic.balanced_weights(Y[:1], weight), 0.1, tolerance=1e-7
    )
    repeated = batched_logistic.fit_batched(
        X[rows], Y[:1, rows], batched_logistic.balanced_weights(Y[:1, rows]), 0.1, tolerance=1e-7
    )
    np.testing.assert_allclose(weighted[0], repeated[0], atol=1e-6)


def test_balanced_weights_give_classes_equal_totals():
    Y = np.array([[0, 0, 0, 1, 2, 2], [1, 1, 1, 1, 1, 2]])
    weights = batched_logistic.balanced_weights(Y)
    np.testing.assert_allclose([weights[0][Y[0] == k].sum() for k in range(3)], 2.0)
    # The absent class takes no share: the two present ones split the six rows.
    np.testing.assert_allclose([weights[1][Y[1] == k].sum() for k in (1, 2)], 3.0)


def test_a_class_never_seen_gets_almost_no_probability(data):
    X, Y = data
    y = np.where(Y[:2] == 2, 1, Y[:2])
    model = batched_logistic.fit_batched(X, y, batched_logistic.balanced_weights(y), 0.01)
    p = batched_logistic.probabilities(X, *model)
    np.testing.assert_allclose(p.sum(axis=2), 1.0, rtol=1e-12)
    assert np.isfinite(p).all()
    assert p[:, :, 2].max() < 0.01


def test_inputs_stay_as_they_were(data):
    X, Y = data
    before = X.copy(), Y.copy()
    weights = batched_logistic.balanced_weights(Y)
    kept = weights.copy()
    batched_logistic.fit_batched(X, Y, weights, 0.1)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(Y, before[1])
    np.testing.assert_array_equal(weights, kept)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Y": np.zeros((1, 7), int)}, "same n"),
        ({"C": 0.0}, "above 0"),
        ({"n_classes": 2}, "0 to 1"),
    ],
)
def test_refuses(data, change, says):
    arguments = {"X": data[0], "Y": data[1][:2], "C": 1.0, **change}
    with pytest.raises(ParameterError, match=says):
        batched_logistic.fit_batched(**arguments)
