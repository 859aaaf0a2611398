"""Pairs of an installation's recordings: gaps, contradictions, company."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from cryhear.corpus import same_infant_pairs

PAIRS = pd.DataFrame(
    {
        "instance": ["a", "a", "a", "b"],
        "gap_s": [30.0, 4000.0, 3970.0, 200.0],
        "contradict": [True, False, True, False],
    }
)


def test_a_share_has_its_count_and_interval():
    found = same_infant_pairs.contradiction(PAIRS[PAIRS["gap_s"] <= 300], seed=0)
    assert (found["contradicting"], found["n"], found["share"]) == (1, 2, 0.5)
    assert found["low"] <= found["share"] <= found["high"]


def test_no_pair_is_no_share():
    nothing = same_infant_pairs.contradiction(PAIRS.iloc[:0], seed=0)
    assert nothing["n"] == 0
    assert np.isnan(nothing["share"])


def test_follow_up_names_its_gaps_and_keeps_every_pair():
    table = same_infant_pairs.follow_up(PAIRS, [1.0, 5.0, 30.0, 60.0], seed=1)
    assert table["gap"].tolist() == ["up to 1 min", "1 to 5 min", "over 1 h"]
    assert table["n"].sum() == 4


def test_recordings_that_were_made_once_leave_gaps_without_pairs():
    table = same_infant_pairs.follow_up(PAIRS.iloc[:0], [1.0, 60.0], seed=1)
    assert table["gap"].tolist() == ["up to 1 min", "1 min to 1 h", "over 1 h"]
    assert table["n"].tolist() == [0, 0, 0]
    assert table["share"].isna().all()


def test_the_interval_is_wider_than_pairs_alone_would_give():
    """Forty pairs of one instance are one observation, not forty."""
    block = pd.DataFrame({"instance": np.repeat(["a", "b", "c", "d"], 40), "contradict": False})
    block.loc[block["instance"] == "a", "contradict"] = True
    found = same_infant_pairs.contradiction(block, seed=0)
    low, high = binomtest(40, 160).proportion_ci(method="wilson")
    assert found["high"] - found["low"] > 2 * (high - low)
