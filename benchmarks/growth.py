"""Time and memory of every chapter against the rows of the manifest.

Studies of 100, 1,000 and 10,000 recordings (and 100,000 for the audit with its splits and the
exploration) made by drawing the corpus's own infants again and again: every column of the manifest is as
in the published study, a recording's vector is a real one with noise of its own. Each chapter runs as
in a study, in a process of its own, with the parameters below; one that takes longer than the limit is
ended, and what reads it is not run.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import bench
from cryhear.audio.augment import numbered
from cryhear.corpus.manifest import select
from cryhear.files import read_table, read_vectors, write_json, write_table, write_vectors
from cryhear.study.chapter import CHAPTERS
from cryhear.study.plan import READ_MODEL

SIZES = (100, 1_000, 10_000)
HUGE, TAKES_HUGE = 100_000, ("01_audit", "04_exploration")
LIMIT_S = 120.0
CLASS_INFANTS = 10
"""Infants of each class in the smallest study: with few, a chapter refuses to judge."""
REAL = bench.ROOT / "data" / "donateacry"
STUDY: dict[str, Any] = {
    "representations": ["logmel"], "primary": "logmel",
    "exploration": {"umap_seeds": 2},
    "classical": {"n_iter": 2, "units": ["file"], "models": ["logistic_regression"]},
    "mlp": {"trials": 1, "search_epochs": 2, "epochs": 3, "patience": 2, "units": ["file"]},
    "crossvalidation": {"repeats": 1, "draws": 100, "models": ["logistic_regression"], "mlp": False},
    "evaluation": {"draws": 100, "lottery": 3},
    "leakage": {
        "sets": ["uploads"], "repeats": 2, "permutations": 19, "comparisons": 19, "refits": 20,
        "power_runs": 2, "ladder_repeats": 1, "models": [], "draws": 100,
    },
    "controls": {"repeats": 1, "draws": 100, "shuffles": 2},
    "robustness": {"repeats": 1, "draws": 100},
}  # fmt: skip
"""As little work as each chapter can do: what grows with rows is then all there is to see."""


class Outcome(NamedTuple):
    """One chapter at one size."""

    chapter: str
    rows: int
    seconds: float
    memory_mib: float
    outcome: str  # ran, over the limit, failed, not run


def derived(folder: Path, rows: int, seed: int = 0) -> None:
    """Derived tables of `rows` recordings, infants drawn with replacement from the real ones."""
    rng = np.random.default_rng(seed)
    manifest = read_table(REAL / "manifest.parquet")
    ok = (
        (manifest["set"] == "uploads")
        & (manifest["problem"] == "")
        & (manifest["duplicate_of"] == "")
    )
    manifest = manifest[ok]
    members = manifest.groupby("infant").indices
    signals = {path.name: read_table(path) for path in sorted((REAL / "signals").glob("*.parquet"))}
    # Those whose sounds chapters show, and some of every class, are there at every size; others are drawn.
    shown = manifest["infant"][_shown(manifest, signals)]
    drawn = [members[infant] for infant in pd.unique(pd.concat([shown, _of_each_class(manifest)]))]
    everyone = list(members.values())
    while sum(map(len, drawn)) < rows:
        drawn.append(everyone[rng.integers(len(everyone))])
    taken = np.concatenate(drawn)[:rows]
    number = np.repeat(np.arange(len(drawn)), [len(d) for d in drawn])[:rows]
    table = manifest.iloc[taken].reset_index(drop=True)
    source = table["recording"].to_numpy()
    table["recording"] = [f"{i:016x}" for i in range(rows)]
    table["sha256"] = [f"{i:064x}" for i in range(rows)]
    table["infant"] = table["instance"] = [f"{i:012x}" for i in number]
    write_table(folder / "manifest.parquet", table)
    names = pd.Series(table["recording"].to_numpy(), index=source)
    _vectors(folder, source, table["recording"].to_numpy(), rng)
    for name, signal_table in signals.items():
        write_table(folder / "signals" / name, _renamed(signal_table, names))
    shutil.copyfile(REAL / "provenance.json", folder / "provenance.json")


def _vectors(folder: Path, source: np.ndarray, names: np.ndarray, rng: np.random.Generator) -> None:
    """One clip a recording, and two altered copies of it, each with noise of its own."""
    keys, vectors = read_vectors(REAL / "clips" / "logmel.parquet")
    first = ~keys["recording"].duplicated().to_numpy()
    place = pd.Index(keys["recording"][first]).get_indexer(source)
    plain = vectors[first][place].astype(np.float32)
    spread = vectors.std(axis=0).astype(np.float32)

    def noisy(by: float) -> np.ndarray:
        return plain + by * spread * rng.standard_normal(plain.shape, dtype=np.float32)

    clips = pd.DataFrame({"recording": names, "start_sample": 0})
    write_vectors(folder / "clips" / "logmel.parquet", clips, noisy(0.3))
    copies = [pd.DataFrame({"recording": names, "variant": name}) for name in numbered(2)]
    altered = np.concatenate([noisy(0.4), noisy(0.4)])
    write_vectors(
        folder / "variants" / "logmel.parquet", pd.concat(copies, ignore_index=True), altered
    )


def _shown(manifest: pd.DataFrame, signals: dict[str, pd.DataFrame]) -> np.ndarray:
    """Which recordings have a table of their own sound: several rows each."""
    several = [t["recording"] for t in signals.values() if t["recording"].duplicated().any()]
    return manifest["recording"].isin(pd.concat(several)).to_numpy()


def _of_each_class(manifest: pd.DataFrame) -> pd.Series:
    """The `CLASS_INFANTS` infants of each class that have the fewest recordings."""
    labelled = select(manifest, set="uploads")
    labelled = labelled[labelled["status"] == "used"]
    size = manifest["infant"].value_counts()
    of_class = labelled.drop_duplicates(["label", "infant"]).assign(
        size=labelled["infant"].map(size)
    )
    return (
        of_class.sort_values("size", kind="stable").groupby("label")["infant"].head(CLASS_INFANTS)
    )


def _renamed(table: pd.DataFrame, names: pd.Series) -> pd.DataFrame:
    """The rows of a table for every recording drawn from the table's own; of shown sounds, the first."""
    once = not table["recording"].duplicated().any()
    wanted = names if once else names[~names.index.duplicated()]
    place = pd.DataFrame({"recording": wanted.index, "new": wanted.to_numpy()})
    joined = place.merge(table, on="recording", how="inner").drop(columns="recording")
    return joined.rename(columns={"new": "recording"})[list(table.columns)]


