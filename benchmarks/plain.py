"""What a user of scikit-learn would write: whole pipelines in a search; clone, fit, score, in loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from cryhear.corpus.labels import CLASSES
from cryhear.models import classical, estimators
from cryhear.models.primary import PRIMARY

PROBABILITY = 5e-3
"""Largest difference of a probability: scikit-learn's solver stops by its gradient (1e-4), ours by its
logits (1e-5), so that plain fits differ by up to a few thousandths where the penalty is weak."""

AUC = 5e-3
"""Largest difference of an AUC that such probabilities make: a few of some thousand pairs."""


def pipeline(name: str, seed: int) -> Pipeline:
    """Impute, standardise, components, classifier: scikit-learn's own steps and no other."""
    return Pipeline([step for step in classical.model(name, seed).steps if step[0] != "bins"])


def search(
    name: str, X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, n_iter: int, n_jobs: int
) -> RandomizedSearchCV:
    """The library's search of a model as ``RandomizedSearchCV`` over its whole pipeline, not refitted.

    Parameters
    ----------
    X, y, groups : numpy.ndarray
        Rows, float64, their classes and infants.
    seed, n_iter, n_jobs : int
        Of the candidates; how many; processes.
    """
    whole, scoring = pipeline(name, seed), classical.SCORING["default"][name]
    if name == "svm_rbf":
        whole.set_params(classifier__calibrate=False)  # judged by the machine's own vote, in both
    return RandomizedSearchCV(
        whole,
        {f"classifier__{k}": v for k, v in classical.SPACES["default"][name].items()},
        n_iter=n_iter, random_state=seed, refit=False, n_jobs=n_jobs,
        cv=estimators.inner_folds(y, groups, classical.FOLDS, seed),
        scoring=classical.SCORERS.get(scoring, scoring),
    ).fit(X, y)  # fmt: skip


def best_of(found: RandomizedSearchCV) -> dict[str, Any]:
    """Arguments of the classifier that a search chose."""
    return {k.removeprefix("classifier__"): v for k, v in found.best_params_.items()}


def probabilities(
    X: np.ndarray,
    y: np.ndarray,
    inner: np.ndarray,
    test: np.ndarray,
    train: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """Probabilities of the rows `test`, (m, K), and the C chosen.

    Parameters
    ----------
    X, y : numpy.ndarray
        Rows that scaling, components and the choice of C see.
    inner : numpy.ndarray of int
        Their inner folds.
    test : numpy.ndarray, shape (m, d)
    train : numpy.ndarray of int, optional
        Those that the last fit sees; all by default.
    """
    before = make_pipeline(StandardScaler(), PCA(PRIMARY.explained)).fit(X)
    Z = before.transform(X)
    model = LogisticRegression(class_weight="balanced", max_iter=2000)
    weights = compute_sample_weight("balanced", y)
    losses = []
    for C in PRIMARY.Cs:
        loss = 0.0
        for k in np.unique(inner):
            fitted = clone(model).set_params(C=C).fit(Z[inner != k], y[inner != k])
            p, held = fitted.predict_proba(Z[inner == k]), inner == k
            loss += log_loss(
                y[held], p, sample_weight=weights[held], normalize=False, labels=fitted.classes_
            )
        losses.append(loss)
    C = PRIMARY.Cs[int(np.argmin(losses))]
    rows = np.arange(len(y)) if train is None else train
    last = clone(model).set_params(C=C).fit(Z[rows], y[rows])
    return last.predict_proba(before.transform(test)), C


def auc(y: np.ndarray, p: np.ndarray, strata: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """One-vs-rest AUC of each class over pairs within strata, by ``roc_auc_score`` in each."""
    won, pairs = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    for value in np.unique(strata):
        here = (strata == value) & (weight > 0)
        for k in range(len(CLASSES)):
            mine = weight[here & (y == k)].sum()
            count = mine * (weight[here].sum() - mine)
            if count:
                score = roc_auc_score(y[here] == k, p[here, k], sample_weight=weight[here])
                won[k] += count * score
                pairs[k] += count
    return np.divide(won, pairs, out=np.full(len(won), np.nan), where=pairs > 0)
