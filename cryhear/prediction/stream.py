"""A decision every two seconds, as the sound comes: `cryhear listen`.

The stream may be a file, or raw or WAV sound on standard input. Memory stays the same however long
it lasts: two seconds of sound, and one block in a queue of a few. Dropouts (runs of digital silence),
stalls of the writer, samples that are no numbers and a stream that ends within a sample are
reported and survived.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
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

STALL_S = 2.0
"""Seconds without input after which the writer is said to have stalled."""

BLOCK_S = 0.1
"""Seconds of sound asked for at a time: how late a clip's last sample is seen at most."""

QUEUED = 64
"""Blocks that wait at most; a reader that is ahead lets the writer wait."""

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
    """Play a file through, as fast as it can be read.

    Raises
    ------
    AudioError
        It cannot be decoded.
    """
    for piece in decode.blocks(path):
        yield from listener.push(piece)
    yield from listener.finish()


def of_input(
    source: BinaryIO, listener: Listener, form: wav.Format | None = None, stall_s: float = STALL_S
) -> Iterator[tuple[Clip, float]]:
    """Listen to a stream of bytes.

    Parameters
    ----------
    source : binary file
        Standard input, a pipe.
    listener : Listener
    form : cryhear.audio.wav.Format, optional
        How to read raw sound; by default a WAV header is expected.
    stall_s : float
        Seconds without input after which a stall is reported.

    Raises
    ------
    AudioError
        There is no WAV header, or no sound.
    """
    with closing(_Incoming(source, listener, stall_s)) as incoming:
        yield from _heard(incoming, listener, form)
    if not listener.heard_s:
        raise AudioError("standard input held no sound; check what writes the stream")


def _heard(
    incoming: _Incoming, listener: Listener, form: wav.Format | None
) -> Iterator[tuple[Clip, float]]:
    """The decisions on what comes in, to its end."""
    sound: wav.Wav | wav.Raw = wav.Raw(incoming.read, form) if form else wav.Wav(incoming.read)
    form = sound.format
    mono = decode.Mono(form.rate)
    for data in sound.data(max(1, round(BLOCK_S * form.rate)) * form.width):
        whole = len(data) - len(data) % form.width
        if whole < len(data):
            listener.report(Event("ended within a sample", listener.heard_s))
        yield from listener.push(mono.push(listener.sound(form.samples(data[:whole]))))
    yield from listener.push(mono.push(np.zeros((0, form.channels), np.float32), last=True))
    yield from listener.finish()


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


class _Incoming:
    """Bytes from a thread of their own, so that a writer that stalls is noticed while it does."""

    def __init__(self, source: BinaryIO, listener: Listener, stall_s: float) -> None:
        self._listener, self._stall_s = listener, stall_s
        self._blocks: queue.Queue[bytes] = queue.Queue(QUEUED)
        self._held = bytearray()
        self._ended = self._closed = False
        # A descriptor of its own: the number of the caller's may be another file's by the next read.
        self._descriptor = os.dup(source.fileno())
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        with open(self._descriptor, "rb", buffering=0) as source, suppress(OSError):
            # What there is, not what was asked for: a slow writer's bytes must not wait for more.
            # A stream that breaks has ended.
            while not self._closed and (block := source.read(1 << 16)):
                self._offer(block)
        self._offer(b"")

    def _offer(self, block: bytes) -> None:
        """Wait for room in the queue, unless nobody takes from it any more."""
        while not self._closed:
            with suppress(queue.Full):
                return self._blocks.put(block, timeout=0.1)

    def close(self) -> None:
        """Take no more: a writer that goes on is told so by its pipe.

        It takes no lock: an interrupted read may have left the queue's own held.
        """
        self._closed = True

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        while len(self._held) < size and not self._ended:
            block = self._next()
            self._ended = not block
            self._held += block
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def _next(self) -> bytes:
        try:
            return self._blocks.get(timeout=self._stall_s)
        except queue.Empty:
            since = time.perf_counter() - self._stall_s
            self._listener.report(Event("no input, waiting", self._listener.heard_s))
        block = self._blocks.get()
        waited = time.perf_counter() - since
        # The end of an interruption is told, not counted.
        kind = "input goes on after a stall" if block else "input ended after a stall"
        self._listener.on_event(Event(kind, self._listener.heard_s, waited))
        return block


def line_of(clip: Clip, latency: float, beats_baseline: bool) -> dict[str, Any]:
    """One decision as plain data, for a line of JSON, with whether the model beats its baseline."""
    return {**clip.as_dict(), "beats_baseline": beats_baseline, "latency_s": round(latency, 5)}
