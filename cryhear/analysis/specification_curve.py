"""The specification curve: one thing at a time changed from the primary analysis, and all of it drawn.

Choosing the best of many cells finds something where there is nothing; `best_of_nothing` says how
much, from labels that mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, cpu_count, delayed

from cryhear import pieces
from cryhear.analysis import permutation, trials
from cryhear.analysis.controls import plan_of
from cryhear.analysis.primary_auc import repeat_auc
from cryhear.analysis.trials import Rows
from cryhear.embedding.tables import StudySet
from cryhear.errors import CryhearError
from cryhear.evaluation import bootstrap

POOLINGS = ("maximum", "median", "mean and SD", "first clip")
GAPS_MIN = (5, 60)
"""Least time between the recordings of an installation that are kept, minutes."""

VERSIONS = {
    ("band", "all low-passed at 4 kHz"): "lowpass_4khz",
    ("band", "all stored at 8 kHz"): "resample_8khz",
    ("filtering", "without Wiener filter"): "no_wiener",
    ("filtering", "without RMS normalisation"): "no_rms",
    ("filtering", "as recorded"): "raw",
}
"""Altered versions of the recordings in the derived data, by what they change."""


@dataclass(frozen=True)
class Specification:
    """One cell: what differs from the primary analysis, and the rows to analyse.

    Attributes
    ----------
    factor, level : str
    rows : Rows or None
        None where it could not be run.
    weighting : {'recording', 'infant'}
    note : str
        Why it was not run.
    """

    factor: str
    level: str
    rows: Rows | None
    weighting: str = "recording"
    note: str = ""


def specifications(run: Any) -> Iterator[Specification]:
    """The cells of chapter 10, the primary one first.

    Parameters
    ----------
    run : cryhear.study.chapter.Run
        Of a chapter with `set`, `labels` and `representation`.
    """
    chosen = run.parameters
    plain = run.load()
    primary = _bare(plain)
    yield Specification("primary", "as frozen", primary)
    for labels in sorted({"original", "strict"} - {chosen.labels}):
        yield _loaded(run, "labels", labels, labels=labels)
    others = sorted(set(run.derived.manifest()["set"]) - {chosen.set})
    for name in others if chosen.set != "all" else ():
        yield _loaded(run, "set", name, set=name)
    for name in (r for r in run.derived.representations() if r != chosen.representation):
        yield _loaded(run, "representation", name, representation=name)
    neonates = (primary.recordings["age_band"] == "04").to_numpy()
    yield Specification("age", "0 to 4 weeks only", primary.subset(neonates))
    for (factor, level), version in VERSIONS.items():
        yield _version(plain, factor, level, version)
    yield cries_only(run, primary)
    for how, X in scalings(primary).items():
        yield Specification("scaling", how, primary.with_features(X))
    keys, vectors = run.derived.clips(chosen.representation)
    for how in POOLINGS:
        X = pooled(keys, vectors, primary.recordings["recording"].to_numpy(dtype=str), how)
        yield Specification("pooling", how, primary.with_features(X))
    for minutes in GAPS_MIN:
        apart = spaced(primary.recordings, 60.0 * minutes)
        level = f"at least {minutes} minutes apart"
        yield Specification("time", level, primary.subset(apart))
    yield Specification("weight", "each infant the same", primary, weighting="infant")


def cries_only(run: Any, primary: Rows) -> Specification:
    """The recordings in which crying is the first of YAMNet's 521 guesses: no threshold to choose."""
    factor, level = "clips", "cries only, by YAMNet"
    if not run.derived.has("heard"):
        return Specification(factor, level, None, note="not run: no table of what YAMNet hears")
    heard = run.derived.table("heard").set_index("recording")["crying_first"]
    kept = primary.recordings["recording"].isin(heard.index[heard])
    return Specification(factor, level, primary.subset(kept.to_numpy()))


def scalings(rows: Rows) -> dict[str, np.ndarray]:
    """Other scalings of the embeddings: centred and of unit length; centred on each platform's mean."""
    X = rows.X.astype(float)
    centred = X - X.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    by_platform = X - pd.DataFrame(X).groupby(rows.recordings["platform"]).transform("mean")
    return {
        "centred, unit length": unit.astype(np.float32),
        "centred by platform": by_platform.to_numpy(np.float32),
    }


