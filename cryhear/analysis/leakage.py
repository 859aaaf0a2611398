"""The leakage ladder: one procedure on five ways of drawing the folds, and labels that mean nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cryhear import pieces
from cryhear.analysis import cross_validation, penalty, permutation
from cryhear.corpus.labels import display_name
from cryhear.embedding.tables import StudySet
from cryhear.errors import ParameterError, SplitError
from cryhear.evaluation import bootstrap
from cryhear.models import baselines
from cryhear.models.primary import PRIMARY
from cryhear.params import Leakage

RUNGS = ("L0", "L1", "L2", "L3", "L4")
MLP_RUNGS = ("L0", "L1", "L3")
COMPARED = ("L0", "L1", "L2", "L3")
"""Rungs whose inflation is over L3; L4 tests other recordings."""
STEEPER = 0.1
"""Strength beside `penalty.BESIDE` at which the inflation is asked."""
MODEL_REPEATS = 2
"""Repeats, at most, of the models beside logistic regression."""
METRICS = ("auc_macro", "balanced_accuracy")


class Fit(NamedTuple):
    """One repeat of one model on one rung; `C` fixes the penalty of the primary procedure."""

    rung: str
    repeat: int
    model: str = "logistic_regression"
    C: float | None = None


def fits(rungs: Sequence[str], repeats: int, *model: Any) -> Iterator[Fit]:
    """Every repeat of some rungs; L4 has one, since nothing is drawn."""
    for rung in rungs:
        for repeat in range(1 if rung == "L4" else repeats):
            yield Fit(rung, repeat, *model)


def sets_of(first: str, named: Sequence[str], held: Sequence[str]) -> list[str]:
    """The primary set, then those named beside it that the derived data hold."""
    beside = named if first in named else named[1:]
    return [first, *(name for name in beside if name != first and name in held)]


def predict(data: StudySet, copies: np.ndarray, folds: int, seed: int, fit: Fit) -> pd.DataFrame:
    """Predictions of one repeat on one rung; no row where L4 cannot be drawn: a platform lacks a class.

    Part 'oof' holds the recordings as they are; 'oof_copies' (L0 alone) their augmented copies.
    """
    try:
        table = cross_validation.ladder(
            data, model_of(fit, data), (fit.rung,), fit.model, copies, folds, [fit.repeat], seed
        )
    except SplitError:
        if fit.rung != "L4":
            raise
        columns = ["recording", "infant", "set", "platform", "label", "protocol", "part", "repeat"]
        columns += ["fold", "model", "representation", *bootstrap.PROBABILITIES]
        table = pd.DataFrame(columns=columns)
    return table if fit.C is None else table.assign(C=fit.C)


def ladder(
    folder: Path, load: Callable[..., StudySet], sets: Sequence[str], settings: Leakage
) -> pd.DataFrame:
    """Out-of-fold predictions of every set, representation, model and rung.

    Parameters
    ----------
    folder : pathlib.Path
        Where pieces are kept.
    load : callable
        ``load(representation=..., set=...)`` gives a study set.
    sets : sequence of str
        The primary one first.
    settings : cryhear.params.Leakage
    """
    repeats, first, tables = settings.ladder_repeats, settings.representations[0], []

    def gather(data: StudySet, wanted: Iterator[Fit]) -> None:
        tables.append(pieces.gather(
            folder, predict, [{"fit": fit} for fit in wanted],
            data=data, copies=data.copies(), folds=settings.folds, seed=settings.seed,
        ))  # fmt: skip

    for name in sets:
        for representation in settings.representations:
            data = load(representation=representation, set=name)
            gather(data, fits(RUNGS, repeats))
        gather(metadata_alone(data), fits(RUNGS[1:], repeats))
        for model in ("majority", "stratified", "instance_lookup"):
            gather(no_sound(data), fits(RUNGS[1:], repeats, model))
    for model in settings.models:
        rungs = MLP_RUNGS if model == "mlp" else RUNGS
        data = load(representation=first, set=sets[0])
        gather(data, fits(rungs, min(repeats, MODEL_REPEATS), model))
    return pd.concat(tables, ignore_index=True)


def ladder_at_strengths(folder: Path, data: StudySet, settings: Leakage) -> pd.DataFrame:
    """The primary cell of the ladder at fixed strengths: predictions with ``C``.

    Every rung at `penalty.BESIDE`; those whose inflation is asked at `STEEPER` too.
    """
    repeats, model = settings.ladder_repeats, "logistic_regression"
    wanted = [*fits(RUNGS, repeats, model, penalty.BESIDE),
              *fits(COMPARED[1:], repeats, model, STEEPER)]  # fmt: skip
    return pieces.gather(
        folder, predict, [{"fit": fit} for fit in wanted],
        data=data, copies=data.copies(), folds=settings.folds, seed=settings.seed,
    )  # fmt: skip


def exchanged(
    data: StudySet, copies: np.ndarray, folds: int, seed: int, exchanges: int, rung: str
) -> pd.DataFrame:
    """One repeat of a rung with labels exchanged between infants: what it scores is memory.

    Returns
    -------
    pandas.DataFrame
        Predictions of the plain rows, with ``exchange`` (from 0).
    """
    rng = np.random.default_rng(seed)
    drawn = permutation.exchange_labels(data.recordings, data.y, exchanges, rng)
    model, tables = cross_validation.primary_model(), []  # one for all: components see no label
    for i, y in enumerate(drawn):
        table = cross_validation.ladder(
            data.with_labels(y),
            model,
            (rung,),
            copies=copies,
            n_splits=folds,
            repeats=[0],
            seed=seed,
        )
        tables.append(table[table["part"] == "oof"].assign(exchange=i))
    return pd.concat(tables, ignore_index=True)


def metadata_alone(data: StudySet) -> StudySet:
    """The same recordings described by their metadata alone."""
    return data.with_features(permutation.metadata_matrix(data.recordings), "metadata")


def no_sound(data: StudySet) -> StudySet:
    """The same recordings with nothing to listen to: for baselines that look labels up."""
    return data.with_features(np.zeros((len(data), 1)), "none")


def model_of(fit: Fit, data: StudySet) -> cross_validation.Model:
    """A model of the ladder by its name in the predictions.

    'logistic_regression' is the primary procedure. 'svm_rbf' (C 1, gamma 'scale') and 'mlp' have
    fixed settings: tuning them on each rung would take longer than all else. The names in
    `baselines.BASELINES` look at no sound.
    """
    if fit.model == "logistic_regression":
        return cross_validation.primary_model(PRIMARY if fit.C is None else penalty.fixed(fit.C))
    if fit.model == "svm_rbf":
        from cryhear.models import classical

        return cross_validation.estimator_model(
            lambda task: classical.model("svm_rbf", task.seed, C=1.0, gamma="scale")
        )
    if fit.model == "mlp":
        return cross_validation.estimator_model(_mlp)
    if fit.model in baselines.BASELINES:
        return _baseline(fit.model, data.recordings)
    raise ParameterError(
        f"model is {fit.model!r}; expected logistic_regression, svm_rbf, mlp or one of "
        f"{', '.join(baselines.BASELINES)}"
    )


def inflation(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Each rung minus L3 from the same draws of infants.

    Returns
    -------
    pandas.DataFrame
        As `bootstrap.paired_difference`, with ``comparison`` ('L1 minus L3').
    """
    plain = predictions[(predictions["part"] == "oof") & predictions["protocol"].isin(COMPARED)]
    table = bootstrap.paired_difference(plain, "protocol", "L3", draws, seed, within=("platform",))
    table = table[table["metric"].isin(METRICS)].reset_index(drop=True)
    return table.assign(comparison=table["protocol"] + " minus " + table["reference"])


