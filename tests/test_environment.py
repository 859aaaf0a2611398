"""The lock, the conda file and pyproject agree; importing the library is cheap."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from extras import EXTRAS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import cryhear

HEAVY = (
    "tensorflow", "torch", "transformers", "umap", "opensmile", "ai_edge_litert", "librosa",
    "audiomentations", "matplotlib", "pandas", "sklearn",
)  # fmt: skip


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def lock(root) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): version for name, version in pins}


@pytest.fixture(scope="module")
def toml(root) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def project(toml) -> dict[str, Any]:
    return toml["project"]


@pytest.fixture(scope="module")
def conda(root) -> dict[str, Any]:
    return yaml.safe_load((root / "environment.yml").read_text())


@pytest.fixture(scope="module")
def pip_lines(conda) -> list[str]:
    [lines] = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    return lines


def requirements(project: dict[str, Any]) -> Iterator[Requirement]:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    yield from (Requirement(line) for group in groups for line in group)


def test_the_lock_pins_every_requirement_within_its_range(project, lock):
    for requirement in requirements(project):
        name = canonical(requirement.name)
        if name != "cryhear":
            assert name in lock, f"{name} is required and not locked"
            assert lock[name] in requirement.specifier, f"{name} {lock[name]} is not {requirement}"


def test_every_requirement_says_from_which_version(project):
    """Without it `--resolution lowest-direct` takes the oldest release there ever was."""
    open_below = [
        str(requirement)
        for requirement in requirements(project)
        if requirement.name != "cryhear"
        and not any(part.operator in (">=", "==", "~=") for part in requirement.specifier)
    ]
    assert open_below == []


def test_conda_takes_the_python_of_the_lock(root, project, conda):
    [python] = [d for d in conda["dependencies"] if isinstance(d, str) and d.startswith("python=")]
    named = python.removeprefix("python=")
    assert f"(Python {named}, " in (root / "requirements.lock").read_text().splitlines()[0]
    assert named in SpecifierSet(project["requires-python"])


def test_each_pip_line_of_conda_is_a_line_of_a_requirements_file(root, pip_lines):
    """Conda writes them to a file beside environment.yml and gives that to `pip install -r`."""
    assert "-r requirements.lock" in pip_lines
    assert "-e ." in pip_lines
    for line in pip_lines:
        if option := re.fullmatch(r"(-r|-e) (\S+)", line):
            assert (root / option[2]).exists(), line
        else:
            Requirement(line)


@pytest.mark.slow
def test_pip_takes_the_file_that_conda_writes_and_adds_the_package_alone(root, lock, pip_lines):
    """As conda calls pip, but for the index: all that is asked for is here already."""
    apart = [name for name, pin in lock.items() if installed(name) != pin]
    if apart:
        pytest.skip(f"this environment is not that of the lock: {', '.join(apart[:3])} and others")
    pytest.importorskip("pip", reason="pip is not in this environment")
    with tempfile.NamedTemporaryFile("w", dir=root, prefix="condaenv.", suffix=".txt") as file:
        file.write("\n".join(pip_lines))
        file.flush()
        command = [sys.executable, "-m", "pip", "install", "-U", "-r", file.name]
        offline = ["--dry-run", "--no-index", "--no-build-isolation", "--exists-action=b"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        done = subprocess.run(
            [*command, *offline], cwd=root, env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^Would install (.*)", done.stdout, re.M) == [
        f"cryhear-{cryhear.__version__}"
    ]


def installed(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def test_one_range_of_pythons_is_named_everywhere(root, toml, project):
    low, high = re.fullmatch(r">=(3\.\d+),<(3\.\d+)", project["requires-python"]).groups()
    newest = f"3.{int(high.removeprefix('3.')) - 1}"
    assert f"Python {low} to {newest}." in (root / "README.md").read_text()
    assert toml["tool"]["ruff"]["target-version"] == f"py{low.replace('.', '')}"
    assert toml["tool"]["mypy"]["python_version"] == low
    makefile = (root / "Makefile").read_text()
    assert f"test-lowest: ON ?= {low}\n" in makefile
    assert f"test-newest: ON ?= {newest}\n" in makefile
    for path in workflows(root):
        named = set(re.findall(r"python(?:-version)?: \"?(3[.\d]*)", path.read_text()))
        assert all(python in SpecifierSet(project["requires-python"]) for python in named), path


def test_the_extras_that_tests_are_skipped_for_are_those_of_the_project(project):
    assert set(EXTRAS) == project["optional-dependencies"].keys() - {"test"}


def test_the_extras_that_are_tested_without_the_lock_are_there(root, project):
    [extras] = re.findall(r"^EXTRAS \?= (.*)", (root / "Makefile").read_text(), re.M)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()


def test_the_packages_the_study_names_are_locked(lock):
    named = {
        "jupyter", "jupyter-book", "papermill", "tensorflow", "huggingface-hub", "librosa", "scipy",
        "scikit-learn", "torch", "seaborn", "umap-learn",
    }  # fmt: skip
    assert named <= set(lock)


def test_a_test_of_an_absent_extra_is_skipped_with_what_brings_it(tmp_path, root):
    """Where an extra's package cannot be imported, at a file's head, in a fixture or in a test."""
    (tmp_path / "conftest.py").write_text(
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'matplotlib' else found(name, *a)\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'matplotlib']:\n"
        "    del sys.modules[name]\n"
        "sys.modules['matplotlib'] = None\n"
    )
    (tmp_path / "test_head.py").write_text("import matplotlib\ndef test_it(): pass\n")
    (tmp_path / "test_inside.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def drawn():\n    import matplotlib\n"
        "def test_fixture(drawn): pass\n"
        "def test_body():\n    import matplotlib\n"
        "def test_a_module_that_no_extra_brings():\n    import no_such_module\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'tests'}{os.pathsep}{root}"}
    plugin = ["-p", "tests.conftest", "--rootdir", str(tmp_path), "-c", os.devnull]
    done = subprocess.run(
        [*command, *plugin, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert re.search(r"1 failed, 3 skipped", done.stdout), done.stdout + done.stderr
    assert "pip install -e '.[report]' brings it" in done.stdout


def test_importing_cryhear_loads_no_heavy_package():
    code = f"import sys, cryhear; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_these():
    assert cryhear.__all__ == ["CryhearError", "Derived", "load_study", "open_chapter"]
    for name in cryhear.__all__:
        assert getattr(cryhear, name).__module__.startswith("cryhear.")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cryhear.nothing


def test_the_citation_names_this_version_and_its_licence(root, project):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == cryhear.__version__
    assert citation["license"] == project["license"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])


def workflows(root: Path) -> list[Path]:
    found = sorted((root / ".github" / "workflows").glob("*.yml"))
    assert found
    return found


def test_the_workflows_run_targets_that_there_are(root):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
    for path in workflows(root):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            runs = [step.get("run", "") for step in job["steps"]]
            named = {word for run in runs for word in re.findall(r"\bmake ([a-z-]+)", run)}
            choices = job.get("strategy", {}).get("matrix", {}).get("include", [])
            named |= {choice["target"] for choice in choices if "target" in choice}
            assert named <= targets, path
