"""A model bundle of made-up weights for tests of what stands around a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from cryhear import params
from cryhear.audio.preprocess import prepare_clip
from cryhear.corpus.labels import CLASSES
from cryhear.embedding import load
from cryhear.models.fitted import Reduction
from cryhear.prediction.bundle import CARD, FORMAT, Bundle
from cryhear.prediction.decide import Judge

RATE = 16_000
BETTER = {
    "auc_macro": {"value": 0.71, "low": 0.65, "high": 0.77, "chance": 0.5},
    "log_loss": {"calibrated": 0.57, "class_shares_alone": 0.64}, "beats_baseline": True,
}  # fmt: skip
NO_BETTER = {
    "auc_macro": {"value": 0.51, "low": 0.45, "high": 0.57, "chance": 0.5},
    "log_loss": {"calibrated": 0.67, "class_shares_alone": 0.64}, "beats_baseline": False,
}  # fmt: skip


def cries(seconds: float = 7.0, seed: int = 0) -> np.ndarray:
    """Harmonics that come and go, at a cry's level: float32 at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 450 + 40 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 9))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.9 * time)
    return (0.12 * swell * voice + 0.003 * rng.normal(size=len(time))).astype(np.float32)


@cache
def known() -> tuple[Reduction, np.ndarray]:
    """Log-mel statistics of sounds like `cries`, reduced, and their spread."""
    backend, settings = load("logmel"), params.Preprocess()
    sounds = (cries(7, seed) for seed in range(12))
    clips = [x[i : i + 32_000] for x in sounds for i in range(0, 80_000, 8_000)]
    X = backend.embed(np.stack([prepare_clip(x, settings)[0] for x in clips]))
    reduction = Reduction.fit(X, 0.9)
    return reduction, reduction(X).std(axis=0)


def make(**changes: object) -> Bundle:
    """A bundle for log-mel statistics that knows the sounds of `cries`."""
    backend, settings = load("logmel"), params.Preprocess()
    reduction, spread = known()
    rng = np.random.default_rng(0)
    coef = rng.normal(size=(1, len(CLASSES), len(spread))) / 20
    calibration = {"temperature": 1.5, "bias": [-0.5, 1.0, -0.5]}
    card = {
        "format": FORMAT, "name": "made", "classes": list(CLASSES),
        "representation": {"name": "logmel", "version": backend.version, "dimension": backend.dimension},
        "preprocess": settings.model_dump(mode="json"), "procedure": {"C": 1.0},
        "training": {"recordings": 12, "infants": 3, "by_class": {"pain": 2, "hunger": 8, "neurological": 2}},
        "calibration": {"recording": calibration, "clip": {**calibration, "temperature": 3.0}},
        "performance": BETTER,
        "limits": {"recording": {"distance": 3.0}, "clip": {"distance": 4.0}, "clipped_share": 0.05,
                   "silence_dbfs": -50.0},
        "clipwise": {}, "licence": "none", "intended_use": "tests", "out_of_scope": "all else",
        "note": "Not a diagnosis.",
    }  # fmt: skip
    return Bundle({**card, **changes}, reduction, spread, coef, np.zeros((1, len(CLASSES))))


def rewrite(folder: Path, change: Callable[[dict], object]) -> None:
    """Change a bundle's card and give it the right digests, as whoever wrote the bundle could."""
    card = json.loads((folder / CARD).read_text())
    card.pop("card_sha256")
    change(card)
    text = json.dumps(card, indent=1) + "\n"
    card["card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n")


def no_gate() -> Judge:
    """A judge with the made-up bundle that lets every sound through."""
    return Judge(make(), None)


def no_better() -> Bundle:
    """The same, of a model that does not beat its baseline."""
    return make(performance=NO_BETTER)
