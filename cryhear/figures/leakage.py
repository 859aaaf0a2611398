"""Figures of the leakage audit: ladder, inflation, null, strengths, power, precision, ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cryhear.figures.style import (
    ACCENT,
    CHANCE,
    CHANCE_DASHES,
    INK,
    SERIES,
    chance_line,
    drawn,
    errors,
    forest,
    forest_height,
    legend,
    marks,
    new,
    parts_of,
)

RUNGS = {
    "L0": "L0 rows",
    "L1": "L1 recordings,\nscaled on all",
    "L2": "L2 recordings",
    "L3": "L3 infants",
    "L4": "L4 platform",
}
"""Names of the ladder's rungs as drawn."""


PENALTY = "C, the inverse of the penalty (small: the model says next to nothing)"


@drawn("rung", "series", "value")
def ladder(table: pd.DataFrame) -> Figure:
    """Score on each rung of the leakage ladder, joined by series.

    Parameters
    ----------
    table : pandas.DataFrame
        ``rung`` ('L0' to 'L4'), ``series`` (representation, model, set or baseline), ``value``,
        optionally ``low``, ``high``.
    """
    rungs = [rung for rung in RUNGS if rung in set(table["rung"])]
    kinds = parts_of(table, "series")
    figure, axes = new(height=4.2)
    for place, (label, rows, style) in enumerate(kinds):
        rows = rows.iloc[np.argsort([rungs.index(rung) for rung in rows["rung"]], kind="stable")]
        shift = (place - (len(kinds) - 1) / 2) * 0.09
        at = [rungs.index(rung) + shift for rung in rows["rung"]]
        look = {**marks(style), "linewidth": 1.1, "elinewidth": 1.6, "capsize": 2}
        if "C = " in str(label):  # a fixed strength beside the protocol's, in the same colour
            look["markerfacecolor"] = "white"
        axes.errorbar(at, rows["value"], yerr=errors(rows), label=label, **look)
    chance_line(axes, 0.5)
    axes.set_xticks(range(len(rungs)), [RUNGS[rung] for rung in rungs])
    axes.set_xlim(-0.5, len(rungs) - 0.5)
    axes.set(xlabel="What the folds keep apart", ylabel="Macro AUC")
    legend(figure)
    return figure


@drawn("comparison", "value")
def inflation(table: pd.DataFrame, series: str) -> Figure:
    """What each leak adds: a rung's score minus L3's, from the same draws.

    Parameters
    ----------
    table : pandas.DataFrame
        ``comparison`` ('L0 minus L3', ...), ``value`` (difference), optionally ``low``, ``high`` and
        the column named by `series`.
    """
    figure, axes = new(height=forest_height(table, "comparison", series))
    forest(axes, table, "comparison", series)
    chance_line(axes, 0.0, "x", "no inflation")
    axes.set_xlabel("Macro AUC above the infant-grouped score")
    legend(figure)
    return figure


@drawn("C", "value", "log_loss", "chosen")
def strengths(table: pd.DataFrame, knows_nothing: float) -> Figure:
    """The inner criterion (above) and the held-out AUC (below) by strength of the penalty.

    Parameters
    ----------
    table : pandas.DataFrame
        ``C`` (inverse penalty, above 0), ``log_loss`` (nats), ``value`` (macro AUC), ``chosen`` (how
        many fits chose this C), optionally ``low``, ``high``.
    knows_nothing : float
        Log loss of equal probabilities, nats.
    """
    rows = table.sort_values("C")
    figure, (above, below) = new(rows=2, height=5.4, sharex=True)
    above.plot(rows["C"], rows["log_loss"], **marks(SERIES[0]))
    above.axhline(knows_nothing, color=CHANCE, linestyle=CHANCE_DASHES, linewidth=1.2, zorder=1)
    above.text(rows["C"].max(), knows_nothing, "knows nothing", va="bottom", ha="right",
               color=CHANCE, fontsize=9)  # fmt: skip
    above.set(ylabel="Log loss, inner folds (nats)", yscale="log")
    ticks = [1, 1.5, 2, 3, 5]
    above.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    above.minorticks_off()
    below.errorbar(rows["C"], rows["value"], yerr=errors(rows), capsize=3, label="AUC, 95 %",
                   **marks(SERIES[0]))  # fmt: skip
    chosen = rows[rows["chosen"] > 0]
    for axes, column in ((above, "log_loss"), (below, "value")):
        axes.scatter(chosen["C"], chosen[column], s=90, facecolor="none", edgecolor=ACCENT,
                     linewidth=2, zorder=4, label="chosen by the protocol's tuning")  # fmt: skip
    chance_line(below, 0.5)
    below.set(xscale="log", ylabel="Macro AUC, infants apart", xlabel=PENALTY)
    legend(figure)
    return figure


