"""Sphinx math renderer: LaTeX to MathML while the book is built, so a page needs no script or network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.logging import getLogger

if TYPE_CHECKING:
    from sphinx.application import Sphinx

log = getLogger(__name__)


def convert(latex: str, display: str = "inline") -> str:
    """MathML of a LaTeX formula, its source kept in ``alttext``.

    Parameters
    ----------
    latex : str
        The formula without its delimiters.
    display : {'inline', 'block'}
        Set in a line or on its own.

    Raises
    ------
    ValueError
        If the formula cannot be converted.
    """
    from latex2mathml.converter import convert as to_mathml

    try:
        text = to_mathml(latex.strip(), display=display)
    except Exception as error:  # the converter raises a dozen kinds
        raise ValueError(
            f"{latex.strip()!r} cannot be set as MathML: {error or type(error).__name__}"
        ) from error
    return text.replace("<math ", f'<math alttext="{html.escape(latex.strip())}" ', 1)


def _render(writer: Any, node: nodes.Element, display: str) -> str:
    try:
        return convert(node.astext(), display)
    except ValueError as error:
        log.warning("%s", error, location=node, type="cryhear", subtype="math")
        return f"<code>{html.escape(node.astext())}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_render(writer, node, "inline"))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node.get("number"):
        writer.body.append(f'<span class="eqno">({node["number"]})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append(_render(writer, node, "block") + "</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer ``html_math_renderer = 'mathml'``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
