"""What the leakage audit found, as chapter 9's tables: what could be seen, the result, the ladder.

Every function takes what a `cryhear.analysis.leakage.Audit` computed and returns a table, a number or a name;
nothing is fitted here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from cryhear.analysis import ceiling, penalty, permutation, power
from cryhear.analysis.primary_auc import Plan
from cryhear.analysis.trials import Rows
from cryhear.corpus.labels import CLASSES
from cryhear.evaluation import bootstrap

METRICS = ("auc_macro", "balanced_accuracy")
COMPARED = ("L0", "L1", "L2", "L3")
"""Rungs whose inflation is over L3; L4 tests other recordings."""
MARGIN = 0.60
"""Smallest AUC of interest. Named after the primary result was known, so no test rests on it."""
WIDEST_STEP = 0.1
"""Largest step in AUC between two simulated effects across which power is interpolated."""


def fold_counts(rows: Rows, plan: Plan) -> pd.DataFrame:
    """Recordings and infants of each class in all and in a fold's test side.

    Returns
    -------
    pandas.DataFrame
        ``label``, ``recordings``, ``infants``, ``infants_a_fold`` (mean), ``fewest``, ``most``:
        infants with at least one such recording over all folds and repeats.
    """
    table = []
    for label in CLASSES:
        own = rows.recordings[rows.recordings["label"] == label]
        folds = plan.folds[:, own.index]
        held = [
            own["infant"][fold == k].nunique()
            for fold in folds
            for k in range(int(plan.folds.max()) + 1)
        ]
        table.append({
            "label": label, "recordings": len(own), "infants": own["infant"].nunique(),
            "infants_a_fold": float(np.mean(held)), "fewest": min(held), "most": max(held),
        })  # fmt: skip
    return pd.DataFrame(table)


AGREEMENT = 0.75
"""Share of cries in which the parents' opinion agreed with what ended the cry (Lockhart-Bouron et
al. 2023), among three causes."""


def ceilings(rows: Rows) -> pd.DataFrame:
    """The macro AUC that the labels' own noise allows, by three accounts of how noisy they are.

    Errors follow the base rates (`ceiling.label_ceiling`). Parents' opinions agree with what ended
    the cry in 75 %, among three causes. Read as raw agreement at this corpus' base rates, where
    always naming the commonest class already agrees in most cases, that is a small kappa; had the
    source's three causes been equally common, it is a kappa of 0.63. Recordings of one installation
    within five minutes should share their cause.

    Returns
    -------
    pandas.DataFrame
        ``source``, ``agreement``, ``kappa``, ``pairs`` (missing but for the last), ``disagreeing``,
        ``value``.
    """
    priors = np.bincount(rows.y, minlength=len(CLASSES)) / len(rows.y)
    equal = np.full(len(CLASSES), 1 / len(CLASSES))
    disagreeing, pairs = ceiling.pair_disagreement(rows.recordings)
    asked = [("parents, 75 % agree\nat these base rates", AGREEMENT, priors, False, np.nan, np.nan),
             ("parents, 75 % agree\non equal classes", AGREEMENT, equal, False, np.nan, np.nan)]  # fmt: skip
    if pairs:
        name = "pairs of one installation\nwithin 5 minutes"
        asked.append((name, 1 - disagreeing / pairs, priors, True, pairs, disagreeing))
    table = [
        {"source": source, "agreement": agreement, "kappa": ceiling.kappa(agreement, shares),
         "pairs": n, "disagreeing": differ,
         "value": ceiling.label_ceiling(agreement, shares, both)}
        for source, agreement, shares, both, n, differ in asked
    ]  # fmt: skip
    return pd.DataFrame(table)


def detectable(summary: pd.DataFrame, null: pd.DataFrame, error: float) -> tuple[float, str]:
    """The smallest AUC found four times in five, and how that was worked out.

    By simulation; where no effect tried is found so often, or the effects tried leap over the
    place where power rises, by formula from the null and the refitted standard error.
    """
    simulated = power.detectable_auc(summary)
    by_formula = power.detectable_auc_normal(null, error)
    if not np.isfinite(simulated):
        return by_formula, "by formula: no effect tried reached it"
    tried = np.sort(summary["auc"].to_numpy())
    place = int(np.searchsorted(tried, simulated))
    if place and tried[min(place, len(tried) - 1)] - tried[place - 1] > WIDEST_STEP:
        return by_formula, "by formula: the simulated effects leap over it"
    return simulated, "simulated"


def detectable_range(summary: pd.DataFrame) -> tuple[float, float]:
    """The smallest detectable AUC were the true powers at the ends of their Wilson intervals.

    Returns
    -------
    low, high : float
        NaN where no effect tried reaches the power.
    """
    low, high = (
        power.detectable_auc(summary.assign(share_significant=summary[end]))
        for end in ("high", "low")
    )
    return low, high


def precision(refits: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Half width of the pain class's AUC by how many infants hold the class: ``n``, ``half_width``."""
    infants = rows.recordings.loc[rows.y == 0, "infant"].nunique()
    drawn = refits.loc[refits["features"] == rows.representation, "auc_pain"]
    error = permutation.interval(0.0, drawn.to_numpy())[0]
    n = np.unique(np.geomspace(20, 1000, 40).round().astype(int))
    return pd.DataFrame({"n": n, "half_width": permutation.Z_95 * error * np.sqrt(infants / n)})


