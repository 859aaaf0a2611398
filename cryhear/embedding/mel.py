"""Mel filters, for the log-mel statistics and for HeAR's front end."""

from __future__ import annotations

import numpy as np


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
