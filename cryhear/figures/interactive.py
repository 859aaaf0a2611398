"""A small scatter for the book: SVG points with hover, keyboard and a colour switch, in one HTML string.

It asks nothing of the network and needs no library. Without scripts it is a static picture with a
legend, and every point keeps its text as a native tooltip. All text comes from the table and is
treated as hostile: escaped in the markup and in the data the script reads.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.figures.style import CLASS_STYLE, SERIES

WIDTH, HEIGHT, MARGIN = 640, 460, 14
"""Size of the drawing and its margin, in SVG units; it scales to the page's width."""

LARGEST = 8
"""Groups told apart by colour; more (infants) are drawn grey as 'other'."""

MAXIMUM = 5_000
"""Points drawn at most: beyond, a page grows heavy and a static image says more."""

CLASS_LOOK = {name: (style["color"], i) for i, (name, style) in enumerate(CLASS_STYLE.items())}
COLOURS = (*(style["color"] for style in SERIES), "#A03030", "#5F8F2F")
LOOKS = tuple(zip(COLOURS, (0, 3, 4, 1, 2, 0, 3, 4), strict=True))
GREY = ("#9A9A9A", 5)
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "M-3.5-3.5h7v7h-7z", "M0-4.5L4.4 3.5H-4.4z",
    "M0-5L5 0L0 5L-5 0z", "M0 4.5L-4.4-3.5H4.4z", "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0",
)  # fmt: skip
"""Marker outlines around the origin: circle, square, triangle, diamond, triangle down, dot."""


def scatter(
    table: pd.DataFrame,
    colour_by: Sequence[str] = ("label",),
    hover: Sequence[str] = (),
    x: str = "x",
    y: str = "y",
    title: str = "Map of recordings",
    axis_names: tuple[str, str] = ("UMAP 1", "UMAP 2"),
    names: dict[str, str] | None = None,
) -> str:
    """HTML of an interactive scatter.

    Hovering or touching shows a point's text; with the picture in focus the arrow keys step to the
    nearest point in that direction and Escape lets go. A menu switches what the colour means.

    Parameters
    ----------
    table : pandas.DataFrame, n rows, at most `MAXIMUM`
        `x`, `y` (finite), and the columns of `colour_by` and `hover`. Not changed.
    colour_by : sequence of str
        Columns the menu offers; the first is drawn at the start and without scripts.
    hover : sequence of str
        Columns shown at a point; those of `colour_by` if empty.
    title : str
        What the picture is, for its heading and for screen readers.
    axis_names : (str, str)
        Labels of the axes.
    names : dict, optional
        How columns are written (``{"age_band": "age"}``).

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
    _check(table, [x, y, *colour_by, *hover], x, y)
    called = {c: (names or {}).get(c, c.replace("_", " ")) for c in [*colour_by, *hover]}
    places = _place(table[[x, y]].to_numpy(float))
    groups, codes = {}, {}
    for column in colour_by:
        groups[column], codes[column] = _grouped(table[column])
    texts = [
        "; ".join(f"{called[c]}: {_text(row[c])}" for c in hover)
        for row in table[hover].to_dict("records")
    ]
    data = {
        "groups": [groups[c] for c in colour_by],
        "codes": ["".join(f"{code:x}" for code in codes[c]) for c in colour_by],
    }
    content = json.dumps([title, repr(data), repr(places.tolist()), *texts])
    key = "map" + hashlib.sha256(content.encode()).hexdigest()[:10]  # equal content, equal page
    first = colour_by[0]
    marks = "".join(
        f'<use href="#{key}s{groups[first][code][2]}" x="{px:g}" y="{py:g}" fill="{groups[first][code][1]}">'
        f"<title>{_safe(text)}</title></use>"
        for (px, py), code, text in zip(places, codes[first], texts, strict=True)
    )
    return _page(key, title, axis_names, marks, groups[first], [called[c] for c in colour_by], data)


def _check(table: pd.DataFrame, columns: list[str], x: str, y: str) -> None:
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
    if not np.isfinite(table[[x, y]].to_numpy(float)).all():
        raise EvaluationError(
            f"the scatter got coordinates in {x}, {y} that are not finite; expected numbers. Drop these rows."
        )


def _place(points: np.ndarray) -> np.ndarray:
    """Coordinates in the drawing, one decimal: float64 [n, 2], y upwards turned down."""
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    unit = (points - low) / np.where(span > 0, span, 1.0)
    inner = np.array([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    return np.round(MARGIN + np.column_stack([unit[:, 0], 1 - unit[:, 1]]) * inner, 1)


def _grouped(values: pd.Series) -> tuple[list[list[Any]], list[int]]:
    """``[name, colour, shape]`` of each group (classes first, then the largest), and each row's group."""
    names = [_text(value) for value in values]
    counts = pd.Series(names).value_counts()
    ranked = sorted((n for n in counts.index if n != "unknown"), key=lambda n: (-counts[n], n))
    kept = [c for c in CLASSES if c in ranked] + sorted(
        n for n in ranked[:LARGEST] if n not in CLASSES
    )
    rest = ["other"] * any(n not in kept for n in ranked) + ["unknown"] * ("unknown" in counts)
    looks = iter(LOOKS)
    groups = [[n, *(CLASS_LOOK[n] if n in CLASS_LOOK else next(looks))] for n in kept]
    groups += [[n, *GREY] for n in rest]
    place = {group[0]: i for i, group in enumerate(groups)}
    return groups, [place.get(name, place.get("other", 0)) for name in names]


