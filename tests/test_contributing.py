"""What CONTRIBUTING.md says of the house is so: its rooms, how imports point, the changes it shows."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "cryhear"
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LONGEST = 60
"""Lines of a change that shows how to add something."""
WAYS = ("corpus", "representation", "model", "figure", "chapter")

NAMES_OF_FIGURES = {("findings", "figures"), ("scoreboard", "figures")}
"""Rooms above that look up, in `figures.style`, how a model or a set is written in figures."""


def tour() -> dict[str, int]:
    """Stage number of each room, as the tour gives it; a room named twice keeps both in the check below."""
    found: dict[str, int] = {}
    for number, cells in enumerate(_stages()):
        for room in re.findall(r"`(\w+)/?`", cells[1]):
            assert room not in found, f"the tour names {room} twice"
            found[room] = number
    return found


def _stages() -> list[list[str]]:
    lines = TEXT.split("| Stage |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def rooms() -> set[str]:
    names = {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")
    }
    return names - {"__init__", "__main__"}


def imported() -> dict[str, set[str]]:
    """Rooms that each room imports, at its head or inside a function."""
    found: dict[str, set[str]] = {room: set() for room in rooms()}
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module == "cryhear":
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryhear."):
                names = [str(node.module).split(".")[1]]
            elif isinstance(node, ast.Import):
                names = [a.name.split(".")[1] for a in node.names if a.name.startswith("cryhear.")]
            if room in found:
                found[room] |= {name for name in names if name in found and name != room}
    return found


def test_the_tour_names_every_room_once_and_no_other() -> None:
    assert set(tour()) == rooms(), "mend the tour in CONTRIBUTING.md and the pages in book/api/"


def test_imports_point_up_the_tour() -> None:
    stage = tour()
    wrong = [
        f"{room} (stage {_stages()[stage[room]][0]}) imports {other} ({_stages()[stage[other]][0]})"
        for room, others in imported().items()
        for other in sorted(others)
        if stage[other] > stage[room] and (room, other) not in NAMES_OF_FIGURES
    ]
    assert not wrong


def test_no_import_leads_in_a_circle() -> None:
    left = imported()
    while free := [room for room, others in left.items() if not others & left.keys()]:
        for room in free:
            del left[room]
    assert not left, f"a circle among {sorted(left)}"


def test_the_pages_of_the_library_hold_the_rooms_of_their_stage() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    [pages] = [entry["sections"] for entry in entries if entry["file"] == "api"]
    assert len(pages) == len(_stages())
    for page, cells in zip(pages, _stages(), strict=True):
        text = (ROOT / "book" / f"{page['file']}.md").read_text(encoding="utf-8")
        modules = re.findall(r"\.\. automodule:: cryhear\.([\w.]+)", text)
        assert text.startswith(f"# {cells[0]}\n")
        assert modules == re.findall(r"## `cryhear\.([\w.]+)`", text)
        expected = set()
        for room in re.findall(r"`(\w+)/?`", cells[1]):
            files = (PACKAGE / room).rglob("*.py") if (PACKAGE / room).is_dir() else ()
            inside = {f"{room}.{path.stem}" for path in files if path.stem != "__init__"}
            expected |= {room, *inside}
        assert set(modules) == expected, page["file"]


def changes() -> dict[str, str]:
    """The change under each '### A ...' heading, as text that `git apply` takes."""
    found = re.findall(r"^### An? (\w+)\n.*?```diff\n(.*?)```", TEXT, re.M | re.S)
    return dict(found)


def test_every_way_to_add_something_is_shown_in_few_lines() -> None:
    assert tuple(changes()) == WAYS
    for name, text in changes().items():
        assert len(text.splitlines()) < LONGEST, name


@pytest.mark.parametrize("name", WAYS)
def test_what_a_change_leaves_and_takes_away_stands_in_the_source(name: str) -> None:
    parts = re.split(r"^--- (\S+)\n\+\+\+ (\S+)\n", changes()[name], flags=re.M)
    assert len(parts) > 3
    for old, hunks in zip(parts[1::3], parts[3::3], strict=True):
        if old == "/dev/null":
            continue
        source = (ROOT / old.removeprefix("a/")).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@ .*\n", hunks, flags=re.M)[1:]:
            kept = "".join(f"{line[1:]}\n" for line in hunk.splitlines() if line[:1] in (" ", "-"))
            assert kept in source, f"{old} has no longer:\n{kept}"


@pytest.mark.parametrize("name", WAYS)
def test_a_change_applies_as_it_stands(name: str, tmp_path: Path) -> None:
    patch = tmp_path / "change.diff"
    patch.write_text(changes()[name], encoding="utf-8")
    command = ["git", "apply", "--check", str(patch)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not at hand")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with every change of the guide made to it, in its order."""
    if shutil.which("git") is None:
        pytest.skip("git is not at hand")
    copy = tmp_path_factory.mktemp("changed")
    left_out = shutil.ignore_patterns("__pycache__", "results", "chapters")
    for name in ("cryhear", "notebooks", "params", "tests", "book"):
        shutil.copytree(ROOT / name, copy / name, ignore=left_out)
    for name in ("Snakefile", "_config.yml", "_toc.yml", "pyproject.toml", "requirements.lock"):
        shutil.copyfile(ROOT / name, copy / name)
    (copy / "data").symlink_to(ROOT / "data")
    for text in changes().values():
        command = ["git", "apply", "-"]
        done = subprocess.run(command, cwd=copy, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    nbformat.write(chapter(), copy / "notebooks" / "13_lengths.ipynb")
    return copy


def chapter() -> nbformat.NotebookNode:
    """The notebook that the guide shows cell by cell."""
    text = re.search(r"```python\n(# %%.*?)```", TEXT, re.S)[1]
    cells = []
    for block in re.split(r"^# %%", text, flags=re.M)[1:]:
        head, _, source = block.partition("\n")
        tags = re.findall(r'"([\w-]+)"', head)
        if "[markdown]" in head:
            source = re.sub(r"^# ?", "", source, flags=re.M)
            cells.append(nbformat.v4.new_markdown_cell(source.strip()))
        else:
            cells.append(nbformat.v4.new_code_cell(source.strip(), metadata={"tags": tags}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.mark.slow
def test_what_the_guide_adds_passes_the_tests_it_names(changed: Path) -> None:
    named = re.findall(r"`pytest (tests/\S+\.py)(?: -k (\w+))?`", TEXT.split("## How to add")[1])
    assert len(named) == 4  # a chapter is run instead
    words = " or ".join(word or "ward" for _, word in named)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", words]
    done = run(changed, *command, *(path for path, _ in named))
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= len(named)


@pytest.mark.slow
def test_the_chapter_of_the_guide_runs(changed: Path) -> None:
    study = ["study", "params/smoke.yaml", "--set", "chapters=[13_lengths]"]
    done = run(changed, sys.executable, "-m", "cryhear.cli", *study)
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = json.loads((changed / "results/smoke/13_lengths/ledger.json").read_text("utf-8"))
    assert 0 < ledger["numbers"]["short"]["value"] < 1
    assert list(ledger["figures"]) == ["durations"]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
