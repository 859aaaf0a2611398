"""Scores below chance: what was tried to explain them.

With infants apart and pairs within fold, chance is one half; a score whose interval ends below it
needs an explanation. Each variant here changes one thing that could have made it; none is a test.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryhear.analysis import trials
from cryhear.analysis.controls import plan_of
from cryhear.analysis.trials import Rows

LARGEST = 10
"""Infants with the most recordings that one variant leaves out."""

OTHER_SEED = 1000
"""Added to the seed of the folds in the variant with other folds."""

TRIED = (
    "as published",
    "other folds",
    "centred by platform",
    f"without the {LARGEST} largest infants",
)
"""What was changed, one thing at a time; other strengths of the penalty are in `penalty`."""


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
    elif how == "centred by platform":
        platform = rows.recordings["platform"].to_numpy()
        means = pd.DataFrame(rows.X.astype(float)).groupby(platform).transform("mean")
        rows = rows.with_features(rows.X - means.to_numpy())
    elif how != "as published":
        infants = rows.recordings["infant"]
        largest = infants.value_counts(sort=False).sort_index().nlargest(LARGEST).index
        rows = rows.subset(~np.isin(infants, largest))
    plan = plan_of(rows, folds, repeat + 1, seed)
    return trials.primary(rows, plan, repeat).assign(tried=how)
