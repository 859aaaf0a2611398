"""What a chapter found: numbers with intervals, figures with the table behind them, inputs' hashes.

A ledger is one JSON file a chapter. Prose, captions and tests read numbers from it and from nowhere
else; `compare` holds one ledger against another.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryhear.errors import LedgerError
from cryhear.files import read_json, write_json

UNITS = (
    "count", "share", "points", "score", "difference", "probability", "ratio", "seconds", "minutes", "hours",
    "hz", "db", "dbfs", "samples", "dimensions", "text",
)  # fmt: skip
"""What a number can be counted in; the `{num}` role formats by it. Points: a difference of shares."""


@dataclass
class Ledger:
    """The findings of one chapter, in the order they were recorded.

    Parameters
    ----------
    chapter : str
        The chapter's name with its number, ``04_exploration``. Keys carry the part after the number.

    Examples
    --------
    >>> ledger = Ledger("04_exploration")
    >>> ledger.number("n", 926, "count")
    >>> ledger.conclude("many", ledger.numbers["n"]["value"] > 500, "Many.", "Few.")
    'Many.'
    """

    chapter: str
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What keys of this chapter start with: ``exploration``."""
        return self.chapter.split("_", 1)[1]

    def number(
        self,
        key: str,
        value: float | int | str | bool,
        unit: str,
        low: float | None = None,
        high: float | None = None,
        n: int | None = None,
        note: str = "",
    ) -> None:
        """Record one number (or one word) with its unit, interval and sample size.

        Raises
        ------
        LedgerError
            If the key was recorded before, the unit is unknown, or the value is not finite: a
            number that could not be computed is left out or recorded as text that says so.
        """
        if key in self.numbers:
            raise LedgerError(
                f"{self.prefix}.{key} was recorded before; give each number its own key"
            )
        if unit not in UNITS:
            raise LedgerError(
                f"{self.prefix}.{key} has unit {unit!r}; expected one of {', '.join(UNITS)}"
            )
        plain = value.item() if hasattr(value, "item") else value
        for part in (plain, low, high):
            if isinstance(part, float) and not math.isfinite(part):
                raise LedgerError(
                    f"{self.prefix}.{key} is {part}; expected finite numbers. "
                    "Leave it out, or record text that says why it could not be computed."
                )
        entry: dict[str, Any] = {"value": plain, "unit": unit}
        for name, part in (("low", low), ("high", high), ("n", n)):
            if part is not None:
                entry[name] = part.item() if hasattr(part, "item") else part
        if note:
            entry["note"] = note
        self.numbers[key] = entry

    def interval(self, key: str, row: Mapping[str, Any], unit: str, **details: Any) -> None:
        """Record a row's ``value`` with its ``low`` and ``high``, if it has an interval."""
        ends = {} if math.isnan(row["low"]) else {"low": row["low"], "high": row["high"]}
        self.number(key, row["value"], unit, **ends, **details)

    def conclude(self, key: str, holds: bool, if_true: str, if_false: str) -> str:
        """Record the sentence that fits the outcome, and return it.

        Both sentences are kept, so a reader of the ledger sees what would have been said.
        """
        sentence = if_true if holds else if_false
        self.number(key, sentence, "text")
        self.numbers[key].update(holds=bool(holds), otherwise=if_false if holds else if_true)
        return sentence

    def as_dict(self) -> dict[str, Any]:
        """The ledger as plain data, ready for JSON."""
        return {
            "chapter": self.chapter,
            "parameters": self.parameters,
            "inputs": dict(sorted(self.inputs.items())),
            "versions": dict(sorted(self.versions.items())),
            "numbers": self.numbers,
            "figures": self.figures,
            "tables": self.tables,
        }

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the ledger as JSON."""
        return write_json(path, self.as_dict())


def merge(paths: Iterable[str | os.PathLike[str]]) -> dict[str, dict[str, Any]]:
    """Numbers of several ledgers under their full keys.

    Returns
    -------
    dict
        ``{"audit.n_used": {"value": 926, "unit": "count", ...}}``
    """
    numbers: dict[str, dict[str, Any]] = {}
    for path in paths:
        content = read_json(path)
        prefix = content["chapter"].split("_", 1)[1]
        numbers.update({f"{prefix}.{key}": entry for key, entry in content["numbers"].items()})
    return numbers


@dataclass(frozen=True)
class Difference:
    """One number that is not the same in two ledgers."""

    key: str
    published: Any
    found: Any
    distance: float
    tolerance: float

    def __str__(self) -> str:
        return (
            f"{self.key}: published {self.published!r}, found {self.found!r} "
            f"(differs by {self.distance:.3g}, tolerated {self.tolerance:.3g})"
        )


def compare(
    published: dict[str, dict[str, Any]],
    found: dict[str, dict[str, Any]],
    tolerance: float = 1e-6,
) -> list[Difference]:
    """Numbers that differ between two merged ledgers, or stand in only one of them.

    Parameters
    ----------
    published, found : dict
        As `merge` gives them.
    tolerance : float, default 1e-6
        Largest absolute difference allowed in values and interval ends. Counts and text must be
        equal.
    """
    differences = []
    for key in sorted(published.keys() | found.keys()):
        left, right = published.get(key), found.get(key)
        if left is None or right is None:
            differences.append(
                Difference(key, left and left["value"], right and right["value"], math.inf, 0.0)
            )
            continue
        for part in ("value", "low", "high", "n"):
            a, b = left.get(part), right.get(part)
            allowed = tolerance if isinstance(a, float) or isinstance(b, float) else 0.0
            distance = _distance(a, b)
            if distance > allowed:
                name = key if part == "value" else f"{key} ({part})"
                differences.append(Difference(name, a, b, distance, allowed))
    return differences


def _distance(a: Any, b: Any) -> float:
    if a == b:
        return 0.0
    numeric = (int, float)
    if isinstance(a, numeric) and isinstance(b, numeric):
        return abs(float(a) - float(b))
    return math.inf
