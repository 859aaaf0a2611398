"""Figures of controls, sensitivity and robustness, and of our figures beside the original's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cryhear.corpus.labels import display_name
from cryhear.figures.style import (
    ACCENT,
    INK,
    PLAIN,
    boxes,
    chance_line,
    chance_marks,
    drawn,
    errors,
    forest,
    forest_height,
    groups_of,
    legend,
    marks,
    new,
    parts_of,
)


@drawn("factor", "level", "value", "primary")
def specification_curve(table: pd.DataFrame, x_label: str) -> Figure:
    """Every specification in order of its score; the primary one marked, the best one only named.

    Parameters
    ----------
    table : pandas.DataFrame
        ``factor``, ``level`` (what was changed, to what), ``value``, ``primary`` (bool), optionally
        ``low``, ``high``.
    x_label : str
        What the score is.
    """
    rows = table.sort_values("value", kind="stable").reset_index(drop=True)
    figure, axes = new(height=1.4 + 0.24 * len(rows))
    primary = rows["primary"].to_numpy(bool)
    others, own = rows[~primary], rows[primary]
    axes.errorbar(others["value"], others.index, xerr=errors(others), color=INK, ecolor="#9A9A9A",
                  marker="o", linestyle="", capsize=2)  # fmt: skip
    axes.errorbar(own["value"], own.index, xerr=errors(own), color=ACCENT, marker="D", markersize=8,
                  linestyle="", capsize=3, label="primary", zorder=4)  # fmt: skip
    for value in own["value"]:
        axes.axvline(value, color=ACCENT, linewidth=0.8, zorder=0)
    chance_line(axes, 0.5, "x")
    names = [f"{display_name(row.factor)}: {display_name(row.level)}" for row in rows.itertuples()]
    axes.set_yticks(range(len(rows)), names)
    for tick, bold in zip(axes.get_yticklabels(), primary, strict=True):
        tick.set_weight("bold" if bold else "normal")
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(x_label)
    legend(figure)
    return figure


@drawn("target", "value", "chance")
def controls(
    table: pd.DataFrame, x_label: str, zero: bool = False, chance_label: str = "chance"
) -> Figure:
    """What else the embeddings know, and whether the pipeline works: each score with its own chance.

    Parameters
    ----------
    table : pandas.DataFrame
        ``target`` ('infant', 'platform', 'planted signal', ...), ``value``, ``chance`` (the row's own, in
        the same unit), optionally ``low``, ``high``, ``note``.
    x_label : str
        What the score is.
    zero : bool, default False
        The axis starts at zero.
    chance_label : str
        What ``chance`` is, in the legend.
    """
    figure, axes = new(height=forest_height(table, "target"))
    forest(axes, table, "target", chance_label=chance_label)
    axes.set_xlabel(x_label)
    if zero:
        axes.set_xlim(left=0)
    legend(figure)
    return figure


@drawn("severity", "value")
def robustness(
    table: pd.DataFrame,
    x_label: str = "Signal-to-noise ratio (dB)",
    y_label: str = "Macro AUC",
    series: str | None = None,
    chance: float | None = 0.5,
    chance_label: str = "chance",
) -> Figure:
    """Score or agreement as recordings get worse: by noise, level, band or codec.

    Parameters
    ----------
    table : pandas.DataFrame
        ``severity`` (float with a unit, such as dB; or text, in order, such as codecs), ``value``,
        optionally ``low``, ``high`` and the column named by `series`.
    """
    figure, axes = new(height=3.6)
    kinds = parts_of(table, series)
    ordered = not pd.api.types.is_numeric_dtype(table["severity"])
    steps = groups_of(table, "severity")
    for place, (label, part, style) in enumerate(kinds):
        rows = part if ordered else part.sort_values("severity")
        shift = (place - (len(kinds) - 1) / 2) * 0.12
        if ordered:
            at = [steps.index(step) + shift for step in rows["severity"]]
        else:  # a little apart, so that intervals do not hide each other
            at = rows["severity"] + shift * 0.1 * (max(steps) - min(steps))
        look = marks(style, "" if ordered else None)
        axes.errorbar(at, rows["value"], yerr=errors(rows), capsize=2, label=label, **look)
    if ordered:
        axes.set_xticks(range(len(steps)), [display_name(s).replace(" ", "\n") for s in steps])
        axes.set_xlim(-0.5, len(steps) - 0.5)
    else:
        axes.set_xticks(steps, [f"{step:g}" for step in steps])
    chance_line(axes, chance, label=chance_label)
    axes.set(xlabel=x_label, ylabel=y_label)
    legend(figure)
    return figure


@drawn("source", "score")
def out_of_distribution(table: pd.DataFrame, threshold: float, x_label: str) -> Figure:
    """Scores of sounds that are no cry beside those of cries, as boxes.

    Parameters
    ----------
    table : pandas.DataFrame
        ``source`` ('cries, held out', 'dog', 'rain', ...), ``score`` (float; larger is stranger).
    threshold : float
        Score above which a recording is called out of distribution.
    x_label : str
        What the score is.
    """
    sources = groups_of(table, "source")
    figure, axes = new(height=1.3 + 0.34 * len(sources))
    cries = {"color": ACCENT, "hatch": ""}
    styles = [cries if "cries" in str(source) else PLAIN | {"hatch": "///"} for source in sources]
    boxes(axes, table, "score", "source", styles)
    chance_line(axes, threshold, "x", "threshold")
    axes.set_xlabel(x_label)
    legend(figure)
    return figure


@drawn("quantity", "original", "ours", "chance")
def beside_original(
    table: pd.DataFrame,
    x_label: str = "Score",
    theirs: str = "original study",
    chance_label: str = "chance",
) -> Figure:
    """A published study's figures beside ours, joined by a line, each with its own chance.

    Parameters
    ----------
    table : pandas.DataFrame
        ``quantity``, ``original`` (theirs), ``ours`` (missing where there is none), ``chance``; optionally
        ``low``, ``high`` (interval of ours), ``infants`` (ours with no infant on both sides) and
        ``shared``, which says in words what a row's two figures have in common: the first of its
        values is drawn filled, the others hollow.
    x_label : str
        What is scored.
    theirs, chance_label : str
        What ``original`` and ``chance`` are, in the legend.
    """
    figure, axes = new(height=1.4 + 0.3 * len(table))
    at = np.arange(len(table))
    axes.hlines(at, table["original"], table["ours"], color="#B8B8B8", linewidth=2)
    axes.plot(table["original"], at, color="#8C8C8C", marker="s", linestyle="", markersize=7,
              label=theirs)  # fmt: skip
    shared = table["shared"] if "shared" in table else pd.Series("", table.index)
    for place, what in enumerate(shared.unique()):
        rows = (shared == what).to_numpy()
        ours = table[rows].rename(columns={"ours": "value"})
        axes.errorbar(ours["value"], at[rows], xerr=errors(ours), color=INK, marker="o", linestyle="",
                      capsize=2, markerfacecolor="white" if place else INK,
                      label=f"this study, {what}" if what else "this study")  # fmt: skip
    chance_marks(axes, at, table["chance"], 0.38, "x", chance_label)
    if "infants" in table:
        axes.plot(table["infants"], at, color=ACCENT, marker="D", linestyle="",
                  label="this study, infants apart")  # fmt: skip
    axes.set_yticks(at, map(display_name, table["quantity"]))
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_xlabel(x_label)
    legend(figure)
    return figure
