"""Read a recording to its end, block by block, and say where it is not what it says it is.

WAV of plain samples is read by `cryhear.audio.wav`, Vorbis by libvorbis, everything else by FFmpeg's
libraries (through PyAV's wheel, no system ffmpeg), which go on to the last byte where others stop at
a length that a header claims or a first frame suggests. Files joined end to end, of which a
container shows only the first, are found by their beginnings and read one after the other. FFmpeg is
given an open file and no name, so that none is taken for an address.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import soundfile

from cryhear.audio.wav import UNKNOWN_FROM, OtherEncoding, Wav, check_form, refused
from cryhear.errors import AudioError

if TYPE_CHECKING:
    import av

__all__ = ["Header", "Recording", "refused"]

_BLOCK = 1 << 16
_SCAN = 1 << 20
# Only formats that hold sound themselves: a playlist renamed .wav must not make FFmpeg open
# other files or addresses, and no protocol of that name exists.
_OPTIONS = {
    "format_whitelist": "wav,w64,aiff,caf,flac,ogg,mp3,aac,amr,amrnb,amrwb,mov,matroska,webm,asf,au,"
    "voc,ircam,nistsphere,pvf,sox,avi,ac3,eac3,ape,wv,tta",
    "protocol_whitelist": "none",
}
_STARTS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # One each: a pattern that begins with a choice is searched for a tenth as fast.
        rb"RIFF....WAVE", rb"RF64....WAVE", rb"BW64....WAVE",
        rb"fLaC\0\0\0\x22", rb"OggS\0\x02\0{8}....\0{4}",
        rb"#!AMR(?:-WB)?\n", rb"caff\0\x01..desc\0{7}\x20", rb"FORM....AIF[FC]",
        rb"\.snd\0\0......\0\0\0[\x01-\x1b]\0", rb"\0\0\0[\x08-\x60]ftyp[ -~]{4}",
        rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa",
        rb"\x1a\x45\xdf\xa3.{1,60}?\x42\x82.{0,8}?(?:webm|matroska)",
    )
]  # fmt: skip
"""How files begin. What their containers show ends with the first of several, or mixes them up; MP3
and ADTS are read on by themselves."""
_LONGEST_START = 96
_PICTURES = (b"heic", b"heix", b"heim", b"mif1", b"msf1", b"avif", b"avis", b"crx ")

LENGTH_TOLERANCE = (0.3, 0.01)
"""Seconds, and share of its length, by which a recording may differ from what its container says:
encoders count a frame or two at either end that players leave out."""


@dataclass(frozen=True)
class Header:
    """What is known before the first sample: codec, sample rate in Hz, channels."""

    codec: str
    sample_rate: int
    channels: int


def begins_as_sound(file: IO[bytes]) -> bool:
    """Whether a file begins as one of the formats that are read: by its first bytes, without decoding."""
    head = file.read(_LONGEST_START)
    # An MP3 or ADTS frame: eleven set bits, then a layer, a bit rate and a sample rate that exist.
    frame = len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[2] & 0x0C != 0x0C
    frame = frame and head[1] != 0xFE and head[1] != 0xFF and head[2] & 0xF0 not in (0, 0xF0)
    picture = head[4:8] == b"ftyp" and head[8:12] in _PICTURES
    known = head[:3] == b"ID3" or any(kind.match(head) for kind in _STARTS)
    return frame or (known and not picture)


class Recording:
    """A recording's blocks, and what there is to say of them.

    Parameters
    ----------
    path : pathlib.Path
        For its suffix and for errors.
    file : binary file
        Open, and open as long as blocks are read.

    Attributes
    ----------
    header : Header
        Of the first frame that can be decoded, which knows more than the container does.
    notes : list of str
        Where what was read is not what the file says: complete after the last block.
    seconds : float
        Read so far.
    peak : float
        Largest magnitude heard so far, kept by who reads.

    Raises
    ------
    AudioError
        It is in no format that holds sound, has no audio stream, contradicts itself, or nothing in it
        can be decoded.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.notes: list[str] = []
        self.seconds = self.peak = 0.0
        self.path, self._file = path, file
        self._parts = self._all()
        first = next(self._parts, None)
        if first is None:
            raise refused(
                path, "no samples (truncated?)", "sound after the header", "fetch it again"
            )
        self.header, self._first = first[0], first

    def blocks(self) -> Iterator[tuple[Header, np.ndarray]]:
        """Blocks of shape (n, channels), float32, full scale 1, each with the header it comes under.

        Damaged packets are passed over; that, and a rate or channels that change, is noted.
        """
        for now, block in chain([self._first], self._parts):
            said = f"it goes on at {now.sample_rate} Hz and {now.channels} channels"
            same = (now.sample_rate, now.channels) == (
                self.header.sample_rate,
                self.header.channels,
            )
            if not same and not any(said in note for note in self.notes):
                self.notes.append(f"{said} from {self.seconds:.1f} s")
            self.seconds += len(block) / now.sample_rate
            yield now, block

    def _all(self) -> Iterator[tuple[Header, np.ndarray]]:
        """Blocks of every part, each with the header it comes under."""
        starts = _starts(self._file)
        for number, (start, stop) in enumerate(zip(starts, [*starts[1:], None], strict=True)):
            window = _Window(self._file, start, stop, self.path.suffix)
            try:
                for header, block in self._part(window):
                    check_form(self.path, header.sample_rate, header.channels)
                    yield header, block
            except AudioError as error:
                if number == 0 or "longer than" in str(error):
                    raise
                why = str(error).removeprefix(f"{self.path}: ").split(";")[0]
                self.notes.append(f"what begins at byte {start:,} cannot be read: {why}")

    def _part(self, window: _Window) -> Iterator[tuple[Header, np.ndarray]]:
        head = window.read(64)
        if head[:4] in (b"RIFF", b"RF64", b"BW64"):
            window.seek(0)
            with suppress(OtherEncoding):
                wav = Wav(window.read, str(self.path), len(window))
                wav.notes = self.notes
                yield from _of_wav(wav)
                return
        window.seek(0)
        if head[:4] == b"OggS" and b"\x01vorbis" in head:
            # FFmpeg drops the last 16 ms of some; libvorbis is the reference.
            with suppress(soundfile.SoundFileError), soundfile.SoundFile(window) as vorbis:
                yield from _of_vorbis(vorbis, self.notes)
                return
        window.seek(0)
        yield from self._of_ffmpeg(window)

    def _of_ffmpeg(self, window: _Window) -> Iterator[tuple[Header, np.ndarray]]:
        import av

        declares = _declares_length(window)
        # Tags are never read here; one in another alphabet's encoding must not stop the sound. PyAV 19
        # decodes none before it is asked, and has no such argument.
        lenient: dict[str, Any] = (
            {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
        )
        try:
            container = av.open(window, options=_OPTIONS, **lenient)
        except av.FFmpegError as error:
            raise refused(
                self.path, f"not audio, or damaged ({error.strerror})", "a recording",
                "check what it is",
            ) from error  # fmt: skip
        with container:
            if not container.streams.audio:
                raise refused(self.path, "no audio stream", "one", "export its sound")
            if container.streams.audio[0].codec_context is None:
                raise refused(
                    self.path, "not audio, or in an encoding that nobody knows", "a recording",
                    "convert it to WAV or FLAC",
                )  # fmt: skip
            seconds = 0.0
            try:
                for header, block in _joined(container, self.notes):
                    seconds += len(block) / header.sample_rate
                    yield header, block
            except ValueError as error:
                # PyAV 19, where the decoder could not be opened: to ask it anything else ends the process.
                raise refused(
                    self.path, "no samples that can be decoded", "sound after the header",
                    "fetch it again",
                ) from error  # fmt: skip
            said = _length_of(container)
            if declares and said and not _close(seconds, said):
                self.notes.append(f"its container says {said:.1f} s, and {seconds:.1f} s were read")


class _Window(io.RawIOBase):
    """A stretch of a file, as a file without a name: FFmpeg sees its suffix alone."""

    def __init__(self, file: IO[bytes], start: int, stop: int | None, suffix: str) -> None:
        self._file, self._start = file, start
        self._stop = os.fstat(file.fileno()).st_size if stop is None else stop
        self._at = 0
        self.name = "recording" + (suffix if re.fullmatch(r"\.\w{1,8}", suffix, re.ASCII) else "")

    def __len__(self) -> int:
        return self._stop - self._start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, (0, self._at, len(self))[whence] + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), max(0, len(self) - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(size)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _starts(file: IO[bytes]) -> list[int]:
    """Where the files begin that one file holds: 0, and others of its own kind joined to it."""
    file.seek(0)
    head = file.read(_LONGEST_START)
    offset = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # tags before FLAC
        offset = 10 + sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(offset)
        head = file.read(_LONGEST_START)
    kind = next((k for k in _STARTS if k.match(head)), None)
    if kind is None or _is_whole_riff(file, head):
        return [0]
    found, at, beside = [0], offset + 1, offset
    while True:
        # Streams of Ogg side by side begin page after page, and are one file.
        beside += _page(file, beside) if head[:4] == b"OggS" else 0
        start = _search(file, kind, at)
        if start is None:
            return found
        if start != beside:
            found.append(start)
            beside = start
        at = start + 1


def _is_whole_riff(file: IO[bytes], head: bytes) -> bool:
    """Whether a WAV header counts every byte that there is, so that no other file follows."""
    size = int.from_bytes(head[4:8], "little")
    return head[:4] == b"RIFF" and os.fstat(file.fileno()).st_size <= size + 9 < UNKNOWN_FROM


def _search(file: IO[bytes], kind: re.Pattern[bytes], at: int) -> int | None:
    """Where a pattern is found next, from a place on."""
    while True:
        file.seek(at)
        block = file.read(_SCAN + _LONGEST_START)
        if match := kind.search(block):
            return at + match.start()
        if len(block) <= _LONGEST_START:
            return None
        at += _SCAN


def _page(file: IO[bytes], at: int) -> int:
    """Length of the page of Ogg at a place, bytes."""
    file.seek(at + 26)
    segments = sum(file.read(1))
    return 27 + segments + sum(file.read(segments))


def _declares_length(window: _Window) -> bool:
    """Whether the container holds its length; of the others FFmpeg estimates it from the first frames."""
    head = window.read(_BLOCK)
    window.seek(0)
    frames = head[:3] == b"ID3" or head[:1] == b"\xff" or window.name.endswith((".mp3", ".aac"))
    return not head.startswith(b"#!AMR") and (
        not frames or any(tag in head for tag in (b"Xing", b"Info\0", b"VBRI", b"fLaC"))
    )


def _length_of(container: av.container.InputContainer) -> float | None:
    """Seconds that the container says it holds."""
    stream = container.streams.audio[0]
    if stream.frames and stream.codec_context.name.startswith("pcm_"):
        # The count of the header; FFmpeg fits the length to what there is.
        return float(stream.frames / stream.codec_context.sample_rate)
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1e6


def _close(a: float, b: float) -> bool:
    seconds, share = LENGTH_TOLERANCE
    return abs(a - b) <= max(seconds, share * max(a, b))


def _of_wav(wav: Wav) -> Iterator[tuple[Header, np.ndarray]]:
    form = wav.format
    header = Header(form.codec, form.rate, form.channels)
    for data in wav.data(_BLOCK * form.width):
        if whole := len(data) - len(data) % form.width:
            yield header, form.samples(data[:whole])


def _of_vorbis(file: soundfile.SoundFile, notes: list[str]) -> Iterator[tuple[Header, np.ndarray]]:
    header = Header("vorbis", file.samplerate, file.channels)
    try:
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            yield header, block
    except soundfile.SoundFileError as error:
        notes.append(f"it is damaged before its end ({error})")


def _joined(
    container: av.container.InputContainer, notes: list[str]
) -> Iterator[tuple[Header, np.ndarray]]:
    """Gather frames: IMA4 has 64 samples in each, so that overhead would be all there is."""
    codec = container.streams.audio[0].codec_context.codec.canonical_name
    codec = re.sub("^(pcm_.*?)[bl]e$", r"\1", codec)
    header, pieces, n = None, list[np.ndarray](), 0
    for frame in _frames(container, notes):
        now = Header(codec, frame.sample_rate, frame.layout.nb_channels)
        if header is not None and pieces and (now != header or n >= _BLOCK):
            yield header, np.concatenate(pieces)
            pieces, n = [], 0
        header = now
        pieces.append(_samples(frame))
        n += len(pieces[-1])
    if header is not None and pieces:
        yield header, np.concatenate(pieces)


def _frames(container: av.container.InputContainer, notes: list[str]) -> Iterator[av.AudioFrame]:
    """Frames of the first audio stream, up to where the container itself is damaged."""
    import av

    packets = container.demux(container.streams.audio[0])
    damaged = 0
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            notes.append(f"its container is damaged before its end ({error.strerror})")
            break
        if packet is None:
            break
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damaged += 1
    if damaged:
        notes.append(f"{damaged} damaged packets were passed over")


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Samples of an FFmpeg frame: shape (n, channels), float32, full scale 1."""
    x = frame.to_ndarray()
    x = x.T if frame.format.is_planar else x.reshape(-1, frame.layout.nb_channels)
    if x.dtype == np.uint8:
        return (x.astype(np.float32) - 128) / 128
    if x.dtype.kind == "i":
        return x.astype(np.float32) / 2 ** (8 * x.dtype.itemsize - 1)
    return x.astype(np.float32)
