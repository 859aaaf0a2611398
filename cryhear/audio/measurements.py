"""What a listener would want to know first of a recording: level, peak, clipping, band, silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryhear.errors import AudioError

CLIPPED_AT = 0.99
"""Share of full scale at and above which a sample counts as clipped."""

SILENT_FRAME_DBFS = -50.0
"""RMS level of a frame, dB relative to full scale, below which it counts as silence (the original
study's threshold)."""

FAINTEST = 1e-10
"""RMS amplitude that digital silence is given, so that its level is -200 dB and not minus infinity."""

BANDWIDTH_DB = 50.0
"""Depth below the strongest band, dB, that still counts as inside the effective bandwidth."""

_FRAME_S = 0.025


@dataclass(frozen=True)
class Measurements:
    """Level and band of a recording.

    Attributes
    ----------
    level_dbfs : float
        RMS level, dB relative to full scale; -200 for digital silence.
    peak : float
        Largest magnitude, full scale 1.
    clipping_share : float
        Share of samples at or above 0.99 of full scale, 0 to 1. Sound clipped before a lossy codec
        need not reach full scale, so this is a lower bound.
    bandwidth_hz : float
        Highest frequency at which the long-term spectrum is within 50 dB of its maximum.
    silence_share : float
        Share of 25 ms frames whose RMS level is under -50 dBFS, 0 to 1.
    """

    level_dbfs: float
    peak: float
    clipping_share: float
    bandwidth_hz: float
    silence_share: float


def measure(samples: np.ndarray, sample_rate: int) -> Measurements:
    """Measure level, peak, clipping, effective bandwidth and silence.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
        One channel, full scale 1. Not changed.
    sample_rate : int
        Hz. Measure at the recording's own rate: resampling moves clipped peaks.

    Returns
    -------
    Measurements

    Raises
    ------
    AudioError
        `samples` is not one channel or holds nothing.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise AudioError(f"samples have shape {x.shape}; expected one channel, shape (n,), n > 0")
    magnitude = np.abs(x)
    return Measurements(
        level_dbfs=float(dbfs(np.sqrt(np.mean(x**2)))),
        peak=float(magnitude.max()),
        clipping_share=float((magnitude >= CLIPPED_AT).mean()),
        bandwidth_hz=_bandwidth(x, sample_rate),
        silence_share=_silence_share(x, sample_rate),
    )


def dbfs(rms: float) -> float:
    """Level in dB re full scale of a root-mean-square amplitude; -200 for digital silence.

    Examples
    --------
    >>> float(dbfs(0.1)), float(dbfs(0.0))
    (-20.0, -200.0)
    """
    return 20.0 * np.log10(max(rms, FAINTEST))


def _silence_share(x: np.ndarray, sample_rate: int) -> float:
    frame = max(1, min(x.size, round(_FRAME_S * sample_rate)))
    frames = x[: x.size // frame * frame].reshape(-1, frame)
    rms = np.sqrt((frames**2).mean(axis=1))
    return float((rms < 10 ** (SILENT_FRAME_DBFS / 20)).mean())


def _bandwidth(x: np.ndarray, sample_rate: int) -> float:
    """Highest frequency of the Welch spectrum within `BANDWIDTH_DB` of its maximum, Hz."""
    from scipy.signal import welch

    frequency, power = welch(x, fs=sample_rate, nperseg=min(x.size, 1024))
    if not power.max() > 0:
        return 0.0
    inside = power >= power.max() * 10 ** (-BANDWIDTH_DB / 10)
    return float(frequency[inside][-1])
