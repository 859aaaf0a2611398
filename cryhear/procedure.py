"""The primary procedure: standardise, PCA, class-weighted L2 logistic regression, C by inner folds.

Written for many label vectors on the same rows (a permutation null) and for rows that count several
times (a bootstrap), so that tests and intervals refit exactly what the estimate fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cryhear import linear, splits
from cryhear.errors import EvaluationError
from cryhear.labels import CLASSES


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
_FEW = 16  # label vectors below which inner folds are fitted together
_FLOOR = 1e-12  # of a probability in a log loss


@dataclass(frozen=True)
class Reduction:
    """Standardisation and PCA fitted on some rows: z = ((x - mean) / scale) @ axes."""

    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray

    @classmethod
    def fit(
        cls, X: np.ndarray, explained: float = 0.95, weight: np.ndarray | None = None
    ) -> Reduction:
        """Fit; equals `StandardScaler` then `PCA(explained)` up to the signs of the components.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d)
        explained : float
            Share of variance kept.
        weight : numpy.ndarray, shape (n,), optional
            Multiplicities; equals repeating rows.

        Raises
        ------
        EvaluationError
            If a value is not finite.
        """
        if not np.isfinite(X).all():
            raise EvaluationError(
                f"{(~np.isfinite(X)).sum()} of {X.size} features are not finite; expected numbers: "
                "leave those recordings out or impute first"
            )
        weight = np.ones(len(X)) if weight is None else np.asarray(weight, float)
        weight, rows = weight[weight > 0] / weight.sum(), X[weight > 0].astype(float)
        mean = weight @ rows
        rows -= mean
        deviation = np.sqrt(np.einsum("i,ij,ij->j", weight, rows, rows))
        scale = np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, 1.0)
        rows *= np.sqrt(weight)[:, None] / scale
        # The smaller of the two cross-products has the same non-zero eigenvalues.
        wide = rows.shape[1] > rows.shape[0]
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
        share = np.cumsum(values) / max(values.sum(), np.finfo(float).tiny)
        keep = min(int(np.searchsorted(share, explained, side="right")) + 1, len(values))
        keep = max(1, min(keep, int(np.count_nonzero(values > 1e-12 * values[0]))))
        axes = vectors[:, :keep]
        if wide:
            axes = rows.T @ (axes / np.sqrt(values[:keep]))
        return cls(mean, scale, axes)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Component scores, float32 [n, p]."""
        # Centred first: a feature far from zero would lose its digits in a float32 product.
        centred = np.subtract(X, self.mean.astype(X.dtype)).astype(np.float32)
        return centred @ (self.axes / self.scale[:, None]).astype(np.float32)


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
    weight = np.ones(len(Z)) if weight is None else weight
    scored = linear.balanced_weights(Y, weight, len(CLASSES))
    loss = np.zeros((len(procedure.Cs), len(Y)))
    numbers = np.unique(inner[weight > 0])
    # Few models: all inner folds in one solve, which overhead governs. Many: one fold at a time,
    # on its own rows only, which arithmetic governs.
    for together in [numbers] if len(Y) < _FEW else numbers[:, None]:
        out = inner[None, :] == together[:, None]
        rows = np.flatnonzero(~out.all(axis=0) & (weight > 0))
        labels = np.tile(Y[:, rows], (len(together), 1))
        masked = np.repeat(weight[rows] * ~out[:, rows], len(Y), axis=0)
        weights, start = linear.balanced_weights(labels, masked, len(CLASSES)), None
        for c, C in enumerate(procedure.Cs):
            start = linear.fit_batched(
                Z[rows], labels, weights, C, len(CLASSES), linear.LOOSE, start=start
            )
            for i, test in enumerate(out):
                part = slice(i * len(Y), (i + 1) * len(Y))
                p = linear.probabilities(Z[test], start[0][part], start[1][part])
                chosen = np.take_along_axis(p, Y[:, test][..., None], axis=2)[..., 0]
                loss[c] -= (scored[:, test] * np.log(np.maximum(chosen, _FLOOR))).sum(1)
    return np.asarray(procedure.Cs)[loss.argmin(axis=0)]


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
    weights = linear.balanced_weights(Y, weight, len(CLASSES))
    return linear.fit_batched(Z.astype(float), Y, weights, C, len(CLASSES), REFIT)
