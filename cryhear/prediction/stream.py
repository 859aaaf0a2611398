"""A decision every two seconds, as the sound comes: `cryhear listen`.

The stream may be a file, or raw or WAV sound on standard input. Memory stays the same however long
it lasts: two seconds of sound and one block. Dropouts (runs of digital silence), samples that are no
numbers and a stream that ends within a sample are reported and survived.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from cryhear.audio import decode, wav
from cryhear.embedding.base import SAMPLE_RATE
from cryhear.errors import AudioError
from cryhear.prediction.decide import ZERO, Clip, Cutter, Judge, hop_of
from cryhear.progress import counted

GAP_S = 0.25
"""Seconds of digital silence from which it is a dropout: no room is that quiet for that long."""

BLOCK_S = 0.1
"""Seconds of sound asked for at a time: how late a clip's last sample is seen at most."""

REMEMBERED = 10_000
"""Latencies kept for the summary: the last hours."""

LOUDEST = 1e6
"""Magnitude beyond which a sample is no sound but damage."""


@dataclass
class Event:
    """Something that happened to the stream: its kind, where (s) and how long (s)."""

    kind: str
    at_s: float
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} at {self.at_s:.2f} s" + (
            f", {self.seconds:.2f} s" if self.seconds else ""
        )


@dataclass
class Listener:
    """Takes sound, gives decisions, and keeps what the summary needs.

    Parameters
    ----------
    judge : cryhear.prediction.decide.Judge
    hop_s : float, optional
        Seconds between the starts of clips; by default as in training.
    on_event : callable
        Called with each `Event` as it is noticed.
    """

    judge: Judge
    hop_s: float | None = None
    on_event: Callable[[Event], None] = lambda event: None
    clips: int = 0
    answered: int = 0
    busy_s: float = 0.0
    events: int = 0
    warning: str = ""
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def __post_init__(self) -> None:
        self._cutter = Cutter(self.judge.hop if self.hop_s is None else hop_of(self.hop_s))
        self._silent = 0
        self._damaged = False

    @property
    def heard_s(self) -> float:
        """Seconds of sound so far."""
        return self._cutter.total / SAMPLE_RATE

    def push(self, samples: np.ndarray) -> Iterator[tuple[Clip, float]]:
        """Take in mono sound at 16 kHz; give each decision with its latency, seconds."""
        arrived = time.perf_counter()
        self._watch(samples)
        for start, clip in self._cutter.push(samples):
            yield self._decided(start, clip, arrived)

    def finish(self) -> Iterator[tuple[Clip, float]]:
        """The decision on what is left at the end."""
        arrived = time.perf_counter()
        self._dropout(self._cutter.total)
        for start, clip in self._cutter.finish():
            yield self._decided(start, clip, arrived)

    def report(self, event: Event) -> None:
        """Count an interruption and pass it on."""
        self.events += 1
        self.on_event(event)

    def sound(self, block: np.ndarray) -> np.ndarray:
        """The block, of any shape, with samples that are no sound made silent; reports their start."""
        fine = np.isfinite(block) & (np.abs(block) <= LOUDEST)
        before, self._damaged = self._damaged, not fine.all()
        if self._damaged and not before:
            # Once for a run of such blocks: hours of them are one interruption.
            self.report(Event("samples that are no numbers", self.heard_s))
        return np.where(fine, block, np.float32(0)) if self._damaged else block

    def summary(self) -> str:
        """How it went: clips, answers, events, latency and real-time factor."""
        lines = [
            f"{self.heard_s:.1f} s of sound, {counted(self.clips, 'clip')}, "
            f"{self.answered:,} given a class, {counted(self.events, 'interruption')}"
        ]
        if self.latencies:
            median, high = np.percentile(list(self.latencies), (50, 95)) * 1000
            factor = self.busy_s / self.heard_s
            lines.append(
                f"latency after a clip's last sample: median {median:.1f} ms, 95th percentile {high:.1f} ms; "
                f"real-time factor {factor:.4f}"
            )
        return "\n".join(lines)

    def _decided(self, start: int, samples: np.ndarray, arrived: float) -> tuple[Clip, float]:
        began = time.perf_counter()
        clip, _ = self.judge.clip(samples, start)
        now = time.perf_counter()
        self.busy_s += now - began
        self.clips += 1
        self.answered += clip.label is not None
        self.latencies.append(now - arrived)
        return clip, now - arrived

    def _watch(self, samples: np.ndarray) -> None:
        """Follow runs of digital silence from block to block."""
        if not len(samples):
            return
        silent = np.abs(samples) < ZERO
        edges = np.flatnonzero(np.diff(silent)) + 1
        starts = np.concatenate([[0], edges])
        lengths = np.diff(np.concatenate([starts, [len(samples)]]))
        first = self._cutter.total
        for start, length in zip(starts[:-1], lengths[:-1], strict=True):
            if silent[start]:
                self._silent += int(length)
                self._dropout(first + int(start + length))
        if silent[-1]:
            self._silent += int(lengths[-1])
        elif self._silent:
            self._dropout(first)

    def _dropout(self, end: int) -> None:
        """A run of silence has ended before sample `end`."""
        length, self._silent = self._silent, 0
        if length >= GAP_S * SAMPLE_RATE:
            self.report(Event("dropout", (end - length) / SAMPLE_RATE, length / SAMPLE_RATE))


def of_file(path: str, listener: Listener) -> Iterator[tuple[Clip, float]]:
    """Play a file through, as fast as it can be read; what is odd about it is in `Listener.warning`.

    Raises
    ------
    AudioError
        It cannot be decoded.
    """
    notes: list[str] = []
    for piece in decode.blocks(path, notes=notes):
        yield from listener.push(piece)
    yield from listener.finish()
    listener.warning = "; ".join(notes)


def of_input(
    source: BinaryIO, listener: Listener, form: wav.Format | None = None
) -> Iterator[tuple[Clip, float]]:
    """Listen to a stream of bytes.

    Parameters
    ----------
    source : binary file
        Standard input, a pipe; a read gives fewer bytes than asked for only at the end.
    listener : Listener
    form : cryhear.audio.wav.Format, optional
        How to read raw sound; by default a WAV header is expected.

    Raises
    ------
    AudioError
        There is no WAV header, or no sound.
    """
    sound: wav.Wav | wav.Raw = wav.Raw(source.read, form) if form else wav.Wav(source.read)
    form = sound.format
    mono = decode.Mono(form.rate)
    for data in sound.data(max(1, round(BLOCK_S * form.rate)) * form.width):
        whole = len(data) - len(data) % form.width
        if whole < len(data):
            listener.report(Event("ended within a sample", listener.heard_s))
        yield from listener.push(mono.push(listener.sound(form.samples(data[:whole]))))
    yield from listener.push(mono.push(np.zeros((0, form.channels), np.float32), last=True))
    yield from listener.finish()
    if not listener.heard_s:
        raise AudioError("standard input held no sound; check what writes the stream")


def standard_input() -> BinaryIO:
    """Standard input as bytes.

    Raises
    ------
    AudioError
        It is closed.
    """
    # Python has none where it was started without one.
    if sys.stdin is None or sys.stdin.closed:
        raise AudioError(
            "standard input is closed; pipe sound into the command, as in cryhear listen - < cry.wav"
        )
    return sys.stdin.buffer


def line_of(clip: Clip, latency: float, beats_baseline: bool) -> dict[str, Any]:
    """One decision as plain data, for a line of JSON, with whether the model beats its baseline."""
    return {**clip.as_dict(), "beats_baseline": beats_baseline, "latency_s": round(latency, 5)}
