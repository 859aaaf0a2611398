"""The table of recordings: what was found, what it measures, what copies what, what is used and why.

It joins what `find` read from names, what `audio` measured, what `labels` decided and what
`duplicates` heard. Nothing is dropped: a row that is not used says why.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from cryhear import progress
from cryhear.audio import decode
from cryhear.audio.features import measure
from cryhear.corpus import duplicates, find
from cryhear.corpus import labels as label_rules
from cryhear.errors import AudioError, CorpusError
from cryhear.files import sha256_of

STATUSES = ("unusable", "other set", "duplicate", "short", "unlabelled", "used")
"""Why a recording is left out, in the order tested; 'used' where no reason holds."""

NEARLY_READ = "its name nearly says who cried"
"""How a warning begins that `cryhear.corpus.find.near_miss` gave the rest of."""


def _text(pattern: str = r"(?s).*") -> Any:
    # Checked by value, not by dtype: pandas 2 and 3 hold strings in different dtypes.
    return pa.Column(
        checks=pa.Check(
            lambda s: s.map(lambda v: isinstance(v, str) and bool(re.fullmatch(pattern, v))),
            name=f"text matching {pattern}",
        )
    )


def _number(low: float, high: float) -> Any:
    return pa.Column(float, pa.Check.in_range(low, high), nullable=True, coerce=True)


Schema = pa.DataFrameSchema(
    {
        "recording": _text(r"([0-9a-f]{16})?"),
        "sha256": _text(r"([0-9a-f]{64})?"),
        "corpus": _text("(?s).+"),
        "set": _text("(?s).+"),
        "folder": _text(),
        "name": _text(),
        "codec": _text(),
        "sample_rate": _number(*map(float, decode.SAMPLE_RATES)),
        "channels": _number(1, decode.MAX_CHANNELS),
        "duration_s": _number(0, float("inf")),
        "level_dbfs": _number(-200, float("inf")),
        "peak": _number(0, float("inf")),
        "clipping_share": _number(0, 1),
        "bandwidth_hz": _number(0, decode.SAMPLE_RATES[1] / 2),
        "silence_share": _number(0, 1),
        "platform": _text("(android|ios)?"),
        "app_version": _text(),
        "sex": _text("[fm]?"),
        "age_band": _text(f"({'|'.join(find.AGE_BANDS)})?"),
        "reason": _text(f"({'|'.join(label_rules.REASONS)})?"),
        "time_s": _number(0, float("inf")),
        "instance": _text("(?s).+"),
        "infant": _text("(?s).+"),
        "problem": _text(),
        "warning": pa.Column(checks=_text().checks, required=False),  # tables of before have none
        "duplicate_of": _text(r"([0-9a-f]{16})?"),
        "copy_of": _text(r"([0-9a-f]{16})?"),
    },
    checks=pa.Check(
        lambda t: (t["problem"] != "") | (t["duration_s"].notna() & (t["recording"] != "")),
        name="a recording without a problem was identified and measured",
    ),
)
"""One row a recording found. Numbers are NaN, and text '', where a recording has a problem. `warning`
says what is doubtful of one that may yet be used: a length that its file denies, a name nearly read."""

Selected = Schema.add_columns(
    {
        "label": _text(f"({'|'.join(label_rules.CLASSES)})?"),
        "rule": _text(),
        "rules_matched": _text(),
        "conflict": pa.Column(bool),
        "status": _text("|".join(STATUSES)),
    }
)
"""What `select` makes of it: the class of each recording, the rule that gave it, and whether it is used."""

COLUMNS = tuple(Schema.columns)

_MEASURED = (
    "sample_rate", "channels", "duration_s", "level_dbfs", "peak", "clipping_share",
    "bandwidth_hz", "silence_share",
)  # fmt: skip


def validate(table: pd.DataFrame) -> pd.DataFrame:
    """Check a manifest, and its labels where it has them; further columns are let through.

    Raises
    ------
    CorpusError
        A column is missing or holds what it should not; the first cases are named.
    """
    try:
        return (Selected if "label" in table else Schema).validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases[["column", "check", "failure_case", "index"]].head(5)
        found = "; ".join(
            f"{c.column or 'table'}: {c.failure_case!r} (row {c.index}) fails {c.check}"
            for c in cases.itertuples(index=False)
        )
        raise CorpusError(
            f"the manifest is not valid: {found}; expected the columns of cryhear.corpus.manifest.Schema; "
            "make it anew with cryhear.corpus.manifest.build"
        ) from error


def build(
    roots: Sequence[str | os.PathLike[str]], jobs: int = 1, limit_s: float = 600.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the manifest of all recordings under some folders.

    Parameters
    ----------
    roots : sequence of path-like
        Folders of recordings, in order of precedence among copies.
    jobs : int
        Processes.
    limit_s : float
        Longest recording taken, seconds.

    Returns
    -------
    manifest : pandas.DataFrame
        `Schema`, ordered by root, folder and name. A recording that cannot be used is there with
        its problem.
    paths : pandas.DataFrame
        `recording` and `path` (absolute) of the recordings without a problem, each once: kept
        apart, because a path tells what a published manifest must not.

    Raises
    ------
    CorpusError
        A root is no folder or holds no recording.
    """
    from joblib import Parallel, delayed

    found = find.find_all(roots)
    rows = found[["path", "problem"]].itertuples(index=False)
    looks = Parallel(n_jobs=jobs, return_as="generator")(delayed(_look)(*r, limit_s) for r in rows)
    looked = list(progress.bar(looks, total=len(found), unit="recording"))
    table = pd.concat(
        [found.drop(columns="problem"), pd.DataFrame([row for row, _ in looked])], axis=1
    )
    table["warning"] = [_doubts(*row) for row in zip(table["name"], table["warning"], strict=True)]
    pairs = _same_sound(table, [heard for _, heard in looked])
    table["time_s"] = table["time_unix"] - table.groupby("instance")["time_unix"].transform("min")
    table["infant"] = _infants(table, pairs)
    table["duplicate_of"], table["copy_of"] = _copies(table, pairs)
    usable = table[table["problem"] == ""].drop_duplicates("recording")
    return validate(table[list(COLUMNS)]), usable[["recording", "path"]].reset_index(drop=True)


