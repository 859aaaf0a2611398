"""What every figure shares: styles, checked input, chance, intervals, kinds of plot, legends, equal bytes.

Figures are `matplotlib.figure.Figure` objects made without pyplot, so drawing touches no global
state. They are white in both of the book's themes, 6.4 inches wide, and told apart in grey by marker,
line style or hatch as well as by colour.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cbook import open_file_cm
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from PIL import Image

from cryhear.corpus.labels import CLASSES, display_name
from cryhear.errors import EvaluationError

DARK = 0.62
"""Shade of a grey cell, 0 (white) to 1, from which white text has more contrast than black."""

CLASS_STYLE: dict[str, dict[str, str]] = {
    "pain": {"color": "#D55E00", "marker": "o", "linestyle": "-", "hatch": ""},
    "hunger": {"color": "#0072B2", "marker": "s", "linestyle": "--", "hatch": "///"},
    "neurological": {"color": "#009E73", "marker": "^", "linestyle": "-.", "hatch": "---"},
}
"""Okabe and Ito's colour-blind-safe vermilion, blue and green: the same for a class everywhere.

Hatches are lines: a hatch of dots is 150 kB in an SVG.
"""

UNLABELLED = {"color": "#999999", "marker": ".", "linestyle": ":", "hatch": "xxx"}
"""Style of whatever is no class: unlabelled recordings, infants with too few, unknown platforms."""

PLAIN = {"color": "#C9C9C9", "hatch": ""}
"""Style of boxes and bars that are told apart by their names alone."""

SERIES: tuple[dict[str, str], ...] = (
    {"color": "#333333", "marker": "o", "linestyle": "-", "hatch": ""},
    {"color": "#B85C9E", "marker": "D", "linestyle": "--", "hatch": "///"},
    {"color": "#D99A00", "marker": "v", "linestyle": "-.", "hatch": "|||"},
    {"color": "#4FA3D9", "marker": "P", "linestyle": ":", "hatch": "\\\\\\"},
    {"color": "#7A68C7", "marker": "X", "linestyle": (0, (6, 1, 1, 1)), "hatch": "xxx"},  # type: ignore[dict-item]
    {"color": "#8A6D3B", "marker": "<", "linestyle": (0, (1, 1)), "hatch": "+++"},  # type: ignore[dict-item]
)
"""Styles of anything but a class (models, parts, platforms); no colour of a class among them."""

REPRESENTATIONS: dict[str, str] = {
    "yamnet": SERIES[1]["color"],
    "egemaps": SERIES[2]["color"],
    "logmel": SERIES[3]["color"],
    "hear": SERIES[4]["color"],
    "hear-pytorch": SERIES[5]["color"],
}
"""A representation's colour, the same in every figure, whatever stands beside it."""

PARTS = ("train", "validation", "test", "holdout", "all")
"""Parts of the four-way split in the order they are drawn."""

INK, CHANCE = "#222222", "#6B6B6B"
CHANCE_DASHES = (0, (4, 3))
ACCENT = "#B85C9E"
"""Colour of the one value a figure is about: the observed score, the primary cell."""

WIDTH = 6.4
"""Width of a figure in inches: one column, so that 9 pt text survives a phone."""

ROW_GAP = 0.06
"""Space between rows of panels, as a share of a panel's height."""

RC: Any = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "axes.grid": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": INK,
    "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK, "ytick.color": INK,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "savefig.pad_inches": 0.08, "legend.frameon": False, "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6, "hatch.color": "white", "lines.markersize": 5,
    # Outlines, not text: the book is read where DejaVu Sans is missing, and labels must still fit.
    "svg.fonttype": "path", "svg.hashsalt": "cryhear", "text.parse_math": False,
}  # fmt: skip


class StudyFigure(Figure):
    """A figure that is saved under the study's settings, so that equal tables give equal bytes."""

    def savefig(self, fname: Any, *arguments: Any, **options: Any) -> None:
        """Save as `Figure.savefig` does, with a fixed hash salt, outlined text and no date.

        An SVG is written short (`short_svg`); a PNG gets a palette of 256 colours, which halves it
        and shows no difference.
        """
        full = io.BytesIO()
        with rc_context(RC):
            kind = options.get("format")
            super().savefig(full if kind in ("svg", "png") else fname, *arguments, **options)
        if kind == "png":
            picture = Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE)
            picture.save(fname, "PNG", optimize=True)
        elif kind == "svg":
            with open_file_cm(fname, "wb") as file:
                file.write(short_svg(full.getvalue().decode()).encode())


def short_svg(text: str) -> str:
    r"""An SVG of matplotlib's without comments and indents, its coordinates to a hundredth of a point.

    A quarter fewer bytes, and no mark moves by more than a screen can show.

    >>> short_svg('<g>\n <path d="M 10.123456 20.5 \nL 30 40 \n" style="fill: #fff"/>\n</g>')
    '<g><path d="M10.12 20.5L30 40" style="fill: #fff"/></g>'
    """
    bare = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    return re.sub(r">\s+<", "><", re.sub(r' (d|x|y)="([^"]*)"', _shorter, bare))


