"""Find recordings under a root, and read what their folders and names say.

Donate-a-Cry (Veres 2015) puts the app instance, the time, the app version, the infant's sex and
age band and the suspected reason into each file name; its names are parsed wherever they occur. Any
other folder tree is taken as it is: each of its recordings is its own instance, because nothing
says which of them share an infant.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from cryhear.audio.decode import EXTENSIONS
from cryhear.corpus.fetch import ARCHIVES, Archive, fetch
from cryhear.corpus.folders import plain, walk
from cryhear.errors import CorpusError
from cryhear.files import sha256_of

__all__ = [
    "AGE_BANDS", "ARCHIVES", "CLEANED_FOLDERS", "ID_DIGITS", "SETS_BY_FOLDER", "Archive",
    "DonateacryName", "fetch", "find_all", "find_recordings", "hashed", "parse_donateacry_name",
]  # fmt: skip

AGE_BANDS = ("04", "48", "26", "72", "22")
"""Donate-a-Cry's age codes, youngest first: 0-4 weeks, 4-8 weeks, 2-6 months, 7 months to 2 years,
over 2 years."""

SETS_BY_FOLDER = {
    "donateacry-android-upload-bucket": "uploads",
    "donateacry-ios-upload-bucket": "uploads",
    "donateacry_corpus_cleaned_and_updated_data": "cleaned",
}
"""Donate-a-Cry's folders and the set each belongs to."""

ID_DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 that identify its recording."""

CLEANED_FOLDERS = ("belly_pain", "burping", "discomfort", "hungry", "tired")
"""Folders of Donate-a-Cry's cleaned set, one a reason."""

COLUMNS = (
    "path", "root", "corpus", "set", "folder", "name", "platform", "app_version", "sex",
    "age_band", "reason", "instance", "time_unix", "problem",
)  # fmt: skip

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Two iOS names carry a second UUID before the sex, one of them also a fraction of a second and a
# version without its '.0', and both a doubled extension.
_NAME = re.compile(
    rf"(?P<instance>{_UUID})-(?P<time>\d{{13}}|\d{{10}}(?:\.\d+)?)-(?P<version>\d+(?:\.\d+)*)"
    rf"(?:-{_UUID})?-(?P<sex>[mf])-(?P<age>{'|'.join(AGE_BANDS)})"
    r"-(?P<reason>hu|bu|bp|dc|ti|lo|ch|sc|dk)(?:\.[a-z0-9]+)*",
    re.IGNORECASE,
)
_MILLISECONDS = 13


@dataclass(frozen=True)
class DonateacryName:
    """What a Donate-a-Cry file name says.

    Attributes
    ----------
    instance : str
        Id of the app's installation, lower case: an install, not a child.
    time_unix : float
        Seconds since 1970, UTC (Android writes milliseconds, iOS seconds).
    platform : {'android', 'ios'}
    app_version : str
    sex : {'m', 'f'}
    age_band : str
        One of `AGE_BANDS`.
    reason : str
        One of `cryhear.corpus.labels.REASONS`.
    """

    instance: str
    time_unix: float
    platform: str
    app_version: str
    sex: str
    age_band: str
    reason: str


