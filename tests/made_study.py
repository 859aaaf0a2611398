"""A small study set made from random numbers, for tests of protocols and inference."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cryhear import params
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet


def study(infants=60, seed=0, identity=0.0, dimension=8):
    """A small study set: infants of 1 to 6 recordings, two platforms, features of the infant."""
    rng = np.random.default_rng(seed)
    infant = np.repeat(np.arange(infants), rng.integers(1, 7, infants))
    # An infant's recordings mostly share a label, as in the real corpus.
    y = np.where(
        rng.random(len(infant)) < 0.8, (infant % 5).clip(0, 2), rng.integers(0, 3, len(infant))
    )
    X = rng.normal(size=(len(infant), dimension))
    X += identity * rng.normal(size=(infants, dimension))[infant]
    recordings = pd.DataFrame(
        {
            "recording": [f"{i:016x}" for i in rng.permutation(len(infant))],
            "infant": [f"i{i:03d}" for i in infant],
            "platform": np.where(rng.random(infants) < 0.4, "ios", "android")[infant],
            "label": np.array(CLASSES)[y],
            "y": y,
        }
    )
    return StudySet(recordings, X.astype(np.float32), "made", "uploads")


class Tables:
    """Derived tables of made-up recordings with two clips each."""

    folder = "made"

    def __init__(self, study, seed=0, version="1"):
        rng = np.random.default_rng(seed)
        self.study, n = study, len(study.recordings)
        noise = rng.normal(0, 0.3, (n, study.X.shape[1])).astype(np.float32)
        self.vectors = np.stack([study.X + noise, study.X - noise], axis=1).reshape(2 * n, -1)
        self.keys = pd.DataFrame(
            {"recording": np.repeat(study.recordings["recording"].to_numpy(), 2)}
        )
        self.provenance = {
            "preprocess": params.Preprocess().model_dump(mode="json"),
            "representations": {"logmel": version} if version else {},
        }

    def clips(self, representation):
        return self.keys, self.vectors

    def variants(self, representation):
        return []

    def study_set(self, set_name, labels, representation):
        rows = self.study.recordings.copy()
        for name in {"instance", "time_s", "sex", "age_band", "level_dbfs"} - set(rows):
            rows[name] = 0.0
        return StudySet(rows, self.study.X, representation, set_name, labels, self)
