"""Score tables: every metric with its interval, beside the baselines, and as numbers of the ledger.

Every table of scores in the book is made here, so that none shows accuracy without the majority
rate, a score without its interval, or a study of HeAR without saying whether HeAR was run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import display_name
from cryhear.embedding.catalogue import NOT_RUN
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import (
    CELL,
    NO_INTERVAL,
    bootstrap,
    paired_difference,
    repeated_scores,
)
from cryhear.models.baselines import NO_SOUND

REPORTED = ("accuracy", "majority_rate", "balanced_accuracy", "f1_weighted", "auc_macro")
"""Metrics of every table of scores; accuracy never without the majority rate."""
SHARES = ("accuracy", "majority_rate", "precision", "recall")
"""Metrics that the ledger counts as shares (printed in per cent); by class or averaged."""


def scored(
    predictions: pd.DataFrame, draws: int = 2000, seed: int = 42, within: Sequence[str] = ()
) -> pd.DataFrame:
    """Every metric of every cell with its bootstrap interval over infants, where there can be one.

    Returns
    -------
    pandas.DataFrame
        As `bootstrap.bootstrap`. A cell with too few infants of a class keeps its values with
        missing `low` and `high`, and `interval` says why.
    """
    tables = []
    for _, cell in predictions.groupby([*CELL], sort=False, observed=True):
        try:
            table = bootstrap(cell, draws, seed, within=within)
        except EvaluationError:
            # Raises again, and rightly, where the values themselves cannot be computed.
            table = repeated_scores(cell, within=within)
            table = table.assign(low=np.nan, high=np.nan, interval=NO_INTERVAL)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def choose(scores: pd.DataFrame, protocol: str) -> dict[str, str]:
    """``model`` and ``representation`` with the best balanced accuracy on validation.

    Only models that heard something can be chosen.
    """
    rows = scores[(scores["protocol"] == protocol) & (scores["metric"] == "balanced_accuracy")]
    rows = rows[(rows["part"] == "validation") & (rows["representation"] != NO_SOUND)]
    if rows.empty:
        raise EvaluationError(
            f"no validation score under {protocol}; expected some among protocols "
            f"{sorted(scores['protocol'].unique())}. Change the choice."
        )
    best = rows.iloc[int(np.argmax(rows["value"].to_numpy()))]
    return {"model": best["model"], "representation": best["representation"]}


def comparison(
    scores: pd.DataFrame,
    metrics: Sequence[str] = REPORTED,
    absent: Sequence[str] = (),
    intervals_of: Sequence[str] = ("balanced_accuracy", "auc_macro"),
) -> pd.DataFrame:
    """A table to read: a row a model and representation, a column a metric, intervals as text.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `scored` gives them, of one part.
    metrics : sequence of str
        Accuracy is never shown without ``majority_rate``.
    absent : sequence of str
        Representations that were not run: a row each, saying so.
    intervals_of : sequence of str
        Metrics followed by a column with their interval.
    """
    keys = ["protocol", "model", "representation"]
    table = scores[[*keys, "n", "units"]].drop_duplicates().rename(columns={"units": "infants"})
    for metric in metrics:
        rows = scores[scores["metric"] == metric]
        named = rows[keys].assign(**{metric: rows["value"]})
        if metric in intervals_of:
            text = rows["low"].map("{:.3f}".format) + " to " + rows["high"].map("{:.3f}".format)
            named[f"{metric}_interval"] = text.where(rows["low"].notna(), NO_INTERVAL)
        table = table.merge(named, on=keys, how="left")
    missing = [
        {"protocol": protocol, "model": NOT_RUN, "representation": name}
        for protocol in dict.fromkeys(scores["protocol"])
        for name in absent
    ]
    return pd.concat([table, pd.DataFrame(missing)], ignore_index=True) if missing else table


def absent(representations: Sequence[str]) -> list[str]:
    """HeAR where it was not run in either of its forms: the study is about it, so its row stays."""
    return [] if {"hear", "hear-pytorch"} & set(representations) else ["hear"]


def drawn(scores: pd.DataFrame, metric: str, representations: Sequence[str]) -> pd.DataFrame:
    """Rows for `figures.model_comparison`, with a line for what was not run."""
    rows = scores[scores["metric"] == metric]
    line = [
        {"model": f"any model on {shown(name)}", "representation": NO_SOUND, "note": NOT_RUN}
        for name in absent(representations)
    ]
    return pd.concat([rows, pd.DataFrame(line)], ignore_index=True) if line else rows


METRIC_NAMES = {
    "balanced_accuracy": "balanced\naccuracy", "f1_weighted": "weighted F1", "auc_macro": "macro AUC",
    "f1": "F1",
}  # fmt: skip
"""How metrics are written in figures, where it is not as they are named in tables."""


def named(scores: pd.DataFrame) -> pd.DataFrame:
    """The table with metrics as they are written in figures."""
    return scores.assign(metric=scores["metric"].replace(METRIC_NAMES))


def sizes(predictions: pd.DataFrame, part: str) -> str:
    """How many recordings a part holds in each split, in words: '370 by file, 373 by infant'."""
    rows = predictions[predictions["part"] == part].groupby("unit")["recording"].nunique()
    return ", ".join(f"{n:,} by {unit}" for unit, n in rows.items())


def majority_rates(predictions: pd.DataFrame, part: str) -> pd.Series:
    """Accuracy of always naming a part's commonest class, by unit."""
    rows = predictions[predictions["part"] == part].drop_duplicates(["unit", "recording"])
    return rows.groupby("unit")["label"].agg(lambda x: x.value_counts(normalize=True).max())


