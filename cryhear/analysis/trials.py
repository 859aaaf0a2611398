"""The audit's long computations, each as a function that makes one piece (see `cryhear.pieces`).

What is computed is in `primary_auc`, `permutation`, `power` and `cross_validation`; here it is cut so that a
piece takes a minute or less, and the models of the ladder are given their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from cryhear.analysis import cross_validation, permutation, power
from cryhear.analysis.primary_auc import Plan, out_of_fold, repeat_auc
from cryhear.corpus.labels import CLASSES
from cryhear.errors import ParameterError, SplitError
from cryhear.models import baselines

KEPT = (
    "recording", "infant", "instance", "platform", "label", "y", "time_s", "sex", "age_band",
    "level_dbfs",
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """A study set without its files: what a process of its own needs.

    Attributes
    ----------
    recordings : pandas.DataFrame, n rows
    X : numpy.ndarray, shape (n, d), float32
    copies : numpy.ndarray, shape (c, n, d), float32
        Embeddings of the augmented copies; c is 0 where none were made.
    set, representation : str
    """

    recordings: pd.DataFrame
    X: np.ndarray
    copies: np.ndarray
    set: str
    representation: str

    @classmethod
    def of(cls, study_set: Any) -> Rows:
        """The rows of a `cryhear.embedding.tables.StudySet`, copies included."""
        table = study_set.recordings[list(KEPT)].copy()
        copies = np.asarray(study_set.copies(), np.float32)
        return cls(table, study_set.X, copies, study_set.set, study_set.representation)

    @property
    def y(self) -> np.ndarray:
        """Class codes, int64 [n]."""
        return self.recordings["y"].to_numpy()

    def with_labels(self, y: np.ndarray) -> Rows:
        """The same rows with other labels."""
        table = self.recordings.assign(y=y, label=np.array(CLASSES, dtype=object)[y])
        return replace(self, recordings=table)

    def with_features(self, X: np.ndarray) -> Rows:
        """The same rows with other features and no copies."""
        X = np.asarray(X, np.float32)
        return replace(self, X=X, copies=np.empty((0, *X.shape), np.float32))

    def subset(self, keep: np.ndarray) -> Rows:
        """The rows where `keep` is true."""
        at = np.flatnonzero(keep)
        table = self.recordings.iloc[at].reset_index(drop=True)
        return replace(self, recordings=table, X=self.X[at], copies=self.copies[:, at])


def one_repeat(plan: Plan, repeat: int) -> Plan:
    """The folds of one repeat of a plan."""
    mine = [i for i, (r, _) in enumerate(plan.parts) if r == repeat]
    return Plan(
        plan.folds[repeat : repeat + 1],
        [plan.inner[i] for i in mine],
        [(0, plan.parts[i][1]) for i in mine],
        plan.platform,
    )


def null(rows: Rows, plan: Plan, drawn: int, used: int, seed: int, repeat: int) -> pd.DataFrame:
    """One repeat's AUCs of the labels as they are and of the first `used` of `drawn` permutations.

    Returns
    -------
    pandas.DataFrame
        ``repeat``, ``permutation`` (0: the labels as they are), ``auc_<class>``. Means over repeats
        equal `permutation.permutation_null`.
    """
    rng = np.random.default_rng(seed)
    permuted = permutation.exchange_labels(rows.recordings, rows.y, drawn, rng)[:used]
    Y = np.concatenate([rows.y[None], permuted])
    values = repeat_auc(rows.X, Y, one_repeat(plan, repeat))[0]
    table = pd.DataFrame(values, columns=permutation.COLUMNS)
    table.insert(0, "permutation", np.arange(len(table)))
    table.insert(0, "repeat", repeat)
    return table


def primary(rows: Rows, plan: Plan, repeat: int) -> pd.DataFrame:
    """One repeat's out-of-fold predictions of the primary procedure: protocol 'primary'."""
    own = one_repeat(plan, repeat)
    table = prediction_table(rows, own, repeat)
    table[cross_validation.P_COLUMNS] = out_of_fold(rows.X, rows.y, own)[0]
    return table


def prediction_table(rows: Rows, own: Plan, repeat: int) -> pd.DataFrame:
    """What stands beside the probabilities of one repeat of the primary folds, a row a recording."""
    table = rows.recordings[["recording", "infant", "platform", "label"]].copy()
    table.insert(2, "set", rows.set)
    table = table.assign(protocol="primary", part="oof")
    table["repeat"], table["fold"] = np.int8(repeat), own.folds[0].astype(np.int8)
    table["model"], table["representation"] = "logistic_regression", rows.representation
    return table


def refits(rows: Rows, plan: Plan, draws: int, seed: int, start: int, stop: int) -> pd.DataFrame:
    """Refitted bootstraps `start` to `stop` of the embeddings and of the metadata alone."""
    features = {
        rows.representation: rows.X,
        "metadata": permutation.metadata_matrix(rows.recordings),
    }
    return permutation.refit_bootstrap(
        features, rows.y, rows.recordings, plan, draws, seed=seed, start=start, stop=stop
    )


