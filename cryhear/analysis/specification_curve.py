"""The specification curve: one thing at a time changed from the primary analysis, and all of it drawn.

Choosing the best of many cells finds something where there is nothing; `best_of_nothing` says how
much, from labels that mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear import pieces
from cryhear.analysis import permutation
from cryhear.analysis.controls import Setting
from cryhear.analysis.primary_auc import repeat_auc
from cryhear.embedding.tables import Derived, StudySet
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
    """One cell: what differs from the primary analysis, and the recordings to analyse.

    Attributes
    ----------
    factor, level : str
    data : StudySet or None
        None where it could not be run.
    weighting : {'recording', 'infant'}
    note : str
        Why it was not run.
    """

    factor: str
    level: str
    data: StudySet | None
    weighting: str = "recording"
    note: str = ""


def specifications(
    load: Callable[..., StudySet], primary: StudySet, derived: Derived
) -> Iterator[Specification]:
    """The cells of chapter 10, the primary one first.

    Parameters
    ----------
    load : callable
        ``load(representation=..., set=..., labels=...)``; what is not given is the primary's.
    primary : StudySet
    derived : cryhear.embedding.tables.Derived
        What there is to choose from.
    """
    yield Specification("primary", "as frozen", primary)
    for labels in sorted({"original", "strict"} - {primary.labels}):
        yield _loaded(load, "labels", labels)
    others = sorted(set(derived.manifest()["set"]) - {primary.set})
    for name in others if primary.set != "all" else ():
        yield _loaded(load, "set", name)
    for name in (r for r in derived.representations() if r != primary.representation):
        yield _loaded(load, "representation", name)
    neonates = (primary.recordings["age_band"] == "04").to_numpy()
    yield Specification("age", "0 to 4 weeks only", primary.subset(neonates))
    there = derived.variants(primary.representation)
    for (factor, level), version in VERSIONS.items():
        if version in there:
            yield Specification(factor, level, primary.with_features(primary.variant(version)))
        else:
            yield Specification(factor, level, None, note=f"not run: no embeddings of {version!r}")
    yield cries_only(derived, primary)
    for how, X in scalings(primary).items():
        yield Specification("scaling", how, primary.with_features(X))
    keys, vectors = derived.clips(primary.representation)
    for how in POOLINGS:
        X = pooled(keys, vectors, primary.recordings["recording"].to_numpy(dtype=str), how)
        yield Specification("pooling", how, primary.with_features(X))
    for minutes in GAPS_MIN:
        apart = spaced(primary.recordings, 60.0 * minutes)
        level = f"at least {minutes} minutes apart"
        yield Specification("time", level, primary.subset(apart))
    yield Specification("weight", "each infant the same", primary, weighting="infant")


def cries_only(derived: Derived, primary: StudySet) -> Specification:
    """The recordings in which crying is the first of YAMNet's 521 guesses: no threshold to choose."""
    factor, level = "clips", "cries only, by YAMNet"
    if not derived.has("heard"):
        return Specification(factor, level, None, note="not run: no table of what YAMNet hears")
    heard = derived.table("heard").set_index("recording")["crying_first"]
    kept = primary.recordings["recording"].isin(heard.index[heard])
    return Specification(factor, level, primary.subset(kept.to_numpy()))


def scalings(data: StudySet) -> dict[str, np.ndarray]:
    """Other scalings of the embeddings: centred and of unit length; centred on each platform's mean."""
    X = data.X.astype(float)
    centred = X - X.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    by_platform = X - pd.DataFrame(X).groupby(data.recordings["platform"]).transform("mean")
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


def cell(one: Specification, permuted: np.ndarray, setting: Setting) -> pd.DataFrame:
    """Score one cell, and score it under labels that mean nothing.

    Parameters
    ----------
    one : Specification
    permuted : numpy.ndarray, shape (b, n), int
    setting : Setting

    Returns
    -------
    pandas.DataFrame, 1 + b rows
        ``shuffle`` (0: labels as they are), ``value`` (macro AUC), and for shuffle 0 ``low``,
        ``high``, ``balanced_accuracy``, ``n``, ``infants``; or one row whose ``note`` says why not.
    """
    if one.data is None:
        return pd.DataFrame({"shuffle": [0], "value": np.nan, "note": one.note})
    try:
        found = bootstrap.bootstrap(
            setting.predictions(one.data), setting.draws, setting.seed, ("platform",), one.weighting
        ).set_index("metric")
    except CryhearError as error:
        return pd.DataFrame({"shuffle": [0], "value": np.nan, "note": f"not scored: {error}"})
    auc = found.loc["auc_macro"]
    table = pd.DataFrame({"shuffle": [0], "value": [auc["value"]], "low": auc["low"],
                          "high": auc["high"], "n": auc["n"], "infants": auc["units"],
                          "balanced_accuracy": found.loc["balanced_accuracy", "value"]})  # fmt: skip
    if one.weighting == "recording" and len(permuted):
        plan = setting.plan(one.data)
        drawn = np.nanmean(repeat_auc(one.data.X, permuted, plan), axis=(0, 2))
        extra = pd.DataFrame({"shuffle": np.arange(1, 1 + len(drawn)), "value": drawn})
        table = pd.concat([table, extra], ignore_index=True)
    return table.assign(note="")


def shuffled_labels(primary: StudySet, data: StudySet, shuffles: int, seed: int) -> np.ndarray:
    """Labels that mean nothing for a cell: the primary set's shuffles where the recordings are its.

    Returns
    -------
    numpy.ndarray, shape (shuffles, n), int
    """
    base = data
    at = pd.Index(primary.recordings["recording"]).get_indexer(data.recordings["recording"])
    if (at >= 0).all() and (primary.y[at] == data.y).all():
        base = primary
    drawn = permutation.exchange_labels(
        base.recordings, base.y, shuffles, np.random.default_rng(seed)
    )
    return drawn[:, at] if base is primary else drawn


def curve(
    folder: Path, cells: Iterator[Specification], setting: Setting, shuffles: int
) -> pd.DataFrame:
    """Every cell scored, in pieces that survive a killed run.

    Parameters
    ----------
    folder : pathlib.Path
        Where pieces are kept.
    cells : iterator of Specification
        The primary one first.
    setting : Setting
    shuffles : int
        Label vectors that mean nothing, for `best_of_nothing`.

    Returns
    -------
    pandas.DataFrame
        As `cell`, with ``factor``, ``level``, ``cell`` (number), ``primary`` (bool) and ``note``.
    """
    asked = list(cells)
    primary = asked[0].data
    calls: list[dict[str, Any]] = [{"one": one, "permuted": None} for one in asked]
    for call, one in zip(calls, asked, strict=True):
        if primary is not None and one.data is not None:
            call["permuted"] = shuffled_labels(primary, one.data, shuffles, setting.seed)
    table = pieces.gather(folder, cell, calls, setting=setting)
    number = (table["shuffle"] == 0).cumsum() - 1
    table[["factor", "level"]] = [(asked[k].factor, asked[k].level) for k in number]
    return table.assign(cell=number, primary=number == 0)


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


def _loaded(load: Callable[..., StudySet], factor: str, level: str) -> Specification:
    try:
        return Specification(factor, level, load(**{factor: level}))
    except CryhearError as error:
        return Specification(factor, level, None, note=f"not run: {error}")
