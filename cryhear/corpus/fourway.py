"""Deal recordings into train, validation, test and holdout: by file as the original did, or by infant."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from cryhear.corpus.labels import CLASSES
from cryhear.corpus.overlap import PARTS
from cryhear.corpus.roster import checked, counts_text, unit_of
from cryhear.errors import SplitError

FRACTIONS = (0.40, 0.15, 0.15, 0.30)
MINIMUM_INFANTS = 3
"""Fewest infants of a class in a part: with two, one infant is half of a class's score."""


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
    >>> from cryhear.corpus.overlap import overlap_proof
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
        dealt = _by_infant(ordered, fractions, minimum, np.random.default_rng(seed))
    else:
        dealt = _by_file(ordered, fractions, seed)
    part = np.empty(len(recordings), dtype=int)
    part[order] = dealt
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
                f"{len(labels)} files ({counts_text(ordered)}) cannot be dealt into {len(PARTS)} "
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
    holds = counts.to_numpy() > 0
    if (holds.sum(0) < minimum * len(PARTS)).any():
        raise SplitError(_too_few(ordered, minimum))
    part = _deal(counts.to_numpy(), fractions, minimum, rng)
    reached = np.array([holds[part == q].sum(0) for q in range(len(PARTS))])
    if (reached < minimum).any():
        raise SplitError(_too_few(ordered, minimum))
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


def _too_few(recordings: pd.DataFrame, minimum: int) -> str:
    return (
        f"a four-way split by infant of {counts_text(recordings)}; expected at least {minimum} "
        f"infants of each class in each of {len(PARTS)} parts. "
        "Fall back to cross-validation: folds()."
    )
