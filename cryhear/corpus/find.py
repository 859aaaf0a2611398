"""Find recordings under a root, and read what their folders and names say.

A name says who cried, when and why where it follows Donate-a-Cry's (Veres 2015), whoever wrote it::

    <id>-<time>-<version>-<sex>-<age>-<reason>      baby07-1430742197000-1.0-m-04-hu.wav

=========  =======================================================================================
id         any text: the app's installation there, the infant elsewhere. The same id, whatever its
           capitals, is the same infant, in every folder and every root.
time       milliseconds since 1970 (13 digits) or seconds (10 digits, perhaps with decimals), UTC
version    numbers with points: the app's, or 1.0
sex        m or f
age        `AGE_BANDS`: 04 (0 to 4 weeks), 48 (4 to 8), 26 (2 to 6 months), 72 (7 months to 2
           years), 22 (over 2 years)
reason     hu, bu, bp, dc, ti, lo, ch, sc or dk: `cryhear.corpus.labels.REASONS`
=========  =======================================================================================

Of any other name nothing is read: each such recording is its own instance, because nothing says
which of them share an infant. A name that nearly follows the pattern is listed (`near_miss`).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from cryhear.audio.decode import EXTENSIONS
from cryhear.corpus.folders import others, plain, walk
from cryhear.errors import CorpusError
from cryhear.files import sha256_of

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
_FIELDS = {
    "time": (r"\d{13}|\d{10}(?:\.\d+)?", "13 digits (milliseconds) or 10 (seconds)"),
    "version": (r"\d+(?:\.\d+)*", "numbers with points, such as 1.0"),
    "sex": ("[mf]", "m or f"),
    "age": ("|".join(AGE_BANDS), f"one of {', '.join(AGE_BANDS)}"),
    "reason": ("hu|bu|bp|dc|ti|lo|ch|sc|dk", "hu, bu, bp, dc, ti, lo, ch, sc or dk"),
}
# Two iOS names carry a second UUID before the sex, one of them also a fraction of a second and a
# version without its '.0', and both a doubled extension.
_GRAMMAR = "(?P<instance>.*?\\S)-" + "-".join(
    (rf"(?P<{name}>{pattern})" + (f"(?:-{_UUID})?" if name == "version" else ""))
    for name, (pattern, _) in _FIELDS.items()
)
_NAME = re.compile(rf"{_GRAMMAR}(?:\.[a-z0-9]+)*", re.IGNORECASE | re.DOTALL)
_MILLISECONDS = 13


@dataclass(frozen=True)
class DonateacryName:
    """What a name in the pattern of Donate-a-Cry says.

    Attributes
    ----------
    instance : str
        The id, its capitals folded: of the app's installation there, of the infant elsewhere.
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
        instance=_folded(match["instance"]),
        time_unix=float(match["time"]) / (1000 if android else 1),
        platform="android" if android else "ios",
        app_version=match["version"],
        sex=match["sex"].lower(),
        age_band=match["age"],
        reason=match["reason"].lower(),
    )


def near_miss(name: str) -> str:
    """Why a name that nearly follows the pattern is not read.

    Parameters
    ----------
    name : str
        File name with its extension.

    Returns
    -------
    str
        '' where it follows the pattern, or is nothing like it.

    Examples
    --------
    >>> near_miss("baby07-1430742197000-1.0-m-05-hu.wav")
    "age is '05', not one of 04, 48, 26, 72, 22"
    >>> near_miss("cry-3.wav")
    ''
    """
    if parse_donateacry_name(name):
        return ""
    stem = re.sub(r"(?:\.[a-z]\w{0,4})+$", "", name, flags=re.IGNORECASE | re.ASCII)
    begins = re.match(_GRAMMAR, stem, re.IGNORECASE | re.DOTALL)
    if begins and not stem[begins.end()].isalnum():
        return f"{stem[begins.end() :]!r} follows the reason"
    found: list[str] = []
    for separator in "-_ ":
        fields = [field.strip() for field in stem.split(separator)]
        for lost in (None, "version", "reason", "age", "sex", "time"):  # one field may be missing
            names = [field for field in _FIELDS if field != lost]
            values = dict(zip(names, fields[-len(names) :], strict=False))
            wrong = [
                f"{field} is {value!r}, not {_FIELDS[field][1]}"
                for field, value in values.items()
                if not re.fullmatch(_FIELDS[field][0], value, re.IGNORECASE)
            ]
            if len(values) < len(names) or len(wrong) + (lost is not None) > 2:
                continue
            said = [f"{lost} is missing"] * (lost is not None)
            said += [f"the separator is {separator!r}, not '-'"] * (separator != "-")
            said += ["the id is missing"] * (len(fields) <= len(names) or not fields[0])
            found.append("; ".join([*wrong, *said]))
    return min(found, key=lambda said: said.count(";"), default="")


