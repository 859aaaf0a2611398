"""What all measurements share: pairs of runs, their ratio, the machine, the ledger of results.

Two ways of doing the same work are run in turn, A B A B, in one process, so that whatever else the
machine does falls on both. The ratio is taken within each pair; its median stands, its lowest and
highest value beside it. What both gave is compared before anything is reported.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import NAMES
from cryhear.files import read_json, write_json
from cryhear.study.ledger import Ledger

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SIDE = ROOT.parent / "shared"

BESIDE = {
    "report": ("Snakefile", "notebooks/*.ipynb", "params/default.yaml"),
    "growth": ("notebooks/*.ipynb",),
    "shards": ("Snakefile",),
    "predict": ("params/default.yaml",),
}
"""What a measurement runs beside modules: a result is of its text, too."""

FLOAT32 = 2e-6
"""Largest difference, relative to the largest value, of two float32 computations of one waveform:
some ten roundings of 6e-8 each."""


class Unequal(AssertionError):
    """Two ways of doing the same work gave different results: their times mean nothing."""


class Pair(NamedTuple):
    """Times of two ways of doing the same work, run in turn, s; and what each gave."""

    ours: list[float]
    theirs: list[float]
    our_output: Any
    their_output: Any

    @property
    def ratios(self) -> list[float]:
        """How many times as long theirs took, a pair of runs each."""
        return [b / a for a, b in zip(self.ours, self.theirs, strict=True)]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Run, and return the seconds it took and what it gave."""
    started = time.perf_counter()
    output = work()
    return time.perf_counter() - started, output


def pair(
    ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int, warm: bool = True
) -> Pair:
    """Run two ways in turn, `repeats` times; once before, unmeasured, unless `warm` is False."""
    if warm:
        ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    outputs: list[Any] = [None, None]
    for _ in range(repeats):
        for i, work in enumerate((ours, theirs)):
            seconds, outputs[i] = timed(work)
            times[i].append(seconds)
    return Pair(*times, *outputs)


def check_close(ours: Any, theirs: Any, tolerance: float, what: str) -> float:
    """Hold two arrays against each other, relative to the largest value; return how far they are.

    Raises
    ------
    Unequal
        Shapes differ, a value is missing on one side, or the distance is above `tolerance`.
    """
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
        raise Unequal(f"{what}: shapes {a.shape} and {b.shape}, or values missing on one side")
    scale = max(1.0, float(np.nanmax(np.abs(b), initial=0.0)))
    apart = float(np.nanmax(np.abs(a - b), initial=0.0)) / scale
    if apart > tolerance:
        raise Unequal(f"{what}: results differ by {apart:.3g}, tolerated {tolerance:.3g}")
    return apart


def check_same(ours: Any, theirs: Any, what: str) -> None:
    """Hold two values against each other that must be equal."""
    if ours != theirs:
        raise Unequal(f"{what}: {ours!r} and {theirs!r}; equal ones were expected")


class Results:
    """What one measurement found, as a ledger the book's pages can read: ``decode.wav``.

    Parameters
    ----------
    name : str
        Of the module, ``decode``.
    quick : bool
        A small run that shows that the measurement works; its numbers are printed, not kept.
    """

    def __init__(self, name: str, quick: bool) -> None:
        self.name, self.quick = name, quick
        self.ledger = Ledger(f"speed_{name}")

    def number(self, key: str, value: Any, unit: str, **details: Any) -> None:
        """Record one number and print it."""
        self.ledger.number(key, value, unit, **details)
        entry = self.ledger.numbers[key]
        spread = f" ({entry['low']:.3g} to {entry['high']:.3g})" if "low" in entry else ""
        shown = f"{value:.3g}" if isinstance(value, float) else value
        said = f"; {entry['note']}" if entry.get("note") else ""
        print(f"{self.name}.{key}: {shown}{spread} {unit}{said}", flush=True)

    def ratio(self, key: str, found: Pair, note: str = "") -> None:
        """Record the median ratio of a pair with its spread, and both ways' median seconds."""
        values = found.ratios
        self.number(
            key, statistics.median(values), "ratio",
            low=min(values), high=max(values), n=len(values), note=note,
        )  # fmt: skip
        self.seconds(f"{key}_ours", found.ours)
        self.seconds(f"{key}_theirs", found.theirs)

    def seconds(self, key: str, times: list[float], note: str = "") -> None:
        """Record the median of some times with its spread."""
        self.number(
            key, statistics.median(times), "seconds",
            low=min(times), high=max(times), n=len(times), note=note,
        )  # fmt: skip

    def close(self) -> None:
        """Keep what was found, with the machine and the code it was found on."""
        if self.quick:
            print(f"{self.name}: a quick run; nothing is kept")
            return
        self.ledger.number("machine", machine(), "text")
        content = {**self.ledger.as_dict(), "code": code_version(self.name)}
        write_json(RESULTS / f"{self.name}.json", content)


def machine() -> str:
    """What a reader must know of the machine to judge a time: no name, no path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def code_version(name: str) -> str:
    """Digest of the library, a measurement and what it runs: a result of other code can be told by it."""
    digest = hashlib.sha256()
    own = [p for p in (ROOT / "benchmarks").glob("*.py") if p.stem == name or p.stem not in NAMES]
    run = [path for pattern in BESIDE.get(name, ()) for path in ROOT.glob(pattern)]
    for path in sorted([*(ROOT / "cryhear").rglob("*.py"), *own, *run]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def is_current(name: str) -> bool:
    """Whether a measurement's results are there and of this code."""
    path = RESULTS / f"{name}.json"
    return path.exists() and read_json(path)["code"] == code_version(name)


def corpora() -> Path | None:
    """Folder of the real corpus where it is found: ``CRYHEAR_CORPORA``, or beside the project."""
    found = Path(os.environ.get("CRYHEAR_CORPORA", SIDE / "corpora"))
    return found if (found / "donateacry").is_dir() else None


def run(name: str, measure: Callable[[Results], None], arguments: list[str] | None = None) -> int:
    """Entry point of a measurement: measure, say what was found, keep it."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--quick", action="store_true", help="small; shows that it works")
    results = Results(name, parser.parse_args(arguments).quick)
    try:
        measure(results)
    except Unequal as problem:
        print(f"{name}: NOT equal: {problem}", file=sys.stderr)
        return 1
    results.close()
    return 0
