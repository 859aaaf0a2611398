"""Split recordings: into four parts, into folds, or by one value of a column, whole infants or not.

`recordings` is everywhere a table with one row a recording and the columns `recording` (id),
`infant` (id) and `label` (a name of CLASSES). Every split is the same whatever the order of its
rows: they are put in the order of `recording` first, and the answer goes back to the order given.
`assert_no_overlap` proves that no infant and no recording lies in two parts.

scikit-learn draws the folds, so they depend on its release: since 1.8 the same seed gives other folds by
infant than before, with classes and without (`cryhear verify` names the releases of two runs).
Nothing here looks at a feature.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold, train_test_split

from cryhear.corpus.labels import CLASSES
from cryhear.errors import SplitError

PARTS = ("train", "validation", "test", "holdout")
FRACTIONS = (0.40, 0.15, 0.15, 0.30)
MINIMUM_INFANTS = 3
"""Fewest infants of a class in a part: with two, one infant is half of a class's score."""

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
        Columns needed beside recording, infant and label.

    Raises
    ------
    SplitError
        A column is missing, an id is empty or a label unknown, or there is no row; the message says what
        came, what was expected and what to do.
    """
    if missing := [c for c in ("recording", "infant", "label", *extra) if c not in recordings]:
        raise SplitError(
            f"recordings have no column {', '.join(missing)}; expected recording, infant, label. "
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


def _counted(recordings: pd.DataFrame) -> str:
    """The counts of `class_counts` in words, for errors."""
    return ", ".join(
        f"{name}: {row.recordings} recordings of {row.infants} infants"
        for name, row in class_counts(recordings).iterrows()
    )


def four_way(
    recordings: pd.DataFrame,
    unit: str = "infant",
    seed: int = 42,
    fractions: tuple[float, ...] = FRACTIONS,
    minimum: int = MINIMUM_INFANTS,
) -> pd.Series:
    """Deal recordings into train, validation, test and holdout.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
        Columns `recording` (unique), `infant`, `label`.
    unit : {'infant', 'file'}
        'file' is the original study's: stratified by label, three calls of
        `sklearn.model_selection.train_test_split`, blind to infants. 'infant' deals whole infants,
        those of the rarest class first, in random order, each to the part furthest below its
        target count of recordings of the classes that infant holds.
    seed : int
    fractions : tuple of 4 floats, sum 1
        Target share of the recordings in each of PARTS.
    minimum : int
        Fewest infants of each class in each part (unit 'infant' only).

    Returns
    -------
    pandas.Series of str, named 'part', index of `recordings`

    Raises
    ------
    SplitError
        Columns or fractions are not as above, or a class has too few infants (the message gives
        the counts) or too few files.

    Examples
    --------
    >>> import pandas as pd
    >>> recordings = pd.DataFrame({"recording": [f"r{i}" for i in range(48)]})
    >>> recordings["infant"] = [f"i{i // 2}" for i in range(48)]
    >>> recordings["label"] = [CLASSES[i // 2 % 3] for i in range(48)]
    >>> part = four_way(recordings, unit="infant", minimum=2)
    >>> int(overlap_proof(recordings, part)["shared_infants"].sum())
    0
    >>> part = four_way(recordings, unit="file")
    >>> int(overlap_proof(recordings, part)["shared_infants"].sum())
    16
    """
    recordings = checked(recordings, unique=True)
    if len(fractions) != len(PARTS) or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise SplitError(
            f"fractions are {fractions}; expected {len(PARTS)} positive shares that sum to 1, "
            f"one each for {', '.join(PARTS)}. Change them."
        )
    order = np.argsort(recordings["recording"].to_numpy(), kind="stable")
    ordered = recordings.iloc[order]
    if unit_of(unit, ("infant", "recording")) == "infant":
        parts = _by_infant(ordered, fractions, minimum, np.random.default_rng(seed))
    else:
        parts = _by_file(ordered, fractions, seed)
    part = np.empty(len(recordings), dtype=int)
    part[order] = parts
    return pd.Series(np.array(PARTS, dtype=object)[part], index=recordings.index, name="part")


def _by_file(ordered: pd.DataFrame, fractions: tuple[float, ...], seed: int) -> np.ndarray:
    # As the original: train against the rest, validation against what is left, test against
    # holdout. Its counts (2,655 / 996 / 986 / 2,002) follow from .60, .75 and a last ratio
    # rounded from 2/3 to .67; exact fractions are taken here.
    labels = ordered["label"].to_numpy()
    part = np.full(len(labels), len(PARTS) - 1)
    rest = np.arange(len(labels))
    for number in range(len(PARTS) - 1):
        share = sum(fractions[number + 1 :]) / sum(fractions[number:])
        # Rounded before the ceiling: 2988.0000000000005 files are 2988.
        size = int(np.ceil(round(share * len(rest), 6)))
        try:
            taken, rest = train_test_split(
                rest, test_size=size, random_state=seed, stratify=labels[rest]
            )
        except ValueError as error:
            raise SplitError(
                f"{len(labels)} files ({_counted(ordered)}) cannot be dealt into {len(PARTS)} "
                f"parts: {error}. Expected several files of each class. Use folds() instead."
            ) from error
        part[taken] = number
    return part


def _by_infant(
    ordered: pd.DataFrame, fractions: tuple[float, ...], minimum: int, rng: np.random.Generator
) -> np.ndarray:
    counts = pd.crosstab(ordered["infant"], ordered["label"]).reindex(
        columns=list(CLASSES), fill_value=0
    )
    part = _deal(counts.to_numpy(), fractions, minimum, rng)
    reached = [(counts[part == q] > 0).sum() for q in range(len(PARTS))]
    if np.min(reached) < minimum:
        raise SplitError(
            f"a four-way split by infant of {_counted(ordered)}; expected at least {minimum} "
            f"infants of each class in each of {len(PARTS)} parts. "
            "Fall back to cross-validation: folds()."
        )
    return pd.Series(part, index=counts.index).loc[ordered["infant"]].to_numpy()


def _deal(
    counts: np.ndarray, fractions: tuple[float, ...], minimum: int, rng: np.random.Generator
) -> np.ndarray:
    """Deal infants (rows of `counts`, recordings by class) into parts; see `four_way`."""
    holds, total = counts > 0, np.maximum(counts.sum(0), 1)
    target = np.outer(fractions, counts.sum(0))
    filled, infants = np.zeros_like(target), np.zeros(target.shape, dtype=int)
    part = np.full(len(counts), -1)
    for rarest in np.argsort(holds.sum(0), kind="stable"):
        queue = rng.permutation(np.flatnonzero(holds[:, rarest] & (part < 0)))
        for left, infant in zip(range(len(queue), 0, -1), queue, strict=True):
            lacking = np.maximum(minimum - infants[:, rarest], 0)
            # The last infants of a class are kept for the parts still short of the minimum.
            allowed = lacking > 0 if 0 < left <= lacking.sum() else np.full(len(fractions), True)
            # Half the change of the squared distance to the targets, less what all parts share.
            excess = ((filled - target) * counts[infant] / total**2).sum(1)
            tried = rng.permutation(np.flatnonzero(allowed))
            chosen = tried[np.argmin(excess[tried])]
            part[infant] = chosen
            filled[chosen] += counts[infant]
            infants[chosen] += holds[infant]
    return part


class HeldOut(NamedTuple):
    """One value held out: `test` holds its rows, `train` the others' rows, infants apart.

    Both are positions, int64; `dropped` counts the rows that neither side may use.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    dropped: int


def folds(
    recordings: pd.DataFrame,
    unit: str = "infant",
    n_splits: int = 5,
    seed: int = 0,
    stratify: bool = True,
) -> np.ndarray:
    """Deal recordings into cross-validation folds.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
    unit : {'infant', 'recording', 'file', 'row'}
        What stays whole. 'file' is another word for 'recording'. 'row' takes each row for itself,
        so that augmented copies of one recording (rows of equal `recording`) fall on both sides:
        the ladder's L0.
    n_splits : int, at least 2
    seed : int
    stratify : bool
        Balance the classes over folds. False looks at no label, as a permutation null needs, and
        balances only sizes; a fold may then lack a class.

    Returns
    -------
    numpy.ndarray of int64, shape (n,), values 0 .. n_splits - 1
        The fold in which a row is tested.

    Raises
    ------
    SplitError
        There are fewer units than folds (of a class, where classes are balanced), or a fold came out
        without a class.

    Examples
    --------
    >>> import pandas as pd
    >>> recordings = pd.DataFrame({"recording": [f"r{i}" for i in range(48)]})
    >>> recordings["infant"] = [f"i{i // 2}" for i in range(48)]
    >>> recordings["label"] = [CLASSES[i // 2 % 3] for i in range(48)]
    >>> fold = folds(recordings, unit="infant", n_splits=2)
    >>> bool((fold[::2] == fold[1::2]).all())  # both recordings of an infant in one fold
    True
    """
    unit = unit_of(unit, ("infant", "recording", "row"))
    recordings = checked(recordings, unique=unit == "recording")
    order = np.argsort(recordings["recording"].to_numpy(), kind="stable")
    ordered = recordings.iloc[order]
    y = pd.Categorical(ordered["label"], categories=list(CLASSES)).codes.astype(int)
    _enough(ordered, unit, n_splits, stratify)
    # With one label for all, StratifiedGroupKFold balances sizes and sees no class.
    target = y if stratify else np.zeros_like(y)
    infants = ordered["infant"] if unit == "infant" else None
    sides = _splitter(unit, n_splits, seed, stratify).split(target, target, infants)
    fold = np.empty(len(ordered), dtype=np.int64)
    for number, (_, test) in enumerate(sides):
        fold[order[test]] = number
    held = pd.crosstab(fold, recordings["label"].to_numpy())
    if stratify and (len(held) < n_splits or not held.to_numpy().all()):
        raise SplitError(
            f"a fold of {n_splits} came out without a class; expected every class in each. "
            "Take another seed or fewer folds."
        )
    return fold


def repeated_folds(
    recordings: pd.DataFrame,
    unit: str = "infant",
    n_splits: int = 5,
    n_repeats: int = 10,
    seed: int = 0,
    stratify: bool = True,
) -> np.ndarray:
    """Draw `folds` several times over, with seeds derived from one.

    Returns
    -------
    numpy.ndarray of int64, shape (n_repeats, n)
        Repeat r is the same however many repeats are asked for.
    """
    if n_repeats < 1:
        raise SplitError(f"n_repeats is {n_repeats}; expected at least 1. Change it.")
    seeds = np.random.SeedSequence(seed).generate_state(n_repeats)
    return np.stack([folds(recordings, unit, n_splits, int(s), stratify) for s in seeds])


def leave_out(recordings: pd.DataFrame, column: str = "platform") -> list[HeldOut]:
    """Hold out each value of a column in turn, infants apart: the ladder's L4.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
        With `column`; rows in which it is '' (unknown) are on neither side.
    column : str
        'platform', or 'corpus' where there are several.

    Returns
    -------
    list of HeldOut
        In the order of the values. An infant seen under the value held out is tested, never
        trained on.

    Raises
    ------
    SplitError
        Fewer than two values, or a side that lacks a class.

    Examples
    --------
    >>> import pandas as pd
    >>> recordings = pd.DataFrame({"recording": [f"r{i}" for i in range(48)]})
    >>> recordings["infant"] = [f"i{i // 2}" for i in range(48)]
    >>> recordings["label"] = [CLASSES[i // 2 % 3] for i in range(48)]
    >>> recordings["platform"] = ["ios"] * 24 + ["android"] * 24
    >>> [(held.name, len(held.train), len(held.test)) for held in leave_out(recordings)]
    [('android', 24, 24), ('ios', 24, 24)]
    """
    recordings = checked(recordings, extra=(column,))
    values = recordings[column].to_numpy(dtype=object)
    names = sorted(set(values) - {""})
    if len(names) < 2:
        raise SplitError(
            f"column {column!r} holds {names}; expected at least two values. "
            "Leave this rung out, or take another column."
        )
    infants, labels = recordings["infant"].to_numpy(), recordings["label"].to_numpy()
    held = []
    for name in names:
        is_test = values == name
        is_train = ~is_test & (values != "") & ~np.isin(infants, infants[is_test])
        for side, rows in (("train", is_train), ("test", is_test)):
            if missing := sorted(set(CLASSES) - set(labels[rows])):
                raise SplitError(
                    f"with {column} {name!r} held out, the {side} side lacks {', '.join(missing)}; "
                    "expected every class on both sides. Leave this rung out for these recordings."
                )
        dropped = int((~is_test & ~is_train).sum())
        held.append(HeldOut(name, np.flatnonzero(is_train), np.flatnonzero(is_test), dropped))
    return held


def _splitter(unit: str, n_splits: int, seed: int, stratify: bool) -> Any:
    options: dict[str, Any] = {"n_splits": n_splits, "shuffle": True, "random_state": seed}
    if unit == "infant":
        return StratifiedGroupKFold(**options)
    return (StratifiedKFold if stratify else KFold)(**options)


def _enough(recordings: pd.DataFrame, unit: str, n_splits: int, stratify: bool) -> None:
    """Refuse fewer units than folds, of every class where classes are balanced."""
    if n_splits < 2:
        raise SplitError(f"n_splits is {n_splits}; expected at least 2. Change it.")
    known = recordings.assign(row=np.arange(len(recordings)))
    held = known.groupby("label")[unit].nunique().reindex(list(CLASSES), fill_value=0)
    if not stratify:
        held = pd.Series(known[unit].nunique())
    if (held < n_splits).any():
        raise SplitError(
            f"{n_splits} folds by {unit} of {_counted(recordings)}; expected at least {n_splits} "
            f"{unit}s{' of each class' if stratify else ''}. Take fewer folds or other labels."
        )


def assert_no_overlap(
    recordings: pd.DataFrame,
    assignment: np.ndarray | pd.Series,
    keys: tuple[str, ...] = ("recording", "infant"),
) -> None:
    """Prove that no recording and no infant lies in two parts.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
    assignment : array-like, shape (n,) or (n_repeats, n)
        The part or fold of each row; each repeat is checked for itself. Rows whose part is None,
        NaN or '' are in no part.
    keys : tuple of str
        Columns whose values may not be shared. For a split by file, ('recording',).

    Raises
    ------
    SplitError
        Something is shared; the message counts and names some, with their parts.
    """
    for repeat, parts in enumerate(np.atleast_2d(_assignment(recordings, assignment))):
        placed = np.array([part is not None and part == part and part != "" for part in parts])
        for key in keys:
            held = pd.DataFrame({"key": recordings[key].to_numpy()[placed], "part": parts[placed]})
            by_key = held.drop_duplicates().groupby("key")["part"].agg(list)
            shared = by_key[by_key.str.len() > 1]
            if len(shared):
                named = "; ".join(f"{k} in {p}" for k, p in shared.head(_NAMED).items())
                raise SplitError(
                    f"{len(shared)} {key}(s) lie in more than one part (repeat {repeat}): {named}. "
                    f"Expected every {key} in one part. Split by {key}."
                )


def overlap_proof(recordings: pd.DataFrame, assignment: np.ndarray | pd.Series) -> pd.DataFrame:
    """Count what each pair of parts holds and shares.

    Parameters
    ----------
    recordings : pandas.DataFrame, n rows
        If it has the manifest's column `duplicate_of`, near-duplicates are counted too.
    assignment : array-like, shape (n,)

    Returns
    -------
    pandas.DataFrame, one row a pair of parts
        `part_a`, `part_b`; `recordings_a`, `recordings_b`, `infants_a`, `infants_b`;
        `shared_recordings`, `shared_infants`, and `near_duplicates`: recordings of `part_b` that
        have a near-duplicate in `part_a` (missing where `duplicate_of` is not there to tell).
    """
    parts = _assignment(recordings, assignment)
    if parts.ndim != 1:
        raise SplitError(
            f"assignment has shape {parts.shape}; expected one part a row. Pass one repeat."
        )
    names = [p for p in PARTS if p in set(parts)] or sorted(set(parts))
    held = {name: recordings[parts == name] for name in names}
    return pd.DataFrame([_pair(a, held[a], b, held[b]) for a, b in combinations(names, 2)])


def _pair(name_a: str, a: pd.DataFrame, name_b: str, b: pd.DataFrame) -> dict[str, object]:
    row: dict[str, object] = {"part_a": name_a, "part_b": name_b}
    for key in ("recording", "infant"):
        one, other = set(a[key]), set(b[key])
        row |= {f"{key}s_a": len(one), f"{key}s_b": len(other)}
        row[f"shared_{key}s"] = len(one & other)
    row["near_duplicates"] = pd.NA
    if "duplicate_of" in a:
        # A near-duplicate points at the recording it repeats; others stand for themselves.
        origin_a = set(a["duplicate_of"].where(a["duplicate_of"] != "", a["recording"]))
        origin_b = b["duplicate_of"].where(b["duplicate_of"] != "", b["recording"])
        row["near_duplicates"] = int(
            (origin_b.isin(origin_a) & ~b["recording"].isin(a["recording"])).sum()
        )
    return row


def _assignment(recordings: pd.DataFrame, assignment: np.ndarray | pd.Series) -> np.ndarray:
    parts = np.asarray(assignment, dtype=object)
    if parts.ndim not in (1, 2) or parts.shape[-1] != len(recordings):
        raise SplitError(
            f"assignment has shape {parts.shape} for {len(recordings)} recordings; expected one "
            "part a row. Pass the assignment drawn from these rows."
        )
    return parts
