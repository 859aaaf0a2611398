"""Files are written whole or not at all, and vectors come back as they went in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear import files
from cryhear.errors import DamagedArtefactError, MissingArtefactError

HALF = 2**-11
"""Largest relative error of half precision."""


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = files.write_text(tmp_path / "a.txt", "old")

    def interrupted() -> None:
        with files.atomic(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.0), ("float16", HALF)])
def test_vectors_round_trip(tmp_path, dtype, tolerance):
    keys = pd.DataFrame({"recording": ["a", "b", "c"], "start_sample": [0, 1, 2]})
    vectors = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    path = files.write_vectors(tmp_path / "v.parquet", keys, vectors, dtype)
    read_keys, read = files.read_vectors(path)
    pd.testing.assert_frame_equal(read_keys, keys)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, vectors, rtol=tolerance)


def test_vectors_and_keys_must_match(tmp_path):
    with pytest.raises(ValueError, match="one row of vectors a key"):
        files.write_vectors(tmp_path / "v.parquet", pd.DataFrame({"a": [1]}), np.zeros((2, 3)))


def test_no_vector_is_a_table_too(tmp_path):
    keys = pd.DataFrame({"recording": pd.Series([], dtype=str)})
    path = files.write_vectors(tmp_path / "v.parquet", keys, np.empty((0, 4), np.float32))
    assert files.read_vectors(path)[1].shape == (0, 4)


def test_json_refuses_what_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        files.write_json(tmp_path / "a.json", {"a": float("nan")})
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        files.write_json(tmp_path / "a.json", {"a": object()})
    assert not (tmp_path / "a.json").exists()


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(MissingArtefactError, match="make report"):
        files.read_table(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("keep", [0, 3, 200])
def test_half_a_file_is_named_with_what_to_do(tmp_path, keep):
    keys = pd.DataFrame({"recording": ["a", "b", "c"], "start_sample": [0, 1, 2]})
    path = files.write_vectors(tmp_path / "v.parquet", keys, np.ones((3, 5), np.float32))
    path.write_bytes(path.read_bytes()[:keep])
    record = tmp_path / "r.json"
    record.write_bytes(b'{"a": [1, 2, \xff 3'[: keep + 1])
    for read, file in (
        (files.read_vectors, path), (files.read_table, path), (files.read_json, record)
    ):  # fmt: skip
        with pytest.raises(DamagedArtefactError, match=f"{file} is damaged .* delete it"):
            read(file)


def test_a_file_that_is_not_ours_to_read_is_not_called_damaged(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = files.write_json(tmp_path / "r.json", {})
    monkeypatch.setattr(files.json, "loads", refused)
    with pytest.raises(PermissionError):
        files.read_json(path)
