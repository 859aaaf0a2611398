"""What an up-to-date study costs, and what a changed parameter makes run again.

A copy of the project with the published run put where a finished run lies, and marked as up to date by
Snakemake itself (``--touch``): the same graph, files and checks as after ``make report``, without the
hours. Measured is the whole command, from the shell's side.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import bench
from cryhear.files import write_json
from cryhear.study.chapter import CHAPTERS
from cryhear.study.run import CHECKSUM_BYTES

PARAMS = "params/default.yaml"


def finished(folder: Path) -> Path:
    """A project whose default study has been run."""
    for name in ("Snakefile", "_config.yml", "_toc.yml", "requirements.lock"):
        shutil.copyfile(bench.ROOT / name, folder / name)
    for name in ("cryhear", "book", "notebooks", "params", "data"):
        shutil.copytree(
            bench.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    if (bench.ROOT / "benchmarks" / "results").is_dir():
        shutil.copytree(bench.RESULTS, folder / "benchmarks" / "results")
    run = folder / "results" / "default"
    for name in CHAPTERS:
        published = folder / "book" / "chapters" / name
        if published.is_dir():
            shutil.copytree(published, run / name)
        else:  # a chapter newer than the published run
            write_json(run / name / "ledger.json", {})
        write_json(run / name / "artefacts.json", {})
    (run / "html").mkdir()
    (run / "html" / "index.html").write_text("<title>finished</title>\n", encoding="utf-8")
    _python(folder, "-c", f"from cryhear.study.plan import Plan; Plan.of({PARAMS!r}).write()")
    _snakemake(folder, "--touch")
    return folder


def measure(results: bench.Results) -> None:
    """Time the command that has nothing to do, then ask what a change would run."""
    with tempfile.TemporaryDirectory() as parent:
        folder = finished(Path(parent))
        command = ["-m", "cryhear.cli", "report", PARAMS]
        said = _python(folder, *command)
        if "Nothing to do" not in said:
            raise bench.Unequal(f"the finished study was not taken as up to date: {said[-500:]}")
        times = [
            bench.timed(lambda: _python(folder, *command))[0]
            for _ in range(1 if results.quick else 5)
        ]
        results.seconds(
            "noop", times, note="cryhear report with nothing to do, a process from start to end"
        )
        planned = _snakemake(folder, "--dry-run", "mlp={dropout: [0.2, 0.6]}")
        again = set(re.findall(r"Job \d+: chapter (\w+)", planned))
        bench.check_same(again, expected(), "chapters that a changed dropout runs again")
        results.number("dropout_reruns", ", ".join(sorted(again)), "text")
        results.number("dropout_kept", len(CHAPTERS) - len(again), "count", n=len(CHAPTERS))


def expected() -> set[str]:
    """The network's chapter and all that read it, by the list of what chapters read."""
    wanted = {"06_mlp"}
    for name, reads in CHAPTERS.items():
        if wanted & set(reads):
            wanted.add(name)
    return wanted


def _snakemake(folder: Path, mode: str, *changes: str) -> str:
    return _python(
        folder, "-m", "snakemake", "book", mode, "--cores", "2", "--nolock",
        "--max-checksum-file-size", CHECKSUM_BYTES, "--config", f"params={PARAMS}", *changes,
    )  # fmt: skip


def _python(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(arguments[:3])} failed: {(done.stdout + done.stderr)[-2000:]}"
        )
    return done.stdout + done.stderr


if __name__ == "__main__":
    raise SystemExit(bench.run("report", measure))
