"""Sphinx extension: mends in the builder's HTML what screen readers, small screens and slow disks meet.

Lists of references carry roles that contradict each other, header cells of unnamed columns are empty,
wide tables cannot be scrolled by keyboard, the contents have folds without a name, and the page of all
figures would load every picture at once.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LAZY = ("figure_index",)
"""Pages whose pictures load as they come into view."""

WIDE = 9
"""Columns from which a table also takes the margin, where the window has one."""

TABLE = "Table of results"
"""What the box of a table is called, with its number on the page: regions need names of their own."""

_MENDED = (
    # Entries of a list must be list items; the citation is a plain block in either case.
    (re.compile(r' role="doc-biblioentry"| role="list"(?= class="citation-list")'), ""),
    # The fold of a part of the contents says what it holds.
    (
        re.compile(r">([^<]+)</a>(<details[^>]*>)<summary>"),
        r'>\1</a>\2<summary aria-label="Pages of: \1">',
    ),
    # The title and the search stand in no landmark but this.
    (
        re.compile(r'(?<=<div id="pst-primary-sidebar") class='),
        ' role="region" aria-label="Title, search and contents" class=',
    ),
    # A corner cell heads nothing.
    (re.compile(r"<th(?: class=\"head\")?>\s*(?:<p>\s*</p>)?\s*</th>"), "<td></td>"),
)


_BOX = re.compile(
    r'<div class="output text_html">(?=(?:<style.*?</style>)?\s*<table.*?<tr(.*?)</tr>)', re.DOTALL
)
"""The box of a table, and behind it the table's first row."""


def _boxed(box: re.Match[str]) -> str:
    """A table scrolls in its own box, which the keyboard must be able to enter; a wide one has more room."""
    width = " full-width" if box[1].count("<th") >= WIDE else ""
    return f'<div class="output text_html{width}" tabindex="0" role="region" aria-label="{TABLE}">'


def mend(page: str, lazy: bool = False) -> str:
    """HTML of a page, or of a part of one, with these faults mended.

    >>> mend('<div role="list" class="citation-list"></div>')
    '<div class="citation-list"></div>'
    """
    for pattern, instead in _MENDED:
        page = pattern.sub(instead, page)
    page = _BOX.sub(_boxed, page)
    number = itertools.count(1)
    page = re.sub(f'aria-label="{TABLE}"', lambda _: f'aria-label="{TABLE} {next(number)}"', page)
    return page.replace("<img ", '<img loading="lazy" ') if lazy else page


def _scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    # Running code from a page needs a host; its script is loaded twice and stumbles over itself.
    context["script_files"] = [f for f in context.get("script_files", []) if not _of_thebe(f)]


def _of_thebe(script: Any) -> bool:
    attributes = getattr(script, "attributes", {})
    return "thebe" in f"{getattr(script, 'filename', '')} {attributes.get('body', '')}".lower()


def _pages(app: Sphinx, error: Exception | None) -> None:
    for path in [] if error else Path(app.outdir).rglob("*.html"):
        if "_static" not in path.parts:
            text = path.read_text(encoding="utf-8")
            path.write_text(mend(text, path.stem in LAZY), encoding="utf-8")


def _declare(app: Sphinx, config: Any) -> None:
    # It numbers sections once all pages are read, which is safe, and does not say so: Sphinx would read
    # one page after another.
    if numbering := app.extensions.get("sphinx_multitoc_numbering"):
        numbering.parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    """Mend the pages once all are written: what the theme adds around a page's text needs it too."""
    app.connect("config-inited", _declare)
    app.connect("html-page-context", _scripts, priority=900)  # after the extensions that add some
    app.connect("build-finished", _pages)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