def series(set_name: str, model: str, representation: str) -> str:
    """What a line of the ladder is called in figures."""
    silent = {"instance_lookup": "same installation's labels", "majority": "majority",
              "stratified": "at random"}  # fmt: skip
    if model in silent:
        named = f"{silent[model]}, no sound"
    elif representation == "metadata":
        named = "metadata, no sound"
    elif model in ("", "logistic_regression"):
        named = display_name(representation)
    else:
        named = f"{display_name(representation)}, {display_name(model)}"
    return f"{named} ({set_name})"


def of_metric(table: pd.DataFrame, metric: str = "auc_macro", **equal: Any) -> pd.DataFrame:
    """Rows of one metric (and of one set, model, ...) of a table of scores."""
    keep = table["metric"] == metric
    for column, value in equal.items():
        keep &= table[column].isin(value if isinstance(value, (list, tuple)) else [value])
    return table[keep].reset_index(drop=True)


def ladder_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row a set, model and rung: AUC and balanced accuracy with intervals, accuracy, majority."""
    keys = ["set", "model", "representation", "protocol", "part"]
    wide = table[table["metric"].isin([*METRICS, "accuracy", "majority_rate"])].pivot(
        index=keys, columns="metric", values=["value", "low", "high"]
    )
    out = pd.DataFrame(index=wide.index)
    for metric, name in (("auc_macro", "AUC"), ("balanced_accuracy", "balanced accuracy")):
        out[name] = wide["value", metric]
        out[f"{name} low"], out[f"{name} high"] = wide["low", metric], wide["high", metric]
    for metric in ("accuracy", "majority_rate"):
        out[metric.replace("_", " ")] = wide["value", metric]
    return out.reset_index()


def memorised_fraction(exchanged: float, real: float) -> float:
    """Share of a score's distance from 1/2 that labels without meaning reach too: 0 to 1.

    Examples
    --------
    >>> round(memorised_fraction(0.6, 0.7), 3)
    0.5
    """
    return float(np.clip((exchanged - 0.5) / (real - 0.5), 0, 1)) if real > 0.5 else 1.0


def _mlp(task: cross_validation.Task) -> Any:
    from sklearn.pipeline import Pipeline

    from cryhear.models import classical, mlp

    # Components outside the network, so that a rung decides which rows they are fitted on.
    network = mlp.MLP(mlp.MLPSettings(pca_variance=None), task.seed)
    return Pipeline([*classical.preprocessing(task.seed).steps, ("classifier", network)])


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
