"""Cross-validation and the leakage ladder: any model in, out-of-fold predictions out.

A `Task` says which rows train, which rows scaling, PCA and tuning may see, and which are scored. A
rung of the ladder is a rule for making tasks; a model is a function from a task to probabilities.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.pipeline import Pipeline

from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.errors import ParameterError
from cryhear.models import baselines, batched_logistic, classical, estimators
from cryhear.models.baselines import NO_SOUND
from cryhear.models.fitted import Reduction
from cryhear.models.primary import PRIMARY, Procedure, choose_C, inner_seed, refit

P_COLUMNS = [f"p_{name}" for name in CLASSES]
CANDIDATES = 4
"""Hyperparameters tried inside an outer fold."""
RETUNED = ("logistic_regression", "svm_rbf")
"""Models cheap enough to be tuned in every repeat; the others are in the first (see STUDY)."""
_REMEMBERED = 20  # sets of rows whose components a model remembers: the folds of a few repeats


class Rung(NamedTuple):
    """What folds keep whole, and which rows scaling, PCA and tuning see: 'all' or 'train'."""

    unit: str
    fitted: str


RUNGS: dict[str, Rung] = {
    "L0": Rung("row", "all"),  # augmented copies of one recording are on both sides
    "L1": Rung("recording", "all"),
    "L2": Rung("recording", "train"),
    "L3": Rung("infant", "train"),
    "L4": Rung("platform", "train"),  # trained on one, tested on the other, infants apart
}


@dataclass(frozen=True)
class Task:
    """One fit: rows are the recordings, then copy 0 of each, copy 1 of each, ...

    Attributes
    ----------
    X : numpy.ndarray, shape (m, d), float32
    y : numpy.ndarray, shape (m,), int
    recordings : pandas.DataFrame, m rows
    unit : {'row', 'recording', 'infant'}
        What the rung keeps whole, and what tuning inside it should.
    train, fitted, test : numpy.ndarray of int, rising
        Rows of the training side; that scaling, PCA and tuning see; to be scored.
    protocol : str
    repeat, fold, seed : int
    """

    X: np.ndarray
    y: np.ndarray
    recordings: pd.DataFrame
    unit: str
    train: np.ndarray
    fitted: np.ndarray
    test: np.ndarray
    protocol: str
    repeat: int
    fold: int
    seed: int

    @property
    def groups(self) -> np.ndarray:
        """What a row must stay together with, shape (m,)."""
        whole = np.arange(len(self.y)) if self.unit == "row" else self.recordings[self.unit]
        return np.asarray(whole)

    def inner_folds(self, n_splits: int) -> np.ndarray:
        """Inner fold of each row of `fitted`, drawn without labels; copies follow their recording."""
        rows = self.recordings.iloc[self.fitted]
        if self.unit == "row":
            return splits.folds(rows, "row", n_splits, self.seed, stratify=False)
        once = rows.drop_duplicates("recording")
        folds = splits.folds(once, self.unit, n_splits, self.seed, stratify=False)
        return pd.Series(folds, once["recording"])[rows["recording"]].to_numpy()


Model = Callable[[Task], np.ndarray]
"""Probabilities, shape (len(task.test), 3), from a task."""


def primary_model(procedure: Procedure = PRIMARY) -> Model:
    """The primary procedure as a model of the ladder.

    It keeps the components of the rows it has seen: L0 fits them on the same rows in every fold, and
    labels that were exchanged find them fitted.
    """
    seen: dict[str, tuple[Reduction, np.ndarray]] = {}

    def predict(task: Task) -> np.ndarray:
        X, y = task.X[task.fitted], task.y[task.fitted][None]
        key = joblib.hash(X)
        if key not in seen:
            if len(seen) == _REMEMBERED:
                del seen[next(iter(seen))]
            reduction = Reduction.fit(X, procedure.explained)
            seen[key] = reduction, reduction(X)
        reduction, Z = seen[key]
        C = choose_C(Z, y, task.inner_folds(procedure.inner_folds), procedure)
        rows = np.searchsorted(task.fitted, task.train)
        model = refit(Z[rows], y[:, rows], C)
        return batched_logistic.probabilities(reduction(task.X[task.test]), *model)[0]

    return predict


def estimator_model(factory: Callable[[Task], Any]) -> Model:
    """A scikit-learn estimator as a model of the ladder.

    Parameters
    ----------
    factory : callable
        From a task to an unfitted estimator. Of a Pipeline, everything before the last step is fitted
        on `Task.fitted`, the last step on `Task.train`.
    """

    def predict(task: Task) -> np.ndarray:
        estimator, X, y = factory(task), task.X, task.y
        train, test = X[task.train], X[task.test]
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            before = estimator[:-1].fit(X[task.fitted], y[task.fitted])
            train, test, estimator = before.transform(train), before.transform(test), estimator[-1]
        estimators.fit(estimator, train, y[task.train], task.groups[task.train])
        return estimators.probabilities(estimator, test)

    return predict


def searched_model(name: str, copies: int, n_iter: int = CANDIDATES) -> Model:
    """A classical model that is searched on the plain rows of each training side, by infant.

    One that is not in RETUNED is searched in the first repeat, and keeps what was found for a fold for
    the fold of the same number in later ones.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}

    def factory(task: Task) -> Pipeline:
        key = (task.repeat if name in RETUNED else -1, task.fold)
        if key not in found:
            # A task's rows are the recordings, then each set of copies: the plain ones come first.
            plain = task.train[: len(task.train) // (1 + copies)]
            # One process: the cores are busy with other folds.
            how = classical.Search(n_iter=n_iter, seed=task.seed, n_jobs=1)
            rows = task.X[plain], task.y[plain], task.groups[plain]
            found[key] = classical.search(name, *rows, how, refit=False).best_params
        return classical.model(name, task.seed, **found[key])

    return estimator_model(factory)


def cross_validate(
    study_set: Any,
    model: Model,
    folds: np.ndarray,
    name: str = "logistic_regression",
    copies: np.ndarray | None = None,
    seed: int = 42,
    only: int | None = None,
) -> pd.DataFrame:
    """Out-of-fold predictions over given folds by infant, everything fitted on the training side.

    Parameters
    ----------
    study_set : StudySet
        With `recordings` (n rows), `X` (n, d), `y`, `representation` and `set`.
    model : Model
        `primary_model(...)`, `estimator_model(...)` or any function of a Task.
    folds : numpy.ndarray, shape (n_repeats, n), int
        Fold in which each recording is tested.
    name : str
        Written into the table.
    copies : numpy.ndarray, shape (c, n, d), optional
        Augmented copies, added to the training side only.
    seed : int
    only : int, optional
        The one fold of each repeat to test; all by default.

    Returns
    -------
    pandas.DataFrame
        The predictions table, protocol 'infants': one row a recording and repeat.

    Raises
    ------
    SplitError
        If an infant lies in two folds of a repeat.
    """
    splits.assert_no_overlap(study_set.recordings, np.asarray(folds))
    jobs = [("L3", repeat, fold) for repeat, fold in enumerate(np.atleast_2d(folds))]
    table = _predicted(study_set, model, jobs, name, copies, seed, only)
    return table.assign(protocol="infants")


def ladder(
    study_set: Any,
    model: Model,
    rungs: tuple[str, ...] = ("L0", "L1", "L2", "L3", "L4"),
    name: str = "logistic_regression",
    copies: np.ndarray | None = None,
    n_splits: int = 5,
    repeats: Sequence[int] = range(10),
    seed: int = 42,
) -> pd.DataFrame:
    """Predictions on every rung of the leakage ladder.

    Folds are drawn without labels on every rung, so that rungs differ only in what they keep apart;
    those of L3 are `primary.primary_folds`. L4 has one repeat: nothing is drawn.

    Parameters
    ----------
    study_set, model, name, copies, seed
        As `cross_validate`. L0 puts copies on both sides: its plain rows have part 'oof', its
        copies 'oof_copies'.
    rungs : tuple of str
        Of RUNGS.
    n_splits : int
    repeats : sequence of int
        Which repeats, from 0: the folds of repeat r are drawn with ``seed + r``.

    Returns
    -------
    pandas.DataFrame
        The predictions table, `protocol` naming the rung.

    Raises
    ------
    ParameterError
        An unknown rung.
    SplitError
        A rung cannot be drawn (for L4: a side lacks a class).
    """
    if unknown := sorted(set(rungs) - set(RUNGS)):
        raise ParameterError(f"rungs hold {unknown}; expected some of {', '.join(RUNGS)}")
    jobs: list[_Job] = []
    for key in rungs:
        unit, table = RUNGS[key].unit, study_set.recordings
        if unit == "platform":
            jobs.append((key, 0, None))
            continue
        if unit == "row" and copies is not None:
            table = pd.concat([table] * (1 + len(copies)), ignore_index=True)
        for r in repeats:
            jobs.append((key, r, splits.folds(table, unit, n_splits, seed + r, stratify=False)))
    return _predicted(study_set, model, jobs, name, copies, seed)


_Job = tuple[str, int, "np.ndarray | None"]
"""A rung of RUNGS, the repeat, and the fold of each row (None for L4, which draws none)."""
_KEPT = ["recording", "infant", "set", "platform", "label"]


def _predicted(
    study_set: Any,
    model: Model,
    jobs: list[_Job],
    name: str,
    copies: np.ndarray | None,
    seed: int,
    only: int | None = None,
) -> pd.DataFrame:
    """Predictions of every fold (or the one wanted) of every job."""
    recordings, n = study_set.recordings.assign(set=study_set.set)[_KEPT], len(study_set.X)
    copies = np.empty((0, *study_set.X.shape), np.float32) if copies is None else copies
    recordings = pd.concat([recordings] * (1 + len(copies)), ignore_index=True)
    X = np.concatenate([study_set.X, *copies])
    y = np.tile(np.asarray(study_set.y), 1 + len(copies))
    tables = []
    for protocol, repeat, fold_of in jobs:
        rung = RUNGS[protocol]
        unit = "infant" if rung.unit == "platform" else rung.unit
        for k, (train, test) in enumerate(_sides(recordings, n, rung, fold_of)):
            if only not in (None, k):
                continue
            fitted = np.union1d(train, test) if rung.fitted == "all" else train
            own = inner_seed(seed, repeat, k)
            task = Task(X, y, recordings, unit, train, fitted, test, protocol, repeat, k, own)
            table = recordings.iloc[test].assign(protocol=protocol)
            table["part"] = np.where(test < n, "oof", "oof_copies")
            table["repeat"], table["fold"] = np.int8(repeat), np.int8(k)
            table["model"], table["representation"] = name, study_set.representation
            table[P_COLUMNS] = np.asarray(model(task), np.float32)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _sides(
    recordings: pd.DataFrame, n: int, rung: Rung, fold: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold; copies (rows from n on) are tested on L0 alone."""
    rows = np.arange(len(recordings))
    if fold is None:
        for held in splits.leave_out(recordings.iloc[:n]):
            yield np.flatnonzero(np.isin(rows % n, held.train)), np.sort(held.test)
        return
    of_row = fold if rung.unit == "row" else np.asarray(fold)[rows % n]
    for k in np.unique(of_row):
        test = np.flatnonzero(of_row == k)
        yield np.flatnonzero(of_row != k), test if rung.unit == "row" else test[test < n]


def by_infant(
    study_set: Any,
    models: Sequence[str],
    folds: np.ndarray,
    seed: int = 42,
    n_jobs: int = 2,
) -> pd.DataFrame:
    """Out-of-fold predictions of every model, everything fitted and tuned on the training side.

    Parameters
    ----------
    study_set : StudySet, n rows
    models : sequence of str
        Of `classical.MEMBERS`, or 'mlp': the perceptron with its default settings, of which nothing is
        tuned.
    folds : numpy.ndarray, shape (n_repeats, n), int
        No infant may be in two folds of a repeat.
    seed : int
    n_jobs : int
        Processes over models and folds; never more than there are cores.

    Returns
    -------
    pandas.DataFrame
        The predictions table, protocol 'infants'. Augmented copies are on the training side only.
    """
    copies = study_set.copies()
    made = {
        name: estimator_model(_perceptron) if name == "mlp" else searched_model(name, len(copies))
        for name in models
    }
    # A fold at a time, as a model takes longer than another; what is tuned is tuned for its fold.
    one = delayed(cross_validate)
    tables = Parallel(min(n_jobs, os.cpu_count() or 1))(
        one(study_set, model, folds, name=name, copies=copies, seed=seed, only=k)
        for name, model in made.items()
        for k in range(np.max(folds) + 1)
    )
    table = pd.concat(tables, ignore_index=True)
    # As they would come one after another: by model, repeat, fold.
    place = table["model"].map(list(made).index)
    order = np.lexsort((table["fold"], table["repeat"], place))
    return table.iloc[order].reset_index(drop=True)


def _perceptron(task: Task) -> Any:
    from cryhear.models import mlp

    return mlp.MLP(seed=task.seed)


def baselines_by_infant(study_set: Any, folds: np.ndarray, seed: int = 42) -> pd.DataFrame:
    """Out-of-fold predictions of the no-audio baselines on the folds of `by_infant`.

    The lookup of the app instance is not among them: no recording of a tested infant is in training,
    so it could only say the class prior.
    """
    tables, known = [], study_set.recordings
    for name in ("majority", "stratified", "metadata"):

        def predict(task: Task, baseline: Any = baselines.BASELINES[name]) -> np.ndarray:
            return baseline(known.iloc[task.train], known.iloc[task.test], seed=task.seed)

        tables.append(cross_validate(study_set, predict, folds, name=name, seed=seed))
    return pd.concat(tables, ignore_index=True).assign(representation=NO_SOUND)
