"""Words of the glossary, linked while the book is built; and what is mended in the builder's HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cryhear.study.glossary import EVERYDAY, pattern
from cryhear.study.markup import mend

CONF = """
extensions = ["myst_parser", "cryhear.study.glossary", "cryhear.study.markup"]
html_theme = "basic"
myst_enable_extensions = ["colon_fence"]
"""
GLOSSARY = """# Words

:::{glossary}
AUC
  How often one is ranked "above" another.

clip
  Two seconds.

power
  The chance to notice.
:::
"""
PAGE = """# About the AUC

An AUC, another AUC; `clip`, *clips* and Clip. The eclipse has power.
[a clip](https://example.org) and {term}`power`.
"""


@pytest.fixture
def pages(tmp_path: Path) -> dict[str, str]:
    """Two pages built by Sphinx alone."""
    from sphinx.cmd.build import build_main

    for name, text in (("conf.py", CONF), ("index.md", PAGE), ("words.md", GLOSSARY)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert build_main(["-q", "-b", "html", str(tmp_path), str(tmp_path / "out")]) == 0
    return {p.stem: p.read_text("utf-8") for p in (tmp_path / "out").glob("*.html")}


def links(html: str) -> list[tuple[str, str]]:
    return [
        (re.search(r'href="([^"]+)"', tag)[1], re.sub("<.*?>", "", text))
        for tag, text in re.findall(r'(<a class="word"[^>]*>)(.*?)</a>', html, re.DOTALL)
    ]


def test_the_first_use_on_a_page_leads_to_its_entry_and_carries_it(pages) -> None:
    assert links(pages["index"]) == [
        ("words.html#term-AUC", "AUC"),
        ("words.html#term-clip", "clips"),
        ("words.html#term-power", "power"),
    ]
    assert 'data-definition="How often one is ranked &quot;above&quot; another."' in re.sub(
        "[“”]", "&quot;", pages["index"]
    )


def test_the_glossary_does_not_link_to_itself(pages) -> None:
    assert links(pages["words"]) == []


def test_whole_words_count_and_the_longest_first() -> None:
    words = pattern({"fold", "out-of-fold", "AUC", "macro"})
    found = [m[0] for m in words.finditer("Folds, out-of-fold; twofold. auc AUCs, macro-AUC")]
    assert found == ["Folds", "out-of-fold", "AUCs"]


def test_words_left_plain_are_in_the_glossary(root: Path) -> None:
    text = (root / "book" / "glossary.md").read_text(encoding="utf-8")
    missing = [word for word in EVERYDAY if f"\n\n{word}\n  " not in text]
    assert missing == []


def test_markup_is_mended_and_the_rest_left_alone() -> None:
    assert mend('<th class="head"><p></p></th><th>x</th>') == "<td></td><th>x</th>"
    assert mend('<div class="citation" role="doc-biblioentry">') == '<div class="citation">'
    box = (
        '<div class="output text_html"><style type="text/css">\n</style>\n<table id="T"><thead><tr>'
    )
    table = box + "<th>a</th>" * 8 + "</tr></thead>"
    assert 'class="output text_html" tabindex="0" role="region"' in mend(table)
    wide = box + "<th>a</th>" * 9 + "</tr></thead>"
    assert 'class="output text_html full-width" tabindex="0"' in mend(wide)
    assert mend('<div class="output text_html"><figure>').count("tabindex") == 0
    assert mend('<img src="a.svg">', lazy=True) == '<img loading="lazy" src="a.svg">'
