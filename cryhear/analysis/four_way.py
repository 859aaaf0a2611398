"""The original study's experiment: one four-way split, models fitted on its training part.

A split is dealt by file, as the original's was, or by infant. Augmented copies join the training
part alone. Every model then predicts every part, so that validation can choose, test confirm, and
the holdout stay closed until the chapter that opens it. Predictions are the project's table
(`cryhear.evaluation.bootstrap`); nothing here draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cryhear.analysis import cross_validation
from cryhear.corpus import splits
from cryhear.corpus.splits import PARTS
from cryhear.errors import SplitError
from cryhear.evaluation.auc import macro_auc
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.evaluation.metrics import balanced_accuracy, confusion
from cryhear.models import baselines, classical
from cryhear.models.baselines import NO_SOUND
from cryhear.models.estimators import probabilities

SCORED = PARTS[1:]
"""Parts that no model was fitted on."""
SMOOTHING = 0.1
"""Label smoothing of the perceptron's loss."""


@dataclass(frozen=True)
class Split:
    """A study set dealt into four parts.

    Attributes
    ----------
    study_set : StudySet, n rows
    unit : {'file', 'infant'}
    part : numpy.ndarray of str, shape (n,)
        One of `overlap.PARTS` for each row.
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
        self, model: str, p: np.ndarray, representation: str, parts: Iterable[str] = PARTS
    ) -> pd.DataFrame:
        """The predictions table of one model, from probabilities of all rows, shape (n, 3)."""
        kept = ["recording", "infant", "platform", "label"]
        table = self.study_set.recordings[kept].assign(set=self.study_set.set)
        table = table.assign(protocol=f"split_{self.unit}", part=self.part)
        table["repeat"], table["fold"] = np.int8(0), np.int8(0)
        table["model"], table["representation"] = model, representation
        table[list(PROBABILITIES)] = np.asarray(p, dtype=np.float32)
        return table[table["part"].isin(list(parts))].reset_index(drop=True)


def deal(study_set: Any, unit: str, seed: int = 42, augment: bool = True) -> Split:
    """Deal a study set into train, validation, test and holdout, and prove that they are apart.

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


Fit = Callable[[Split], Mapping[str, pd.DataFrame]]
"""Fits something on a split; tables by name, ``predictions`` among them."""


@dataclass
class Experiment:
    """What one or several fits found on every representation and unit.

    Attributes
    ----------
    tables : dict of str to DataFrame
        The fits' tables, one under the other, with ``unit`` and ``representation``.
    refused : dict of str to str
        Units that could not be dealt, with the reason.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def experiment(
    load: Callable[..., Any],
    representations: Sequence[str],
    units: Sequence[str],
    fit: Fit,
    seed: int = 42,
    augment: bool = True,
) -> Experiment:
    """Run a fit on every representation and unit, and the no-sound baselines once a unit.

    Parameters
    ----------
    load : callable
        ``load(representation=...)`` gives a study set; `cryhear.study.chapter.Run.load`.
    representations, units : sequences of str
    fit : Fit
        `classical_fit(...)` or `mlp_fit(...)`.
    seed : int
    augment : bool
        Add the augmented copies to the training part.

    Raises
    ------
    SplitError
        If no unit can be dealt; one that can is enough, and the others are in `refused`.
    """
    found = Experiment()
    made: dict[Any, Any] = {}
    for representation in representations:
        study_set = load(representation=representation)
        for unit in (u for u in units if u not in found.refused):
            try:
                split = deal(study_set, unit, seed, augment)
            except SplitError as error:
                found.refused[unit] = str(error)
                continue
            results = dict(fit(split))
            if representation == representations[0]:
                known = baseline_predictions(split)
                results["predictions"] = pd.concat([known, results["predictions"]])
            for name, table in results.items():
                extra = {"unit": unit}
                if "representation" not in table:
                    extra["representation"] = representation
                made.setdefault(name, []).append(table.assign(**extra))
    if not made:
        raise SplitError("; ".join(found.refused.values()))
    found.tables = {name: classical.join(parts) for name, parts in made.items()}
    return found


def baseline_predictions(split: Split) -> pd.DataFrame:
    """Predictions of the no-sound baselines on the parts that are scored.

    The lookup of the same app instance speaks only where a split is by file.
    """
    recordings = split.study_set.recordings
    train, tables = recordings.iloc[split.rows("train")], []
    for name, baseline in baselines.BASELINES.items():
        if name == "instance_lookup" and split.unit == "infant":
            continue
        p = baseline(train, recordings, seed=split.seed)
        tables.append(split.predictions(name, p, NO_SOUND, SCORED))
    return pd.concat(tables, ignore_index=True)


def classical_fit(models: Sequence[str], preset: str = "default", n_iter: int = 10) -> Fit:
    """Search and fit the classical models, then their soft vote; tables predictions and search."""

    def fit(split: Split) -> dict[str, pd.DataFrame]:
        X, y, infants = split.training()
        found = {
            m: classical.search(m, X, y, infants, preset=preset, seed=split.seed, n_iter=n_iter)  # type: ignore[arg-type]
            for m in models
        }
        fitted = {m: probabilities(r.estimator, split.study_set.X) for m, r in found.items()}
        if len(fitted) > 1:
            fitted["soft_voting"] = np.mean(list(fitted.values()), axis=0)
        name = split.study_set.representation
        tables = [split.predictions(m, p, name) for m, p in fitted.items()]
        searches = pd.concat([result.table for result in found.values()], ignore_index=True)
        return {"predictions": pd.concat(tables, ignore_index=True), "search": searches}

    return fit


def mlp_fit(
    preset: str = "default",
    trials: int = 10,
    search_epochs: int = 20,
    dropout: tuple[float, float] = (0.3, 0.7),
    **settings: Any,
) -> Fit:
    """Search and train the perceptron; tables predictions, search and history.

    `settings` are fields of `cryhear.models.mlp.MLPSettings` that are not searched: epochs, patience,
    batch_size. The validation part ranks the search and stops every training early.
    """

    def fit(split: Split) -> dict[str, pd.DataFrame]:
        from cryhear.models import mlp

        X, y, infants = split.training()
        found = mlp.search_mlp(
            X, y, infants, split.plain("validation"), preset, split.seed, trials, search_epochs,  # type: ignore[arg-type]
            (dropout[0], dropout[1]), mlp.PRESETS[preset].model_copy(update=settings),
        )  # fmt: skip
        p = probabilities(found.estimator, split.study_set.X)
        return {
            "predictions": split.predictions("mlp", p, split.study_set.representation),
            "search": found.table,
            "history": mlp.history(found.estimator),
        }

    return fit


def guessing_loss(labels: pd.Series) -> float:
    """The perceptron's loss, nats, of giving every class one third, on rows with these labels.

    More than ln 3: smoothing gives every class a part of the target, and rare classes weigh more.
    """
    counts = labels.value_counts().to_numpy(dtype=float)
    weights = counts.sum() / (len(counts) * counts)
    return float(np.log(3) * (1 - SMOOTHING + SMOOTHING * weights.mean()))


def lottery(study_set: Any, n: int = 60, seed: int = 42) -> pd.DataFrame:
    """Holdout scores of one fixed procedure over many four-way splits: what the draw is worth.

    The procedure is the primary one (`cryhear.models.primary`), fitted on the training part without
    copies. Split i is dealt with seed + i; nothing is chosen among them.

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
                split = deal(study_set, unit, seed + i, augment=False)
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
