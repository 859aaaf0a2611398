"""The ``{num}`` role: prose and captions take their numbers from the ledgers, and from nowhere else.

``{num}`audit.n_used``` prints a number by its unit, ``{num}`leakage.auc ci``` with its interval;
``n``, ``low``, ``high`` and ``note`` print those parts. The sample size and the interval stand in a
tooltip. No number is printed finer than what it was counted from: a share of fewer than thirty is
``8 of 10``, one of fewer than a hundred has no decimals, and a ratio has two digits or three.
Ledgers keep every digit. Text (a conclusion) is set as inline Markdown and may hold roles itself. An
unknown key is a warning with the nearest names, so a strict build fails. References to chapters and
figures that a run leaves out are words that say so.

The directive ``{drawn} leakage.ladder`` shows a chapter's figure on another page, with the alternative
text of the run that drew it; its content is the caption. It takes no number: that is the chapter's.
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.logging import getLogger

from cryhear.errors import LedgerError
from cryhear.files import read_json
from cryhear.study.chapter import ABSENT
from cryhear.study.ledger import merge

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

PARTS = ("", "ci", "n", "low", "high", "note")
"""What can follow a key."""

NOT_RUN = "(not run here)"
"""Printed for a number of a chapter that this run left out on purpose."""

NOT_DRAWN = "(figure not made here)"
"""Printed in the place of a figure that this run does not draw."""

NBSP, MINUS, ROUND = "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}", 1e-9
SUFFIXES = {
    "share": "%", "points": "percentage points",
    "seconds": "s", "minutes": "min", "hours": "h", "hz": "Hz", "db": "dB", "dbfs": "dBFS",
}  # fmt: skip
DECIMALS = {"share": 1, "points": 1, "score": 2, "difference": 2, "db": 1, "dbfs": 1}
SMALL_RATIO = 0.01
"""Below it a ratio is written with three significant digits: two decimals would make it nothing."""

FEW, HUNDRED = 30, 100
"""A share of fewer than FEW is written as a count of its n; of fewer than a HUNDRED, in whole per cent."""
RATIO_DECIMALS = ((2, 2), (10, 1))
"""Decimals of a ratio up to a size; whole from the last on."""

COUNTS = ("count", "samples", "dimensions")
DEEPEST = 4
"""How deep conclusions may quote numbers that are conclusions."""

log = getLogger(__name__)


def show(entry: dict[str, Any], part: str = "") -> str:
    """One ledger entry, or a part of it, as it stands in a sentence.

    Parameters
    ----------
    entry : dict
        ``value``, ``unit`` and, where known, ``low``, ``high``, ``n``, ``note``.
    part : {'', 'ci', 'n', 'low', 'high', 'note'}
        What to print.

    Returns
    -------
    str
        ``1,128``; ``41.2 %``; ``8 of 10``; ``0.57 (0.50 to 0.64)``.

    Raises
    ------
    LedgerError
        If the part is unknown or was not recorded.

    Examples
    --------
    >>> entry = {"value": 0.5217, "unit": "score", "low": 0.41, "high": 0.63}
    >>> show(entry), show(entry, "ci")
    ('0.52', '0.52 (0.41 to 0.63)')
    >>> show({"value": 0.8, "unit": "share", "n": 10})
    '8 of 10'
    """
    unit, n = str(entry["unit"]), entry.get("n")
    if part not in PARTS:
        raise LedgerError(
            f"{part!r} is no part of a number; expected one of {', '.join(PARTS[1:])}"
        )
    if part == "" or (unit == "text" and entry.get(part) is None):
        # Text in a number's place says why there is no number; it has no interval or count either.
        return quantity(entry["value"], unit, n, counted=True)
    needed = ("low", "high") if part == "ci" else (part,)
    missing = [name for name in needed if entry.get(name) is None]
    if missing:
        raise LedgerError(
            f"it was recorded without {' and '.join(missing)}; record it, or leave {part!r} out"
        )
    if part == "ci":
        low, high = (quantity(entry[end], unit, n) for end in needed)
        return f"{quantity(entry['value'], unit, n, counted=True)} ({low} to {high})"
    if part == "note":
        return str(entry["note"])
    return quantity(entry[part], "count") if part == "n" else quantity(entry[part], unit, n)


def quantity(value: Any, unit: str, n: int | None = None, counted: bool = False) -> str:
    """A value in the format of its unit; text and truth values stand as words.

    Parameters
    ----------
    value : float, int, str or bool
    unit : str
        One of `cryhear.study.ledger.UNITS`.
    n : int, optional
        What the value was counted from, which limits the digits of a share.
    counted : bool
        The value itself and not an end of its interval: a share of few is then written ``8 of 10``.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    number = float(value)
    if not math.isfinite(number):
        return "not available"
    if unit == "probability":
        return _probability(number)
    if unit == "share":
        return _share(number, n, counted).replace("-", MINUS)
    text = _decimals(number * (100 if unit == "points" else 1), unit)
    if unit in ("difference", "points") and number > 0 and float(text) > 0:
        text = "+" + text
    if unit in SUFFIXES:
        text += NBSP + SUFFIXES[unit]
    return text.replace("-", MINUS)


