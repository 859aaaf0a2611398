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

ORDER = (
    "errors", "files", "values", "params", "progress", "pieces",
    "audio", "corpus", "embedding", "models", "evaluation", "analysis", "figures", "prediction",
    "study", "recording_commands", "cli",
)  # fmt: skip
"""Modules at the root and packages, in the order of the tour: each imports only from those before it."""


def modules() -> dict[str, Path]:
    """Every module of the library by its dotted name below ``cryhear``."""
    found = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    return {name.removesuffix(".__init__"): path for name, path in found.items()}


def imported() -> dict[str, set[str]]:
    """Modules that each module imports, at its head or inside a function."""
    known = modules()
    found: dict[str, set[str]] = {name: set() for name in known}
    for module, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cryhear"):
                below = str(node.module).removeprefix("cryhear").lstrip(".")
                inside = [f"{below}.{alias.name}".lstrip(".") for alias in node.names]
                names = [name if name in known else below for name in inside]
            elif isinstance(node, ast.Import):
                names = [a.name.removeprefix("cryhear.") for a in node.names]
            found[module] |= {name for name in names if name in known and name != module}
    return found


def test_the_tour_names_every_package_in_order() -> None:
    rooms = {name.split(".")[0] for name in modules()} - {"__init__", "__main__"}
    assert rooms == set(ORDER), "mend ORDER and the tour in CONTRIBUTING.md"
    tour = TEXT.split("## The tour of the house")[1].split("\n## ")[0]
    packages = [name for name in ORDER if (PACKAGE / name).is_dir()]
    named = [name for name in re.findall(r"`(\w+)`", tour) if name in packages]
    assert named == packages


def test_packages_import_only_from_those_before_them() -> None:
    place = {name: number for number, name in enumerate(ORDER)}
    wrong = [
        f"{module} imports {other}"
        for module, others in imported().items()
        for other in sorted(others)
        if module not in ("__init__", "__main__")
        and place[other.split(".")[0]] > place[module.split(".")[0]]
    ]
    assert not wrong


def test_no_import_leads_in_a_circle() -> None:
    left = {name: others for name, others in imported().items() if name != "__init__"}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"a circle among {sorted(left)}"


def test_every_package_has_its_folder_of_tests_and_its_page() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry for part in toc["parts"] for entry in part["chapters"]]
    [pages] = [entry["sections"] for entry in entries if entry["file"] == "api"]
    packages = [name for name in ORDER if (PACKAGE / name).is_dir()]
    assert [page["file"] for page in pages] == ["api/ground", *(f"api/{p}" for p in packages)]
    assert all(list((ROOT / "tests" / name).glob("test_*.py")) for name in packages)


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
        for hunk in re.split(r"^ .*\n", hunks, flags=re.M)[1:]:
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
