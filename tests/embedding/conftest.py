"""The stand-in models, and clips to embed."""

from __future__ import annotations

import numpy as np
import pytest
from standins import hear_folder, unfaithful_hear_folder, vit_folder

__all__ = ["hear_folder", "unfaithful_hear_folder", "vit_folder"]


@pytest.fixture(scope="session")
def clips() -> np.ndarray:
    """Nine clips, float32 (9, 32000): harmonic sounds in noise, over a range of 50 dB."""
    rng = np.random.default_rng(11)
    time = np.arange(32_000) / 16_000
    rows = []
    for row in range(9):
        f0 = 250 + 60 * row
        tones = sum(np.sin(2 * np.pi * f0 * k * time + k) / k for k in range(1, 6))
        sound = tones * (1 + np.sin(2 * np.pi * (1 + row) * time)) + 0.1 * rng.standard_normal(
            32_000
        )
        rows.append(sound / np.abs(sound).max() * 10 ** (-50 / 20 * row / 8))
    made = np.array(rows, dtype=np.float32)
    made.setflags(write=False)
    return made
