"""Reliability tables (predicted against observed), and bias-corrected temperature scaling.

One temperature keeps the order of the classes and cannot undo the shift of the prior that class
weights make; with a bias for each class it can (Alexandari, Kundaje and Shrikumar 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import percentiles
from cryhear.evaluation.metrics import CALIBRATION_BINS, binned, calibration_pair
from cryhear.evaluation.validation import row_weights, validate
from cryhear.models.fitted import PROBABILITY_FLOOR, tempered

INVERSE_TEMPERATURES = (1e-3, 1e3)
"""Bounds of 1 / temperature: the lower gives the class prior, the upper certainty."""


@dataclass(frozen=True)
class Calibration:
    """softmax(ln p / temperature + bias).

    Attributes
    ----------
    temperature : float, above 0
        Above 1 flattens.
    bias : tuple of 3 floats
        In the order of CLASSES; they sum to 0, as a common shift changes nothing.
    """

    temperature: float
    bias: tuple[float, float, float]

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Calibrate probabilities, (n, 3) -> float64 (n, 3), rows summing to 1."""
        _, p = validate(np.zeros(len(p), dtype=int), p)
        return tempered(p, self.temperature, self.bias)


def fit_temperature(y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> Calibration:
    """Fit a temperature and class biases by least log loss, on predictions not trained on.

    Parameters
    ----------
    y : shape (n,)
        Each class at least once.
    p : shape (n, 3)
    weights : shape (n,), optional

    Returns
    -------
    Calibration

    Notes
    -----
    The loss is convex in (1 / temperature, bias); L-BFGS-B with its gradient finds the minimum.
    """
    y, p = validate(y, p, all_classes=True)
    weights = row_weights(weights, len(y))
    if weights.ndim != 1:
        raise EvaluationError(
            f"weights have shape {weights.shape}; expected ({len(y)},). Pass one a row."
        )
    weights = weights / weights.sum()
    logs, truth = np.log(np.maximum(p, PROBABILITY_FLOOR)), np.eye(len(CLASSES))[y]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        logits = parameters[0] * logs + parameters[1:]
        norm = logsumexp(logits, axis=1, keepdims=True)
        excess = (np.exp(logits - norm) - truth) * weights[:, None]
        value = -weights @ ((logits - norm) * truth).sum(1)
        return value, np.concatenate([[(excess * logs).sum()], excess.sum(0)])

    bounds = [INVERSE_TEMPERATURES] + [(None, None)] * len(CLASSES)
    start = np.array([1.0, 0.0, 0.0, 0.0])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    bias = found.x[1:] - found.x[1:].mean()
    return Calibration(float(1 / found.x[0]), (float(bias[0]), float(bias[1]), float(bias[2])))


def cross_calibrate(y: np.ndarray, p: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Calibrate out-of-fold predictions, each fold by what the others' predictions teach.

    Parameters
    ----------
    y, p
        As in `fit_temperature`, of one repeat.
    fold : array-like, shape (n,)
        At least two values; each fold's complement holds every class.

    Returns
    -------
    numpy.ndarray of float64, shape (n, 3)
    """
    y, p = validate(y, p)
    fold = np.asarray(fold)
    if fold.shape != y.shape or len(np.unique(fold)) < 2:
        raise EvaluationError(
            f"fold has shape {fold.shape} and {len(np.unique(fold))} values; expected ({len(y)},) and "
            "at least two. Pass the predictions' folds."
        )
    calibrated = np.empty_like(p)
    for held in np.unique(fold):
        test = fold == held
        calibrated[test] = fit_temperature(y[~test], p[~test]).apply(p[test])
    return calibrated


def reliability(
    y: np.ndarray, p: np.ndarray, label: str | None = None, weights: np.ndarray | None = None
) -> pd.DataFrame:
    """Predicted against observed, in the bins of the expected calibration error.

    Parameters
    ----------
    y, p
        As in `scores`.
    label : str, optional
        The class whose probability is meant; without, the predicted class and whether it is right.
    weights : shape (n, d), optional
        Bootstrap weights (`draw_weights`), for the band of what was observed.

    Returns
    -------
    pandas.DataFrame, one row a bin that holds a recording
        `label` ('' for the predicted class), `bin` (0 to 9), `n`, `predicted` (mean), `observed`
        (share) and, with weights, `low`, `high` (percentiles 2.5 and 97.5 over the draws in which
        the bin is not empty).
    """
    y, p = validate(y, p)
    predicted, observed = calibration_pair(y, p, label)
    bins = binned(predicted)
    bins = bins[:, held := bins.any(0)]
    n = bins.sum(0)
    table = pd.DataFrame(
        {
            "label": label or "",
            "bin": np.arange(CALIBRATION_BINS)[held],
            "n": n.astype(int),
            "predicted": bins.T @ predicted / n,
            "observed": bins.T @ observed / n,
        }
    )
    if weights is None:
        return table
    weights = row_weights(weights, len(y))
    mass = bins.T @ weights
    share = np.divide(
        (bins * observed[:, None]).T @ weights,
        mass,
        out=np.full(mass.shape, np.nan),
        where=mass > 0,
    )
    low, high = percentiles(share)
    return table.assign(low=low, high=high)
