"""The cry gate: is a clip a cry at all? Asked before any label is given.

YAMNet's own scores where its file is at hand ('Baby cry, infant cry' and 'Crying, sobbing', the
larger of the two); else a gate the project trains on log-mel statistics and ships in ``data/gate``
as a model bundle of two classes. Both thresholds were set on sounds used for training and measured on
sounds neither was fitted to; the numbers are in the shipped card (``tools/make_gate.py`` makes it).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cryhear.audio import preprocess
from cryhear.embedding.yamnet import CRYING
from cryhear.errors import BundleError, ParameterError
from cryhear.prediction import bundle
from cryhear.prediction.bundle import number, settings

FOLDER = Path(__file__).parents[2] / "data" / "gate"
"""Where the shipped gate lies: in the repository, beside the package.

:meta hide-value:
"""

CLASSES = ("other", "cry")
CHOICES = ("auto", "yamnet", "logmel", "none")


class Gate:
    """What stands in front of a model: a score of how much a clip is a cry, and its threshold.

    Attributes
    ----------
    name : str
        One of `CHOICES`.
    threshold : float
        Scores below it are no cry.
    bundle : cryhear.prediction.bundle.Bundle
        The shipped gate, whose card holds both thresholds and what was measured.
    """

    name = ""

    def __init__(self, folder: Path = FOLDER) -> None:
        from cryhear.embedding import load

        self.bundle = bundle.read(folder)
        self.preprocess = settings(self.bundle.card)
        self.threshold = number(self.bundle.card, "limits", "clip", self.name)
        self._backend: Any = load(self.name)

    def score(self, samples: np.ndarray) -> float:
        """How much a clip as recorded, float32 (32000,), is a cry, 0 to 1."""
        prepared, _ = preprocess.prepare_clip(samples, self.preprocess)
        return self._of(prepared[None])

    def _of(self, clips: np.ndarray) -> float:
        raise NotImplementedError


class LogMelGate(Gate):
    """The shipped gate: logistic regression on standardised, reduced log-mel statistics."""

    name = "logmel"

    def __init__(self, folder: Path = FOLDER) -> None:
        super().__init__(folder)
        self.bundle.check_backend(self._backend)

    def _of(self, clips: np.ndarray) -> float:
        return float(self.bundle.probabilities(self._backend.embed(clips), "clip")[0, 1])


class YAMNetGate(Gate):
    """YAMNet's larger score of 'Baby cry, infant cry' and 'Crying, sobbing', mean of its windows."""

    name = "yamnet"

    def _of(self, clips: np.ndarray) -> float:
        return float(self._backend.scores(clips)[0, list(CRYING)].max())


def load(choice: str = "auto", folder: Path = FOLDER) -> Gate | None:
    """The gate asked for; None for 'none'.

    Parameters
    ----------
    choice : {'auto', 'yamnet', 'logmel', 'none'}
        'auto' is YAMNet where it can be loaded without a network, or was named in ``CRYHEAR_YAMNET``; else
        the shipped gate.
    folder : pathlib.Path
        Where the shipped gate and both thresholds are.

    Raises
    ------
    BundleError
        The shipped gate is not there or was altered.
    RepresentationError
        YAMNet, or its file, was asked for by name and cannot be loaded.
    """
    if choice not in CHOICES:
        raise ParameterError(f"gate is {choice!r}; expected one of {', '.join(CHOICES)}")
    if choice == "none":
        return None
    if not folder.is_dir():
        raise BundleError(
            f"{folder} is not there; the cry gate was expected in it. Work in a clone of the repository, "
            "or go without a gate: --gate none (every sound then gets a label)"
        )
    if choice == "logmel" or (choice == "auto" and not yamnet_wanted()):
        return LogMelGate(folder)
    return YAMNetGate(folder)


def yamnet_wanted() -> bool:
    """Whether YAMNet's package and file are at hand, or the user says where the file is."""
    from cryhear.embedding import available, yamnet

    # A file that was named and is not there is an error of the loader's, not a reason to take another gate.
    return yamnet.named() is not None or available("yamnet")[0]
