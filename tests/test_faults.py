"""An embedding that is killed, or runs out of room, loses nothing it had and ends like any other."""

from __future__ import annotations

import faults
import pytest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    root = faults.corpus(folder / "cries")
    faults.embed(root, folder / "whole")
    return root, faults.content(folder / "whole")


@pytest.mark.parametrize("writes", [0, 1, 3])
def test_a_full_disk_keeps_what_was_written(undisturbed, tmp_path, writes):
    root, whole = undisturbed
    assert faults.out_of_room(lambda: faults.embed(root, tmp_path), writes)
    kept = faults.content(tmp_path)
    # The first file written says what the store is; each after it is a batch.
    assert len(kept) == faults.CLIPS * max(0, writes - 1)
    assert kept.items() <= whole.items()
    assert list(tmp_path.rglob("*.part")) == []
    faults.embed(root, tmp_path)
    assert faults.content(tmp_path) == whole


def test_a_killed_embedding_goes_on_where_it_was(undisturbed, tmp_path):
    root, whole = undisturbed
    kept = {}
    for after_s in (0.02, 0.05, 0.1, 0.2):
        faults.interrupted(lambda: faults.embed(root, tmp_path), after_s)
        now = faults.content(tmp_path)
        assert kept.items() <= now.items() <= whole.items()
        kept = now
    faults.embed(root, tmp_path)
    assert faults.content(tmp_path) == whole
