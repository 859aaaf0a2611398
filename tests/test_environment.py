"""The lock, the conda file and pyproject agree; importing the library is cheap."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement

import cryhear

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

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


def test_the_lock_pins_every_requirement_within_its_range(root, lock):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for text in (line for group in groups for line in group):
        requirement = Requirement(text)
        name = canonical(requirement.name)
        if name != "cryhear":
            assert name in lock, f"{name} is required and not locked"
            assert lock[name] in requirement.specifier, f"{name} {lock[name]} is not {requirement}"


def test_conda_installs_the_lock_on_the_python_it_was_made_for(root):
    conda = yaml.safe_load((root / "environment.yml").read_text())
    assert "python=3.11" in conda["dependencies"]
    [pip] = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert "-r requirements.lock" in pip


def test_the_packages_the_study_names_are_locked(lock):
    named = {
        "jupyter", "jupyter-book", "papermill", "tensorflow", "huggingface-hub", "librosa", "scipy",
        "scikit-learn", "torch", "seaborn", "umap-learn",
    }  # fmt: skip
    assert named <= set(lock)


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


def test_the_citation_names_this_version_and_its_licence(root):
    citation = yaml.safe_load((root / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == cryhear.__version__
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]
    assert all(author.get("name") or author.get("family-names") for author in citation["authors"])


def test_the_workflows_run_targets_that_there_are(root):
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.M))
    for path in (root / ".github" / "workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"].values()
        runs = [step.get("run", "") for job in jobs for step in job["steps"]]
        assert {word for run in runs for word in re.findall(r"\bmake ([a-z]+)", run)} <= targets
