"""From a decoded recording to two-second clips: one function a step, one composed pipeline.

The chain is the original study's, in its order: Wiener filter, Gaussian smoothing, RMS
normalisation, clips with 10 % overlap. Each step works on a mono waveform at one rate, float32,
and returns a new array. `run` composes them as a `cryhear.params.Preprocess` says.

One thing differs on purpose: whether a clip is silent is decided on its level *before* RMS
normalisation. After it every recording has the same level, so a threshold of -50 dB can hardly
bite: only a clip 30 dB (default target) or 50 dB (original target) below its own recording could.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cryhear.errors import AudioError, ParameterError

CLIPPED_AT = 0.99
"""Share of full scale at and above which a sample counts as clipped."""

FAINTEST = 1e-10
"""RMS amplitude that digital silence is given, so that its level is -200 dB and not minus infinity."""

RMS_FLOOR = 1e-9
"""Added to the RMS before dividing, as in the original study: digital silence stays silence."""


def wiener(samples: np.ndarray, size: int = 3) -> np.ndarray:
    """Adaptive Wiener filter, equal to `scipy.signal.wiener` with its default noise estimate.

    Where the local variance exceeds the noise power (the mean local variance of the recording) a
    sample keeps the share ``1 - noise / variance`` of its distance from the local mean; elsewhere
    it becomes the local mean (Lim 1990). As in SciPy the borders are padded with zeros.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
    size : int
        Window length in samples, odd, at least 3.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        Digital silence comes back as zeros (SciPy divides 0 by 0 there).

    Notes
    -----
    Size 3, the default, takes everything from the differences of neighbours (`_wiener_of_three`):
    nothing cancels, so float32 is enough, and the result is nearer to the float64 one than
    SciPy's own on float32 input, in a small part of its time.

    References
    ----------
    Lim, J. S. (1990). Two-Dimensional Signal and Image Processing. Prentice Hall, p. 548.
    """
    x = waveform(samples)
    if size < 3 or size % 2 == 0:
        raise ParameterError(f"wiener_size is {size}; give an odd number of samples, 3 or more")
    if not x.any():
        return np.zeros_like(x)
    if size == 3:
        return _wiener_of_three(x)
    from scipy.signal import wiener as of_scipy

    with np.errstate(divide="ignore", invalid="ignore"):  # 0 by 0 where the sound stands still
        return np.nan_to_num(of_scipy(x.astype(np.float64), size)).astype(np.float32)


def _wiener_of_three(x: np.ndarray) -> np.ndarray:
    # With p = b - a and q = c - b of neighbours a, b, c: their variance is (2/9)(p^2 + pq + q^2),
    # and b less their mean is (p - q) / 3. The factor 2/9 cancels in noise / variance.
    step = np.empty(len(x) + 1, x.dtype)
    np.subtract(x[1:], x[:-1], out=step[1:-1])
    step[0], step[-1] = x[0], -x[-1]
    p, q = step[:-1], step[1:]
    work = p * q
    work += p * p
    work += q * q
    noise = work.mean()
    if noise <= 0.0:  # so faint that squares underflow: nothing to tell noise by
        return x.copy()
    np.maximum(work, noise, out=work)
    np.divide(noise / 3.0, work, out=work)
    work *= p - q
    return np.subtract(x, work, out=work)


def gaussian(samples: np.ndarray, sigma: float = 0.5) -> np.ndarray:
    """Gaussian smoothing by `scipy.ndimage.gaussian_filter1d` (mirrored borders).

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
    sigma : float
        Standard deviation of the kernel in samples, above 0. At 0.5 and 16 kHz the response is
        -2.1 dB at 4 kHz and -4.8 dB at 8 kHz.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
    """
    x = waveform(samples)
    if not sigma > 0.0:
        raise ParameterError(f"gaussian_sigma is {sigma}; give a number of samples above 0")
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(x, sigma)


def rms_normalise(samples: np.ndarray, target: float = 0.1) -> np.ndarray:
    """Scale a recording to a root-mean-square amplitude.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
    target : float
        RMS wanted, full scale being 1; above 0. The original study used 1.0, which puts most
        peaks outside [-1, 1]; at 0.1 a peak leaves it only when it is 20 dB above the RMS.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        Never clipped. Digital silence stays digital silence.

    Examples
    --------
    >>> rms_normalise(np.array([0.0, 3.0, 0.0, -3.0]), target=0.1).round(3).tolist()
    [0.0, 0.14100000262260437, 0.0, -0.14100000262260437]
    """
    x = waveform(samples)
    if not target > 0.0:
        raise ParameterError(f"rms_target is {target}; give an amplitude above 0 (full scale is 1)")
    return x * np.float32(target / (_rms(x) + RMS_FLOOR))


def dbfs(rms: float) -> float:
    """Level in dB re full scale of a root-mean-square amplitude; -200 for digital silence.

    Examples
    --------
    >>> float(dbfs(0.1)), float(dbfs(0.0))
    (-20.0, -200.0)
    """
    return 20.0 * np.log10(max(rms, FAINTEST))


def level_dbfs(samples: np.ndarray) -> float:
    """RMS level of a waveform in dB re full scale (amplitude 1); -200 for digital silence."""
    return dbfs(_rms(waveform(samples)))


def clip_starts(n: int, clip: int, hop: int, tail: str = "slide") -> np.ndarray:
    """First samples of the clips of a recording.

    Parameters
    ----------
    n : int
        Length of the recording in samples.
    clip, hop : int
        Length of a clip and distance between starts, in samples, at least 1.
    tail : {'slide', 'drop', 'pad'}
        What becomes of samples after the last whole clip: a last clip that ends with the
        recording (and so overlaps more), nothing (the original study), or a last clip at the
        regular place, to be filled with zeros.

    Returns
    -------
    numpy.ndarray, shape (m,), int64
        Ascending. Empty when the recording is shorter than a clip, except with 'pad'.

    Examples
    --------
    Five seconds at 16 kHz, clips of two with 10 % overlap:

    >>> clip_starts(80_000, clip=32_000, hop=28_800).tolist()
    [0, 28800, 48000]
    >>> clip_starts(80_000, clip=32_000, hop=28_800, tail="drop").tolist()
    [0, 28800]
    """
    if clip < 1 or hop < 1 or tail not in ("slide", "drop", "pad"):
        raise ParameterError(
            f"clip={clip}, hop={hop}, tail={tail!r}: give lengths of 1 sample or more and one of "
            "'slide', 'drop', 'pad'"
        )
    starts = np.arange(0, n - clip + 1, hop, dtype=np.int64)
    covered = starts[-1] + clip if len(starts) else 0
    if covered < n and tail == "slide" and n >= clip:
        return np.append(starts, np.int64(n - clip))
    if covered < n and tail == "pad":
        return np.append(starts, np.int64(len(starts) * hop))
    return starts


def clips(samples: np.ndarray, settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cut a recording into clips, silent ones included.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
    settings : cryhear.params.Preprocess
        Uses `sample_rate`, `clip_seconds`, `overlap`, `tail`, `short`.

    Returns
    -------
    starts : numpy.ndarray, shape (m,), int64
        First sample of each clip in the recording.
    clips : numpy.ndarray, shape (m, clip), float32
        m is 0 for a recording shorter than a clip when `short` is 'skip'; such recordings carry
        the status 'short' in the manifest.
    """
    x = waveform(samples)
    length = round(settings.clip_seconds * settings.sample_rate)
    hop = max(1, int(length * (1.0 - settings.overlap)))  # truncated, as in the original study
    if len(x) < length:
        starts = np.zeros(int(settings.short == "pad" and len(x) > 0), np.int64)
    else:
        starts = clip_starts(len(x), length, hop, settings.tail)
    cut = np.zeros((len(starts), length), np.float32)
    for row, start in zip(cut, starts, strict=True):
        part = x[start : start + length]
        row[: len(part)] = part
    return starts, cut