def _folded(identity: str) -> str:
    """An id with its capitals folded: the same on a disk that keeps them and on one that does not."""
    return unicodedata.normalize("NFC", identity.strip()).casefold()


def find_recordings(root: str | os.PathLike[str]) -> pd.DataFrame:
    """List the recordings under a folder.

    Parameters
    ----------
    root : path-like
        A folder; every folder below it is searched. Hidden files and folders and files without an
        audio extension are passed over.

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
    folder, called = _resolved(root), _called(root)
    if not folder.is_dir():
        raise CorpusError(
            f"root {os.fspath(root)} is not a folder; expected a folder of recordings; "
            "check `roots`, or fetch a corpus (`cryhear corpus fetch donateacry`)"
        )
    rows = [_row(folder, called, path, problem) for path, problem in walk(folder)]
    if all(row["problem"] for row in rows):
        first = f" ({len(rows)} cannot: {rows[0]['path']} is {rows[0]['problem']})" if rows else ""
        raise CorpusError(
            f"root {os.fspath(root)} holds no recording that can be opened{first}; expected files "
            f"ending in {' '.join(sorted(EXTENSIONS))}; check `roots`"
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
    if not roots:
        raise CorpusError("no root is given; expected at least one folder; set `roots`")
    tables: list[pd.DataFrame] = []
    names: dict[str, int] = {}
    first: dict[Path, str | os.PathLike[str]] = {}
    for root in roots:
        first.setdefault(_resolved(root), root)
    for root in first.values():
        table, called = find_recordings(root), _called(root)
        names[called] = count = names.get(called, 0) + 1
        if count > 1:
            table = _renamed(table, called, f"{called}-{count}")
        tables.append(table)
    return pd.concat(tables, ignore_index=True).drop_duplicates("path", ignore_index=True)


def passed_over(roots: Sequence[str | os.PathLike[str]]) -> pd.DataFrame:
    """List the files that are not looked at as recordings.

    Parameters
    ----------
    roots : sequence of path-like

    Returns
    -------
    pandas.DataFrame
        `root` (its name), `file` (below it, POSIX) and `reason`, by folder and name.
    """
    rows = [
        (_called(root), plain(path.relative_to(_resolved(root)).as_posix()), reason)
        for root in roots
        for path, reason in others(_resolved(root))
    ]
    return pd.DataFrame(sorted(rows), columns=["root", "file", "reason"], dtype=object)


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


def _called(root: str | os.PathLike[str]) -> str:
    """A root's name as it was given: a link keeps its own."""
    return plain(Path(os.path.abspath(root)).name) or "root"


def _renamed(table: pd.DataFrame, old: str, new: str) -> pd.DataFrame:
    own = table["instance"].str.startswith(f"{old}/")
    return table.assign(
        corpus=new,
        set=table["set"].mask(table["set"] == old, new),
        instance=table["instance"].mask(own, new + table["instance"].str.slice(len(old))),
    )


def _row(root: Path, corpus: str, path: Path, problem: str) -> dict[str, object]:
    below = PurePosixPath(plain(path.relative_to(root).as_posix()))
    folder = "" if below.parent == PurePosixPath(".") else below.parent.as_posix()
    parsed = parse_donateacry_name(below.name)
    of_folder = (SETS_BY_FOLDER.get(part) for part in (*below.parent.parts, corpus, root.name))
    row: dict[str, object] = {
        "path": plain(str(path)),
        "root": plain(str(root)),
        "corpus": corpus,
        "set": next(filter(None, of_folder), corpus),
        "folder": folder,
        "name": below.name,
        "problem": problem,
    }
    if parsed is None:
        unknown = dict.fromkeys(("platform", "app_version", "sex", "age_band", "reason"), "")
        return {**row, **unknown, "instance": f"{corpus}/{below}", "time_unix": float("nan")}
    return {**row, **vars(parsed)}
