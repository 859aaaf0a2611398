"""How the primary score depends on the penalty, which the protocol's tuning set to the edge of its grid.

And what was tried on scores below chance. Everything here was asked after the primary result was known and
is exploratory: scores and intervals on the same folds as the estimate, and no p value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cryhear.analysis import permutation
from cryhear.analysis.primary_auc import (
    FoldPlan,
    auc_parts,
    components,
    prediction_table,
    predictions,
    repeat_auc,
)
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.models import batched_logistic, primary
from cryhear.models.primary import PRIMARY, Procedure

STRENGTHS = (1e-5, *PRIMARY.Cs)
"""Values of C (inverse penalty) at which scores are given: the protocol's grid and a step below it."""

BESIDE = 0.01
"""The strength shown beside the protocol's own: that of the probes of age, sex and platform, which
was set before any of this was asked."""

KNOWS_NOTHING = float(np.log(len(CLASSES)))
"""Class-weighted log loss of equal probabilities, nats: what a model that knows nothing has."""

LARGEST = 10
"""Infants with the most recordings that one variant of `one_thing_changed` leaves out."""

OTHER_SEED = 1000
"""Added to the seed of the folds in the variant with other folds."""

FIXED = {"C fixed at 0.01": 0.01, "C fixed at 0.1": 0.1}
"""Variants with a fixed strength of the penalty."""

CHANGED = (
    "other folds",
    "embeddings centred by platform",
    f"without the {LARGEST} infants with most recordings",
    *FIXED,
)
"""What was changed, one thing at a time, to explain scores below chance."""

_FLOOR = 1e-12  # of a probability in a log loss


def fixed(C: float) -> Procedure:
    """The primary procedure with its strength fixed: nothing is tuned."""
    return replace(PRIMARY, Cs=(C,))


def on_primary_folds(
    data: StudySet, plan: FoldPlan, repeat: int, strengths: Sequence[float] = STRENGTHS
) -> pd.DataFrame:
    """One repeat of the primary folds with the strength fixed at each of `strengths`.

    Returns
    -------
    pandas.DataFrame, one row a recording and strength
        Out-of-fold predictions as `primary_auc.predictions`, with ``C``; and, equal for all rows of a
        fold and strength: ``log_loss`` (class-weighted, nats: the protocol's criterion) and
        ``inner_auc`` (macro, pairs within inner fold and platform) over the inner folds, and
        ``chosen``, whether the protocol's procedure chose this strength there.
    """
    own, y, C = plan.repeat(repeat), data.y, np.asarray(strengths, float)
    empty = prediction_table(data, own, repeat)
    tables = []
    for Z, inner in zip(components(data.X, own), own.inner, strict=True):
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
            table[list(PROBABILITIES)] = p[i].astype(np.float32)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def exchanged(data: StudySet, plan: FoldPlan, C: float, exchanges: int, seed: int) -> pd.DataFrame:
    """Macro AUC at a fixed strength of labels exchanged between infants, on the first repeat's folds.

    It says where the score of meaningless labels lies at this strength; no test is made of it.

    Returns
    -------
    pandas.DataFrame
        ``exchange``, ``auc``.
    """
    rng = np.random.default_rng(seed)
    Y = permutation.exchange_labels(data.recordings, data.y, exchanges, rng)
    values = repeat_auc(data.X, Y, plan.repeat(0), fixed(C))[0]
    return pd.DataFrame({"exchange": np.arange(exchanges), "auc": values.mean(axis=1)})


def one_thing_changed(data: StudySet, folds: int, seed: int, how: str, repeat: int) -> pd.DataFrame:
    """One repeat of the primary procedure with one thing changed that could have made a low score.

    Parameters
    ----------
    data : StudySet
    folds, seed : int
        As the primary folds.
    how : str
        Of CHANGED.
    repeat : int

    Returns
    -------
    pandas.DataFrame
        Predictions as `primary_auc.predictions`, with ``tried``.
    """
    if how == "other folds":
        seed += OTHER_SEED
    elif how == "embeddings centred by platform":
        platform = data.recordings["platform"].to_numpy()
        means = pd.DataFrame(data.X.astype(float)).groupby(platform).transform("mean")
        data = data.with_features(data.X - means.to_numpy())
    elif how.startswith("without"):
        infants = data.recordings["infant"]
        largest = infants.value_counts(sort=False).sort_index().nlargest(LARGEST).index
        data = data.subset(~np.isin(infants, largest))
    procedure = fixed(FIXED[how]) if how in FIXED else PRIMARY
    plan = FoldPlan.of(data.recordings, folds, repeat + 1, seed)
    return predictions(data, plan, repeat, procedure).assign(tried=how)


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
