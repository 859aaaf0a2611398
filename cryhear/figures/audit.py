"""Figures of the leakage audit: ladder, inflation, null, power, precision, ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryhear.figures.plots import band_line, forest, forest_height
from cryhear.figures.style import (
    ACCENT,
    INK,
    chance_line,
    drawn,
    errors,
    groups_of,
    legend,
    marks,
    name_of,
    new,
    parts_of,
    require,
)

RUNGS = {
    "L0": "L0 rows",
    "L1": "L1 recordings,\nscaled on all",
    "L2": "L2 recordings",
    "L3": "L3 infants",
    "L4": "L4 platform",
}
"""Names of the ladder's rungs as drawn."""

LABEL_WIDTH = 0.12
"""Width of a dot's label, as a share of the axis."""


@drawn("rung", "series", "value")
def ladder(table: pd.DataFrame, y_label: str = "Macro AUC", chance: float | None = 0.5) -> Figure:
    """Score on each rung of the leakage ladder, joined by series.

    Parameters
    ----------
    table : pandas.DataFrame
        ``rung`` ('L0' to 'L4'), ``series`` (representation, model, set or baseline), ``value``,
        optionally ``low``, ``high``.
    """
    known = [rung for rung in RUNGS if rung in set(table["rung"])]
    rungs = known + [rung for rung in groups_of(table, "rung") if rung not in RUNGS]
    kinds = parts_of(table, "series")
    figure, axes = new(height=4.2)
    for place, (label, rows, style) in enumerate(kinds):
        rows = rows.iloc[np.argsort([rungs.index(rung) for rung in rows["rung"]], kind="stable")]
        at = (
            np.array([rungs.index(rung) for rung in rows["rung"]])
            + (place - (len(kinds) - 1) / 2) * 0.09
        )
        axes.errorbar(
            at,
            rows["value"],
            yerr=errors(rows),
            **marks(style),
            linewidth=1.1,
            elinewidth=1.6,
            capsize=2,
            label=label,
        )
    chance_line(axes, chance)
    axes.set_xticks(range(len(rungs)), [RUNGS.get(rung, name_of(rung)) for rung in rungs])
    axes.set_xlim(-0.5, len(rungs) - 0.5)
    axes.set(xlabel="What the folds keep apart", ylabel=y_label)
    legend(figure)
    return figure


@drawn("comparison", "value")
def inflation(
    table: pd.DataFrame,
    series: str | None = None,
    x_label: str = "Macro AUC above the infant-grouped score",
) -> Figure:
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
    axes.set_xlabel(x_label)
    legend(figure)
    return figure


@drawn()
def null_distribution(
    table: pd.DataFrame,
    observed: float,
    p: float | None = None,
    value: str = "auc",
    x_label: str = "Macro AUC, pairs within platform",
    chance: float | None = 0.5,
) -> Figure:
    """Scores under permuted labels, with the observed score.

    Parameters
    ----------
    table : pandas.DataFrame
        Column `value`, a row a permutation; a row of ``permutation`` 0 (the data as they are, in
        `cryhear.inference.permutation_null`) is left out of the histogram.
    observed : float
        Score of the real labels.
    p : float, optional
        Permutation p, for the legend.
    """
    require(table, (value,), "null_distribution")
    values = table.loc[table["permutation"] != 0, value] if "permutation" in table else table[value]
    figure, axes = new(height=3.4)
    label = f"{len(values):,} permutations"
    axes.hist(values, bins=40, color="#B0B0B0", edgecolor="white", label=label)
    text = f"observed {observed:.3f}" + ("" if p is None else f", p = {p:.3f}")
    axes.axvline(observed, color=ACCENT, linewidth=2.4, label=text)
    chance_line(axes, chance, "x")
    axes.set(xlabel=x_label, ylabel="Permutations")
    legend(figure)
    return figure


