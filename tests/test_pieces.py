"""Pieces are made once, read back in order, and made again when anything they depend on changes."""

from __future__ import annotations

import ast
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_study import study

from cryhear import pieces

PACKAGE = Path(pieces.__file__).parent


def square(x: np.ndarray, log: str, i: int) -> pd.DataFrame:
    """A piece that leaves a trace."""
    with open(log, "a", encoding="utf-8") as handle:
        handle.write(f"{i}\n")
    return pd.DataFrame({"i": [i], "value": [float((x**i).sum())]})


def named(data, log: str, i: int) -> pd.DataFrame:
    """A piece of a study set that leaves a trace."""
    return square(data.X[:3, 0], log, i)


def run(folder, x, numbers, log):
    return pieces.gather(folder, square, [{"i": i} for i in numbers], n_jobs=1, x=x, log=log)


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
    run(tmp_path, np.arange(3.0), [1], log)
    assert Path(log).read_text().split() == ["1", "no"]


def test_a_piece_that_is_cut_short_is_made_again(tmp_path):
    x, log = np.arange(3.0), str(tmp_path / "log")
    whole = run(tmp_path, x, [2], log)
    (kept,) = tmp_path.rglob("output.pkl")
    kept.write_bytes(kept.read_bytes()[:20])
    pd.testing.assert_frame_equal(run(tmp_path, x, [2], log), whole)
    assert Path(log).read_text().split() == ["2", "2"]


def test_a_study_set_is_the_same_in_another_process_and_after_its_tables_were_read(tmp_path):
    # What a piece is named by: a large array sent to a process is another class there, and what was
    # read meanwhile is no part of the set.
    data = study(infants=200, dimension=1000)
    x, log = data.X, str(tmp_path / "log")
    again = replace(data, recordings=data.recordings.copy(), X=x.copy())
    again.derived.read_hashes()
    pieces.gather(tmp_path, named, [{"i": 1}, {"i": 2}], n_jobs=2, data=data, log=log)
    pieces.gather(tmp_path, named, [{"i": 2}], n_jobs=1, data=again, log=log)
    assert sorted(Path(log).read_text().split()) == ["1", "2"]
    pieces.gather(tmp_path, named, [{"i": 2}], data=data.with_features(2 * x), log=log)
    assert len(Path(log).read_text().split()) == 3


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package whose modules a test may edit."""
    copy = tmp_path / "cryhear"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(pieces, "__file__", str(copy / "pieces.py"))
    return copy


def digest_now():
    pieces.package_digest.cache_clear()
    return pieces.package_digest()


@pytest.fixture(autouse=True)
def _forget_the_digest():
    yield
    pieces.package_digest.cache_clear()


def test_a_change_of_any_module_changes_the_key(package):
    seen = {digest_now()}
    modules = sorted(package.rglob("*.py"))
    for count, module in enumerate(modules, 2):
        module.write_text(module.read_text(encoding="utf-8") + "\n_CHANGED = 1\n", encoding="utf-8")
        seen.add(digest_now())
        assert len(seen) == count, f"an edit of {module.name} leaves the key as it was"


def test_a_comment_or_a_docstring_does_not_change_the_key(package):
    before = digest_now()
    for module in sorted(package.rglob("*.py")):
        module.write_text(module.read_text(encoding="utf-8") + "\n# why\n", encoding="utf-8")
    target = package / "models" / "fitted.py"
    text = target.read_text(encoding="utf-8")
    tree = ast.parse(text)
    target.write_text(text.replace(ast.get_docstring(tree).splitlines()[0], "Other words."))
    assert digest_now() == before


def test_a_renamed_or_a_new_module_changes_the_key(package):
    before = digest_now()
    (package / "models" / "fitted.py").rename(package / "models" / "other.py")
    renamed = digest_now()
    (package / "models" / "new.py").write_text("VALUE = 1\n")
    assert len({before, renamed, digest_now()}) == 3


def test_an_edit_of_the_reduction_is_computed_anew(tmp_path, package):
    # The fault this mends: `fitted` was on no list, and the old probabilities were read back.
    log = str(tmp_path / "log.txt")
    run(tmp_path, np.arange(3.0), [1], log)
    target = package / "models" / "fitted.py"
    target.write_text(target.read_text(encoding="utf-8") + "\n_CHANGED = 1\n", encoding="utf-8")
    digest_now()
    run(tmp_path, np.arange(3.0), [1], log)
    assert len(Path(log).read_text().splitlines()) == 2
