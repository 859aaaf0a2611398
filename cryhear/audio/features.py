"""Small tables behind figures that need sound: spectra, envelopes, spectrograms, levels.

They hold enough to draw a recording and too little to hear it: envelopes of a few hundred points,
spectra without phase, and mel spectrograms in half precision.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import stft

from cryhear import progress
from cryhear.audio import preprocess
from cryhear.audio.decode import decode
from cryhear.errors import AudioError

RATE = 16_000
BANDS = 64
"""Mel bands of a stored spectrum or spectrogram, 0 to 8 kHz."""
POINTS = 400
"""Points of a stored envelope."""
FRAMES = 160
"""Frames of a stored spectrogram, whatever the recording's length."""
FLOOR_DB = -100.0
EXAMPLES_PER_CLASS = 2
SHORTEST_S = 2.0
"""Shortest recording shown, s: one clip."""
SNIPPET = 320
"""Samples of the waveform kept to show what a filter does: 20 ms, too short to hear."""


def mel_filters() -> np.ndarray:
    """Triangular mel filters, 0 to 8 kHz.

    Returns
    -------
    numpy.ndarray, shape (BANDS, 513), float64
        Each row sums to 1, so a band's value is a mean power. The scale is HTK's,
        2595 log10(1 + f / 700) (Young et al., The HTK Book).
    """
    top = 2595.0 * np.log10(1.0 + RATE / 2 / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(0.0, top, BANDS + 2) / 2595.0) - 1.0)
    frequencies = np.fft.rfftfreq(1024, 1.0 / RATE)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.clip(np.minimum(rising, falling), 0.0, None)
    return filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-12)


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
    _, _, spectrum = stft(samples, fs=RATE, nperseg=1024, noverlap=768, padded=True)
    power = mel_filters() @ (np.abs(spectrum) ** 2)
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


def all_tables(recordings: pd.DataFrame, settings: Any, seed: int) -> dict[str, pd.DataFrame]:
    """Every table of ``signals/`` for a corpus.

    Parameters
    ----------
    recordings : pandas.DataFrame
        Manifest rows with the columns ``path`` and ``label``.
    settings : cryhear.params.Preprocess
    seed : int
        Seeds the augmented examples.

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
        "steps": _steps(shown, settings),
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


def steps(samples: np.ndarray, settings: Any) -> pd.DataFrame:
    """What each step of the chain does to one recording, ready to draw.

    Returns
    -------
    pandas.DataFrame
        ``step``, ``kind`` ('envelope', 'snippet', 'spectrum'), ``x`` (s, ms or Hz), ``low``,
        ``high`` (equal except for envelopes).
    """
    wienered = preprocess.wiener(samples, settings.wiener_size)
    smoothed = preprocess.gaussian(wienered, settings.gaussian_sigma)
    stages = {
        "recording": samples,
        "Wiener": wienered,
        "Gaussian": smoothed,
        "RMS": preprocess.rms_normalise(smoothed, settings.rms_target),
    }
    loudest = int(np.argmax(np.abs(samples)))
    start = min(max(loudest - SNIPPET // 2, 0), max(len(samples) - SNIPPET, 0))
    centres = 700.0 * (10.0 ** (np.linspace(0, 2840.023, BANDS + 2)[1:-1] / 2595.0) - 1.0)
    parts = []
    for step, wave in stages.items():
        time = np.linspace(0, len(wave) / RATE, POINTS, endpoint=False)
        cut, bands = wave[start : start + SNIPPET], mean_spectrum(wave)
        ms = np.arange(len(cut)) / RATE * 1000
        drawn = {"envelope": (time, *envelope(wave)), "snippet": (ms, cut, cut),
                 "spectrum": (centres, bands, bands)}  # fmt: skip
        parts += [
            pd.DataFrame({"step": step, "kind": kind, "x": x, "low": low, "high": high})
            for kind, (x, low, high) in drawn.items()
        ]
    return pd.concat(parts, ignore_index=True)


def _steps(shown: pd.DataFrame, settings: Any) -> pd.DataFrame:
    if shown.empty:
        return pd.DataFrame(columns=["recording", "step", "kind", "x", "low", "high"])
    first = shown.sort_values(["label", "recording"]).iloc[0]
    table = steps(decode(first["path"], sample_rate=RATE).samples, settings)
    table.insert(0, "recording", first["recording"])
    return table
