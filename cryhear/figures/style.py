"""What every figure shares: class styles, checked input, chance lines, intervals, legends, equal bytes.

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

SERIES: tuple[dict[str, str], ...] = (
    {"color": "#333333", "marker": "o", "linestyle": "-", "hatch": ""},
    {"color": "#B85C9E", "marker": "D", "linestyle": "--", "hatch": "///"},
    {"color": "#D99A00", "marker": "v", "linestyle": "-.", "hatch": "|||"},
    {"color": "#4FA3D9", "marker": "P", "linestyle": ":", "hatch": "\\\\\\"},
    {"color": "#7A68C7", "marker": "X", "linestyle": (0, (6, 1, 1, 1)), "hatch": "xxx"},  # type: ignore[dict-item]
    {"color": "#8A6D3B", "marker": "<", "linestyle": (0, (1, 1)), "hatch": "+++"},  # type: ignore[dict-item]
)
"""Styles of anything but a class (models, parts, platforms); no colour of a class among them."""

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
    """Style of a class by its name, of anything else by its place among `groups`."""
    if group in CLASS_STYLE:
        return dict(CLASS_STYLE[group])
    others = [other for other in groups if other not in CLASS_STYLE and other not in ("", "other")]
    return dict(SERIES[others.index(group) % len(SERIES)] if group in others else UNLABELLED)


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
