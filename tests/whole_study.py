"""A whole study in a folder of its own: the real chapters and pages, a small corpus, few draws."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import toy
import yaml

from cryhear.audio.synthesis import CrySettings, cry

ROOT = Path(__file__).parents[1]
PLAIN = {"belly_pain": "pain", "hungry": "hunger", "discomfort": "neurological"}
"""Folders as people name them, and the class each is read as."""

QUICK = """
representations: [logmel]
primary: logmel
embed: {shards: 1, variants: []}
exploration: {umap_seeds: 2}
classical: {n_iter: 1, models: [logistic_regression]}
mlp: {trials: 1, search_epochs: 1, epochs: 2, patience: 1}
crossvalidation: {repeats: 1, draws: 50, models: [logistic_regression], mlp: false}
evaluation: {draws: 50, lottery: 2}
leakage: {repeats: 1, permutations: 19, comparisons: 19, refits: 20, power_runs: 2,
          ladder_repeats: 1, models: [], draws: 50}
controls: {repeats: 1, draws: 50, shuffles: 1}
robustness: {repeats: 1, draws: 50}
model: {repeats: 1}
"""
"""As little work as runs every chapter."""

LIMIT_S = 3600.0


def make(folder: Path) -> Path:
    """A copy of everything a study and its book read; of the published run, its parameters and ledgers."""
    for name in ("Snakefile", "_config.yml", "_toc.yml", "requirements.lock"):
        shutil.copyfile(ROOT / name, folder / name)
    left_out = shutil.ignore_patterns("__pycache__", "chapters")
    for name in ("cryhear", "book", "notebooks", "params", "data", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    # What pages may quote: a run may have less of it, and then says so.
    published = ROOT / "book" / "chapters"
    for path in (*published.glob("*/ledger.json"), published / "params.json"):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def plainly_named(folder: Path, files: int, folders: tuple[str, ...] = tuple(PLAIN)) -> Path:
    """Cries under names that say what was the matter, and nothing of who cried."""
    for number in range(files):
        rng = np.random.default_rng(number)
        settings = CrySettings(seconds=2.6, f0_hz=float(rng.uniform(380, 600)), sample_rate=16_000)
        path = folder / folders[number % len(folders)] / f"recording {number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, cry(settings, rng), settings.sample_rate)
    return folder


def quick(project: Path, cries: Path) -> Path:
    """A study file for one's own recordings."""
    settings = yaml.safe_load(QUICK)
    settings |= {"name": "own", "source": {"roots": [str(cries)]}, "set": cries.name}
    settings["leakage"]["sets"] = [cries.name]
    path = project / "params" / "own.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def cryhear(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the project, on its own copy of the library."""
    return subprocess.run(
        [sys.executable, "-m", "cryhear", *words],
        cwd=project,
        env=toy.environment(project),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
