"""ROC AUC and average precision, weighted and within strata.

`Ranked` sorts once for any number of weightings; what that saves over scikit-learn's functions is in
`metrics`.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.validation import check_scores, codes, row_weights, stratum_codes

_K = len(CLASSES)


def class_auc(
    y: np.ndarray,
    p: np.ndarray,
    pairs_within: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """One-vs-rest ROC AUC of each class.

    The share of (positive, other) pairs in which the positive scores higher, ties half. With
    `pairs_within`, only pairs of one stratum count, all strata pooled by their number of pairs:
    sum of wins over strata / sum of pairs over strata. A stratum without such a pair adds 0.

    Parameters
    ----------
    y : shape (n,)
    p : shape (n, 3)
        Any finite scores that rank; they need not be probabilities.
    pairs_within : array-like, shape (n,), optional
        Stratum of each row (fold, platform, or `strata` of several columns).
    weights : shape (n,) or (n, d), optional
        A pair weighs the product of its two rows.

    Returns
    -------
    numpy.ndarray of float64, shape (3,) or (3, d)

    Raises
    ------
    EvaluationError
        A class has no such pair in any stratum (not for weights (n, d): NaN there).
    """
    y, p = codes(y), np.asarray(p, dtype=float)
    check_scores(y, p)
    weights = row_weights(weights, len(y))
    columns, stratum = weights.reshape(len(y), -1), stratum_codes(pairs_within, len(y))
    values = np.stack([Ranked(y == k, p[:, k], stratum).auc(columns) for k in range(_K)])
    if weights.ndim == 1 and np.isnan(values).any():
        missing = [CLASSES[k] for k in range(_K) if np.isnan(values[k]).any()]
        raise EvaluationError(
            f"no stratum holds both {' or '.join(missing)} and another class among {len(y)} rows; "
            "expected at least one such pair a class. Use coarser strata or more recordings."
        )
    return values.reshape(_K, *weights.shape[1:])


def macro_auc(y: np.ndarray, p: np.ndarray, pairs_within: np.ndarray | None = None) -> float:
    """Mean of `class_auc` over the three classes. Chance is 1/2.

    >>> macro_auc([0, 1, 2], [[.8, .1, .1], [.2, .6, .2], [.1, .3, .6]])
    1.0
    """
    return float(class_auc(y, p, pairs_within).mean())


class Ranked:
    """Positives and negatives of one class sorted by (stratum, score), for weighted ranking."""

    def __init__(
        self, positive: np.ndarray, score: np.ndarray, stratum: np.ndarray | None = None
    ) -> None:
        _, rank = np.unique(score, return_inverse=True)
        if stratum is None:
            stratum, key = np.zeros(len(rank), dtype=np.int64), rank
        else:
            key = stratum * len(rank) + rank
        order = np.argsort(key, kind="stable")
        self.positive, negative = order[positive[order]], order[~positive[order]]
        mine, others = key[self.positive], key[negative]
        groups = stratum[self.positive], stratum[negative]
        # Sums of the negatives are wanted at few places: added up between these, not row by row.
        places = [np.searchsorted(others, mine, side) for side in ("left", "right")]
        places += [np.searchsorted(groups[1], groups[0], side) for side in ("left", "right")]
        cuts, at = np.unique(places, return_inverse=True)
        self.below, through, self.start, self.end = at.reshape(4, -1)
        self.through = None if np.array_equal(self.below, through) else through
        segment = np.searchsorted(cuts, np.arange(len(negative)), "right")
        used = segment < len(cuts)
        ones, where = np.ones(int(used.sum())), (segment[used], negative[used])
        self.between = sparse.csr_matrix((ones, where), shape=(len(cuts), len(rank)))
        self.tied = np.searchsorted(mine, mine, "left")

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """Weighted wins over weighted pairs, (n, d) -> (d,); NaN without a pair."""
        mine, others = weights[self.positive], self._others(weights)
        wins, first = others[self.below], others[self.start]
        if self.through is not None:
            wins = (wins + others[self.through]) / 2
        pairs = np.einsum("id,id->d", mine, others[self.end] - first)
        return ratio(np.einsum("id,id->d", mine, wins - first), pairs, np.nan)

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Weighted average precision over all strata together, (n, d) -> (d,); NaN without a positive.

        The sum over thresholds of (recall gained) x precision; chance is the class's share.
        """
        mine, others = weights[self.positive], self._others(weights)
        cumulated = _cumulated(mine)
        true = cumulated[-1] - cumulated[self.tied]
        false = others[self.end] - others[self.below]
        gained = np.einsum("id,id->d", mine, ratio(true, true + false, 0.0))
        return ratio(gained, cumulated[-1], np.nan)

    def _others(self, weights: np.ndarray) -> np.ndarray:
        """Sums of the negatives' weights up to each place where one is wanted, (places, d)."""
        return np.cumsum(self.between @ weights, axis=0)


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, ..., m rows: (m, d) -> (m + 1, d)."""
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums


def ratio(above: np.ndarray, below: np.ndarray, undefined: float) -> np.ndarray:
    """Divide; `undefined` where `below` is not above 0."""
    above, below = np.asarray(above, dtype=float), np.asarray(below, dtype=float)
    return np.divide(above, below, out=np.full(below.shape, undefined), where=below > 0)
