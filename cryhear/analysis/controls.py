"""Controls of chapter 10: does the pipeline work, what else is in the embeddings, what does sound add.

Every score is over infant-grouped folds drawn without labels, pairs within fold (and platform), with
a bootstrap over infants of fixed out-of-fold predictions: 'test-sampling only'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from cryhear import pieces
from cryhear.analysis import identity, penalty, permutation, power, trials
from cryhear.analysis.primary_auc import Plan, repeat_auc
from cryhear.analysis.trials import Rows
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.evaluation import bootstrap
from cryhear.evaluation.auc import Ranked
from cryhear.evaluation.bootstrap import draw_weights
from cryhear.evaluation.validation import strata
from cryhear.models import primary
from cryhear.models.fitted import Reduction
from cryhear.models.primary import PRIMARY

PROBES: dict[str, tuple[str, ...]] = {
    "platform": (),
    "age_band": ("platform",),
    "sex": ("platform",),
}
"""Attributes asked of the embeddings, and within what their pairs are counted."""

EQUAL = ("label", "infant", "age_band", "sex", "platform")
"""What the same probe is asked for at the same strengths."""

PROBE_C = penalty.BESIDE
FEWEST_INFANTS = 10
"""Infants a value of an attribute needs, below which it is left out of its probe."""

PLANTED = 1.2
"""Effect put in for the positive control, between-infant standard deviations: the largest of the
power study."""

METADATA = {"platform": "platform", "age band": "age_band", "sex": "sex", "level": "level_dbfs"}
"""Pieces of metadata by the name they carry in tables."""


def plan_of(rows: Rows, folds: int, repeats: int, seed: int) -> Plan:
    """Folds by infant, drawn without labels, with their inner folds."""
    drawn = primary.primary_folds(rows.recordings, folds, repeats, seed)
    return Plan.draw(rows.recordings, drawn, seed=seed)


def probe(
    rows: Rows, column: str, folds: int, repeats: int, draws: int, seed: int,
    strengths: Sequence[float] = (PROBE_C,),
) -> pd.DataFrame:  # fmt: skip
    """How well a linear probe reads an attribute of infants it has not heard, at fixed strengths.

    Parameters
    ----------
    column : str
        An attribute of the recordings; 'label' for the label itself; 'infant' for the infant, which
        can only be asked of new recordings of known infants: folds over recordings, infants with at
        least `identity.FEWEST` of them.
    strengths : sequence of float
        C of the class-weighted logistic regression on components that hold 95 % of the variance.

    Returns
    -------
    pandas.DataFrame, one row a strength
        ``target``, ``C``, ``value`` (mean one-vs-rest AUC), ``low``, ``high`` (test-sampling only),
        ``chance``, ``n``, ``infants``, ``values`` (how many the attribute has), ``fewest`` (infants
        of the value that fewest have); ``value`` is NaN with fewer than two values.
    """
    table, known = rows.recordings, column == "infant"
    counted = table.loc[table[column] != ""].groupby(column)
    sizes = counted.size() if known else counted["infant"].nunique()
    kept = sorted(sizes[sizes >= (identity.FEWEST if known else FEWEST_INFANTS)].index)
    own = rows.subset(table[column].isin(kept).to_numpy())
    found = {"target": column, "chance": 0.5, "n": len(own.X), "values": len(kept)}
    found["infants"] = own.recordings["infant"].nunique()
    found["fewest"] = 1 if known else int(sizes[kept].min()) if kept else 0
    if len(kept) < 2:
        return pd.DataFrame(
            [{**found, "C": C, "value": np.nan, "low": np.nan, "high": np.nan} for C in strengths]
        )
    target = pd.Categorical(own.recordings[column], categories=kept).codes.astype(int)
    if known:
        drawn = [
            splits.folds(own.recordings, "recording", folds, seed + r, stratify=False)
            for r in range(repeats)
        ]
    else:
        drawn = list(primary.primary_folds(own.recordings, folds, repeats, seed))
    stratum = [_within(own, fold, PROBES.get(column, ("platform",))) for fold in drawn]
    scores = [_probe(own.X, target, fold, strengths) for fold in drawn]
    rows_of = []
    for i, C in enumerate(strengths):
        interval = _interval_by_class if known else _interval
        at = [score[i] for score in scores]
        measured = interval(at, target, stratum, own.recordings["infant"], draws, seed)
        rows_of.append({**found, "C": C, **measured})
    return pd.DataFrame(rows_of)


def equal_probes(
    run: Any, rows: Rows, setting: Mapping[str, int], strengths: Sequence[float] = PRIMARY.Cs
) -> pd.DataFrame:
    """`probe` of the label, the infant, age, sex and platform, all at the same strengths."""
    common = {"rows": rows.with_features(rows.X), "strengths": tuple(strengths), **setting}
    calls = [{"column": column} for column in EQUAL]
    folder = run.run_folder / "parts" / run.chapter
    return pieces.gather(folder, "probe", probe, common, calls)


def above(probes: pd.DataFrame, target: str, C: float) -> bool:
    """Whether a target's interval lies above that of the label at the same strength.

    Parameters
    ----------
    probes : pandas.DataFrame
        Of `equal_probes`, with ``target`` and ``C`` as its index.
    """
    if not {(target, C), ("label", C)} <= set(probes.index):
        return False
    return bool(probes.loc[(target, C), "low"] > probes.loc[("label", C), "high"])


def contrast(
    rows: Rows, positive: Sequence[str], negative: Sequence[str], folds: int, repeats: int,
    draws: int, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """AUC of some classes against others: the exploratory two-class views.

    The primary procedure on two classes, with inner folds as ever.

    Returns
    -------
    dict
        ``contrast``, ``value``, ``low``, ``high``, ``chance``, ``n``, ``infants``.
    """
    own = rows.subset(rows.recordings["label"].isin([*positive, *negative]).to_numpy())
    y = own.recordings["label"].isin(negative).to_numpy().astype(int)
    two = own.with_labels(y)
    plan = plan_of(two, folds, repeats, seed)
    p = [trials.primary(two, plan, r)["p_pain"].to_numpy(float) for r in range(repeats)]
    score = [np.column_stack([own_p, -own_p]) for own_p in p]
    stratum = [_within(two, fold, ("platform",)) for fold in plan.folds]
    measured = _interval(score, y, stratum, two.recordings["infant"], draws, seed)
    name = f"{' or '.join(positive)} against {' or '.join(negative)}"
    infants = two.recordings["infant"].nunique()
    return {"contrast": name, **measured, "chance": 0.5, "n": len(y), "infants": infants}


def the_label(run: Any) -> pd.DataFrame:
    """The label itself as a probed attribute: the primary score of chapter 9.

    Returns
    -------
    pandas.DataFrame, 1 row
        ``target`` ('the label'), ``value``, ``low``, ``high``, ``chance``, ``n``, ``infants``.
    """
    scores, chosen = run.read("09_leakage", "scores"), run.parameters
    keep = {"metric": "auc_macro", "protocol": "primary", "set": chosen.set,
            "representation": chosen.representation}  # fmt: skip
    for column, value in keep.items():
        scores = scores[scores[column] == value]
    kept = scores[["value", "low", "high", "n", "units"]].rename(columns={"units": "infants"})
    return kept.assign(target="the label", chance=0.5).reset_index(drop=True)


def pipeline_checks(rows: Rows, plan: Plan, null: pd.DataFrame, seed: int) -> pd.DataFrame:
    """What must come out if the pipeline works.

    A planted signal must be found; labels that change places between infants, and random numbers in
    place of embeddings, must score at chance.

    Parameters
    ----------
    rows : Rows
    plan : Plan
    null : pandas.DataFrame
        Of chapter 9: ``permutation``, ``auc``.
    seed : int

    Returns
    -------
    pandas.DataFrame
        ``target``, ``value`` (macro AUC), ``expected`` (sentence), ``chance``, ``passes`` (bool).
    """
    rng, infants = np.random.default_rng(seed), rows.recordings["infant"].to_numpy(dtype=str)
    planted = power.inject(rows.X, rows.y, infants, PLANTED, rng)
    noise = rng.normal(size=rows.X.shape).astype(np.float32)
    permuted = null.loc[null["permutation"] > 0, "auc"]
    mean, (low, high) = permuted.mean(), permuted.quantile([0.005, 0.995])
    found, random = (float(repeat_auc(X, rows.y, plan).mean()) for X in (planted, noise))
    table = [
        ("planted signal", found, "above every permutation", found > permuted.max()),
        ("labels exchanged (mean)", mean, "0.5 within 0.02", abs(mean - 0.5) <= 0.02),
        ("random embeddings", random, "among the permutations", low <= random <= high),
    ]
    out = pd.DataFrame(table, columns=["target", "value", "expected", "passes"])
    return out.assign(chance=0.5, passes=out["passes"].astype(bool))


def without_sound(
    rows: Rows, folds: int, repeats: int, draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each piece of metadata alone, all of it, the sound, and both together.

    Returns
    -------
    alone : pandas.DataFrame
        ``what``, ``value`` (macro AUC), ``low``, ``high``, ``chance``.
    increments : pandas.DataFrame
        ``what`` minus all metadata, from the same draws: ``value``, ``low``, ``high``.
    """
    everything = permutation.metadata_matrix(rows.recordings)
    features = {name: _only(rows.recordings, column) for name, column in METADATA.items()}
    features["all metadata"] = everything
    features["sound"] = rows.X
    features["sound and metadata"] = np.column_stack([rows.X, everything])
    tables = []
    plan = plan_of(rows, folds, repeats, seed)
    for name, X in features.items():
        own = rows.with_features(X)
        made = [trials.primary(own, plan, r) for r in range(repeats)]
        tables.append(pd.concat(made).assign(representation=name))
    predictions = pd.concat(tables, ignore_index=True)
    kept = ["representation", "value", "low", "high"]
    alone = bootstrap.bootstrap(predictions, draws, seed, within=("platform",))
    more = bootstrap.paired_difference(
        predictions, "representation", "all metadata", draws, seed, within=("platform",)
    )
    alone, more = (t.loc[t["metric"] == "auc_macro", kept] for t in (alone, more))
    more = more[more["representation"].isin(["sound", "sound and metadata"])]
    alone, more = (t.rename(columns={"representation": "what"}) for t in (alone, more))
    return alone.assign(chance=0.5).reset_index(drop=True), more.reset_index(drop=True)


