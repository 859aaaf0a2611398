"""The classical models of chapter 5: pipelines, their searches, and their soft vote.

Each model is a scikit-learn pipeline: mean imputation, standardisation, principal components up
to 95 % of the variance, classifier. A search fits the first three once a fold and shares them over
the candidates; scores and choice equal those of scikit-learn's ``RandomizedSearchCV`` over the
whole pipeline. Two presets: ``original`` (the original study's grids, 3 folds over rows, accuracy,
no class weights) and ``default`` (wider distributions, 3 infant-grouped folds, log loss with every
class weighing the same, or balanced accuracy for the support vector machine, balanced class
weights).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import loguniform, randint
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cryhear.errors import ParameterError
from cryhear.models.estimators import CalibratedSVC, QuantileBins, SoftVoting, fit, inner_folds
from cryhear.models.search import SearchResult, candidates, fold_scores, join, search_table

Preset = Literal["default", "original"]
MEMBERS = ("svm_rbf", "logistic_regression", "random_forest", "gradient_boosting")
"""The models that are searched, and that the soft vote averages."""
MODELS = (*MEMBERS, "soft_voting")

SPACES: dict[str, dict[str, dict[str, Any]]] = {
    "original": {
        "svm_rbf": {"C": [0.1, 1, 10, 100], "gamma": ["scale", "auto", 0.01, 0.001]},
        "logistic_regression": {"C": [0.01, 0.1, 1, 10]},
        "random_forest": {
            "n_estimators": [100, 200],
            "max_depth": [10, 20, None],
            "min_samples_split": [2, 5],
        },
        "gradient_boosting": {
            "n_estimators": [100, 150],
            "max_depth": [3, 5],
            "learning_rate": [0.05, 0.1],
        },
    },
    "default": {
        "svm_rbf": {"C": loguniform(1e-2, 1e2), "gamma": loguniform(1e-5, 1e-1)},
        "logistic_regression": {"C": loguniform(1e-5, 1e0)},
        "random_forest": {
            "n_estimators": [100],
            "max_depth": [3, 6, 12, None],
            "min_samples_leaf": randint(1, 21),
            "max_features": ["sqrt", "log2", 0.1],
        },
        "gradient_boosting": {
            "max_iter": [15, 30, 60],
            "learning_rate": loguniform(0.03, 0.3),
            "max_leaf_nodes": randint(3, 9),
            "min_samples_leaf": randint(5, 41),
            "l2_regularization": loguniform(1e-3, 1e2),
        },
    },
}
"""What a search draws from, by preset and model; ``original`` is the original study's grids."""

SCORING: dict[str, dict[str, str]] = {
    "original": dict.fromkeys([*MEMBERS, "mlp"], "accuracy"),
    "default": {
        **dict.fromkeys([*MEMBERS, "mlp"], "balanced_log_loss"),
        # Of its labels: a log loss would need every candidate calibrated, at four times the cost.
        "svm_rbf": "balanced_accuracy",
    },
}
"""What ranks candidates, by preset and model."""
FOLDS = 3
N_ITER = 10
MAX_BINS = 32
"""Of gradient boosting: 255 bins for some hundred rows cost far more and score the same."""

DECIMALS = 6
"""Of component scores (in units of a standardised feature); processors differ from the twelfth on."""


def preprocessing(
    seed: int = 0, pca_variance: float | None = 0.95, standardise: bool = True
) -> Pipeline:
    """In float64: mean imputation, standardisation, components up to `pca_variance` (None: none)."""
    # Whatever comes in: components fitted or applied in float32 differ between processors in the sixth
    # digit, which moves a tree's cuts and with them a recording's probabilities by up to a tenth.
    double = FunctionTransformer(np.asarray, kw_args={"dtype": np.float64})
    steps: list[tuple[str, Any]] = [("double", double)]
    steps.append(("impute", SimpleImputer(keep_empty_features=True)))
    if standardise:
        steps.append(("standardise", StandardScaler()))
    if pca_variance is not None:
        # From the covariance: as exact as the full decomposition in float64, and faster on tall data.
        pca = PCA(n_components=pca_variance, svd_solver="covariance_eigh", random_state=seed)
        # Rows that are equal, as unaltered copies are, leave a matrix product apart in the last digits,
        # and which way depends on the processor: a tree may cut between them.
        rounded = FunctionTransformer(np.round, kw_args={"decimals": DECIMALS})
        steps += [("pca", pca), ("round", rounded)]
    return Pipeline(steps)


