"""Data the measurements make themselves: recordings as files, studies as derived tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from cryhear.corpus.labels import CLASSES

RATE = 44_100
"""Hz, of recordings as telephones make them."""


def cry(seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A harmonic sound with a moving pitch in noise, float32 in [-1, 1]: a cry to a decoder."""
    time = np.arange(round(seconds * rate)) / rate
    pitch = 400 + 80 * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = sum(np.sin(k * phase) / k for k in range(1, 9)) * (0.6 + 0.4 * np.sin(5 * time))
    return (0.15 * sound + 0.01 * rng.standard_normal(len(time))).astype(np.float32)


def recordings(
    folder: Path, count: int, seconds: float, rate: int = RATE, seed: int = 0
) -> list[Path]:
    """Write `count` 16-bit WAV files of a cry each."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = [folder / f"{i:05d}.wav" for i in range(count)]
    for path in paths:
        soundfile.write(path, cry(seconds, rate, rng), rate, subtype="PCM_16")
    return paths


def listed(paths: list[Path]) -> pd.DataFrame:
    """The table of recordings that the extractor takes."""
    return pd.DataFrame({"recording": [f"{i:016x}" for i in range(len(paths))], "path": paths})


class Rows:
    """A study set of the corpus's size: infants of 1 to 9 recordings, a weak trace of the class.

    Parameters
    ----------
    infants, dimension : int
        The corpus has 379 infants; YAMNet's vectors 1,024 values, its log-mel statistics 320.
    copies : int
        Augmented copies of each recording.
    kept : int
        Components that hold some 95 % of the variance: 90 of YAMNet's on these recordings.
    """

    def __init__(
        self,
        infants: int = 379,
        dimension: int = 320,
        copies: int = 0,
        seed: int = 0,
        kept: int = 90,
    ):
        rng = np.random.default_rng(seed)
        sizes = np.minimum(rng.geometric(0.41, infants), 9)
        infant = np.repeat(np.arange(infants), sizes)
        own = rng.choice(len(CLASSES), infants, p=(0.15, 0.7, 0.15))
        strays = rng.random(len(infant)) < 0.1
        self.y = np.where(strays, rng.integers(0, len(CLASSES), len(infant)), own[infant])
        # Values that hang together, as an embedding's do.
        scale = np.geomspace(1, 0.05 ** (dimension / (2 * kept)), dimension)
        mixing = rng.normal(size=(dimension, dimension)) * scale[:, None]
        latent = (
            rng.normal(size=(len(infant), dimension))
            + rng.normal(size=(infants, dimension))[infant]
        )
        latent[:, :3] += 0.7 * np.eye(3)[self.y]
        self.X = (latent @ mixing).astype(np.float32)
        self._copies = np.stack(
            [self.X + 0.3 * rng.normal(size=self.X.shape).astype(np.float32) for _ in range(copies)]
        ) if copies else np.empty((0, *self.X.shape), np.float32)  # fmt: skip
        self.recordings = pd.DataFrame(
            {
                "recording": [f"{i:016x}" for i in rng.permutation(len(infant))],
                "infant": [f"i{i:04d}" for i in infant],
                "platform": np.where(rng.random(infants) < 0.4, "ios", "android")[infant],
                "label": np.array(CLASSES)[self.y],
                "y": self.y,
            }
        )
        self.set, self.representation = "uploads", "made"

    def copies(self) -> np.ndarray:
        """The augmented copies, float32 (c, n, d), as a StudySet gives them."""
        return self._copies
