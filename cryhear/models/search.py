"""A randomised search as a tidy table, everything before the classifier fitted once a fold.

Candidates, scores and choice equal those of scikit-learn's ``RandomizedSearchCV`` over the whole
pipeline; only the work is less, since standardising and components do not depend on a candidate.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.pipeline import Pipeline
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from cryhear.models.estimators import CalibratedSVC, fit, probabilities


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    best_params : dict
        Arguments of :func:`model` (by member for ``soft_voting``) or fields of ``MLPSettings``.
    estimator
        Fitted on all rows given, with `best_params`.
    table : DataFrame
        The whole search, one row a candidate and fold: model, preset, scoring, candidate, fold,
        params (JSON), one ``param_*`` column each, score (greater is better), mean_score, rank
        (1 is best), chosen.
    """

    best_params: dict[str, Any]
    estimator: Any
    table: pd.DataFrame


def balanced_log_loss(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Minus the log loss with every class present in `y` weighing the same (greater is better)."""
    codes = np.arange(int(max(np.max(y), np.max(estimator.classes_))) + 1)
    p = probabilities(estimator, X, len(codes))
    return -float(log_loss(y, p, labels=codes, sample_weight=compute_sample_weight("balanced", y)))


def score(scoring: str, estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """``balanced_log_loss`` or any of scikit-learn's scorers by name; greater is better."""
    if scoring == "balanced_log_loss":
        return balanced_log_loss(estimator, X, y)
    return float(get_scorer(scoring)(estimator, X, y))


def candidates(space: Mapping[str, Any], n_iter: int, seed: int) -> list[dict[str, Any]]:
    """At most `n_iter` draws from `space`, never more than a grid holds."""
    if all(isinstance(values, list) for values in space.values()):
        n_iter = min(n_iter, len(ParameterGrid(dict(space))))
    drawn = ParameterSampler(dict(space), n_iter, random_state=seed)
    return [{k: v.item() if isinstance(v, np.generic) else v for k, v in c.items()} for c in drawn]


def fold_scores(
    pipeline: Pipeline,
    drawn: Sequence[Mapping[str, Any]],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    scoring: str,
    n_jobs: int,
) -> np.ndarray:
    """Scores [candidates, folds], everything before the classifier fitted once a fold."""
    X, y = np.asarray(X), np.asarray(y)
    before, classifier = pipeline[:-1], pipeline[-1]
    if isinstance(classifier, CalibratedSVC) and scoring in ("accuracy", "balanced_accuracy"):
        # A score of labels needs the decision alone: no calibration for candidates.
        classifier = clone(classifier).set_params(calibrate=False)
    arrays = []
    for train, test in folds:
        # fit_transform, as a pipeline does: fit and then transform rounds differently in float32.
        fitted = clone(before)
        arrays.append((fitted.fit_transform(X[train], y[train]), fitted.transform(X[test])))

    def one(params: Mapping[str, Any], fold: int) -> float:
        (train, test), (Z, Z_test) = folds[fold], arrays[fold]
        candidate = clone(classifier).set_params(**params)
        fit(candidate, Z, y[train], None if groups is None else np.asarray(groups)[train])
        return score(scoring, candidate, Z_test, y[test])

    if isinstance(classifier, HistGradientBoostingClassifier):
        n_jobs = 1  # it spreads over the cores by itself; threads over threads would crowd them
    with threadpool_limits(1, user_api="blas"):
        flat = Parallel(n_jobs, prefer="threads")(
            delayed(one)(c, f) for c, f in itertools.product(drawn, range(len(folds)))
        )
    return np.reshape(flat, (len(drawn), len(folds)))


def search_table(
    name: str, preset: str, scoring: str, drawn: Sequence[Mapping[str, Any]], scores: np.ndarray
) -> pd.DataFrame:
    """The tidy table of a search from its scores [candidates, folds]; see :class:`SearchResult`."""
    n, k = scores.shape
    frame = pd.DataFrame(
        {
            "model": name,
            "preset": preset,
            "scoring": scoring,
            "candidate": np.repeat(np.arange(n), k),
            "fold": np.tile(np.arange(k), n),
            "params": np.repeat([json.dumps(c, sort_keys=True) for c in drawn], k),
            "score": scores.ravel(),
            "mean_score": np.repeat(scores.mean(axis=1), k),
        }
    )
    means = scores.mean(axis=1)
    frame["rank"] = np.repeat(rankdata(-means, method="min").astype(int), k)
    frame["chosen"] = frame["candidate"] == int(np.argmax(means))
    for key in dict.fromkeys(itertools.chain.from_iterable(drawn)):
        values = [c.get(key) for c in drawn]
        numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        # Mixed values ("scale" beside 0.01, None beside 10) become text: Parquet takes no mix.
        frame[f"param_{key}"] = np.repeat(
            np.array(values if numeric else [str(v) for v in values]), k
        )
    return frame


def join(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several searches one after another; a setting that some hold as text is text in all.

    Examples
    --------
    >>> depths = [pd.DataFrame({"param_max_depth": values}) for values in (["10", "None"], [3, 5])]
    >>> join(depths)["param_max_depth"].tolist()
    ['10', 'None', '3', '5']
    """
    table = pd.concat(list(tables), ignore_index=True)
    for column in table.filter(like="param_"):
        given = table[column].dropna()
        if len({isinstance(value, str) for value in given}) > 1:
            table[column] = given.map(str)
    return table
