"""Run one chapter through Papermill, and clean an executed chapter for the book.

A run's own notebook keeps everything (``results/<study>/<chapter>/notebook.ipynb``); the cleaned copy
is the same from run to run: no times, paths, environment, object addresses or standard error, and
each figure is a numbered directive with caption and alternative text.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from cryhear import params
from cryhear.errors import NotAskedError, ParameterError, StudyError
from cryhear.files import existing, read_json, sha256_of, write_json, write_text
from cryhear.study.ledger import Ledger

KEPT_TAGS = ("parameters", "hide-input", "hide-cell", "hide-output", "remove-cell", "remove-input",
             "remove-output", "full-width", "margin", "solution")  # fmt: skip
STUDY = "study"
"""The parameter that names the run's folder: a place, not a setting, so a page does not show it."""


REFUSALS = ("NotAskedError", "SplitError")
"""Errors that say of a chapter's recordings what a reader has to know, and are no fault of the study."""

KERNEL_START_S = 600
"""How long a kernel may take to start: on a busy machine a minute, Papermill's own limit, is too short."""


def run_chapter(params_path: str | Path, chapter: str) -> Path:
    """Execute a chapter into its folder of the run.

    Parameters
    ----------
    params_path : path-like
        The run's ``params.json``.
    chapter : str
        ``04_exploration``.

    Returns
    -------
    pathlib.Path
        The chapter's folder, which now holds ``notebook.ipynb``, ``ledger.json``, tables, figures
        and, last, ``artefacts.json`` with the SHA-256 of each.

    Raises
    ------
    StudyError
        If a cell fails: the message gives the chapter, the cell and what it said. A question that
        the study's recordings do not allow is no failure: the chapter's page then says why.
    """
    study = params.load(params_path)
    source = existing(Path("notebooks") / f"{chapter}.ipynb")
    chosen = study.chapter_parameters(chapter)
    _check_injected(source, chosen)
    folder = study.folder / chapter
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        _execute(source, folder / "notebook.ipynb", chosen, chapter)
    except NotAskedError as refused:
        _write_refusal(source, folder, chapter, chosen, str(refused))
    if not (folder / "ledger.json").exists():
        raise StudyError(
            f"{chapter} ran to its end and recorded nothing; its last cell must be `run.close()`"
        )
    _caption(folder)
    _stamp(folder / "notebook.ipynb", stamps(chapter, chosen))
    write_json(folder / "artefacts.json", _hashes(folder))
    return folder


DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\{figure\} +([\w-]+) *\n(.*?)^\1 *$", re.M | re.S)
"""A figure of the chapter where a text shows it: its bare name, and its caption."""


def _caption(folder: Path) -> None:
    """Put the captions that stand in a chapter's text into its ledger.

    Raises
    ------
    StudyError
        If a text shows a figure that the chapter did not record, or a figure has no caption.
    """
    ledger = read_json(folder / "ledger.json")
    cells = nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    shown = [(name, " ".join(text.split())) for _, name, text in DIRECTIVE.findall(prose)]
    figures = ledger["figures"]
    if unknown := [name for name, _ in shown if name not in figures]:
        raise StudyError(
            f"{folder.name}: the text shows a figure {unknown[0]!r} that no cell records; expected one "
            f"of {', '.join(figures) or 'none, as there are none'}"
        )
    for name, text in shown:
        figures[name]["caption"] = text
    if bare := [name for name, figure in figures.items() if not figure.get("caption")]:
        raise StudyError(
            f"{folder.name}: the figure {bare[0]!r} has no caption; expected a directive "
            f"```{{figure}} {bare[0]} with the caption in the text"
        )
    write_json(folder / "ledger.json", ledger)


def _write_refusal(
    source: Path, folder: Path, chapter: str, chosen: dict[str, Any], why: str
) -> None:
    """A chapter that cannot be asked, as its page and ledger: its title, and why."""
    shutil.rmtree(folder)
    title = nbformat.read(source, as_version=4).cells[0].source.splitlines()[0]
    text = f"{title}\n\n**This chapter's question cannot be asked of this study.** {why}"
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    write_text(folder / "notebook.ipynb", nbformat.writes(page))
    plain = {name: value for name, value in chosen.items() if name != STUDY}
    ledger = Ledger(chapter, parameters=plain)
    write_json(folder / "ledger.json", {**ledger.as_dict(), "refused": why})


