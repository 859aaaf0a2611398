"""Protocol 2's exchange: bins by size, thinning without labels, and an exact p."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryhear.analysis.permutation import exchange
from cryhear.analysis.thinned_exchange import kept_rows, size_bins, thinned_blocks


def corpus(sizes_by_platform: dict[str, list[int]]) -> pd.DataFrame:
    rows = [
        {"recording": f"{platform}{i}-{k}", "infant": f"{platform}{i}", "platform": platform,
         "time_s": 100.0 - k}
        for platform, sizes in sizes_by_platform.items()
        for i, size in enumerate(sizes)
        for k in range(size)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def every_cut(values, counts, least):
    """All ways to cut rising sizes into bins of enough infants, with what each loses."""
    m = len(values)
    for chosen in itertools.product([False, True], repeat=m - 1):
        edges = [0, *(i + 1 for i, cut in enumerate(chosen) if cut), m]
        bins = list(itertools.pairwise(edges))
        if len(bins) == 1 or all(counts[i:j].sum() >= least for i, j in bins):
            yield sum((counts[i:j] * (values[i:j] - values[i])).sum() for i, j in bins)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 6))
def test_no_cut_of_enough_infants_loses_fewer_recordings(sizes, least):
    sizes = np.array(sizes)
    bins = size_bins(sizes, least)
    loss = sum((sizes[bins == b] - sizes[bins == b].min()).sum() for b in set(bins))
    values, counts = np.unique(sizes, return_counts=True)
    assert loss == min(every_cut(values, counts, least))
    held = np.bincount(bins)
    assert (held >= least).all() or len(held) == 1
    for size in set(sizes):
        assert len(set(bins[sizes == size])) == 1
    assert (np.diff(bins[np.argsort(sizes, kind="stable")]) >= 0).all()


def test_infants_keep_their_earliest_recordings_and_stay_on_their_platform():
    recordings = corpus({"ios": [1, 1, 3, 3, 5], "android": [2, 2]})
    blocks = thinned_blocks(recordings, least=2)
    platforms = [set(recordings["platform"].to_numpy()[block.ravel()]) for block in blocks]
    assert all(len(found) == 1 for found in platforms)
    (largest,) = [b for b in blocks if (recordings["infant"].to_numpy()[b] == "ios4").any()]
    own = largest[(recordings["infant"].to_numpy()[largest] == "ios4").all(axis=1)][0]
    times = recordings["time_s"].to_numpy()
    everything = times[recordings["infant"] == "ios4"]
    assert times[own].tolist() == sorted(everything)[: len(own)]
    assert len(kept_rows(blocks)) == sum(block.size for block in blocks) < len(recordings)


def test_an_infant_of_two_platforms_is_exchanged_with_its_like_only():
    recordings = corpus({"ios": [2, 2, 2], "android": [2, 2]})
    recordings.loc[recordings["recording"].isin(["ios0-0", "ios1-0"]), "platform"] = "android"
    blocks = thinned_blocks(recordings, least=1)
    together = [set(recordings["infant"].to_numpy()[block.ravel()]) for block in blocks]
    assert {"ios0", "ios1"} in together


def test_every_arrangement_is_drawn_equally_often():
    recordings = corpus({"ios": [2, 2, 2]})
    y = np.array([0, 0, 1, 1, 2, 2])
    drawn = exchange(thinned_blocks(recordings, least=3), y, 6000, np.random.default_rng(0))
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(found) == 6
    assert counts.min() > 850  # 1,000 expected each; five standard deviations are 144
    assert counts.max() < 1150


def planted(recordings: pd.DataFrame) -> np.ndarray:
    """A score that knows each infant (and the largest one best), as embeddings do."""
    infants = recordings["infant"].astype("category").cat.codes.to_numpy()
    return np.sin(7.0 * infants) + 0.01 * np.arange(len(recordings))


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    pairs = score[positive][:, None] - score[~positive][None]
    return float((pairs > 0).mean() + 0.5 * (pairs == 0).mean())


def test_p_is_exact_over_all_exchanges_of_a_small_corpus():
    """Every arrangement is once the truth: the share of them with p at most a is at most a."""
    recordings = corpus({"ios": [1, 1, 1, 3, 2], "android": [4, 2, 2]})
    blocks = thinned_blocks(recordings, least=3)
    rows, score = kept_rows(blocks), planted(recordings)
    y = (np.arange(len(recordings)) % 3 == 0).astype(int)
    y[recordings["infant"] == "android0"] = 1  # the largest infant has one class only
    arrangements = []
    for orders in itertools.product(*(itertools.permutations(range(len(b))) for b in blocks)):
        moved = y.copy()
        for block, order in zip(blocks, orders, strict=True):
            moved[block] = y[block][list(order)]
        arrangements.append(moved[rows])
    values = np.array([auc(score[rows], labels == 1) for labels in arrangements])
    p = np.array([(values >= value).mean() for value in values])
    for level in np.unique(p):
        assert (p <= level).mean() <= level + 1e-12
    # The group is the same whichever arrangement is the data: drawn exchanges centre where it does.
    for start in (arrangements[0], arrangements[-1]):
        whole = y.copy()
        whole[rows] = start
        drawn = exchange(blocks, whole, 3000, np.random.default_rng(1))[:, rows]
        means = np.mean([auc(score[rows], labels == 1) for labels in drawn])
        assert means == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(3000))


def test_labels_do_not_choose_what_falls_out():
    recordings = corpus({"ios": [1, 4, 2, 2, 7, 3, 3]})
    first = kept_rows(thinned_blocks(recordings))
    second = kept_rows(thinned_blocks(recordings.assign(label="pain", y=0)))
    assert first.tolist() == second.tolist()
