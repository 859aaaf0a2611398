"""Pieces are made once, read back in order, and made again when anything they depend on changes."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryhear import pieces

PACKAGE = Path(pieces.__file__).parent


def square(x: np.ndarray, log: str, i: int) -> pd.DataFrame:
    """A piece that leaves a trace."""
    with open(log, "a", encoding="utf-8") as handle:
        handle.write(f"{i}\n")
    return pd.DataFrame({"i": [i], "value": [float((x**i).sum())]})


def run(folder, x, numbers, log):
    return pieces.gather(
        folder, "square", square, {"x": x, "log": log}, [{"i": i} for i in numbers], n_jobs=1
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