def stamps(chapter: str, chosen: dict[str, Any]) -> dict[str, str]:
    """What an executed chapter is the result of: hashes of its source, parameters and environment."""
    plain = {name: value for name, value in chosen.items() if name != STUDY}
    lock = Path("requirements.lock")
    return {
        "source": source_hash(Path("notebooks") / f"{chapter}.ipynb"),
        "parameters": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest(),
        "lock": sha256_of(lock) if lock.exists() else "",
    }


def source_hash(notebook: Path) -> str:
    """SHA-256 over a notebook's cells, so that an editor's metadata does not make a page stale."""
    content = nbformat.read(existing(notebook), as_version=4)
    cells = [[c.cell_type, c.source, sorted(c.metadata.get("tags", []))] for c in content.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def _execute(source: Path, out: Path, chosen: dict[str, Any], chapter: str) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            str(source),
            str(out),
            parameters=chosen,
            kernel_name="python3",
            start_timeout=KERNEL_START_S,
            progress_bar=False,
            cwd=".",
        )
    except PapermillExecutionError as error:
        if error.ename in REFUSALS:
            raise NotAskedError(str(error.evalue)) from None
        raise StudyError(_failure(source, chapter, error)) from None
    except Exception as error:
        # A kernel that dies (out of memory, a crash in C) raises from several layers.
        raise StudyError(f"{chapter}: the notebook stopped outside its cells: {error}") from error


def _failure(source: Path, chapter: str, error: Any) -> str:
    cells = nbformat.read(source, as_version=4).cells
    number = next(
        (i for i, c in enumerate(cells, 1) if c.source == error.source), error.cell_index + 1
    )
    headings = [
        m
        for c in cells[:number]
        for m in re.findall(r"^#+ +(.+)$", c.source, re.M)
        if c.cell_type == "markdown"
    ]
    under = f", under '{headings[-1]}'" if headings else ""
    return f"Chapter {chapter} stopped at cell {number}{under}.\n{error.ename}: {error.evalue}"


def _check_injected(source: Path, chosen: dict[str, Any]) -> None:
    known = set(parameter_cell(source))
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise ParameterError(
            f"{source} has no parameter {', '.join(map(repr, unknown))}; its parameters cell holds "
            f"{', '.join(sorted(known))}. Add it there, or take it out of cryhear.params."
        )


