"""The model bundle: weights and model card of a trained model, a folder of two files.

``card.json`` says what the model is, what it was trained on, how good it is, when it must not
answer, and what it must not be used for. The weights (standardisation, principal axes, logistic
coefficients) are plain arrays in safetensors: a linear model needs no pickled object, and loading a
bundle runs no code. The card holds the SHA-256 of the weights and of itself, so that a changed byte in
either is noticed.

The weights' file carries its hash in its name, and the card, written last, names it: a reader sees
the old bundle or the new one, never half of each.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from safetensors.numpy import load, save

from cryhear.errors import BundleError
from cryhear.files import atomic, write_json
from cryhear.models import batched_logistic
from cryhear.models.fitted import Reduction, distance, tempered
from cryhear.params import Preprocess

FORMAT = 1
"""Version of the bundle's layout; a reader refuses another."""

LEVELS = ("recording", "clip")
"""What is calibrated and limited apart: a recording's mean embedding varies less than a clip's."""

CARD = "card.json"


def _whole(settings: Any) -> Any:
    # A default filled in would prepare sound otherwise than the training data were.
    if isinstance(settings, dict) and (missing := Preprocess.model_fields.keys() - settings.keys()):
        raise ValueError(f"every setting was expected; {', '.join(sorted(missing))} is missing")
    return settings


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Representation(_Part):
    name: str
    version: str
    dimension: int


class _Temperature(_Part):
    temperature: float = Field(gt=0)
    bias: list[float]


class _Calibration(_Part):
    recording: _Temperature
    clip: _Temperature


class _Limits(_Part):
    recording: dict[str, Any]
    clip: dict[str, Any]


class _Weights(_Part):
    file: str
    sha256: str


class Card(_Part):
    """Schema of ``card.json``: what every bundle's card must hold; more is let through."""

    format: int
    name: str
    classes: list[str] = Field(min_length=2)
    representation: _Representation
    preprocess: Annotated[Preprocess, BeforeValidator(_whole)]
    procedure: dict[str, Any]
    training: dict[str, Any]
    calibration: _Calibration
    performance: dict[str, Any]
    limits: _Limits
    clipwise: dict[str, Any]
    licence: str
    intended_use: str
    out_of_scope: str
    note: str
    weights: _Weights


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
    try:
        Card.model_validate(card, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field, why = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        # What lacks a field is given as the field's value.
        found = None if first["type"] == "missing" else first["input"]
        raise _wrong(path, field, found, why) from None


def settings(card: dict[str, Any]) -> Preprocess:
    """How a clip is prepared, of a card that was checked."""
    return Preprocess.model_validate(card["preprocess"])


def number(card: dict[str, Any], *names: str) -> float:
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
        raise _wrong(Path(CARD), ".".join(names), found, "a finite number was expected")
    return float(found)


def beats_baseline(performance: dict[str, Any]) -> bool:
    """Whether the model was shown to do better than the class shares, on held-out infants.

    The whole interval of the macro AUC lies above ``chance``, which is what the same shares for every
    recording score, and the log loss is below that of the shares.

    Parameters
    ----------
    performance : dict
        ``auc_macro`` with ``low`` and ``chance``, ``log_loss`` with ``calibrated`` and
        ``class_shares_alone``.

    Raises
    ------
    BundleError
        One of these is no number.
    """
    card = {"performance": performance}
    low, chance = (number(card, "performance", "auc_macro", k) for k in ("low", "chance"))
    losses = ("calibrated", "class_shares_alone")
    own, shares = (number(card, "performance", "log_loss", k) for k in losses)
    return low > chance and own < shares


def names_classes(card: dict[str, Any]) -> bool:
    """Whether a model may name a class: its card says that it beats its baseline, with the numbers.

    A card of before this was asked says nothing of it, and its model names none.
    """
    performance = card["performance"]
    return performance.get("beats_baseline") is True and beats_baseline(performance)


@dataclass(frozen=True)
class Bundle:
    """A trained model with its card.

    Attributes
    ----------
    card : dict
        As written in ``card.json``, without the card's own digest.
    reduction : cryhear.models.fitted.Reduction
        Standardisation and principal axes, d features to p components.
    spread : numpy.ndarray, shape (p,)
        Standard deviation of the training recordings on each component.
    coef, intercept : numpy.ndarray, shape (1, K, p), (1, K)
    folder : pathlib.Path or None
        Where it was read from.
    """

    card: dict[str, Any]
    reduction: Reduction
    spread: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray
    folder: Path | None = None

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the probabilities."""
        return list(self.card["classes"])

    def probabilities(self, X: np.ndarray, level: str = "recording") -> np.ndarray:
        """Calibrated class probabilities.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, d), float32
            Embeddings.
        level : {'recording', 'clip'}
            What a row is: the mean over a recording's clips, or one clip.

        Returns
        -------
        numpy.ndarray, shape (n, K), float64, rows summing to 1
        """
        chosen = self.card["calibration"][level]
        return tempered(self.raw(X), chosen["temperature"], chosen["bias"])

    def raw(self, X: np.ndarray) -> np.ndarray:
        """Probabilities before calibration, shape (n, K)."""
        return batched_logistic.probabilities(self.reduction(X), self.coef, self.intercept)[0]

    def distance(self, X: np.ndarray) -> np.ndarray:
        """Distance from the training recordings, shape (n,); 1 is typical of them."""
        return distance(self.reduction(X), self.spread)

    def check_backend(self, backend: Any) -> None:
        """Refuse a backend that does not embed as the training data were embedded."""
        wanted = self.card["representation"]
        found = {k: getattr(backend, k) for k in ("name", "version", "dimension")}
        if found != wanted:
            said = "{name} version {version} ({dimension} values)".format_map
            raise BundleError(
                f"{self.folder or 'the bundle'} was trained on {said(wanted)}; this "
                f"installation has {said(found)}. Train it again: "
                f"cryhear train --representation {wanted['name']}"
            )


def write(bundle: Bundle, folder: str | os.PathLike[str]) -> Path:
    """Write a bundle; what is read from `folder` meanwhile is the old one or the new one, whole.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    folder = Path(folder)
    parts = {**vars(bundle.reduction), **vars(bundle)}
    names = ("mean", "scale", "axes", "spread", "coef", "intercept")
    data = save({name: np.ascontiguousarray(parts[name], np.float64) for name in names})
    digest = hashlib.sha256(data).hexdigest()
    file = f"weights-{digest[:12]}.safetensors"
    card = {**bundle.card, "weights": {"file": file, "sha256": digest}}
    check(card, folder / CARD)
    with atomic(folder / file) as temporary:
        temporary.write_bytes(data)
    write_json(folder / CARD, {**card, "card_sha256": _digest(card)})
    for path in folder.glob("weights-*.safetensors"):
        if path.name != file:
            path.unlink(missing_ok=True)
    return folder


