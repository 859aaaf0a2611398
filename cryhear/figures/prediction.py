"""Figures of what a trained model answers to a recording, and of the gate in front of it."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from cryhear.corpus.labels import CLASSES, display_name
from cryhear.figures.style import (
    INK,
    UNLABELLED,
    class_handles,
    drawn,
    errors,
    fill,
    groups_of,
    handles_below,
    legend,
    marks,
    new,
    style_of,
)


@drawn("start_s", "end_s", "label", "share", "reason")
def decisions(table: pd.DataFrame) -> Figure:
    """Probabilities of each clip as a stacked bar; a hatched grey bar with the reason for no answer.

    Parameters
    ----------
    table : pandas.DataFrame
        ``start_s``, ``end_s`` (float, s), ``label`` (a class, or anything else for no answer),
        ``share`` (0 to 1), ``reason`` (str, '' for an answer); a row a clip and label.
    """
    starts = groups_of(table, "start_s")
    figure, axes = new(height=1.3 + 0.38 * len(starts))
    for place, start in enumerate(starts):
        left = 0.0
        for row in table[table["start_s"] == start].itertuples():
            style = style_of(row.label) if row.label in CLASSES else UNLABELLED
            axes.barh(place, row.share, left=left, height=0.7, edgecolor="white", **fill(style))
            left += row.share
            if row.reason:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 2}
                axes.text(0.5, place, f"no answer: {row.reason}", ha="center", va="center",
                          fontsize=9, color=INK, bbox=box)  # fmt: skip
    first = table.drop_duplicates("start_s").set_index("start_s")["end_s"]
    axes.set_yticks(range(len(starts)), [f"{s:.1f} to {first[s]:.1f} s" for s in starts])
    axes.set_ylim(len(starts) - 0.5, -0.5)
    axes.set(xlim=(0, 1), xlabel="Calibrated probability", ylabel="Clip")
    if set(table["label"]) & set(CLASSES):
        handles_below(figure, *class_handles())
    return figure


@drawn("gate", "sounds", "passed", "low", "high", "recordings")
def gates(table: pd.DataFrame) -> Figure:
    """Share of recordings that each gate lets through, by kind of sound, with its interval.

    Parameters
    ----------
    table : pandas.DataFrame
        ``gate``, ``sounds`` (str), ``passed``, ``low``, ``high`` (0 to 1), ``recordings`` (int).
    """
    kinds, series = groups_of(table, "sounds"), groups_of(table, "gate")
    figure, axes = new(height=1.3 + 0.5 * len(kinds))
    for number, gate in enumerate(series):
        rows = table[table["gate"] == gate].set_index("sounds").reindex(kinds).reset_index()
        rows = rows.assign(value=rows["passed"])
        places = [i + 0.22 * (number - (len(series) - 1) / 2) for i in range(len(kinds))]
        style = marks(style_of(gate, series), "")
        axes.errorbar(
            rows["value"], places, xerr=errors(rows), capsize=3, label=display_name(gate), **style
        )
    counts = table.drop_duplicates("sounds").set_index("sounds")["recordings"]
    axes.set_yticks(range(len(kinds)), [f"{kind} ({counts[kind]:,})" for kind in kinds])
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.set(xlim=(-0.03, 1.03), xlabel="Share of recordings let through")
    if len(series) > 1:
        legend(figure)
    return figure
