"""Sphinx extension: mends in the builder's HTML what screen readers, small screens and slow disks meet.

Lists of references carry roles that contradict each other, header cells of unnamed columns are empty,
wide tables cannot be scrolled by keyboard, and the page of all figures would load every picture at once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

LAZY = ("figure_index",)
"""Pages whose pictures load as they come into view."""

LAST = 900
"""Priority of the mending: after every extension that adds to a page."""

_MENDED = (
    # Entries of a list must be list items; the citation is a plain block in either case.
    (re.compile(r' role="doc-biblioentry"| role="list"(?= class="citation-list")'), ""),
    # A wide table scrolls in its own box, which the keyboard must be able to enter.
    (
        re.compile(r'<div class="output text_html">(?=(?:<style.*?</style>)?\s*<table)', re.DOTALL),
        '<div class="output text_html" tabindex="0" role="region" aria-label="table of results">',
    ),
    # A corner cell heads nothing.
    (re.compile(r"<th(?: class=\"head\")?>\s*(?:<p>\s*</p>)?\s*</th>"), "<td></td>"),
)


def mend(body: str, lazy: bool = False) -> str:
    """HTML of a page's body with these faults mended.

    >>> mend('<div role="list" class="citation-list"></div>')
    '<div class="citation-list"></div>'
    """
    for pattern, instead in _MENDED:
        body = pattern.sub(instead, body)
    return body.replace("<img ", '<img loading="lazy" ') if lazy else body


def _page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    # Running code from a page needs a host; its script is loaded twice and stumbles over itself.
    context["script_files"] = [f for f in context.get("script_files", []) if not _of_thebe(f)]
    if "body" in context:
        context["body"] = mend(context["body"], page in LAZY and app.builder.name == "html")


def _of_thebe(script: Any) -> bool:
    attributes = getattr(script, "attributes", {})
    return "thebe" in f"{getattr(script, 'filename', '')} {attributes.get('body', '')}".lower()


def setup(app: Sphinx) -> dict[str, Any]:
    """Mend each page before it is written."""
    app.connect("html-page-context", _page, priority=LAST)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