def parameter_cell(source: Path) -> dict[str, Any]:
    """Names and literal values of a notebook's cell tagged ``parameters``."""
    cells = [
        c
        for c in nbformat.read(source, as_version=4).cells
        if "parameters" in c.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise StudyError(
            f"{source} has {len(cells)} cells tagged 'parameters'; expected exactly one"
        )
    return _assignments(cells[0].source)


def _assignments(code: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in ast.parse(code).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


def _stamp(path: Path, stamp: dict[str, str]) -> None:
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["cryhear"] = stamp
    write_text(path, nbformat.writes(notebook))


def _hashes(folder: Path) -> dict[str, str]:
    left_out = {"notebook.ipynb", "timings.json", "side.json", "artefacts.json"}
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith("."))
    return {p.relative_to(folder).as_posix(): sha256_of(p) for p in files if p.name not in left_out}


def clean(notebook: NotebookNode, chapter: str, ledger: dict[str, Any]) -> NotebookNode:
    """An executed chapter as the book shows it; the argument is left as it was.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        As Papermill wrote it.
    chapter : str
        ``04_exploration``; figure files are looked for in a folder of this name beside the page.
    ledger : dict
        The chapter's ledger, for captions, alternative texts and files.
    """
    page = nbformat.from_dict(json.loads(json.dumps(notebook)))
    placed: set[str] = set()
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = DIRECTIVE.sub(lambda m: _placed(m, chapter, ledger, placed), cell.source)
    defaults: dict[str, Any] = {}
    cells: list[NotebookNode] = []
    for cell in page.cells:
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            defaults = _assignments(cell.source)
        if "injected-parameters" in tags and not _keep_changed(cell, defaults):
            continue
        _clean_cell(cell, len(cells), chapter, ledger, placed)
        cells.append(cell)
    if cells and cells[0].cell_type == "markdown":
        link = f"{{download}}`this chapter as a notebook <{chapter}/{chapter}.ipynb>`"
        cells[0].source += f"\n\n:::{{div}} figure-links\n{link}\n:::"
    page.cells = cells
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    page.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    if "cryhear" in notebook.metadata:
        page.metadata["cryhear"] = notebook.metadata["cryhear"]
    return page


def _keep_changed(cell: NotebookNode, defaults: dict[str, Any]) -> bool:
    changed = {
        k: v for k, v in _assignments(cell.source).items() if k != STUDY and defaults.get(k) != v
    }
    lines = [f"{name} = {value!r}" for name, value in changed.items()]
    cell.source = "\n".join(["# What this run sets otherwise:", *lines])
    return bool(changed)


def _placed(found: re.Match[str], chapter: str, ledger: dict[str, Any], placed: set[str]) -> str:
    """The whole directive of a figure that a text shows by its name."""
    placed.add(found[2])
    return figure_markdown(chapter, found[2], {**ledger["figures"][found[2]], "caption": found[3]})


def _clean_cell(
    cell: NotebookNode, index: int, chapter: str, ledger: dict[str, Any], placed: set[str]
) -> None:
    given = cell.metadata.get("tags", [])
    tags = [tag for tag in given if tag in KEPT_TAGS]
    if {"parameters", "injected-parameters"} & set(given) and "hide-input" not in tags:
        tags.append("hide-input")  # settings are for those who run it again
    cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
    cell["id"] = f"cell-{index:02d}"
    if cell.cell_type != "code":
        return
    cell.execution_count = None
    outputs = []
    for output in cell.outputs:
        if _figure_of(output) not in placed:
            outputs += _clean_output(output, chapter, ledger)
    cell.outputs = outputs


def _figure_of(output: NotebookNode) -> str | None:
    name: str | None = output.get("metadata", {}).get("cryhear", {}).get("figure")
    return name


def _clean_output(output: NotebookNode, chapter: str, ledger: dict[str, Any]) -> list[NotebookNode]:
    if output.output_type == "stream":
        kept = output.name == "stdout" and output.text.strip()
        return (
            [nbformat.v4.new_output("stream", name="stdout", text=_scrub(output.text))]
            if kept
            else []
        )
    figure = _figure_of(output)
    if figure is not None:
        return [_markdown(figure_markdown(chapter, figure, ledger["figures"][figure]))]
    if "data" not in output:
        return [output]
    data = {kind: _scrub(value) for kind, value in output.data.items()}
    if len(data) > 1:
        # The plain form beside a rich one is an object's address, new at every run.
        data.pop("text/plain", None)
    shown = [nbformat.v4.new_output("display_data", data=data)]
    for name, table in ledger.get("tables", {}).items():
        if f'id="T_{name}"' in str(data.get("text/html", "")):
            link = f"{{download}}`table (CSV) <{chapter}/{table['file']}>`"
            shown.append(_markdown(f":::{{div}} figure-links\n{link}\n:::"))
    return shown


def _scrub(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    plain = re.sub(r" at 0x[0-9a-f]+", "", value.replace(f"{Path.cwd().as_posix()}/", ""))
    # A fitted estimator's picture has buttons within buttons, which no keyboard reaches.
    return re.sub(r'<button[^>]*class="copy-paste-icon".*?</button>', "", plain, flags=re.DOTALL)


def _markdown(text: str) -> NotebookNode:
    return nbformat.v4.new_output("display_data", data={"text/markdown": text})


def figure_label(chapter: str, name: str) -> str:
    """What ``{numref}`` calls a figure: ``fig-exploration-umap``."""
    return f"fig-{chapter.split('_', 1)[-1]}-{name}"


def figure_markdown(chapter: str, name: str, figure: dict[str, Any]) -> str:
    """The MyST directive that sets a figure with its number, caption, alternative text and files."""
    links = (
        [f"{{download}}`table (CSV) <{chapter}/{figure['table']}>`"] if figure.get("table") else []
    )
    kind = "vector (SVG)" if figure["file"].endswith(".svg") else "image (PNG)"
    links.append(f"{{download}}`{kind} <{chapter}/{figure['file']}>`")
    return "\n".join([
        f"(fig-{chapter}-{name})=",
        f"::::{{figure}} {chapter}/{figure['file']}",
        f":name: {figure_label(chapter, name)}",
        f":alt: {' '.join(figure['alt'].split())}",
        "",
        f"{' '.join(figure['caption'].split())}",
        "::::",
        "",
        ":::{div} figure-links",
        " \N{MIDDLE DOT} ".join(links),
        ":::",
    ])  # fmt: skip