def of_knowing_nothing(searches: pd.DataFrame, majority: pd.Series) -> pd.Series:
    """The score that knowing nothing reaches, for each row of a search's table.

    Parameters
    ----------
    searches : pandas.DataFrame
        ``scoring`` (of `cryhear.models.classical`) and ``unit``.
    majority : pandas.Series
        Accuracy of always naming the commonest class, by unit (`majority_rates`): where it was scored
        by accuracy.
    """
    known = {"balanced_log_loss": -np.log(3), "balanced_accuracy": 1 / 3}
    return searches["scoring"].map(known).fillna(searches["unit"].map(majority))


def span(values: pd.Series) -> str:
    """Lowest and highest of some values in words, for descriptions of figures."""
    return f"{values.min():.2f} to {values.max():.2f}"


def record(
    run: Any, scores: pd.DataFrame, metrics: Sequence[str], drop: Sequence[str] = ()
) -> None:
    """Record scores in a chapter's ledger, with intervals and n.

    A key joins the protocol (without ``split_``), representation, model, part and metric, as far as
    they are known and not in `drop`: ``file_yamnet_mlp_holdout_accuracy``.
    """
    for row in scores[scores["metric"].isin(list(metrics))].to_dict("records"):
        parts = [row[c] for c in ("protocol", "representation", "model", "part") if c not in drop]
        named = [str(p).removeprefix("split_") for p in parts if p != NO_SOUND]
        key = "_".join([*named, row["metric"]]).replace("-", "_").replace(" ", "_")
        run.interval(key, row, unit_of(row["metric"]), n=int(row["n"]))


def unit_of(metric: str) -> str:
    """Unit of a metric in the ledger: share for accuracy, precision and recall, else score."""
    return "share" if metric.startswith(SHARES) else "score"


def quote(run: Any, key: str) -> str:
    """The ``{num}`` role of a number of the chapter that runs, with its interval if it has one.

    For sentences that are recorded as text, so that they hold for whatever a run left out.
    """
    part = " ci" if run.ledger.numbers[key].get("low") is not None else ""
    return f"{{num}}`{run.ledger.prefix}.{key}{part}`"


def one(scores: pd.DataFrame, **where: str) -> float:
    """The single value of a table of scores where columns equal `where`."""
    rows = scores
    for column, value in where.items():
        rows = rows[rows[column] == value]
    if len(rows) != 1:
        raise EvaluationError(f"{len(rows)} scores with {where}; expected one. Name more columns.")
    return float(rows["value"].iloc[0])


RIVALS = {"file": "instance_lookup", "infant": "metadata"}
"""The no-sound baseline that a split's models have to beat: whose telephone it was, or which kind."""
_RIVAL_IS = {
    "instance_lookup": "the lookup of the same app instance, which hears nothing",
    "metadata": "a model of platform, age band, sex and level, which hears nothing else",
}


def verdict(
    run: Any,
    scores: pd.DataFrame,
    predictions: pd.DataFrame,
    part: str,
    refused: Mapping[str, str] | None = None,
) -> None:
    """Whether hearing the cries helped, by file and by infant: what validation chose, on a later part.

    Records for each unit what `_choice` does, and then the sentence ``verdict``.
    """
    for unit in RIVALS:
        _choice(run, scores, predictions, unit, part, (refused or {}).get(unit))
    numbers = run.ledger.numbers
    helped = [u for u in RIVALS if numbers[f"conclusion_{u}"].get("holds")]
    where = {"test": "the test part"}.get(part, f"the {part}")
    run.conclude(
        "verdict",
        bool(helped),
        f"Hearing the cries helped where parts were dealt by {' and by '.join(helped)}.",
        "Hearing the cries was not shown to help, however the parts were dealt: what validation chose "
        f"did not do clearly better on {where} than a guess that hears nothing.",
        of=[f"{u}_{part}_gain" for u in RIVALS if f"{u}_{part}_gain" in numbers],
    )


