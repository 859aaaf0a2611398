"""Embedding in shards through Snakemake: with 1, 2 and 4 jobs, killed in between, and on a batch queue.

The study's own Snakefile and rules on recordings made here. The manifest is made first and not timed;
what is timed is the four shards. The queue is Slurm, where ``sbatch`` and Snakemake's plugin for it are
at hand (``pip install snakemake-executor-plugin-slurm``); one of its jobs is cancelled in between.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import bench, made
from cryhear.embedding.store import count_clips
from cryhear.files import read_vectors, write_text
from cryhear.study.run import CHECKSUM_BYTES

SHARDS = 4
STUDY = """name: {name}
source: {{roots: [recordings]}}
set: all
representations: [{representation}]
primary: {representation}
embed: {{shards: {shards}, variants: []}}
"""
SLURM = (
    "--executor", "slurm", "--jobs", str(SHARDS), "--latency-wait", "5",
    "--default-resources", "runtime=20", "mem_mb=1000", "cpus_per_task=1",
    # A node of one's own keeps no accounts, which sacct would read.
    "--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "5",
)  # fmt: skip


class Project:
    """A project of its own with some recordings, and one study a way of running."""

    def __init__(self, folder: Path, recordings: int, representation: str) -> None:
        self.folder, self.representation = folder, representation
        for name in ("Snakefile", "_config.yml", "_toc.yml", "requirements.lock"):
            shutil.copyfile(bench.ROOT / name, folder / name)
        for name in ("cryhear", "notebooks", "params"):
            kept = shutil.ignore_patterns("__pycache__")
            shutil.copytree(bench.ROOT / name, folder / name, ignore=kept)
        made.recordings(folder / "recordings" / "hungry", recordings, 7.0, 16_000)

    def prepare(self, name: str) -> str:
        """Write a study's parameters and make its manifest; return its name."""
        text = STUDY.format(name=name, representation=self.representation, shards=SHARDS)
        write_text(self.folder / "params" / f"{name}.yaml", text)
        self.run(name, "--cores", "2", targets=[f"results/{name}/derived/manifest.parquet"])
        return name

    def targets(self, name: str) -> list[str]:
        """The shards' files."""
        place = f"results/{name}/derived/shards/clips/{self.representation}"
        return [f"{place}.{i}of{SHARDS}.parquet" for i in range(SHARDS)]

    def start(self, name: str, *how: str, targets: list[str] | None = None) -> subprocess.Popen:
        """Start Snakemake in a process group of its own."""
        command = [
            sys.executable, "-m", "snakemake", *(targets or self.targets(name)), *how, "--nolock",
            "--rerun-incomplete", "--nocolor", "--max-checksum-file-size", CHECKSUM_BYTES,
            "--config", f"params=params/{name}.yaml",
        ]  # fmt: skip
        return subprocess.Popen(
            command, cwd=self.folder, env={**os.environ, "PYTHONPATH": str(self.folder)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0,
        )  # fmt: skip

    def run(self, name: str, *how: str, targets: list[str] | None = None) -> None:
        """Run Snakemake to its end."""
        child = self.start(name, *how, targets=targets)
        said = child.communicate()[0]
        if child.returncode:
            raise RuntimeError(f"Snakemake failed for {name}: {said[-3000:]}")

    def clips(self, name: str) -> tuple[pd.DataFrame, np.ndarray]:
        """What the shards of a finished run hold, sorted."""
        parts = [read_vectors(self.folder / path) for path in self.targets(name)]
        keys = pd.concat([k for k, _ in parts], ignore_index=True)
        order = keys.sort_values(list(keys.columns)).index.to_numpy()
        return keys.iloc[order].reset_index(drop=True), np.concatenate([v for _, v in parts])[order]

    def stored(self, name: str) -> int:
        """Clips in the store so far."""
        return count_clips(self.folder / "results" / name / "derived" / "store")


def check_equal(project: Project, name: str, other: str) -> int:
    """Hold the tables of two runs against each other; return their number of clips."""
    (keys, vectors), (their_keys, their_vectors) = project.clips(name), project.clips(other)
    bench.check_same(
        keys.to_dict("list"), their_keys.to_dict("list"), f"clips of {name} and {other}"
    )
    if not np.array_equal(vectors, their_vectors):
        raise bench.Unequal(f"{name} and {other}: the same clips have other vectors")
    return len(keys)


def scaling(results: bench.Results, project: Project) -> None:
    """1, 2 and 4 jobs: the same tables, and the time of each."""
    seconds = {}
    for jobs in (1, 2) if results.quick else (1, 2, 4):
        name = project.prepare(f"jobs-{jobs}")
        seconds[jobs], _ = bench.timed(lambda n=name, j=jobs: project.run(n, "--cores", str(j)))
        clips = check_equal(project, name, "jobs-1")
        results.number(f"jobs_{jobs}", seconds[jobs], "seconds", n=clips, note=f"{SHARDS} shards")
    for jobs in list(seconds)[1:]:
        results.number(f"speedup_{jobs}", seconds[1] / seconds[jobs], "ratio", note="over one job")


def interrupted(
    results: bench.Results, project: Project, key: str, how: tuple[str, ...], stop: Callable
) -> None:
    """End a run in its middle, run again, and hold the outcome against an undisturbed one."""
    name = project.prepare(f"ended-{key}")
    whole = len(project.clips("jobs-1")[0])
    child = project.start(name, *how)
    while project.stored(name) < whole / 8 and child.poll() is None:
        time.sleep(0.1)
    stop(child)
    kept = project.stored(name)
    if not 0 < kept < whole:
        raise RuntimeError(f"{name}: {kept} of {whole} clips were stored when it ended; no middle")
    project.run(name, *how)
    check_equal(project, name, "jobs-1")
    results.number(
        f"{key}_kept", kept / whole, "share", n=whole, note="of the clips, when it was ended"
    )


def kill(child: subprocess.Popen) -> None:
    """End Snakemake and its jobs at once, as a power cut does."""
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def cancel(child: subprocess.Popen) -> None:
    """Cancel the running jobs of the queue, and let Snakemake see it."""
    text = subprocess.run(
        ["squeue", "--noheader", "--format=%i %T"], capture_output=True, text=True
    )
    for job in re.findall(r"(\d+) RUNNING", text.stdout):
        subprocess.run(["scancel", job], check=True)
    child.communicate()


def queue(results: bench.Results, project: Project) -> None:
    """The same through Slurm, undisturbed and with its jobs cancelled."""
    if shutil.which("sbatch") is None or find_spec("snakemake_executor_plugin_slurm") is None:
        for key in ("slurm", "slurm_kept"):
            results.number(key, "not measured: no Slurm here", "text")
        return
    name = project.prepare("slurm")
    seconds, _ = bench.timed(lambda: project.run(name, *SLURM))
    clips = check_equal(project, name, "jobs-1")
    results.number("slurm", seconds, "seconds", n=clips, note=f"{SHARDS} jobs on one node of Slurm")
    interrupted(results, project, "slurm", SLURM, cancel)


def measure(results: bench.Results) -> None:
    """Measure the scaling, a kill, and the queue."""
    with tempfile.TemporaryDirectory() as folder:
        quick = results.quick
        project = Project(Path(folder), 120 if quick else 160, "logmel" if quick else "egemaps")
        scaling(results, project)
        interrupted(results, project, "killed", ("--cores", "2"), kill)
        if not quick:
            queue(results, project)


if __name__ == "__main__":
    raise SystemExit(bench.run("shards", measure))