@drawn("C", "target", "value")
def probes(table: pd.DataFrame) -> Figure:
    """AUC of one probe of several attributes, by strength of its penalty.

    Parameters
    ----------
    table : pandas.DataFrame
        ``C`` (inverse penalty, above 0), ``target`` (what is read), ``value`` (AUC), optionally
        ``low``, ``high``.
    """
    kinds = parts_of(table, "target")
    figure, axes = new(height=4.4)
    for place, (label, rows, style) in enumerate(kinds):
        rows = rows.sort_values("C")
        at = rows["C"] * 10 ** ((place - (len(kinds) - 1) / 2) * 0.06)
        look = {**marks(style), "linewidth": 1.1, "elinewidth": 1.6, "capsize": 2}
        axes.errorbar(at, rows["value"], yerr=errors(rows), label=label, **look)
    chance_line(axes, 0.5)
    axes.set(xscale="log", xlabel=PENALTY, ylabel="AUC")
    legend(figure)
    return figure


@drawn("permutation", "auc")
def null_distribution(table: pd.DataFrame, observed: float, p: float) -> Figure:
    """Scores under permuted labels, with the observed score.

    Parameters
    ----------
    table : pandas.DataFrame
        ``auc``, ``permutation``: a row a permutation, of which 0 (the data as they are, in
        `cryhear.analysis.permutation.permutation_null`) is left out of the histogram.
    observed, p : float
        Score of the real labels, and its permutation p.
    """
    values = table.loc[table["permutation"] != 0, "auc"]
    figure, axes = new(height=3.4)
    label = f"{len(values):,} permutations"
    axes.hist(values, bins=40, color="#B0B0B0", edgecolor="white", label=label)
    text = f"observed {observed:.2f}, p = {p:.{2 if p >= 0.1 else 3}f}"
    axes.axvline(observed, color=ACCENT, linewidth=2.4, label=text)
    chance_line(axes, 0.5, "x")
    axes.set(xlabel="Macro AUC, pairs within platform", ylabel="Permutations")
    legend(figure)
    return figure


@drawn("auc", "power")
def power_curve(table: pd.DataFrame, detectable: float) -> Figure:
    """Share of runs that find an injected effect, by how large the effect is.

    Parameters
    ----------
    table : pandas.DataFrame
        ``auc`` (x position), ``power`` (0 to 1; at no effect it is the test's size), optionally
        ``low``, ``high``.
    detectable : float
        Smallest AUC found four times in five.
    """
    figure, axes = new(height=3.9)
    rows = table.sort_values("auc")
    interval = errors(rows.rename(columns={"power": "value"}))
    axes.errorbar(rows["auc"], rows["power"], yerr=interval, **marks(SERIES[0]), capsize=3)
    chance_line(axes, 0.05, label="nominal size 0.05")
    axes.axhline(0.8, color=INK, linewidth=1, linestyle=":", label="power 0.8")
    axes.axvline(detectable, color=ACCENT, linewidth=2, label=f"detectable: {detectable:.2f}")
    axes.set(xlabel="Mean macro AUC of the injected effect")
    axes.set(ylabel="Share of runs with p at most 0.05", ylim=(-0.03, 1.05))
    axes.margins(x=0.09)
    legend(figure)
    return figure


@drawn("n", "half_width")
def precision_curve(table: pd.DataFrame, here: int) -> Figure:
    """Half-width of an AUC's interval by how many infants the rarest class has.

    Parameters
    ----------
    table : pandas.DataFrame
        ``n`` (infants), ``half_width`` (of the 95 % interval).
    here : int
        How many this corpus has.
    """
    figure, axes = new(height=3.3)
    rows = table.sort_values("n")
    axes.plot(rows["n"], rows["half_width"], color=SERIES[0]["color"])
    chance_line(axes, 0.05, label="within 0.05")
    axes.axvline(here, color=ACCENT, linewidth=2, label=f"this corpus: {here}")
    axes.set(xlabel="Infants in the pain class", ylim=(0, None))
    axes.set(ylabel="Half-width of the\n95 % interval of the AUC")
    legend(figure)
    return figure


@drawn("source", "value")
def ceiling(table: pd.DataFrame) -> Figure:
    """The macro AUC that label noise allows, for each source of the noise rate.

    Parameters
    ----------
    table : pandas.DataFrame
        ``source`` (text), ``value`` (macro AUC).
    """
    figure, axes = new(height=1.5 + 0.55 * len(table))
    axes.barh(range(len(table)), table["value"] - 0.5, 0.45, left=0.5, color="#B0B0B0", edgecolor=INK,
              label="up to the highest AUC these labels allow")  # fmt: skip
    for place, value in enumerate(table["value"]):
        axes.text(value + 0.01, place, f"{value:.2f}", va="center")
    chance_line(axes, 0.5, "x")
    axes.set_yticks(range(len(table)), table["source"])
    axes.set(xlabel="Macro AUC", xlim=(0.45, 1.0))
    axes.invert_yaxis()
    legend(figure)
    return figure
