"""Cross-validation of every model by infant, and the original's own over rows beside it.

The original drew its folds over embedding rows in which each training recording stood three times,
once plain and twice as a copy that chance often left unaltered. `original_folds` repeats
that and then keeps recordings, and infants, whole, with nothing else changed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import clone

from cryhear.analysis import cross_validation
from cryhear.analysis.four_way import Split
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.models import baselines, classical
from cryhear.models.baselines import NO_SOUND

CANDIDATES = 4
"""Hyperparameters tried inside an outer fold."""
RETUNED = ("logistic_regression", "svm_rbf")
"""Models cheap enough to be tuned in every repeat; the others are in the first (see STUDY)."""
IDENTICAL = 1e-3
"""Largest relative distance of two embeddings of one sound: copies are stored at half precision
(2.5e-4), and all but one or two in a hundred alterations move an embedding by 1e-2 or more."""
RELATIONS = ("identical row", "altered copy", "same infant", "none of these")
UNITS = {"rows": "row", "recordings": "recording", "infants": "infant"}


def by_infant(
    study_set: Any,
    models: Sequence[str],
    folds: np.ndarray,
    seed: int = 42,
    mlp: bool = True,
    baseline: bool = True,
    n_jobs: int = 2,
) -> pd.DataFrame:
    """Out-of-fold predictions of every model, everything fitted and tuned on the training side.

    Parameters
    ----------
    study_set : StudySet, n rows
    models : sequence of str
        Of `classical.MEMBERS`.
    folds : numpy.ndarray, shape (n_repeats, n), int
        No infant may be in two folds of a repeat.
    seed : int
    mlp : bool
        The perceptron too, with its default settings: nothing of it is tuned.
    baseline : bool
        The no-sound baselines too.
    n_jobs : int
        Processes over models and folds; never more than there are cores.

    Returns
    -------
    pandas.DataFrame
        The predictions table, protocol 'infants'. Augmented copies are on the training side only.
    """
    copies, made = study_set.copies(), {}
    for name in models:
        made[name] = classical_model(name, len(copies))
    if mlp:
        made["mlp"] = cross_validation.estimator_model(_perceptron)
    # A fold at a time, as a model takes longer than another; what is tuned is tuned for its fold.
    one = delayed(cross_validation.cross_validate)
    tables = Parallel(min(n_jobs, os.cpu_count() or 1))(
        one(study_set, model, folds, name=name, copies=copies, seed=seed, only=k)
        for name, model in made.items()
        for k in range(np.max(folds) + 1)
    )
    table = pd.concat(tables, ignore_index=True)
    # As they would come one after another: by model, repeat, fold.
    place = table["model"].map(list(made).index)
    table = table.iloc[np.lexsort((table["fold"], table["repeat"], place))]
    before = _baselines(study_set, folds, seed) if baseline else []
    return pd.concat([*before, table], ignore_index=True)


def classical_model(name: str, copies: int, n_iter: int = CANDIDATES) -> cross_validation.Model:
    """A classical model that is searched on the plain rows of each training side, by infant."""

    def tune(X: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any]:
        # A task's rows are the recordings, then each set of copies: the plain ones come first.
        plain = slice(len(y) // (1 + copies))
        rows = X[plain], y[plain], groups[plain]
        # One thread: the cores are busy with other folds.
        return classical.choose(name, *rows, seed=seed, n_iter=n_iter, n_jobs=1)[0]

    def factory(seed: int, **hyper: Any) -> Any:
        return classical.model(name, seed, **hyper)

    return cross_validation.estimator_model(factory, tune, tune_each_repeat=name in RETUNED)


def _perceptron(seed: int) -> Any:
    from cryhear.models import mlp

    return mlp.make_mlp(None, seed)


def _baselines(study_set: Any, folds: np.ndarray, seed: int) -> list[pd.DataFrame]:
    tables = []
    for name, baseline in baselines.BASELINES.items():
        if name == "instance_lookup":
            continue  # no recording of a tested infant is in training: it could only say the prior

        def predict(task: cross_validation.Task, baseline: Any = baseline) -> np.ndarray:
            known = study_set.recordings
            return baseline(known.iloc[task.train], known.iloc[task.test], seed=task.seed)

        table = cross_validation.cross_validate(study_set, predict, folds, name=name, seed=seed)
        tables.append(table.assign(representation=NO_SOUND))
    return tables


def original_folds(split: Split, n_splits: int = 5, n_iter: int = 10) -> pd.DataFrame:
    """The original's cross-validation of its support vector machine, then with units kept whole.

    Rows are the training recordings, their copies, and the validation recordings. Scaling, PCA and
    the search see all training rows, as in the original, whatever the folds are over; only the folds
    differ. Its search: the original's grid, accuracy, three folds over rows.

    Returns
    -------
    pandas.DataFrame
        The predictions table, with probabilities 1 and 0 (the machine's vote): protocol 'rows',
        'recordings' or 'infants'; part 'oof' for plain rows and 'oof_copies'; and ``relation``, the
        closest thing to the row on its training side, one of RELATIONS.
    """
    rows, X, y = _rows(split)
    seen = (rows["part"] == "train").to_numpy()
    found = classical.search(
        "svm_rbf", X[seen], y[seen], preset="original", seed=split.seed, n_iter=n_iter
    )
    Z, machine = found.estimator[:-1].transform(X), found.estimator[-1]
    tables = []
    for protocol, unit in UNITS.items():
        fold = _fold_of(rows, unit, n_splits, split.seed)
        predicted = np.empty(len(y), dtype=int)
        for k in range(n_splits):
            svc = clone(machine.svc_).fit(Z[fold != k], y[fold != k])
            predicted[fold == k] = svc.predict(Z[fold == k])
        table = rows.drop(columns=["part", "copy"]).assign(protocol=protocol, fold=fold)
        table["part"] = np.where(rows["copy"] > 0, "oof_copies", "oof")
        table[list(PROBABILITIES)] = np.eye(len(CLASSES), dtype=np.float32)[predicted]
        tables.append(table.assign(relation=relation(rows, X, fold)))
    made = pd.concat(tables, ignore_index=True)
    made["repeat"], made["model"] = np.int8(0), "svm_rbf"
    return made.assign(representation=split.study_set.representation, set=split.study_set.set)


def _rows(split: Split) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows of the original's cross-validation: training, copies of it, validation."""
    train, valid = split.rows("train"), split.rows("validation")
    sides = [(train, split.study_set.X, 0)]
    sides += [(train, copy, c) for c, copy in enumerate(split.copies, 1)]
    sides += [(valid, split.study_set.X, 0)]
    kept = split.study_set.recordings[["recording", "infant", "platform", "label"]]
    kept = kept.assign(part=split.part)
    table = pd.concat([kept.iloc[r].assign(copy=c) for r, _, c in sides], ignore_index=True)
    X = np.concatenate([values[r] for r, values, _ in sides])
    y = np.concatenate([np.asarray(split.study_set.y)[r] for r, _, _ in sides])
    return table, X, y


def _fold_of(rows: pd.DataFrame, unit: str, n_splits: int, seed: int) -> np.ndarray:
    if unit == "row":
        return splits.folds(rows, "row", n_splits, seed)
    once = rows.drop_duplicates("recording")
    fold = splits.folds(once, unit, n_splits, seed)
    return pd.Series(fold, once["recording"])[rows["recording"]].to_numpy()


def relation(rows: pd.DataFrame, X: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The closest thing to each row among the rows of other folds, one of RELATIONS, shape (n,)."""
    closest = np.full(len(rows), RELATIONS[3], dtype=object)
    size = np.linalg.norm(X, axis=1)
    for column, says in (("infant", RELATIONS[2]), ("recording", RELATIONS[1])):
        for members in rows.groupby(column).indices.values():
            apart = fold[members][:, None] != fold[members][None]
            closest[members[apart.any(axis=1)]] = says
            if column == "recording":
                gap = np.linalg.norm(X[members][:, None] - X[members][None], axis=2)
                same = apart & (gap <= IDENTICAL * size[members][:, None])
                closest[members[same.any(axis=1)]] = RELATIONS[0]
    return closest


def by_relation(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by what a row has on its training side.

    Returns
    -------
    pandas.DataFrame
        ``protocol``, ``representation``, ``relation``, ``n``, ``share`` (of the protocol's rows),
        ``accuracy``, ``majority_rate`` (of the rows of that relation).
    """
    right = predictions[list(PROBABILITIES)].to_numpy().argmax(axis=1)
    right = np.array(CLASSES)[right] == predictions["label"].to_numpy()
    made = []
    keys = ["protocol", "representation", "relation"]
    for key, table in predictions.assign(right=right).groupby(keys, sort=False):
        of = predictions[predictions["protocol"] == key[0]]
        total = (of["representation"] == key[1]).sum()
        commonest = table["label"].value_counts(normalize=True).iloc[0]
        made.append((*key, len(table), len(table) / total, table["right"].mean(), commonest))
    return pd.DataFrame(made, columns=[*keys, "n", "share", "accuracy", "majority_rate"])