def headline(null: pd.DataFrame, refits: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    """The primary estimate, that of the metadata, and their difference, with refitted intervals.

    Parameters
    ----------
    null, metadata : pandas.DataFrame
        Of `Audit.null`; only permutation 0 is read.
    refits : pandas.DataFrame
        Of `Audit.refits`.

    Returns
    -------
    pandas.DataFrame
        ``quantity`` ('auc', 'auc_<class>', 'metadata_auc', 'increment'), ``value``, ``se``, ``low``,
        ``high``.
    """
    sound = next(name for name in refits["features"].unique() if name != "metadata")
    drawn = refits.pivot(index="draw", columns="features", values="auc")
    first, other = null.iloc[0], float(metadata.iloc[0]["auc"])
    asked = [("auc", float(first["auc"]), drawn[sound])]
    for column in permutation.COLUMNS:
        own = refits.loc[refits["features"] == sound, column]
        asked.append((column, float(first[column]), own))
    asked.append(("metadata_auc", other, drawn["metadata"]))
    asked.append(("increment", float(first["auc"]) - other, drawn[sound] - drawn["metadata"]))
    table = [
        (name, value, *permutation.interval(value, draws.to_numpy()))
        for name, value, draws in asked
    ]
    return pd.DataFrame(table, columns=["quantity", "value", "se", "low", "high"])


def comparison(nulls: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Every representation against the same permutations, corrected by the maximum statistic.

    Returns
    -------
    pandas.DataFrame
        ``representation``, ``value`` (AUC), ``null_low``, ``null_high`` (middle 95 % of its
        permutations), ``chance`` (their mean), ``p_maximum`` (one-sided), ``p_two_sided`` (for
        itself, not corrected).
    """
    p = permutation.maximum_p(nulls)
    table = []
    for name, null in nulls.items():
        drawn = null["auc"].to_numpy()[1:]
        low, high = bootstrap.percentiles(drawn)
        both = permutation.p_two_sided(null)
        table.append((name, null["auc"].iloc[0], low, high, drawn.mean(), p[name], both))
    columns = ["representation", "value", "null_low", "null_high", "chance", "p_maximum"]
    columns.append("p_two_sided")
    return pd.DataFrame(table, columns=columns)


def scores(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Every metric of every cell of the ladder, AUC over pairs within fold and platform.

    Returns
    -------
    pandas.DataFrame
        As `evaluate.bootstrap`: intervals are 'test-sampling only'.
    """
    return bootstrap.bootstrap(predictions, draws, seed, within=("platform",))


def inflation(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Each rung minus L3 from the same draws of infants.

    Returns
    -------
    pandas.DataFrame
        As `evaluate.paired_difference`, with ``comparison`` ('L1 minus L3').
    """
    plain = predictions[(predictions["part"] == "oof") & predictions["protocol"].isin(COMPARED)]
    table = bootstrap.paired_difference(plain, "protocol", "L3", draws, seed, within=("platform",))
    table = table[table["metric"].isin(METRICS)].reset_index(drop=True)
    return table.assign(comparison=table["protocol"] + " minus " + table["reference"])


def at_strengths(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Macro AUC of each rung at each fixed strength of the penalty.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Of `Audit.ladder_at_strengths`.
    draws, seed : int

    Returns
    -------
    pandas.DataFrame
        ``C``, ``rung``, ``value``, ``low``, ``high``, ``n``, ``units`` (infants).
    """
    plain = predictions[predictions["part"] == "oof"]
    keys, cells = zip(*plain.groupby(["C", "protocol"]), strict=True)
    table = penalty.scores(dict(enumerate(cells)), draws, seed)
    table = table.rename(columns={"infants": "units"}).drop(columns="cell")
    return pd.concat([pd.DataFrame(keys, columns=["C", "rung"]), table], axis=1)


def inflation_at_strengths(predictions: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Rungs L1 and L2 minus L3 at each fixed strength, from the same draws of infants.

    Returns
    -------
    pandas.DataFrame
        ``C``, ``strength`` ('C = 0.01'), ``comparison`` ('L1 minus L3'), ``value``, ``low``, ``high``.
    """
    plain = predictions[predictions["protocol"].isin(COMPARED[1:]) & (predictions["part"] == "oof")]
    tables = []
    for C, own in plain.groupby("C"):
        table = penalty.differences(dict(list(own.groupby("protocol"))), "L3", draws, seed)
        table["comparison"] = table["cell"] + " minus L3"
        tables.append(table.assign(C=C, strength=f"C = {C:g}").drop(columns="cell"))
    return pd.concat(tables, ignore_index=True)


def series(set_name: str, model: str, representation: str) -> str:
    """What a line of the ladder is called in figures."""
    from cryhear.corpus.labels import display_name

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


def shuffled_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Macro AUC of each rung under labels that mean nothing: mean and range over the shuffles.

    Returns
    -------
    pandas.DataFrame
        ``rung``, ``value``, ``low``, ``high``, ``shuffles``.
    """
    table = bootstrap.repeated_scores(predictions, ("platform",), by=("protocol", "shuffle"))
    table = table[table["metric"] == "auc_macro"].groupby("protocol")["value"]
    out = table.agg(value="mean", low="min", high="max", shuffles="size").reset_index()
    return out.rename(columns={"protocol": "rung"})


def remembered(meaningless: float, real: float) -> float:
    """Share of a score's distance from 1/2 that labels without meaning reach too: 0 to 1.

    Examples
    --------
    >>> round(remembered(0.6, 0.7), 3)
    0.5
    """
    return float(np.clip((meaningless - 0.5) / (real - 0.5), 0, 1)) if real > 0.5 else 1.0


def implied_coverage(summary: pd.DataFrame) -> pd.DataFrame:
    """Coverage of estimate plus and minus 1.96 refitted standard errors, from its mean error.

    The share a normal spread of `auc_sd` leaves within 1.96 mean `se_refit`: steadier than counting
    a few runs.
    """
    known = summary[summary["se_refit"].notna()].copy()
    reach = permutation.Z_95 * known["se_refit"] / known["auc_sd"]
    known["coverage_implied"] = 2 * norm.cdf(reach) - 1
    return known
