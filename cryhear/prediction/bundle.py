"""The model bundle: weights and model card of a trained model, a folder of two files.

``card.json`` says what the model is, what it was trained on, how good it is, when it must not
answer, and what it must not be used for. The weights (standardisation, principal axes, logistic
coefficients) are plain arrays in safetensors: a linear model needs no pickled object, hence no
skops, and loading a bundle runs no code. The card holds the SHA-256 of the weights and of itself,
so a changed byte in either file is refused. That finds damage and carelessness; whoever can write
both files can write a bundle of their own, as no secret is involved.

The weights' file carries its hash in its name, and the card, written last, names it: a reader sees
the old bundle or the new one, never half of each.

Digests tell damage, not intent, so every field of the card that is used is checked for its type and range
as well (`Card`): the worst that a hostile card can do is to be refused, or to describe a bad model.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import reprlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from cryhear.errors import BundleError
from cryhear.models import batched_logistic
from cryhear.models.fitted import Reduction, distance, tempered
from cryhear.params import Preprocess

FORMAT = 1
"""Version of the bundle's layout; a reader refuses another."""

LEVELS = ("recording", "clip")
"""What is calibrated and limited apart: a recording's mean embedding varies less than a clip's."""

CARD = "card.json"
LARGEST_CARD = 1 << 20
"""Bytes; a card of more is no card."""

LARGEST_WEIGHTS = 1 << 28
"""Bytes; thirty times the weights of the widest representation with all of its components."""

ARRAYS = ("mean", "scale", "axes", "spread", "coef", "intercept")

_REMEDY = "Train the bundle again: cryhear train"


def _different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("names that differ were expected")
    return names


def _whole(settings: Any) -> Any:
    # A default filled in would prepare sound otherwise than the training data were.
    if isinstance(settings, dict) and (missing := Preprocess.model_fields.keys() - settings.keys()):
        raise ValueError(f"every setting was expected; {', '.join(sorted(missing))} is missing")
    return settings


_Class = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,39}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


