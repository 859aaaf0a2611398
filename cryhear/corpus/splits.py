"""Folds, by file or by infant, and one value of a column held out; the front door to all splits.

`recordings` is everywhere a table with one row a recording and the columns `recording` (id),
`infant` (id) and `label` (a name of CLASSES). Every split is the same whatever the order of its
rows: they are put in the order of `recording` first, and the answer goes back to the order given.

scikit-learn draws the folds, so they depend on its release: since 1.8 the same seed gives other folds by
infant than before, with classes and without (`cryhear verify` names the releases of two runs).

Nothing here looks at a feature. Four-way splits are dealt in `cryhear.corpus.fourway`, the proof that nothing
overlaps is `cryhear.corpus.overlap`; both are had from here, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

from cryhear.corpus.fourway import FRACTIONS, MINIMUM_INFANTS, four_way
from cryhear.corpus.labels import CLASSES
from cryhear.corpus.overlap import PARTS, assert_no_overlap, overlap_proof
from cryhear.corpus.roster import checked, class_counts, counts_text, unit_of
from cryhear.errors import SplitError

__all__ = [
    "FRACTIONS",
    "MINIMUM_INFANTS",
    "PARTS",
    "HeldOut",
    "assert_no_overlap",
    "class_counts",
    "folds",
    "four_way",
    "leave_out",
    "overlap_proof",
    "repeated_folds",
]


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
    if stratify:
        _enough_units(ordered, unit, n_splits)
    elif (units := len(ordered) if unit == "row" else ordered[unit].nunique()) < n_splits:
        raise SplitError(
            f"{n_splits} folds by {unit} of {units} {unit}s; expected at least {n_splits}. Take fewer folds."
        )
    fold = np.empty(len(ordered), dtype=np.int64)
    for number, (_, test) in enumerate(_sides(unit, n_splits, seed, stratify, ordered, y)):
        fold[order[test]] = number
    if stratify:
        _every_class_in_every_fold(recordings, fold, n_splits)
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


def _sides(
    unit: str, n_splits: int, seed: int, stratify: bool, ordered: pd.DataFrame, y: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold."""
    rows = np.zeros(len(y))
    options: dict[str, Any] = {"n_splits": n_splits, "shuffle": True, "random_state": seed}
    if unit == "infant":
        # With one label for all, StratifiedGroupKFold balances sizes and sees no class.
        target = y if stratify else np.zeros_like(y)
        yield from StratifiedGroupKFold(**options).split(rows, target, ordered["infant"])
    else:
        yield from (StratifiedKFold if stratify else KFold)(**options).split(rows, y)


def _enough_units(recordings: pd.DataFrame, unit: str, n_splits: int) -> None:
    if n_splits < 2:
        raise SplitError(f"n_splits is {n_splits}; expected at least 2. Change it.")
    counts = class_counts(recordings)
    units = recordings["label"].value_counts() if unit == "row" else counts[f"{unit}s"]
    if (units.reindex(list(CLASSES), fill_value=0) < n_splits).any():
        raise SplitError(
            f"{n_splits} folds by {unit} of {counts_text(recordings)}; expected at least "
            f"{n_splits} {unit}s of each class. Take fewer folds or other labels."
        )


def _every_class_in_every_fold(recordings: pd.DataFrame, fold: np.ndarray, n_splits: int) -> None:
    held = pd.crosstab(fold, recordings["label"].to_numpy())
    held = held.reindex(index=range(n_splits), columns=list(CLASSES), fill_value=0)
    if (held == 0).to_numpy().any():
        raise SplitError(
            f"a fold came out without a class: {held.to_dict('index')}; expected every class in "
            f"each of {n_splits} folds. Take another seed or fewer folds."
        )
