"""Metrics of class probabilities, all of them at once and under any number of weightings.

Classes are always in the order of CLASSES. `y` holds codes 0, 1, 2 (or their names), `p` one row
of probabilities a recording. A `Scorer` takes weights of shape (n, d) and gives one value a column,
so that a bootstrap is a matrix of integer weights (a weight of k is a row k times over) without a
loop: every metric of 2,000 draws took 1/1,497 of the time of a loop over scikit-learn's metrics with
sample weights (``python -m benchmarks.inference``; results under ``benchmarks/results``).

Ties: a recording is taken for the class of its highest probability, the lowest code among equals.
Equal scores of a positive and a negative count half in an AUC, and enter an average precision at
the same threshold. The expected calibration error is the mean over recordings of ``|mean predicted -
share observed|`` of their bin; bins are cut at the deciles of the predictions, equal ones share a bin.

What cannot be scored raises EvaluationError; of a Scorer's weights, a column that leaves a
metric undefined (a class drawn out of the sample) is NaN for that metric, for `bootstrap` to
count. Sources: Hand and Till (2001) and Fawcett (2006) for AUC, Brier (1950), Naeini et al. (2015)
for the calibration error, scikit-learn's definitions for the rest.
"""

from __future__ import annotations

import numpy as np

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.auc import Ranked, ratio
from cryhear.evaluation.validation import checked_priors, stratum_codes, validate

PROBABILITY_FLOOR = float(np.finfo(float).eps)
"""Probabilities are raised to this in a log loss, as scikit-learn does: a zero costs 36 nats."""
CALIBRATION_BINS = 10
_K = len(CLASSES)
_BY_CLASS = ("precision", "recall", "f1", "auc", "average_precision", "ece")
METRICS = (
    *("accuracy", "majority_rate", "balanced_accuracy"),
    *("precision_macro", "recall_macro", "f1_macro"),
    *("precision_weighted", "recall_weighted", "f1_weighted"),
    *("auc_macro", "average_precision_macro"),
    *("log_loss", "log_loss_prior", "log_loss_gain", "brier", "ece", "ece_classwise"),
    *(f"{metric}_{name}" for metric in _BY_CLASS for name in CLASSES),
)
"""Keys of `scores`, in order."""


# Counts, and what follows from them. `counts` is a confusion matrix, shape (3, 3) or (3, 3, d).


