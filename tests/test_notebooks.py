"""The house's checks on every notebook: form, parameters, numbers, figures; nothing is executed."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import nbformat
import pytest
import yaml

from cryhear import params
from cryhear.study.chapter import CHAPTERS
from cryhear.study.ledger import merge

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLISHED = sorted((ROOT / "book" / "chapters").glob("*/ledger.json"))

LONGEST_CELL = 15
LONGEST_FUNCTION = 10
MOST_STEPS = 9
"""Headings between the title and the last two: loading, and eight steps."""

ROLE = re.compile(r"\{(\w+)\}`([^`]*)`")


@functools.cache
def _cells(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells  # type: ignore[no-any-return]


def _code(path: Path) -> list[str]:
    return [c.source for c in _cells(path) if c.cell_type == "code"]


def _tagged(path: Path, tag: str) -> list[str]:
    return [c.source for c in _cells(path) if tag in c.metadata.get("tags", [])]


@functools.cache
def _strings(path: Path) -> list[str]:
    """Text of a notebook: its prose, and the strings in its code (captions, conclusions)."""
    found = [c.source for c in _cells(path) if c.cell_type == "markdown"]
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def _pattern(node: ast.expr) -> str:
    """A regular expression for the text an expression gives; what is computed matches anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part) for part in node.values)
    return ".+"


@functools.cache
def _recorded(path: Path, *methods: str) -> list[str]:
    """Patterns of the names a notebook records by ``run.<method>(name, ...)``."""
    found = []
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in methods
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "run"
                and node.args
            ):
                found.append(_pattern(node.args[0]))
    return found


def _is_given_run(call: ast.Call) -> bool:
    return any(isinstance(argument, ast.Name) and argument.id == "run" for argument in call.args)


@functools.cache
def _records_unseen(path: Path) -> bool:
    """Whether names are recorded that cannot be read here: computed ones, or by the library."""
    calls = [
        node
        for source in _code(path)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    ]
    computed = ".+" in _recorded(path, "number", "interval", "conclude")
    return computed or any(_is_given_run(call) for call in calls)


def _prefix(path: Path) -> str:
    return path.stem.split("_", 1)[1]


