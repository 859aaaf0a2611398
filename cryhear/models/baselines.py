"""Baselines that use no sound: majority, stratified draw, metadata regression, app-instance lookup.

Each is a function of two recordings tables, ``(train, test, seed) -> probabilities [n, 3]``, listed
in :data:`BASELINES`. A table has one row a recording, the class code in column ``y`` and the
columns that its baseline names; ``y`` of `test` is never read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.models.estimators import probabilities

NO_SOUND = "no sound"
"""Representation of the baselines, in every table of scores."""

CATEGORIES = ["platform", "sex", "age_band"]
N_CLASSES = len(CLASSES)
PRIOR_WEIGHT = 0.5
"""Recordings that the class prior counts for in the lookup's probabilities. Below 1, so that a
majority among an instance's recordings is never overruled by it."""


def majority(train: pd.DataFrame, test: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """The training shares of the classes for every recording: the label is always the majority.

    Returns
    -------
    float64 [n, 3]
        The same row n times. Shares rather than 1 and 0, so that its log loss is the prior's.
    """
    return np.tile(_prior(train), (len(test), 1))


def stratified(train: pd.DataFrame, test: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """A class drawn at random with the training shares for every recording, as 1 and 0 [n, 3]."""
    drawn = np.random.default_rng(seed).choice(N_CLASSES, size=len(test), p=_prior(train))
    return np.eye(N_CLASSES)[drawn]


def metadata_features(recordings: pd.DataFrame) -> pd.DataFrame:
    """What is known without the sound's content: platform, sex, age_band ('' unknown), level_dbfs.

    The level is of the recording as it came (dB of full scale, RMS), before any normalising.
    """
    _require(recordings, [*CATEGORIES, "level_dbfs"])
    features = recordings[[*CATEGORIES, "level_dbfs"]].reset_index(drop=True)
    features[CATEGORIES] = features[CATEGORIES].fillna("").astype(object)
    features["level_dbfs"] = features["level_dbfs"].astype(np.float64)
    return features.replace({"level_dbfs": {-np.inf: np.nan}})


def metadata_model(seed: int = 0) -> Pipeline:
    """Class-weighted L2 logistic regression (C 1) on one-hot categories and standardised level.

    Fits on :func:`metadata_features`; a category unseen in training counts as none.
    """
    columns = ColumnTransformer(
        [
            ("categories", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
            (
                "level",
                make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()),
                ["level_dbfs"],
            ),
        ]
    )
    logistic = LogisticRegression(class_weight="balanced", max_iter=2000, random_state=seed)
    return Pipeline([("columns", columns), ("classifier", logistic)])


def metadata(train: pd.DataFrame, test: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Probabilities [n, 3] of :func:`metadata_model`; needs platform, sex, age_band, level_dbfs."""
    fitted = metadata_model(seed).fit(metadata_features(train), _codes(train))
    return probabilities(fitted, metadata_features(test))


def instance_lookup(train: pd.DataFrame, test: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """The majority label of the same app instance's recordings in training: whose phone it was.

    An instance without training recordings gets the class prior, hence the majority class. Of labels
    that are equally frequent in an instance, the one that is rarer in training as a whole is taken.

    Parameters
    ----------
    train, test : DataFrame
        With ``instance`` ('' unknown: never looked up); `train` with ``y``.

    Returns
    -------
    float64 [n, 3]
        The instance's label counts and :data:`PRIOR_WEIGHT` times the prior, normalised; of a tie
        the label chosen gets half a count more, so that the largest is always the rule's label.
    """
    _require(train, ["instance"])
    _require(test, ["instance"])
    y, prior = _codes(train), _prior(train)
    known = train["instance"].to_numpy() != ""
    table = pd.crosstab(train["instance"].to_numpy()[known], y[known])
    table = table.reindex(columns=range(N_CLASSES), fill_value=0)
    counts = table.reindex(test["instance"].to_numpy(), fill_value=0).to_numpy(dtype=np.float64)
    most = counts.max(axis=1, keepdims=True)
    tied = (counts == most) & (most > 0)
    choice = np.where(tied, -prior, -np.inf).argmax(axis=1)
    p = counts + PRIOR_WEIGHT * prior
    several = tied.sum(axis=1) > 1
    p[several, choice[several]] += 0.5
    return p / p.sum(axis=1, keepdims=True)


def _codes(recordings: pd.DataFrame) -> np.ndarray:
    _require(recordings, ["y"])
    codes = recordings["y"].to_numpy()
    if len(codes) == 0 or not np.isin(codes, range(N_CLASSES)).all():
        found = sorted(set(codes.tolist()))[:8]
        raise EvaluationError(
            f"column y holds {found} in {len(codes)} rows; expected class codes 0 to "
            f"{N_CLASSES - 1} ({', '.join(CLASSES)}): select labelled recordings first"
        )
    return codes.astype(int)


def _prior(recordings: pd.DataFrame) -> np.ndarray:
    return np.bincount(_codes(recordings), minlength=N_CLASSES) / len(recordings)


def _require(recordings: pd.DataFrame, columns: list[str]) -> None:
    missing = [c for c in columns if c not in recordings.columns]
    if missing:
        raise EvaluationError(
            f"recordings lack columns {missing}; found {list(recordings.columns)}: "
            "pass the recordings table of a study set"
        )


BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "majority": majority,
    "stratified": stratified,
    "metadata": metadata,
    "instance_lookup": instance_lookup,
}
"""By the name they carry in predictions. The lookup has something to say only over files."""
