"""Pairs of an installation's recordings: gaps, contradictions, company."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import ceiling
from cryhear.corpus import same_infant_pairs


@pytest.fixture
def recordings() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "instance": ["a", "a", "a", "b", "b", "c"],
            "time_s": [0.0, 30.0, 4000.0, 0.0, 200.0, 0.0],
            "label": ["pain", "hunger", "pain", "hunger", "hunger", "pain"],
        }
    )


def test_pairs_stay_within_an_instance(recordings):
    found = same_infant_pairs.pairs(recordings)
    assert found["instance"].tolist() == ["a", "a", "a", "b"]
    assert found["gap_s"].tolist() == [30.0, 4000.0, 3970.0, 200.0]
    assert found["contradict"].tolist() == [True, False, True, False]


def test_pairs_agree_with_the_ceiling(recordings):
    near = same_infant_pairs.pairs(recordings)
    near = near[near["gap_s"] <= 300]
    found = same_infant_pairs.contradiction(near, seed=0)
    assert (found["contradicting"], found["n"]) == ceiling.pair_disagreement(recordings, 300.0)
    assert found["low"] <= found["share"] <= found["high"]


def test_unknown_times_are_in_no_pair(recordings):
    unknown = recordings.assign(time_s=np.nan)
    assert same_infant_pairs.pairs(unknown).empty
    nothing = same_infant_pairs.contradiction(same_infant_pairs.pairs(unknown), seed=0)
    assert nothing["n"] == 0
    assert np.isnan(nothing["share"])
    assert not same_infant_pairs.in_company(unknown, 300.0).any()


def test_follow_up_names_its_gaps_and_keeps_every_pair(recordings):
    table = same_infant_pairs.follow_up(
        same_infant_pairs.pairs(recordings), [1.0, 5.0, 30.0, 60.0], seed=1
    )
    assert table["gap"].tolist() == ["up to 1 min", "1 to 5 min", "over 1 h"]
    assert table["n"].sum() == 4


def test_recordings_that_were_made_once_leave_gaps_without_pairs(recordings):
    once = recordings.drop_duplicates("instance")
    table = same_infant_pairs.follow_up(same_infant_pairs.pairs(once), [1.0, 60.0], seed=1)
    assert table["gap"].tolist() == ["up to 1 min", "1 min to 1 h", "over 1 h"]
    assert table["n"].tolist() == [0, 0, 0]
    assert table["share"].isna().all()


def test_the_interval_is_wider_than_pairs_alone_would_give():
    """Forty pairs of one instance are one observation, not forty."""
    block = pd.DataFrame({"instance": np.repeat(["a", "b", "c", "d"], 40), "contradict": False})
    block.loc[block["instance"] == "a", "contradict"] = True
    found = same_infant_pairs.contradiction(block, seed=0)
    low, high = ceiling.wilson(40, 160)
    assert found["high"] - found["low"] > 2 * (high - low)


def test_company_is_by_instance_and_time(recordings):
    assert same_infant_pairs.in_company(recordings, 60.0).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert same_infant_pairs.in_company(recordings, 300.0).tolist() == [
        True,
        True,
        False,
        True,
        True,
        False,
    ]
