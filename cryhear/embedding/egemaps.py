"""`egemaps`: the 88 functionals of the extended Geneva Minimalistic Acoustic Parameter Set.

Eyben et al. 2016, doi:10.1109/TAFFC.2015.2457417, computed by openSMILE: hand-made features of voice
(F0, formants, jitter, shimmer, loudness, spectral balance) whose meaning a phonetician can name.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from cryhear.embedding.base import (
    SAMPLE_RATE,
    Backend,
    within_full_scale,
)

PACKAGES = ("opensmile",)


class EGeMAPS(Backend):
    """eGeMAPSv02 functionals of each clip by openSMILE.

    openSMILE turns floats into 16-bit samples and wraps what exceeds full scale, so louder clips
    are scaled down to it first. One native extraction a clip (about 50 ms), which lets go of the
    interpreter lock: `num_threads` run side by side.

    Attributes
    ----------
    feature_names : tuple of str
        openSMILE's names, one a column.
    """

    name = "egemaps"

    def __init__(self, num_threads: int = 1) -> None:
        _keep_library_apart()
        import opensmile

        self.num_threads = num_threads
        self.batch_size = 16 * self.num_threads
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        self.feature_names = tuple(self._smile.feature_names)
        self.dimension = len(self.feature_names)
        self.version = f"v02-opensmile-{package_version('opensmile')}"

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        clips = within_full_scale(batch)
        if self.num_threads == 1:
            return np.concatenate([self._one(clip) for clip in clips])
        with ThreadPoolExecutor(self.num_threads) as pool:
            return np.concatenate(list(pool.map(self._one, clips)))

    def _one(self, clip: np.ndarray) -> np.ndarray:
        return self._smile.process_signal(clip, SAMPLE_RATE).to_numpy(dtype=np.float32)


load = EGeMAPS
"""Load the backend; `num_threads` clips are extracted at a time."""


def available() -> tuple[bool, str]:
    """Whether openSMILE's weights are at hand: there are none."""
    return True, "openSMILE is installed; nothing to download"


def _keep_library_apart() -> None:
    """Load openSMILE's native library bound to its own symbols, on Linux.

    TensorFlow, loaded before, exports C++ symbols that openSMILE's library would otherwise take for
    its own: the heap is damaged and the process dies in the first extraction. Importing
    ``opensmile`` then finds the library that is loaded here, so this must come before it.
    """
    spec = find_spec("opensmile")
    if spec is None or spec.origin is None or not hasattr(os, "RTLD_DEEPBIND"):
        return
    for library in Path(spec.origin).parent.glob("core/bin/*/libSMILEapi.so"):
        ctypes.CDLL(str(library), mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
