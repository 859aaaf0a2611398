"""How the primary score depends on the penalty, which the protocol's tuning set to the edge of its grid.

Everything here was asked after the primary result was known and is exploratory: scores and
intervals at fixed strengths, on the same folds as the estimate, and no p value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from cryhear.analysis import cross_validation, permutation, trials
from cryhear.analysis.primary_auc import Plan, auc_parts, components, out_of_fold, repeat_auc
from cryhear.analysis.trials import Rows
from cryhear.corpus.labels import CLASSES
from cryhear.evaluation.auc import class_auc
from cryhear.evaluation.bootstrap import draw_weights, estimate
from cryhear.evaluation.validation import codes, strata
from cryhear.models import batched_logistic, primary
from cryhear.models.primary import PRIMARY, Procedure

STRENGTHS = (1e-5, *PRIMARY.Cs)
"""Values of C (inverse penalty) at which scores are given: the protocol's grid and a step below it."""

BESIDE = 0.01
"""The strength shown beside the protocol's own: that of the probes of age, sex and platform, which
was set before any of this was asked."""

KNOWS_NOTHING = float(np.log(len(CLASSES)))
"""Class-weighted log loss of equal probabilities, nats: what a model that knows nothing has."""

_FLOOR = 1e-12  # of a probability in a log loss


def fixed(C: float) -> Procedure:
    """The primary procedure with its strength fixed: nothing is tuned."""
    return replace(PRIMARY, Cs=(C,))


def on_primary_folds(
    rows: Rows, plan: Plan, repeat: int, strengths: Sequence[float] = STRENGTHS
) -> pd.DataFrame:
    """One repeat of the primary folds with the strength fixed at each of `strengths`.

    Returns
    -------
    pandas.DataFrame, one row a recording and strength
        Out-of-fold predictions as `trials.primary`, with ``C``; and, equal for all rows of a fold
        and strength: ``log_loss`` (class-weighted, nats: the protocol's criterion) and ``inner_auc``
        (macro, pairs within inner fold and platform) over the inner folds, and ``chosen``, whether
        the protocol's procedure chose this strength there.
    """
    own, y, C = trials.one_repeat(plan, repeat), rows.y, np.asarray(strengths, float)
    empty = trials.prediction_table(rows, own, repeat)
    tables = []
    for Z, inner in zip(components(rows.X, own), own.inner, strict=True):
        train, test = np.flatnonzero(inner >= 0), np.flatnonzero(inner < 0)
        side = Z[train], y[train], inner[train]
        chosen = primary.choose_C(side[0], side[1][None], side[2])[0]
        log_loss, auc = _inner_scores(*side, own.platform[train], C)
        model = primary.refit(side[0], np.tile(side[1], (len(C), 1)), C)
        p = batched_logistic.probabilities(Z[test], *model)
        for i, strength in enumerate(C):
            table = empty.iloc[test].assign(
                C=strength, log_loss=log_loss[i], inner_auc=auc[i], chosen=strength == chosen
            )
            table[cross_validation.P_COLUMNS] = p[i].astype(np.float32)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def predictions(rows: Rows, plan: Plan, repeat: int, C: float) -> pd.DataFrame:
    """Out-of-fold predictions of one repeat at one strength: as `trials.primary`, with ``C``."""
    own = trials.one_repeat(plan, repeat)
    table = trials.prediction_table(rows, own, repeat).assign(C=C)
    table[cross_validation.P_COLUMNS] = out_of_fold(rows.X, rows.y, own, fixed(C))[0]
    return table


def exchanged(
    rows: Rows, plan: Plan, C: float, exchanges: int, seed: int, repeat: int = 0
) -> pd.DataFrame:
    """Macro AUC at a fixed strength of labels exchanged between infants, on one repeat's folds.

    It says where the score of meaningless labels lies at this strength; no test is made of it.

    Returns
    -------
    pandas.DataFrame
        ``exchange``, ``auc``.
    """
    rng = np.random.default_rng(seed)
    Y = permutation.exchange_labels(rows.recordings, rows.y, exchanges, rng)
    values = repeat_auc(rows.X, Y, trials.one_repeat(plan, repeat), fixed(C))[0]
    return pd.DataFrame({"exchange": np.arange(exchanges), "auc": values.mean(axis=1)})


def rung(rows: Rows, splits: int, seed: int, C: float, rung: str, repeat: int) -> pd.DataFrame:
    """Predictions of one repeat on one rung of the ladder with the strength fixed at C, with ``C``."""
    model = cross_validation.primary_model(fixed(C))
    table = trials.run_rung(rows, splits, seed, "logistic_regression", model, rung, [repeat])
    return table.assign(C=C)


