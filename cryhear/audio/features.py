"""Measure a recording, and make the small tables behind figures that need sound.

The tables hold enough to draw a recording and too little to hear it: envelopes of a few hundred points,
spectra without phase, and mel spectrograms in half precision.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import stft, welch

from cryhear import progress
from cryhear.audio import preprocess
from cryhear.audio.decode import decode
from cryhear.audio.preprocess import CLIPPED_AT, dbfs
from cryhear.errors import AudioError

RATE = 16_000
BANDS = 64
"""Mel bands of a stored spectrum or spectrogram, 0 to 8 kHz."""
POINTS = 400
"""Points of a stored envelope."""
FRAMES = 160
"""Frames of a stored spectrogram, whatever the recording's length."""
FLOOR_DB = -100.0
EMPTY_DB = FLOOR_DB + 1.0
"""Long-term level of a band, dBFS, at or below which it holds nothing: a few loud frames in a hundred
lift a mean of clamped frames by the margin."""
EXAMPLES_PER_CLASS = 2
SHORTEST_S = 2.0
"""Shortest recording shown, s: one clip."""
SNIPPET = 320
"""Samples of the waveform kept to show what a filter does: 20 ms, too short to hear."""

SILENT_FRAME_DBFS = -50.0
"""RMS level of a frame, dB relative to full scale, below which it counts as silence (the original
study's threshold)."""

BANDWIDTH_DB = 50.0
"""Depth below the strongest band, dB, that still counts as inside the effective bandwidth."""

_FRAME_S = 0.025