class _Representation(_Part):
    name: str
    version: str


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
    file: str = Field(pattern=r"^weights-[0-9a-f]{12}\.safetensors$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Card(_Part):
    """Schema of ``card.json``: what every bundle's card must hold; more is let through."""

    format: int
    name: str
    classes: Annotated[list[_Class], Field(min_length=2), AfterValidator(_different)]
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


def check(card: dict[str, Any], path: Path) -> Card:
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
        found = Card.model_validate(card, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise _wrong(path, field, "missing", "") from None
        raise _wrong(path, field, first["input"], first["msg"]) from None
    for level in LEVELS:
        bias = getattr(found.calibration, level).bias
        if len(bias) != len(found.classes):
            why = f"{len(found.classes)} numbers were expected, one a class"
            raise _wrong(path, f"calibration.{level}.bias", bias, why)
    return found


def settings(card: dict[str, Any]) -> Preprocess:
    """How a clip is prepared, of a card that was checked."""
    return Preprocess.model_validate(card["preprocess"])


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
        raise _wrong(path or Path(CARD), ".".join(names), found, "a finite number was expected")
    return float(found)


def beats_baseline(performance: dict[str, Any], path: Path | None = None) -> bool:
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

    def of(*names: str) -> float:
        return number({"performance": performance}, "performance", *names, path=path)

    return of("auc_macro", "low") > of("auc_macro", "chance") and of("log_loss", "calibrated") < of(
        "log_loss", "class_shares_alone"
    )


def names_classes(card: dict[str, Any], path: Path | None = None) -> bool:
    """Whether a model may name a class: its card says that it beats its baseline, with the numbers.

    A card of before this was asked says nothing of it, and its model names none.

    Raises
    ------
    BundleError
        It says so without the numbers.
    """
    performance = card["performance"]
    return performance.get("beats_baseline") is True and beats_baseline(performance, path)


@dataclass(frozen=True)
class Bundle:
    """A trained model with its card.

    Attributes
    ----------
    card : dict
        As written in ``card.json``, without the two digests.
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
            raise BundleError(
                f"{self.folder or 'the bundle'} was trained on {_named(wanted)}; this "
                f"installation has {_named(found)}. Train it again: "
                f"cryhear train --representation {wanted['name']}"
            )


def write(bundle: Bundle, folder: str | os.PathLike[str]) -> Path:
    """Write a bundle; what is read from `folder` meanwhile is the old one or the new one, whole.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    from safetensors.numpy import save

    from cryhear.files import atomic

    folder = Path(folder)
    data = save(_arrays(bundle))
    digest = hashlib.sha256(data).hexdigest()
    card = {**bundle.card, "weights": {"file": _weights_name(digest), "sha256": digest}}
    check(card, folder / CARD)
    with atomic(folder / card["weights"]["file"]) as temporary:
        temporary.write_bytes(data)
    with atomic(folder / CARD) as temporary:
        temporary.write_bytes(_text({**card, "card_sha256": _digest(card)}))
    for path in folder.glob("weights-*.safetensors"):
        if path.name != card["weights"]["file"]:
            path.unlink(missing_ok=True)
    return folder


def read(folder: str | os.PathLike[str]) -> Bundle:
    """Read a bundle and check every byte of it.

    Raises
    ------
    BundleError
        A file is missing, has a changed byte, or does not fit the other; the layout is of another
        version. The message says which and what to do.
    """
    folder = Path(folder)
    card = _read_card(folder / CARD)
    path = folder / card["weights"]["file"]
    data = _bytes(path, LARGEST_WEIGHTS)
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["weights"]["sha256"]:
        raise _altered(
            path, f"SHA-256 {digest[:12]}..., {card['weights']['sha256'][:12]}... expected"
        )
    arrays = _load(path, data)
    _check_shapes(arrays, card, path)
    reduction = Reduction(arrays["mean"], arrays["scale"], arrays["axes"])
    return Bundle(card, reduction, arrays["spread"], arrays["coef"], arrays["intercept"], folder)


def _arrays(bundle: Bundle) -> dict[str, np.ndarray]:
    reduction = bundle.reduction
    named = (reduction.mean, reduction.scale, reduction.axes, bundle.spread, bundle.coef,
             bundle.intercept)  # fmt: skip
    return {k: np.ascontiguousarray(v, np.float64) for k, v in zip(ARRAYS, named, strict=True)}


def _load(path: Path, data: bytes) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _altered(path, f"no safetensors ({error})") from None


def _read_card(path: Path) -> dict[str, Any]:
    data = _bytes(path, LARGEST_CARD)
    try:
        card = json.loads(data)
    except (ValueError, RecursionError):
        raise _altered(path, "not readable as JSON") from None
    if not isinstance(card, dict):
        raise _altered(path, f"a {type(card).__name__}, an object expected")
    if card.get("format") != FORMAT:
        raise BundleError(
            f"{path}: format {card.get('format')!r}; this version of cryhear reads {FORMAT}. "
            "Train the bundle again: cryhear train"
        )
    digest = card.pop("card_sha256", None)
    try:
        # The digest is of the content; writing it out again shows that the bytes say nothing else.
        same = digest == _digest(card) and _text({**card, "card_sha256": digest}) == data
    except (ValueError, RecursionError):
        same = False  # NaN, or nested too deep to be written
    if not same:
        raise _altered(path, "its content does not have the SHA-256 it names")
    check(card, path)
    return card


def _check_shapes(arrays: dict[str, np.ndarray], card: dict[str, Any], path: Path) -> None:
    k, d = len(card["classes"]), card["representation"].get("dimension")
    p = arrays["spread"].shape[-1] if "spread" in arrays and arrays["spread"].ndim else 0
    wanted = {"mean": (d,), "scale": (d,), "axes": (d, p), "spread": (p,), "coef": (1, k, p),
              "intercept": (1, k)}  # fmt: skip
    found = {name: array.shape for name, array in arrays.items()}
    if found != wanted:
        raise _altered(path, f"arrays of shapes {found}, {wanted} expected")
    kinds = {str(array.dtype) for array in arrays.values()}
    if kinds != {"float64"}:
        raise _altered(path, f"arrays of {', '.join(sorted(kinds))}, float64 expected")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise _altered(path, "weights that are not finite")
    if not ((arrays["scale"] > 0).all() and (arrays["spread"] > 0).all()):
        raise _altered(path, "scales that are not above 0")


def _bytes(path: Path, largest: int) -> bytes:
    try:
        found = path.stat()
        # Opening a pipe would wait for ever, and a device has no end.
        if not stat.S_ISREG(found.st_mode):
            raise _altered(path, "not a file")
        if found.st_size > largest:
            raise _altered(path, f"{found.st_size:,} bytes, at most {largest:,} expected")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); a file of a model bundle was expected "
            "there. Make one: cryhear train"
        ) from None


def _text(card: dict[str, Any]) -> bytes:
    return (json.dumps(card, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def _digest(card: dict[str, Any]) -> str:
    return hashlib.sha256(_text(card)).hexdigest()


def _weights_name(digest: str) -> str:
    return f"weights-{digest[:12]}.safetensors"


def _named(representation: dict[str, Any]) -> str:
    return "{name} version {version} ({dimension} values)".format(**representation)


def _wrong(path: Path, field: str, found: object, why: str) -> BundleError:
    shown = reprlib.repr(found)[:80] if why else found
    why = why.removeprefix("Value error, ")
    return BundleError(f"{path}: {field} is {shown}{': ' * bool(why)}{why}. {_REMEDY}")


def _altered(path: Path, found: str) -> BundleError:
    return BundleError(
        f"{path} was altered or damaged: {found}. Copy the bundle again, or make one: cryhear train"
    )
