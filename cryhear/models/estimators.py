"""Fitting with groups, probabilities by class code, inner folds, and a calibrated SVM.

`CalibratedSVC` is Platt scaling on out-of-fold margins: scikit-learn's ``SVC(probability=True)`` is
deprecated, and its inner folds would put one infant on both sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import has_fit_parameter

from cryhear.corpus.labels import CLASSES
from cryhear.errors import SplitError


def fit(estimator: Any, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> Any:
    """Fit `estimator` in place; `groups` go to it, or a pipeline's last step, if it takes them.

    Every model of the study can be fitted by this one call; those that calibrate or stop early on
    part of the training rows then keep an infant's rows on one side.

    Parameters
    ----------
    X, y : float [n, d], int [n]
        Rows and class codes. Rows are fitted as float64: in float32 solvers stop on rounding noise.
    groups : [n], optional
        The infant of each row.
    """
    X = np.asarray(X, dtype=np.float64)
    pipeline = isinstance(estimator, Pipeline)
    last = estimator.steps[-1][1] if pipeline else estimator
    if groups is None or not has_fit_parameter(last, "groups"):
        return estimator.fit(X, y)
    key = f"{estimator.steps[-1][0]}__groups" if pipeline else "groups"
    return estimator.fit(X, y, **{key: groups})


def probabilities(estimator: Any, X: np.ndarray, n_classes: int = len(CLASSES)) -> np.ndarray:
    """Probabilities by class code, float64 [n, n_classes]; 0 for a class not in training."""
    p = np.zeros((len(X), n_classes))
    p[:, np.asarray(estimator.classes_, dtype=int)] = estimator.predict_proba(X)
    return p / p.sum(axis=1, keepdims=True)  # float32 ones sum to one only roughly


def inner_folds(
    y: np.ndarray, groups: np.ndarray | None, n_splits: int, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation row numbers of each inner fold.

    With `groups`, shuffled stratified folds that keep a group on one side; without, the plain
    stratified folds over rows in their order that scikit-learn draws for ``cv=n_splits``. The
    number of folds falls to that of the rarest class's rows (or groups).

    Raises
    ------
    SplitError
        If a class has fewer than two rows (or groups).
    """
    y = np.asarray(y)
    units = np.arange(len(y)) if groups is None else np.asarray(groups)
    counts = {int(c): len(np.unique(units[y == c])) for c in np.unique(y)}
    if min(counts.values()) < 2:
        unit = "rows" if groups is None else "groups (infants)"
        raise SplitError(
            f"{unit} by class code are {counts}; inner folds need at least 2 of each: "
            "use fewer classes, more recordings, or fixed hyperparameters"
        )
    n_splits = min(n_splits, *counts.values())
    if groups is None:
        return list(StratifiedKFold(n_splits).split(y, y))
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    return list(folds.split(y, y, units))


