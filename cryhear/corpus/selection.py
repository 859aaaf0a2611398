"""Choose from the manifest: what a study uses and why the rest is left out, and what may be told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.find import CLEANED_FOLDERS, SETS_BY_FOLDER
from cryhear.corpus.labels import assign, keywords
from cryhear.errors import CorpusError

STATUSES = ("unusable", "other set", "duplicate", "short", "unlabelled", "used")
"""Why a recording is left out, in the order tested; 'used' where no reason holds."""


NEARLY_READ = "its name nearly says who cried"
"""How a warning begins that `cryhear.corpus.find.near_miss` gave the rest of."""


def select(
    manifest: pd.DataFrame,
    set: str | Iterable[str] | None = None,
    labels: str = "original",
    minimum_duration_s: float = 2.0,
) -> pd.DataFrame:
    """Say of each recording whether a study uses it, or why not.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Not changed.
    set : str or iterable of str, optional
        The sets to use; None or 'all' uses all. Of a recording and its copy in another set used, only the
        recording counts.
    labels : str
        A preset of `cryhear.corpus.labels.PRESETS`.
    minimum_duration_s : float
        Shortest recording used, seconds.

    Returns
    -------
    pandas.DataFrame
        A copy with the columns of `cryhear.corpus.labels.assign` and `status`, one of `STATUSES`.

    Raises
    ------
    CorpusError
        No recording belongs to a set asked for.
    """
    table = assign(manifest, labels)
    known = table["set"].unique().tolist()
    sets = known if set in (None, "all") else [set] if isinstance(set, str) else list(set)
    for name in sets:
        if name not in known:
            raise CorpusError(
                f"set {name!r} is not in the manifest; expected one of {', '.join(known)}; "
                "set `set` to one of them"
            )
    inside = table["set"].isin(sets)
    held = table[inside & (table["problem"] == "")]
    kept = {(row.set, row.recording) for row in held.itertuples()}
    # A copy equal in bytes bears its original's id, so the set has to differ.
    copied = np.array(
        [
            any((other, row.copy_of) in kept for other in sets if other != row.set)
            for row in table.itertuples()
        ],
        dtype=bool,
    )
    reasons = [
        table["problem"] != "",
        ~inside,
        (table["duplicate_of"] != "") | copied,
        table["duration_s"] < minimum_duration_s,
        table["label"] == "",
    ]
    return table.assign(status=np.select(reasons, STATUSES[:-1], default=STATUSES[-1]))


def why_left_out(selected: pd.DataFrame, minimum_duration_s: float = 2.0) -> pd.Series:
    """Say of each recording why it is not used.

    Parameters
    ----------
    selected : pandas.DataFrame
        From `select`.
    minimum_duration_s : float
        As given to `select`, seconds.

    Returns
    -------
    pandas.Series of str
        One sentence a row; '' where the recording is used.
    """

    def why(row: Any) -> str:
        if row.status == "short":
            return f"{row.duration_s:.1f} s long, shorter than {minimum_duration_s:g} s"
        if row.status == "duplicate":
            return f"the same sound as {row.duplicate_of or row.copy_of}"
        if row.status == "unlabelled":
            denied = [m.split("=")[1] for m in row.rules_matched.split(";") if m.startswith("not ")]
            words = ", ".join(denied)
            return f"its name denies: {words}" if denied else "no word or code that a rule knows"
        said = {"unusable": row.problem, "other set": f"of the set {row.set}"}
        return said.get(row.status, "")

    return pd.Series([why(row) for row in selected.itertuples()], selected.index, dtype=object)


def names_read(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count the names that say who cried.

    Returns
    -------
    pandas.DataFrame
        By `set`: `recordings`, `read` (names in the pattern of `cryhear.corpus.find`), `nearly` (names
        that miss it narrowly, see the warnings) and `unknown`, recordings that therefore count as an
        infant each unless they sound alike.
    """
    read, doubts = manifest["reason"] != "", _warnings(manifest)
    nearly = doubts.str.contains(NEARLY_READ, regex=False)
    counts = pd.DataFrame(
        {"set": manifest["set"], "read": read, "nearly": nearly, "unknown": ~read}
    )
    table = counts.groupby("set", sort=False).sum().astype("int64")
    table.insert(0, "recordings", counts.groupby("set", sort=False).size())
    return table.reset_index()


def _warnings(manifest: pd.DataFrame) -> pd.Series:
    if "warning" in manifest:
        return manifest["warning"]
    return pd.Series("", manifest.index, dtype=object)


