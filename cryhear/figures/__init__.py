"""Every picture of the study: a function takes a tidy table and returns a matplotlib figure.

Nothing here computes a result: binning a histogram, sorting rows and placing marks is all. Each
function names the columns it needs (``figures.roc.columns``) and refuses a table without them.
matplotlib is loaded at the first use of a function, not at import.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = (
    "corpus",
    "audio",
    "embedding",
    "models",
    "leakage",
    "sensitivity",
    "prediction",
)


def __getattr__(name: str) -> Any:
    if name in (*_MODULES, "style", "words"):
        return import_module(f"cryhear.figures.{name}")
    drawn = _drawn()
    if name in drawn:
        return drawn[name]
    raise AttributeError(f"cryhear.figures has no figure {name!r}; it has {', '.join(__dir__())}")


def _drawn() -> dict[str, Any]:
    """Every figure by its name: what `style.drawn` decorates in the modules."""
    found: dict[str, Any] = {}
    for module in _MODULES:
        functions = vars(import_module(f"cryhear.figures.{module}"))
        found |= {name: made for name, made in functions.items() if hasattr(made, "columns")}
    return found


def __dir__() -> list[str]:
    return sorted(_drawn())