def _matches(name: str, patterns: list[str]) -> bool:
    # A name that is wholly computed ('.+') proves nothing.
    return any(p != ".+" and re.fullmatch(p, name) for p in patterns)


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
modelled = pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if p.stem in CHAPTERS], ids=lambda p: p.stem
)


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_notebooks_are_the_chapters_of_the_book():
    """The names under notebooks/, in the library and in _toc.yml are the same."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = {
        entry["file"].removeprefix("chapters/")
        for part in toc["parts"]
        for entry in part["chapters"]
        if entry.get("file", "").startswith("chapters/")
    }
    names = {path.stem for path in NOTEBOOKS}
    assert names <= listed
    missing = set(CHAPTERS) - names
    assert not missing, f"chapters without a notebook: {sorted(missing)}"


@each
def test_no_output_is_kept(path):
    for cell in _cells(path):
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}


@each
def test_one_parameters_cell_of_literals_with_comments(path):
    (source,) = _tagged(path, "parameters")
    for node in ast.parse(source).body:
        assert isinstance(node, ast.Assign)
        ast.literal_eval(node.value)
    for line in source.splitlines():
        assert re.search(r"\S  # \S", line), f"no comment: {line}"


@modelled
def test_parameters_equal_the_model(path):
    """Names, order and values are those of cryhear.params: one place says what a default is."""
    (source,) = _tagged(path, "parameters")
    body = ast.parse(source).body
    found = {node.targets[0].id: ast.literal_eval(node.value) for node in body}
    model = params.chapter_model(path.stem)()
    assert found == model.model_dump(mode="json")
    assert list(found) == list(type(model).model_fields)


@modelled
def test_a_chapter_opens_and_closes(path):
    """The first code after the parameters opens the chapter; the last one closes it."""
    code = _code(path)
    assert f'cryhear.open_chapter("{path.stem}", globals())' in code[1]
    assert code[-1].strip().splitlines()[-1] == "run.close()"


@each
def test_cells_are_short(path):
    for source in _code(path):
        lines = [line for line in source.splitlines() if line.strip()]
        assert len(lines) <= LONGEST_CELL, f"{len(lines)} lines: {lines[0]}"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


@each
def test_notebooks_import_only_the_library_and_tables(path):
    allowed = {"cryhear", "math", "numpy", "pandas", "scipy", "IPython"}
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed


@each
def test_hidden_cells_import_configure_or_record(path):
    """No function, class or error handling is hidden; every call that stands alone records or shows.

    A library function that is handed `run` records on its behalf.
    """
    for source in _tagged(path, "hide-input"):
        for node in ast.walk(ast.parse(source)):
            assert not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Try, ast.While))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                known = ast.unparse(node.value.func).split(".")[0] in ("run", "display", "cryhear")
                assert known or _is_given_run(node.value), ast.unparse(node)[:80]


@each
def test_every_number_used_is_recorded(path):
    """A key is recorded by a notebook here, or stands in the published ledger.

    Names that a chapter computes, or that the library records for it, are only in its ledger; they
    are held to it from the moment it is published.
    """
    patterns = {_prefix(p): _recorded(p, "number", "interval", "conclude") for p in NOTEBOOKS}
    published = merge(PUBLISHED)
    ledgers = {key.split(".")[0] for key in published}
    unseen = {_prefix(p) for p in NOTEBOOKS if _records_unseen(p)} - ledgers
    missing = []
    for text in _strings(path):
        for role, target in ROLE.findall(text):
            key = target.split()[0]
            if role != "num" or "{" in key:
                continue
            prefix, _, name = key.partition(".")
            recorded = _matches(name, patterns.get(prefix, [])) or key in published
            if not recorded and prefix not in unseen:
                missing.append(key)
    assert not missing


@each
def test_every_figure_is_referred_to_and_described(path):
    """Names in order, a caption that tells of spread, an alternative text, and a {numref} in prose."""
    prose = "\n".join(c.source for c in _cells(path) if c.cell_type == "markdown")
    prefix = f"fig-{_prefix(path)}-"
    referred = {t.removeprefix(prefix) for r, t in ROLE.findall(prose) if r == "numref"}
    figures = _recorded(path, "figure")
    assert figures or path.stem not in CHAPTERS
    unmentioned = [f for f in figures if not any(re.fullmatch(f, name) for name in referred)]
    assert not unmentioned, f"figures no sentence refers to: {unmentioned}"
    own = {name for name in referred if not name.startswith("fig-")}
    assert all(_matches(name, figures) for name in own), sorted(own)


@each
def test_captions_and_alternative_texts_are_there(path):
    for source in _code(path):
        for node in ast.walk(ast.parse(source)):
            is_figure = isinstance(node, ast.Call) and ast.unparse(node.func) == "run.figure"
            if not is_figure:
                continue
            given = dict(
                zip(("name", "figure", "caption", "alt", "table"), node.args, strict=False)
            )
            given |= {keyword.arg: keyword.value for keyword in node.keywords}
            assert {"caption", "alt", "table"} <= set(given), ast.unparse(node)[:60]
            for part, least in (("caption", 40), ("alt", 15)):
                text = ast.unparse(given[part])
                assert len(text) >= least, f"{part} of {ast.unparse(given['name'])}: {text}"


@modelled
def test_a_chapter_ends_with_what_it_shows_and_what_would_change_it(path):
    prose = "\n\n".join(c.source for c in _cells(path) if c.cell_type == "markdown")
    assert prose.startswith("# ")
    headings = re.findall(r"^## (.+)$", prose, re.M)
    assert headings[-2:] == ["What this chapter shows", "What would change it"]
    shows = prose.split("## What this chapter shows")[1].split("## ")[0]
    assert len(re.findall(r"^- ", shows, re.M)) == 3
    assert 3 <= len(headings) - 2 <= MOST_STEPS