def pooled(keys: pd.DataFrame, vectors: np.ndarray, recordings: np.ndarray, how: str) -> np.ndarray:
    """Clip embeddings joined into one vector a recording, otherwise than by their mean.

    Parameters
    ----------
    keys : pandas.DataFrame
        With ``recording``, ``start_sample``.
    vectors : numpy.ndarray, shape (clips, d)
    recordings : numpy.ndarray of str, shape (n,)
    how : str
        Of POOLINGS.

    Returns
    -------
    numpy.ndarray, shape (n, d), or (n, 2 d) for 'mean and SD', float32
    """
    mine = keys["recording"].isin(recordings).to_numpy()
    table = pd.DataFrame(vectors[mine].astype(float), index=np.flatnonzero(mine))
    order = keys[mine].sort_values(["recording", "start_sample"]).index
    by = keys["recording"].to_numpy(dtype=str)[order]
    groups = table.loc[order].groupby(by)
    made = {
        "maximum": lambda: groups.max(),
        "median": lambda: groups.median(),
        "mean and SD": lambda: pd.concat([groups.mean(), groups.std(ddof=0)], axis=1),
        "first clip": lambda: groups.first(),
    }[how]()
    return made.loc[recordings].to_numpy(np.float32)


def spaced(recordings: pd.DataFrame, gap_s: float) -> np.ndarray:
    """Which recordings to keep so that an installation's are `gap_s` apart: the earliest first.

    Returns
    -------
    numpy.ndarray of bool, shape (n,)
        A recording without a time is kept.
    """
    keep = recordings["time_s"].isna().to_numpy().copy()
    known = recordings[recordings["time_s"].notna()].sort_values(
        ["instance", "time_s", "recording"]
    )
    last: dict[str, float] = {}
    for row, instance, time in zip(known.index, known["instance"], known["time_s"], strict=True):
        if time - last.get(instance, -np.inf) >= gap_s:
            keep[recordings.index.get_loc(row)], last[instance] = True, time
    return keep


