"""Nearest neighbours of embeddings, with chance beside every count; nothing here is a claim about classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.errors import EvaluationError

MOST_ROWS = 5_000
"""Rows up to which all pairs of rows are looked at: their distances take 200 MB, and as many dots fill
any figure."""


def sampled(infants: Sequence[Any], seed: int = 0, most: int = MOST_ROWS) -> np.ndarray:
    """Which rows to look at where pairs of all would be too many: those of some infants, whole.

    Up to `most` rows, all of them. Beyond, infants are drawn at random until the next would be one
    too many, and a notice says so: neighbours and pairs of an infant stay what they are, and chance
    is computed for what was drawn.

    Parameters
    ----------
    infants : sequence of n
        The infant of each row.
    seed : int
    most : int

    Returns
    -------
    numpy.ndarray, shape (n,), bool
    """
    codes, names = pd.factorize(np.asarray(infants), sort=True)
    if len(codes) <= most:
        return np.ones(len(codes), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(names))
    fits = np.cumsum(np.bincount(codes)[order]) <= most
    drawn = np.zeros(len(names), dtype=bool)
    drawn[order[fits]] = True
    keep = drawn[codes]
    print(
        f"Notice: {len(codes):,} recordings are more than all pairs are looked at of here "
        f"({most:,}): what follows is of {keep.sum():,} recordings of {drawn.sum():,} infants drawn "
        f"at random (seed {seed})."
    )
    return keep


def neighbour_purity(
    X: np.ndarray,
    labels: Sequence[Any],
    k: int | Sequence[int] = 10,
    exclude: Sequence[Any] | None = None,
    each: bool = True,
    name: str = "all",
) -> pd.DataFrame:
    """Share of each row's k nearest neighbours (by cosine) with its own label, and chance beside it.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, d), float32
    labels : sequence of n
        Classes, infants, platforms. Rows whose label no other candidate carries are not counted.
    k : int or sequence of int
        How many neighbours.
    exclude : sequence of n, optional
        Rows that agree here are no candidates for each other: pass the infants to ask whether
        *other* infants' cries of the class are near.
    each : bool, default True
        A row for each label besides the one for all (leave off for infants).
    name : str
        ``target`` of the row for all.

    Returns
    -------
    pandas.DataFrame
        ``target``, ``k``, ``n`` (rows counted), ``purity``, ``chance``, the expected purity of
        neighbours drawn at random from the same candidates (exact, given the labels).

    Raises
    ------
    EvaluationError
        If a row has fewer than k candidates, or lengths differ.
    """
    X = _table(X)
    codes, names = pd.factorize(np.asarray(labels), sort=True)
    groups = np.arange(len(X)) if exclude is None else pd.factorize(np.asarray(exclude))[0]
    if len(codes) != len(X) or len(groups) != len(X):
        raise EvaluationError(
            f"neighbour_purity got {len(X)} embeddings, {len(codes)} labels and {len(groups)} groups; "
            "expected one of each a row. Pass columns of the same table."
        )
    kinds = [k] if isinstance(k, int) else list(k)
    candidate = groups[:, None] != groups[None, :]
    alike = (codes[:, None] == codes[None, :]) & candidate
    order = _nearest(X, max(kinds), candidate)
    possible = alike.sum(axis=1)
    chance, counted = possible / candidate.sum(axis=1), possible > 0
    rows = []
    for size in kinds:
        purity = np.take_along_axis(alike, order[:, :size], axis=1).mean(axis=1)
        targets = [(name, counted)]
        if each:
            targets += [(str(label), counted & (codes == i)) for i, label in enumerate(names)]
        for target, mask in targets:
            if mask.any():
                rows.append(
                    (target, size, int(mask.sum()), purity[mask].mean(), chance[mask].mean())
                )
    return pd.DataFrame(rows, columns=["target", "k", "n", "purity", "chance"])


def _nearest(X: np.ndarray, k: int, candidate: np.ndarray) -> np.ndarray:
    """Indices of the k nearest candidates of each row by cosine, nearest first, int64 [n, k]; exact."""
    from sklearn.metrics import pairwise_distances

    fewest = int(candidate.sum(axis=1).min())
    if not 1 <= k <= fewest:
        raise EvaluationError(
            f"asked for {k} neighbours where a row has {fewest} candidates; expected 1 to {fewest}. "
            "Ask for fewer."
        )
    distance = np.where(candidate, pairwise_distances(X.astype(float), metric="cosine"), np.inf)
    return np.argsort(distance, axis=1, kind="stable")[:, :k]


def _table(X: np.ndarray) -> np.ndarray:
    """The array, checked: two-dimensional, at least 3 rows and 2 columns, finite."""
    X = np.asarray(X)
    if X.ndim != 2 or X.shape[0] < 3 or X.shape[1] < 2 or not np.isfinite(X).all():
        shape = "with values that are not finite" if X.ndim == 2 else f"of {X.ndim} dimensions"
        raise EvaluationError(
            f"embeddings of shape {X.shape} {shape}; expected a finite table of at least 3 rows and "
            "2 columns. Drop or repair the rows first."
        )
    return X
