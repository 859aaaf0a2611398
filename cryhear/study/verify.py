"""Hold a finished run against the published one: predictions, ledgers, and the tables behind figures.

Tables are compared by `cryhear.study.differences`. What is not compared is said, with why.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cryhear.errors import StudyError
from cryhear.files import read_json, read_table
from cryhear.progress import counted
from cryhear.study import ledger
from cryhear.study.book import PUBLISHED, TABLES
from cryhear.study.chapter import CHAPTERS
from cryhear.study.differences import NUMBER, PROBABILITY, compare_predictions, compare_tables

DRAWN = ("draws", "permutations", "refits", "comparisons", "power_runs", "shuffles", "lottery")
"""Parameters that say how often chance is drawn: they change how finely a question is answered, not
the question. Where only these differ, numbers are held within `REACH` and everything else as ever."""

REACH = 1 / 3
"""Largest difference of a number drawn another number of times: absolute below 1 and relative above,
of an interval's end in half widths of the published interval. A standard error from 50 draws is good to
a tenth (one in the square root of twice the draws); a value itself must lie in the published interval."""

DRIFTING, DRIFTED = "umap", ("x", "y", "value")
"""First letters of numbers and figures that rounding on another processor moves as another seed would, so
that no statement rests on them; and the columns of those figures' tables that it moves."""

NOT_COMPARED = (
    "pictures (drawn from the tables), page layout, timings, hashes of files that another chapter wrote "
    "(their content is compared where it is published)"
)

FOLDS_SINCE = (1, 8)
"""Release of scikit-learn since which its folds by group come out as those of the published run: before it,
the same seed gives other folds by infant (of `StratifiedGroupKFold`, with classes and without)."""


@dataclass
class Report:
    """What was found: lines about what matches, what differs, and what was not compared.

    `versions` names the packages of which the two runs had another release: a reason to look at first
    where something differs, and no difference by itself.
    """

    matches: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing differs, and something was compared."""
        return bool(self.matches) and not self.differences

    def __str__(self) -> str:
        return self.text()

    def text(self, matches: bool = True) -> str:
        """What differs and was not compared, the verdict, and what matches: its lines, or their number."""
        parts = [
            ("Matches", self.matches, matches),
            ("Differs", self.differences, True),
            ("Not compared", self.skipped, True),
        ]
        if self.versions:
            parts.append(("Made with other releases", self.versions, True))
        lines = []
        for title, found, shown in parts:
            lines += [f"{title} ({len(found)})", *(f"  {line}" for line in found if shown)]
        verdict = "verified" if self.passed else "NOT verified"
        return "\n".join([*lines, f"{verdict}: {counted(len(self.differences), 'difference')}"])


def verify(
    run: str | os.PathLike[str],
    chapter: int | None = None,
    published: str | os.PathLike[str] = PUBLISHED,
) -> Report:
    """Compare a finished run with the published one.

    Parameters
    ----------
    run : path-like
        A run's folder, ``results/default``.
    chapter : int, optional
        Only the chapter of this number.
    published : path-like
        Where the published chapters lie.

    Returns
    -------
    Report

    Raises
    ------
    StudyError
        There is no such run, or no such chapter is published.
    """
    run, published, report = Path(run), Path(published), Report()
    names = [n for n in CHAPTERS if chapter is None or int(n.split("_")[0]) == chapter]
    there = [n for n in names if (published / n / "ledger.json").exists()]
    if not there:
        asked = "chapter" if chapter is None else f"chapter {chapter}"
        raise StudyError(
            f"{published} holds no published {asked}; publish a run first (`cryhear publish`)"
        )
    if not run.is_dir():
        raise StudyError(
            f"{run}: no such folder; expected a finished run; run the study first (`make report`)"
        )
    for name in names:
        if name not in there:
            report.skipped.append(f"{name}: not published")
        elif not (run / name / "ledger.json").exists():
            report.differences.append(
                f"{name}: {run / name} holds no finished chapter; run it first"
            )
        else:
            _chapter(run / name, published / name, name, report)
    report.skipped.append(NOT_COMPARED)
    return report


def _chapter(run: Path, published: Path, name: str, report: Report) -> None:
    ours, theirs = (read_json(folder / "ledger.json") for folder in (run, published))
    _versions(ours, theirs, report)
    drawn = _parameters(ours, theirs, name, report)
    _inputs(ours, theirs, name, report)
    _numbers(run, published, name, drawn, report)
    if drawn:
        how = ", ".join(f"{key} {b}, published {a}" for key, (a, b) in drawn.items())
        report.skipped.append(
            f"{name}: tables behind figures and text, as another number of draws fills them ({how}); "
            "`make study PARAMS=params/published.yaml` draws as often"
        )
    else:
        for kind in ("figures", "tables"):
            _tables(run, published, ours[kind], theirs[kind], f"{name}, {kind}", report)
    files = sorted(
        {p.name for pattern in TABLES for f in (run, published) for p in f.glob(pattern)}
    )
    for file in files:
        _predictions(run / file, published / file, f"{name}/{file}", report)


def _parameters(ours: dict, theirs: dict, name: str, report: Report) -> dict[str, tuple[int, int]]:
    """Parameters that differ: those of `DRAWN`, published and found, are returned; others reported."""
    drawn = {}
    for key in sorted(ours["parameters"].keys() | theirs["parameters"].keys()):
        a, b = theirs["parameters"].get(key), ours["parameters"].get(key)
        if a != b and key in DRAWN:
            drawn[key] = (a, b)
        elif a != b:
            report.differences.append(f"{name}: parameter {key} was {a!r}, is {b!r}")
    return drawn


def _versions(ours: dict, theirs: dict, report: Report) -> None:
    """Packages of which the run had another release than the published one, each line once."""
    for package in sorted(ours["versions"].keys() | theirs["versions"].keys()):
        a, b = (side["versions"].get(package, "none") for side in (theirs, ours))
        if a == b:
            continue
        line = f"{package} {b}, published with {a}"
        if package == "scikit-learn" and _has_the_folds(a) != _has_the_folds(b):
            line += ": folds by infant come out otherwise"
        if line not in report.versions:
            report.versions.append(line)


def _has_the_folds(release: str) -> bool:
    numbers = [int(part) for part in re.findall(r"\d+", release)[:2]]
    return tuple(numbers) >= FOLDS_SINCE


def _inputs(ours: dict, theirs: dict, name: str, report: Report) -> None:
    """Hashes of the derived data; files that chapters wrote are compared by content elsewhere."""
    found, changed = 0, []
    for key in sorted(ours["inputs"].keys() | theirs["inputs"].keys()):
        if key.split("/")[0] in CHAPTERS:
            continue
        found += 1
        if ours["inputs"].get(key) != theirs["inputs"].get(key):
            changed.append(f"{name}: input {key} is not the file that was published from")
    report.differences += changed
    if found and not changed:
        report.matches.append(f"{name}: {found} input files, by SHA-256")


def _numbers(
    run: Path, published: Path, name: str, drawn: dict[str, tuple[int, int]], report: Report
) -> None:
    ours, theirs = (ledger.merge([f / "ledger.json"]) for f in (run, published))
    found = ledger.compare(theirs, ours, NUMBER)
    apart = {_number_of(d) for d in found}
    if drifting := [d for d in found if f".{DRIFTING}" in d.key]:
        found = [d for d in found if d not in drifting]
        report.skipped += [
            f"{name}: {d.key}: {d.found!r}, published {d.published!r}: another processor draws it otherwise"
            for d in drifting
        ]
    if drawn:
        both = apart & ours.keys() & theirs.keys()
        near = {
            key
            for key in both
            if (theirs[key]["value"], ours[key]["value"]) in drawn.values()  # how often was drawn
            or _in_reach(theirs[key], ours[key])
        }
        found = [d for d in found if _number_of(d) not in near]
        if near:
            report.matches.append(f"{name}: {len(near)} numbers as near as their draws allow")
    report.differences += [f"{name}: {d}" for d in found]
    same = len(ours.keys() & theirs.keys() - apart)
    if same > 0:
        report.matches.append(f"{name}: {same} numbers and sentences within {NUMBER:g}")


def _number_of(difference: ledger.Difference) -> str:
    """The number a difference is of: ``leakage.auc`` of 'leakage.auc (low)'."""
    return difference.key.split(" ")[0]


def _in_reach(published: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether two numbers can be the same one, drawn another number of times.

    Examples
    --------
    >>> _in_reach({"value": 0.5, "low": 0.4, "high": 0.6}, {"value": 0.5, "low": 0.42, "high": 0.58})
    True
    >>> _in_reach({"value": 0.5, "low": 0.4, "high": 0.6}, {"value": 0.7, "low": 0.6, "high": 0.8})
    False
    """
    a, b = published["value"], found["value"]
    low, high = published.get("low"), published.get("high")
    if not all(isinstance(v, (int, float)) for v in (a, b)):
        return bool(a == b)
    if low is not None and published.get("n") != found.get("n"):
        # Intervals of the draws alone: one of them must hold the other's value.
        lowest, highest = found.get("low", b), found.get("high", b)
        return bool(low <= b <= high or lowest <= a <= highest)
    if low is None or high is None:
        return math.isclose(a, b, abs_tol=REACH, rel_tol=REACH)
    if found.get("low") is None or found.get("high") is None:
        return False
    moved = max(abs(found["low"] - low), abs(found["high"] - high))
    return bool(low <= b <= high and moved <= REACH * max(high - low, NUMBER) / 2)


