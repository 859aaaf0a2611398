"""A confusion matrix with a threshold to move, in one HTML string; a static matrix without scripts.

A reader picks a class and says how sure the model must be to name it. The page recounts the matrix and
shows what is found and what is wrongly taken along. Nothing is fetched; the table is escaped.
"""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cryhear.corpus.labels import CLASSES
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.evaluation.validation import validate
from cryhear.figures.widget import element_id, widget

STEPS = 1000
"""Probabilities are kept in thousandths: finer than a slider can be set."""

START = 400
"""Where the slider stands at first, in thousandths."""


def slider(predictions: pd.DataFrame, title: str = "Confusion matrix") -> str:
    """HTML of a confusion matrix whose threshold for one class can be moved by mouse, touch or keys.

    Parameters
    ----------
    predictions : pandas.DataFrame, n rows
        ``label`` (true class) and the three columns of probabilities; every class at least once.
        Not changed.
    title : str
        What is scored, for the table's caption.

    Returns
    -------
    str
        A ``<figure>`` with its own style and script; the same table gives the same text.

    Raises
    ------
    EvaluationError
        If labels or probabilities cannot be scored.
    """
    y, p = validate(predictions["label"], predictions[list(PROBABILITIES)], all_classes=True)
    thousandths = np.rint(p * STEPS).astype(int)
    data = {"y": "".join(map(str, y)), "p": thousandths.tolist(), "names": list(CLASSES)}
    counts = matrix(y, thousandths, 0, START)
    options = "".join(f"<option value={k}>{name}</option>" for k, name in enumerate(CLASSES))
    body = (
        f'<div class="set" hidden><label>Name <select>{options}</select></label> '
        f"<label>when its probability is at least <output>{START / STEPS:.2f}</output> "
        f'<input type="range" min="0" max="{STEPS}" step="10" value="{START}"></label></div>'
        f"<p>Here <b>{CLASSES[0]}</b> is named when its probability is at least "
        f"<b>{START / STEPS:.2f}</b>, and else the likelier of the other two.</p>"
        f"{_matrix(counts, html.escape(title))}"
        f'<p aria-live="polite">{summary(counts, 0)}</p>'
    )
    return widget("crycut", element_id("cut", title, repr(data)), body, data, STYLE, SCRIPT)


def matrix(y: np.ndarray, p: np.ndarray, chosen: int, threshold: float) -> np.ndarray:
    """Counts of true against named classes when one class has a threshold of its own.

    Parameters
    ----------
    y : numpy.ndarray of int, shape (n,)
        True classes, 0 to 2.
    p : numpy.ndarray, shape (n, 3)
        Probabilities, in the threshold's unit. Not changed.
    chosen : int
        The class that is named wherever its probability is at least `threshold`.
    threshold : float
        Below it, the likelier of the other classes is named; of equals, the first.

    Returns
    -------
    numpy.ndarray of int64, shape (3, 3)
        Rows: true classes; columns: named classes.
    """
    others = np.where(np.arange(len(CLASSES)) == chosen, -1, p)
    named = np.where(p[:, chosen] >= threshold, chosen, others.argmax(axis=1))
    counts = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(counts, (y, named), 1)
    return counts


def summary(counts: np.ndarray, chosen: int) -> str:
    """What a threshold finds and what it takes along, in a sentence."""
    found, true = counts[chosen, chosen], counts[chosen].sum()
    named, wrong = counts[:, chosen].sum(), counts[:, chosen].sum() - counts[chosen, chosen]
    return (
        f"Found: {found} of {true} recordings of {CLASSES[chosen]}. "
        f"Named {CLASSES[chosen]}: {named}, of which {wrong} wrongly."
    )


def _matrix(counts: np.ndarray, title: str) -> str:
    head = "".join(f'<th scope="col">named {name}</th>' for name in CLASSES)
    rows = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(f"<td>{_cell(n, row.sum())}</td>" for n in row)
        + "</tr>"
        for name, row in zip(CLASSES, counts, strict=True)
    )
    return (
        f"<table><caption>{title}</caption><thead><tr>"
        f'<th scope="col">true class</th>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _cell(n: int, total: int) -> str:
    return f"{n}<br>{int(n / total * 100 + 0.5)} %"


STYLE = """#KEY{max-width:36em}#KEY[data-ready]>p:first-of-type{display:none}
#KEY .set label{display:block;margin:.3em 0}#KEY output{font-weight:bold}
#KEY input{width:100%;min-height:2em;accent-color:#0072B2}#KEY p{min-height:1.4em}
#KEY table{width:100%;table-layout:fixed;border-collapse:separate;border-spacing:2px}
#KEY table{font-size:min(1em,3vw);margin:.5em 0}
#KEY th,#KEY td{padding:.4em .2em;text-align:center;overflow-wrap:anywhere;border:0;background:#fff}
#KEY td{border:1px solid #BBB}"""

SCRIPT = """
var pick=root.querySelector('select'),bar=root.querySelector('input'),out=root.querySelector('output');
var cells=[].slice.call(root.querySelectorAll('td')),said=root.querySelector('[aria-live]');
root.querySelector('.set').hidden=false;
function count(k,t){var m=[[0,0,0],[0,0,0],[0,0,0]];data.p.forEach(function(p,i){var named=k,best=-1;
if(p[k]<t)p.forEach(function(v,j){if(j!==k&&v>best){best=v;named=j;}});m[+data.y[i]][named]+=1;});return m;}
function draw(){var k=+pick.value,t=+bar.value,m=count(k,t),name=data.names[k],all=0;
out.textContent=(t/STEPS).toFixed(2);
m.forEach(function(row,i){var total=row[0]+row[1]+row[2];all+=row[k];row.forEach(function(n,j){
var c=cells[3*i+j],s=n/total;c.textContent='';c.appendChild(document.createTextNode(n));
c.appendChild(document.createElement('br'));
c.appendChild(document.createTextNode(Math.floor(s*100+.5)+' %'));
var g=Math.round(255-110*s);c.style.background='rgb('+g+','+g+','+g+')';});});
said.textContent='Found: '+m[k][k]+' of '+(m[k][0]+m[k][1]+m[k][2])+' recordings of '+name+'. Named '+
name+': '+all+', of which '+(all-m[k][k])+' wrongly.';
bar.setAttribute('aria-valuetext',name+' at least '+out.textContent);}
pick.addEventListener('change',draw);bar.addEventListener('input',draw);draw();
""".replace("STEPS", str(STEPS))
