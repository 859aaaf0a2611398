"""Find recordings that hold the same sound: by waveform, whatever the name, codec, rate or gain.

Two recordings are near-duplicates when the largest magnitude of their normalised cross-correlation
over all lags, between 100 Hz and 2 kHz, exceeds 0.9. Comparing every pair that way is out of reach
of a laptop, so pairs are first pruned by a bound that cannot lose one. By the triangle and the
Cauchy-Schwarz inequality, for spectra X and Y and any cut of the frequency axis into bands b::

    max_lag |sum_t x(t) y(t + lag)| <= sum_f |X(f)| |Y(f)| <= sum_b sqrt(E_x(b) E_y(b)),

with E(b) the energy in a band: the cosine between the vectors sqrt(E) of two recordings is never
below their cross-correlation, at any lag and any gain. Bands of 0.25 Hz separate strangers well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SAMPLE_RATE = 4_000
"""Rate at which waveforms are compared, Hz."""

THRESHOLD = 0.9
"""Normalised cross-correlation above which two recordings are the same sound. In Donate-a-Cry, the
457 copies reach at least .998; of all other pairs the highest, two quiet rumbles, reaches .85."""

MINIMUM_S = 1.0
"""Shortest recording compared, seconds: a shorter one is too nearly a single tone to be told from
another."""

LOWEST_HZ = 100.0
"""Nothing below is compared: mains hum and handling are alike in strangers."""

BAND_HZ = 0.25

MARGIN = 0.03
"""How far below the threshold a bound still makes a candidate: bands of recordings of different
length are sampled on different grids, so the bound holds to about a percent."""

_BANDS = round(SAMPLE_RATE / 2 / BAND_HZ)
_BLOCK = 512


def waveform(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Prepare a recording for comparison.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), float32
        One channel. Not changed.
    sample_rate : int
        Hz.

    Returns
    -------
    numpy.ndarray, shape (m,), float32
        At `SAMPLE_RATE`, nothing below `LOWEST_HZ`, of unit energy; empty where the recording is
        shorter than `MINIMUM_S` or holds nothing in the band.
    """
    import soxr
    from scipy import fft

    if len(samples) < MINIMUM_S * sample_rate:
        return np.zeros(0, np.float32)
    x = soxr.resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE)
    length = fft.next_fast_len(len(x), real=True)
    spectrum = fft.rfft(x, length)
    spectrum[fft.rfftfreq(length, 1 / SAMPLE_RATE) < LOWEST_HZ] = 0
    y = fft.irfft(spectrum, length)[: len(x)]
    energy = np.linalg.norm(y.astype(np.float64))
    return (y / energy).astype(np.float32) if energy > 1e-6 else np.zeros(0, np.float32)


def fingerprint(x: np.ndarray) -> np.ndarray:
    """Square root of the energy in each band of `BAND_HZ`, of unit norm.

    Parameters
    ----------
    x : numpy.ndarray, shape (m,), float32
        From `waveform`.

    Returns
    -------
    numpy.ndarray, shape (8000,), float16
        All zero for an empty waveform.
    """
    from scipy import fft

    if len(x) == 0:
        return np.zeros(_BANDS, np.float16)
    # A transform whose bins divide a band evenly, long enough for every lag.
    whole = round(SAMPLE_RATE / BAND_HZ)
    per_band = -(-2 * len(x) // whole)
    power = np.abs(fft.rfft(x, per_band * whole)[: _BANDS * per_band]) ** 2
    bands = np.sqrt(power.reshape(_BANDS, per_band).sum(axis=1))
    return (bands / np.linalg.norm(bands)).astype(np.float16)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Largest magnitude of the normalised cross-correlation over all lags.

    Parameters
    ----------
    x, y : numpy.ndarray, shapes (m,) and (k,), float32
        From `waveform`.

    Returns
    -------
    float
        0 to 1; 0 where one is empty. An excerpt of half the energy of a recording gives .71: what
        is found is copies, not excerpts.

    Examples
    --------
    A copy at another gain, upside down:

    >>> sound = np.random.default_rng(0).normal(size=16_000)
    >>> round(correlation(waveform(sound, 8_000), waveform(-0.2 * sound, 8_000)), 3)
    1.0
    """
    from scipy import fft

    if len(x) == 0 or len(y) == 0:
        return 0.0
    length = fft.next_fast_len(len(x) + len(y) - 1, real=True)
    product = fft.rfft(x, length) * np.conj(fft.rfft(y, length))
    return min(1.0, float(np.abs(fft.irfft(product, length)).max()))


def candidates(fingerprints: np.ndarray, threshold: float = THRESHOLD) -> list[tuple[int, int]]:
    """Pairs whose correlation may exceed the threshold.

    Parameters
    ----------
    fingerprints : numpy.ndarray, shape (n, 8000), floating point
    threshold : float

    Returns
    -------
    list of (int, int)
        Rows i < j, sorted.
    """
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(fingerprints), _BLOCK):
        rows = fingerprints[start : start + _BLOCK].astype(np.float32)
        for other in range(start, len(fingerprints), _BLOCK):
            columns = fingerprints[other : other + _BLOCK].astype(np.float32)
            i, j = np.nonzero(rows @ columns.T > threshold - MARGIN)
            keep = i + start < j + other
            pairs += zip((i[keep] + start).tolist(), (j[keep] + other).tolist(), strict=True)
    return sorted(pairs)


def near_duplicates(
    fingerprints: np.ndarray, load: Callable[[int], np.ndarray]
) -> list[tuple[int, int, float]]:
    """Pairs of recordings that hold the same sound.

    Parameters
    ----------
    fingerprints : numpy.ndarray, shape (n, 8000), floating point
        One row a recording, from `fingerprint`.
    load : callable
        Gives the `waveform` of a row; called only for candidates, so that memory does not grow
        with the corpus's sound.

    Returns
    -------
    list of (int, int, float)
        Rows i < j and their normalised cross-correlation, above THRESHOLD, sorted.
    """
    found, first, x = [], -1, np.zeros(0, np.float32)
    for i, j in candidates(fingerprints, THRESHOLD):
        if i != first:
            first, x = i, load(i)
        rho = correlation(x, load(j))
        if rho > THRESHOLD:
            found.append((i, j, rho))
    return found


def groups(n: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """Connected components of a graph.

    Parameters
    ----------
    n : int
        Number of nodes.
    pairs : sequence of (int, int)
        Edges.

    Returns
    -------
    numpy.ndarray, shape (n,), int64
        For each node, the smallest node of its component.

    Examples
    --------
    >>> groups(4, [(1, 3)]).tolist()
    [0, 1, 2, 1]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    first = np.full(component.max(initial=-1) + 1, n)
    np.minimum.at(first, component, np.arange(n))
    return first[component]
