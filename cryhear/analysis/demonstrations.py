"""What a setting does, shown where it can be shown without a recording: on lengths and synthetic cries.

Nothing here is a result about infants. Each function returns a small table that a chapter prints or
draws beside what the same setting does to the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cryhear.audio import preprocess
from cryhear.audio.augment import augment
from cryhear.corpus.synthetic import QUANTITIES, cry, recording_settings

RATE = 16_000

TRANSFORMS = {
    "noise": "p_noise", "time stretch": "p_stretch", "pitch shift": "p_pitch", "shift": "p_shift",
}  # fmt: skip
"""The four transforms of `cryhear.audio.augment` and the probability that turns each on."""


def cries(n: int, seed: int, seconds: float, levels: tuple[float, float] = (-35.0, -12.0)) -> list:
    """Synthetic cries of `n` infants at 16 kHz, full band.

    Parameters
    ----------
    n : int
    seed : int
    seconds : float
        Length of each, s.
    levels : (float, float)
        Lowest and highest RMS level, dBFS; each is drawn evenly between.

    Returns
    -------
    list of numpy.ndarray, shape (seconds * 16000,), float32
    """
    made = []
    for index in range(n):
        rng = np.random.default_rng([seed, index])
        z = {name: float(np.clip(rng.standard_normal(), -2, 2)) for name in QUANTITIES}
        level = float(rng.uniform(*levels))
        settings = recording_settings(z, "04", "ios", seconds=seconds, level_dbfs=level)
        made.append(cry(settings, rng))
    return made


def tails(durations_s: Iterable[float], settings: Any) -> pd.DataFrame:
    """What each way of ending a recording keeps, repeats and invents.

    Parameters
    ----------
    durations_s : iterable of float
        Durations of recordings of at least one clip, s.
    settings : cryhear.params.Preprocess

    Returns
    -------
    pandas.DataFrame
        ``tail``, ``clips`` (all), ``unheard`` (share of the time in no clip), ``padding`` (share
        of the clips that is zeros), ``overlap`` (share of the clips' time that a clip before holds).
    """
    length = round(settings.clip_seconds * settings.sample_rate)
    hop = max(1, int(length * (1 - settings.overlap)))
    lengths = [round(seconds * settings.sample_rate) for seconds in durations_s]
    rows = []
    for tail in ("slide", "drop", "pad"):
        count = heard = padded = 0
        for n in lengths:
            starts = preprocess.clip_starts(n, length, hop, tail)
            if not len(starts):
                continue
            end = int(starts[-1]) + length
            count += len(starts)
            heard, padded = heard + min(end, n), padded + max(end - n, 0)
        cut = max(count * length, 1)
        rows.append({
            "tail": tail, "clips": count, "unheard": 1 - heard / max(sum(lengths), 1),
            "padding": padded / cut, "overlap": 1 - (heard + padded) / cut,
        })  # fmt: skip
    return pd.DataFrame(rows)


def silence_sweep(samples: np.ndarray, settings: Any, levels: Sequence[float]) -> pd.DataFrame:
    """Clips kept of one sound at several levels, the threshold before or after normalising.

    Parameters
    ----------
    samples : numpy.ndarray, shape (n,), float32
    settings : cryhear.params.Preprocess
        Its `rms_target` and `silence_dbfs` are used.
    levels : sequence of float
        RMS levels the sound is brought to, dBFS.

    Returns
    -------
    pandas.DataFrame
        ``level_dbfs``, ``clips``, ``kept_before`` and ``kept_after`` normalising (clips at or above
        the threshold; the rule that keeps at least one clip is left out).
    """
    rows = []
    for level in levels:
        scaled = preprocess.rms_normalise(samples, 10 ** (level / 20))
        normalised = preprocess.rms_normalise(scaled, settings.rms_target)
        kept = [
            sum(preprocess.level_dbfs(clip) >= settings.silence_dbfs for clip in cut)
            for cut in (preprocess.clips(wave, settings)[1] for wave in (scaled, normalised))
        ]
        count = len(preprocess.clips(scaled, settings)[0])
        rows.append((float(level), count, *kept))
    return pd.DataFrame(rows, columns=["level_dbfs", "clips", "kept_before", "kept_after"])


def augmentation_distances(sounds: Sequence[np.ndarray], settings: Any, seed: int) -> pd.DataFrame:
    """How far each transform alone moves a sound's log-mel description, against another sound.

    Every transform is forced on, in the range the settings give it. Vectors are means over clips,
    standardised over the plain sounds; the distance is one minus the cosine.

    Parameters
    ----------
    sounds : sequence of numpy.ndarray, shape (n,), float32
        At least three, of 2 s or more at 16 kHz.
    settings : cryhear.params.Augment
    seed : int

    Returns
    -------
    pandas.DataFrame
        ``kind`` (the transforms, 'all four', 'another cry'), ``distance`` (0 to 2).
    """
    from cryhear.embedding import load

    off = dict.fromkeys(TRANSFORMS.values(), 0.0)
    chains = {kind: off | {p: 1.0} for kind, p in TRANSFORMS.items()}
    chains["all four"] = dict.fromkeys(TRANSFORMS.values(), 1.0)
    backend, vectors = load("logmel"), {}
    for kind, chances in {"plain": off, **chains}.items():
        chosen = settings.model_copy(update={**chances, "p_augment": float(kind != "plain")})
        vectors[kind] = np.stack([
            _described(augment(sound, RATE, f"cry-{i}", 0, chosen, seed), backend)
            for i, sound in enumerate(sounds)
        ])  # fmt: skip
    plain = vectors.pop("plain")
    mean, spread = plain.mean(axis=0), np.maximum(plain.std(axis=0), 1e-6)
    centred = (plain - mean) / spread
    rows = [
        (kind, distance)
        for kind, moved in vectors.items()
        for distance in cosine_distance(centred, (moved - mean) / spread)
    ]
    rows += [("another cry", d) for d in cosine_distance(centred, np.roll(centred, 1, axis=0))]
    return pd.DataFrame(rows, columns=["kind", "distance"])


def copy_distances(study_set: Any, seed: int) -> pd.DataFrame:
    """How far the study's augmented copies lie from their recordings, against other recordings.

    Parameters
    ----------
    study_set : cryhear.embedding.tables.StudySet
    seed : int
        Draws the other recordings.

    Returns
    -------
    pandas.DataFrame
        ``kind`` ('untouched copy', 'changed copy', 'same infant', 'another infant'), ``distance``
        (one minus the cosine of centred embeddings, 0 to 2).
    """
    X, infants = study_set.X.astype(float), study_set.infants
    mean, spread = X.mean(axis=0), np.maximum(X.std(axis=0), 1e-6)
    centred = (X - mean) / spread
    rows: list[tuple[str, float]] = []
    for copy in study_set.copies():
        for distance in cosine_distance(centred, (copy - mean) / spread):
            kind = "untouched copy" if distance < UNTOUCHED else "changed copy"
            rows.append((kind, float(distance)))
    rng = np.random.default_rng(seed)
    for kind, alike in (("same infant", True), ("another infant", False)):
        for i in range(len(X)):
            others = np.flatnonzero((infants == infants[i]) == alike)
            others = others[others != i]
            if len(others):
                j = rng.choice(others)
                rows.append((kind, float(cosine_distance(centred[[i]], centred[[j]])[0])))
    kinds = ["untouched copy", "changed copy", "same infant", "another infant"]
    table = pd.DataFrame(rows, columns=["kind", "distance"])
    return table.assign(kind=pd.Categorical(table["kind"], kinds)).sort_values(
        "kind", kind="stable", ignore_index=True
    )


UNTOUCHED = 1e-5
"""Distance below which a copy was left as it is: it differs by the rounding of its level only."""


def cosine_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """One minus the cosine of corresponding rows of `a` and `b`, float64 [n], 0 to 2."""
    size = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return 1 - (a * b).sum(axis=1) / np.maximum(size, 1e-12)


def _described(samples: np.ndarray, backend: Any) -> np.ndarray:
    from cryhear.params import Preprocess

    _, cut = preprocess.run(samples, Preprocess())
    return backend.embed(cut).mean(axis=0)
