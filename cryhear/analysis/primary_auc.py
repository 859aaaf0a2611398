"""The primary estimand, for many label vectors at once.

Macro one-vs-rest AUC over pairs within fold and platform, computed in each repeat; averaging over
repeats is the caller's last step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet
from cryhear.evaluation.auc import class_auc
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.evaluation.validation import strata
from cryhear.models import batched_logistic
from cryhear.models.fitted import Reduction
from cryhear.models.primary import PRIMARY, Procedure, fit, inner_seed, primary_folds


@dataclass(frozen=True)
class FoldPlan:
    """Outer and inner folds, drawn once for an estimate, its null, its bootstrap.

    Attributes
    ----------
    folds : numpy.ndarray, shape (r, n), int
    inner : list of numpy.ndarray, shape (n,), int
        For each of `parts`: inner fold of each row, -1 where it is tested.
    parts : list of (repeat, fold)
    platform : numpy.ndarray, shape (n,), str
    """

    folds: np.ndarray
    inner: list[np.ndarray]
    parts: list[tuple[int, int]]
    platform: np.ndarray

    @classmethod
    def of(
        cls, recordings: pd.DataFrame, n_splits: int = 5, repeats: int = 10, seed: int = 42
    ) -> FoldPlan:
        """The primary folds of some recordings, by infant and drawn without labels."""
        return cls.draw(recordings, primary_folds(recordings, n_splits, repeats, seed), seed=seed)

    @classmethod
    def draw(
        cls,
        recordings: pd.DataFrame,
        folds: np.ndarray,
        procedure: Procedure = PRIMARY,
        seed: int = 42,
    ) -> FoldPlan:
        """Draw the inner folds (by infant, without labels) of given outer ones.

        Raises
        ------
        SplitError
            An infant lies on both sides of a fold.
        """
        folds = np.atleast_2d(folds)
        splits.assert_no_overlap(recordings, folds)
        parts = [(r, int(k)) for r in range(len(folds)) for k in np.unique(folds[r])]
        inner = []
        for r, k in parts:
            train = np.flatnonzero(folds[r] != k)
            inner.append(np.full(folds.shape[1], -1))
            inner[-1][train] = splits.folds(
                recordings.iloc[train],
                "infant",
                procedure.inner_folds,
                inner_seed(seed, r, k),
                stratify=False,
            )
        return cls(folds, inner, parts, recordings["platform"].to_numpy(dtype=str))

    def repeat(self, number: int) -> FoldPlan:
        """The folds of one repeat."""
        mine = [i for i, (r, _) in enumerate(self.parts) if r == number]
        inner, parts = [self.inner[i] for i in mine], [(0, self.parts[i][1]) for i in mine]
        return FoldPlan(self.folds[number : number + 1], inner, parts, self.platform)

    def of_rows(self, rows: np.ndarray) -> FoldPlan:
        """The same folds of some of the recordings, by their row numbers."""
        inner = [part[rows] for part in self.inner]
        return FoldPlan(self.folds[:, rows], inner, self.parts, self.platform[rows])


def components(
    X: np.ndarray, plan: FoldPlan, procedure: Procedure = PRIMARY, weight: np.ndarray | None = None
) -> list[np.ndarray]:
    """Component scores of all rows, float32 (n, p), fitted on each part's training side."""
    weight = np.ones(len(X)) if weight is None else weight
    return [
        Reduction.fit(X[inner >= 0], procedure.explained, weight[inner >= 0])(X)
        for inner in plan.inner
    ]


