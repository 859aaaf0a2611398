"""Protocol 2's exact permutation test: infants thinned to bins of like size before labels are read.

Exchanging label vectors between infants with equal numbers of recordings leaves an infant whose number
nobody else has with its own labels in every permutation, and the null distribution is then not centred
on one half. Here infants of a platform are put into bins before labels are read, and every infant keeps
as many recordings as the smallest of its bin. Exchanges within bins are then a group, so that the test
is exact (Hemerik and Goeman 2018, doi 10.1007/s11749-017-0571-1).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from cryhear.analysis.permutation import auc_table, exchange
from cryhear.analysis.primary_auc import FoldPlan, repeat_auc
from cryhear.embedding.tables import StudySet
from cryhear.models.primary import PRIMARY

PROTOCOL_2 = replace(PRIMARY, Cs=(0.01,))
"""Protocol 2's procedure: the primary one with its penalty fixed."""

LEAST = 5
"""Infants a bin holds at least; where a platform has fewer, all of them are one bin."""


def size_bins(sizes: np.ndarray, least: int = LEAST) -> np.ndarray:
    """Bins of like size, so that thinning to a bin's smallest size loses the fewest recordings.

    Infants of one size are never in two bins. Among equal losses the cut whose first bins are
    smallest is taken.

    Parameters
    ----------
    sizes : numpy.ndarray, shape (infants,), int
        Recordings of each infant, 1 or more.
    least : int, default 5
        Infants a bin holds at least.

    Returns
    -------
    numpy.ndarray, shape (infants,), int
        Number of each infant's bin, rising with size.

    Examples
    --------
    >>> size_bins(np.array([1, 1, 1, 2, 2, 9]), least=2)
    array([0, 0, 0, 1, 1, 1])
    """
    values, which, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    m = len(values)
    # lost[i]: fewest recordings lost by the sizes from i on; ends[i]: where the first bin of that cut ends.
    lost, ends = np.full(m + 1, np.inf), np.zeros(m, int)
    lost[m] = 0
    for i in reversed(range(m)):
        for j in range(i + 1, m + 1):
            whole = i == 0 and j == m
            if counts[i:j].sum() < least and not whole:
                continue
            loss = float((counts[i:j] * (values[i:j] - values[i])).sum()) + lost[j]
            if loss < lost[i]:
                lost[i], ends[i] = loss, j
    of_value, start, number = np.zeros(m, int), 0, 0
    while start < m:
        of_value[start : ends[start]] = number
        start, number = ends[start], number + 1
    return of_value[which]


def thinned_blocks(recordings: pd.DataFrame, least: int = LEAST) -> list[np.ndarray]:
    """Infants whose label vectors may be exchanged, thinned to one length; reads no label.

    Parameters
    ----------
    recordings : pandas.DataFrame
        With ``recording``, ``infant``, ``platform``, and ``time_s`` where known.
    least : int, default 5

    Returns
    -------
    list of numpy.ndarray of int, shape (infants, size)
        One array a bin: row numbers of `recordings`, the earliest of each infant, in order of time.
        Rows in no array fall out of the test.
    """
    order = ["infant", *(c for c in ("time_s",) if c in recordings), "recording"]
    rows = recordings.assign(row=np.arange(len(recordings))).sort_values(order)
    infants = rows.groupby("infant", sort=True).agg(
        rows=("row", list), kind=("platform", lambda p: tuple(sorted(set(p))))
    )
    blocks = []
    for _, kind in infants.groupby("kind", sort=True):
        sizes = kind["rows"].map(len).to_numpy()
        bins = size_bins(sizes, least)
        for b in np.unique(bins):
            size = sizes[bins == b].min()
            blocks.append(np.array([own[:size] for own in kind["rows"][bins == b]]))
    return blocks


def kept_rows(blocks: list[np.ndarray]) -> np.ndarray:
    """Row numbers in any block, in their order."""
    return np.sort(np.concatenate([block.ravel() for block in blocks]))


def null_of_repeat(
    data: StudySet, plan: FoldPlan, permutations: int, seed: int, repeat: int
) -> pd.DataFrame:
    """Protocol 2's null on the folds of one repeat, every exchange refitted with the penalty fixed.

    The statistic is the estimand on the thinned recordings, of the data (permutation 0) too. Called for
    other representations of the same recordings with the same `seed`, it draws the same exchanges.

    Returns
    -------
    pandas.DataFrame, 1 + permutations rows
        As `permutation.permutation_null`; `permutation.over_repeats` of all repeats is the test's.
    """
    blocks = thinned_blocks(data.recordings)
    rows = kept_rows(blocks)
    drawn = exchange(blocks, data.y, permutations, np.random.default_rng(seed))
    labels = np.concatenate([np.asarray(data.y)[None], drawn])[:, rows]
    values = repeat_auc(data.X[rows], labels, plan.repeat(repeat).of_rows(rows), PROTOCOL_2)
    return auc_table(values.mean(axis=0)).rename_axis("permutation").reset_index()
