"""cryhear: the library behind 'Can a cry tell us why?'.

Importing it is cheap: a name is loaded when it is first used, and no deep-learning package before
a backend that needs it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cryhear.embedding.tables import Derived
    from cryhear.errors import CryhearError
    from cryhear.params import load as load_study
    from cryhear.study.chapter import open_chapter

_HOMES = {
    "CryhearError": "errors:CryhearError",
    "Derived": "embedding.tables:Derived",
    "load_study": "params:load",
    "open_chapter": "study.chapter:open_chapter",
}

__all__ = ["CryhearError", "Derived", "load_study", "open_chapter"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(importlib.import_module(f"cryhear.{module}"), attribute)
    raise AttributeError(f"module 'cryhear' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
