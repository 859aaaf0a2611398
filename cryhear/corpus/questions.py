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


def refusal(used: pd.DataFrame, chapter: str, folds: int = FOLDS) -> str:
    """Why a chapter cannot be asked of these recordings, in a sentence for its reader; '' if it can.

    Parameters
    ----------
    used : pandas.DataFrame
        ``label`` and ``infant``, one row a used recording.
    chapter : str
        ``09_leakage``, or ``model``.
    folds : int
        How many folds it draws over infants.
    """
    if chapter not in COMPARING:
        return ""
    infants = used.groupby("label")["infant"].nunique().reindex(CLASSES, fill_value=0)
    missing = [display_name(name) for name, n in infants.items() if n == 0]
    if missing:
        compared = f"{', '.join(map(display_name, CLASSES[:-1]))} and {display_name(CLASSES[-1])}"
        return (
            f"These recordings hold none of class {' and none of class '.join(missing)}; comparing "
            f"{compared} cries takes recordings of all three."
        )
    few = [f"{display_name(name)} has {n}" for name, n in infants.items() if n < folds]
    if few and chapter in FOLDED:
        return (
            f"Infants are held out in {folds} turns, which takes {folds} infants or more of each class; "
            f"{' and '.join(few)}."
        )
    return ""


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


def told(used: pd.DataFrame) -> list[str]:
    """What a set cannot be asked, a sentence each: for `cryhear corpus check` and chapter 1.

    Examples
    --------
    >>> few = pd.DataFrame({"label": ["pain", "hunger"], "infant": ["a", "b"]})
    >>> for sentence in told(few):
    ...     print(sentence.split(":")[0])
    No class neurological
    Fewer than 5 infants of pain (1), hunger (1)
    No infant has two recordings
    """
    infants = used.groupby("label")["infant"].nunique().reindex(CLASSES, fill_value=0)
    sentences = []
    missing = [display_name(name) for name, n in infants.items() if n == 0]
    if missing:
        sentences.append(
            f"No class {' and no class '.join(missing)}: chapters {_numbers(COMPARING)} compare the three "
            "classes and cannot be asked, and no model is trained."
        )
    few = [f"{display_name(name)} ({n})" for name, n in infants.items() if 0 < n < FOLDS]
    if few:
        sentences.append(
            f"Fewer than {FOLDS} infants of {', '.join(few)}: chapters {_numbers(FOLDED)}, which hold "
            f"infants out in {FOLDS} folds, cannot be asked, and no model is trained."
        )
    if len(used) and not used["infant"].duplicated().any():
        sentences.append(
            "No infant has two recordings: whether cries of one infant are alike, and what keeping "
            "infants apart changes, cannot be asked. If several recordings are of one child, say so in "
            "their names."
        )
    return sentences


def _numbers(chapters: tuple[str, ...]) -> str:
    numbers = [int(name.split("_")[0]) for name in chapters if name[0].isdigit()]
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def by_set(manifest: pd.DataFrame, labels: str) -> list[str]:
    """`told` of every set that a manifest holds, each sentence with its set's name before it."""
    from cryhear.corpus.manifest import select

    rows = {
        name: select(manifest, set=name, labels=labels) for name in sorted(manifest["set"].unique())
    }
    used = {name: own[own["status"] == "used"] for name, own in rows.items()}
    return [
        f"{name}: {sentence}"
        for name, own in used.items()
        for sentence in (*filter(None, [unnamed(own)]), *told(own))
    ]