def _look(path: str, problem: str, limit_s: float) -> tuple[dict[str, Any], np.ndarray | None]:
    """Hash, decode and measure one recording; say what is wrong with it instead of raising."""
    row: dict[str, Any] = dict.fromkeys(("recording", "sha256", "codec", "warning"), "")
    row |= dict.fromkeys(_MEASURED, float("nan")) | {"problem": problem}
    if problem:
        return row, None
    try:
        row["sha256"] = sha256_of(path)
        row["recording"] = row["sha256"][: find.ID_DIGITS]
        decoded = decode.decode(path, sample_rate=None, limit_s=limit_s)
        measured = measure(decoded.samples, decoded.sample_rate)
        heard = duplicates.waveform(decoded.samples, decoded.sample_rate)
    except (AudioError, OSError) as error:
        # The path says who recorded it, and where on this machine: the reason will do.
        why = error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ")
        return {**row, "problem": why or type(error).__name__}, None
    return {**row, **asdict(decoded.source), **measured}, duplicates.fingerprint(heard)


def _doubts(name: str, warning: str) -> str:
    near = find.near_miss(name)
    return "; ".join(filter(None, [warning, near and f"{NEARLY_READ}: {near}"]))


def _same_sound(table: pd.DataFrame, heard: list[np.ndarray | None]) -> list[tuple[int, int]]:
    """Pairs of rows that are equal in bytes or nearly equal in waveform."""
    known = table.index[table["sha256"] != ""]
    first = table.loc[known].groupby("sha256", sort=False).head(1)
    origin = dict(zip(first["sha256"], first.index, strict=True))
    exact = [(origin[table.at[i, "sha256"]], i) for i in known]
    rows = [i for i in first.index if heard[i] is not None]

    def load(row: int) -> np.ndarray:
        path = str(table.at[rows[row], "path"])
        decoded = decode.decode(path, sample_rate=None, limit_s=float("inf"))
        return duplicates.waveform(decoded.samples, decoded.sample_rate)

    prints = np.stack([heard[i] for i in rows]) if rows else np.zeros((0, 1), np.float16)
    near = duplicates.near_duplicates(prints, load)
    return [pair for pair in exact if pair[0] != pair[1]] + [(rows[i], rows[j]) for i, j, _ in near]


def _infants(table: pd.DataFrame, pairs: list[tuple[int, int]]) -> np.ndarray:
    """Instances joined over recordings that hold the same sound: the least id of those joined."""
    codes, instances = pd.factorize(table["instance"], sort=True)
    # Two files that are both empty say nothing about whose they are.
    usable = (table["problem"] == "").to_numpy()
    edges = [(codes[i], codes[j]) for i, j in pairs if usable[i] and usable[j]]
    return np.asarray(instances)[duplicates.groups(len(instances), edges)[codes]]


def _copies(table: pd.DataFrame, pairs: list[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """For each row, the earlier recording of its own set, and of an earlier set, that it repeats.

    Sets rank in order of appearance, but uploads before the cleaned set made from them.
    """
    duplicate_of, copy_of = [""] * len(table), [""] * len(table)
    names = sorted(table["set"].unique(), key=lambda name: name == "cleaned")
    rank = table["set"].map({name: i for i, name in enumerate(names)}).to_numpy()
    stems = [PurePosixPath(name).stem for name in table["name"]]
    ids = table["recording"].tolist()
    component = pd.Series(duplicates.groups(len(table), pairs))
    for members in component.groupby(component).indices.values():
        ordered = sorted(members, key=lambda i: (rank[i], i))
        heads: dict[int, int] = {}
        for i in ordered:
            if heads.setdefault(rank[i], i) != i:
                duplicate_of[i] = ids[heads[rank[i]]]
            if rank[i] != rank[ordered[0]]:
                of_first = [j for j in ordered if rank[j] == rank[ordered[0]]]
                namesake = next((j for j in of_first if stems[j] == stems[i]), of_first[0])
                copy_of[i] = ids[namesake]
    return duplicate_of, copy_of


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
    table = label_rules.assign(manifest, labels)
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
    table = table.assign(why=why_left_out(table), warning=_warnings(table))
    usable = table["problem"] == ""
    repeated = (table["duplicate_of"] != "") | (table["copy_of"] != "")
    found = {
        "sets": _sets(table),
        "counts": _counts(table[table["status"] == "used"]),
        "formats": _formats(table),
        "names": names_read(manifest),
        "problems": table.loc[~usable, [*who, "problem"]],
        "warnings": table.loc[usable & (table["warning"] != ""), [*who, "warning"]],
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
        warning=_warnings(manifest).str.replace(nearly, r"\1", regex=True),
        instance=manifest["instance"].map(hashed),
        infant=manifest["infant"].map(hashed),
        folder=manifest["folder"].map(_public_folder),
        name=manifest["name"].map(label_rules.keywords),
    )


def _public_folder(folder: str) -> str:
    known = {*find.SETS_BY_FOLDER, *find.CLEANED_FOLDERS}
    parts = (p if p in known else label_rules.keywords(p) for p in folder.split("/"))
    return "/".join(part or "-" for part in parts) if folder else ""
