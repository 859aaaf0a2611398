"""Score tables: every metric with its interval, beside the baselines, and by keys of the ledger.

Every table of scores in the book is made here, so that none shows accuracy without the majority
rate, a score without its interval, or a study of HeAR without saying whether HeAR was run.
"""

from __future__ import annotations

from collections.abc import Sequence

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

    Baselines that use no sound cannot be chosen.
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
        {"model": f"any model on {display_name(name)}", "representation": NO_SOUND, "note": NOT_RUN}
        for name in absent(representations)
    ]
    return pd.concat([rows, pd.DataFrame(line)], ignore_index=True) if line else rows


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


def unit_of(metric: str) -> str:
    """Unit of a metric in the ledger: share for accuracy, precision and recall, else score."""
    return "share" if metric.startswith(SHARES) else "score"


def keyed(scores: pd.DataFrame, metrics: Sequence[str], drop: Sequence[str] = ()) -> pd.DataFrame:
    """Scores as numbers of a ledger: a table for `Run.record`.

    Parameters
    ----------
    scores : pandas.DataFrame
        As `scored` gives them.
    metrics : sequence of str
        Those that are kept.
    drop : sequence of str
        Parts left out of the keys.

    Returns
    -------
    pandas.DataFrame
        ``value``, ``low``, ``high``, ``n``, ``unit``, by key: protocol (without ``split_``),
        representation (unless no sound), model, part and metric, as ``file_yamnet_mlp_test_accuracy``.
    """
    rows, keys = scores[scores["metric"].isin(metrics)], []
    parts = [p for p in ("protocol", "representation", "model", "part", "metric") if p not in drop]
    for row in rows[parts].to_numpy(dtype=str):
        named = "_".join(part.removeprefix("split_") for part in row if part != NO_SOUND)
        keys.append(named.replace("-", "_").replace(" ", "_"))
    table = rows[["value", "low", "high", "n"]].set_axis(keys)
    return table.assign(unit=rows["metric"].map(unit_of).to_numpy())


RIVALS = {"file": "instance_lookup", "infant": "metadata"}
"""The no-audio baseline that a split's models have to beat."""


def choices(
    scores: pd.DataFrame, predictions: pd.DataFrame, part: str, metrics: Sequence[str] = REPORTED
) -> pd.DataFrame:
    """What validation chose in each split, on validation and a later part, beside its baseline.

    Parameters
    ----------
    scores, predictions : pandas.DataFrame
        Of the protocols split_file and split_infant, or one of them.
    part : str
        The later part.
    metrics : sequence of str

    Returns
    -------
    pandas.DataFrame
        As `keyed`: ``{unit}_{part}_{metric}`` for validation and `part`, ``{unit}_{part}_rival``
        (balanced accuracy of the baseline of RIVALS) and ``{unit}_{part}_gain`` (balanced accuracy over
        the rival's, the same infants drawn for both).
    """
    tables = []
    for unit in (u for u in RIVALS if f"split_{u}" in set(scores["protocol"])):
        chosen = choose(scores, f"split_{unit}")
        rival = (RIVALS[unit], NO_SOUND)
        here = scores[scores["protocol"] == f"split_{unit}"].assign(protocol=unit)
        own = _cell(here, chosen["model"], chosen["representation"])
        own = own[own["part"].isin(["validation", part])]
        tables.append(keyed(own, metrics, drop=("model", "representation")))
        base = _cell(here[here["part"] == part], *rival)
        base = keyed(base, ["balanced_accuracy"]).set_axis([f"{unit}_{part}_rival"])
        ours = predictions[predictions["protocol"] == f"split_{unit}"]
        gain = _gain(ours[ours["part"] == part], tuple(chosen.values()), rival)
        ends = pd.DataFrame({**gain, "n": base["n"].to_numpy(), "unit": "difference"})
        tables += [base, ends.set_axis([f"{unit}_{part}_gain"])]
    return pd.concat(tables)


def _cell(table: pd.DataFrame, model: str, representation: str) -> pd.DataFrame:
    return table[(table["model"] == model) & (table["representation"] == representation)]


def _gain(
    predictions: pd.DataFrame, chosen: tuple[str, ...], rival: tuple[str, str]
) -> dict[str, float]:
    """Balanced accuracy of a choice over its rival's, from the same draws of infants."""
    rows = pd.concat([_cell(predictions, *names) for names in (chosen, rival)])
    try:
        table = paired_difference(rows, ("model", "representation"), rival, seed=42)
    except EvaluationError:  # too few infants for an interval
        table = repeated_scores(rows)
        ours, theirs = table.loc[table["metric"] == "balanced_accuracy", "value"]
        return {"value": float(ours - theirs), "low": np.nan, "high": np.nan}
    row = table[table["metric"] == "balanced_accuracy"].iloc[0]
    return {name: float(row[name]) for name in ("value", "low", "high")}
