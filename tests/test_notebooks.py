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
from cryhear.study import execute
from cryhear.study.chapter import CHAPTERS
from cryhear.study.ledger import merge

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PUBLISHED = sorted((ROOT / "book" / "chapters").glob("*/ledger.json"))

LONGEST_CELL = 15
LONGEST_FUNCTION = 10
MOST_STEPS = 9
"""Headings between the title and the last two: loading, and eight steps."""

RECORDERS = ("record", "number", "interval", "conclude")

FIELD = {
    "01_audit": {"pandas"},
    "02_preprocessing": {"scipy.signal.wiener", "audiomentations"},
    "03_embedding": {"huggingface_hub"},
    "04_exploration": {"sklearn.decomposition.PCA", "umap"},
    "05_classical": {"sklearn.model_selection.RandomizedSearchCV"},
    "06_mlp": {"torch"},
    "07_crossvalidation": {"sklearn.model_selection.StratifiedGroupKFold"},
    "08_evaluation": {"sklearn.metrics.roc_curve", "sklearn.metrics.confusion_matrix"},
    "09_leakage": {"sklearn.linear_model.LogisticRegression", "sklearn.metrics.roc_auc_score"},
    "10_controls": {"sklearn.linear_model.LogisticRegression"},
    "11_robustness": {"sklearn.linear_model.LogisticRegression"},
    "12_recording": {"safetensors"},
}
"""What of the field's libraries a chapter calls itself, for the step it is named after."""

AS_BEFORE: frozenset[str] = frozenset()
"""Chapters not yet written so that a reader sees the step: take a chapter out when it is."""

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
                named = node.args[0]
                keys = named.keys if isinstance(named, ast.Dict) else [named]
                found += [_pattern(key) for key in keys if key is not None]
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
    computed = ".+" in _recorded(path, *RECORDERS)
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


shown = pytest.mark.parametrize(
    "path", [p for p in NOTEBOOKS if p.stem not in AS_BEFORE], ids=lambda p: p.stem
)


@shown
def test_a_chapter_calls_the_fields_library_for_the_step_it_is_named_after(path):
    """In cells that stand open in the book."""
    used = set()
    for cell in _cells(path):
        if cell.cell_type != "code" or cell.metadata.get("tags"):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                used |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    missing = {name for name in FIELD.get(path.stem, ()) if not any(
        known == name or known.startswith(f"{name}.") for known in used)}  # fmt: skip
    assert not missing, f"imported in no open cell: {sorted(missing)}"


@shown
def test_cells_off_the_page_only_record(path):
    """Each call that stands alone is the run's, and no name made there is used on the page."""
    made, used = set(), set()
    for cell in _cells(path):
        if cell.cell_type != "code":
            continue
        tags = cell.metadata.get("tags", [])
        assert set(tags) <= {"parameters", "hide-input", "remove-input", "hide-cell", "solution"}
        off = "remove-input" in tags
        for node in ast.walk(ast.parse(cell.source)):
            if off and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                known = ast.unparse(node.value.func).split(".")[0] in ("run", "display")
                assert known or _is_given_run(node.value), ast.unparse(node)[:80]
            assert not (off and isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Try)))
            if isinstance(node, ast.Name) and off == isinstance(node.ctx, ast.Store):
                (made if off else used).add(node.id)
    own = {
        node.id
        for cell in _cells(path)
        if cell.cell_type == "code" and "remove-input" not in cell.metadata.get("tags", [])
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert not (made - own) & used, "made where no reader sees it"


@shown
def test_captions_stand_in_the_text(path):
    """Each figure once, the first of them in the chapter's first cell; pictures and words apart."""
    prose = [c.source for c in _cells(path) if c.cell_type == "markdown"]
    placed = [m for text in prose for m in execute.DIRECTIVE.finditer(text)]
    found = {m[2]: m[3] for m in placed}
    assert len(found) == len(placed), "a figure stands in one place"
    patterns = _recorded(path, "figure")
    assert not [p for p in patterns if not any(re.fullmatch(p, name) for name in found)]
    assert not [name for name in found if not any(re.fullmatch(p, name) for p in patterns)]
    assert not {name: text for name, text in found.items() if len(text) < 40}
    assert execute.DIRECTIVE.search(prose[0]), "the chapter's picture stands at its head"


@shown
def test_a_conclusion_stands_once(path):
    """A verdict that is read three times in one chapter is read once."""
    prose = "\n".join(c.source for c in _cells(path) if c.cell_type == "markdown")
    quoted = [target.split()[0] for role, target in ROLE.findall(prose) if role == "num"]
    concluded = [f"{_prefix(path)}.{p}" for p in _recorded(path, "conclude") if ".+" not in p]
    twice = [p for p in concluded if sum(bool(re.fullmatch(p, key)) for key in quoted) > 1]
    assert not twice


@shown
def test_exercises_have_their_solutions(path):
    """Two or three, each solved by a cell that runs with the chapter."""
    cells = _cells(path)
    (start,) = [i for i, c in enumerate(cells) if c.source.startswith("## Try it")]
    exercises = re.findall(r"^\d\. ", cells[start].source, re.M)
    solved = [i for i, c in enumerate(cells) if "solution" in c.metadata.get("tags", [])]
    assert 2 <= len(exercises) <= 3
    assert len(solved) == len(exercises)
    for number, i in enumerate(solved, 1):
        assert "hide-cell" in cells[i].metadata["tags"]
        assert f"Solution {number}" in cells[i - 1].source


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
    patterns = {_prefix(p): _recorded(p, *RECORDERS) for p in NOTEBOOKS}
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
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if path.stem in AS_BEFORE and len(node.args) > 3:
                given |= dict(zip(("caption", "alt"), node.args[2:4], strict=True))
                assert len(ast.unparse(given["caption"])) >= 40, ast.unparse(node)[:60]
            assert len(ast.unparse(given["alt"])) >= 15, ast.unparse(node)[:60]


@modelled
def test_a_chapter_ends_with_what_it_shows_and_what_would_change_it(path):
    prose = "\n\n".join(c.source for c in _cells(path) if c.cell_type == "markdown")
    assert prose.startswith("# ")
    headings = re.findall(r"^## (.+)$", prose, re.M)
    ends = ["What this chapter shows", "What would change it", "Try it"]
    ends = ends[:2] if path.stem in AS_BEFORE else ends
    assert headings[-len(ends) :] == ends
    shows = prose.split("## What this chapter shows")[1].split("## ")[0]
    assert len(re.findall(r"^- ", shows, re.M)) == 3
    assert 3 <= len(headings) - len(ends) <= MOST_STEPS
