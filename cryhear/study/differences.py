"""Differences of two tables in words: what was published, what was found, and in how many rows.

Predictions are matched by what they are about (recording, protocol, repeat, model, ...), never by position,
so that a dropped infant or a changed fold is seen as what it is.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

PROBABILITY = 1e-4
"""Largest difference of a published probability: float32 components and a solver stopped at logits
good to 1e-4 leave 2e-5 between machines; a probability changed by hand in the third decimal is seen."""

NUMBER = 1e-3
"""Largest difference of a score, share or other real number of a ledger or table, absolute below 1 and
relative above: what `PROBABILITY` can move an AUC of a hundred recordings by. Counts, labels and
texts must be equal."""

DIGITS = 9
"""Digits of a searched setting that must agree: the last of a power or a logarithm differ between
processors."""

DECIMAL = re.compile(r"(?<![\w.])\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)(?![\w.])")

SHOWN = 5
KEYS = ("protocol", "part", "set", "model", "representation", "repeat", "recording")
EXACT = ("infant", "label", "platform", "fold")


def compare_tables(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Differences of two tables, row by row: numbers within NUMBER, everything else equal.

    Examples
    --------
    >>> compare_tables(pd.DataFrame({"auc": [0.512]}), pd.DataFrame({"auc": [0.612]}))
    ['auc differs in 1 of 1 rows: 0.612 published, 0.512 found']
    """
    if list(ours.columns) != list(theirs.columns):
        return [f"columns were {', '.join(theirs.columns)}, are {', '.join(ours.columns)}"]
    if len(ours) != len(theirs):
        return [f"{len(theirs)} rows published, {len(ours)} found"]
    problems = []
    for column in ours:
        a, b = theirs[column], ours[column]
        if all(pd.api.types.is_numeric_dtype(s) and s.dtype != bool for s in (a, b)):
            whole = all(pd.api.types.is_integer_dtype(s) for s in (a, b))
            tolerance = 0.0 if whole else NUMBER
            x, y = a.to_numpy(float), b.to_numpy(float)
            same = np.isclose(x, y, atol=tolerance, rtol=tolerance, equal_nan=True)
        else:
            same = (a.map(_rounded) == b.map(_rounded)).to_numpy()
        if not same.all():
            problems.append(_first(column, theirs, ours, ~same))
    return problems


def _rounded(cell: Any) -> Any:
    """A cell that is no number: settings with what a processor may move cut off, a gap as an empty text.

    >>> _rounded('{"C": 0.10000000000000002, "kernel": "rbf"}'), _rounded('{"C": 1e-05}')
    ('{"C": 0.1, "kernel": "rbf"}', '{"C": 1e-05}')
    """
    if not isinstance(cell, str):
        return "" if pd.isna(cell) else cell
    return DECIMAL.sub(lambda number: f"{float(number[0]):.{DIGITS}g}", cell)


def compare_predictions(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    """Differences of two tables of predictions, rows matched by KEYS.

    Returns
    -------
    list of str
        Rows that only one has, then infants, labels, platforms and folds that differ, then
        probabilities that differ by more than PROBABILITY.
    """
    keys = [k for k in KEYS if k in theirs and k in ours]
    a, b = (_indexed(t, keys) for t in (theirs, ours))
    problems = []
    for one, other, verb in ((a, b, "not found"), (b, a, "not published")):
        lone = one.index.difference(other.index)
        if len(lone):
            infants = one.loc[lone, "infant"].nunique() if "infant" in one else 0
            problems.append(
                f"{len(lone):,} predictions of {infants} infants {verb}, first {_named(lone[:1], keys)}"
            )
    both = a.index.intersection(b.index)
    a, b = a.loc[both], b.loc[both]
    for column in (c for c in EXACT if c in a and c in b):
        differs = a[column].astype(str).to_numpy() != b[column].astype(str).to_numpy()
        if differs.any():
            problems.append(_first(column, a, b, differs))
    for column in (c for c in a if c.startswith("p_") and c in b):
        apart = np.abs(a[column].to_numpy(float) - b[column].to_numpy(float))
        differs = ~(apart <= PROBABILITY)
        if differs.any():
            worst = f", at most {np.nanmax(apart):.3g} apart"
            problems.append(_first(column, a, b, differs) + worst)
    return problems


def _indexed(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows by their keys; copies of a recording, which share them all, are numbered."""
    number = table.groupby(keys, observed=True).cumcount().rename("copy")
    return table.set_index([*(table[k].astype(str) for k in keys), number]).sort_index()


def _first(column: str, theirs: pd.DataFrame, ours: pd.DataFrame, differs: np.ndarray) -> str:
    at = np.flatnonzero(differs)
    shown = [
        f"{_plain(theirs, column, i)} published, {_plain(ours, column, i)} found"
        for i in at[:SHOWN]
    ]
    more = f" and {len(at) - SHOWN:,} more" if len(at) > SHOWN else ""
    return f"{column} differs in {len(at):,} of {len(theirs):,} rows: {'; '.join(shown)}{more}"


def _plain(table: pd.DataFrame, column: str, row: int) -> str:
    value = table[column].iloc[row]
    return repr(value.item() if isinstance(value, np.generic) else value)


def _named(index: pd.MultiIndex, keys: list[str]) -> str:
    return ", ".join(f"{k} {v}" for k, v in zip(keys, index[0], strict=False))