def condition(samples: np.ndarray, settings: Any) -> np.ndarray:
    """Denoise a recording: the Wiener filter and the Gaussian, each if the settings ask for it.

    Returns a new float32 array of the same length, before any normalisation of level.
    """
    x = waveform(samples)
    if settings.wiener:
        x = wiener(x, settings.wiener_size)
    if settings.gaussian:
        x = gaussian(x, settings.gaussian_sigma)
    return x if settings.wiener or settings.gaussian else x.copy()


def prepare_clip(samples: np.ndarray, settings: Any) -> tuple[np.ndarray, float]:
    """One clip prepared by itself, as a stream must be: denoised, then brought to its level.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point, finite
    settings : cryhear.params.Preprocess

    Returns
    -------
    prepared : numpy.ndarray, shape (n,), float32
    level : float
        RMS level before normalising, dB re full scale.
    """
    conditioned = condition(samples, settings)
    level = level_dbfs(conditioned)
    if settings.rms:
        conditioned = rms_normalise(conditioned, settings.rms_target)
    return conditioned, level


def run(
    samples: np.ndarray,
    settings: Any,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The whole chain: Wiener, Gaussian, RMS normalisation, clips without the silent ones.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point, finite
        A mono recording at `settings.sample_rate`. Not changed.
    settings : cryhear.params.Preprocess
    transform : callable, optional
        Applied to the denoised recording before it is cut: where the original study augments
        (`cryhear.audio.augment.augment` does not depend on the level it is given).

    Returns
    -------
    starts : numpy.ndarray, shape (m,), int64
    clips : numpy.ndarray, shape (m, clip), float32
        Clips whose level before normalisation is at or above `settings.silence_dbfs`, or the one
        loudest clip where none is. m is 0 only as `clips` says.

    Raises
    ------
    AudioError
        The waveform is not one-dimensional floating point, or holds NaN or infinity.

    Examples
    --------
    >>> from cryhear.params import Preprocess
    >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(80_000) / 16_000)
    >>> starts, clips = run(tone, Preprocess())
    >>> starts.tolist(), clips.shape
    ([0, 28800, 48000], (3, 32000))
    """
    conditioned = condition(samples, settings)
    starts, cut = clips(transform(conditioned) if transform else conditioned, settings)
    keep = sounding(cut, settings.silence_dbfs)
    if not keep.all():
        starts, cut = starts[keep], cut[keep]
    if settings.rms:
        # One gain for the recording: the same as normalising it whole and cutting afterwards.
        cut *= np.float32(settings.rms_target / (_rms(conditioned) + RMS_FLOOR))
    return starts, cut


def sounding(cut: np.ndarray, threshold_dbfs: float) -> np.ndarray:
    """Which clips are not silent; where all are, the loudest one.

    Parameters
    ----------
    cut : numpy.ndarray, shape (m, clip), float32
    threshold_dbfs : float
        RMS level in dB re full scale at and above which a clip is kept.

    Returns
    -------
    numpy.ndarray, shape (m,), bool
    """
    power = np.array([np.dot(row, row) / max(len(row), 1) for row in cut], dtype=np.float64)
    keep = power >= 10.0 ** (threshold_dbfs / 10.0)
    if len(power) and not keep.any():
        keep[np.argmax(power)] = True
    return keep


def _rms(x: np.ndarray) -> float:
    # Blocks keep float32 sums short and save the float64 copy of the recording.
    whole = len(x) // 4096 * 4096
    blocks, rest = x[:whole].reshape(-1, 4096), x[whole:]
    energy = np.matmul(blocks[:, None], blocks[..., None]).sum(dtype=np.float64)
    return float(np.sqrt((energy + np.dot(rest, rest)) / max(len(x), 1)))


def waveform(samples: np.ndarray) -> np.ndarray:
    """The samples as float32, shape (n,), if they are one channel of finite floating point numbers.

    Raises
    ------
    AudioError
        They are not.
    """
    x = np.asarray(samples)
    if x.ndim != 1 or not np.issubdtype(x.dtype, np.floating):
        raise AudioError(
            f"the waveform has shape {x.shape} and type {x.dtype}; give one channel of floating "
            "point samples in [-1, 1] (cryhear.audio.decode.decode does)"
        )
    x = x.astype(np.float32, copy=False)
    # The energy is finite only if every sample is: one fast pass, no mask.
    if not np.isfinite(np.dot(x, x)):
        raise AudioError(
            "the waveform holds NaN or infinite samples; give finite ones (the recording is "
            "damaged: leave it out, as the manifest does)"
        )
    return x
