"""Sphinx extension: the first use of a word on a page leads to the glossary, with its meaning at hand.

Authors write plain words; this links them while the book is built, so notebooks stay readable where
there is no Sphinx. The meaning shows on hover and on focus through the style sheet alone; without it a
word is a plain link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

EVERYDAY = frozenset(
    {"chance", "dB", "frame", "hop", "infant", "interval", "null", "power", "probe", "recording",
     "rung", "seed"}
)  # fmt: skip
"""Words of the glossary that mostly stand in their everyday sense: linked only where a page asks to."""

CLOSED = (
    nodes.reference, nodes.literal, nodes.literal_block, nodes.title, nodes.raw, nodes.math,
    nodes.term, nodes.caption, nodes.citation, nodes.abbreviation,
)  # fmt: skip
"""Inside these no word is linked."""


class glossary_word(nodes.Inline, nodes.TextElement):
    """A word with the address of its entry and the entry's text."""


def meanings(env: BuildEnvironment) -> dict[str, tuple[str, str, str]]:
    """Page, anchor and definition of each term, by the term."""
    found: dict[str, tuple[str, str, str]] = {}
    objects = env.get_domain("std").get_objects()
    places = {name: (page, anchor) for name, _, kind, page, anchor, _ in objects if kind == "term"}
    for page in {page for page, _ in places.values()}:
        for item in env.get_doctree(page).findall(nodes.definition_list_item):
            said = [part.astext() for part in item.findall(nodes.definition)]
            for term in item.findall(nodes.term):
                name = term.astext()
                if name in places:
                    found[name] = (*places[name], " ".join(" ".join(said).split()))
    return found


def pattern(terms: set[str]) -> re.Pattern[str]:
    """One expression for all terms, longest first; capitals count where a term has them."""
    parts = [
        re.escape(term) if term != term.lower() else f"(?i:{re.escape(term)})"
        for term in sorted(terms, key=lambda term: (-len(term), term))
    ]
    return re.compile(rf"(?<![\w-])({'|'.join(parts)})(s|es)?(?![\w-])")


def _link(app: Sphinx, doctree: nodes.document, page: str) -> None:
    if app.builder.format != "html":
        return
    known = meanings(app.env)
    own = {name for name, (home, _, _) in known.items() if home == page}
    if not known or own:
        return
    seen = set(_asked_for(app, doctree, page, known))
    wanted = {name.lower(): name for name in known if name not in EVERYDAY}
    words = pattern(set(wanted.values()))
    for text in list(doctree.findall(nodes.Text)):
        if _open(text):
            _split(app, text, page, words, wanted, known, seen)


def _asked_for(
    app: Sphinx, doctree: nodes.document, page: str, known: dict[str, tuple[str, str, str]]
) -> Iterator[str]:
    """Replace what the ``term`` role made, and say which terms it named."""
    named = {anchor: name for name, (_, anchor, _) in known.items()}
    for reference in list(doctree.findall(nodes.reference)):
        inside = next(iter(reference.findall(nodes.inline)), None)
        anchor = str(reference.get("refuri", "")).rpartition("#")[2]
        if inside is not None and "std-term" in inside["classes"] and anchor in named:
            term = named[anchor]
            reference.replace_self(_word(app, page, reference.astext(), known[term]))
            yield term


def _open(text: nodes.Text) -> bool:
    """Whether a text stands in a paragraph and in nothing that is a link, code or a number."""
    node: Any = text.parent
    in_paragraph = False
    while node is not None:
        if isinstance(node, CLOSED) or "num" in node.get("classes", ()):
            return False
        in_paragraph = in_paragraph or isinstance(node, nodes.paragraph)
        node = node.parent
    return in_paragraph


def _split(
    app: Sphinx, text: nodes.Text, page: str, words: re.Pattern[str], wanted: dict[str, str],
    known: dict[str, tuple[str, str, str]], seen: set[str],
) -> None:  # fmt: skip
    parts: list[nodes.Node] = []
    at = 0
    for match in words.finditer(str(text)):
        term = wanted[match[1].lower()]
        if term in seen:
            continue
        seen.add(term)
        parts += [nodes.Text(text[at : match.start()]), _word(app, page, match[0], known[term])]
        at = match.end()
    if parts:
        text.parent.replace(text, [*parts, nodes.Text(text[at:])])


def _word(app: Sphinx, page: str, shown: str, meaning: tuple[str, str, str]) -> glossary_word:
    home, anchor, definition = meaning
    # A book in one file has no pages: its anchors are all there is.
    file = "" if app.builder.name == "singlehtml" else app.builder.get_relative_uri(page, home)
    return glossary_word(shown, shown, address=f"{file}#{anchor}", definition=definition)


def _visit(writer: Any, node: glossary_word) -> None:
    attributes = {"href": node["address"], "data-definition": node["definition"]}
    writer.body.append(writer.starttag(node, "a", "", CLASS="word", **attributes))


def _depart(writer: Any, node: glossary_word) -> None:
    writer.body.append("</a>")


def setup(app: Sphinx) -> dict[str, Any]:
    """Link words once every reference of a page is resolved."""
    app.add_node(glossary_word, html=(_visit, _depart))
    app.connect("doctree-resolved", _link)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
