"""Validate labels, probabilities, weights and strata before metrics are computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError

ROW_SUM_TOLERANCE = 1e-5
"""Published probabilities are float32 (steps of 6e-8); a hundred of those, and far below 1."""
_K = len(CLASSES)


def validate(y: Any, p: Any, all_classes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and probabilities before anything is scored.

    Parameters
    ----------
    y : array-like, shape (n,)
        Codes 0, 1, 2, or names of CLASSES.
    p : array-like, shape (n, 3)
        Probabilities; rows sum to 1 within ROW_SUM_TOLERANCE.
    all_classes : bool
        Ask for each class at least once in `y`.

    Returns
    -------
    y : numpy.ndarray of int64, shape (n,)
    p : numpy.ndarray of float64, shape (n, 3)

    Raises
    ------
    EvaluationError
    """
    y, p = codes(y), np.asarray(p, dtype=float)
    check_scores(y, p)
    if p.min() < 0 or p.max() > 1:
        raise EvaluationError(
            f"probabilities range from {p.min():.3g} to {p.max():.3g}; expected 0 to 1. "
            "Turn decision values into probabilities first."
        )
    if (worst := np.abs(p.sum(1) - 1).max()) > ROW_SUM_TOLERANCE:
        raise EvaluationError(
            f"a row of probabilities sums to 1 only within {worst:.3g}; expected "
            f"{ROW_SUM_TOLERANCE:g}. Normalise each row."
        )
    if all_classes and (missing := [c for k, c in enumerate(CLASSES) if not (y == k).any()]):
        raise EvaluationError(
            f"labels hold no {', '.join(missing)} among {len(y)}; expected every class, as recall "
            "and AUC of an absent class are undefined. Score more recordings together."
        )
    return y, p


def codes(labels: Any) -> np.ndarray:
    """Turn names of CLASSES, or codes, into codes; int64, shape (n,).

    >>> codes(["hunger", "pain"])
    array([1, 0])
    """
    values = np.asarray(labels)
    if values.ndim != 1 or not len(values):
        raise EvaluationError(
            f"labels have shape {values.shape}; expected (n,) with n at least 1. Pass one a row."
        )
    if values.dtype.kind in "OUST":
        found = pd.Categorical(values, categories=list(CLASSES)).codes.astype(np.int64)
        unknown = sorted({str(v) for v in values[found < 0]})
    else:
        found = values.astype(np.int64)
        unknown = sorted({str(v) for v in values[(found != values) | (found < 0) | (found >= _K)]})
    if unknown:
        raise EvaluationError(
            f"labels hold {unknown[:5]}; expected codes 0 to {_K - 1} or {CLASSES}. "
            "Leave unlabelled recordings out first."
        )
    return found


def strata(table: pd.DataFrame, columns: list[str] | tuple[str, ...]) -> np.ndarray:
    """Number the combinations of values in some columns: int64, shape (n,)."""
    if missing := [c for c in columns if c not in table]:
        raise EvaluationError(
            f"the table has no column {', '.join(missing)}; expected it for strata. Join it first."
        )
    if not len(columns):
        return np.zeros(len(table), dtype=np.int64)
    return table.groupby(list(columns), dropna=False, observed=True).ngroup().to_numpy(np.int64)


def row_weights(weights: np.ndarray | None, n: int) -> np.ndarray:
    """Check weights, (n,) or (n, d); ones if there are none."""
    values = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    fine = values.ndim in (1, 2) and len(values) == n and np.isfinite(values).all()
    if not fine or (values < 0).any() or not values.sum():
        raise EvaluationError(
            f"weights have shape {values.shape}; expected ({n},) or ({n}, d), finite, at least 0 "
            "and not all 0. Pass one a row."
        )
    return values


def stratum_codes(pairs_within: np.ndarray | None, n: int) -> np.ndarray | None:
    """Number the strata, int64 (n,); None for none."""
    if pairs_within is None:
        return None
    values = np.asarray(pairs_within)
    if values.shape != (n,):
        raise EvaluationError(
            f"pairs_within has shape {values.shape}; expected ({n},). Use strata() for several columns."
        )
    return pd.factorize(values, use_na_sentinel=False)[0].astype(np.int64)


def checked_priors(priors: np.ndarray) -> np.ndarray:
    """Check class shares, float64 (3,)."""
    values = np.asarray(priors, dtype=float)
    if values.shape != (_K,) or (values < 0).any() or abs(values.sum() - 1) > ROW_SUM_TOLERANCE:
        raise EvaluationError(
            f"priors are {priors}; expected {_K} shares that sum to 1. Change them."
        )
    return values


def check_scores(y: np.ndarray, p: np.ndarray) -> None:
    """Check that scores are finite, one row a label and one column a class."""
    if p.shape != (len(y), _K):
        raise EvaluationError(
            f"scores have shape {p.shape} for {len(y)} labels; expected ({len(y)}, {_K}), one "
            f"column a class in the order {CLASSES}. Align them."
        )
    if not np.isfinite(p).all():
        raise EvaluationError(
            f"scores hold {int((~np.isfinite(p)).sum())} values that are not finite; expected "
            "none. Look at the model that made them."
        )
