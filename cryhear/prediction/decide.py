"""Per-clip prediction with rejection: silence, clipping, no cry (gate), out of distribution.

Every clip is prepared by itself: denoised, brought to one level, embedded. Training prepares
recordings whole, where the noise and the level are those of all seven seconds; a stream has no
whole. So that a file and a stream get the same answer, both are cut first, and the card of a bundle
says what that changes. A clip is answered with probabilities, or not at all and with the reason. A
model that was not shown to beat its baseline names no class for any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cryhear.audio import preprocess
from cryhear.audio.preprocess import CLIPPED_AT
from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE
from cryhear.errors import ParameterError
from cryhear.prediction.bundle import LEVELS, Bundle, names_classes, number, settings
from cryhear.prediction.gate import Gate

DROPOUT = "dropout"
QUIET = "too quiet"
CLIPPED = "clipped"
NO_CRY = "no cry"
UNLIKE = "unlike the training data"
SHORT = "too short"
REASONS = (DROPOUT, QUIET, CLIPPED, NO_CRY, UNLIKE, SHORT)
"""Why no label is given, in the order in which they are looked for."""

ZERO = 1e-6
"""Magnitude below which a sample is digital silence: a thirtieth of one step of 16 bits, above what a
resampler leaves of zeros."""

NOT_SHOWN = "model not shown to beat its no-audio baseline"
"""Why no class is named for a sound in which nothing is amiss; a property of the model, not of the sound."""

MOST_ZERO = 0.5
"""Share of digital silence from which a clip counts as a dropout."""


@dataclass
class Clip:
    """The decision on one clip.

    Attributes
    ----------
    start_s : float
        Seconds from the start of the recording.
    label : str or None
        The most probable class; None where none is named.
    probabilities : dict of str to float, or None
        Calibrated, by class; of a model that names none only where they were asked for.
    reason : str
        Why no class is named, one of `REASONS` or `NOT_SHOWN`; '' where one is.
    measured : dict of str to float
        What was looked at, as far as it went: ``level_dbfs``, ``clipped_share``, ``cry`` (the
        gate's score), ``distance``.
    """

    start_s: float
    label: str | None = None
    probabilities: dict[str, float] | None = None
    reason: str = ""
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def abstain(self) -> bool:
        """Whether no class is named."""
        return bool(self.reason)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "abstain": self.abstain}


class Cutter:
    """Cut sound that comes in pieces into clips; the last one ends with the sound, as in training.

    Parameters
    ----------
    hop : int
        Samples between the starts of clips, 1 to 32,000.
    """

    def __init__(self, hop: int) -> None:
        self.hop = hop
        self.total = 0
        self._next = 0
        self._kept = np.zeros(0, np.float32)

    def push(self, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Take in samples, float32 (n,); give the clips they complete, with their first sample."""
        self._kept = np.concatenate([self._kept, samples])
        self.total += len(samples)
        while self._next + CLIP_SAMPLES <= self.total:
            yield self._next, self._from(self._next)
            self._next += self.hop
        # No clip to come starts before this one, nor the last, which ends with the sound.
        self._kept = self._kept[-CLIP_SAMPLES:]

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """The last clip, if samples are left over after the last whole one."""
        last = self.total - CLIP_SAMPLES
        if last >= 0 and self._next - self.hop < last:
            yield last, self._from(last)

    def _from(self, start: int) -> np.ndarray:
        first = start - (self.total - len(self._kept))
        return self._kept[first : first + CLIP_SAMPLES].copy()


class Judge:
    """Decides about clips, one at a time.

    Parameters
    ----------
    bundle : cryhear.prediction.bundle.Bundle
    gate : cryhear.prediction.gate.Gate or None
        None lets every sound through.
    backend : cryhear.embedding.Backend, optional
        By default the bundle's representation is loaded.
    probabilities : bool
        Give them also where the model names no class (see `names_classes`).

    Attributes
    ----------
    names_classes : bool
        Whether the bundle's card shows that the model beats its no-audio baseline on infants that it had
        not heard.
    """

    def __init__(
        self, bundle: Bundle, gate: Gate | None, backend: Any = None, probabilities: bool = False
    ) -> None:
        from cryhear.embedding import load

        self.bundle = bundle
        self.gate = gate
        self.backend = backend or load(bundle.card["representation"]["name"])
        bundle.check_backend(self.backend)
        self.settings = settings(bundle.card)
        self.names_classes = names_classes(bundle.card)
        self._shows = self.names_classes or probabilities
        names = ("silence_dbfs", "clipped_share")
        self.limits = {name: number(bundle.card, "limits", name) for name in names}
        self.farthest = {k: number(bundle.card, "limits", k, "distance") for k in LEVELS}

    @property
    def hop(self) -> int:
        """Samples between clips, as in training."""
        return max(1, int(CLIP_SAMPLES * (1.0 - self.settings.overlap)))

    def clip(self, samples: np.ndarray, start: int) -> tuple[Clip, np.ndarray | None]:
        """Decide about one clip.

        Parameters
        ----------
        samples : numpy.ndarray, shape (32000,), float32
            As recorded, 16 kHz. Not changed.
        start : int
            Its first sample in the recording.

        Returns
        -------
        Clip
        numpy.ndarray, shape (d,), or None
            The embedding of a clip in which nothing is amiss.
        """
        found = Clip(start / SAMPLE_RATE)
        prepared, found.reason = self._sound(samples, found.measured)
        if found.reason:
            return found, None
        vector = self.backend.embed(prepared[None])[0]
        found.reason = self._fit(samples, vector, found.measured)
        if found.reason:
            return found, None
        self.answer(found, vector, "clip")
        return found, vector

    def answer(self, found: Clip, vector: np.ndarray, level: str) -> None:
        """Write the model's answer to an embedding, (d,), into `found`, as far as it may be given."""
        p = self.bundle.probabilities(vector[None], level)[0]
        named = {c: round(float(v), 6) for c, v in zip(self.bundle.classes, p, strict=True)}
        found.probabilities = named if self._shows else None
        # The first of equals.
        found.label = max(named, key=lambda c: named[c]) if self.names_classes else None
        found.reason = "" if self.names_classes else NOT_SHOWN

    def _sound(self, samples: np.ndarray, measured: dict[str, float]) -> tuple[np.ndarray, str]:
        """The prepared clip, and what is wrong with its level, if anything is."""
        if is_dropout(samples):
            return samples, DROPOUT
        prepared, level = preprocess.prepare_clip(samples, self.settings)
        measured["level_dbfs"] = round(level, 2)
        if measured["level_dbfs"] < self.limits["silence_dbfs"]:
            return samples, QUIET
        measured["clipped_share"] = round(float((np.abs(samples) >= CLIPPED_AT).mean()), 5)
        if measured["clipped_share"] > self.limits["clipped_share"]:
            return samples, CLIPPED
        return prepared, ""

    def _fit(self, samples: np.ndarray, vector: np.ndarray, measured: dict[str, float]) -> str:
        """What the clip is not: a cry, or like the training data."""
        if self.gate is not None:
            score = self.gate.score(samples)
            measured["cry"] = round(score, 4)
            if score < self.gate.threshold:
                return NO_CRY
        away = float(self.bundle.distance(vector[None])[0])
        measured["distance"] = round(away, 3)
        return UNLIKE if away > self.farthest["clip"] else ""


@dataclass
class Recording:
    """A recording as its clips come; of their embeddings only the sum is kept.

    Attributes
    ----------
    clips : list of Clip
    """

    judge: Judge
    clips: list[Clip] = field(default_factory=list)
    _sum: Any = 0.0
    _usable: int = 0

    def add(self, clip: Clip, vector: np.ndarray | None) -> None:
        """Take in a clip that `Judge.clip` decided about."""
        self.clips.append(clip)
        if vector is not None:
            self._sum = self._sum + vector.astype(np.float64)
            self._usable += 1

    def decide(self) -> Clip:
        """The decision on the whole: on the mean embedding of the clips in which nothing is amiss.

        No answer where something is in most clips (with the reason most of these gave), where the mean is
        unlike the training recordings, or where there is no clip.
        """
        refused = Counter(c.reason for c in self.clips if c.reason in REASONS)
        if not self.clips:
            return Clip(0.0, reason=SHORT)
        if sum(refused.values()) * 2 > len(self.clips) or not self._usable:
            # Ties go to the reason that is looked for first.
            return Clip(0.0, reason=max(REASONS, key=lambda r: refused[r]))
        mean = (self._sum / self._usable).astype(np.float32)[None]
        away = float(self.judge.bundle.distance(mean)[0])
        whole = Clip(0.0, measured={"distance": round(away, 3)})
        if away > self.judge.farthest["recording"]:
            whole.reason = UNLIKE
            return whole
        self.judge.answer(whole, mean[0], "recording")
        return whole


def hop_of(seconds: float) -> int:
    """Samples between the starts of clips, 1 to 32,000, for seconds above 0 to 2.

    Raises
    ------
    ParameterError
        They are not; NaN is neither.
    """
    longest = CLIP_SAMPLES / SAMPLE_RATE
    if not 0 < seconds <= longest:
        raise ParameterError(
            f"hop is {seconds:g} s; expected above 0 to {longest:g} s, the length of a clip"
        )
    return max(1, round(seconds * SAMPLE_RATE))


def is_dropout(samples: np.ndarray) -> bool:
    """Whether at least `MOST_ZERO` of a clip is digital silence."""
    return float((np.abs(samples) < ZERO).mean()) >= MOST_ZERO
