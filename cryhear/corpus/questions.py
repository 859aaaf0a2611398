"""Which chapters' questions a set of recordings allows, and what to tell a reader where it does not.

What can be known from labels and names alone is known before anything runs: `cryhear corpus check`
says it, and a chapter that cannot be asked has these sentences as its page.
"""

from __future__ import annotations

import pandas as pd

from cryhear.corpus.labels import CLASSES, display_name

COMPARING = (
    "05_classical",
    "06_mlp",
    "07_crossvalidation",
    "08_evaluation",
    "09_leakage",
    "10_controls",
    "11_robustness",
    "model",
)
"""Chapters, and the model a study leaves behind, that compare the three classes."""

FOLDED = ("07_crossvalidation", "09_leakage", "10_controls", "11_robustness", "model")
"""Those that hold infants out fold by fold."""

FOLDS = 5
"""Folds unless a study asks for others: a class needs an infant for each."""


def limits(used: pd.DataFrame, folds: int = FOLDS) -> list[tuple[tuple[str, ...], str]]:
    """What a set of recordings cannot be asked: the chapters concerned, and why, a sentence each.

    Parameters
    ----------
    used : pandas.DataFrame
        ``label`` and ``infant``, one row a used recording.
    folds : int
        How many folds a chapter draws over infants.

    Examples
    --------
    >>> few = pd.DataFrame({"label": ["pain", "hunger"], "infant": ["a", "b"]})
    >>> for chapters, sentence in limits(few):
    ...     print(len(chapters), sentence.split(":")[0])
    8 No class neurological
    5 Fewer than 5 infants of pain (1), hunger (1)
    0 No infant has two recordings
    """
    infants = used.groupby("label")["infant"].nunique().reindex(CLASSES, fill_value=0)
    found: list[tuple[tuple[str, ...], str]] = []
    missing = [display_name(name) for name, n in infants.items() if n == 0]
    if missing:
        found.append((COMPARING, (
            f"No class {' and no class '.join(missing)}: chapters {_numbers(COMPARING)} compare the three "
            "classes and cannot be asked, and no model is trained."
        )))  # fmt: skip
    few = [f"{display_name(name)} ({n})" for name, n in infants.items() if 0 < n < folds]
    if few:
        found.append((FOLDED, (
            f"Fewer than {folds} infants of {', '.join(few)}: chapters {_numbers(FOLDED)}, which hold "
            f"infants out in {folds} folds, cannot be asked, and no model is trained."
        )))  # fmt: skip
    if len(used) and not used["infant"].duplicated().any():
        found.append(((), (
            "No infant has two recordings: whether cries of one infant are alike, and what keeping "
            "infants apart changes, cannot be asked. If several recordings are of one child, say so in "
            "their names."
        )))  # fmt: skip
    return found


def refusal(used: pd.DataFrame, chapter: str, folds: int = FOLDS) -> str:
    """Why a chapter (``09_leakage``, or ``model``) cannot be asked of these recordings; '' if it can."""
    return next((why for chapters, why in limits(used, folds) if chapter in chapters), "")


def unnamed(used: pd.DataFrame) -> str:
    """A sentence where names do not say who cried, for the top of pages that speak of infants; else ''.

    Parameters
    ----------
    used : pandas.DataFrame
        ``reason``, which every name that is read gives, one row a used recording.
    """
    unknown = int((used["reason"] == "").sum())
    if not unknown:
        return ""
    return (
        f"Nobody knows who cried in {unknown:,} of these {len(used):,} recordings, as their names do not "
        "say it: each counts as an infant of its own. Where the same child was recorded twice, keeping "
        "infants apart keeps nothing apart, and scores for new infants are too high."
    )


def _numbers(chapters: tuple[str, ...]) -> str:
    numbers = [int(name.split("_")[0]) for name in chapters if name[0].isdigit()]
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def by_set(manifest: pd.DataFrame, labels: str) -> list[str]:
    """What every set that a manifest holds cannot be asked, a sentence each, its set's name before it."""
    from cryhear.corpus.manifest import select

    sentences = []
    for name in sorted(manifest["set"].unique()):
        own = select(manifest, set=name, labels=labels)
        used = own[own["status"] == "used"]
        said = [unnamed(used), *(why for _, why in limits(used))]
        sentences += [f"{name}: {sentence}" for sentence in said if sentence]
    return sentences
