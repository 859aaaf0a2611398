"""What a recording may meet on its way: noise, another level, a narrower band, a codec, an offset.

`PERTURBATIONS` holds one `Perturbation` a condition of the robustness chapter, by its stable
name; each is called as ``perturbation(samples, sample_rate, rng)`` on a decoded recording, before
any preprocessing, and returns a new waveform. `ALTERNATIVES` holds the other ways of preprocessing
that the sensitivity analysis compares. Nothing here depends on a corpus or on a label.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import soxr

from cryhear.audio.preprocess import waveform
from cryhear.errors import AudioError

Function = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Perturbation:
    """One condition: what it does and how a table or figure should call it.

    Attributes
    ----------
    name : str
        Stable identifier, as in published tables.
    title : str
        For people.
    family : str
        Conditions drawn on one axis: 'white noise', 'pink noise', 'level', 'band', 'codec',
        'offset'.
    value : float
        Where on that axis, in `unit`.
    unit : str
        'dB SNR', 'dB', 'Hz', 'bit/s' or 's'.
    function : callable
        ``(samples float32 [n], sample_rate Hz, rng) -> float32 [n]`` ('offset': fewer samples).
    """

    name: str
    title: str
    family: str
    value: float
    unit: str
    function: Function

    def __call__(
        self, samples: np.ndarray, sample_rate: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Perturb a waveform; see `function`. The input is not changed."""
        x = np.array(waveform(samples))
        return np.ascontiguousarray(self.function(x, sample_rate, rng), dtype=np.float32)


def generator(name: str, recording: str, seed: int) -> np.random.Generator:
    """Random generator of one condition of one recording: independent of order and of workers."""
    digest = hashlib.sha256(f"{seed}/{recording}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def add_noise(
    x: np.ndarray, sample_rate: int, rng: np.random.Generator, snr_db: float, exponent: float
) -> np.ndarray:
    """Add Gaussian noise at a signal-to-noise ratio over the whole recording.

    Parameters
    ----------
    x : numpy.ndarray, shape (n,), float32
    sample_rate : int
        Hz.
    rng : numpy.random.Generator
    snr_db : float
        Power of the recording over that of the noise, dB.
    exponent : float
        Power spectrum falls as 1 / f ** exponent: 0 white, 1 pink (flat below 20 Hz).
    """
    noise = rng.standard_normal(x.size)
    if exponent:
        spectrum = np.fft.rfft(noise)
        frequency = np.maximum(np.fft.rfftfreq(x.size, 1.0 / sample_rate), 20.0)
        noise = np.fft.irfft(spectrum * frequency ** (-exponent / 2.0), x.size)
    power = np.mean(np.square(noise))
    wanted = np.mean(np.square(x, dtype=np.float64)) * 10.0 ** (-snr_db / 10.0)
    return x + noise * np.sqrt(wanted / max(power, np.finfo(np.float64).tiny))


def change_level(
    x: np.ndarray, sample_rate: int, rng: np.random.Generator, gain_db: float
) -> np.ndarray:
    """Multiply by a gain in dB and clip at full scale, as a recorder does."""
    return np.clip(x * 10.0 ** (gain_db / 20.0), -1.0, 1.0)


def low_pass(
    x: np.ndarray, sample_rate: int, rng: np.random.Generator, cutoff_hz: float
) -> np.ndarray:
    """Zero-phase Butterworth low-pass (order 8, both ways: -6 dB at the cutoff)."""
    from scipy.signal import butter, sosfiltfilt

    sections = butter(8, cutoff_hz, fs=sample_rate, output="sos")
    return sosfiltfilt(sections, x, padlen=min(200, x.size - 1))


def resample(
    x: np.ndarray, sample_rate: int, rng: np.random.Generator, through_hz: int
) -> np.ndarray:
    """Resample to another rate and 16 bits, and back: what storing the recording so does to it."""
    stored = np.clip(np.round(soxr.resample(x, sample_rate, through_hz) * 32768), -32768, 32767)
    return _fit(soxr.resample((stored / 32768).astype(np.float32), through_hz, sample_rate), x.size)


def drop_start(
    x: np.ndarray, sample_rate: int, rng: np.random.Generator, seconds: float
) -> np.ndarray:
    """Start later, so that every clip begins elsewhere in the cry; the rest must hold a clip.

    A recording that would keep less than two seconds loses only what it can spare.
    """
    spare = max(0, x.size - 2 * sample_rate)
    return x[min(round(seconds * sample_rate), spare) :]