def criterion(fitted: pd.DataFrame) -> pd.DataFrame:
    """Inner scores of each strength over all outer folds, and how many outer folds chose it.

    Parameters
    ----------
    fitted : pandas.DataFrame
        Of `on_primary_folds`, all repeats.

    Returns
    -------
    pandas.DataFrame
        ``C``, ``log_loss``, ``inner_auc`` (means), ``chosen`` (outer folds), ``fits`` (of how many).
    """
    folds = fitted.drop_duplicates(["repeat", "fold", "C"]).groupby("C")
    return folds.agg(
        log_loss=("log_loss", "mean"), inner_auc=("inner_auc", "mean"),
        chosen=("chosen", "sum"), fits=("chosen", "size"),
    ).reset_index()  # fmt: skip


def by_inner_auc(fitted: pd.DataFrame, grid: Sequence[float] = PRIMARY.Cs) -> pd.DataFrame:
    """The predictions, had the inner folds chosen the strength by AUC and not by log loss.

    Parameters
    ----------
    fitted : pandas.DataFrame
        Of `on_primary_folds`, all repeats.
    grid : sequence of float
        Strengths that may be chosen; ties go to the smallest.

    Returns
    -------
    pandas.DataFrame
        The rows of `fitted` with the chosen strength of their repeat and fold.
    """
    allowed = fitted[fitted["C"].isin(grid)].sort_values("C", kind="stable").reset_index(drop=True)
    best = allowed.loc[allowed.groupby(["repeat", "fold"])["inner_auc"].idxmax()]
    return allowed.merge(best[["repeat", "fold", "C"]], on=["repeat", "fold", "C"])


def scores(cells: Mapping[Any, pd.DataFrame], draws: int, seed: int) -> pd.DataFrame:
    """Macro AUC of each cell's predictions, over pairs within fold and platform.

    Parameters
    ----------
    cells : mapping of name to predictions
    draws, seed : int
        Draws of infants over fixed predictions: intervals are 'test-sampling only'.

    Returns
    -------
    pandas.DataFrame
        ``cell``, ``value``, ``low``, ``high``, ``n`` (recordings), ``infants``.
    """
    table = []
    for name, predictions in cells.items():
        drawn = _auc_draws(predictions, draws, seed)
        table.append(
            {"cell": name, **estimate(drawn, "AUC at a fixed strength"), **_counts(predictions)}
        )
    return pd.DataFrame(table)


def differences(
    cells: Mapping[Any, pd.DataFrame], reference: str, draws: int, seed: int
) -> pd.DataFrame:
    """Macro AUC of each cell minus that of the cell `reference`, from the same draws of infants.

    Parameters and columns as `scores`; all cells must be of the same infants.
    """
    base = _auc_draws(cells[reference], draws, seed)
    table = [
        {
            "cell": name,
            **estimate(_auc_draws(own, draws, seed) - base, "AUC at a fixed strength"),
            **_counts(own),
        }
        for name, own in cells.items()
        if name != reference
    ]
    return pd.DataFrame(table)


def _auc_draws(predictions: pd.DataFrame, draws: int, seed: int) -> np.ndarray:
    """Macro AUC, mean over repeats, of the predictions and of each draw of infants: (1 + draws,)."""
    values = []
    for _, own in predictions.groupby("repeat"):
        drawn = draw_weights(own["infant"], draws, seed)
        weights = np.column_stack([np.ones(len(own)), drawn])
        stratum = strata(own, ["fold", "platform"])
        p = own[cross_validation.P_COLUMNS].to_numpy()
        values.append(class_auc(codes(own["label"]), p, stratum, weights).mean(axis=0))
    return np.mean(values, axis=0)


def _counts(predictions: pd.DataFrame) -> dict[str, int]:
    columns = ("recording", "infant")
    n, infants = (predictions[column].nunique() for column in columns)
    return {"n": n, "infants": infants}


def _inner_scores(
    Z: np.ndarray,
    y: np.ndarray,
    inner: np.ndarray,
    platform: np.ndarray,
    C: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and macro AUC of each strength over the inner folds of one training side."""
    weight = batched_logistic.balanced_weights(y[None])[0]
    loss = np.zeros(len(C))
    won, pairs = np.zeros((2, len(C), len(CLASSES)))
    for k in np.unique(inner):
        fit, test = inner != k, inner == k
        labels = np.tile(y[fit], (len(C), 1))
        model = batched_logistic.fit_batched(
            Z[fit], labels, batched_logistic.balanced_weights(labels), C,
            tolerance=batched_logistic.LOOSE,
        )  # fmt: skip
        p = batched_logistic.probabilities(Z[test], *model)
        given = np.maximum(p[:, np.arange(test.sum()), y[test]], _FLOOR)
        loss -= (weight[test] * np.log(given)).sum(axis=1)
        part = auc_parts(p, np.tile(y[test], (len(C), 1)), platform[test])
        won += part[0]
        pairs += part[1]
    auc = np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0)
    return loss / weight.sum(), auc.mean(axis=1)