def within_platform(
    rows: Rows, rungs: Sequence[str], folds: int, repeats: int, draws: int, seed: int
) -> pd.DataFrame:
    """The ladder on each platform's recordings alone: no telephone can stand in for a label.

    A platform with fewer infants of a class than folds is left out; where that leaves none, all
    recordings stand as one series.

    Returns
    -------
    pandas.DataFrame
        ``series`` (platform, or 'all'), ``rung``, ``value``, ``low``, ``high``, ``n``, ``infants``.
    """
    parts = {}
    for platform in sorted(set(rows.recordings["platform"]) - {""}):
        own = rows.subset((rows.recordings["platform"] == platform).to_numpy())
        infants = own.recordings.groupby("label")["infant"].nunique()
        if infants.reindex(CLASSES, fill_value=0).min() >= folds:
            parts[platform] = own
    tables = []
    for name, own in (parts or {"all": rows}).items():
        bare = own.with_features(own.X)
        for rung in rungs:
            made = trials.rung(bare, folds, seed, "logistic_regression", rung, range(repeats))
            tables.append(made.assign(series=name))
    found = bootstrap.bootstrap(
        pd.concat(tables, ignore_index=True), draws, seed, by=("series", "protocol")
    )
    found = found[found["metric"] == "auc_macro"]
    found = found.rename(columns={"protocol": "rung", "units": "infants"})
    return found[["series", "rung", "value", "low", "high", "n", "infants"]].reset_index(drop=True)


