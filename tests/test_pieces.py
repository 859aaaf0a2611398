"""Pieces are made once, read back in order, and made again when anything they depend on changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear import pieces


def square(x: np.ndarray, log: str, i: int) -> pd.DataFrame:
    """A piece that leaves a trace."""
    with open(log, "a", encoding="utf-8") as handle:
        handle.write(f"{i}\n")
    return pd.DataFrame({"i": [i], "value": [float((x**i).sum())]})


def run(folder, x, numbers, log):
    return pieces.gather(
        folder, "square", square, {"x": x, "log": log}, [{"i": i} for i in numbers], (), n_jobs=1
    )


def test_pieces_are_made_once_and_come_in_order(tmp_path):
    x, log = np.arange(3.0), str(tmp_path / "log")
    first = run(tmp_path, x, [2, 1], log)
    again = run(tmp_path, x, [1, 2, 3], log)
    assert first["i"].tolist() == [2, 1]
    assert again["i"].tolist() == [1, 2, 3]
    assert again["value"].tolist() == [3.0, 5.0, 9.0]
    assert (tmp_path / "log").read_text().split() == ["2", "1", "3"]
    changed = run(tmp_path, x + 1, [1], log)
    assert changed["value"].tolist() == [6.0]


def test_a_piece_that_fails_leaves_the_finished_ones(tmp_path):
    log = str(tmp_path / "log")
    with pytest.raises(TypeError):
        run(tmp_path, np.arange(3.0), [1, "no"], log)
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_fingerprints_tell_values_apart_and_equal_copies_not():
    table = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]})
    values = [1, 1.0, "1", None, [1], np.arange(2), np.arange(2.0), table, table.assign(b=[1, 3])]
    assert len({pieces.fingerprint(v) for v in values}) == len(values)
    assert pieces.fingerprint(table) == pieces.fingerprint(table.copy())
    assert pieces.fingerprint({"a": 1, "b": 2}) == pieces.fingerprint({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="object"):
        pieces.fingerprint(object())


def test_code_digest_ignores_documentation(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "__file__", str(tmp_path / "pieces.py"))
    target = tmp_path / "toy.py"
    target.write_text('"""One."""\n\n\ndef f():\n    """Two."""\n    return 1\n')
    first = pieces.code_digest("toy")
    target.write_text('"""Other."""\n\n\ndef f():\n    """Words."""\n    # why\n    return 1\n')
    assert pieces.code_digest("toy") == first
    target.write_text('"""One."""\n\n\ndef f():\n    """Two."""\n    return 2\n')
    assert pieces.code_digest("toy") != first
