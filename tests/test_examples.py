"""Every example in a docstring runs, and there are some in every stage that a newcomer starts from."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "cryhear"
FILES = [p for p in PACKAGE.rglob("*.py") if re.search(r"^\s*>>> ", p.read_text("utf-8"), re.M)]
WITH_EXAMPLES = sorted(
    ".".join(("cryhear", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in FILES
)
LEAST = 25
"""Docstrings with an example, at least: fewer means that some were lost."""


@pytest.mark.parametrize("name", [*WITH_EXAMPLES, "markup", "numrole"])
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0, f"see the report above, or: python -m doctest on {name}"


def test_there_are_examples_where_a_newcomer_looks() -> None:
    looked_at = {
        "audio.preprocess", "corpus.labels", "corpus.splits", "evaluation.metrics", "params",
        "study.ledger", "study.verify",
    }  # fmt: skip
    assert {f"cryhear.{module}" for module in looked_at} <= set(WITH_EXAMPLES)
    finder = doctest.DocTestFinder()
    found = [
        t for n in WITH_EXAMPLES for t in finder.find(importlib.import_module(n)) if t.examples
    ]
    assert len(found) >= LEAST