def _share(number: float, n: int | None, counted: bool) -> str:
    """In per cent, no finer than `n` carries; a count of `n` where that is small."""
    if counted and n is not None and 0 < n < FEW and abs(number * n - round(number * n)) < ROUND:
        return f"{round(number * n)} of {n}"
    places = 0 if number in (0, 1) or (n is not None and n < HUNDRED) else DECIMALS["share"]
    text, step = f"{100 * number:.{places}f}", 10**-places
    # What is not all must not read as all, nor something as nothing.
    if number < 1 and float(text) == 100:
        text = f"more than {100 - step:.{places}f}"
    elif number > 0 and float(text) == 0:
        text = f"less than {step:.{places}f}"
    return text.removeprefix("-" if float(text.split()[-1]) == 0 else "") + NBSP + SUFFIXES["share"]


def _decimals(number: float, unit: str) -> str:
    small = unit == "ratio" and 0 < abs(number) < SMALL_RATIO
    if unit in COUNTS and abs(number - round(number)) < ROUND:
        places = 0
    elif unit == "ratio" and not small:
        places = next((places for below, places in RATIO_DECIMALS if abs(number) < below), 0)
    elif unit in DECIMALS:
        places = DECIMALS[unit]
    elif number == 0 or abs(number) >= 100:
        places = 0
    else:
        # Three significant digits, none of them invented: 2.0 s is '2 s', 0.1234 s is '0.123 s'.
        places = max(0, 2 - math.floor(math.log10(abs(number))))
        trimmed = f"{number:,.{places}f}"
        return trimmed.rstrip("0").rstrip(".") if "." in trimmed else trimmed
    text = f"{number:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text


def _probability(number: float) -> str:
    if 0 < number < 0.001:
        return "less than 0.001"
    return f"{number:.3f}" if number < 0.1 else f"{number:.2f}"


def explain(key: str, entry: dict[str, Any]) -> str:
    """What the tooltip of a number says: its key, interval, n and note."""
    parts = [key]
    if entry.get("low") is not None and entry.get("high") is not None:
        parts.append(f"interval {show(entry, 'low')} to {show(entry, 'high')}")
    if entry.get("n") is not None:
        parts.append(f"n = {show(entry, 'n')}")
    if entry.get("note"):
        parts.append(str(entry["note"]))
    return "; ".join(parts)


def find(numbers: dict[str, dict[str, Any]], key: str) -> dict[str, Any]:
    """The entry of a key.

    Raises
    ------
    LedgerError
        If no ledger has it; the message gives the nearest names.
    """
    if key in numbers:
        return numbers[key]
    near = difflib.get_close_matches(key, numbers, n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}" if near else "no ledger has a key like it"
    raise LedgerError(f"no ledger has the number {key!r} ({hint})")


class NumRole(SphinxRole):
    """``{num}`key [part]```: a number of the ledgers in a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Build the node; warn where the number cannot be had."""
        key, _, part = self.text.strip().partition(" ")
        config = self.env.config
        if key.split(".")[0] in config.cryhear_skipped:
            return [nodes.inline(NOT_RUN, NOT_RUN, classes=["num", "num-not-run"])], []
        for path in self.env.cryhear_ledgers:  # type: ignore[attr-defined]
            self.env.note_dependency(path)
        try:
            entry = find(self._numbers(key), key)
            text = self._shown(key, entry, part.strip())
        except LedgerError as error:
            location = self.get_location()
            log.warning(
                "{num}`%s`: %s", self.text, error, location=location, type="cryhear", subtype="num"
            )
            return [nodes.problematic(self.rawtext, f"[{key}?]")], []
        if entry["unit"] == "text" and part.strip() in ("", "note"):
            return self._sentence(key, text), []
        tip = explain(key, entry)
        return [nodes.abbreviation(text, text, explanation=tip, classes=["num"])], []

    def _numbers(self, key: str) -> dict[str, dict[str, Any]]:
        """The numbers of the book, with words for one that only the published run has."""
        numbers: dict[str, dict[str, Any]] = self.env.cryhear_numbers  # type: ignore[attr-defined]
        if key in numbers or key not in self.env.cryhear_published:  # type: ignore[attr-defined]
            return numbers
        return {key: {"value": ABSENT, "unit": "text"}}

    def _shown(self, key: str, entry: dict[str, Any], part: str) -> str:
        try:
            return show(entry, part)
        except LedgerError:
            published = self.env.cryhear_published.get(key)  # type: ignore[attr-defined]
            if published is None or part not in ("ci", "n"):
                raise
            show(published, part)  # a page that asks the published run for too much is wrong
            return show(entry) if part == "ci" else ABSENT

    def _sentence(self, key: str, text: str) -> list[nodes.Node]:
        depth = self.env.temp_data.get("cryhear_depth", 0)
        if depth >= DEEPEST:
            log.warning(
                "{num}`%s` quotes itself", key, location=self.get_location(), type="cryhear"
            )
            return []
        self.env.temp_data["cryhear_depth"] = depth + 1
        holder = nodes.inline(classes=["num-text"])
        children, _ = self.inliner.parse(text, self.lineno, self.inliner, holder)
        self.env.temp_data["cryhear_depth"] = depth
        holder += children
        return [holder]


