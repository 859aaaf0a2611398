"""A study whose representation is HeAR, from recordings to its chapters, on a stand-in for the weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from standins import STANDIN_DIMENSION

from cryhear.audio.perturb import ALTERNATIVES
from cryhear.embedding.tables import Derived
from cryhear.files import read_json

# The study is a process of its own: what it lacks raises nothing here.
pytestmark = pytest.mark.skipif(
    find_spec("tensorflow") is None,
    reason="tensorflow is not installed; pip install -e '.[hear]' brings it",
)
ROOT = Path(__file__).resolve().parents[2]
PARAMS = """\
name: hear
source: {synthetic: {infants: 16, recordings: [2, 3], seconds: 3.0}}
representations: [hear, logmel]
primary: hear
set: all
chapters: [01_audit, 02_preprocessing, 03_embedding]
embed: {variants: [alternatives]}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's engine and chapters, and a small study."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "_config.yml", "_toc.yml", "requirements.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    compiled = shutil.ignore_patterns("__pycache__")
    for name in ("cryhear", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=compiled)
    (folder / "params").mkdir()
    (folder / "params" / "hear.yaml").write_text(PARAMS)
    return folder


def study(folder: Path, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the study with no weights but those named, and no network to ask for others."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HEAR_", "HF_"))}
    apart = {"PYTHONPATH": str(folder), "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "cryhear.cli", "study", "params/hear.yaml"], cwd=folder,
        env={**plain, **apart, **more}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


@pytest.mark.slow
def test_without_access_a_study_stops_before_it_reads_a_recording(
    project: Path, tmp_path: Path
) -> None:
    done = study(project, tmp_path)
    assert done.returncode == 1
    assert "cryhear: hear: the Hub gave no access to google/hear" in done.stderr
    assert "Accept the terms" in done.stderr
    assert not (project / "results" / "hear" / "derived" / "recordings").exists()


@pytest.mark.slow
def test_the_real_code_drives_a_model_of_hears_signature_through_a_study(
    project: Path, unfaithful_hear_folder: Path, tmp_path: Path
) -> None:
    done = study(project, tmp_path, HEAR_MODEL_DIR=str(unfaithful_hear_folder))
    assert done.returncode == 0, done.stdout + done.stderr
    run = project / "results" / "hear"
    derived = Derived(run / "derived")
    keys, vectors = derived.clips("hear")
    plain, _ = derived.clips("logmel")
    assert keys.equals(plain)
    assert vectors.shape == (len(keys), STANDIN_DIMENSION)
    assert set(derived.variants("hear")) == set(ALTERNATIVES)
    assert derived.variants("logmel") == []  # only the primary representation's are read
    found = read_json(run / "03_embedding" / "ledger.json")["numbers"]
    assert found["dimension_hear"]["value"] == STANDIN_DIMENSION
    assert "fed one clip at a time" in found["notes"]["value"]
    assert "HeAR's own weights were at hand" in found["conclusion_run"]["value"]
