"""What a command tells while it works: lines and bars, as much as it was asked for.

The library tells through the logger ``cryhear``: what was done at level INFO, how at DEBUG. Used from
Python it is silent unless its user says otherwise, as libraries are.
"""

from __future__ import annotations

import logging
import sys
import unicodedata
from typing import Any

LOG = logging.getLogger("cryhear")


class _Line(logging.StreamHandler):
    """Prints a message as a line on what is standard output at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(record.getMessage(), file=sys.stdout, flush=True)


def tell(quiet: bool = False, verbose: bool = False) -> None:
    """Print what is told from now on: nothing, what was done, or how as well."""
    LOG.handlers = [_Line()]
    LOG.propagate = False
    LOG.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)


def aside(text: str) -> None:
    """Print a line on standard error, beside results on standard output, unless told to be quiet."""
    if LOG.level <= logging.INFO:
        print(text, file=sys.stderr, flush=True)


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where that is due.

    Examples
    --------
    >>> counted(1, "clip"), counted(1200, "clip")
    ('1 clip', '1,200 clips')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def bar(iterable: Any = None, **settings: Any) -> Any:
    """A tqdm bar, on a terminal, for a command that tells what was done and not how."""
    from tqdm import tqdm

    return tqdm(iterable, disable=None if LOG.level == logging.INFO else True, **settings)


def printable(text: str) -> str:
    """Text for one line of a terminal: what would move its cursor or break the line becomes escapes."""
    acts = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in acts else c for c in text
    )