def confusion(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Confusion matrix: row the true class, column the predicted one; float64 (3, 3).

    Examples
    --------
    >>> p = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
    >>> counts = confusion([0, 1, 1, 2], p)
    >>> counts.tolist()
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> float(accuracy(counts)), float(majority_rate(counts))
    (0.75, 0.5)
    """
    return _cells(*validate(y, p)).sum(0).reshape(_K, _K)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of recordings predicted right; never to be read without `majority_rate`."""
    return np.trace(counts) / counts.sum((0, 1))


def majority_rate(counts: np.ndarray) -> np.ndarray:
    """Share of the commonest class: the accuracy of always naming it."""
    return counts.sum(1).max(0) / counts.sum((0, 1))


def recall(counts: np.ndarray) -> np.ndarray:
    """Share of each class predicted as it, shape (3, ...); NaN for a class without recordings."""
    return ratio(_diagonal(counts), counts.sum(1), np.nan)


def precision(counts: np.ndarray) -> np.ndarray:
    """Share of the predictions of each class that are right, (3, ...); 0 if never predicted."""
    return ratio(_diagonal(counts), counts.sum(0), 0.0)


def f1(counts: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall of each class, shape (3, ...); NaN as recall."""
    both = ratio(2 * _diagonal(counts), counts.sum(0) + counts.sum(1), 0.0)
    return np.where(counts.sum(1) > 0, both, np.nan)


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall over the three classes; chance is 1/3."""
    return recall(counts).mean(0)


def weighted_mean(by_class: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean of a metric over classes, weighted by their recordings: (3, ...) -> (...)."""
    support = counts.sum(1)
    return np.where(support > 0, by_class * support, 0.0).sum(0) / support.sum(0)


# Probabilities.


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Mean of -ln p of the true class, in nats; at least 0, and the class prior's is the bar."""
    y, p = validate(y, p)
    return float(_log_losses(y, p).mean())


def calibration_pair(
    y: np.ndarray, p: np.ndarray, label: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What was predicted and whether it came true: both float64, shape (n,).

    The probability of the predicted class and whether it is right; with `label`, of that class and
    whether it is the class.
    """
    if label is None:
        return p.max(1), (p.argmax(1) == y).astype(float)
    if label not in CLASSES:
        raise EvaluationError(f"label is {label!r}; expected one of {CLASSES} or None. Change it.")
    k = CLASSES.index(label)
    return p[:, k], (y == k).astype(float)


# All at once.


def scores(
    y: np.ndarray,
    p: np.ndarray,
    priors: np.ndarray | None = None,
    pairs_within: np.ndarray | None = None,
) -> dict[str, float]:
    """Every metric of METRICS, by name.

    Parameters
    ----------
    y : shape (n,)
        Each class at least once.
    p : shape (n, 3)
    priors : shape (3,), optional
        Class shares of the training side, for `log_loss_prior`; default those of `y`.
        `log_loss_gain` is `log_loss_prior` - `log_loss`: above 0 beats the prior.
    pairs_within : shape (n,), optional
        Strata for the AUCs; see `class_auc`. Everything else is over all rows.

    Returns
    -------
    dict of str to float
        Keys METRICS, always all of them; no NaN.

    Raises
    ------
    EvaluationError
        Labels lack a class, or a class has no pair within strata.

    Examples
    --------
    >>> p = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1], [0.1, 0.2, 0.7]]
    >>> found = scores([0, 1, 1, 2], p)
    >>> found["accuracy"], found["auc_macro"], list(found) == list(METRICS)
    (0.75, 1.0, True)
    """
    y, p = validate(y, p, all_classes=True)
    values = Scorer(y, p, priors, pairs_within)(np.ones((len(y), 1)))[:, 0]
    if np.isnan(values).any():
        undefined = [m for m, v in zip(METRICS, values, strict=True) if np.isnan(v)]
        raise EvaluationError(
            f"{', '.join(undefined)} undefined: no stratum holds a class and "
            "another. Use coarser strata or more recordings."
        )
    return dict(zip(METRICS, values.tolist(), strict=True))


class Scorer:
    """Every metric of METRICS for many columns of weights: sorts once, then only adds up.

    Parameters as in `scores`. Call with weights float64 (n, d); get float64 (len(METRICS), d),
    NaN where a column leaves a metric undefined.
    """

    def __init__(
        self,
        y: np.ndarray,
        p: np.ndarray,
        priors: np.ndarray | None = None,
        pairs_within: np.ndarray | None = None,
    ) -> None:
        y, p = validate(y, p)
        self._priors = None if priors is None else checked_priors(priors)
        stratum = stratum_codes(pairs_within, len(y))
        self._pooled = [Ranked(y == k, p[:, k]) for k in range(_K)]
        self._within = (
            self._pooled
            if stratum is None
            else [Ranked(y == k, p[:, k], stratum) for k in range(_K)]
        )
        gaps = []
        for label in (None, *CLASSES):
            predicted, observed = calibration_pair(y, p, label)
            gaps.append(binned(predicted) * (predicted - observed)[:, None])
        losses = np.stack([_log_losses(y, p), ((p - np.eye(_K)[y]) ** 2).sum(1)], axis=1)
        # Every metric but the ranking ones is a function of weighted sums over rows.
        self._sums = np.concatenate([_cells(y, p), losses, *gaps], axis=1).T.copy()

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Score each column of `weights`."""
        sums = self._sums @ weights
        counts = sums[: _K * _K].reshape(_K, _K, -1)
        loss, squared = sums[_K * _K : _K * _K + 2]
        total = counts.sum((0, 1))
        gaps = np.abs(sums[_K * _K + 2 :]).reshape(1 + _K, CALIBRATION_BINS, -1).sum(1) / total
        p, r, f = precision(counts), recall(counts), f1(counts)
        # An absent class leaves the class means undefined, not the mean of the other two.
        p = np.where(np.isnan(r), np.nan, p)
        auc = np.stack([ranked.auc(weights) for ranked in self._within])
        ap = np.stack([ranked.average_precision(weights) for ranked in self._pooled])
        loss, prior = loss / total, self._prior_loss(counts.sum(1) / total)
        rows = [accuracy(counts), majority_rate(counts), r.mean(0)]
        rows += [p.mean(0), r.mean(0), f.mean(0)]
        rows += [weighted_mean(by_class, counts) for by_class in (p, r, f)]
        rows += [auc.mean(0), ap.mean(0)]
        rows += [loss, prior, prior - loss, squared / total, gaps[0], gaps[1:].mean(0)]
        return np.concatenate([np.stack(rows), p, r, f, auc, ap, gaps[1:]])

    def _prior_loss(self, shares: np.ndarray) -> np.ndarray:
        guess = shares if self._priors is None else self._priors[:, None]
        return -(shares * np.log(np.maximum(guess, PROBABILITY_FLOOR))).sum(0)


def _cells(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Indicator of each row's cell of the confusion matrix, float64, shape (n, 9)."""
    return np.eye(_K * _K)[y * _K + p.argmax(1)]


def _diagonal(counts: np.ndarray) -> np.ndarray:
    return counts[np.arange(_K), np.arange(_K)]


def binned(predicted: np.ndarray) -> np.ndarray:
    """Indicator of each row's bin, float64, shape (n, CALIBRATION_BINS)."""
    cuts = np.quantile(predicted, np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS)
    return np.eye(CALIBRATION_BINS)[np.searchsorted(cuts, predicted, side="right")]


def _log_losses(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(p[np.arange(len(y)), y], PROBABILITY_FLOOR))
