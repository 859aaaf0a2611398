"""The check that proves that no infant and no recording lies in two parts of a split."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from cryhear.errors import SplitError

PARTS = ("train", "validation", "test", "holdout")
_NAMED = 3  # offenders an error message names


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