def project(folder: Path, rows: int) -> None:
    """A project whose only study starts from `derived` tables of so many rows."""
    for name in ("notebooks", "book", "requirements.lock", "_config.yml", "_toc.yml"):
        (folder / name).symlink_to(bench.ROOT / name)
    (folder / "data").mkdir()
    (folder / "data" / "original").symlink_to(bench.ROOT / "data" / "original")
    derived(folder / "data" / "made", rows)
    study = {"name": "growth", "source": {"derived": "data/made"}, **STUDY}
    write_json(folder / "results" / "growth" / "params.json", study)
    (folder / "params").symlink_to(bench.ROOT / "params")


def run_chapter(folder: Path, chapter: str, rows: int, limit_s: float) -> Outcome:
    """Run a chapter in a process of its own; its time, and the most memory that a process of it took."""
    command = [sys.executable, "-m", "benchmarks.growth", "--chapter", chapter]
    environment = {**os.environ, "PYTHONPATH": str(bench.ROOT)}
    started = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, process_group=0,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        said = child.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        return Outcome(chapter, rows, limit_s, float("nan"), "over the limit")
    seconds = time.perf_counter() - started
    if child.returncode:
        print(said[-1500:])
        return Outcome(chapter, rows, seconds, float("nan"), "failed")
    return Outcome(chapter, rows, seconds, float(said.split()[-1]), "ran")


def execute(chapter: str) -> None:
    """Run a chapter here and print the most memory that a child of this process took, MiB.

    A child's mark starts at the memory of the process that started it: where it never passed that, it is
    not known, and nan is printed.
    """
    from cryhear.study.execute import run_chapter as run

    run("results/growth/params.json", chapter)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(most / 1024 if most > own else float("nan"))


def grown(sizes: dict[int, tuple[str, ...]], limit_s: float) -> pd.DataFrame:
    """Run the chapters at each size."""
    found: list[Outcome] = []
    for rows, chapters in sizes.items():
        with tempfile.TemporaryDirectory() as name:
            project(Path(name), rows)
            done: set[str] = set()
            for chapter in chapters:
                if set(CHAPTERS[chapter]) <= done:
                    found.append(run_chapter(Path(name), chapter, rows, limit_s))
                else:
                    found.append(Outcome(chapter, rows, np.nan, np.nan, "not run"))
                done |= {chapter} if found[-1].outcome == "ran" else set()
                print(*found[-1], flush=True)
    return pd.DataFrame(found)


def record(results: bench.Results, table: pd.DataFrame) -> None:
    """Numbers of the page: seconds and memory a chapter and size, or why there are none."""
    for row in table.itertuples():
        key = f"{row.chapter.split('_', 1)[1]}_{row.rows}"
        if row.outcome == "ran":
            results.number(key, row.seconds, "seconds", n=row.rows)
        else:
            says = f"over {LIMIT_S:g} s" if row.outcome == "over the limit" else row.outcome
            results.number(key, says, "text")
        if np.isfinite(row.memory_mib):
            memory, note = round(row.memory_mib), "MiB, largest process"
            results.number(f"{key}_mib", memory, "count", note=note)
        else:
            results.number(f"{key}_mib", "not known", "text")


def measure(results: bench.Results) -> None:
    """Run every chapter at every size."""
    # What a chapter asks the trained model does not grow with the recordings it was trained on.
    whole = tuple(name for name in CHAPTERS if name not in READ_MODEL)
    chapters = ("01_audit",) if results.quick else whole
    sizes = (
        {300: chapters} if results.quick else dict.fromkeys(SIZES, chapters) | {HUGE: TAKES_HUGE}
    )
    table = grown(sizes, 400.0 if results.quick else LIMIT_S)
    if (table["outcome"] == "failed").any():
        raise bench.Unequal(
            "a chapter failed: " + ", ".join(table.loc[table["outcome"] == "failed", "chapter"])
        )
    record(results, table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--chapter"]:
        execute(sys.argv[2])
    else:
        raise SystemExit(bench.run("growth", measure))
