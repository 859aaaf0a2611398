"""The two readers behind `decode.decode`: libsndfile and FFmpeg, one interface, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import soundfile

from cryhear.errors import AudioError

if TYPE_CHECKING:
    import av

_BLOCK = 1 << 16
# Only formats that hold sound themselves: a playlist renamed .wav must not make FFmpeg open
# other files or addresses.
_DEMUXERS = "wav,w64,aiff,caf,flac,ogg,mp3,aac,amr,amrnb,amrwb,mov,matroska,webm,asf,au"
_CODEC_NAMES = {
    "PCM_16": "pcm_s16", "PCM_24": "pcm_s24", "PCM_32": "pcm_s32", "PCM_U8": "pcm_u8",
    "PCM_S8": "pcm_s8", "FLOAT": "pcm_f32", "DOUBLE": "pcm_f64", "MPEG_LAYER_III": "mp3",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a reader knows before the first sample: codec, sample rate in Hz, channels."""

    codec: str
    sample_rate: int
    channels: int


Blocks: TypeAlias = "tuple[Header, Iterator[np.ndarray]]"


def soundfile_blocks(file: soundfile.SoundFile) -> Blocks:
    """Read by libsndfile.

    Parameters
    ----------
    file : soundfile.SoundFile
        Open at its start.

    Returns
    -------
    header : Header
    blocks : iterator of numpy.ndarray, shape (n, channels), float32
        Full scale is 1.

    Raises
    ------
    soundfile.SoundFileError
        It has no header, or, while iterating: an encoding that it cannot decode.
    """
    if file.format == "RAW":
        # libsndfile takes any file called .au for headerless sound; the content must decide.
        raise soundfile.SoundFileError(f"{file.name} has no header")
    codec = _CODEC_NAMES.get(file.subtype, file.subtype.lower())
    codec = "flac" if file.format == "FLAC" else codec
    blocks = (file.read(_BLOCK, dtype="float32", always_2d=True) for _ in count())
    return Header(codec, file.samplerate, file.channels), takewhile(len, blocks)


@contextmanager
def pyav_container(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a recording with FFmpeg's libraries.

    Raises
    ------
    AudioError
        It is in no format that holds sound, or has no audio stream.
    """
    import av

    try:
        # Tags are never read here; one in another alphabet's encoding must not stop the sound.
        container = av.open(
            str(path), options={"format_whitelist": _DEMUXERS}, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise refused(
            path, f"not audio, or damaged ({error.strerror})", "a recording", "check what it is"
        ) from error
    with container:
        if not container.streams.audio:
            raise refused(path, "no audio stream", "one", "export its sound")
        yield container


def pyav_blocks(path: Path, container: av.container.InputContainer) -> Blocks:
    """Read by FFmpeg's libraries.

    Parameters
    ----------
    path : pathlib.Path
        For the error.
    container : av.container.InputContainer
        From `pyav_container`.

    Returns
    -------
    header : Header
        Of the first frame, which knows more than the container does.
    blocks : iterator of numpy.ndarray, shape (n, channels), float32
        Full scale is 1. Damaged packets are passed over.

    Raises
    ------
    AudioError
        Nothing in it can be decoded.
    """
    frames = _frames(container)
    first = next(frames, None)
    if first is None:
        raise refused(path, "no samples (truncated?)", "sound after the header", "fetch it again")
    codec = container.streams.audio[0].codec_context.codec.canonical_name
    header = Header(codec, first.sample_rate, first.layout.nb_channels)
    return header, _joined(header, chain([first], frames))


def _joined(header: Header, frames: Iterable[av.AudioFrame]) -> Iterator[np.ndarray]:
    """Gather frames: IMA4 has 64 samples in each, so that overhead would be all there is."""
    pieces: list[np.ndarray] = []
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels) != (header.sample_rate, header.channels):
            break  # the stream changes on the way: keep what came before
        pieces.append(_samples(frame))
        if len(pieces) * len(pieces[-1]) >= _BLOCK:
            yield np.concatenate(pieces)
            pieces = []
    if pieces:
        yield np.concatenate(pieces)


def _frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """Frames of the first audio stream, up to where the container itself is damaged."""
    import av

    packets = container.demux(container.streams.audio[0])
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            return
        if packet is None:
            return
        with suppress(av.FFmpegError):
            yield from packet.decode()


def _samples(frame: av.AudioFrame) -> np.ndarray:
    """Samples of an FFmpeg frame: shape (n, channels), float32, full scale 1."""
    x = frame.to_ndarray()
    x = x.T if frame.format.is_planar else x.reshape(-1, frame.layout.nb_channels)
    if x.dtype == np.uint8:
        return (x.astype(np.float32) - 128) / 128
    if x.dtype.kind == "i":
        return x.astype(np.float32) / 2 ** (8 * x.dtype.itemsize - 1)
    return x.astype(np.float32)


def refused(path: Path, found: str, expected: str, remedy: str) -> AudioError:
    """Error of one recording: what was found in it, what was expected, what to do."""
    # The path comes first and alone, so that a table can give the reason without it.
    return AudioError(f"{path}: {found}; expected {expected}; {remedy}")
