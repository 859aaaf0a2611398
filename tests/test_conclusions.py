"""Every conclusion the book can print: its numbers are its predicate's, and it can come out either way.

A conclusion is one of two sentences, chosen by a predicate (`cryhear.study.ledger.Ledger.conclude`). These
tests walk all of them: in the source of the notebooks and of the library, where nothing needs to run;
in the published ledgers; and, under ``-m long``, in the book of a synthetic study in which the classes
do differ (``params/planted.yaml``), which prints the sentences that the published run does not.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
import whole_study

from cryhear.errors import LedgerError
from cryhear.study.ledger import Ledger, merge, quoted

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LIBRARY = sorted((ROOT / "cryhear").rglob("*.py"))
PUBLISHED = sorted((ROOT / "book" / "chapters").glob("*/ledger.json"))
HOLE = "__"
"""Stands in a text for what is computed into it."""


class Conclusion(NamedTuple):
    where: str
    key: str
    predicate: ast.expr
    sentences: tuple[str, str]
    named: tuple[str, ...]


def _text(node: ast.AST) -> str:
    """The literal text of an expression, with a hole for each part that is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return f"{_text(node.body)} {_text(node.orelse)}"
    return HOLE


def _names(call: ast.Call, prefix: str) -> tuple[str, ...]:
    """Keys under ``of`` and ``beside``, in full; computed parts are holes."""
    lists = [k.value for k in call.keywords if k.arg in ("of", "beside")]
    items = [
        item
        for one in lists
        for item in (one.elts if isinstance(one, ast.List) else [one.elt])  # type: ignore[attr-defined]
    ]
    texts = [_text(item) for item in items]
    return tuple(text if "." in text else f"{prefix}.{text}" for text in texts)


def _calls(source: str, where: str, prefix: str) -> list[Conclusion]:
    return [
        Conclusion(
            where,
            _text(node.args[0]),
            node.args[1],
            (_text(node.args[2]), _text(node.args[3])),
            _names(node, prefix),
        )
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "run.conclude"
        and len(node.args) == 4
    ]


@functools.cache
def written() -> tuple[Conclusion, ...]:
    """Every conclusion in the source of the notebooks and the library."""
    found = []
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                found += _calls(cell.source, path.stem, path.stem.split("_", 1)[1])
    for path in LIBRARY:
        source = path.read_text(encoding="utf-8")
        if "run.conclude(" in source:
            found += _calls(source, path.stem, HOLE)  # its keys are of the chapter that runs
    return tuple(found)


def _covers(name: str, key: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in name.split(HOLE))
    return re.fullmatch(pattern, key) is not None


every = pytest.mark.parametrize("conclusion", written(), ids=lambda c: f"{c.where}-{c.key}")


def test_the_walk_finds_the_conclusions_of_every_chapter() -> None:
    assert {c.where for c in written()} >= {path.stem for path in NOTEBOOKS}
    assert len(written()) > 55


@every
def test_a_conclusion_has_a_predicate_and_two_sentences(conclusion: Conclusion) -> None:
    assert not isinstance(conclusion.predicate, ast.Constant)
    assert all(text.strip() for text in conclusion.sentences)
    assert conclusion.sentences[0] != conclusion.sentences[1]


@every
def test_a_conclusion_quotes_only_numbers_it_names(conclusion: Conclusion) -> None:
    stray = [
        key
        for text in conclusion.sentences
        for key in quoted(text)
        if not any(_covers(name, key) for name in conclusion.named)
    ]
    assert not stray, f"put them under of= or beside=: {stray}"


def test_a_ledger_refuses_a_sentence_with_a_number_that_chose_nothing() -> None:
    ledger = Ledger("09_leakage")
    ledger.number("p", 0.4, "probability")
    with pytest.raises(LedgerError, match=r"leakage\.conclusion quotes leakage\.auc"):
        ledger.conclude(
            "conclusion", False, "p {num}`leakage.p`.", "{num}`leakage.auc ci`", of=["p"]
        )
    with pytest.raises(LedgerError, match="same of both"):
        ledger.conclude("conclusion", False, "It is so.", "It is so.")
    said = ledger.conclude(
        "conclusion", False, "p {num}`leakage.p`.", "{num}`audit.n`", ["p"], beside=["audit.n"]
    )
    entry = ledger.numbers["conclusion"]
    assert (said, entry["holds"], entry["of"]) == ("{num}`audit.n`", False, ["leakage.p"])
    assert entry["otherwise"] == "p {num}`leakage.p`."


def concluded(numbers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {key: entry for key, entry in numbers.items() if "holds" in entry}


def test_published_conclusions_quote_numbers_that_were_found() -> None:
    numbers = merge(PUBLISHED)
    missing = {
        f"{key} quotes {name}"
        for key, entry in concluded(numbers).items()
        for name in quoted(entry["value"])
        if name not in numbers
    }
    assert not missing


FOUND = {
    "leakage.conclusion_primary": True,
    "leakage.conclusion_metadata": True,
    "leakage.conclusion_others": True,
    "leakage.conclusion_excluded": False,
    "leakage.conclusion_inflation": False,
    "controls.conclusion_increment": True,
    "controls.conclusion_curve": False,
    "exploration.conclusion_class": True,
    "embedding.conclusion_barcodes": True,
    "crossvalidation.conclusion_infants": True,
    "recording.conclusion_worth": True,
    "recording.conclusion_calibrated": True,
}
"""What is concluded where classes plainly differ; the published run concludes the opposite of each."""


def test_what_the_planted_study_should_find_is_still_concluded() -> None:
    here = {(c.where.split("_", 1)[-1], c.key) for c in written()}
    assert {tuple(key.split(".")) for key in FOUND} <= here


def test_the_published_run_concludes_the_opposite_of_the_planted_study() -> None:
    numbers = merge(PUBLISHED)
    same = [key for key, holds in FOUND.items() if numbers[key]["holds"] == holds]
    assert not same


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_study_with_a_planted_effect_prints_the_other_sentences(tmp_path: Path) -> None:
    project = whole_study.make(tmp_path)
    made = whole_study.cryhear(project, "report", "params/planted.yaml")
    assert made.returncode == 0, made.stdout + made.stderr
    numbers = merge(sorted((project / "results" / "planted").glob("*/ledger.json")))
    assert {key: numbers[key]["holds"] for key in FOUND} == FOUND
    for key, entry in concluded(numbers).items():
        assert entry["value"] != entry["otherwise"], key
        assert set(quoted(entry["value"])) <= set(numbers), key
    cover = (project / "_build" / "html" / "intro.html").read_text(encoding="utf-8")
    cover = " ".join(re.sub(r"<[^>]+>", "", cover).split())
    assert "the model ranks the labels better than chance" in cover
    assert "not found to rank the labels" not in cover
    assert "leave at least" not in cover  # no altered version was embedded, so none is spoken of
