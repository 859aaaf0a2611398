"""Sound on a page: short synthetic cries in a player. Real recordings are never put here."""

from __future__ import annotations

import base64
import html
import io

import numpy as np

RATE = 8_000
"""Hz of the sound on a page: half the size, and what most real recordings of the corpus have."""
LONGEST_S = 2.0
"""Longest sound put on a page, seconds."""
PEAK = 0.8
"""Loudest sample after scaling: players of one page are heard at one level."""


def flac_bytes(samples: np.ndarray, sample_rate: int) -> bytes:
    """A 16-bit mono FLAC file at `RATE`, its peak at `PEAK`, no longer than `LONGEST_S`.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), floating point
        Not changed.
    sample_rate : int
        Hz.
    """
    import soundfile
    import soxr

    cut = np.asarray(samples, dtype=np.float32)[: round(LONGEST_S * sample_rate)]
    sound = cut if sample_rate == RATE else soxr.resample(cut, sample_rate, RATE)
    peak = float(np.abs(sound).max(initial=0.0))
    buffer = io.BytesIO()
    scaled = sound * (PEAK / peak) if peak > 0 else sound
    soundfile.write(buffer, scaled, RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def players(sounds: dict[str, np.ndarray], sample_rate: int) -> str:
    """HTML of a row of players, one a sound, each with its name.

    Parameters
    ----------
    sounds : dict of str to numpy.ndarray, shape (n,)
        Synthetic sounds by name.
    sample_rate : int
        Hz.

    Returns
    -------
    str
        Self-contained: the sound is in the page, nothing is fetched.
    """
    parts = []
    for name, samples in sounds.items():
        data = base64.b64encode(flac_bytes(samples, sample_rate)).decode()
        title = html.escape(name, quote=True)
        parts.append(
            '<figure style="display:inline-block;margin:0.5em 1em 0.5em 0">'
            f"<figcaption>{title}</figcaption>"
            f'<audio controls preload="none" aria-label="{title}" style="max-width:18em" '
            f'src="data:audio/flac;base64,{data}"></audio></figure>'
        )
    return f'<div class="players">{"".join(parts)}</div>'
