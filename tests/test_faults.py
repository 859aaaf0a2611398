"""An embedding that is killed, or runs out of room, loses nothing it had and ends like any other."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import faults
import numpy as np
import pytest

from cryhear.files import sha256_of

pytestmark = pytest.mark.slow


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
    assert len(kept) == faults.CLIPS * writes  # each file is a batch
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


@pytest.mark.parametrize("size", [20, 700, 3000])
def test_a_file_cut_short_within_a_write_is_never_read(undisturbed, tmp_path, size):
    root, whole = undisturbed
    assert faults.cut_short(lambda: faults.embed(root, tmp_path), size)
    assert faults.content(tmp_path) == {}
    assert list(tmp_path.rglob("*.part")) == []
    faults.embed(root, tmp_path)
    assert faults.content(tmp_path) == whole


def test_two_embeddings_in_one_folder_make_one_store(undisturbed, tmp_path):
    root, whole = undisturbed
    children = [faults.forked(lambda: faults.embed(root, tmp_path)) for _ in range(2)]
    assert [faults.ended(child) for child in children] == [0, 0]
    assert faults.content(tmp_path) == whole


@pytest.fixture
def open_folder():
    """A folder that a user without rights may enter, as pytest's own are closed."""
    folder = Path(tempfile.mkdtemp(prefix="cryhear-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written_is_left_as_it_is(open_folder):
    root = faults.corpus(open_folder / "cries")
    (open_folder / "store").mkdir()
    assert faults.barred(lambda: faults.embed(root, open_folder / "store"), open_folder / "store")
    assert list((open_folder / "store").iterdir()) == []
    assert os.access(open_folder / "store", os.W_OK)


@pytest.mark.parametrize("name", ["bundle", "verify"])
def test_what_disturbs_a_bundle_or_a_check_loses_nothing(open_folder, name):
    subject = faults.SUBJECTS[name](open_folder)
    counts = faults.attack(subject, open_folder, np.random.default_rng(0), kills=4)
    assert counts["killed"] >= 4
    assert [counts[what] for what in faults.FAILURES] == [0, 0, 0]


def test_an_attack_sees_what_is_lost_and_what_differs(open_folder):
    """Work that is not written whole fails each count that is held against it."""

    def careless(folder):
        for i in range(12):
            (folder / "last").unlink(missing_ok=True)
            with open(folder / f"{i}.txt", "w") as handle:
                for _ in range(100):
                    handle.write("x" * 50)
                    handle.flush()
            (folder / "last").write_text(str(i))

    def state(folder):
        return {path.name: sha256_of(path) for path in folder.iterdir()}

    subject = faults.Subject.of(open_folder / "whole", careless, state)
    counts = faults.attack(subject, open_folder, np.random.default_rng(0), kills=5)
    assert counts["changed"] > 0
