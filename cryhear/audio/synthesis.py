"""The voice of `cryhear.corpus.synthetic`: one recording of one bout of crying, by source and filter.

A glottal pulse train (Rosenberg 1971, J. Acoust. Soc. Am. 49:583) with an F0 contour drives a
uniform tube closed at the glottis, ``F_n = (2n - 1) c / 4L`` (the near-uniform tract of newborns),
and the room it stands in. Every track is drawn from a generator passed in, so a cry is a function
of its settings and a seed. Values and where they come from:

==================  =====================================  ====================================
quantity            value                                  source
==================  =====================================  ====================================
F0 of an infant     496 +/- 95 Hz, here within 300-700     Michelsson et al., 172 newborns,
                                                           doi 10.1159/000063190
F0 within a cry     up to 583/496, down to 398/496 of it   same
expiration          1.4 +/- 0.6 s, log-normal              same
melody              mostly rising-falling; more arcs with  same; Wermke et al. 2021,
                    age                                    doi 10.1038/s41598-021-83564-8
inspiration         27 % of the breath cycle               IJPORL 2011, 75(10):1265
its phonation       shorter and higher than its            Grau et al. 1995,
                    neighbours                             doi 10.1044/jshr.3802.373
hyperphonation      F0 1,000-2,000 Hz                      after Corwin and Golub
subharmonics,       in over half of the cries of the       J. Voice 2015, 29(3):281
noise               first two months
tract length        7-8 cm at birth by arithmetic,         Vorperian et al. 2005, J. Acoust.
                    growing fastest to 18 months           Soc. Am. 117:338 (growth)
vibrato, jitter,    chosen against spectrograms of real    none: no value could be confirmed
shimmer, bandwidth  cries
==================  =====================================  ====================================
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np
import soxr
from pydantic import BaseModel, ConfigDict, Field
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

_INTERNAL_RATE = 32_000  # Hz, at which source and tract run
_CONTROL_RATE = 1_000  # Hz; about two values a glottal cycle
_SOUND_SPEED = 35_000.0  # cm/s in warm moist air
_BANDWIDTHS = (220.0, 380.0, 450.0, 480.0, 520.0, 600.0)  # Hz, of the formants

Share = Annotated[float, Field(ge=0, le=1)]


class CrySettings(BaseModel):
    """One recording of one bout of crying."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seconds: Annotated[float, Field(ge=0.5, le=600)] = Field(7.0, description="s, 0.5 to 600")
    sample_rate: Annotated[int, Field(ge=8000, le=48000)] = Field(16_000, description="Hz")
    f0_hz: Annotated[float, Field(ge=200, le=1000)] = Field(496.0, description="Hz, mean F0")
    tract_cm: Annotated[float, Field(ge=5, le=16)] = Field(7.5, description="cm, glottis to lips")
    expiration_s: Annotated[float, Field(ge=0.2, le=6)] = Field(1.4, description="s, mean")
    first_expiration_s: Annotated[float, Field(ge=0.2, le=8)] = Field(1.8, description="s, mean")
    inspiration_share: Annotated[float, Field(ge=0.05, le=0.7)] = Field(
        0.27, description="share of the breath cycle"
    )
    arcs: Annotated[float, Field(ge=1, le=4)] = Field(1.3, description="melody arcs a cry, mean")
    vibrato_hz: Annotated[float, Field(ge=0, le=15)] = Field(6.0, description="Hz")
    vibrato_depth: Annotated[float, Field(ge=0, le=0.1)] = Field(0.008, description="share of F0")
    jitter: Annotated[float, Field(ge=0, le=0.2)] = Field(0.006, description="SD, share of F0")
    shimmer: Annotated[float, Field(ge=0, le=0.5)] = Field(0.05, description="SD of the amplitude")
    roughness: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2, description="share of a cry that is dysphonated, 0 to 1"
    )
    closing: Annotated[float, Field(ge=0.05, le=0.4)] = Field(
        0.11, description="share of a cycle in which the glottis closes; shorter is more pressed"
    )
    p_subharmonic: Share = Field(0.5, description="probability an expiration has an episode")
    p_hyperphonation: Share = Field(0.08, description="probability an expiration has an episode")
    aspiration_db: Annotated[float, Field(ge=-60, le=10)] = Field(
        -24.0, description="dB, breath noise re voice before the tract"
    )
    reverberation_s: Annotated[float, Field(ge=0, le=3)] = Field(0.35, description="s, T60")
    direct_to_reverberant_db: Annotated[float, Field(ge=-20, le=40)] = Field(8.0, description="dB")
    snr_db: Annotated[float, Field(ge=0, le=90)] = Field(38.0, description="dB, over room noise")
    level_dbfs: Annotated[float, Field(ge=-60, le=-6)] = Field(-20.0, description="dBFS, RMS")
    bandwidth_hz: Annotated[float, Field(ge=1000, le=24000)] = Field(
        8000.0, description="Hz, low-pass of the recorder; 3700 for a telephone codec"
    )


