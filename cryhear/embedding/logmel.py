"""`logmel`: pooled log-mel statistics. Nothing to download; the floor that a deep model must beat."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from cryhear.embedding.base import SAMPLE_RATE, Backend

PACKAGES = ()
N_BANDS = 64
FRAME = 400
"""Samples of a frame: 25 ms."""
HOP = 160
"""Samples between frames: 10 ms; 198 frames a clip."""
N_FFT = 512
LOW_HZ, HIGH_HZ = 50.0, 8000.0
FLOOR = 1e-10
"""Added to band energies before the logarithm: about -100 dB, below 16-bit quantisation noise."""
STATISTICS = ("mean", "std", "p10", "p90", "delta_std")


class LogMel(Backend):
    """Five statistics of 64 log-mel bands over a clip's frames: 320 values, in dB.

    Mean, standard deviation, 10th and 90th percentile, and the standard deviation of the
    difference from frame to frame.

    Attributes
    ----------
    feature_names : tuple of str
        One a column, such as ``mel07_std``.
    """

    name = "logmel"
    version = "1"
    batch_size = 64

    def __init__(self, num_threads: int = 1) -> None:
        self.num_threads = num_threads
        self.feature_names = tuple(
            f"mel{band:02d}_{statistic}" for statistic in STATISTICS for band in range(N_BANDS)
        )
        self.dimension = len(self.feature_names)
        # Periodic Hann window, with the factor that gives a full-scale sine 0 dB.
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
        self._window = (window * 2 / window.sum()).astype(np.float32)
        self._mel = mel_matrix(N_BANDS, N_FFT // 2 + 1, SAMPLE_RATE, LOW_HZ, HIGH_HZ).astype(
            np.float32
        )

    def log_mel(self, clips: np.ndarray) -> np.ndarray:
        """Log-mel spectrogram of clips.

        Parameters
        ----------
        clips : numpy.ndarray, shape (n, samples), float32

        Returns
        -------
        numpy.ndarray, shape (n, frames, 64), float32, dB
        """
        frames = sliding_window_view(clips, FRAME, axis=1)[:, ::HOP] * self._window
        spectrum = scipy.fft.rfft(frames, n=N_FFT, workers=self.num_threads)
        power = spectrum.real**2 + spectrum.imag**2
        return 10 * np.log10(power @ self._mel + np.float32(FLOOR))

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        bands = self.log_mel(batch)
        ordered = np.sort(bands, axis=1)
        pooled = (
            bands.mean(axis=1),
            bands.std(axis=1),
            _quantile(ordered, 0.1),
            _quantile(ordered, 0.9),
            np.diff(bands, axis=1).std(axis=1),
        )
        return np.concatenate(pooled, axis=1)


load = LogMel
"""Load the backend; `num_threads` share the Fourier transforms."""


def available() -> tuple[bool, str]:
    """Always there."""
    return True, "nothing to download"


def _quantile(ordered: np.ndarray, share: float) -> np.ndarray:
    """Linear-interpolation quantile along axis 1 of sorted values (numpy.quantile is 20 times slower)."""
    place = share * (ordered.shape[1] - 1)
    below = int(place)
    above = min(below + 1, ordered.shape[1] - 1)
    weight = np.float32(place - below)
    return ordered[:, below] * (1 - weight) + ordered[:, above] * weight


def hz_to_mel(hertz: np.ndarray | float) -> np.ndarray:
    """Mel of a frequency in Hz, HTK's formula: 2595 log10(1 + f / 700)."""
    return 2595.0 * np.log10(1.0 + np.asarray(hertz, dtype=np.float64) / 700.0)


def mel_matrix(
    n_bands: int, n_bins: int, sample_rate: int, low_hz: float, high_hz: float
) -> np.ndarray:
    """Weights that turn a power spectrum into mel bands.

    Triangles of unit height, linear on the mel scale, not normalised by area; the DC bin gets no
    weight. This is the convention of TensorFlow's ``tf.signal.linear_to_mel_weight_matrix``.

    Parameters
    ----------
    n_bands : int
        Mel bands.
    n_bins : int
        Bins of the spectrum, from 0 Hz to half of `sample_rate`.
    sample_rate : int
        Hz.
    low_hz, high_hz : float
        Lower edge of the first and upper edge of the last band, Hz.

    Returns
    -------
    numpy.ndarray, shape (n_bins, n_bands), float64, 0 to 1
    """
    bins = hz_to_mel(np.linspace(0.0, sample_rate / 2, n_bins))[:, None]
    edges = np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), n_bands + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return weights
