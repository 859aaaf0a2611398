"""The table that every split takes: what it must hold, and how many recordings and infants it has."""

from __future__ import annotations

import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import SplitError

COLUMNS = ("recording", "infant", "label")
"""Columns that no split can do without."""

_NAMED = 3  # offenders an error message names


def checked(
    recordings: pd.DataFrame, unique: bool = False, extra: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The table as it came, if it can be split.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
    unique : bool
        Each recording may have one row only.
    extra : tuple of str
        Columns needed beside `COLUMNS`.

    Raises
    ------
    SplitError
        A column is missing, an id is empty or a label unknown, or there is no row; the message says what
        came, what was expected and what to do.
    """
    if missing := [c for c in (*COLUMNS, *extra) if c not in recordings]:
        raise SplitError(
            f"recordings have no column {', '.join(missing)}; expected {', '.join(COLUMNS)}. "
            "Pass the rows of a study set."
        )
    if recordings.empty:
        raise SplitError(
            "recordings have no row; expected at least one a class. Check the selection."
        )
    if unknown := sorted(set(map(str, recordings["label"])) - set(CLASSES))[:_NAMED]:
        raise SplitError(
            f"column label holds {unknown}; expected {CLASSES}. Select labelled recordings first."
        )
    for key in ("recording", "infant"):
        if (recordings[key].isna() | (recordings[key] == "")).any():
            raise SplitError(
                f"column {key} has empty values; expected an id in each row. Fill them."
            )
    if unique and recordings["recording"].duplicated().any():
        ids = recordings["recording"]
        twice = list(ids[ids.duplicated()].unique()[:_NAMED])
        raise SplitError(
            f"column recording holds {twice} more than once; expected one row a recording. "
            "Drop the copies, or use unit 'row' in folds()."
        )
    return recordings


def unit_of(unit: str, known: tuple[str, ...]) -> str:
    """What stays whole, by the name of its column: 'file' is another word for 'recording'."""
    name = "recording" if unit == "file" else unit
    if name not in known:
        raise SplitError(f"unit is {unit!r}; expected one of {known} or 'file'. Change it.")
    return name


def class_counts(recordings: pd.DataFrame) -> pd.DataFrame:
    """Count recordings and infants by class.

    Returns
    -------
    pandas.DataFrame, index CLASSES, columns `recordings`, `infants` (int64)
    """
    table = recordings.groupby("label").agg(
        recordings=("recording", "nunique"), infants=("infant", "nunique")
    )
    return table.reindex(list(CLASSES), fill_value=0).astype("int64")


def counts_text(recordings: pd.DataFrame) -> str:
    """The counts of `class_counts` in words, for errors."""
    return ", ".join(
        f"{name}: {row.recordings} recordings of {row.infants} infants"
        for name, row in class_counts(recordings).iterrows()
    )
