"""ROC and precision-recall curves with bootstrap bands over infants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import (
    CELL,
    KIND,
    NO_INTERVAL,
    PROBABILITIES,
    interval_of,
    unit_draws,
)
from cryhear.evaluation.validation import strata, validate

POINTS = 101


def roc_band(
    predictions: pd.DataFrame, draws: int = 2000, seed: int = 0, within: Sequence[str] = ()
) -> pd.DataFrame:
    """One-vs-rest ROC curves of one cell, with pointwise 95 % bands.

    In each repeat the curves of the strata (fold and `within`) are averaged at each false positive
    rate, weighted by their pairs, so that the area below is `class_auc` within those strata; then
    over repeats. Between thresholds a curve is a straight line; at one rate it is the highest point.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Rows of one cell (one model, one protocol, one part).
    draws, seed, within
        As in `bootstrap.bootstrap`.

    Returns
    -------
    pandas.DataFrame, POINTS rows a class, then 'macro' (the mean of the three)
        `label`, `false_positive_rate`, `true_positive_rate`, `low`, `high`, `n`, `units`, `draws`,
        `interval`. Where too few infants have the class, `low` and `high` are missing and `interval`
        says why.
    """
    return _band(predictions, draws, seed, ("fold", *within), _roc)


def pr_band(predictions: pd.DataFrame, draws: int = 2000, seed: int = 0) -> pd.DataFrame:
    """One-vs-rest precision-recall curves of one cell, with pointwise 95 % bands.

    Precision at a recall is that of the first threshold that reaches it (no straight lines: they
    flatter), over all rows of a repeat; then averaged over repeats. Chance is the class's share.

    Returns
    -------
    pandas.DataFrame
        As `roc_band`, with `recall` and `precision` for the two rates.
    """
    return _band(predictions, draws, seed, (), _precision_recall)


def _band(
    predictions: pd.DataFrame, draws: int, seed: int, within: Sequence[str], curve: Any
) -> pd.DataFrame:
    _one_cell(predictions)
    grid = np.arange(POINTS) / (POINTS - 1)
    index, names = pd.factorize(predictions["infant"].to_numpy(), sort=True)
    # Column 0 is the predictions themselves, each unit once.
    drawn = np.concatenate([np.ones((len(names), 1)), unit_draws(len(names), draws, seed)], axis=1)
    total = np.zeros((len(CLASSES), POINTS, draws + 1))
    repeats = predictions.groupby("repeat").indices
    for rows in repeats.values():
        own = predictions.iloc[rows]
        y, p = validate(own["label"], own[list(PROBABILITIES)], all_classes=True)
        groups = strata(own, list(dict.fromkeys(within)))
        for k in range(len(CLASSES)):
            total[k] += _averaged(y == k, p[:, k], groups, drawn[index[rows]], grid, curve)
    curves = np.concatenate([total, total.mean(0, keepdims=True)]) / len(repeats)
    x, name = (
        ("false_positive_rate", "true_positive_rate") if curve is _roc else ("recall", "precision")
    )
    facts = {"n": round(len(predictions) / len(repeats)), "units": len(names), "draws": draws}
    tables = []
    for label, values in zip((*CLASSES, "macro"), curves, strict=True):
        try:
            low, high, _, _ = interval_of(values[:, 1:], f"the curve of {label}")
            kind = KIND
        except EvaluationError:
            low = high = np.full(POINTS, np.nan)
            kind = NO_INTERVAL
        own = {"label": label, x: grid, name: values[:, 0], "low": low, "high": high}
        tables.append(pd.DataFrame({**own, **facts, "interval": kind}))
    return pd.concat(tables, ignore_index=True)


def _averaged(
    positive: np.ndarray,
    score: np.ndarray,
    groups: np.ndarray,
    weights: np.ndarray,
    grid: np.ndarray,
    curve: Any,
) -> np.ndarray:
    """Mean over strata of a class's curve, weighted by pairs: (points, d), NaN without a pair."""
    total, pairs = np.zeros((len(grid), weights.shape[1])), np.zeros(weights.shape[1])
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        order = rows[np.argsort(-score[rows], kind="stable")]
        last = np.append(np.diff(score[order]) != 0, True)
        mine = positive[order][:, None]
        true = _from_zero(np.cumsum(weights[order] * mine, axis=0)[last])
        false = _from_zero(np.cumsum(weights[order] * ~mine, axis=0)[last])
        weight = true[-1] * false[-1]
        for draw in np.flatnonzero(weight):
            total[:, draw] += weight[draw] * curve(true[:, draw], false[:, draw], grid)
        pairs += weight
    return np.divide(total, pairs, out=np.full(total.shape, np.nan), where=pairs > 0)


def _roc(true: np.ndarray, false: np.ndarray, grid: np.ndarray) -> np.ndarray:
    return np.interp(grid, false / false[-1], true / true[-1])


def _precision_recall(true: np.ndarray, false: np.ndarray, grid: np.ndarray) -> np.ndarray:
    # The first threshold is the first that takes any row in this draw: 0 of 0 has no precision.
    taken = true + false > 0
    true, false = true[taken], false[taken]
    return (true / (true + false))[np.searchsorted(true / true[-1], grid, side="left")]


def _from_zero(values: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, values.shape[1])), values])


def _one_cell(predictions: pd.DataFrame) -> None:
    if several := [c for c in CELL if c in predictions and predictions[c].nunique() > 1]:
        raise EvaluationError(
            f"predictions hold several values of {', '.join(several)}; expected one cell for a curve. "
            "Take the rows of one model on one protocol and part."
        )
    if predictions.empty:
        raise EvaluationError(
            "predictions have no row; expected those of one cell. Check the query."
        )
