"""Sound as bytes: raw samples, and the WAV header of a stream whose length nobody knows yet."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from cryhear.audio.decode import MAX_CHANNELS, SAMPLE_RATES
from cryhear.errors import AudioError

UNKNOWN_FROM = 0x7FFF0000
"""Lengths from here on, and 0, are what recorders write into a pipe when they cannot know better."""

LARGEST_CHUNK = 1 << 24
"""Bytes of a chunk before the sound beyond which a header is not believed."""

ENCODINGS = {
    "u8": ("u1", 128.0), "s16le": ("<i2", 32768.0), "s24le": ("", 8388608.0),
    "s32le": ("<i4", 2147483648.0), "f32le": ("<f4", 1.0), "f64le": ("<f8", 1.0),
}  # fmt: skip
"""NumPy type and full scale of each encoding; 24 bits have no type of their own."""

_WAV = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le",
        (3, 32): "f32le", (3, 64): "f64le"}  # fmt: skip
_EXTENSIBLE = 0xFFFE

Read = Callable[[int], bytes]
"""Gives exactly that many bytes, or fewer where the stream ends."""


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


@dataclass(frozen=True)
class Format:
    """How bytes are samples.

    Attributes
    ----------
    encoding : str
        One of `ENCODINGS`.
    rate : int
        Hz.
    channels : int
    length : int or None
        Bytes of sound, where the header knows.

    Raises
    ------
    AudioError
        No recording is like that.
    """

    encoding: str
    rate: int
    channels: int
    length: int | None = None

    def __post_init__(self) -> None:
        low, high = SAMPLE_RATES
        if not low <= self.rate <= high or not 1 <= self.channels <= MAX_CHANNELS:
            raise AudioError(
                f"standard input: {self.rate} Hz, {self.channels} channels; expected {low} to {high} Hz "
                f"and 1 to {MAX_CHANNELS} channels. Check --rate and --channels, or what writes the stream"
            )

    @property
    def width(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * int("".join(filter(str.isdigit, self.encoding))) // 8

    def samples(self, data: bytes) -> np.ndarray:
        """Samples of whole frames, shape (n, channels), float32, full scale 1."""
        kind, scale = ENCODINGS[self.encoding]
        if kind:
            x: np.ndarray = np.frombuffer(data, kind).astype(np.float64)
        else:
            triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
            padded = np.zeros((len(triples), 4), np.uint8)
            padded[:, 1:] = triples
            x = (padded.view("<i4")[:, 0] >> 8).astype(np.float32)
        if self.encoding == "u8":
            x = x - 128
        with np.errstate(over="ignore", invalid="ignore"):
            return (x / scale).astype(np.float32).reshape(-1, self.channels)


def wav_header(read: Read) -> Format:
    """Read a WAV header up to the first byte of sound.

    Parameters
    ----------
    read : callable
        ``read(n)`` gives the next n bytes of the stream, fewer only at its end.

    Returns
    -------
    Format
        With the length, unless it is one that stands for 'unknown'.

    Raises
    ------
    AudioError
        The stream does not start as a WAV file, or its encoding is not known here.
    """
    start = read(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise AudioError(
            "standard input does not start with a WAV header; for raw sound say how to read it, as in "
            "--format s16le --rate 16000 --channels 1"
        )
    found: tuple[str, int, int] | None = None
    while len(head := read(8)) == 8:
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data" and found:
            known = None if size == 0 or size >= UNKNOWN_FROM else size
            return Format(*found, known)
        if size > LARGEST_CHUNK:
            break
        body = read(size + size % 2)
        if name == b"fmt ":
            found = _fmt(body)
    raise AudioError(
        "standard input has a WAV header without sound (no 'fmt ' and 'data' in it); expected a stream as "
        "recorders write it. Try raw sound: --format s16le --rate ... --channels ..."
    )


def _fmt(body: bytes) -> tuple[str, int, int]:
    if len(body) < 16:
        raise AudioError("standard input: the WAV header is cut short; start the recorder again")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = int.from_bytes(body[24:26], "little")
    if (tag, bits) not in _WAV:
        raise AudioError(
            f"standard input: WAV of encoding {tag} with {bits} bits; expected PCM of 8 to 32 bits or "
            "floating point. Let the recorder write 16 bit PCM"
        )
    return _WAV[tag, bits], rate, channels