def cry(settings: CrySettings, rng: np.random.Generator) -> np.ndarray:
    """Synthesise one recording.

    Parameters
    ----------
    settings : CrySettings
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape (n,), float32
        `seconds` at `sample_rate`, in [-1, 1] (clipped there as a recorder would).
    """
    tracks = _bout(settings, rng)
    source = _source(tracks, settings, rng)
    voice = _tract(source, tracks, settings.tract_cm)
    return _recorder(voice, settings, rng)


def _bout(s: CrySettings, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Control tracks at 1 kHz: F0 (Hz), voice and breath amplitude, mouth opening, roughness."""
    n = int(np.ceil(s.seconds * _CONTROL_RATE)) + _CONTROL_RATE // 10
    tracks = {name: np.zeros(n) for name in ("voice", "breath", "open", "sub", "rough")}
    tracks["f0"] = np.full(n, s.f0_hz)
    position = int(rng.uniform(0.0, min(0.5, s.seconds / 10)) * _CONTROL_RATE)
    mean, first = s.expiration_s, True
    while position < n:
        spread = np.sqrt(np.log1p((0.6 / 1.4) ** 2))
        middle = s.first_expiration_s if first else mean
        seconds = float(np.clip(middle * np.exp(rng.normal(-(spread**2) / 2, spread)), 0.25, 8.0))
        position = _lay(tracks, position, _expiration(seconds, s, rng))
        # The share fixes the mean pause; its spread is wide in life.
        pause = mean * s.inspiration_share / (1 - s.inspiration_share) * rng.uniform(0.7, 1.4)
        position = _lay(tracks, position + 30, _inspiration(pause, s, rng)) + 30
        first = False
    return tracks


def _lay(tracks: dict[str, np.ndarray], start: int, piece: dict[str, np.ndarray]) -> int:
    length = len(piece["f0"])
    for name, values in piece.items():
        room = max(0, len(tracks[name]) - start)
        tracks[name][start : start + length] = values[:room]
    return start + length


def _expiration(seconds: float, s: CrySettings, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = max(200, round(seconds * _CONTROL_RATE))
    u = np.linspace(0.0, 1.0, n)
    f0 = s.f0_hz * rng.normal(1.0, 0.04) * _melody(u, s, rng)
    f0 *= 1 + s.vibrato_depth * np.sin(
        2 * np.pi * s.vibrato_hz * rng.uniform(0.85, 1.15) * u * seconds + rng.uniform(0, 6)
    )
    since, left = u * seconds, (1 - u) * seconds
    f0 *= 1 - 0.12 * np.exp(-since / 0.05) - 0.2 * np.exp(-left / 0.06)  # glides at both ends
    rough = _episode(n, rng, s.roughness * rng.uniform(0.5, 1.5), place=0.65)
    sub = _episode(n, rng, rng.uniform(0.15, 0.4), 0.5) * (rng.random() < s.p_subharmonic)
    if rng.random() < s.p_hyperphonation:
        high = _episode(n, rng, rng.uniform(0.1, 0.25), 0.5) > 0.5
        f0 = np.where(high, np.clip(f0 * rng.uniform(2.2, 3.0), 1000, 2000), f0)
    rise, fall = rng.uniform(0.03, 0.12), rng.uniform(0.06, 0.2)
    envelope = np.minimum(1, since / rise) * np.minimum(1, left / fall)
    envelope = np.sin(np.pi / 2 * envelope) ** 1.5 * (1 - 0.35 * u) * rng.uniform(0.6, 1.0)
    return {
        "f0": f0,
        "voice": envelope,
        "breath": envelope * (1 + 3 * rough),
        "open": np.sin(np.pi * u**0.6) ** 0.7 * rng.uniform(0.6, 1.0) * _slow(u, rng, 0.12),
        "sub": sub,
        "rough": rough,
    }


def _melody(u: np.ndarray, s: CrySettings, rng: np.random.Generator) -> np.ndarray:
    """F0 over its mean along one expiration: one or more rising-falling arcs on a falling line."""
    arcs = 1 + min(3, rng.poisson(max(s.arcs - 1.0, 0.0)))
    edges = np.concatenate([[0.0], np.sort(rng.uniform(0.2, 0.8, arcs - 1)), [1.0]])
    low, high = 398 / 496, 583 / 496
    shape = np.zeros_like(u)
    for begin, end in pairwise(edges):
        inside = (u >= begin) & (u <= end)
        v = (u[inside] - begin) / max(end - begin, 1e-6)
        peak = rng.uniform(0.25, 0.6)  # the rise is often the shorter part
        skewed = np.where(v < peak, v / (2 * peak), 0.5 + (v - peak) / (2 * (1 - peak)))
        shape[inside] = np.sin(np.pi * skewed) ** rng.uniform(0.4, 0.9) * rng.uniform(0.75, 1.0)
    depth = (high - low) * rng.uniform(0.6, 1.4)
    return (high - depth + depth * shape) * _slow(u, rng, 0.02)


def _slow(u: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """A factor about 1 that wanders slowly along an expiration; `spread` is its SD."""
    return np.interp(u, np.linspace(0, 1, 7), rng.normal(1.0, spread, 7))


def _inspiration(seconds: float, s: CrySettings, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n = max(60, round(seconds * _CONTROL_RATE))
    u = np.linspace(0.0, 1.0, n)
    envelope = np.sin(np.pi * np.clip(u / rng.uniform(0.35, 0.8), 0, 1)) ** 2
    voiced = rng.random() < 0.5
    return {
        "f0": s.f0_hz * rng.uniform(1.2, 1.7) * (1 + 0.25 * np.sin(np.pi * u)),
        "voice": envelope * (rng.uniform(0.05, 0.2) if voiced else 0.0),
        "breath": envelope * rng.uniform(0.3, 2.5),
        "open": np.full(n, 0.4),
        "sub": np.zeros(n),
        "rough": envelope * 0.5,
    }


def _episode(n: int, rng: np.random.Generator, share: float, place: float) -> np.ndarray:
    """A smooth episode, 0 to 1, that takes a share of n values around a place (0 to 1)."""
    width = max(2, int(n * min(share, 0.95)))
    start = int(np.clip(rng.normal(place, 0.25), 0, 1) * (n - width))
    track = np.zeros(n)
    track[start : start + width] = np.sin(np.linspace(0, np.pi, width)) ** 0.7
    return track


def _source(tracks: dict[str, np.ndarray], s: CrySettings, rng: np.random.Generator) -> np.ndarray:
    """Derivative of the glottal flow and breath noise, at the internal rate."""
    n = len(tracks["f0"])
    rough = tracks["rough"]
    jitter = (s.jitter + 0.03 * rough) * rng.standard_normal(n)
    # Dysphonation: F0 also wanders chaotically over a few cycles.
    wander = lfilter([0.1], [1, -0.9], rng.standard_normal(n)) * 0.12 * rough
    f0 = _upsample(np.clip(tracks["f0"] * (1 + jitter + wander), 80, 2500))
    cycles = np.cumsum(f0) / _INTERNAL_RATE
    count = np.floor(cycles)
    phase = cycles - count
    pulses = _rosenberg(phase, f0 / _INTERNAL_RATE, opening=0.42, closing=s.closing)
    shimmer = 1 + (s.shimmer + 0.25 * rough) * rng.standard_normal(n)
    pulses *= _upsample(tracks["voice"] * shimmer)
    # Every other cycle weaker: a line halfway between the harmonics.
    pulses *= 1 + 0.5 * _upsample(tracks["sub"]) * (1 - 2 * (count % 2))
    noise = rng.standard_normal(len(pulses)).astype(np.float32) * (0.6 + 0.4 * (phase < 0.6))
    return pulses + noise * _upsample(tracks["breath"]) * 10 ** (s.aspiration_db / 20)


def _rosenberg(phase: np.ndarray, step: np.ndarray, opening: float, closing: float) -> np.ndarray:
    """Derivative of Rosenberg's trigonometric pulse over one cycle (phase 0 to 1), unit peak.

    The jump at closure is rounded over two samples (a polynomial band-limited step, Valimaki and
    Huovilainen 2007, IEEE Signal Process. Mag. 24(2):116), or its harmonics would fold back.
    """
    closure = opening + closing
    rising = np.sin(np.pi / opening * phase) * (closing / opening)
    falling = -np.sin(np.pi / (2 * closing) * (phase - opening))
    pulse = np.where(phase < opening, rising, np.where(phase < closure, falling, 0.0))
    away = (phase - closure) / step  # samples from the closure
    near = np.flatnonzero(np.abs(away) < 1)
    before, after = near[away[near] < 0], near[away[near] >= 0]
    pulse[before] += (away[before] + 1) ** 2 / 2
    pulse[after] -= (1 - away[after]) ** 2 / 2
    return pulse


def _upsample(track: np.ndarray) -> np.ndarray:
    step = _INTERNAL_RATE // _CONTROL_RATE
    return np.interp(np.arange(len(track) * step) / step, np.arange(len(track)), track)


def formants(tract_cm: float) -> np.ndarray:
    """First six resonances of a uniform tube closed at one end, ``(2n - 1) c / 4L``, Hz."""
    return (2 * np.arange(1, 7) - 1) * _SOUND_SPEED / (4 * tract_cm)


def _tract(source: np.ndarray, tracks: dict[str, np.ndarray], tract_cm: float) -> np.ndarray:
    """Filter by the tract, crossfading between a mouth nearly closed and one wide open."""
    centre = formants(tract_cm)
    closed = centre * np.array([0.7, 1.0, 1, 1, 1, 1])
    wide = centre * np.array([1.2, 0.8, 0.93, 1, 1, 1])
    opening = np.clip(_upsample(tracks["open"]), 0.0, 1.0)
    return _resonate(source, closed) * (1 - opening) * 0.5 + _resonate(source, wide) * opening


def _resonate(source: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    sections = []
    for frequency, bandwidth in zip(frequencies, _BANDWIDTHS, strict=True):
        radius = np.exp(-np.pi * bandwidth / _INTERNAL_RATE)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * frequency / _INTERNAL_RATE), radius**2
        sections.append([1 + a1 + a2, 0, 0, 1, a1, a2])  # unit gain at 0 Hz, as a tube has
    return sosfilt(np.array(sections), source)


def _recorder(voice: np.ndarray, s: CrySettings, rng: np.random.Generator) -> np.ndarray:
    """Room, room noise, the recorder's band and level."""
    x = soxr.resample(voice, _INTERNAL_RATE, s.sample_rate)[: round(s.seconds * s.sample_rate)]
    if s.reverberation_s > 0:
        time = np.arange(int(s.reverberation_s * s.sample_rate)) / s.sample_rate
        tail = rng.standard_normal(time.size) * 10 ** (-3 * time / s.reverberation_s)
        tail *= 10 ** (-s.direct_to_reverberant_db / 20) / np.sqrt(np.sum(tail**2))
        tail[0] += 1.0
        x = fftconvolve(x, tail)[: x.size]
    rms = np.sqrt(np.mean(x**2)) + 1e-12
    hum = lfilter([1.0], [1.0, -0.95], rng.standard_normal(x.size))
    x = x / rms + hum / np.std(hum) * 10 ** (-s.snr_db / 20)
    x = sosfilt(butter(2, 120.0, "highpass", fs=s.sample_rate, output="sos"), x)
    if s.bandwidth_hz < 0.48 * s.sample_rate:
        x = sosfilt(butter(6, s.bandwidth_hz, fs=s.sample_rate, output="sos"), x)
    x *= 10 ** (s.level_dbfs / 20) / (np.sqrt(np.mean(x**2)) + 1e-12)
    return np.clip(x, -1.0, 1.0).astype(np.float32)
