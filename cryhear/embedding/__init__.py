"""Embeddings: one module a backend, the store and the extractor.

Importing this package is cheap: a backend's own packages are imported when it is loaded.

>>> import numpy as np
>>> clips = np.zeros((3, CLIP_SAMPLES), np.float32)  # 2 s at 16 kHz a row
>>> load("logmel").embed(clips).shape
(3, 320)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE, Backend, check_clips
from cryhear.errors import RepresentationError, how_to_install

__all__ = [
    "CLIP_SAMPLES",
    "REPRESENTATIONS",
    "SAMPLE_RATE",
    "Backend",
    "availability",
    "available",
    "check_clips",
    "fetch",
    "load",
]

REPRESENTATIONS = (
    "hear",
    "hear-pytorch",
    "yamnet",
    "egemaps",
    "logmel",
)
"""Names of the representations, in the order the report lists them; each has a module of its name."""


def load(name: str, **options: Any) -> Backend:
    """Load a backend: check that its weights are at hand and are what they should be.

    Parameters
    ----------
    name : str
        One of `REPRESENTATIONS`.
    **options
        The backend's own, such as ``path`` (weights in a local place) and ``num_threads``.

    Raises
    ------
    RepresentationError
        The name is unknown, a package or the weights are missing (with the steps that get them),
        or the model is not what its representation says.
    """
    return _ready(name).load(**options)


def fetch(names: Iterable[str]) -> None:
    """Have the weights of representations at hand before long work starts: found or downloaded.

    Raises
    ------
    RepresentationError
        A name is unknown, or its weights are out of reach, with the steps that get them.
    """
    for name in names:
        module = _ready(name)
        if hasattr(module, "fetch"):  # the others have no weights
            module.fetch()


def availability() -> dict[str, tuple[bool, str]]:
    """Say which representations can be loaded here, without loading them or asking a network.

    Returns
    -------
    dict of str to (bool, str)
        For each name of `REPRESENTATIONS`: whether its packages and weights are at hand, and what
        was found or the steps that would make it available.
    """
    return {name: available(name) for name in REPRESENTATIONS}


def available(name: str) -> tuple[bool, str]:
    """The same of one representation."""
    module = _module(name)
    lack = _lacks(module, name)
    return (False, lack) if lack else module.available()


def _module(name: str) -> ModuleType:
    if name not in REPRESENTATIONS:
        near = difflib.get_close_matches(str(name), REPRESENTATIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise RepresentationError(
            f"{name!r} is not a representation{hint} "
            f"Expected one of {', '.join(REPRESENTATIONS)}: give one of these names."
        )
    return import_module(f"cryhear.embedding.{name.replace('-', '_')}")


def _ready(name: str) -> ModuleType:
    """A representation's module, its packages installed."""
    module = _module(name)
    if lack := _lacks(module, name):
        raise RepresentationError(f"representation {name!r}: {lack}")
    return module


def _lacks(module: ModuleType, name: str) -> str:
    missing = [package for package in module.PACKAGES if find_spec(package) is None]
    how = f"package {', '.join(missing)} is not installed; run in a clone: {how_to_install(name)}"
    return how if missing else ""