def simulated(
    rows: Rows,
    plan: Plan,
    effects: tuple[float, ...],
    runs: int,
    permutations: int,
    refits: int,
    draws: int,
    seed: int,
    run: int,
) -> pd.DataFrame:
    """One simulated study of each effect; see `power.simulate_power`."""
    return power.simulate_power(
        rows.X, rows.y, rows.recordings, plan, effects, runs, permutations, refits, draws, seed,
        start=run, stop=run + 1,
    )  # fmt: skip


def sizes(
    rows: Rows, plan: Plan, permutations: int, seed: int, start: int, stop: int
) -> pd.DataFrame:
    """Studies without any effect, tested: as `simulated` at effect 0, many at the price of a few.

    Nothing is moved, so all share one scaling and one set of components a fold. Runs are numbered
    from a million on, so that none repeats a run of `simulated`.
    """
    runs = [1_000_000 + number for number in range(start, stop)]
    Y: list[np.ndarray] = []
    for run in runs:
        rng = np.random.default_rng([seed, run])
        labels = permutation.exchange_labels(rows.recordings, rows.y, 1, rng)
        Y += [labels, permutation.exchange_labels(rows.recordings, labels[0], permutations, rng)]
    values = repeat_auc(rows.X, np.concatenate(Y), plan).mean(axis=(0, 2))
    values = values.reshape(len(runs), 1 + permutations)
    exceeding = (values[:, 1:] >= values[:, :1]).sum(axis=1)
    p = (exceeding + 1) / (permutations + 1)
    table = pd.DataFrame({"effect": 0.0, "run": runs, "auc": values[:, 0], "p": p})
    table = table.assign(permutations=permutations, significant=p <= 0.05)
    return table.assign(se_refit=np.nan, sampling_low=np.nan, sampling_high=np.nan)


def rung(
    rows: Rows, splits: int, seed: int, model: str, rung: str, repeats: Sequence[int]
) -> pd.DataFrame:
    """Predictions of one model on one rung of the ladder; no row where the rung cannot be drawn.

    L4 cannot where one platform lacks a class.
    """
    return run_rung(rows, splits, seed, model, ladder_model(model, rows), rung, repeats)


def run_rung(
    rows: Rows, splits: int, seed: int, name: str, model: cross_validation.Model, rung: str,
    repeats: Sequence[int],
) -> pd.DataFrame:  # fmt: skip
    """As `rung`, of a model that is at hand; `name` is what the predictions call it."""
    try:
        return cross_validation.ladder(
            rows, model, (rung,), name, rows.copies, splits, repeats, seed
        )
    except SplitError:
        if rung != "L4":
            raise
        columns = ["recording", "infant", "set", "platform", "label", "protocol", "part", "repeat"]
        return pd.DataFrame(
            columns=[*columns, "fold", "model", "representation", *cross_validation.P_COLUMNS]
        )


def shuffled(rows: Rows, labels: np.ndarray, splits: int, seed: int, rung: str) -> pd.DataFrame:
    """One repeat of the primary procedure on a rung for each label vector of `labels`, (b, n).

    Returns
    -------
    pandas.DataFrame
        Predictions of the plain rows, with ``shuffle``: the number of the label vector.
    """
    model = cross_validation.primary_model()  # one for all: components see no label
    tables = []
    for i, y in enumerate(labels):
        own = rows.with_labels(y)
        table = cross_validation.ladder(
            own, model, (rung,), "logistic_regression", rows.copies, splits, [0], seed
        )
        tables.append(table[table["part"] == "oof"].assign(shuffle=i))
    return pd.concat(tables, ignore_index=True)


def ladder_model(name: str, rows: Rows) -> cross_validation.Model:
    """A model of the ladder by its name in the predictions.

    'logistic_regression' is the primary procedure. 'svm_rbf' (C 1, gamma 'scale') and 'mlp' have
    fixed settings: tuning them on each rung would take longer than all else. The names in
    `baselines.BASELINES` look at no sound.
    """
    if name == "logistic_regression":
        return cross_validation.primary_model()
    if name == "svm_rbf":
        from cryhear.models import classical

        return cross_validation.estimator_model(
            lambda seed: classical.model("svm_rbf", seed, C=1.0, gamma="scale")
        )
    if name == "mlp":
        return cross_validation.estimator_model(_mlp)
    if name in baselines.BASELINES:
        return _baseline(name, rows.recordings)
    raise ParameterError(
        f"model is {name!r}; expected logistic_regression, svm_rbf, mlp or one of "
        f"{', '.join(baselines.BASELINES)}"
    )


def _mlp(seed: int) -> Any:
    from sklearn.pipeline import Pipeline

    from cryhear.models import classical, mlp

    # Components outside the network, so that a rung decides which rows they are fitted on.
    network = mlp.make_mlp({"pca_variance": None}, seed)
    return Pipeline([*classical.preprocessing(seed).steps, ("classifier", network)])


def _baseline(name: str, recordings: pd.DataFrame) -> cross_validation.Model:
    known = recordings.set_index("recording", drop=False)

    def predict(task: cross_validation.Task) -> np.ndarray:
        ids = task.recordings["recording"].to_numpy()
        train, test = (
            known.loc[ids[side]].reset_index(drop=True).assign(y=task.y[side])
            for side in (task.train, task.test)
        )
        return baselines.BASELINES[name](train, test, task.seed)

    return predict
