"""WAV and raw sound as bytes: one reader for files and for pipes.

A header is read as a whole. Where its fields contradict each other, or the sound, it is refused by
name: noise must not be judged as a cry. Encodings that are not samples (ADPCM, MP3 in WAV) are left
to FFmpeg, for files alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cryhear.errors import AudioError

SAMPLE_RATES = (4_000, 192_000)
"""Lowest and highest sample rate taken, Hz: below it a cry has no harmonics left, above it no
microphone."""

MAX_CHANNELS = 64
"""Most channels taken."""

UNKNOWN_FROM = 0x7FFF0000
"""Lengths from here on, and 0, are what recorders write into a pipe when they cannot know better."""

LARGEST_CHUNK = 1 << 24
"""Bytes of a chunk before the sound beyond which a header is not believed."""

SPARE_BYTES = 128
"""Bytes after the last chunk that are passed over: an ID3v1 tag has as many."""

ENCODINGS = {
    "u8": ("u1", 128.0), "s16le": ("<i2", 32768.0), "s24le": ("", 8388608.0),
    "s32le": ("<i4", 2147483648.0), "f32le": ("<f4", 1.0), "f64le": ("<f8", 1.0),
}  # fmt: skip
"""NumPy type and full scale of each encoding; 24 bits have no type of their own."""

_LAWS = {"alaw": "pcm_alaw", "mulaw": "pcm_mulaw"}
_WIDTHS = {"u8": 1, "s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4, "f64le": 8} | dict.fromkeys(
    _LAWS, 1
)
# Integers of 9 to 15 bits stand in the upper bits of the next larger size.
_PCM = {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"}
_OTHER = {(3, 32): "f32le", (3, 64): "f64le", (6, 8): "alaw", (7, 8): "mulaw"}
_EXTENSIBLE = 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_RIFF = (b"RIFF", b"RF64", b"BW64")
# What may follow a `data` chunk that is really empty; sound begins so once in four thousand million.
_CHUNKS = frozenset(
    (
        b"LIST", b"data", b"fact", b"id3 ", b"ID3 ", b"bext", b"JUNK", b"junk", b"PAD ", b"FLLR",
        b"cue ", b"smpl", b"inst", b"iXML", b"_PMX", b"afsp", b"plst", b"PEAK", b"fmt ", *_RIFF,
    )
)  # fmt: skip

Read = Callable[[int], bytes]
"""Gives exactly that many bytes, or fewer where the stream ends."""


class OtherEncoding(AudioError):
    """A WAV header that is whole, of an encoding that is not read here."""


def refused(name: object, found: str, expected: str, remedy: str) -> AudioError:
    """Error of one recording: what was found in it, what was expected, what to do."""
    # The name comes first and alone, so that a table can give the reason without it.
    return AudioError(f"{name}: {found}; expected {expected}; {remedy}")


def check_form(name: object, rate: int, channels: int) -> None:
    """Refuse a sample rate (Hz) or a number of channels that no recording has."""
    low, high = SAMPLE_RATES
    if not low <= rate <= high or not 1 <= channels <= MAX_CHANNELS:
        raise refused(
            name, f"sample rate {rate} Hz, {channels} channels",
            f"{low} to {high} Hz and 1 to {MAX_CHANNELS} channels",
            "check what wrote it, or --rate and --channels of raw sound",
        )  # fmt: skip


@dataclass(frozen=True)
class Format:
    """How bytes are samples.

    Attributes
    ----------
    encoding : str
        One of `ENCODINGS`, or 'alaw' or 'mulaw'.
    rate : int
        Hz.
    channels : int
    name : str
        Of the recording, for errors.

    Raises
    ------
    AudioError
        No recording is like that.
    """

    encoding: str
    rate: int
    channels: int
    name: str = "standard input"

    def __post_init__(self) -> None:
        check_form(self.name, self.rate, self.channels)

    @property
    def width(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * _WIDTHS[self.encoding]

    @property
    def codec(self) -> str:
        """The encoding as FFmpeg names it, without its byte order."""
        return f"pcm_{self.encoding.removesuffix('le')}"

    def samples(self, data: bytes) -> np.ndarray:
        """Samples of whole frames, shape (n, channels), float32, full scale 1.

        Raises
        ------
        AudioError
            They are floating point numbers that the header calls integers.
        """
        if self.encoding in _LAWS:
            x: np.ndarray = _law(_LAWS[self.encoding])[np.frombuffer(data, np.uint8)]
            return x.reshape(-1, self.channels)
        kind, scale = ENCODINGS[self.encoding]
        if kind:
            if self.encoding == "s32le" and _are_floats(np.frombuffer(data, "<f4")):
                raise refused(
                    self.name, "floating point samples that the header calls integers",
                    "a header that says how the samples are stored", "export it again",
                )  # fmt: skip
            with np.errstate(invalid="ignore"):  # a NaN that signals becomes one that does not
                x = np.frombuffer(data, kind).astype(np.float64)
        else:
            if _are_in_four_bytes(data):
                raise refused(
                    self.name, "24 bits in 4 bytes", "3 bytes a sample",
                    "let the recorder write S24_3LE or S16_LE",
                )  # fmt: skip
            triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
            x = (np.pad(triples, ((0, 0), (1, 0))).view("<i4")[:, 0] >> 8).astype(np.float32)
        if self.encoding == "u8":
            x = x - 128
        with np.errstate(over="ignore", invalid="ignore"):
            return (x / scale).astype(np.float32).reshape(-1, self.channels)


class Wav:
    """A WAV recording as it comes.

    Parameters
    ----------
    read : callable
        ``read(n)`` gives the next n bytes, fewer only at the end.
    name : str
        For errors.
    size : int, optional
        Bytes that there are, where that is known: a file's, not a pipe's.

    Attributes
    ----------
    format : Format
    length : int or None
        Bytes of sound in the first `data` chunk, where the header knows.
    notes : list of str
        Where header and sound disagree, found while it is read.

    Raises
    ------
    OtherEncoding
        The header is whole, but no encoding of `Format`.
    AudioError
        It does not start as a WAV file, or its header contradicts itself.
    """

    format: Format
    length: int | None

    def __init__(self, read: Read, name: str = "standard input", size: int | None = None) -> None:
        self.name, self.notes = name, list[str]()
        self._raw, self._held, self._size, self._at = read, b"", size, 0
        self._long: int | None = None  # the length that an RF64 header keeps apart
        self._fmt: bytes | None = None
        self._odd = False  # whether the chunk before had an odd length
        start = self._read(12)
        if start[:4] not in _RIFF or start[8:] != b"WAVE":
            raise AudioError(
                f"{name} does not start with a WAV header; for raw sound on standard input say how to "
                "read it, as in --format s16le --rate 16000 --channels 1"
            )
        found = self._to_data()
        if found is None or self._fmt is None:
            raise self._soundless()
        self.length = found if found >= 0 else None
        self.format = self._form(self._fmt)

    def data(self, size: int) -> Iterator[bytes]:
        """The sound, in pieces of `size` bytes; only the last of a `data` chunk is shorter."""
        left: int | None = -1 if self.length is None else self.length
        while left is not None:
            began = self._at
            while left:
                block = self._read(size if left < 0 else min(size, left))
                if not block:
                    if left > 0:
                        self.notes.append(f"its header counts {left:,} bytes more than there are")
                    return
                left -= 0 if left < 0 else len(block)
                yield block
            self._odd = bool((self._at - began) % 2)
            left = self._to_data()

    def _read(self, size: int) -> bytes:
        data, self._held = self._held[:size], self._held[size:]
        if len(data) < size:
            data += self._raw(size - len(data))
        self._at += len(data)
        return data

    def _unread(self, data: bytes) -> None:
        self._held, self._at = data + self._held, self._at - len(data)

    def _to_data(self) -> int | None:
        """Pass over chunks up to the next `data`; its length, -1 where unknown, None at the end."""
        heard = hasattr(self, "format")
        while len(head := self._read(8)) == 8:
            head = self._unpadded(head)
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                if self._fmt is None:
                    raise self._soundless()
                return self._length(size)
            if name in _RIFF:  # another file was joined to this one
                self._read(4)
                continue
            if heard and not self._is_chunk(name, size):
                return None
            if size > LARGEST_CHUNK and not heard:
                raise self._soundless()
            self._take(name, size)
        return None

    def _unpadded(self, head: bytes) -> bytes:
        """A chunk's head without the zero that pads the chunk before; not every recorder writes it."""
        odd, self._odd = self._odd, False
        return head[1:] + self._read(1) if odd and head[0] == 0 else head

    def _is_chunk(self, name: bytes, size: int) -> bool:
        """Whether what follows the sound is a chunk; if not, it is noted."""
        left = None if self._size is None else self._size - self._at
        if all(32 <= c < 127 for c in name) and (left is None or size <= left + 1):
            return True
        if left is not None and left + 8 > SPARE_BYTES:
            self.notes.append(f"{left + 8:,} bytes after the sound that its header does not count")
        return False

    def _take(self, name: bytes, size: int) -> None:
        self._odd = bool(size % 2)
        kept = self._read(min(size, LARGEST_CHUNK))
        for at in range(len(kept), size, LARGEST_CHUNK):  # after the sound a chunk may be larger
            self._read(min(LARGEST_CHUNK, size - at))
        if name == b"ds64" and len(kept) >= 16:
            self._long = int.from_bytes(kept[8:16], "little")
        if name == b"fmt ":
            if self._fmt is not None and self._fmt[:16] != kept[:16]:
                raise refused(
                    self.name, "several parts, stored in different ways", "one way of storing",
                    "convert its parts to one format before they are joined",
                )  # fmt: skip
            self._fmt = kept

    def _length(self, size: int) -> int:
        if size == 0xFFFFFFFF and self._long is not None:
            size = self._long if 0 < self._long < 1 << 62 else 0xFFFFFFFF
            return -1 if size == 0xFFFFFFFF else size
        if size == 0:
            follows = self._read(8)
            self._unread(follows)
            return 0 if follows[:4] in _CHUNKS or not follows else -1
        # A file of more than 2 GB may be as long as it says.
        fits = self._size is not None and size <= self._size - self._at
        return -1 if size >= UNKNOWN_FROM and not fits else size

    def _form(self, body: bytes) -> Format:
        if len(body) < 16:
            raise refused(
                self.name, f"the WAV header is cut short ('fmt ' of {len(body)} bytes)",
                "16 bytes or more", "start the recorder again, or export it again",
            )  # fmt: skip
        tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", body[:16])
        if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
            tag = int.from_bytes(body[24:26], "little")
        width = -(-bits // 8)
        encoding = _PCM.get(width) if tag == 1 and bits >= 8 else _OTHER.get((tag, bits))
        if encoding is None:
            raise OtherEncoding(
                f"{self.name}: WAV of encoding {tag} with {bits} bits; expected PCM of 8 to 32 bits, "
                "floating point, A-law or mu-law; let the recorder write 16 bit PCM"
            )
        form = Format(encoding, rate, channels, self.name)
        if block != form.width:
            raise refused(
                self.name, f"a WAV header that gives {block} bytes to {channels} samples of {bits} bits",
                f"{form.width}", "let the recorder write 16 bit PCM (S16_LE), or convert it",
            )  # fmt: skip
        return form

    def _soundless(self) -> AudioError:
        return AudioError(
            f"{self.name} has a WAV header without sound (no 'fmt ' and 'data' in it); expected it as "
            "recorders write it; try raw sound: --format s16le --rate ... --channels ..."
        )


@dataclass(frozen=True)
class Raw:
    """Samples without a header: how they come and how they are stored."""

    read: Read
    format: Format

    def data(self, size: int) -> Iterator[bytes]:
        """The sound, in pieces of `size` bytes; only the last is shorter."""
        while block := self.read(size):
            yield block


@lru_cache
def _law(codec: str) -> np.ndarray:
    """The 256 values of a G.711 encoding, float32, full scale 1."""
    import av

    context: Any = av.CodecContext.create(codec, "r")
    context.sample_rate, context.layout = 8_000, "mono"
    (frame,) = context.decode(av.Packet(bytes(range(256))))
    table: np.ndarray = (frame.to_ndarray()[0] / 32768).astype(np.float32)
    return table


def _are_in_four_bytes(data: bytes) -> bool:
    """Whether every fourth byte only repeats the sign before it: what recorders call S24_LE."""
    x = np.frombuffer(data, np.uint8)
    for first in range(4):  # a piece may start within a sample
        fours = x[first : first + (len(x) - first) // 4 * 4].reshape(-1, 4)
        sign = np.where(fours[:, 2] >= 128, 255, 0)
        # Near silence repeats signs in any case; sound has low bytes of all kinds.
        if len(np.unique(fours[:, 0])) >= 16 and (fours[:, 3] == sign).all():
            return True
    return False


def _are_floats(x: np.ndarray) -> bool:
    """Whether numbers of 32 bits are sound as floats: integers read so are next to 0, huge or no number."""
    x = x[x.view(np.uint32) << 1 != 0]  # zero is zero either way
    if len(x) < 32:
        return False
    with np.errstate(invalid="ignore"):
        size = np.abs(x)
        return bool(np.mean((size > 1e-12) & (size < 16)) > 0.98)
