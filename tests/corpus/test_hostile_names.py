"""A name from a folder or a tag never becomes markup, mathematics or a role in the book."""

from __future__ import annotations

import html.parser

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

import cryhear
from cryhear.files import write_json
from cryhear.study import execute

NAMES = (
    "<img src=x onerror=alert(1)>", "</table><script>alert(1)</script>", "a\nb", "$\\frac$", "a $x$ b $y$",
    "\"'&amp;<!--", "{num}`audit.n`", "[link](javascript:alert(1))", "::::", "|a|b|", "`x`", "\u202eevil",
)  # fmt: skip
TABLE_TAGS = {"style", "table", "caption", "thead", "tbody", "tr", "th", "td"}


class Tags(html.parser.HTMLParser):
    """Collect the names of elements, and of attributes that act."""

    def __init__(self, text):
        super().__init__()
        self.found, self.acting, self.text = set(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found.add(tag)
        self.acting += [name for name, _ in attributes if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def run(tmp_path):
    write_json(tmp_path / "params.json", {"name": "toy", "source": {"derived": "data/toy"}})
    return cryhear.open_chapter("01_audit", {"study": str(tmp_path)})


@pytest.mark.parametrize("name", NAMES)
def test_tables_show_names_as_they_are(run, name):
    table = pd.DataFrame({"set": [name, "plain"], name: [1.5, 2.0]})
    seen = Tags(run.table("sets", table, f"Recordings of {name}").to_html())
    assert seen.found <= TABLE_TAGS
    assert seen.acting == []
    assert "".join(seen.text).count(name) == 3
    written = pd.read_csv(run.folder / "tables" / "sets.csv")
    assert written["set"][0] == name


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3], NAMES[4]])
def test_figures_draw_names_as_they_are(run, name):
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 10], [1, 2], label=name)
    axes.set_xscale("log")
    axes.set_yticks([1, 2], labels=[name, "plain"])
    axes.set_title(name)
    axes.annotate(name, (1, 1))
    axes.legend()
    table = pd.DataFrame({"set": [name], "n": [1]})
    run.figure("sets", figure, "Sets; no spread.", "Sets.", table)
    drawn = [text for text in figure.findobj(Text) if text.get_text() == name]
    assert len(drawn) >= 4
    assert all(not text.get_parse_math() for text in drawn if "$" in name)
    picture = (run.folder / "figures" / "sets.svg").read_text()
    assert Tags(picture).found.isdisjoint({"script", "img", "a", "foreignobject"})
    # The axis's own powers of ten stay mathematics.
    powers = [t for t in figure.findobj(Text) if r"\mathdefault" in t.get_text()]
    assert powers
    assert all(t.get_parse_math() for t in powers)


@pytest.mark.parametrize("name", NAMES)
def test_alternative_text_and_caption_stay_in_their_place(name):
    figure = {
        "file": "figures/a.svg",
        "table": "tables/a.csv",
        "caption": "C",
        "alt": f"Alt of {name}",
    }
    text = execute.figure_markdown("01_audit", "a", figure)
    lines = text.splitlines()
    [alt] = [line for line in lines if line.startswith(":alt:")]
    assert alt == f":alt: Alt of {' '.join(name.split())}"
    # Nothing of it opens or closes a directive of its own.
    assert [line for line in lines if line.startswith("::::")][-1:] == ["::::"]
    assert len(lines) == len(
        execute.figure_markdown("01_audit", "a", {**figure, "alt": "x"}).splitlines()
    )


def test_what_a_chapter_prints_is_text(tmp_path):
    output = nbformat.v4.new_output("stream", name="stdout", text=f"{NAMES[0]} {NAMES[6]}\n")
    [kept] = execute._clean_output(output, "01_audit", {"figures": {}})
    assert (kept.output_type, kept.name) == ("stream", "stdout")
