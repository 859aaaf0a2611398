"""Kinds of plot that several figures share: forests, grouped bars, lines with bands, point legends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from cryhear.corpus.labels import display_name
from cryhear.figures.style import (
    CHANCE,
    INK,
    chance_line,
    errors,
    fill,
    groups_of,
    marks,
    parts_of,
    style_of,
)


def forest(
    axes: Axes,
    table: pd.DataFrame,
    rows: str,
    series: str | None = None,
    chance: float | None = None,
    chance_label: str = "chance",
) -> None:
    """Horizontal dots with intervals, a line for each of `rows`, side by side for each of `series`.

    `table` has ``value`` and may have ``low`` and ``high``, its own ``chance`` for each row (in the
    legend as `chance_label`), and a ``note`` that stands in the place of a missing value.
    """
    names, kinds = groups_of(table, rows), parts_of(table, series)
    for place, (label, part, style) in enumerate(kinds):
        offset = (place - (len(kinds) - 1) / 2) * 0.7 / max(len(kinds), 2)
        y = np.array([names.index(name) for name in part[rows]]) + offset
        look = {**marks(style, ""), "capsize": 2.5, "zorder": 3}
        axes.errorbar(part["value"], y, xerr=errors(part), label=label, **look)
    for name, one in table[table["value"].isna()].groupby(rows, sort=False, observed=True):
        note = one["note"].iloc[0] if "note" in one else "not run"
        axes.text(0.02, names.index(name), note, transform=axes.get_yaxis_transform(),
                  va="center", style="italic", color=CHANCE, fontsize=9,
                  bbox={"facecolor": "white", "linewidth": 0, "pad": 1})  # fmt: skip
    if "chance" in table.columns:
        places = [names.index(name) for name in table[rows]]
        chance_marks(axes, places, table["chance"], 0.38, "x", chance_label)
    chance_line(axes, chance, "x")
    axes.set_yticks(range(len(names)), [display_name(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.hlines(np.arange(1, len(names)) - 0.5, 0, 1, transform=axes.get_yaxis_transform(),
                color="#E6E6E6", linewidth=0.8, zorder=0)  # fmt: skip


def forest_height(table: pd.DataFrame, rows: str, series: str | None = None) -> float:
    """Height in inches that gives every line of `forest` room."""
    each = 0.3 + (0.13 * (table[series].nunique() - 1) if series else 0)
    return float(np.clip(1.3 + each * table[rows].nunique(), 2.2, 12.0))


def chance_marks(
    axes: Axes, at: Any, values: Any, half: float, across: str = "y", label: str = "chance"
) -> None:
    """A short dashed line for each mark, at the score that knowing nothing would reach there.

    Quantities of one figure seldom share that score (one half for an AUC, one third for a balanced
    accuracy of three classes), so one line through all of them would be wrong for most.
    """
    draw = axes.hlines if across == "y" else axes.vlines
    at = np.asarray(at, dtype=float)
    draw(
        values, at - half, at + half, color=CHANCE, linestyle=(0, (2, 1.2)), linewidth=1.6, label=label,
        # Over bars, but under dots.
        zorder=4 if across == "y" else 1.5,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )  # fmt: skip


def bars(
    axes: Axes,
    table: pd.DataFrame,
    x: str,
    series: str,
    value: str = "value",
    chance_label: str = "chance",
) -> None:
    """Vertical bars in groups along `x`, one a `series`.

    With intervals where the table has ``low`` and ``high``, and a dashed line over each bar (in the
    legend as `chance_label`) where it has ``chance``.
    """
    places, kinds = groups_of(table, x), groups_of(table, series)
    width = 0.8 / len(kinds)
    for number, kind in enumerate(kinds):
        part = table[table[series] == kind]
        at = np.array([places.index(p) for p in part[x]]) + (number - (len(kinds) - 1) / 2) * width
        style = style_of(kind, kinds)
        if "chance" in part:
            chance_marks(axes, at, part["chance"], width / 2, label=chance_label)
        axes.bar(at, part[value], width * 0.92, **fill(style), label=display_name(kind),
                 yerr=errors(part) if value == "value" else None,
                 error_kw={"ecolor": INK, "capsize": 2, "linewidth": 1.2})  # fmt: skip
    axes.set_xticks(range(len(places)), [display_name(place) for place in places])


def band_line(
    axes: Axes, rows: pd.DataFrame, x: str, y: str, style: dict[str, Any], label: str | None
) -> None:
    """A line with its interval as a band, from ``low`` and ``high`` where the table has them."""
    axes.plot(rows[x], rows[y], color=style["color"], linestyle=style["linestyle"], label=label)
    if {"low", "high"} <= set(rows.columns):
        axes.fill_between(
            rows[x].to_numpy(float), rows["low"].to_numpy(float), rows["high"].to_numpy(float),
            color=style["color"], alpha=0.18, linewidth=0,
        )  # fmt: skip