def _choice(
    run: Any,
    scores: pd.DataFrame,
    predictions: pd.DataFrame,
    unit: str,
    part: str,
    refused: str | None,
) -> None:
    """Choose on validation, record the choice's scores, and conclude from a later part.

    Records ``{unit}_model``, ``{unit}_representation``, ``{unit}_{part}_{metric}`` for validation and
    `part`, ``{unit}_{part}_rival``, ``{unit}_{part}_gain`` (balanced accuracy over the rival's, the
    same infants drawn for both) and the sentence ``conclusion_{unit}``. A unit without scores gets the
    sentence alone, which says why.
    """
    protocol, key = f"split_{unit}", f"conclusion_{unit}"
    if protocol not in set(scores["protocol"]):
        why = refused or "it was left out on purpose"
        run.number(key, f"The split by {unit} was not run here: {why}", "text")
        return
    chosen = choose(scores, protocol)
    for name, value in chosen.items():
        run.number(f"{unit}_{name}", shown(value), "text")
    for one_part in ("validation", part):
        rows = _cell(scores, protocol, one_part, chosen["model"], chosen["representation"])
        for row in rows[rows["metric"].isin(REPORTED)].to_dict("records"):
            name = f"{unit}_{one_part}_{row['metric']}"
            run.interval(name, row, unit_of(row["metric"]), n=int(row["n"]))
    rival = _cell(scores, protocol, part, RIVALS[unit], NO_SOUND)
    row = rival[rival["metric"] == "balanced_accuracy"].iloc[0].to_dict()
    run.interval(f"{unit}_{part}_rival", row, "score", n=int(row["n"]))
    gain = _gain(predictions, protocol, part, chosen, RIVALS[unit])
    run.interval(f"{unit}_{part}_gain", gain, "difference", n=int(row["n"]))
    heard = scores.loc[scores["representation"] != NO_SOUND, "representation"]
    among = " among the models on it" if heard.nunique() == 1 else ""
    details = (
        f" (balanced accuracy {quote(run, f'{unit}_{part}_balanced_accuracy')}, chance one third; "
        f"{_RIVAL_IS[RIVALS[unit]]}, {quote(run, f'{unit}_{part}_rival')}; difference "
        f"{quote(run, f'{unit}_{part}_gain')}). That is {shown(chosen['model'])} on "
        f"{shown(chosen['representation'])}, chosen on validation{among}, scored on the {part} part; its "
        f"macro AUC there is {quote(run, f'{unit}_{part}_auc_macro')}."
    )
    run.conclude(
        key,
        gain["low"] > 0,
        f"Dealt by {unit}, hearing the cries helped{details}",
        f"Dealt by {unit}, hearing the cries was not shown to help{details}",
        of=[f"{unit}_{part}_gain"],
        beside=[f"{unit}_{part}_{name}" for name in ("balanced_accuracy", "rival", "auc_macro")],
    )


def _cell(
    table: pd.DataFrame, protocol: str, part: str, model: str, representation: str
) -> pd.DataFrame:
    same = (table["protocol"] == protocol) & (table["part"] == part) & (table["model"] == model)
    return table[same & (table["representation"] == representation)]


def _gain(
    predictions: pd.DataFrame, protocol: str, part: str, chosen: Mapping[str, str], rival: str
) -> dict[str, float]:
    """Balanced accuracy of a choice over its rival's, from the same draws of infants."""
    pair = [(chosen["model"], chosen["representation"]), (rival, NO_SOUND)]
    rows = pd.concat([_cell(predictions, protocol, part, *names) for names in pair])
    try:
        table = paired_difference(rows, ("model", "representation"), pair[1], seed=42)
    except EvaluationError:
        table = repeated_scores(rows).assign(low=np.nan, high=np.nan)
        table = table[table["metric"] == "balanced_accuracy"]
        ours, theirs = (table.loc[table["model"] == name, "value"].iloc[0] for name, _ in pair)
        return {"value": float(ours - theirs), "low": np.nan, "high": np.nan}
    row = table[table["metric"] == "balanced_accuracy"].iloc[0]
    return {name: float(row[name]) for name in ("value", "low", "high")}


def shown(name: str) -> str:
    """A model's or representation's name as it is written in figures."""
    return display_name(name)


def side_by_side(scores: pd.DataFrame, column: str, rows: Sequence[str]) -> pd.DataFrame:
    """One metric's values with a column for each value of `column`, in the order they came."""
    values = list(dict.fromkeys(scores[column]))
    table = scores.pivot_table(index=list(rows), columns=column, values="value", sort=False)
    return table[values].reset_index().rename_axis(columns=None)


def beaten_by_majority(scores: pd.DataFrame) -> tuple[int, int]:
    """How many fitted models are less accurate than the majority rate, and how many there are."""
    heard = scores[scores["representation"] != NO_SOUND]
    keys = ["protocol", "part", "model", "representation"]
    table = heard.pivot_table(index=keys, columns="metric", values="value")
    return int((table["accuracy"] < table["majority_rate"]).sum()), len(table)