def parse_donateacry_name(name: str) -> DonateacryName | None:
    """Parse a Donate-a-Cry file name.

    Parameters
    ----------
    name : str
        File name, with any extension or none.

    Returns
    -------
    DonateacryName or None
        None where the name does not follow the pattern. Where it holds two UUIDs, the first is
        the instance.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    # The extension does not tell the platform (the cleaned set is all WAV); the clock does.
    android = len(match["time"]) == _MILLISECONDS and "." not in match["time"]
    return DonateacryName(
        instance=match["instance"].lower(),
        time_unix=float(match["time"]) / (1000 if android else 1),
        platform="android" if android else "ios",
        app_version=match["version"],
        sex=match["sex"].lower(),
        age_band=match["age"],
        reason=match["reason"].lower(),
    )


def find_recordings(root: str | os.PathLike[str], set_name: str | None = None) -> pd.DataFrame:
    """List the recordings under a folder.

    Parameters
    ----------
    root : path-like
        A folder; every folder below it is searched. Hidden files and folders and files without an
        audio extension are passed over.
    set_name : str, optional
        Overrides the set that folder names imply.

    Returns
    -------
    pandas.DataFrame
        One row a recording, by folder and name: `path` (absolute), `root`, `corpus` (the root's
        name), `set`, `folder` (below the root, POSIX, '' at the root), `name`, `platform`,
        `app_version`, `sex`, `age_band`, `reason`, `instance`, `time_unix` (s, NaN unknown) and
        `problem`: why a row must not be opened (a link that leaves the root, a pipe),
        or ''.

    Raises
    ------
    CorpusError
        The root is no folder, or holds no recording.
    """
    folder = _resolved(root)
    if not folder.is_dir():
        raise CorpusError(
            f"root {os.fspath(root)} is not a folder; expected a folder of recordings; "
            "check `roots`, or fetch a corpus (`cryhear corpus fetch donateacry`)"
        )
    rows = [_row(folder, path, problem, set_name) for path, problem in walk(folder)]
    if not any(row["problem"] == "" for row in rows):
        refused = [f"{row['path']} is {row['problem']}" for row in rows[:1]]
        raise CorpusError(
            f"root {os.fspath(root)} holds no recording that can be opened"
            + "".join(f" ({len(rows)} cannot: {first})" for first in refused)
            + f"; expected files ending in {' '.join(sorted(EXTENSIONS))}; check `roots`"
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(["folder", "name"], kind="stable", ignore_index=True)


def find_all(roots: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """List the recordings under several roots, each file once.

    Parameters
    ----------
    roots : sequence of path-like
        In order; where one root lies within another, its files belong to the first given. Roots
        of the same name become name, name-2, name-3.

    Returns
    -------
    pandas.DataFrame
        As `find_recordings`.

    Raises
    ------
    CorpusError
        No root is given, or one is unusable.
    """
    roots = [roots] if isinstance(roots, (str, os.PathLike)) else list(roots)
    if not roots:
        raise CorpusError("no root is given; expected at least one folder; set `roots`")
    tables: list[pd.DataFrame] = []
    names: dict[str, int] = {}
    for root in dict.fromkeys(map(_resolved, roots)):
        table = find_recordings(root)
        names[root.name] = count = names.get(root.name, 0) + 1
        if count > 1:
            table = _renamed(table, root.name, f"{root.name}-{count}")
        tables.append(table)
    return pd.concat(tables, ignore_index=True).drop_duplicates("path", ignore_index=True)


def hashed(roots: Sequence[str | os.PathLike[str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find recordings by content: what embedding needs, without a manifest.

    Parameters
    ----------
    roots : sequence of path-like

    Returns
    -------
    recordings : pandas.DataFrame
        `recording` and `path` (absolute) of every file that may be opened, each recording once.
    refused : pandas.DataFrame
        `path` and `problem` of the others.
    """
    read, refused = [], []
    for path, problem in find_all(roots)[["path", "problem"]].itertuples(index=False):
        try:
            if problem:
                refused.append((path, problem))
            else:
                read.append((sha256_of(path)[:ID_DIGITS], path))
        except OSError as error:
            refused.append((path, f"cannot be read ({error.strerror})"))
    table = pd.DataFrame(read, columns=["recording", "path"], dtype=object)
    return (
        table.drop_duplicates("recording", ignore_index=True),
        pd.DataFrame(refused, columns=["path", "problem"], dtype=object),
    )


def _resolved(root: str | os.PathLike[str]) -> Path:
    # Path.resolve raises where links lead in a circle; this gives a path that is no folder.
    return Path(os.path.realpath(root))


def _renamed(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    own = table["instance"].str.startswith(f"{old}/")
    return table.assign(
        corpus=new,
        set=table["set"].mask(table["set"] == old, new),
        instance=table["instance"].mask(own, new + table["instance"].str.slice(len(old))),
    )


def _row(root: Path, path: Path, problem: str, set_name: str | None) -> dict[str, object]:
    below = PurePosixPath(plain(path.relative_to(root).as_posix()))
    folder = "" if below.parent == PurePosixPath(".") else below.parent.as_posix()
    corpus = plain(root.name) or "root"
    parsed = parse_donateacry_name(below.name)
    of_folder = (SETS_BY_FOLDER.get(part) for part in (*below.parent.parts, root.name))
    row: dict[str, object] = {
        "path": plain(str(path)),
        "root": plain(str(root)),
        "corpus": corpus,
        "set": set_name or next(filter(None, of_folder), corpus),
        "folder": folder,
        "name": below.name,
        "problem": problem,
    }
    if parsed is None:
        unknown = dict.fromkeys(("platform", "app_version", "sex", "age_band", "reason"), "")
        return {**row, **unknown, "instance": f"{corpus}/{below}", "time_unix": float("nan")}
    return {**row, **vars(parsed)}
