"""A small scatter for the book: SVG points with their text and a colour switch, in one HTML string.

It asks nothing of the network and needs no library: Altair with its renderer would be two packages and a
megabyte on the page for what stands below. Without scripts it is a static picture with a legend, and every
point keeps its text as a native tooltip. All text comes from the table and is escaped.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.figures.style import CLASS_STYLE, SERIES

WIDTH, HEIGHT, MARGIN = 640, 460, 14
"""Size of the drawing and its margin, in SVG units; it scales to the page's width."""

LARGEST = len(SERIES)
"""Groups with a colour of their own; of more (infants), the others are grey."""

MAXIMUM = 5_000
"""Points drawn at most: beyond, a page grows heavy and a static image says more."""

SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-3.5-3.5h7v7h-7z", "M0-4.5L4.4 3.5H-4.4z",
    "M0-5L5 0L0 5L-5 0z", "M0 4.5L-4.4-3.5H4.4z", "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0",
)  # fmt: skip
"""Marker outlines around the origin: circle, square, triangle, diamond, triangle down, dot."""

LOOKS = [(style["color"], (0, 3, 4, 1, 2, 0)[i]) for i, style in enumerate(SERIES)]
CLASS_LOOKS = {name: (style["color"], i) for i, (name, style) in enumerate(CLASS_STYLE.items())}
GREY = ("#9A9A9A", 5)


def scatter(
    table: pd.DataFrame,
    colour_by: Sequence[str] = ("label",),
    hover: Sequence[str] = (),
    axis_names: tuple[str, str] = ("UMAP 1", "UMAP 2"),
) -> str:
    """HTML of an interactive scatter: a point under the pointer or a finger tells its text.

    Parameters
    ----------
    table : pandas.DataFrame, n rows, at most `MAXIMUM`
        ``x``, ``y`` (finite), and the columns of `colour_by` and `hover`. Not changed.
    colour_by : sequence of str
        Columns the menu offers; the first is drawn at the start and without scripts.
    hover : sequence of str
        Columns shown at a point; those of `colour_by` if empty.
    axis_names : (str, str)
        Labels of the axes.

    Returns
    -------
    str
        A ``<figure>`` with its own style and script; the same table gives the same text.

    Raises
    ------
    EvaluationError
        If a column is missing, a coordinate is not finite, or there are no or too many points.
    """
    hover = list(hover) or list(colour_by)
    _check(table, ["x", "y", *colour_by, *hover])
    looks = {column: _looks(table[column]) for column in colour_by}
    texts = ["; ".join(f"{c}: {_text(row[c])}" for c in hover) for row in table.to_dict("records")]
    points = table[["x", "y"]].to_numpy(float)
    span = np.ptp(points, axis=0)
    unit = (points - points.min(axis=0)) / np.where(span > 0, span, 1.0)
    unit[:, 1] = 1 - unit[:, 1]  # SVG counts downwards
    places = np.round(MARGIN + unit * (WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN), 1)
    content = repr([places.tolist(), texts, looks, axis_names])
    key = "map" + hashlib.sha256(content.encode()).hexdigest()[:10]  # equal content, equal page
    names = [[_text(value) for value in table[column]] for column in colour_by]
    marks = "".join(
        _mark(key, [look[name] for look, name in zip(looks.values(), own, strict=True)],
              f'x="{x:g}" y="{y:g}"', text)
        for (x, y), text, own in zip(places, texts, zip(*names, strict=True), strict=True)
    )  # fmt: skip
    return _page(key, axis_names, marks, looks)


def _check(table: pd.DataFrame, columns: list[str]) -> None:
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise EvaluationError(
            f"the scatter got a table without {', '.join(missing)}; expected the columns "
            f"{', '.join(dict.fromkeys(columns))}. Join them first."
        )
    if not 1 <= len(table) <= MAXIMUM:
        raise EvaluationError(
            f"the scatter got {len(table)} points; expected 1 to {MAXIMUM:,}. Draw a sample, or "
            "use figures.projection."
        )
    if not np.isfinite(table[["x", "y"]].to_numpy(float)).all():
        raise EvaluationError(
            "the scatter got coordinates in x, y that are not finite; expected numbers. Drop these rows."
        )


def _looks(values: pd.Series) -> dict[str, tuple[str, int]]:
    """Colour and shape of each group, in the legend's order: classes, the largest, the rest in grey."""
    counts = values.map(_text).value_counts()
    ranked = sorted((n for n in counts.index if n != "unknown"), key=lambda n: (-counts[n], n))
    classes = [name for name in CLASSES if name in ranked]
    named = sorted(name for name in ranked[:LARGEST] if name not in CLASSES)
    found = {name: CLASS_LOOKS[name] for name in classes} | dict(zip(named, LOOKS, strict=False))
    return found | {name: GREY for name in counts.index if name not in found}