class Drawn(SphinxDirective):
    """``{drawn} chapter.figure``: a figure that a chapter drew, shown on another page."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Build the figure; words in its place where this run does not draw it."""
        key = self.arguments[0]
        chapter, _, name = key.partition(".")
        pictures: dict[str, tuple[str, str]] = self.env.cryhear_pictures  # type: ignore[attr-defined]
        if key not in pictures:
            left_out = chapter in self.config.cryhear_skipped
            if left_out or f"fig-{chapter}-{name}" in self.env.cryhear_drawn:  # type: ignore[attr-defined]
                return [nodes.paragraph(text=NOT_DRAWN)]
            near = difflib.get_close_matches(key, pictures, n=3, cutoff=0.4)
            log.warning("{drawn} %s: no ledger has the figure (nearest: %s)", key, ", ".join(near),
                        location=self.get_location(), type="cryhear", subtype="drawn")  # fmt: skip
            return []
        for path in self.env.cryhear_ledgers:  # type: ignore[attr-defined]
            self.env.note_dependency(path)
        file, alt = pictures[key]
        shown = nodes.container("", nodes.image(uri=file, alt=alt), classes=["drawn"])
        self.state.nested_parse(self.content, self.content_offset, shown)
        return [shown]


def _not_made(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, shown: nodes.Element
) -> nodes.Node | None:
    """Words in the place of a reference to a chapter or a figure that this run does not make."""
    kind, target = node.get("reftype"), str(node.get("reftarget"))
    left_out = app.config.cryhear_skipped
    if kind == "doc" and target.rpartition("/")[2].partition("_")[2] in left_out:
        return nodes.inline(text="(chapter not run here)")
    figure = kind in ("numref", "ref") and target.startswith("fig-")
    if figure and (target.split("-")[1] in left_out or target in env.cryhear_drawn):  # type: ignore[attr-defined]
        return nodes.inline(text=NOT_DRAWN)
    return None


def _read_ledgers(app: Sphinx, env: BuildEnvironment, _docnames: list[str]) -> None:
    patterns = app.config.cryhear_ledgers
    paths = sorted(path for pattern in patterns for path in Path(app.srcdir).glob(pattern))
    env.cryhear_ledgers = [path.as_posix() for path in paths]  # type: ignore[attr-defined]
    env.cryhear_numbers = merge(paths)  # type: ignore[attr-defined]
    env.cryhear_pictures = {  # type: ignore[attr-defined]
        f"{path.parent.name.split('_', 1)[1]}.{name}": (
            f"/{path.parent.relative_to(app.srcdir).as_posix()}/{figure['file']}",
            " ".join(figure["alt"].split()),
        )
        for path in paths
        for name, figure in read_json(path).get("figures", {}).items()
    }
    env.cryhear_published = merge(app.config.cryhear_published)  # type: ignore[attr-defined]
    env.cryhear_drawn = {  # type: ignore[attr-defined]
        f"fig-{Path(path).parent.name.split('_', 1)[1]}-{name}"
        for path in app.config.cryhear_published
        for name in read_json(path).get("figures", {})
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role, the directive and their three settings with Sphinx."""
    app.add_config_value("cryhear_ledgers", ["chapters/*/ledger.json"], "env")
    app.add_config_value("cryhear_skipped", [], "env")
    app.add_config_value("cryhear_published", [], "env")
    app.add_role("num", NumRole())
    app.add_directive("drawn", Drawn)
    app.connect("env-before-read-docs", _read_ledgers)
    app.connect("missing-reference", _not_made)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