@drawn("auc", "power")
def power_curve(
    table: pd.DataFrame,
    detectable: float | None = None,
    target: float = 0.8,
    size: float = 0.05,
    x_label: str = "Mean macro AUC of the injected effect",
) -> Figure:
    """Share of runs that find an injected effect, by how large the effect is.

    Parameters
    ----------
    table : pandas.DataFrame
        ``auc`` (x position), ``power`` (0 to 1; at no effect it is the test's size), optionally
        ``low``, ``high``, ``effect`` (between-infant SD, written beside the dot) and ``series``.
    detectable : float, optional
        Smallest AUC found with `target` power.
    """
    figure, axes = new(height=3.9)
    kinds = parts_of(table, "series")
    for label, part, style in kinds:
        rows = part.sort_values("auc")
        interval = errors(rows.rename(columns={"power": "value"}))
        axes.errorbar(
            rows["auc"], rows["power"], yerr=interval, **marks(style), capsize=3, label=label
        )
        if "effect" in rows and len(kinds) == 1:
            _name_effects(axes, rows)
    chance_line(axes, size, label=f"nominal size {size:g}")
    axes.axhline(target, color=INK, linewidth=1, linestyle=":", label=f"power {target:g}")
    if detectable is not None:
        axes.axvline(detectable, color=ACCENT, linewidth=2, label=f"detectable: {detectable:.2f}")
    axes.set(xlabel=x_label, ylabel="Share of runs with p at most 0.05", ylim=(-0.03, 1.05))
    axes.margins(x=0.09)
    legend(figure)
    return figure


def _name_effects(axes: Axes, rows: pd.DataFrame) -> None:
    """Write each dot's effect beside it, left out where it would cover the one before."""
    apart = LABEL_WIDTH * (rows["auc"].max() - rows["auc"].min())
    last = -np.inf
    for row in rows.itertuples():
        if row.auc - last < apart:
            continue
        last, below = row.auc, row.power > LABEL_WIDTH
        axes.annotate(f"{row.effect:g} SD", (row.auc, row.power), (6, -11 if below else 8),
                      textcoords="offset points", fontsize=9)  # fmt: skip


@drawn("what", "value")
def detectable(table: pd.DataFrame, chance: float | None = 0.5) -> Figure:
    """Smallest AUC each set could have shown, beside what was observed and what labels allow.

    Parameters
    ----------
    table : pandas.DataFrame
        ``what`` ('uploads: detectable', 'uploads: observed', ...), ``value`` (macro AUC), optionally
        ``low``, ``high``, ``series``.
    """
    series = "series" if "series" in table else None
    figure, axes = new(height=forest_height(table, "what", series))
    forest(axes, table, "what", series, chance)
    axes.set_xlabel("Macro AUC")
    legend(figure)
    return figure


@drawn("n", "half_width")
def precision_curve(
    table: pd.DataFrame,
    here: int | None = None,
    target: float | None = 0.05,
    x_label: str = "Infants in the pain class",
) -> Figure:
    """Half-width of an AUC's interval by how many infants the rarest class has.

    Parameters
    ----------
    table : pandas.DataFrame
        ``n`` (infants), ``half_width`` (of the 95 % interval), optionally ``low``, ``high``, ``series``.
    here : int, optional
        How many this corpus has.
    """
    figure, axes = new(height=3.3)
    for label, rows, style in parts_of(table, "series"):
        band_line(axes, rows.sort_values("n"), "n", "half_width", style, label)
    if target is not None:
        chance_line(axes, target, label=f"within {target:g}")
    if here is not None:
        axes.axvline(here, color=ACCENT, linewidth=2, label=f"this corpus: {here}")
    axes.set(xlabel=x_label, ylabel="Half-width of the\n95 % interval of the AUC", ylim=(0, None))
    legend(figure)
    return figure


@drawn("source", "low", "high")
def ceiling(table: pd.DataFrame, observed: float | None = None, chance: float = 0.5) -> Figure:
    """The macro AUC that label noise allows, as a band for each source of the noise rate.

    Parameters
    ----------
    table : pandas.DataFrame
        ``source`` (text), ``low``, ``high`` (ends of the band, macro AUC).
    observed : float, optional
        The study's own score.
    """
    figure, axes = new(height=1.5 + 0.55 * len(table))
    axes.barh(
        range(len(table)),
        table["high"] - table["low"],
        0.45,
        left=table["low"],
        color="#B0B0B0",
        edgecolor=INK,
        hatch="///",
        label="highest AUC these labels allow",
    )
    chance_line(axes, chance, "x")
    if observed is not None:
        axes.axvline(observed, color=ACCENT, linewidth=2, label=f"observed {observed:.2f}")
    axes.set_yticks(range(len(table)), table["source"])
    axes.set(xlabel="Macro AUC", xlim=(min(0.45, chance), 1.0))
    axes.invert_yaxis()
    legend(figure)
    return figure
