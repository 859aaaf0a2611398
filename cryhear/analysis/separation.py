"""How much of an embedding lies between classes, against labels that change places between infants."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryhear.analysis.permutation import exchange_labels
from cryhear.corpus.labels import CLASSES

DRAWS = 200
"""Exchanges of labels behind the range that stands beside a share."""


def standardised(X: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and standard deviation 1, float64 [n, d]; a constant column becomes 0."""
    wide = np.asarray(X, dtype=float)
    return (wide - wide.mean(axis=0)) / np.maximum(wide.std(axis=0), 1e-12)


def between_classes(Z: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance that lies between classes, averaged over dimensions (eta squared).

    Parameters
    ----------
    Z : numpy.ndarray, shape (n, d)
        As `standardised` returns it.
    y : numpy.ndarray, shape (n,), int
        Class codes.
    """
    member = np.equal.outer(np.arange(len(CLASSES)), y).astype(float)
    counts = np.maximum(member.sum(axis=1, keepdims=True), 1)
    # Sum over classes of (share of the rows) times (mean squared), the total variance being 1.
    return float(((member @ Z) ** 2 / counts).sum() / (len(y) * Z.shape[1]))


def separation(
    Z: np.ndarray, recordings: pd.DataFrame, y: np.ndarray, seed: int, draws: int = DRAWS
) -> dict[str, float]:
    """Share of variance between classes, and what it is when label vectors change infants.

    Labels change places as in the primary test: whole vectors, between infants with equally many
    recordings on the same platform.

    Parameters
    ----------
    Z : numpy.ndarray, shape (n, d)
        As `standardised` returns it.
    recordings : pandas.DataFrame, n rows
        With `recording`, `infant`, `platform`, and `time_s` where known.
    y : numpy.ndarray, shape (n,), int
    seed, draws : int

    Returns
    -------
    dict
        ``between``, and ``dealt``, ``dealt_low``, ``dealt_high``: median and 95 % range over the
        exchanges. Shares, 0 to 1.
    """
    exchanged = exchange_labels(recordings, y, draws, np.random.default_rng(seed))
    null = [between_classes(Z, labels) for labels in exchanged]
    low, middle, high = np.quantile(null, [0.025, 0.5, 0.975])
    return {
        "between": between_classes(Z, y), "dealt": middle, "dealt_low": low, "dealt_high": high,
    }  # fmt: skip


def neighbour_separation(
    Z: np.ndarray, recordings: pd.DataFrame, y: np.ndarray, k: int, seed: int, draws: int = DRAWS
) -> dict[str, float]:
    """Share of the k nearest neighbours of other infants that carry a recording's class.

    The mean over classes, each counting alike, beside what it is when infants exchange labels.

    Parameters
    ----------
    Z : numpy.ndarray, shape (n, d)
    recordings : pandas.DataFrame, n rows
        As for `separation`.
    y : numpy.ndarray, shape (n,), int
    k : int
    seed, draws : int

    Returns
    -------
    dict
        ``purity``, and ``dealt``, ``dealt_low``, ``dealt_high``: median and 95 % range over the
        exchanges. Shares, 0 to 1.
    """
    from sklearn.metrics import pairwise_distances

    infants = pd.factorize(recordings["infant"])[0]
    distance = pairwise_distances(Z, metric="cosine")
    distance[infants[:, None] == infants[None, :]] = np.inf
    near = np.argsort(distance, axis=1, kind="stable")[:, :k]
    exchanged = exchange_labels(recordings, y, draws, np.random.default_rng(seed))
    purities = [_macro_purity(labels, near) for labels in (np.asarray(y), *exchanged)]
    low, middle, high = np.quantile(purities[1:], [0.025, 0.5, 0.975])
    return {"purity": purities[0], "dealt": middle, "dealt_low": low, "dealt_high": high}


def _macro_purity(labels: np.ndarray, near: np.ndarray) -> float:
    alike = (labels[near] == labels[:, None]).mean(axis=1)
    return float(np.mean([alike[labels == code].mean() for code in np.unique(labels)]))