def audit(manifest: pd.DataFrame, labels: str = "original") -> dict[str, pd.DataFrame]:
    """List what a reader must know before trusting a corpus.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Not changed.
    labels : str
        A preset of `cryhear.corpus.labels.PRESETS`.

    Returns
    -------
    dict of str to pandas.DataFrame
        `sets`: recordings by set and status of `select` (each set on its own), copies of another
        set's recordings, and infants used; `counts`: recordings, infants and minutes used by set
        and class; `formats`, recordings by ending and encoding; `names` of `names_read`; `problems`,
        `warnings` (used, but doubtful), `conflicts` (rules that disagree), `duplicates` (within a set and
        across), `unlabelled` and `left out`, all
        that are not used, with the reason: the recordings concerned.
    """
    sets = manifest["set"].unique()
    table = pd.concat([select(manifest[manifest["set"] == name], name, labels) for name in sets])
    who = ["recording", "set", "folder", "name", "reason"]
    table = table.assign(why=why_left_out(table))
    warned = ["warning"] if "warning" in table else []
    usable = table["problem"] == ""
    repeated = (table["duplicate_of"] != "") | (table["copy_of"] != "")
    found = {
        "sets": _sets(table),
        "counts": _counts(table[table["status"] == "used"]),
        "formats": _formats(table),
        "names": names_read(manifest),
        "problems": table.loc[~usable, [*who, "problem"]],
        "warnings": table.loc[usable & (_warnings(table) != ""), [*who, *warned]],
        "conflicts": table.loc[table["conflict"], [*who, "label", "rules_matched"]],
        "duplicates": table.loc[repeated, [*who, "duplicate_of", "copy_of"]],
        "unlabelled": table.loc[usable & (table["label"] == ""), who],
        "left out": table.loc[table["status"] != "used", [*who, "status", "why"]],
    }
    return {name: part.reset_index(drop=True) for name, part in found.items()}


def _sets(table: pd.DataFrame) -> pd.DataFrame:
    statuses = [status for status in STATUSES if status != "other set"]
    counts = pd.crosstab(table["set"], table["status"]).reindex(columns=statuses, fill_value=0)
    counts.columns.name = None
    counts.insert(0, "found", table.groupby("set").size())
    counts["copies"] = table["copy_of"].ne("").groupby(table["set"]).sum()
    used = table[table["status"] == "used"]
    counts["infants"] = used.groupby("set")["infant"].nunique()
    return counts.fillna({"infants": 0}).astype("int64").reset_index()


def _formats(table: pd.DataFrame) -> pd.DataFrame:
    endings = table["name"].str.extract(r"(\.[^.]+)$", expand=False).fillna("").str.lower()
    keys = {"ending": endings, "codec": table["codec"].replace("", "not read")}
    return table.assign(**keys).groupby(list(keys)).size().rename("recordings").reset_index()


def _counts(used: pd.DataFrame) -> pd.DataFrame:
    return used.groupby(["set", "label"], as_index=False).agg(
        recordings=("recording", "size"),
        infants=("infant", "nunique"),
        minutes=("duration_s", lambda seconds: seconds.sum() / 60),
    )


def publishable(manifest: pd.DataFrame, salt: str) -> pd.DataFrame:
    """Take out of a manifest what could lead back to a person.

    Instance and infant ids become 12 hexadecimal digits of their salted SHA-256; names go, and of
    a folder only the corpus's own names and the words that decide a label stay. Times are
    relative already. A recording's SHA-256 still finds its file, for those who have it.

    Parameters
    ----------
    manifest : pandas.DataFrame
        Not changed.
    salt : str
        The same salt gives the same ids. Where ids must not be guessed from the names, keep it secret;
        that of `data/` is public, as the names are.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    CorpusError
        The salt is empty.
    """
    if not salt:
        raise CorpusError("the salt is empty; expected some text; ids could be guessed without it")

    def hashed(identity: str) -> str:
        return hashlib.sha256(f"{salt}\0{identity}".encode()).hexdigest()[:12]

    nearly = rf"({NEARLY_READ}):.*"  # what follows quotes the name
    return manifest.assign(
        **(
            {"warning": _warnings(manifest).str.replace(nearly, r"\1", regex=True)}
            if "warning" in manifest
            else {}
        ),
        instance=manifest["instance"].map(hashed),
        infant=manifest["infant"].map(hashed),
        folder=manifest["folder"].map(_public_folder),
        name=manifest["name"].map(keywords),
    )


def _public_folder(folder: str) -> str:
    known = {*SETS_BY_FOLDER, *CLEANED_FOLDERS}
    parts = (p if p in known else keywords(p) for p in folder.split("/"))
    return "/".join(part or "-" for part in parts) if folder else ""