class CalibratedSVC(ClassifierMixin, BaseEstimator):
    """Support vector machine (RBF) whose probabilities come from its out-of-fold margins.

    The pairwise margins of each training row, from a machine that has not seen its fold, are the
    features of a small multinomial logistic regression (for two classes, Platt 1999); the machine
    itself is fitted on all rows. Ranking and probabilities are then of one piece, and sum to one.

    Parameters
    ----------
    C, gamma, class_weight
        As in ``sklearn.svm.SVC``; `class_weight` holds for the calibration too.
    calibrate : bool
        False leaves the calibration out (four times faster): labels only, by the machine's vote.
    n_splits : int
        Folds of the calibration, at least 2.
    random_state : int
        Of the folds over groups, and of the machine.
    """

    def __init__(
        self,
        C: float = 1.0,
        gamma: float | str = "scale",
        class_weight: Any = None,
        calibrate: bool = True,
        n_splits: int = 3,
        random_state: int = 0,
    ) -> None:
        self.C = C
        self.gamma = gamma
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.n_splits = n_splits
        self.random_state = random_state

    def fit(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None) -> CalibratedSVC:
        """Fit on rows [n, d] and codes [n]; `groups` [n] stay on one side of calibration folds."""
        X, y = np.asarray(X), np.asarray(y)
        self.svc_ = self._svc().fit(X, y)
        self.classes_ = self.svc_.classes_
        if self.calibrate:
            self.calibrator_ = self._calibrator(X, y, groups)
        return self

    def _svc(self) -> SVC:
        return SVC(
            C=self.C,
            gamma=self.gamma,
            class_weight=self.class_weight,
            decision_function_shape="ovo",  # the margins themselves, not their vote
            cache_size=500,
            random_state=self.random_state,  # unused in the fit, but drawn from NumPy's own otherwise
        )

    def _calibrator(self, X: np.ndarray, y: np.ndarray, groups: np.ndarray | None) -> Pipeline:
        margins, rows = [], []
        for train, test in inner_folds(y, groups, self.n_splits, self.random_state):
            # Grouped folds of few infants can leave a class out of training; its margins are then
            # missing, so that fold teaches the calibration nothing.
            if len(np.unique(y[train])) == len(self.classes_):
                margins.append(_margins(self._svc().fit(X[train], y[train]), X[test]))
                rows.append(test)
        used = np.concatenate(rows) if rows else np.empty(0, dtype=int)
        if len(np.unique(y[used])) < len(self.classes_):
            raise SplitError(
                f"calibration folds of {self.n_splits} left classes "
                f"{sorted(set(self.classes_.tolist()) - set(y[used].tolist()))} without a row; "
                "expected every class in some fold: lower n_splits or set calibrate=False"
            )
        logistic = LogisticRegression(class_weight=self.class_weight, max_iter=1000)
        return make_pipeline(StandardScaler(), logistic).fit(np.concatenate(margins), y[used])

    @available_if(lambda self: self.calibrate)
    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 [n, classes]."""
        return self.calibrator_.predict_proba(_margins(self.svc_, X))

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Most probable class [n]; the machine's own vote when not calibrated."""
        if not self.calibrate:
            return self.svc_.predict(X)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _margins(svc: SVC, X: np.ndarray) -> np.ndarray:
    return svc.decision_function(X).reshape(len(X), -1).astype(np.float64)


class QuantileBins(TransformerMixin, BaseEstimator):
    """Each feature by the number of its bin: those that scikit-learn's histogram boosting would find.

    With balanced class weights its search for the edges takes most of a fit on some hundred rows, and
    is the same for all candidates of a search. As a step before the classifier it is done once a
    fold; on the numbers of bins the trees, and what they predict, are the same. A search of gradient
    boosting was 3.8 times as fast with it as scikit-learn's over the plain pipeline, where one of
    logistic regression was 3.1 times (``python -m benchmarks.search``).

    Parameters
    ----------
    n_bins : int
        At most so many, at least 2: ``max_bins`` of ``HistGradientBoostingClassifier``.
    """

    def __init__(self, n_bins: int = 32) -> None:
        self.n_bins = n_bins

    def fit(self, X: np.ndarray, y: np.ndarray) -> QuantileBins:
        """Find the edges on rows [n, d], every class of y [n] weighing the same."""
        weight = compute_sample_weight("balanced", y)
        columns = np.asarray(X, dtype=np.float64).T
        self.edges_ = [_edges(column, weight, self.n_bins) for column in columns]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Numbers of the bins, float64 [n, d], from 0."""
        columns = zip(self.edges_, np.asarray(X, dtype=np.float64).T, strict=True)
        return np.stack([np.searchsorted(e, c) for e, c in columns], axis=1).astype(np.float64)


def _edges(column: np.ndarray, weight: np.ndarray, n_bins: int) -> np.ndarray:
    """Weighted quantiles, averaged where one falls between two rows (Hyndman and Fan 1996, 2)."""
    order = np.argsort(column)
    values, through = column[order], np.cumsum(weight[order])
    distinct = np.unique(values)
    if len(distinct) <= n_bins:
        return (distinct[1:] + distinct[:-1]) / 2
    wanted = np.linspace(0, 100, n_bins + 1)[1:-1] / 100 * through[-1]
    at = np.minimum(np.searchsorted(through, wanted), len(values) - 1)
    after = np.minimum(at + 1, len(values) - 1)
    between = through[at] - wanted <= np.finfo(float).eps
    return np.unique(np.where(between, (values[at] + values[after]) / 2, values[at]))
