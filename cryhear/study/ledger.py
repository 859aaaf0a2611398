"""What a chapter found: numbers with intervals, figures with the table behind them, inputs' hashes.

A ledger is one JSON file a chapter. Prose, captions and tests read numbers from it and from nowhere
else; `compare` holds one ledger against another.
"""

from __future__ import annotations

import math
import os
import re
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


QUOTED = re.compile(r"\{num\}`([\w.-]+)[^`]*`")
"""A number quoted in a sentence; its key is the group."""


def quoted(text: str) -> list[str]:
    """Full keys of the numbers a text quotes, each once, in order.

    Examples
    --------
    >>> quoted("AUC {num}`leakage.auc ci`, p {num}`leakage.p`.")
    ['leakage.auc', 'leakage.p']
    """
    return list(dict.fromkeys(QUOTED.findall(text)))


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

    def record(self, values: Any, unit: str = "text", **details: Any) -> None:
        """Record many numbers of one unit at once.

        Parameters
        ----------
        values : mapping or pandas.DataFrame
            ``{key: number}``, where a text is recorded as text whatever the unit; or a table indexed by
            key with a column ``value`` and, where known, ``low``, ``high``, ``n``, ``note`` and
            ``unit``. What is missing in a row is left out of its entry.
        unit : str, default 'text'
            One of `UNITS`.
        **details
            ``n`` or ``note`` of all of them, where a row has none of its own.

        Examples
        --------
        >>> ledger = Ledger("04_exploration")
        >>> ledger.record({"n": 926, "silent": 3}, "count", note="recordings")
        >>> ledger.numbers["silent"]
        {'value': 3, 'unit': 'count', 'note': 'recordings'}
        """
        for key, row in _rows(values):
            known = {
                part: row[part] for part in ("low", "high", "note") if _is_known(row.get(part))
            }
            if _is_known(row.get("n")):
                known["n"] = int(row["n"])  # a column with a gap is of floats
            own = "text" if isinstance(row["value"], str) else row.get("unit", unit)
            self.number(str(key), row["value"], own, **{**details, **known})

    def quote(self, key: str) -> str:
        """The ``{num}`` role of a number of this chapter, with its interval if it has one."""
        part = " ci" if self.numbers[key].get("low") is not None else ""
        return f"{{num}}`{self.prefix}.{key}{part}`"

    def conclude(
        self,
        key: str,
        holds: bool,
        if_true: str,
        if_false: str,
        of: Iterable[str] = (),
        beside: Iterable[str] = (),
    ) -> str:
        """Record the sentence that fits the outcome, and return it.

        Both sentences are kept, so a reader of the ledger sees what would have been said.

        Parameters
        ----------
        key : str
        holds : bool
            The predicate's outcome.
        if_true, if_false : str
            What is said of either outcome; may quote numbers by ``{num}``.
        of : iterable of str
            Keys of the numbers that the predicate is computed from: this chapter's as they are,
            another's with its prefix.
        beside : iterable of str
            Keys that a sentence quotes as plain facts, true whichever sentence is printed. It may
            quote these and those of `of`, and no others, so that each number in a conclusion either
            chose it or is known to have had no part in that.

        Raises
        ------
        LedgerError
            If both sentences are the same, or one quotes a number that neither `of` nor `beside` names.
        """
        chosen_by, facts = ([self._full(name) for name in names] for names in (of, beside))
        stray = [name for name in quoted(if_true + if_false) if name not in chosen_by + facts]
        if stray:
            raise LedgerError(
                f"{self.prefix}.{key} quotes {', '.join(stray)}; expected only numbers that `of` or "
                "`beside` names. Put under `of` what the predicate is computed from, under `beside` "
                "what is true whichever sentence is printed, or take it out of the sentence."
            )
        if if_true == if_false:
            raise LedgerError(
                f"{self.prefix}.{key} says the same of both outcomes; expected two sentences. "
                "Record text that holds either way by `number(key, text, 'text')`."
            )
        sentence = if_true if holds else if_false
        self.number(key, sentence, "text")
        self.numbers[key].update(
            holds=bool(holds), otherwise=if_false if holds else if_true, of=chosen_by
        )
        return sentence

    def _full(self, key: str) -> str:
        return key if "." in key else f"{self.prefix}.{key}"

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


def _rows(values: Any) -> Iterable[tuple[Any, Mapping[str, Any]]]:
    if isinstance(values, Mapping):
        return ((key, {"value": value}) for key, value in values.items())
    if "value" not in values:
        raise LedgerError(
            f"a table of numbers has columns {', '.join(map(str, values.columns))}; expected one called "
            "'value', with the keys as the index"
        )
    return ((key, row) for key, row in zip(values.index, values.to_dict("records"), strict=True))


def _is_known(part: Any) -> bool:
    return part is not None and part == part and part != ""


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
        by = f" (differs by {self.distance:.3g}, tolerated {self.tolerance:.3g})"
        return (
            f"{self.key}: published {self.published!r}, found {self.found!r}"
            + by * math.isfinite(self.distance)
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
        Largest difference allowed in values and interval ends, absolute below 1 and relative above.
        Counts and text must be equal.
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
        return abs(float(a) - float(b)) / max(1.0, abs(a), abs(b))
    return math.inf