def _shorter(found: re.Match[str]) -> str:
    numbers = re.sub(
        r"-?\d+\.\d+", lambda n: f"{float(n[0]):.2f}".rstrip("0").rstrip("."), found[2]
    )
    return f' {found[1]}="' + re.sub(r"\s*([A-Za-z])\s*", r"\1", numbers).strip() + '"'


def drawn(*columns: str) -> Callable[[Callable[..., Figure]], Callable[..., Figure]]:
    """Decorate a figure function: check its table's columns, draw under the study's settings.

    The checked names are kept as ``function.columns``.

    Raises
    ------
    EvaluationError
        When called with a table that is empty or lacks one of `columns`.
    """

    def decorate(function: Callable[..., Figure]) -> Callable[..., Figure]:
        @functools.wraps(function)
        def checked(table: pd.DataFrame, *arguments: Any, **options: Any) -> Figure:
            require(table, columns, function.__name__)
            with rc_context(RC):
                return function(table, *arguments, **options)

        checked.columns = columns  # type: ignore[attr-defined]
        return checked

    return decorate


def require(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    """Refuse a table that is empty or lacks a column, saying which."""
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise EvaluationError(
            f"figure {name} got a table without {', '.join(missing)} (it has "
            f"{', '.join(map(str, table.columns))}); expected the columns {', '.join(columns)}. "
            "Rename or compute them first."
        )
    if table.empty:
        raise EvaluationError(
            f"figure {name} got a table of no rows; expected at least one. Leave the figure out, and say why."
        )


def new(rows: int = 1, columns: int = 1, height: float = 4.0, **options: Any) -> tuple[Figure, Any]:
    """A white figure of the book's width and its axes (one, or an array of them)."""
    # A panel's title must stand nearer to it than to the ticks of the panel above.
    layout = ConstrainedLayoutEngine(hspace=ROW_GAP)
    figure = StudyFigure(figsize=(WIDTH, height), layout=layout)
    return figure, figure.subplots(rows, columns, **options)


def blank(sentence: str) -> Figure:
    """A figure of words, in the place of one that a study's recordings do not allow."""
    with rc_context(RC):
        figure, axes = new(height=1.0)
        axes.set_axis_off()
        axes.text(0.5, 0.5, sentence, ha="center", va="center")
    return figure


def marks(style: dict[str, Any], linestyle: str | None = None) -> dict[str, Any]:
    """Colour, marker and line style of a style; '' for `linestyle` draws markers alone."""
    line = style["linestyle"] if linestyle is None else linestyle
    return {"color": style["color"], "marker": style["marker"], "linestyle": line}


def fill(style: dict[str, Any]) -> dict[str, Any]:
    """Colour and hatch of a style, for bars and areas."""
    return {"color": style["color"], "hatch": style["hatch"]}


def style_of(group: Any, groups: Sequence[Any] = ()) -> dict[str, Any]:
    """Style of a class by its name, of anything else by its place among `groups`.

    A group named after a representation, as in 'file: YAMNet', has the representation's colour; the
    others share the colours that are left.
    """
    if group in CLASS_STYLE:
        return dict(CLASS_STYLE[group])
    others = [other for other in groups if other not in CLASS_STYLE and other not in ("", "other")]
    if group not in others:
        return dict(UNLABELLED)
    style = dict(SERIES[others.index(group) % len(SERIES)])
    owned = {other: color for other in others if (color := representation_colour(other))}
    left = [s["color"] for s in SERIES if s["color"] not in owned.values()]
    rest = [other for other in others if other not in owned]
    return style | {"color": owned.get(group) or left[rest.index(group) % len(left)]}


def representation_colour(group: Any) -> str | None:
    """Colour of the representation that a group is or names, else None.

    >>> representation_colour("yamnet") == representation_colour("YAMNet, MLP (uploads)") != None
    True
    """
    # 'HeAR (PyTorch)' before 'HeAR', which is part of it.
    for name in sorted(REPRESENTATIONS, key=len, reverse=True):
        if group == name or re.search(rf"(?<!\w){re.escape(display_name(name))}(?!\w)", str(group)):
            return REPRESENTATIONS[name]
    return None


def groups_of(table: pd.DataFrame, column: str) -> list[Any]:
    """Distinct values: classes and parts in their fixed order, numbers sorted, the rest as they come."""
    found = list(pd.unique(table[column]))
    if pd.api.types.is_numeric_dtype(table[column]):
        return sorted(found)
    if set(found) <= set(PARTS):
        return [part for part in PARTS if part in found]
    if isinstance(table[column].dtype, pd.CategoricalDtype):
        found = [value for value in table[column].cat.categories if value in found]
    rest = [value for value in found if value not in CLASSES and value != ""]
    return [c for c in CLASSES if c in found] + rest + ([""] if "" in found else [])


def parts_of(
    table: pd.DataFrame, series: str | None
) -> list[tuple[str | None, pd.DataFrame, dict[str, Any]]]:
    """Legend name (None for a single unnamed series), rows and style of each series of a table."""
    if series is None or series not in table.columns:
        return [(None, table, dict(SERIES[0]))]
    kinds = groups_of(table, series)
    return [
        (display_name(kind), table[table[series] == kind], style_of(kind, kinds)) for kind in kinds
    ]


def chance_line(axes: Axes, value: float | None, across: str = "y", label: str = "chance") -> None:
    """Grey dashed line at the score that knowing nothing would reach."""
    if value is not None:
        line = axes.axhline if across == "y" else axes.axvline
        line(value, color=CHANCE, linestyle=CHANCE_DASHES, linewidth=1.2, zorder=1, label=label)


def matrix(axes: Axes, shade: np.ndarray, texts: Sequence[str], names: Sequence[str]) -> Collection:
    """Square of grey cells with a text in each, row by row; `shade` is 0 (white) to 1, or NaN."""
    import seaborn  # brings pyplot along, which no other figure needs

    seaborn.heatmap(
        np.nan_to_num(shade), annot=np.reshape(texts, shade.shape), fmt="", cmap="Greys",
        vmin=0, vmax=1, cbar=False, xticklabels=names, yticklabels=names, ax=axes,
    )  # fmt: skip
    for text, value in zip(axes.texts, shade.flat, strict=True):
        # seaborn turns to white already on a middle grey, where black is easier to read.
        text.set_color("white" if value > DARK else INK)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelrotation=0)
    return axes.collections[0]