def cell(
    rows: Rows, weighting: str, permuted: np.ndarray, folds: int, repeats: int,
    draws: int, seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Score one cell, and score it under labels that mean nothing.

    Parameters
    ----------
    permuted : numpy.ndarray, shape (b, n), int

    Returns
    -------
    pandas.DataFrame, 1 + b rows
        ``shuffle`` (0: labels as they are), ``value`` (macro AUC), and for shuffle 0 ``low``,
        ``high``, ``balanced_accuracy``, ``n``, ``infants``.
    """
    plan = plan_of(rows, folds, repeats, seed)
    predictions = pd.concat([trials.primary(rows, plan, r) for r in range(repeats)])
    found = bootstrap.bootstrap(
        predictions, draws, seed, within=("platform",), weighting=weighting
    ).set_index("metric")
    auc = found.loc["auc_macro"]
    table = pd.DataFrame({"shuffle": [0], "value": [auc["value"]], "low": auc["low"],
                          "high": auc["high"], "n": auc["n"], "infants": auc["units"],
                          "balanced_accuracy": found.loc["balanced_accuracy", "value"]})  # fmt: skip
    if weighting == "recording" and len(permuted):
        drawn = np.nanmean(repeat_auc(rows.X, permuted, plan), axis=(0, 2))
        extra = pd.DataFrame({"shuffle": np.arange(1, 1 + len(drawn)), "value": drawn})
        table = pd.concat([table, extra], ignore_index=True)
    return table


def shuffled_labels(primary: Rows, rows: Rows, shuffles: int, seed: int) -> np.ndarray:
    """Labels that mean nothing for a cell: the primary set's shuffles where the recordings are its.

    Returns
    -------
    numpy.ndarray, shape (shuffles, n), int
    """
    base = rows
    at = pd.Index(primary.recordings["recording"]).get_indexer(rows.recordings["recording"])
    if (at >= 0).all() and (primary.y[at] == rows.y).all():
        base = primary
    drawn = permutation.exchange_labels(
        base.recordings, base.y, shuffles, np.random.default_rng(seed)
    )
    return drawn[:, at] if base is primary else drawn


def curve(run: Any, shuffles: int, n_jobs: int | None = None) -> pd.DataFrame:
    """Every cell scored, in pieces that survive a killed run.

    Parameters
    ----------
    run : cryhear.study.chapter.Run
        With `folds`, `repeats`, `draws` and `seed` among its parameters.
    shuffles : int
        Label vectors that mean nothing, for `best_of_nothing`.
    n_jobs : int, optional
        Processes; as many as there are processors by default.

    Returns
    -------
    pandas.DataFrame
        As `cell`, with ``factor``, ``level``, ``cell`` (number), ``primary`` (bool) and ``note``.
    """
    chosen, cells = run.parameters, list(specifications(run))
    primary = cells[0].rows
    folder = run.run_folder / "parts" / run.chapter
    common = {"folds": chosen.folds, "repeats": chosen.repeats, "draws": chosen.draws,
              "seed": chosen.seed}  # fmt: skip
    tables = Parallel(n_jobs or cpu_count())(
        delayed(_scored)(folder, i, one, primary, shuffles, common) for i, one in enumerate(cells)
    )
    return pd.concat(tables, ignore_index=True)


def _scored(
    folder: Path, number: int, one: Specification, primary: Rows, shuffles: int, common: Any
) -> pd.DataFrame:
    named = {"cell": number, "factor": one.factor, "level": one.level, "primary": number == 0}
    if one.rows is None:
        return pd.DataFrame([{**named, "shuffle": 0, "value": np.nan, "note": one.note}])
    permuted = shuffled_labels(primary, one.rows, shuffles, common["seed"])
    given = {**common, "rows": one.rows, "weighting": one.weighting, "permuted": permuted}
    try:
        table = pieces.gather(folder, "cell", cell, given, [{}], n_jobs=1)
    except CryhearError as error:
        note = f"not scored: {error}"
        return pd.DataFrame([{**named, "shuffle": 0, "value": np.nan, "note": note}])
    return table.assign(**named, note="")


def best_of_nothing(table: pd.DataFrame) -> dict[str, float]:
    """What picking the best cell is worth when there is nothing to find.

    Parameters
    ----------
    table : pandas.DataFrame
        Of all cells: ``cell``, ``shuffle``, ``value``. Cells without shuffles do not count.

    Returns
    -------
    dict
        ``cells``, ``shuffles``, ``best`` (observed best), ``nothing`` (mean best of the shuffles),
        ``share`` (of the observed best's distance from 1/2 that picking alone explains, 0 to 1),
        ``as_high`` (share of the shuffles whose best is at least the observed best).
    """
    wide = table.pivot(index="shuffle", columns="cell", values="value").dropna(axis=1)
    best = wide.max(axis=1)
    observed, nothing = float(best.loc[0]), best.drop(index=0)
    gain = observed - 0.5
    share = float(np.clip((nothing.mean() - 0.5) / gain, 0, 1)) if gain > 0 else 1.0
    return {"cells": wide.shape[1], "shuffles": len(nothing), "best": observed,
            "nothing": float(nothing.mean()), "share": share,
            "as_high": float((nothing >= observed).mean())}  # fmt: skip


def _bare(loaded: StudySet) -> Rows:
    table = loaded.recordings[list(trials.KEPT)].copy()
    empty = np.empty((0, *loaded.X.shape), np.float32)
    return Rows(table, loaded.X, empty, loaded.set, loaded.representation)


def _loaded(run: Any, factor: str, level: str, **wanted: str) -> Specification:
    try:
        return Specification(factor, level, _bare(run.load(**wanted)))
    except CryhearError as error:
        return Specification(factor, level, None, note=f"not run: {error}")


def _version(plain: StudySet, factor: str, level: str, version: str) -> Specification:
    if version not in plain.derived.variants(plain.representation):
        return Specification(factor, level, None, note=f"not run: no embeddings of {version!r}")
    rows = _bare(plain)
    return Specification(factor, level, rows.with_features(plain.variant(version)))
