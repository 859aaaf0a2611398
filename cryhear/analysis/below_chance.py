"""Scores below chance: what was tried to explain them.

With infants apart and pairs within fold, chance is one half; a score whose interval ends below it
needs an explanation. Each variant here changes one thing that could have made it; none is a test.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryhear.analysis import penalty, trials
from cryhear.analysis.controls import plan_of
from cryhear.analysis.trials import Rows
from cryhear.corpus.labels import display_name

LARGEST = 10
"""Infants with the most recordings that one variant leaves out."""

OTHER_SEED = 1000
"""Added to the seed of the folds in the variant with other folds."""

STRENGTHS = {"C fixed at 0.01": 0.01, "C fixed at 0.1": 0.1}
"""Variants with a fixed strength of the penalty."""

TRIED = (
    "as published",
    "other folds",
    "embeddings centred by platform",
    f"without the {LARGEST} infants with most recordings",
    *STRENGTHS,
)
"""What was changed, one thing at a time."""


def tried(rows: Rows, folds: int, seed: int, how: str, repeat: int) -> pd.DataFrame:
    """One repeat of the primary procedure with one thing changed.

    Parameters
    ----------
    rows : Rows
    folds, seed : int
        As the primary folds.
    how : str
        Of TRIED.
    repeat : int

    Returns
    -------
    pandas.DataFrame
        Predictions as `trials.primary`, with ``tried``.
    """
    if how == "other folds":
        seed += OTHER_SEED
    elif how == "embeddings centred by platform":
        platform = rows.recordings["platform"].to_numpy()
        means = pd.DataFrame(rows.X.astype(float)).groupby(platform).transform("mean")
        rows = rows.with_features(rows.X - means.to_numpy())
    elif how.startswith("without"):
        infants = rows.recordings["infant"]
        largest = infants.value_counts(sort=False).sort_index().nlargest(LARGEST).index
        rows = rows.subset(~np.isin(infants, largest))
    plan = plan_of(rows, folds, repeat + 1, seed)
    strength = STRENGTHS.get(how)
    if strength is None:
        return trials.primary(rows, plan, repeat).assign(tried=how)
    return penalty.predictions(rows, plan, repeat, strength).assign(tried=how).drop(columns="C")


def scores(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Macro AUC of each variant.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of `tried`, all variants and repeats, of one or several representations.
    draws, seed : int
        Draws of infants over fixed predictions: intervals are 'test-sampling only'.

    Returns
    -------
    pandas.DataFrame
        ``representation``, ``tried``, ``value``, ``low``, ``high``, ``n``, ``infants``.
    """
    groups = predictions.groupby(["representation", "tried"], sort=False)
    keys, cells = zip(*groups, strict=True)
    table = penalty.scores(dict(enumerate(cells)), draws, seed).drop(columns="cell")
    return pd.concat([pd.DataFrame(keys, columns=["representation", "tried"]), table], axis=1)


def sentence(table: pd.DataFrame | None) -> str:
    """The variants and their scores in words, 'as published' left out; 'nothing' where there are none."""
    if table is None:
        return "nothing"
    rows = table[table["tried"] != "as published"]
    several = rows["representation"].nunique() > 1
    return ", ".join(
        (f"{display_name(r.representation)} " if several else "") + f"{r.tried} {r.value:.2f}"
        for r in rows.itertuples()
    )