def _mark(key: str, looks: list[tuple[str, int]], place: str, text: str) -> str:
    (colour, shape), *_ = looks
    every = " ".join(f"{shape}{colour}" for colour, shape in looks)  # such as '0#D55E00 3#333333'
    return (
        f'<use href="#{key}s{shape}" {place} fill="{colour}" data-looks="{every}">'
        f"<title>{_safe(text)}</title></use>"
    )


def _text(value: Any) -> str:
    """A cell as text: floats to three digits, '' and missing as 'unknown'."""
    if isinstance(value, float):
        return "unknown" if np.isnan(value) else f"{value:.3g}"
    return "unknown" if value is None or value is pd.NA or str(value) == "" else str(value)


def _safe(text: str) -> str:
    """Text for markup: characters that HTML forbids dropped, the rest escaped."""
    return html.escape("".join(c for c in text if c.isprintable()), quote=True)


def _legend(key: str, looks: dict[str, tuple[str, int]], hidden: bool) -> str:
    grey = [name for name, look in looks.items() if look == GREY and name != "unknown"]
    shown = {name: look for name, look in looks.items() if name not in grey}
    shown |= {f"other ({len(grey):,})": GREY} if grey else {}
    items = "".join(
        f'<li><svg viewBox="-6 -6 12 12"><use href="#{key}s{shape}" fill="{colour}"/></svg>{_safe(name)}</li>'
        for name, (colour, shape) in shown.items()
    )
    return f"<ul{' hidden' * hidden}>{items}</ul>"


def _page(
    key: str, axis_names: tuple[str, str], marks: str, looks: dict[str, dict[str, tuple[str, int]]]
) -> str:
    shapes = "".join(f'<path id="{key}s{i}" d="{path}"/>' for i, path in enumerate(SHAPES))
    options = "".join(f"<option>{_safe(column)}</option>" for column in looks)
    legends = "".join(_legend(key, look, i > 0) for i, look in enumerate(looks.values()))
    x, y = map(_safe, axis_names)
    return (
        f'<figure class="crymap" id="{key}"><style>{STYLE.replace("KEY", key)}</style>'
        f"<label hidden>Colour by <select>{options}</select></label>"
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT + 22}" role="img" aria-label="Map of recordings">'
        f'<defs>{shapes}</defs><rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#BBB"/>'
        f'<text x="{WIDTH / 2:g}" y="{HEIGHT + 17}" text-anchor="middle">{x}</text>'
        f'<text x="{MARGIN + 2}" y="16" transform="rotate(-90 {MARGIN + 2} 16)" text-anchor="end">{y}</text>'
        f'<g class="points" fill-opacity=".75">{marks}</g></svg>{legends}<p>Map of recordings</p>'
        f"<script>{SCRIPT.replace('KEY', key)}</script></figure>"
    )


STYLE = """
#KEY{background:#fff;color:#222;padding:.6em;margin:1em 0;font:15px/1.4 sans-serif;max-width:50em}
#KEY :is(p,label,select){color:#222;font:inherit;background:#fff}#KEY [hidden]{display:none}
#KEY .plot{width:100%;height:auto}#KEY .plot text{font-size:15px;fill:#222}
#KEY ul{list-style:none;margin:.3em 0;padding:0}#KEY li{display:inline-block;margin:0 1em 0 0}
#KEY li svg{width:.9em;height:.9em;margin-right:.3em}#KEY p{margin:.3em 0;min-height:2.8em}
"""

SCRIPT = """
(function(root){var menu=root.querySelector('select'),said=root.querySelector('p');
var lists=root.querySelectorAll('ul'),marks=root.querySelectorAll('.points use');
root.querySelector('.plot').addEventListener('pointerover',function(e){
var m=e.target.closest&&e.target.closest('.points use');if(m)said.textContent=m.textContent;});
menu.addEventListener('change',function(){var n=menu.selectedIndex;
marks.forEach(function(m){var look=m.dataset.looks.split(' ')[n];
m.setAttribute('href','#KEYs'+look[0]);m.setAttribute('fill',look.slice(1));});
lists.forEach(function(l,i){l.hidden=i!==n;});});
menu.parentNode.hidden=menu.options.length<2;
})(document.getElementById('KEY'));
"""