def read(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle and compare both digests.

    Raises
    ------
    BundleError
        A file is missing, was changed, or does not fit the other; the layout is of another
        version. The message says which and what to do.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    path = folder / card["weights"]["file"]
    data = _bytes(path)
    digest, named = hashlib.sha256(data).hexdigest(), card["weights"]["sha256"]
    if digest != named:
        raise _altered(path, f"SHA-256 {digest[:12]}..., {named[:12]}... expected")
    arrays = load(data)
    reduction = Reduction(arrays["mean"], arrays["scale"], arrays["axes"])
    return Bundle(card, reduction, arrays["spread"], arrays["coef"], arrays["intercept"], folder)


def _read_card(path: Path) -> dict[str, Any]:
    data = _bytes(path)
    try:
        card = dict(json.loads(data))
        whole = card.pop("card_sha256", None) == _digest(card)
    except (ValueError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise _altered(path, "its content does not have the SHA-256 it names")
    if card.get("format") != FORMAT:
        raise BundleError(
            f"{path}: format {card.get('format')!r}; this version of cryhear reads {FORMAT}. "
            "Train the bundle again: cryhear train"
        )
    check(card, path)
    return card


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); a file of a model bundle was expected "
            "there. Make one: cryhear train"
        ) from None


def _digest(card: dict[str, Any]) -> str:
    return hashlib.sha256((json.dumps(card, indent=1) + "\n").encode()).hexdigest()


def _wrong(path: Path, field: str, found: object, why: str) -> BundleError:
    shown = "missing" if found is None else reprlib.repr(found)[:80]
    return BundleError(f"{path}: {field} is {shown}: {why}. Train the bundle again: cryhear train")


def _altered(path: Path, found: str) -> BundleError:
    return BundleError(
        f"{path} was altered or damaged: {found}. Copy the bundle again, or make one: cryhear train"
    )
