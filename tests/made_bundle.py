"""A model bundle of made-up weights for tests of what stands around a model."""

from __future__ import annotations

import numpy as np

from cryhear import params
from cryhear.bundle import FORMAT, Bundle
from cryhear.decision import prepare
from cryhear.embedding import load
from cryhear.fitted import Reduction
from cryhear.labels import CLASSES

RATE = 16_000


def cries(seconds: float = 7.0, seed: int = 0) -> np.ndarray:
    """Harmonics that come and go, at a cry's level: float32 at 16 kHz."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 450 + 40 * np.sin(2 * np.pi * 0.7 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 9))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.9 * time)
    return (0.12 * swell * voice + 0.003 * rng.normal(size=len(time))).astype(np.float32)


def make(**changes: object) -> Bundle:
    """A bundle for log-mel statistics that knows the sounds of `cries`."""
    backend, settings = load("logmel"), params.Preprocess()
    known = [cries(7, s)[i : i + 32_000] for s in range(12) for i in range(0, 80_000, 8_000)]
    X = backend.embed(np.stack([prepare(x, settings) for x in known]))
    reduction = Reduction.fit(X, 0.9)
    Z = reduction(X)
    rng = np.random.default_rng(0)
    coef = rng.normal(size=(1, len(CLASSES), Z.shape[1])) / 20
    calibration = {"temperature": 1.5, "bias": [-0.5, 1.0, -0.5]}
    card = {
        "format": FORMAT, "name": "made", "classes": list(CLASSES),
        "representation": {"name": "logmel", "version": backend.version, "dimension": X.shape[1]},
        "preprocess": settings.model_dump(mode="json"), "procedure": {"C": 1.0},
        "training": {"recordings": 12, "infants": 3, "by_class": {"pain": 2, "hunger": 8, "neurological": 2}},
        "calibration": {"recording": calibration, "clip": {**calibration, "temperature": 3.0}},
        "performance": {"auc_macro": {"value": 0.51, "low": 0.45, "high": 0.57, "chance": 0.5},
                        "log_loss": {"calibrated": 0.67, "class_shares_alone": 0.64}},
        "limits": {"recording": {"distance": 3.0}, "clip": {"distance": 4.0}, "clipped_share": 0.05,
                   "silence_dbfs": -50.0},
        "clipwise": {}, "licence": "none", "intended_use": "tests", "out_of_scope": "all else",
        "note": "Not a diagnosis.",
    }  # fmt: skip
    return Bundle({**card, **changes}, reduction, Z.std(axis=0), coef, np.zeros((1, len(CLASSES))))