def _tables(
    run: Path, published: Path, ours: dict, theirs: dict, what: str, report: Report
) -> None:
    same = 0
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours or name not in theirs:
            side = "the run" if name not in ours else "what was published"
            report.differences.append(f"{what}: {name} is not in {side}")
            continue
        key = "table" if "table" in theirs[name] else "file"
        paths = [folder / entry[name][key] for folder, entry in ((run, ours), (published, theirs))]
        problems = _missing(paths) or compare_tables(*map(_csv, paths))
        if problems and name.startswith(DRIFTING) and not _missing(paths):
            kept = [_csv(path).drop(columns=[*DRIFTED], errors="ignore") for path in paths]
            problems = compare_tables(*kept)
            report.skipped.append(
                f"{what}: {name}: {', '.join(DRIFTED)}, which another processor draws otherwise"
            )
        report.differences += [f"{what}: {name}: {p}" for p in problems]
        same += not problems
    if same:
        report.matches.append(f"{what}: {same} tables within {NUMBER:g}")


def _predictions(ours: Path, theirs: Path, name: str, report: Report) -> None:
    if problems := _missing([ours, theirs]):
        report.differences += [f"{name}: {p}" for p in problems]
        return
    a, b = read_table(theirs), read_table(ours)
    problems = compare_predictions(b, a)
    report.differences += [f"{name}: {p}" for p in problems]
    if not problems:
        report.matches.append(
            f"{name}: {len(a):,} predictions of {a['recording'].nunique():,} recordings within "
            f"{PROBABILITY:g}; infants, labels and folds equal"
        )


def _missing(paths: Iterable[Path]) -> list[str]:
    return [f"{path} is not there" for path in paths if not path.exists()]


def _csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=True)
