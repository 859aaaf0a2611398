"""What the card of a model bundle must say before any of it is believed.

Whoever can write a bundle can give its card the right digests, so these tell damage, not intent. Every
field that is used is held here against its type and range first: a card is data, and the worst that a
hostile one can do is to be refused, or to describe a bad model.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryhear.errors import BundleError

FORMAT = 1
"""Version of the bundle's layout; a reader refuses another."""

LEVELS = ("recording", "clip")
"""What is calibrated and limited apart: a recording's mean embedding varies less than a clip's."""

SETTINGS: dict[str, tuple[float, float] | None] = {
    "wiener": None, "wiener_size": (3, 101), "gaussian": None, "gaussian_sigma": (0, 50),
    "rms": None, "rms_target": (0, 1), "overlap": (0, 0.9), "silence_dbfs": (-120, 0),
}  # fmt: skip
"""Preprocessing that a clip gets: the range of each number, None for yes or no. As in
`cryhear.params.Preprocess`, which a prediction does not load: it would take longer than the answer."""

_FIELDS: dict[str, type] = {
    "format": int, "name": str, "classes": list, "representation": dict, "preprocess": dict,
    "procedure": dict, "training": dict, "calibration": dict, "performance": dict, "limits": dict,
    "clipwise": dict, "licence": str, "intended_use": str, "out_of_scope": str, "note": str,
    "weights": dict,
}  # fmt: skip
_WEIGHTS = (
    ("file", re.compile(r"weights-[0-9a-f]{12}\.safetensors"), "weights-0123456789ab.safetensors or so"),
    ("sha256", re.compile(r"[0-9a-f]{64}"), "64 hexadecimal digits"),
)  # fmt: skip
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,39}")
_COMPARED = {"auc_macro": ("low", "chance"), "log_loss": ("calibrated", "class_shares_alone")}
_REMEDY = "Train the bundle again: cryhear train"


def check(card: dict[str, Any], path: Path) -> None:
    """Refuse a card that lacks a field, or has one of another kind.

    Parameters
    ----------
    card : dict
    path : pathlib.Path
        For the message.

    Raises
    ------
    BundleError
        It names the field, what it is and what was expected.
    """
    for name, kind in _FIELDS.items():
        if not isinstance(card.get(name), kind):
            raise _wrong(path, name, card.get(name), f"a {kind.__name__}")
    for name, pattern, expected in _WEIGHTS:
        if not pattern.fullmatch(str(card["weights"].get(name))):
            raise _wrong(path, f"weights.{name}", card["weights"].get(name), expected)
    classes = card["classes"]
    named = [c for c in classes if isinstance(c, str) and _CLASS.fullmatch(c)]
    if len(named) != len(classes) or len(set(named)) != len(named) or len(named) < 2:
        raise _wrong(path, "classes", classes, "two or more different names of plain letters")
    for name in ("name", "version"):
        if not isinstance(card["representation"].get(name), str):
            raise _wrong(path, f"representation.{name}", card["representation"].get(name), "a str")
    for level in LEVELS:
        _check_calibration(card, level, path)
        if not isinstance(card["limits"].get(level), dict):
            raise _wrong(path, f"limits.{level}", card["limits"].get(level), "a dict")
    settings(card, path)


def beats_baseline(performance: dict[str, Any]) -> bool:
    """Whether listening was shown to be worth more than the class shares, on infants not heard.

    The rule by which a card is written: the whole interval of the macro AUC lies above ``chance``, which
    is what the same shares for every recording score, and the log loss is below that of the shares.

    Parameters
    ----------
    performance : dict
        ``auc_macro`` with ``low`` and ``chance``, ``log_loss`` with ``calibrated`` and
        ``class_shares_alone``.
    """
    auc, loss = performance["auc_macro"], performance["log_loss"]
    return bool(auc["low"] > auc["chance"] and loss["calibrated"] < loss["class_shares_alone"])


def names_classes(card: dict[str, Any], path: Path | None = None) -> bool:
    """Whether a model may name a class: its card says that it beats its baseline, with the numbers.

    A card of before this was asked says nothing of it, and its model names none.

    Raises
    ------
    BundleError
        It says so without the numbers.
    """
    if card["performance"].get("beats_baseline") is not True:
        return False
    scores = {
        outer: {inner: number(card, "performance", outer, inner, path=path) for inner in names}
        for outer, names in _COMPARED.items()
    }
    return beats_baseline(scores)


def number(card: dict[str, Any], *names: str, path: Path | None = None) -> float:
    """A number of the card, such as ``number(card, "limits", "clip", "distance")``.

    Raises
    ------
    BundleError
        It is not there, or no finite number.
    """
    found: Any = card
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
        raise _wrong(path or Path("card.json"), ".".join(names), found, "a finite number")
    return float(found)


def settings(card: dict[str, Any], path: Path | None = None) -> SimpleNamespace:
    """How a clip is prepared: the fields of `SETTINGS`, each of its kind and in its range.

    Raises
    ------
    BundleError
        One is not.
    """
    chosen: dict[str, Any] = {}
    for name, span in SETTINGS.items():
        found = card["preprocess"].get(name)
        place, field = path or Path("card.json"), f"preprocess.{name}"
        if span is None:
            if not isinstance(found, bool):
                raise _wrong(place, field, found, "true or false")
            chosen[name] = found
            continue
        value = number(card, "preprocess", name, path=path)
        if not span[0] <= value <= span[1]:
            raise _wrong(place, field, found, f"a number from {span[0]:g} to {span[1]:g}")
        chosen[name] = found
    return SimpleNamespace(**chosen)


def _check_calibration(card: dict[str, Any], level: str, path: Path) -> None:
    found = card["calibration"].get(level)
    bias = found.get("bias") if isinstance(found, dict) else None
    if not isinstance(bias, list) or len(bias) != len(card["classes"]):
        raise _wrong(path, f"calibration.{level}.bias", bias, f"{len(card['classes'])} numbers")
    for value in bias:
        number({"calibration": {level: {"bias": value}}}, "calibration", level, "bias", path=path)
    if not number(card, "calibration", level, "temperature", path=path) > 0:
        field = f"calibration.{level}.temperature"
        raise _wrong(path, field, found["temperature"], "a number above 0")


def _wrong(path: Path, field: str, found: object, expected: str) -> BundleError:
    shown = repr(found)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}..."
    return BundleError(f"{path}: {field} is {shown}; {expected} was expected. {_REMEDY}")