def _only(recordings: pd.DataFrame, column: str) -> np.ndarray:
    """Metadata with every column but one blanked, so that coding is one and the same."""
    blank: Mapping[str, Any] = {"platform": "", "sex": "", "age_band": "", "level_dbfs": 0.0}
    hidden = {name: value for name, value in blank.items() if name != column}
    return permutation.metadata_matrix(recordings.assign(**hidden))


def _within(rows: Rows, fold: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    table = rows.recordings[list(columns)].assign(fold=fold)
    return strata(table, ["fold", *columns])


def _probe(
    X: np.ndarray, target: np.ndarray, fold: np.ndarray, strengths: Sequence[float]
) -> np.ndarray:
    """Out-of-fold scores of every value at every strength, shape (strengths, n, k)."""
    score = np.zeros((len(strengths), len(X), target.max() + 1))
    for k in np.unique(fold):
        train, test = fold != k, np.flatnonzero(fold == k)
        reduction = Reduction.fit(X[train], PRIMARY.explained)
        Z, heard = reduction(X[train]), reduction(X[test])
        for i, C in enumerate(strengths):
            model = LogisticRegression(C=C, class_weight="balanced", max_iter=2000)
            model.fit(Z, target[train])
            score[i][np.ix_(test, model.classes_)] = model.predict_proba(heard)
    return score


def _interval(
    score: list[np.ndarray],
    target: np.ndarray,
    stratum: list[np.ndarray],
    infants: pd.Series,
    draws: int,
    seed: int,
) -> dict[str, float]:
    """Mean one-vs-rest AUC over repeats, and its percentiles over draws of infants."""
    weights = np.column_stack([np.ones(len(target)), draw_weights(infants, draws, seed)])
    values = [
        [Ranked(target == k, own[:, k], part).auc(weights) for k in range(own.shape[1])]
        for own, part in zip(score, stratum, strict=True)
    ]
    means = np.mean(values, axis=(0, 1))
    return bootstrap.estimate(means, "probe")


def _interval_by_class(
    score: list[np.ndarray],
    target: np.ndarray,
    stratum: list[np.ndarray],
    infants: pd.Series,
    draws: int,
    seed: int,
) -> dict[str, float]:
    """As `_interval` where each value is an infant: infants' own AUCs are drawn, not recordings."""
    each = np.ones((len(target), 1))
    values = [
        [Ranked(target == k, own[:, k], part).auc(each)[0] for k in range(own.shape[1])]
        for own, part in zip(score, stratum, strict=True)
    ]
    by_infant = np.nanmean(values, axis=0)
    by_infant = by_infant[np.isfinite(by_infant)]
    weights = bootstrap.unit_draws(len(by_infant), draws, seed)
    means = by_infant @ weights / len(by_infant)
    return bootstrap.estimate(np.append(by_infant.mean(), means), "probe")
