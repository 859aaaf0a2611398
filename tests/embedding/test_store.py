"""The store: append-only, keyed by content, safe to kill and to share."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryhear.embedding.store import Store, count_clips, preprocess_key
from cryhear.errors import DamagedArtefactError

BACKEND = SimpleNamespace(name="fake", version="1/α", dimension=3, note="")


def rows(*pairs: tuple[str, int], n_clips: int = 0) -> pd.DataFrame:
    made = pd.DataFrame(list(pairs), columns=["recording", "start_sample"])
    return made.assign(n_clips=n_clips)


def vectors_of(keys: pd.DataFrame) -> np.ndarray:
    """A vector that tells its key: (first letter, start, 1)."""
    first = keys["recording"].map(lambda name: ord(name[0]))
    return np.stack([first, keys["start_sample"], np.ones(len(keys))], axis=1).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path, BACKEND, "abc")


def test_an_empty_store(store):
    keys, vectors = store.read()
    assert list(keys) == ["recording", "start_sample"]
    assert vectors.shape == (0, 3)
    assert store.complete() == set()
    assert not store.folder.exists()  # reading makes nothing


def test_rows_come_back_sorted_once_each(store):
    for keys in (rows(("b", 0), ("a", 28_800)), rows(("a", 0), ("b", 0))):
        store.add(keys, vectors_of(keys))
    keys, vectors = store.read()
    assert list(keys.itertuples(index=False, name=None)) == [("a", 0), ("a", 28_800), ("b", 0)]
    np.testing.assert_array_equal(vectors, vectors_of(keys))


def test_clips_are_counted_over_all_stores_below_a_folder(store, tmp_path):
    assert count_clips(tmp_path) == 0
    other = Store(tmp_path, BACKEND, "def")
    for each, keys in (
        (store, rows(("a", 0), ("b", 0))),
        (store, rows(("a", 0))),
        (other, rows(("a", 0))),
    ):
        each.add(keys, vectors_of(keys))
    assert count_clips(tmp_path) == 3
    next(other.folder.glob("part-*.parquet")).write_bytes(b"cut short")
    assert count_clips(tmp_path) == 2


def test_a_recording_is_complete_with_its_last_clip(store):
    keys = rows(("a", 0), ("a", 10), ("b", 0), n_clips=2)
    store.add(keys, vectors_of(keys))
    assert store.complete() == {"a"}
    store.add(rows(("b", 5), n_clips=2), np.ones((1, 3), np.float32))
    assert store.complete() == {"a", "b"}


def test_a_clip_added_again_is_kept_once_with_its_fullest_count(store):
    for count, value in ((0, 1.0), (2, 2.0), (0, 3.0)):
        store.add(rows(("a", 0), n_clips=count), np.full((1, 3), value, np.float32))
    store.add(rows(("b", 0)), np.zeros((1, 3), np.float32))
    assert store.keys()["n_clips"].tolist() == [2, 0]
    assert store.read()[1].tolist() == [[2.0] * 3, [0.0] * 3]


def test_half_written_files_are_ignored(store):
    keys = rows(("a", 0))
    store.add(keys, vectors_of(keys))
    (store.folder / ".part-0.parquet.xyz.part").write_bytes(b"PAR1 half")
    assert len(store.read()[0]) == 1


def test_a_damaged_part_is_named(store):
    keys = rows(("a", 0))
    store.add(keys, vectors_of(keys))
    part = store.parts()[0]
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DamagedArtefactError, match=part.name):
        store.read()


def test_backends_and_settings_have_their_own_folders(tmp_path):
    other = SimpleNamespace(name="fake", version="2", dimension=3)
    folders = {Store(tmp_path, b, k).folder for b in (BACKEND, other) for k in ("abc", "abd")}
    assert len(folders) == 4
    assert preprocess_key({"rms": True}) != preprocess_key({"rms": False})
    assert preprocess_key({"a": 1, "b": 2}) == preprocess_key({"b": 2, "a": 1})
    assert preprocess_key({"rms": True}, tag="noise") != preprocess_key({"rms": True})


def test_two_processes_may_add_at_once(tmp_path):
    code = textwrap.dedent("""
        import sys
        from types import SimpleNamespace
        import numpy as np, pandas as pd
        from cryhear.embedding.store import Store
        backend = SimpleNamespace(name="fake", version="1", dimension=3, note="")
        store = Store(sys.argv[1], backend, "abc")
        for start in range(20):
            keys = pd.DataFrame({"recording": [sys.argv[2], "shared"], "start_sample": start})
            store.add(keys, np.full((2, 3), start, np.float32))
            if start % 7 == 6:
                assert start < len(store.read()[0])
    """)
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"]
    assert [process.wait(400) for process in running] == [0, 0]
    keys, vectors = Store(
        tmp_path, SimpleNamespace(name="fake", version="1", dimension=3), "abc"
    ).read()
    assert keys["recording"].value_counts().to_dict() == {"a": 20, "b": 20, "shared": 20}
    np.testing.assert_array_equal(vectors[:, 0], keys["start_sample"])