def measure(samples: np.ndarray, sample_rate: int) -> dict[str, float]:
    """Measure level, peak, clipping, effective bandwidth and silence.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
        One channel, full scale 1. Not changed.
    sample_rate : int
        Hz. Measure at the recording's own rate: resampling moves clipped peaks.

    Returns
    -------
    dict
        ``level_dbfs``: RMS level, dB relative to full scale; -200 for digital silence. ``peak``: largest
        magnitude, full scale 1. ``clipping_share``: share of samples at or above 0.99 of full scale, 0
        to 1; sound clipped before a lossy codec need not reach full scale, so this is a lower bound.
        ``bandwidth_hz``: highest frequency at which the Welch spectrum is within 50 dB of its maximum.
        ``silence_share``: share of 25 ms frames whose RMS level is under -50 dBFS, 0 to 1.

    Raises
    ------
    AudioError
        `samples` is not one channel or holds nothing.
    """
    x = np.asarray(samples, dtype=np.float64)
    if x.ndim != 1 or x.size == 0:
        raise AudioError(f"samples have shape {x.shape}; expected one channel, shape (n,), n > 0")
    magnitude = np.abs(x)
    frequency, power = welch(x, fs=sample_rate, nperseg=min(x.size, 1024))
    inside = frequency[power >= power.max() * 10 ** (-BANDWIDTH_DB / 10)]
    frame = max(1, min(x.size, round(_FRAME_S * sample_rate)))
    frames = x[: x.size // frame * frame].reshape(-1, frame)
    rms = np.sqrt((frames**2).mean(axis=1))
    return {
        "level_dbfs": float(dbfs(np.sqrt(np.mean(x**2)))),
        "peak": float(magnitude.max()),
        "clipping_share": float((magnitude >= CLIPPED_AT).mean()),
        "bandwidth_hz": float(inside[-1]) if power.max() > 0 else 0.0,
        "silence_share": float((rms < 10 ** (SILENT_FRAME_DBFS / 20)).mean()),
    }


def mel_centres(bands: int = BANDS) -> np.ndarray:
    """Centre of each mel band, Hz: `bands` of them between 0 and 8 kHz, on HTK's scale."""
    import librosa

    return librosa.mel_frequencies(bands + 2, fmin=0.0, fmax=RATE / 2, htk=True)[1:-1]


def mel_spectrogram(samples: np.ndarray) -> np.ndarray:
    """Log-power mel spectrogram.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), float32

    Returns
    -------
    numpy.ndarray, shape (BANDS, frames), float32, dB
        Hann window of 1,024 samples, hop 256, floor at -100 dB.
    """
    import librosa

    # Each filter sums to 1, so a band's value is a mean power.
    filters = librosa.filters.mel(
        sr=RATE, n_fft=1024, n_mels=BANDS, htk=True, norm=1, dtype=np.float64
    )
    _, _, spectrum = stft(samples, fs=RATE, nperseg=1024, noverlap=768, padded=True)
    power = filters @ (np.abs(spectrum) ** 2)
    return (10.0 * np.log10(np.maximum(power, 10.0 ** (FLOOR_DB / 10)))).astype(np.float32)


def envelope(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest sample in each of POINTS equal stretches, float32 [POINTS] each."""
    edges = np.linspace(0, len(samples), POINTS + 1).astype(int)
    low = np.array([samples[a : max(b, a + 1)].min() for a, b in itertools.pairwise(edges)])
    high = np.array([samples[a : max(b, a + 1)].max() for a, b in itertools.pairwise(edges)])
    return low.astype(np.float32), high.astype(np.float32)


def mean_spectrum(samples: np.ndarray) -> np.ndarray:
    """Long-term mean power of each mel band, float32 [BANDS], dB."""
    power = 10.0 ** (mel_spectrogram(samples) / 10.0)
    return (10.0 * np.log10(power.mean(axis=1))).astype(np.float32)


def all_tables(recordings: pd.DataFrame, settings: Any) -> dict[str, pd.DataFrame]:
    """Every table of ``signals/`` for a corpus.

    Parameters
    ----------
    recordings : pandas.DataFrame
        Manifest rows with the columns ``path`` and ``label``.
    settings : cryhear.params.Preprocess

    Returns
    -------
    dict of str to pandas.DataFrame
        ``spectra`` (recording, band_0 ...), ``levels`` (recording, level before and after each
        step, clips kept and silent), ``envelopes`` and ``spectrograms`` (examples of each class),
        ``steps`` (one example through the chain).
    """
    spectra, levels = [], []
    rows = recordings.drop_duplicates("recording").sort_values("recording")
    for row in progress.bar(rows.itertuples(), total=len(rows), unit="recording", desc="signals"):
        try:
            samples = decode(row.path, sample_rate=RATE).samples
        except AudioError:
            continue  # listed in the manifest with its problem
        spectra.append({"recording": row.recording, **_named("band", mean_spectrum(samples))})
        levels.append({"recording": row.recording, **_levels(samples, settings)})
    shown = examples(rows)
    envelopes, spectrograms = _example_tables(shown)
    return {
        "spectra": pd.DataFrame(spectra),
        "levels": pd.DataFrame(levels),
        "envelopes": envelopes,
        "spectrograms": spectrograms,
        "steps": _chain(shown, settings),
    }


def examples(recordings: pd.DataFrame) -> pd.DataFrame:
    """The recordings shown for each class, by rule and not by eye.

    Unclipped recordings of 5 to 10 s before others; among them, those whose level is nearest to their
    class's median; ties by recording. The class is in column ``label``, empty where there is none.
    """
    known = recordings[recordings["label"].ne("") & recordings["duration_s"].ge(SHORTEST_S)]
    second = ~(known["duration_s"].between(5, 10) & known["clipping_share"].lt(0.001))
    median = known.groupby(["label", second])["level_dbfs"].transform("median")
    ordered = known.assign(second=second, distance=(known["level_dbfs"] - median).abs())
    ordered = ordered.sort_values(["label", "second", "distance", "recording"])
    return ordered.groupby("label").head(EXAMPLES_PER_CLASS).drop(columns=["second", "distance"])


def _named(prefix: str, values: np.ndarray) -> dict[str, np.float32]:
    return {f"{prefix}_{i}": np.float32(value) for i, value in enumerate(values)}


def _levels(samples: np.ndarray, settings: Any) -> dict[str, Any]:
    conditioned = preprocess.condition(samples, settings)
    _, cut = preprocess.clips(conditioned, settings)
    sounding = preprocess.sounding(cut, settings.silence_dbfs)
    return {
        "raw_dbfs": preprocess.level_dbfs(samples),
        "wiener_dbfs": preprocess.level_dbfs(preprocess.wiener(samples, settings.wiener_size)),
        "conditioned_dbfs": preprocess.level_dbfs(conditioned),
        "clips": len(cut),
        "clips_kept": int(sounding.sum()),
    }


def _example_tables(shown: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    envelopes: list[pd.DataFrame] = []
    spectrograms: list[pd.DataFrame] = []
    for row in shown.itertuples():
        samples = decode(row.path, sample_rate=RATE).samples
        low, high = envelope(samples)
        about = {"recording": row.recording, "label": row.label, "duration_s": len(samples) / RATE}
        seconds = np.linspace(0, len(samples) / RATE, POINTS, endpoint=False)
        envelopes.append(pd.DataFrame({**about, "time_s": seconds, "low": low, "high": high}))
        picture = mel_spectrogram(samples)
        columns = np.linspace(0, picture.shape[1] - 1, FRAMES).round().astype(int)
        frames = pd.DataFrame(picture[:, columns].T.astype(np.float16)).add_prefix("band_")
        frames.insert(0, "time_s", columns * 256 / RATE)
        spectrograms.append(frames.assign(**about))
    return _stacked(envelopes, ENVELOPE), _stacked(spectrograms, ["time_s", "recording", "label"])


ENVELOPE = ["recording", "label", "duration_s", "time_s", "low", "high"]


def _stacked(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    # A small corpus may hold no recording that fits the rule for examples.
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def steps(stages: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """What each of several versions of one sound looks like, ready to draw.

    Parameters
    ----------
    stages : mapping of str to numpy.ndarray, shape (n,)
        Waveforms at 16 kHz by name, in order: the sound after each step of a chain, or copies of it.

    Returns
    -------
    pandas.DataFrame
        ``step``, ``kind`` ('envelope', 'snippet', 'spectrum'), ``x`` (s, ms or Hz), ``low``,
        ``high`` (equal except for envelopes).
    """
    first = next(iter(stages.values()))
    loudest = int(np.argmax(np.abs(first)))
    start = min(max(loudest - SNIPPET // 2, 0), max(len(first) - SNIPPET, 0))
    parts = []
    for step, wave in stages.items():
        time = np.linspace(0, len(wave) / RATE, POINTS, endpoint=False)
        cut, bands = wave[start : start + SNIPPET], mean_spectrum(wave)
        ms = np.arange(len(cut)) / RATE * 1000
        drawn = {"envelope": (time, *envelope(wave)), "snippet": (ms, cut, cut),
                 "spectrum": (mel_centres(), bands, bands)}  # fmt: skip
        parts += [
            pd.DataFrame({"step": step, "kind": kind, "x": x, "low": low, "high": high})
            for kind, (x, low, high) in drawn.items()
        ]
    return pd.concat(parts, ignore_index=True)


def _chain(shown: pd.DataFrame, settings: Any) -> pd.DataFrame:
    """`steps` of the first example through the chain."""
    if shown.empty:
        return pd.DataFrame(columns=["recording", "step", "kind", "x", "low", "high"])
    first = shown.sort_values(["label", "recording"]).iloc[0]
    samples = decode(first["path"], sample_rate=RATE).samples
    filtered = preprocess.wiener(samples, settings.wiener_size)
    smoothed = preprocess.gaussian(filtered, settings.gaussian_sigma)
    table = steps({
        "recording": samples, "Wiener": filtered, "Gaussian": smoothed,
        "RMS": preprocess.rms_normalise(smoothed, settings.rms_target),
    })  # fmt: skip
    table.insert(0, "recording", first["recording"])
    return table


def long_bands(table: pd.DataFrame) -> pd.DataFrame:
    """Turn ``band_0 ... band_m`` columns into ``frequency_hz``, ``level_db``.

    Parameters
    ----------
    table : pandas.DataFrame
        Mel bands between 0 and 8,000 Hz (HTK's scale), dB, and columns that name the row.

    Returns
    -------
    pandas.DataFrame
        The other columns, repeated for each band.
    """
    bands = [column for column in table.columns if str(column).startswith("band_")]
    kept = [column for column in table.columns if column not in bands]
    hertz = dict(zip(bands, mel_centres(len(bands)), strict=True))
    long = table.melt(kept, bands, var_name="frequency_hz", value_name="level_db")
    return long.assign(
        frequency_hz=long["frequency_hz"].map(hertz).astype(float),
        level_db=long["level_db"].astype(float),
    )


def treble(table: pd.DataFrame, by: str, above_hz: float = 4000.0) -> pd.Series:
    """How far the loudest point above a frequency lies below the loudest of all.

    Parameters
    ----------
    table : pandas.DataFrame
        ``frequency_hz``, ``level_db`` and `by`.
    by : str
        Column whose groups are asked, each by itself.
    above_hz : float, default 4000
        Where telephone codecs often stop.

    Returns
    -------
    pandas.Series
        dB, 0 or less, indexed by group, in the order they came.
    """
    high = table[table["frequency_hz"] > above_hz]
    loudest = table.groupby(by, sort=False)["level_db"].max()
    return high.groupby(by)["level_db"].max().reindex(loudest.index) - loudest
