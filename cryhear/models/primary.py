"""The primary procedure: standardise, PCA, class-weighted L2 logistic regression, C by inner folds.

Written for many label vectors on the same rows (a permutation null) and for rows that count several
times (a bootstrap), so that tests and intervals refit exactly what the estimate fits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.models import batched_logistic


@dataclass(frozen=True)
class Procedure:
    """The primary procedure: standardise, PCA, class-weighted L2 logistic regression.

    Attributes
    ----------
    explained : float
        Share of variance the principal components keep, 0 to 1.
    Cs : tuple of float
        Inverse penalties tried, rising; ties go to the smallest.
    inner_folds : int
        Folds, within the training side, that choose C by class-weighted log loss.
    """

    explained: float = 0.95
    Cs: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    inner_folds: int = 3


PRIMARY = Procedure()
REFIT = 1e-5
"""Tolerance of the final fit: logits this close (root mean square) swap next to no pair."""
RISE = 0.05
"""A label vector tries no larger C once its inner loss is this much (of it) above its lowest."""
_FEW = 16  # label vectors below which inner folds are fitted together
_FLOOR = 1e-12  # of a probability in a log loss


def primary_folds(
    recordings: pd.DataFrame, n_splits: int = 5, n_repeats: int = 10, seed: int = 42
) -> np.ndarray:
    """Folds of the primary analysis: by infant, drawn without labels, repeat r from seed + r.

    The estimate and its permutation test use the same folds; had labels shaped them, the permuted
    labels would not be exchangeable with the observed ones.

    Returns
    -------
    numpy.ndarray, shape (n_repeats, n), int64
    """
    draws = [
        splits.folds(recordings, "infant", n_splits, seed + r, stratify=False)
        for r in range(n_repeats)
    ]
    return np.stack(draws)


def inner_seed(seed: int, repeat: int, fold: int) -> int:
    """Seed of the inner folds of an outer fold: the same in estimates, tests and bootstraps."""
    return seed + 1000 * (repeat + 1) + fold


def choose_C(
    Z: np.ndarray,
    Y: np.ndarray,
    inner: np.ndarray,
    procedure: Procedure = PRIMARY,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Choose C for every label vector by class-weighted log loss over inner folds.

    C rises; a label vector whose loss has risen by RISE over its lowest tries no larger one. Of one
    C nothing is to be chosen, and nothing is fitted.

    Parameters
    ----------
    Z : numpy.ndarray, shape (n, p), float32
    Y : numpy.ndarray, shape (b, n), int
    inner : numpy.ndarray, shape (n,), int
        Inner fold of each row.
    procedure : Procedure
    weight : numpy.ndarray, shape (n,), optional
        Multiplicities.

    Returns
    -------
    numpy.ndarray, shape (b,), float64
    """
    if len(procedure.Cs) == 1:
        return np.full(len(Y), procedure.Cs[0], float)
    weight = np.ones(len(Z)) if weight is None else weight
    scored = batched_logistic.balanced_weights(Y, weight, len(CLASSES))
    numbers = np.unique(inner[weight > 0])
    # Few models: all inner folds in one solve, which overhead governs. Many: one fold at a time,
    # on its own rows only, which arithmetic governs.
    groups = [numbers] if len(Y) < _FEW else numbers[:, None]
    parts = [_Inner(Z, Y, weight, inner[None, :] == group[:, None]) for group in groups]
    loss, active = np.full((len(procedure.Cs), len(Y)), np.inf), np.arange(len(Y))
    for c, C in enumerate(procedure.Cs):
        loss[c, active] = 0.0
        for part in parts:
            for test, p in part.tested(active, C):
                chosen = np.take_along_axis(p, Y[np.ix_(active, test)][..., None], axis=2)[..., 0]
                logs = np.log(np.maximum(chosen, _FLOOR))
                loss[c, active] -= (scored[np.ix_(active, test)] * logs).sum(1)
        # Beyond a clear rise a weaker penalty only overfits more, and takes longest to fit.
        active = active[loss[c, active] <= (1 + RISE) * loss[:, active].min(axis=0)]
        if not len(active):
            break
    return np.asarray(procedure.Cs)[loss.argmin(axis=0)]


class _Inner:
    """Some inner folds, solved together, from one C to the next."""

    def __init__(self, Z: np.ndarray, Y: np.ndarray, weight: np.ndarray, out: np.ndarray) -> None:
        rows = np.flatnonzero(~out.all(axis=0) & (weight > 0))
        self.Z, self.Zt, self.tests = Z[rows], [Z[test] for test in out], out
        self.labels = np.broadcast_to(Y[:, rows], (len(out), len(Y), len(rows)))
        masked = np.repeat(weight[rows] * ~out[:, rows], len(Y), axis=0)
        flat = batched_logistic.balanced_weights(
            self.labels.reshape(masked.shape), masked, len(CLASSES)
        )
        self.weights = flat.reshape(self.labels.shape)
        k = len(CLASSES)
        self.coef = np.zeros((len(out), len(Y), k, Z.shape[1]), Z.dtype)
        self.intercept = np.zeros((len(out), len(Y), k), Z.dtype)

    def tested(self, active: np.ndarray, C: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of each fold and their probabilities (active, rows, K), warm from the last C."""
        n, k = len(self.Z), len(CLASSES)
        coef, intercept = batched_logistic.fit_batched(
            self.Z, self.labels[:, active].reshape(-1, n), self.weights[:, active].reshape(-1, n),
            C, k, batched_logistic.LOOSE,
            start=(self.coef[:, active].reshape(-1, k, self.Z.shape[1]),
                   self.intercept[:, active].reshape(-1, k)),
        )  # fmt: skip
        shape = (len(self.tests), len(active), k)
        coef, intercept = coef.reshape(*shape, -1), intercept.reshape(shape)
        self.coef[:, active], self.intercept[:, active] = coef, intercept
        for i, test in enumerate(self.tests):
            yield (
                np.flatnonzero(test),
                batched_logistic.probabilities(self.Zt[i], coef[i], intercept[i]),
            )


def fit(
    Z: np.ndarray,
    Y: np.ndarray,
    inner: np.ndarray,
    procedure: Procedure = PRIMARY,
    weight: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Choose C, then fit on all rows. Parameters as `choose_C`.

    Returns
    -------
    coef : numpy.ndarray, shape (b, K, p)
    intercept : numpy.ndarray, shape (b, K)
    C : numpy.ndarray, shape (b,)
    """
    C = choose_C(Z, Y, inner, procedure, weight)
    return (*refit(Z, Y, C, weight), C)


def refit(
    Z: np.ndarray, Y: np.ndarray, C: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit on all rows with C chosen, in double precision: its scores are ranked."""
    weights = batched_logistic.balanced_weights(Y, weight, len(CLASSES))
    return batched_logistic.fit_batched(Z.astype(float), Y, weights, C, len(CLASSES), REFIT)