def errors(rows: pd.DataFrame) -> np.ndarray | None:
    """Lengths below and above ``value`` from ``low`` and ``high``, float64 [2, n]; None without."""
    if not {"low", "high"} <= set(rows.columns):
        return None
    value = rows["value"].to_numpy(float)
    # An interval that misses its own estimate (a bootstrap's can) still starts at the estimate.
    below = np.clip(value - rows["low"].to_numpy(float), 0, None)
    above = np.clip(rows["high"].to_numpy(float) - value, 0, None)
    return np.vstack([below, above])


def legend(figure: Figure) -> None:
    """One legend below all axes, each name once: it never covers data."""
    entries: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    handles_below(figure, list(entries.values()), list(entries))


def handles_below(figure: Figure, handles: list[Any], labels: list[str]) -> None:
    """Legend of the given handles below all axes, in as many columns as fit the width."""
    if labels:
        columns = max(1, min(len(labels), 78 // (max(map(len, labels)) + 7)))
        if sum(len(label) + 6 for label in labels) <= 84:
            columns = len(labels)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def class_handles(
    kind: str = "patch", groups: Sequence[str] = CLASSES
) -> tuple[list[Any], list[str]]:
    """Legend handles of classes (or other groups) as hatched patches or as markers, with names."""
    made: list[Any] = []
    for group in groups:
        style = style_of(group, groups)
        if kind == "patch":
            made.append(Patch(facecolor=style["color"], hatch=style["hatch"], edgecolor="white"))
        else:
            made.append(Line2D([], [], **marks(style, "")))
    return made, [display_name(group) for group in groups]


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
    beside = {name: int(n) for name, n in table[rows].value_counts().items()}
    drawn_already = dict.fromkeys(names, 0)
    for label, part, style in kinds:
        y = []
        for name in part[rows]:  # a row with one dot has it on its line
            shift = drawn_already[name] - (beside[name] - 1) / 2
            y.append(names.index(name) + shift * 0.7 / max(len(kinds), 2))
            drawn_already[name] += 1
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


def boxes(
    axes: Axes, table: pd.DataFrame, x: str, y: str, styles: Sequence[dict[str, Any]]
) -> None:
    """Horizontal boxes of a column by group (whiskers: 1.5 interquartile ranges), n in brackets."""
    groups = groups_of(table, y)
    values = [table.loc[table[y] == group, x].dropna().to_numpy(float) for group in groups]
    drawn_boxes = axes.boxplot(
        values, orientation="horizontal", positions=range(len(groups)), widths=0.6, patch_artist=True,
        medianprops={"color": INK, "linewidth": 2},
        flierprops={"marker": ".", "markersize": 3, "alpha": 0.5},
    )["boxes"]  # fmt: skip
    for box, style in zip(drawn_boxes, styles, strict=True):
        box.set(facecolor=style["color"], hatch=style["hatch"], alpha=0.75)
    names = [f"{display_name(group)} ({len(v):,})" for group, v in zip(groups, values, strict=True)]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)


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
