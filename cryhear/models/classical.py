"""Classical models of chapter 5: scikit-learn pipelines, search spaces and randomised searches.

Each model is a pipeline: mean imputation, standardisation, principal components up to 95 % of the
variance, classifier. A search is scikit-learn's ``RandomizedSearchCV`` over the whole pipeline; its
``memory`` keeps what comes before the classifier, which is thus fitted once a fold. Two presets:
``original`` (the original study's grids, 3 folds over rows, accuracy, no class weights) and
``default`` (wider distributions, 3 infant-grouped folds, log loss with every class weighing the
same, or balanced accuracy for the support vector machine, balanced class weights).
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
from joblib import Memory, parallel_config
from scipy.stats import loguniform, randint, rankdata
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import ParameterGrid, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import threadpool_limits

from cryhear.errors import ParameterError
from cryhear.models.estimators import CalibratedSVC, QuantileBins, fit, inner_folds, probabilities

Preset = Literal["default", "original"]
MEMBERS = ("svm_rbf", "logistic_regression", "random_forest", "gradient_boosting")
"""The models that are searched, and whose mean probability is the soft vote."""

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
        One of :data:`MEMBERS`.
    seed : int
        Of the components and of the classifier.
    preset : {'default', 'original'}
        Class weights balanced, and histogram gradient boosting; or no class weights, and the
        original's gradient boosting.
    pca_variance : float or None
        Share of variance kept, in (0, 1); None leaves the components out.
    **hyper
        Arguments of the classifier.
    """
    classifier = _classifier(name, seed, preset, hyper)
    steps = preprocessing(seed, pca_variance).steps
    if isinstance(classifier, HistGradientBoostingClassifier):
        steps = [*steps, ("bins", QuantileBins(MAX_BINS))]
    return Pipeline([*steps, ("classifier", classifier)])


def _classifier(name: str, seed: int, preset: str, hyper: Mapping[str, Any]) -> Any:
    if name not in MEMBERS or preset not in SPACES:
        raise ParameterError(
            f"model {name!r} of preset {preset!r}; expected one of {', '.join(MEMBERS)} and one of "
            f"{', '.join(SPACES)}"
        )
    weight = "balanced" if preset == "default" else None
    classifiers = {
        "svm_rbf": CalibratedSVC(class_weight=weight, random_state=seed),
        # To the minimum itself: lbfgs stops short of it, elsewhere on another processor.
        "logistic_regression": LogisticRegression(class_weight=weight, solver="newton-cholesky"),
        "random_forest": RandomForestClassifier(class_weight=weight, random_state=seed),
        "gradient_boosting": GradientBoostingClassifier(random_state=seed)
        if preset == "original"
        else HistGradientBoostingClassifier(
            class_weight=weight, early_stopping=False, max_bins=MAX_BINS, random_state=seed
        ),
    }
    try:
        return classifiers[name].set_params(**hyper)
    except ValueError as error:
        raise ParameterError(f"model {name!r}: {error}") from None


@dataclass(frozen=True)
class Search:
    """How hyperparameters are searched, whatever the model.

    Attributes
    ----------
    preset : {'default', 'original'}
        Whose search spaces, scores, class weights and inner folds.
    n_iter : int
        Candidates, capped at the size of a grid (two of the original's hold 4 and 8).
    seed : int
        Of candidates, inner folds and models.
    n_jobs : int
        Processes over candidates and folds.
    """

    preset: Preset = "default"
    n_iter: int = 10
    seed: int = 0
    n_jobs: int = 2


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    best_params : dict
        Arguments of :func:`model`, or fields of ``MLPSettings``.
    table : DataFrame
        The whole search, one row a candidate and fold: model, preset, scoring, candidate, fold,
        params (JSON), score (greater is better), mean_score, rank (1 is best), chosen.
    estimator
        Fitted on all rows given, with `best_params`; None where no last fit was asked for.
    """

    best_params: dict[str, Any]
    table: pd.DataFrame
    estimator: Any = None


def search(
    name: str,
    X: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None = None,
    how: Search = Search(),
    refit: bool = True,
) -> SearchResult:
    """Randomised search over a model's space, then a fit on all rows.

    Parameters
    ----------
    name : str
        One of :data:`MEMBERS`.
    X, y : float [n, d], int [n]
        Training rows and class codes.
    groups : [n], optional
        Infants. Needed by preset ``default``; ``original`` draws folds over rows and ignores them.
    how : Search
    refit : bool
        False leaves the last fit out.
    """
    preset, scoring = how.preset, SCORING[how.preset][name]
    if preset == "default" and groups is None:
        raise ParameterError(
            "groups is None; preset 'default' expects the infant of every row: pass groups, "
            "or take preset 'original', whose folds are over rows"
        )
    groups = None if preset == "original" else groups
    whole, space = model(name, how.seed, preset), SPACES[preset][name]
    if isinstance(whole[-1], CalibratedSVC):
        whole.set_params(classifier__calibrate=False)  # a score of labels needs the decision alone
    grid = all(isinstance(values, list) for values in space.values())
    folds = inner_folds(y, groups, FOLDS, how.seed)
    with (
        TemporaryDirectory() as folder,
        parallel_config("loky", inner_max_num_threads=1),
        threadpool_limits(1, "blas"),
        warnings.catch_warnings(),
    ):
        # On a busy machine joblib says how long it took; there is nothing to be done about it.
        warnings.filterwarnings("ignore", "Persisting input arguments")
        # As one step, so that it is kept and looked up once a fit.
        steps = [("before", whole[:-1]), ("classifier", whole[-1])]
        found = RandomizedSearchCV(
            Pipeline(steps, memory=Memory(folder, verbose=0)),
            {f"classifier__{key}": values for key, values in space.items()},
            n_iter=min(how.n_iter, len(ParameterGrid(space))) if grid else how.n_iter,
            scoring=SCORERS.get(scoring, scoring),
            # Histogram boosting spreads over the cores by itself; processes of threads would crowd them.
            n_jobs=1 if isinstance(whole[-1], HistGradientBoostingClassifier) else how.n_jobs,
            cv=folds,
            random_state=how.seed,
            refit=False,
            error_score="raise",
        ).fit(np.asarray(X), np.asarray(y))
    results = found.cv_results_
    drawn = [plain(params, "classifier__") for params in results["params"]]
    scores = np.column_stack([results[f"split{k}_test_score"] for k in range(len(folds))])
    best = drawn[int(np.argmax(scores.mean(axis=1)))]
    fitted = fit(model(name, how.seed, preset, **best), X, y, groups) if refit else None
    return SearchResult(best, search_table(name, preset, scoring, drawn, scores), fitted)


def balanced_log_loss(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    """Minus the log loss with every class present in `y` weighing the same (greater is better)."""
    codes = np.arange(int(max(np.max(y), np.max(estimator.classes_))) + 1)
    p = probabilities(estimator, X, len(codes))
    return -float(log_loss(y, p, labels=codes, sample_weight=compute_sample_weight("balanced", y)))


SCORERS: dict[str, Callable[..., float]] = {"balanced_log_loss": balanced_log_loss}
"""Scorers beside scikit-learn's own, by name."""


def plain(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Drawn parameters as Python's own numbers, without a prefix of their names."""
    return {
        key.removeprefix(prefix): value.item() if isinstance(value, np.generic) else value
        for key, value in params.items()
    }


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
    return frame