def repeat_auc(
    X: np.ndarray | list[np.ndarray],
    Y: np.ndarray,
    plan: FoldPlan,
    procedure: Procedure = PRIMARY,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """The estimand's AUC of every class and repeat, for many label vectors.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, d), or the result of `components`
    Y : numpy.ndarray, shape (b, n) or (n,), int
    plan : FoldPlan
    procedure : Procedure
    weight : numpy.ndarray, shape (n,), optional
        How often each recording counts, in fitting and in scoring.

    Returns
    -------
    numpy.ndarray, shape (r, b, K)
        NaN where a class has no pair in any fold of the repeat.
    """
    Y = np.atleast_2d(Y)
    parts = held_out_probabilities(X, Y, plan, procedure, weight)
    return pooled_auc(parts, Y, plan, weight)


def held_out_probabilities(
    X: np.ndarray | list[np.ndarray],
    Y: np.ndarray,
    plan: FoldPlan,
    procedure: Procedure = PRIMARY,
    weight: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Probabilities of the tested rows of each of the plan's parts; parameters as `repeat_auc`.

    Returns
    -------
    list of numpy.ndarray, shape (b, tested, K)
    """
    scores = components(X, plan, procedure, weight) if isinstance(X, np.ndarray) else X
    weight = np.ones(Y.shape[1]) if weight is None else weight
    return [
        _probabilities(Z, Y, inner, procedure, weight)
        for Z, inner in zip(scores, plan.inner, strict=True)
    ]


def pooled_auc(
    parts: list[np.ndarray], Y: np.ndarray, plan: FoldPlan, weight: np.ndarray | None = None
) -> np.ndarray:
    """The estimand's AUC from `held_out_probabilities`; returns what `repeat_auc` does."""
    weight = np.ones(Y.shape[1]) if weight is None else weight
    won, pairs = (np.zeros((len(plan.folds), len(Y), len(CLASSES))) for _ in range(2))
    for (r, _), inner, p in zip(plan.parts, plan.inner, parts, strict=True):
        test = inner < 0
        w, n = auc_parts(p, Y[:, test], plan.platform[test], weight[test])
        won[r] += w
        pairs[r] += n
    return np.divide(won, pairs, out=np.full(won.shape, np.nan), where=pairs > 0)


def out_of_fold(
    X: np.ndarray | list[np.ndarray], y: np.ndarray, plan: FoldPlan, procedure: Procedure = PRIMARY
) -> np.ndarray:
    """Probabilities of each recording in the fold that tests it, shape (r, n, K)."""
    return in_place(held_out_probabilities(X, np.atleast_2d(y), plan, procedure), plan)


def predictions(
    data: StudySet, plan: FoldPlan, repeat: int, procedure: Procedure = PRIMARY
) -> pd.DataFrame:
    """Out-of-fold predictions of one repeat, a row a recording: protocol 'primary'."""
    own = plan.repeat(repeat)
    table = prediction_table(data, own, repeat)
    table[list(PROBABILITIES)] = out_of_fold(data.X, data.y, own, procedure)[0]
    return table


def prediction_table(data: StudySet, own: FoldPlan, repeat: int) -> pd.DataFrame:
    """What stands beside the probabilities of one repeat of the primary folds, a row a recording."""
    table = data.recordings[["recording", "infant", "platform", "label"]].copy()
    table.insert(2, "set", data.set)
    table = table.assign(protocol="primary", part="oof")
    table["repeat"], table["fold"] = np.int8(repeat), own.folds[0].astype(np.int8)
    table["model"], table["representation"] = "logistic_regression", data.representation
    return table


def in_place(parts: list[np.ndarray], plan: FoldPlan) -> np.ndarray:
    """`held_out_probabilities` of the first label vector, each row where it belongs: (r, n, K)."""
    p = np.empty((*plan.folds.shape, len(CLASSES)), np.float32)
    for (r, _), inner, own in zip(plan.parts, plan.inner, parts, strict=True):
        p[r, inner < 0] = own[0]
    return p


def weighted_auc(p: np.ndarray, y: np.ndarray, plan: FoldPlan, weights: np.ndarray) -> np.ndarray:
    """The estimate with predictions fixed and rows weighted, as a bootstrap does.

    Parameters
    ----------
    p : numpy.ndarray, shape (r, n, K)
        As `out_of_fold` gives it.
    y : numpy.ndarray, shape (n,)
    weights : numpy.ndarray, shape (n, d)

    Returns
    -------
    numpy.ndarray, shape (d,)
        Macro AUC over pairs within fold and platform, the mean over repeats.
    """
    values = []
    for fold, own in zip(plan.folds, p, strict=True):
        stratum = strata(pd.DataFrame({"f": fold, "p": plan.platform}), ["f", "p"])
        values.append(class_auc(y, own, stratum, weights).mean(axis=0))
    return np.mean(values, axis=0)


def auc_parts(
    p: np.ndarray, Y: np.ndarray, stratum: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Won and all pairs of each class against the rest within strata, for many label vectors.

    Parameters
    ----------
    p : numpy.ndarray, shape (b, n, K)
        Scores of each model.
    Y : numpy.ndarray, shape (b, n), int
        Labels of each model.
    stratum : numpy.ndarray, shape (n,)
        Only pairs within one are counted.
    weight : numpy.ndarray, shape (n,), optional
        A pair counts the product of its weights.

    Returns
    -------
    won, pairs : numpy.ndarray, shape (b, K), float64
        Ties count half; AUC is the quotient (Hanley and McNeil 1982).
    """
    b, n, k = p.shape
    won, pairs = np.zeros((b, k)), np.zeros((b, k))
    weight = np.ones(n) if weight is None else weight
    for value in np.unique(stratum):
        rows = np.flatnonzero((stratum == value) & (weight > 0))
        for c in range(k if len(rows) else 0):
            part = _won(p[:, rows, c], Y[:, rows] == c, weight[rows])
            won[:, c] += part[0]
            pairs[:, c] += part[1]
    return won, pairs


def _probabilities(
    Z: np.ndarray, Y: np.ndarray, inner: np.ndarray, procedure: Procedure, weight: np.ndarray
) -> np.ndarray:
    """Test probabilities (b, tested, K), every label vector fitted on the same components."""
    train = np.flatnonzero((inner >= 0) & (weight > 0))
    coef, intercept, _ = fit(Z[train], Y[:, train], inner[train], procedure, weight[train])
    return batched_logistic.probabilities(Z[inner < 0], coef, intercept)


def _won(
    score: np.ndarray, positive: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted pairs in which the positive scores higher, ties half: (b, m) each, to (b,)."""
    order = np.argsort(score, axis=1)
    score, positive = (np.take_along_axis(a, order, axis=1) for a in (score, positive))
    weight = weight[order]
    negative = np.where(positive, 0.0, weight)
    below = np.cumsum(negative, axis=1)
    m = score.shape[1]
    changes = score[:, 1:] != score[:, :-1]
    edge = np.ones((len(score), 1), bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), np.arange(m), 0), axis=1)
    last = np.where(np.hstack([changes, edge]), np.arange(m), m - 1)
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    through = np.take_along_axis(below, last, axis=1)
    before = np.take_along_axis(below - negative, first, axis=1)
    own = np.where(positive, weight, 0.0)
    return (own * (through + before)).sum(1) / 2, own.sum(1) * negative.sum(1)