def _text(value: Any) -> str:
    """A cell as text: floats to three digits, '' and missing as 'unknown'."""
    if value is None or value == "" or (isinstance(value, float) and np.isnan(value)):
        return "unknown"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _safe(text: str) -> str:
    """Text for markup: characters that HTML forbids dropped, the rest escaped."""
    return html.escape("".join(c for c in text if c.isprintable()), quote=True)


def _page(
    key: str, title: str, axis_names: tuple[str, str], marks: str, legend: list[list[Any]],
    menu: list[str], data: dict[str, Any],
) -> str:  # fmt: skip
    shapes = "".join(f'<path id="{key}s{i}" d="{path}"/>' for i, path in enumerate(SHAPES))
    items = "".join(
        '<li><svg viewBox="-6 -6 12 12">'
        f'<use href="#{key}s{shape}" fill="{color}"/></svg>{_safe(name)}</li>'
        for name, color, shape in legend
    )
    options = "".join(f"<option value={i}>{_safe(name)}</option>" for i, name in enumerate(menu))
    body = (
        f"<label hidden>Colour by <select>{options}</select></label>"
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT + 22}" role="application" tabindex="0" '
        f'aria-label="{_safe(title)}: arrow keys step from point to point">'
        f'<defs>{shapes}</defs><rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#BBB"/>'
        f'<text x="{WIDTH / 2:g}" y="{HEIGHT + 17}" text-anchor="middle">{_safe(axis_names[0])}</text>'
        f'<text x="{MARGIN + 2}" y="16" transform="rotate(-90 {MARGIN + 2} 16)" text-anchor="end">'
        f"{_safe(axis_names[1])}</text>"
        f'<g class="points" fill-opacity=".75">{marks}</g></svg>'
        f'<ul>{items}</ul><p aria-live="polite">{_safe(title)}</p>'
    )
    # A closing tag inside the data would end the script element; JSON reads the escapes as the same text.
    payload = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        payload = payload.replace(character, f"\\u{ord(character):04x}")
    return (
        f'<figure class="crymap" id="{key}"><style>\n{STYLE.replace("KEY", key)}\n</style>'
        f'{body}<script type="application/json">{payload}</script>'
        f"<script>{SCRIPT.replace('KEY', key)}</script></figure>"
    )


