"""Copies of recordings under other names."""

from __future__ import annotations

import pandas as pd
import pytest

from cryhear.corpus.relabelled import copies, set_of
from cryhear.errors import NotAskedError


@pytest.fixture
def folder(tmp_path):
    rows = [("one", "belly pain", "a"), ("one", "hungry", "a"), ("two", "cold_hot", "a"),
            ("one", "discomfort", "b"), ("one", "tired", "z")]  # fmt: skip
    pd.DataFrame(rows, columns=["collection", "folder", "sha256"]).to_parquet(
        tmp_path / "copies.parquet"
    )
    return tmp_path


def recordings(**of_sound):
    rows = [{"sha256": s, "reason": r, "label": label, "folder": "", "infant": s}
            for s, (r, label) in of_sound.items()]  # fmt: skip
    return pd.DataFrame(rows)


def test_each_copy_has_its_folders_class_and_says_whether_it_contradicts_the_donor(folder):
    found = copies(
        recordings(a=("hu", "hunger"), b=("ch", "neurological"), c=("hu", "hunger")), folder
    )
    by = found.set_index(["sha256", "folder"])
    assert len(found) == 4
    assert by["label"].to_dict() == {
        ("a", "belly pain"): "pain", ("a", "hungry"): "hunger", ("a", "cold_hot"): "neurological",
        ("b", "discomfort"): "neurological",
    }  # fmt: skip
    assert by["contradicts"].to_dict() == {
        ("a", "belly pain"): True, ("a", "hungry"): False, ("a", "cold_hot"): True,
        ("b", "discomfort"): False,
    }  # fmt: skip
    assert by["tag"].loc["a"].eq("hunger").all()


def test_recordings_without_a_copy_end_the_question(folder):
    with pytest.raises(NotAskedError, match="of this study's 1 recordings none is there"):
        set_of(recordings(c=("hu", "hunger")).assign(set="own"), folder)
    both = recordings(a=("hu", "hunger"), c=("hu", "hunger")).assign(set=["cleaned", "own"])
    assert set_of(both, folder) == "cleaned"


def test_the_published_counts_are_those_of_the_inventory(root):
    """Counts that were taken before, from the inventory itself."""
    manifest = pd.read_parquet(root / "data" / "donateacry" / "manifest.parquet")
    cleaned = manifest[manifest["set"] == "cleaned"].assign(label="")
    found = copies(cleaned, root / "data" / "relabelled").groupby("collection")
    assert found.size().to_dict() == {"BABY CRY": 677, "Baby Crying Sounds": 913, "cry": 916}
    assert found["contradicts"].sum().to_dict() == {
        "BABY CRY": 245, "Baby Crying Sounds": 445, "cry": 445,
    }  # fmt: skip
    files = pd.read_csv(root / "data" / "relabelled" / "folders.csv").groupby("collection")["files"]
    assert files.sum().to_dict() == {"BABY CRY": 895, "Baby Crying Sounds": 1313, "cry": 1378}
