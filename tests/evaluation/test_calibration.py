"""Calibration: recovers what was done to probabilities, and reports it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from cryhear.errors import EvaluationError
from cryhear.evaluation import bootstrap, calibration, metrics

RECOVERY = 0.15
"""Three standard errors of temperature and biases fitted on 20,000 rows (about .03), with room."""


def planted(n: int = 20_000, seed: int = 0, temperature: float = 2.5) -> tuple[np.ndarray, ...]:
    """True probabilities, labels drawn from them, and the same probabilities bent."""
    rng = np.random.default_rng(seed)
    logits = rng.normal((0, 1.5, 0), 1, (n, 3))
    truth = softmax(logits, axis=1)
    y = (rng.random((n, 1)) > truth.cumsum(1)).sum(1)
    bent = softmax((logits - [0, 1.5, -0.5]) * temperature, axis=1)
    return y, bent, truth


def test_recovers_a_planted_temperature_and_bias():
    y, bent, truth = planted()
    fitted = calibration.fit_temperature(y, bent)
    assert fitted.temperature == pytest.approx(2.5, abs=RECOVERY)
    assert np.allclose(fitted.bias, np.array([0, 1.5, -0.5]) - 1 / 3, atol=RECOVERY)
    mended = fitted.apply(bent)
    assert np.allclose(mended.sum(1), 1, atol=1e-12)
    assert np.abs(mended - truth).mean() < 0.02
    before, after = metrics.scores(y, bent), metrics.scores(y, mended)
    assert after["log_loss"] < before["log_loss"]
    assert after["log_loss_gain"] > 0
    # The error of calibrated predictions is that of bins of 2,000 alone, about .01.
    assert after["ece"] < 0.02 < 0.1 < before["ece"]


def test_minimum_is_a_minimum_and_weights_are_repetition():
    y, bent, _ = planted(600)
    fitted = calibration.fit_temperature(y, bent)
    best = metrics.log_loss(y, fitted.apply(bent))
    for change in ({"temperature": fitted.temperature * 1.02}, {"bias": (0.02, 0.0, 0.0)}):
        if "bias" in change:
            change = {"bias": tuple(np.add(fitted.bias, change["bias"]))}
        assert metrics.log_loss(y, dataclasses.replace(fitted, **change).apply(bent)) > best
    weights = np.random.default_rng(0).integers(1, 4, 600)
    rows = np.repeat(np.arange(600), weights)
    one, other = (
        calibration.fit_temperature(y, bent, weights),
        calibration.fit_temperature(y[rows], bent[rows]),
    )
    assert one.temperature == pytest.approx(other.temperature, rel=1e-3)  # the optimiser's stop


def test_predictions_that_know_nothing_become_the_prior():
    rng = np.random.default_rng(0)
    y = rng.choice(3, 5000, p=(0.1, 0.8, 0.1))
    fitted = calibration.fit_temperature(y, rng.dirichlet((1, 1, 1), 5000))
    assert np.allclose(fitted.apply(np.full((1, 3), 1 / 3)), np.bincount(y) / 5000, atol=0.02)
    # Zeros, as float32 tables hold them, and a perfect model stay finite.
    certain = calibration.fit_temperature(y, np.eye(3)[y])
    assert np.isfinite(certain.temperature)
    assert np.isfinite(certain.bias).all()


def test_cross_calibration_learns_from_the_other_folds_only():
    y, bent, _ = planted(900)
    fold = np.arange(900) % 3
    mended = calibration.cross_calibrate(y, bent, fold)
    expected = calibration.fit_temperature(y[fold != 1], bent[fold != 1]).apply(bent[fold == 1])
    assert np.array_equal(mended[fold == 1], expected)
    swapped = np.where(fold == 1, (y + 1) % 3, y)
    assert np.array_equal(calibration.cross_calibrate(swapped, bent, fold)[fold == 1], expected)
    with pytest.raises(EvaluationError, match="at least two"):
        calibration.cross_calibrate(y, bent, np.zeros(900))


def test_reliability_with_bands():
    y, bent, truth = planted(3000)
    weights = bootstrap.draw_weights(np.arange(3000) // 3, 400, 0)
    good = calibration.reliability(y, truth, "hunger", weights)
    assert list(good) == ["label", "bin", "n", "predicted", "observed", "low", "high"]
    assert good["n"].sum() == 3000
    assert (good["low"] <= good["observed"]).all()
    inside = (good["low"] <= good["predicted"]) & (good["predicted"] <= good["high"])
    assert inside.sum() >= 7  # of ten 95 % bands; six or fewer has a chance below 1 in 10,000
    bad = calibration.reliability(y, bent, "hunger", weights)
    assert ((bad["predicted"] < bad["low"]) | (bad["predicted"] > bad["high"])).sum() >= 7


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda y, p: calibration.fit_temperature(np.zeros(60, int), p), "labels hold no"),
        (lambda y, p: calibration.fit_temperature(y, p, np.ones((60, 2))), "Pass one a row"),
        (lambda y, p: calibration.reliability(y, p, "cold"), "label is 'cold'"),
        (lambda y, p: calibration.fit_temperature(y, p).apply(p * 2), "range from"),
    ],
)
def test_bad_input_is_refused(call, text):
    y, p, _ = planted(60)
    with pytest.raises(EvaluationError, match=text):
        call(y, p)
