"""The original study's experiment: one four-way split, and its cross-validation over rows.

A split keeps files together, as the original's did, or infants. Augmented copies join the training
part alone. Every model predicts every part, so that validation can choose, test confirm, and the
holdout stay closed until the chapter that opens it.

The original drew its folds over embedding rows in which each training recording stood three times,
once plain and twice as a copy that chance often left unaltered. `original_folds` repeats that and then
keeps recordings, and infants, whole, with nothing else changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from cryhear.analysis import cross_validation
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.corpus.splits import PARTS
from cryhear.errors import SplitError
from cryhear.evaluation.auc import macro_auc
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.evaluation.metrics import balanced_accuracy, confusion
from cryhear.models import baselines, classical
from cryhear.models.baselines import NO_SOUND

SCORED = PARTS[1:]
"""Parts that no model was fitted on."""
IDENTICAL = 1e-3
"""Largest relative distance of two embeddings of one sound: copies are stored at half precision
(2.5e-4), and all but one or two in a hundred alterations move an embedding by 1e-2 or more."""
RELATIONS = ("identical row", "altered copy", "same infant", "none of these")
UNITS = {"rows": "row", "recordings": "recording", "infants": "infant"}


@dataclass(frozen=True)
class Split:
    """A study set split into four parts.

    Attributes
    ----------
    study_set : StudySet, n rows
    unit : {'file', 'infant'}
    part : numpy.ndarray of str, shape (n,)
        One of `splits.PARTS` for each row.
    copies : numpy.ndarray, shape (c, n, d)
        Augmented copies of every row; only those of the training part are ever used.
    seed : int
    """

    study_set: Any
    unit: str
    part: np.ndarray
    copies: np.ndarray
    seed: int

    def rows(self, part: str) -> np.ndarray:
        """Positions of a part's rows, int64."""
        return np.flatnonzero(self.part == part)

    def plain(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """A part's embeddings [m, d] and class codes [m], without copies."""
        rows = self.rows(part)
        return self.study_set.X[rows], np.asarray(self.study_set.y)[rows]

    def training(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, codes and infants of the training part: plain rows, then each set of copies."""
        rows, times = self.rows("train"), 1 + len(self.copies)
        X = np.concatenate([self.study_set.X[rows], *self.copies[:, rows]])
        infants = self.study_set.recordings["infant"].to_numpy(dtype=str)[rows]
        return X, np.tile(np.asarray(self.study_set.y)[rows], times), np.tile(infants, times)

    def predictions(
        self,
        model: str,
        p: np.ndarray,
        representation: str | None = None,
        parts: Sequence[str] = PARTS,
    ) -> pd.DataFrame:
        """The predictions table (`evaluation.bootstrap`) of one model, from probabilities [n, 3]."""
        kept = ["recording", "infant", "platform", "label"]
        table = self.study_set.recordings[kept].assign(set=self.study_set.set)
        table = table.assign(protocol=f"split_{self.unit}", part=self.part)
        table["repeat"], table["fold"], table["model"] = np.int8(0), np.int8(0), model
        table["representation"] = representation or self.study_set.representation
        table[list(PROBABILITIES)] = np.asarray(p, dtype=np.float32)
        return table[table["part"].isin(parts)].assign(unit=self.unit).reset_index(drop=True)


def split_by(study_set: Any, unit: str, seed: int = 42, augment: bool = True) -> Split:
    """Split a study set into train, validation, test and holdout, and prove that they are apart.

    Raises
    ------
    SplitError
        By infant, a class has too few infants for four parts; the message gives the counts.
    """
    part = splits.four_way(study_set.recordings, unit, seed).to_numpy(dtype=str)
    keys = ("recording", "infant") if unit == "infant" else ("recording",)
    splits.assert_no_overlap(study_set.recordings, part, keys)
    copies = study_set.copies() if augment else np.empty((0, *study_set.X.shape), np.float32)
    return Split(study_set, unit, part, copies, seed)


def split_all(
    load: Callable[[str], Any],
    representations: Sequence[str],
    units: Sequence[str],
    seed: int = 42,
    augment: bool = True,
) -> tuple[list[Split], dict[str, str]]:
    """Every representation split by every unit, and for each unit that cannot be split, why not.

    Raises
    ------
    SplitError
        If no unit can be split; one that can is enough.
    """
    made, refused = [], {}
    for study_set in map(load, representations):
        for unit in (u for u in units if u not in refused):
            try:
                made.append(split_by(study_set, unit, seed, augment))
            except SplitError as error:
                refused[unit] = str(error)
    if not made:
        raise SplitError("; ".join(refused.values()))
    return made, refused


def baseline_predictions(split: Split) -> pd.DataFrame:
    """Predictions of the no-audio baselines on the parts that are scored.

    The lookup of the same app instance has something to say only where a split is by file.
    """
    recordings, tables = split.study_set.recordings, []
    for name, baseline in baselines.BASELINES.items():
        if name != "instance_lookup" or split.unit == "file":
            p = baseline(recordings.iloc[split.rows("train")], recordings, seed=split.seed)
            tables.append(split.predictions(name, p, NO_SOUND, SCORED))
    return pd.concat(tables, ignore_index=True)


def lottery(study_set: Any, n: int = 60, seed: int = 42) -> pd.DataFrame:
    """Holdout scores of one fixed procedure over many four-way splits: what the draw is worth.

    The procedure is the primary one (`cryhear.models.primary`), fitted on the training part without
    copies. Split i is drawn with seed + i; nothing is chosen among them.

    Returns
    -------
    pandas.DataFrame, one row a unit and split
        ``unit``, ``split``, ``value`` (macro AUC of the holdout), ``balanced_accuracy``. Splits that
        are refused have no row.
    """
    model, made = cross_validation.primary_model(), []
    for unit in ("file", "infant"):
        for i in range(n):
            try:
                split = split_by(study_set, unit, seed + i, augment=False)
            except SplitError:
                continue
            train, test = split.rows("train"), split.rows("holdout")
            y, whole = np.asarray(study_set.y), "infant" if unit == "infant" else "recording"
            task = cross_validation.Task(
                study_set.X, y, study_set.recordings, whole, train, train, test, "lottery", i, 0,
                seed + i,
            )  # fmt: skip
            p = np.asarray(model(task), dtype=np.float64)
            p /= p.sum(axis=1, keepdims=True)
            share = float(balanced_accuracy(confusion(y[test], p)))
            made.append((unit, i, macro_auc(y[test], p), share))
    return pd.DataFrame(made, columns=["unit", "split", "value", "balanced_accuracy"])


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
    how = classical.Search("original", n_iter, split.seed)
    found = classical.search("svm_rbf", X[seen], y[seen], how=how)
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
