"""Training-time copies of a recording: noise, time stretch, pitch shift and shift in time.

The transforms and ranges are the original study's, by audiomentations. A copy is a function of
the recording, the copy's number and the seed alone: it comes out the same in any order, in any
process, whatever was drawn before. Augmented copies belong on the training side only; a protocol
that lets one fall beside its recording in a test fold measures memory, not cries.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cryhear.audio.preprocess import waveform
from cryhear.errors import ParameterError

COPY = "augmented_"
"""How the name of an altered version that is an augmented copy starts; its number follows."""

_GLOBAL_GENERATORS = threading.Lock()
"""audiomentations draws from both global generators: one thread at a time may borrow them."""


def numbered(copies: int) -> dict[str, int]:
    """Names of so many copies, as the derived tables have them, with their numbers.

    Examples
    --------
    >>> numbered(2)
    {'augmented_1': 1, 'augmented_2': 2}
    """
    return {f"{COPY}{number}": number for number in range(1, copies + 1)}


def augment(
    samples: np.ndarray, sample_rate: int, recording: str, copy: int, settings: Any, seed: int
) -> np.ndarray:
    """One augmented copy of a recording, of the same length.

    The original study augments the denoised recording at an RMS of 1, so its noise amplitudes
    (0.001 to 0.015) are shares of the recording's RMS: 60 to 36 dB below it. They are here at
    any level: the waveform is brought to an RMS of 1, augmented, and brought back. Pass this to
    `cryhear.audio.preprocess.run` as its `transform` to augment where the original does.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
        A mono recording. Not changed.
    sample_rate : int
        Hz.
    recording : str
        What identifies the recording: the first 16 hexadecimal digits of its SHA-256.
    copy : int
        Number of the copy, as in `numbered`.
    settings : cryhear.params.Augment
        With probability `p_augment` a copy is changed at all, then each transform by its own.
    seed : int
        Seed of the study.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        A copy sped up ends in digital silence and one slowed down loses its end, as in the
        original. Digital silence is returned as it is.

    Raises
    ------
    AudioError
        The waveform is not one channel of finite floating point samples.
    """
    x = np.array(waveform(samples))
    rms = float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) if x.size else 0.0
    chain = _chain(settings)
    with seeded(copy_seed(recording, copy, seed)):
        if rms == 0.0 or random.random() >= settings.p_augment:
            return x
        changed = chain(samples=x / np.float32(rms), sample_rate=sample_rate)
    return np.ascontiguousarray(changed, dtype=np.float32) * np.float32(rms)


def copy_seed(recording: str, copy: int, seed: int) -> int:
    """Seed of one copy: the first 64 bits of the SHA-256 of seed, recording and copy.

    Examples
    --------
    >>> copy_seed("0123456789abcdef", copy=0, seed=42)
    14510597449291547800
    """
    digest = hashlib.sha256(f"{seed}/{recording}/{copy}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _chain(settings: Any) -> Any:
    from audiomentations import AddGaussianNoise, Compose, PitchShift, Shift, TimeStretch

    quiet, loud = settings.noise_amplitude
    slow, fast = settings.stretch_rate
    low, high = settings.pitch_semitones
    back, ahead = settings.shift_fraction
    try:
        return Compose([
            AddGaussianNoise(min_amplitude=quiet, max_amplitude=loud, p=settings.p_noise),
            TimeStretch(min_rate=slow, max_rate=fast, p=settings.p_stretch),
            PitchShift(min_semitones=low, max_semitones=high, p=settings.p_pitch),
            Shift(min_shift=back, max_shift=ahead, p=settings.p_shift),
        ])  # fmt: skip
    except (AssertionError, ValueError) as error:
        raise ParameterError(
            f"augment: audiomentations refuses noise_amplitude={settings.noise_amplitude}, "
            f"stretch_rate={settings.stretch_rate}, pitch_semitones={settings.pitch_semitones}, "
            f"shift_fraction={settings.shift_fraction} ({error}); give [low, high] in its ranges"
        ) from error


@contextmanager
def seeded(seed: int) -> Iterator[Any]:
    """Seed the two global generators that audiomentations draws from, and put them back afterwards.

    Gives Python's, of which the first draw of a copy decides whether it is altered at all.
    """
    with _GLOBAL_GENERATORS:
        python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield random
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