def through_codec(
    x: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    codec: str,
    container: str,
    rate: int,
    bit_rate: int,
) -> np.ndarray:
    """Encode and decode with one of FFmpeg's codecs (PyAV), in memory.

    Parameters
    ----------
    x : numpy.ndarray, shape (n,), float32
    sample_rate : int
        Hz.
    rng : numpy.random.Generator
        Not used.
    codec, container : str
        FFmpeg's names of the encoder and the muxer.
    rate : int
        Sample rate the codec runs at, Hz.
    bit_rate : int
        bit/s.

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        The codec's delay is measured by cross-correlation and taken out.

    Raises
    ------
    AudioError
        This build of PyAV lacks the encoder.
    """
    pcm = np.clip(soxr.resample(x, sample_rate, rate), -1.0, 1.0)
    decoded, decoded_rate = _decode(_encode(pcm, codec, container, rate, bit_rate))
    back = soxr.resample(decoded, decoded_rate, sample_rate)
    return _aligned(back, x, longest=sample_rate // 5)


def possible() -> list[str]:
    """Names of `PERTURBATIONS` that can be made here: builds of PyAV differ in what they encode."""

    def can(function: Function) -> bool:
        codec = function.keywords.get("codec") if isinstance(function, partial) else None
        return codec is None or available(codec)

    return [name for name, one in PERTURBATIONS.items() if can(one.function)]


def available(codec: str) -> bool:
    """Whether this build of PyAV can encode with a codec (FFmpeg's name)."""
    import av

    try:
        av.codec.Codec(codec, "w")
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _encode(pcm: np.ndarray, codec: str, container: str, rate: int, bit_rate: int) -> io.BytesIO:
    import av

    if not available(codec):
        raise AudioError(
            f"PyAV {av.__version__} has no encoder {codec!r}; expected one that has (the wheels before "
            "19 encode AMR): install another release of av, or leave this condition out"
        )
    target = io.BytesIO()
    with av.open(target, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", bit_rate
        whole = (pcm * 32767.0).round().astype(np.int16)[np.newaxis]
        for first in range(0, whole.shape[1], rate):
            block = np.ascontiguousarray(whole[:, first : first + rate])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, first
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    target.seek(0)
    return target


def _decode(source: io.BytesIO) -> tuple[np.ndarray, int]:
    import av

    with av.open(source, "r") as opened:
        resampler = av.AudioResampler(format="flt", layout="mono")
        blocks = [
            out.to_ndarray()[0]
            for frame in opened.decode(audio=0)
            for out in resampler.resample(frame)
        ]
        rate = opened.streams.audio[0].rate
    return np.concatenate(blocks).astype(np.float32), rate


def _aligned(y: np.ndarray, x: np.ndarray, longest: int) -> np.ndarray:
    from scipy.signal import correlate, correlation_lags

    lags = correlation_lags(y.size, x.size)
    near = np.abs(lags) <= longest
    lag = int(lags[near][np.argmax(correlate(y, x, method="fft")[near])])
    return _fit(y[lag:] if lag >= 0 else np.pad(y, (-lag, 0)), x.size)


def _fit(y: np.ndarray, n: int) -> np.ndarray:
    return y[:n] if y.size >= n else np.pad(y, (0, n - y.size))


def _perturbations() -> dict[str, Perturbation]:
    rows: list[tuple[str, str, str, float, str, Function]] = []
    for colour, exponent in (("white", 0.0), ("pink", 1.0)):
        for snr in (20.0, 10.0, 5.0, 0.0):
            rows.append((
                f"{colour}_noise_{snr:.0f}db", f"{colour} noise, {snr:.0f} dB SNR",
                f"{colour} noise", snr, "dB SNR",
                partial(add_noise, snr_db=snr, exponent=exponent),
            ))  # fmt: skip
    for gain, name in ((-20.0, "minus_20db"), (-10.0, "minus_10db"), (10.0, "plus_10db")):
        title = f"level {gain:+.0f} dB" + (", clipped at full scale" if gain > 0 else "")
        function = partial(change_level, gain_db=gain)
        rows.append((f"gain_{name}", title, "level", gain, "dB", function))
    rows += [
        ("lowpass_4khz", "low-pass at 4 kHz", "band", 4000.0, "Hz",
         partial(low_pass, cutoff_hz=4000)),
        ("resample_8khz", "stored at 8 kHz, 16 bits", "band", 8000.0, "Hz",
         partial(resample, through_hz=8000)),
    ]  # fmt: skip
    for name, title, codec, container, rate, bits in (
        ("amr_nb", "AMR narrowband", "libopencore_amrnb", "amr", 8_000, 12_200),
        ("mp3_32k", "MP3", "libmp3lame", "mp3", 16_000, 32_000),
        ("opus_16k", "Opus", "libopus", "ogg", 16_000, 16_000),
        ("aac_32k", "AAC", "aac", "adts", 16_000, 32_000),
    ):
        rows.append((
            f"codec_{name}", f"{title}, {bits / 1000:g} kbit/s", "codec", float(bits), "bit/s",
            partial(through_codec, codec=codec, container=container, rate=rate, bit_rate=bits),
        ))  # fmt: skip
    for seconds in (0.25, 0.5):
        rows.append((
            f"offset_{seconds * 1000:.0f}ms", f"clips {seconds:g} s later", "offset", seconds, "s",
            partial(drop_start, seconds=seconds),
        ))  # fmt: skip
    return {row[0]: Perturbation(*row) for row in rows}


PERTURBATIONS: dict[str, Perturbation] = _perturbations()
"""The conditions of the robustness chapter, in the order they are drawn."""


ALTERNATIVES: dict[str, dict[str, bool]] = {
    "no_wiener": {"wiener": False},
    "no_rms": {"rms": False},
    "raw": {"wiener": False, "gaussian": False, "rms": False},
}
"""Other ways of preprocessing that the sensitivity analysis compares, by their stable name: fields of
`cryhear.params.Preprocess` to replace. Arms that change the waveform are `PERTURBATIONS`."""