def model(
    name: str,
    seed: int = 0,
    preset: Preset = "default",
    pca_variance: float | None = 0.95,
    **hyper: Any,
) -> Pipeline:
    """An unfitted pipeline: double, impute, standardise, pca, round, (bins,) classifier.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    seed : int
        Of the components and of the classifier.
    preset : {'default', 'original'}
        Class weights balanced, and histogram gradient boosting; or no class weights, and the
        original's gradient boosting.
    pca_variance : float or None
        Share of variance kept, in (0, 1); None leaves the components out.
    **hyper
        Arguments of the classifier; for ``soft_voting`` a dictionary of them by member.
    """
    classifier = _classifier(name, seed, preset, hyper)
    steps = preprocessing(seed, pca_variance).steps
    if isinstance(classifier, HistGradientBoostingClassifier):
        steps = [*steps, ("bins", QuantileBins(MAX_BINS))]
    return Pipeline([*steps, ("classifier", classifier)])


def _classifier(name: str, seed: int, preset: str, hyper: Mapping[str, Any]) -> Any:
    if preset not in SPACES:
        raise ParameterError(f"preset is {preset!r}; expected one of {', '.join(SPACES)}")
    weight = "balanced" if preset == "default" else None
    if name == "soft_voting":
        unknown = sorted(set(hyper) - set(MEMBERS))
        if unknown:
            raise ParameterError(
                f"soft_voting has no member {unknown}; expected {', '.join(MEMBERS)}"
            )
        return SoftVoting([(m, _classifier(m, seed, preset, hyper.get(m, {}))) for m in MEMBERS])
    builders: dict[str, Callable[[], Any]] = {
        "svm_rbf": lambda: CalibratedSVC(class_weight=weight, random_state=seed),
        "logistic_regression": lambda: LogisticRegression(
            # To the minimum itself: lbfgs stops short of it, elsewhere on another processor.
            class_weight=weight,
            solver="newton-cholesky",
        ),
        "random_forest": lambda: RandomForestClassifier(class_weight=weight, random_state=seed),
        "gradient_boosting": lambda: (
            GradientBoostingClassifier(random_state=seed)
            if preset == "original"
            else HistGradientBoostingClassifier(
                class_weight=weight,
                early_stopping=False,
                max_bins=MAX_BINS,
                random_state=seed,
            )
        ),
    }
    if name not in builders:
        raise ParameterError(f"model is {name!r}; expected one of {', '.join(MODELS)}")
    try:
        return builders[name]().set_params(**hyper)
    except ValueError as error:
        raise ParameterError(f"model {name!r}: {error}") from None


def search(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    preset: Preset = "default",
    seed: int = 0,
    n_iter: int = N_ITER,
    n_jobs: int = 2,
    found: Mapping[str, SearchResult] | None = None,
) -> SearchResult:
    """Randomised search over a model's space, then a fit on all rows.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`. ``soft_voting`` searches each member and averages what was found.
    X, y : float [n, d], int [n]
        Training rows and class codes.
    groups : [n], optional
        Infants. Needed by preset ``default``; ``original`` draws folds over rows and ignores them.
    n_iter : int
        Candidates, capped at the size of a grid (two of the original's hold 4 and 8).
    n_jobs : int
        Threads over candidates and folds.
    found : mapping, optional
        For ``soft_voting``: results of members searched before, which are then not searched again.
    """
    if name == "soft_voting":
        return _search_members(X, y, groups, preset, seed, n_iter, n_jobs, found or {})
    best, table = choose(name, X, y, groups, preset, seed, n_iter, n_jobs)
    kept_whole = None if preset == "original" else groups
    return SearchResult(best, fit(model(name, seed, preset, **best), X, y, kept_whole), table)


def choose(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    preset: Preset = "default",
    seed: int = 0,
    n_iter: int = N_ITER,
    n_jobs: int = 2,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The search of one of MEMBERS without the last fit: parameters as :func:`search`.

    Returns
    -------
    best : dict
        Arguments of :func:`model`.
    table : DataFrame
        The whole search; see :class:`SearchResult`.
    """
    if preset == "default" and groups is None:
        raise ParameterError(
            "groups is None; preset 'default' expects the infant of every row: pass groups, "
            "or take preset 'original', whose folds are over rows"
        )
    groups = None if preset == "original" else groups
    folds = inner_folds(y, groups, FOLDS, seed)
    drawn = candidates(SPACES[preset][name], n_iter, seed)
    pipeline, scoring = model(name, seed, preset), SCORING[preset][name]
    scores = fold_scores(pipeline, drawn, folds, X, y, groups, scoring, n_jobs)
    table = search_table(name, preset, scoring, drawn, scores)
    return drawn[int(np.argmax(scores.mean(axis=1)))], table


def _search_members(
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    preset: Preset,
    seed: int,
    n_iter: int,
    n_jobs: int,
    found: Mapping[str, SearchResult],
) -> SearchResult:
    results = {
        m: found[m] if m in found else search(m, X, y, groups, preset, seed, n_iter, n_jobs)
        for m in MEMBERS
    }
    return SearchResult(
        {m: r.best_params for m, r in results.items()},
        SoftVoting.of_fitted({m: r.estimator for m, r in results.items()}),
        join(r.table for r in results.values()),
    )