STYLE = """#KEY{background:#fff;color:#222;padding:.6em;margin:1em 0;font:15px/1.4 sans-serif}
#KEY :is(p,label){color:#222}#KEY p{margin:.3em 0}
#KEY select{font:inherit;color:#222;background:#fff}#KEY [hidden]{display:none}
#KEY :focus-visible{outline:2px solid #0072B2;outline-offset:2px}
#KEY{max-width:50em}#KEY .plot{width:100%;height:auto;touch-action:pan-y}
#KEY .plot text{font-size:15px;fill:#222}#KEY ul{list-style:none;margin:.3em 0;padding:0}
#KEY li{display:inline-block;margin:0 1em 0 0}#KEY li svg{width:.9em;height:.9em;margin-right:.3em}
#KEY p{min-height:2.8em}#KEY use.on{stroke:#000;stroke-width:2;fill-opacity:1}"""

SCRIPT = """
(function(root){if(!root||root.dataset.ready)return;root.dataset.ready=1;
var data=JSON.parse(root.querySelector('script[type="application/json"]').textContent);
var svg=root.querySelector('.plot'),info=root.querySelector('p'),list=root.querySelector('ul');
var pick=root.querySelector('select'),start=info.textContent,at=-1,NS=svg.namespaceURI;
var marks=[].slice.call(root.querySelectorAll('.points use'));
var points=marks.map(function(m){var t=m.firstChild,s=t.textContent;m.removeChild(t);
return{m:m,x:+m.getAttribute('x'),y:+m.getAttribute('y'),t:s};});
function look(u,g){u.setAttribute('href','#KEYs'+g[2]);u.setAttribute('fill',g[1]);return u;}
function colour(n){var groups=data.groups[n],codes=data.codes[n];
points.forEach(function(p,i){look(p.m,groups[parseInt(codes[i],16)]);});
list.textContent='';groups.forEach(function(g){var li=document.createElement('li'),
s=document.createElementNS(NS,'svg');s.setAttribute('viewBox','-6 -6 12 12');
s.appendChild(look(document.createElementNS(NS,'use'),g));li.appendChild(s);
li.appendChild(document.createTextNode(g[0]));list.appendChild(li);});}
function show(i){if(at>=0)points[at].m.removeAttribute('class');at=i;
if(i<0){info.textContent=start;return;}var p=points[i];p.m.setAttribute('class','on');info.textContent=p.t;}
function near(x,y,ok){var best=-1,d=1e9;points.forEach(function(p,i){var e=ok(p,i);
if(e<d){d=e;best=i;}});return best;}
function point(e){var m=svg.getScreenCTM();if(!m)return;
var x=(e.clientX-m.e)/m.a,y=(e.clientY-m.f)/m.d;show(near(x,y,function(p){
var e=(p.x-x)*(p.x-x)+(p.y-y)*(p.y-y);return e<400?e:1e9;}));}
svg.addEventListener('pointermove',point);svg.addEventListener('pointerdown',point);
svg.addEventListener('pointerleave',function(e){if(e.pointerType==='mouse')show(-1);});
svg.addEventListener('keydown',function(e){
var s={ArrowLeft:[-1,0],ArrowRight:[1,0],ArrowUp:[0,-1],ArrowDown:[0,1]}[e.key];
if(e.key==='Escape'){show(-1);return;}if(!s)return;e.preventDefault();
var c=at<0?{x:WIDE/2,y:HIGH/2}:points[at];
var i=near(0,0,function(p,j){if(j===at)return 1e9;var a=(p.x-c.x)*s[0]+(p.y-c.y)*s[1];
var b=(p.x-c.x)*s[1]-(p.y-c.y)*s[0];return at>=0&&(a<=0||Math.abs(b)>2*a)?1e9:a*a+4*b*b;});
if(i>=0)show(i);});
pick.addEventListener('change',function(){colour(+pick.value);});
pick.parentNode.hidden=pick.options.length<2;
})(document.getElementById('KEY'));
""".replace("WIDE", str(WIDTH)).replace("HIGH", str(HEIGHT))
