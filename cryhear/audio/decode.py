"""Decode any recording to float32 samples.

libsndfile (through soundfile) reads what it can; FFmpeg's libraries (through PyAV's wheel, no
system ffmpeg) read the rest: AMR in 3GP, AAC in M4A, IMA4 in CAF. The choice falls on the error,
not on the extension, because libsndfile opens some containers whose encoding it then refuses.
Decoding goes by blocks and stops at a limit, so a header that claims a year costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from cryhear.audio.readers import (
    Blocks,
    Header,
    pyav_blocks,
    pyav_container,
    refused,
    soundfile_blocks,
)
from cryhear.errors import AudioError

EXTENSIONS = frozenset(
    (
        ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".aif",
        ".aiff", ".aifc", ".3gp", ".3gpp", ".amr", ".caf", ".wma", ".webm", ".au",
    )
)  # fmt: skip
"""File name extensions (lower case) that are looked at as recordings."""

SAMPLE_RATES = (4_000, 192_000)
"""Lowest and highest sample rate taken, Hz: below it a cry has no harmonics left, above it no
microphone."""

MAX_CHANNELS = 64
"""Most channels taken."""

SILENT_PEAK = 5e-5
"""Peak (full scale 1) below which a recording is silent: just above one step of 16 bits."""

LOUDEST = 2.0**31
"""Peak (full scale 1) above which numbers are no sound: whole numbers of 32 bits stored as floats are
still taken, beyond them squares and sums leave float32."""


@dataclass(frozen=True)
class SourceInfo:
    """What a recording was before decoding.

    Attributes
    ----------
    codec : str
        Name of the encoding, such as 'pcm_s16', 'amr_nb' or 'adpcm_ima_qt'.
    sample_rate : int
        Hz.
    channels : int
    duration_s : float
        Seconds actually decoded, whatever the header claimed.
    """

    codec: str
    sample_rate: int
    channels: int
    duration_s: float


@dataclass(frozen=True, eq=False)
class Decoded:
    """Samples of a recording.

    Attributes
    ----------
    samples : numpy.ndarray, shape (n,) if mono else (n, channels), float32
        Full scale is 1; lossy codecs may overshoot it.
    sample_rate : int
        Hz.
    source : SourceInfo
    """

    samples: np.ndarray
    sample_rate: int
    source: SourceInfo


def decode(
    path: str | os.PathLike[str],
    sample_rate: int | None = 16_000,
    mono: bool = True,
    limit_s: float = 600.0,
) -> Decoded:
    """Decode a recording.

    Parameters
    ----------
    path : path-like
        A file in any format of `EXTENSIONS`; its content decides, not its name.
    sample_rate : int or None
        Rate wanted, Hz (soxr, high quality); None keeps the recording's own.
    mono : bool
        Average the channels.
    limit_s : float
        Longest recording taken, seconds.

    Returns
    -------
    Decoded
        A recording whose end is missing or damaged gives the samples that can be decoded.

    Raises
    ------
    AudioError
        The file is missing, empty, no audio, without samples, silent, longer than the limit, holds
        NaN or infinite samples or numbers beyond any sound, or has a rate or number of channels that no
        recording has.
    """
    path = Path(path)
    _check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            return _gather(path, soundfile_blocks(file), sample_rate, mono, limit_s)
    except soundfile.SoundFileError:
        with pyav_container(path) as container:
            return _gather(path, pyav_blocks(path, container), sample_rate, mono, limit_s)
    except OSError as error:
        raise refused(
            path, f"cannot be read ({error.strerror})", "a readable file", "check its permissions"
        ) from error


def blocks(
    path: str | os.PathLike[str], sample_rate: int = 16_000, limit_s: float = float("inf")
) -> Iterator[np.ndarray]:
    """Decode a recording piece by piece, in memory that does not grow with its length.

    Parameters
    ----------
    path : path-like
        As for `decode`.
    sample_rate : int
        Rate wanted, Hz.
    limit_s : float
        Longest recording taken, seconds.

    Yields
    ------
    numpy.ndarray, shape (n,), float32
        Mono; joined, the samples of `decode`. Silence is not refused.

    Raises
    ------
    AudioError
        As `decode`.
    """
    path = Path(path)
    _check_file(path)
    pieces = _Pieces(path, sample_rate, limit_s)
    try:
        with soundfile.SoundFile(path) as file:
            yield from pieces.of(soundfile_blocks(file))
    except soundfile.SoundFileError:
        with pyav_container(path) as container:
            yield from pieces.of(pyav_blocks(path, container))
    except OSError as error:
        raise refused(
            path, f"cannot be read ({error.strerror})", "a readable file", "check its permissions"
        ) from error
    yield pieces.rest()


class Mono:
    """Mix channels and resample what comes in pieces, as `decode` does a whole recording.

    Parameters
    ----------
    source_rate, sample_rate : int
        Hz, as it comes and as it is wanted.
    """

    def __init__(self, source_rate: int, sample_rate: int = 16_000) -> None:
        self._same = source_rate == sample_rate
        self._stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32")

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Samples, shape (m,), float32, that a block of shape (n, channels) completes."""
        mixed = block.mean(axis=1, dtype=np.float32)
        return mixed if self._same else self._stream.resample_chunk(mixed, last=last)


def _gather(
    path: Path, source: Blocks, sample_rate: int | None, mono: bool, limit_s: float
) -> Decoded:
    """Join blocks of shape (n, channels), mixed and resampled as they come."""
    header, blocks = source
    _check_header(path, header)
    rate = int(sample_rate or header.sample_rate)
    width = 1 if mono else header.channels
    stream = soxr.ResampleStream(header.sample_rate, rate, width, dtype="float32")
    pieces, frames, loudest = [], 0, 0.0
    for block in blocks:
        frames += len(block)
        peak = _peak(block)
        _check_block(path, peak, frames / header.sample_rate, limit_s)
        loudest = max(loudest, peak)
        mixed = _mixed(block) if mono else block
        pieces.append(mixed if rate == header.sample_rate else stream.resample_chunk(mixed))
    if frames and rate != header.sample_rate:
        pieces.append(stream.resample_chunk(np.zeros((0, width), np.float32), last=True))
    samples = np.concatenate(pieces) if pieces else np.zeros((0, width), np.float32)
    _check_samples(path, samples, loudest)
    info = SourceInfo(
        header.codec, header.sample_rate, header.channels, frames / header.sample_rate
    )
    return Decoded(np.ascontiguousarray(samples[:, 0] if mono else samples), rate, info)


class _Pieces:
    """A recording's mono pieces, from one reader and, where that gives up, on from another."""

    def __init__(self, path: Path, sample_rate: int, limit_s: float) -> None:
        self._path, self._rate, self._limit_s = path, sample_rate, limit_s
        self._frames = 0
        self._mono: Mono | None = None

    def of(self, source: Blocks) -> Iterator[np.ndarray]:
        """Blocks of shape (n, channels), checked, mixed and resampled as they come: (m,) each."""
        header, blocks = source
        _check_header(self._path, header)
        mono = self._mono = self._mono or Mono(header.sample_rate, self._rate)
        passed = self._frames
        for block in blocks:
            fresh, passed = block[passed:], max(0, passed - len(block))
            self._frames += len(fresh)
            seconds = self._frames / header.sample_rate
            _check_block(self._path, _peak(fresh), seconds, self._limit_s)
            yield mono.push(fresh)

    def rest(self) -> np.ndarray:
        """What the resampler still holds, after the last block."""
        if not self._frames or self._mono is None:
            raise _no_samples(self._path)
        return self._mono.push(np.zeros((0, 1), np.float32), last=True)


def _check_file(path: Path) -> None:
    try:
        there, pipe = path.is_file(), path.is_fifo()
        empty = there and path.stat().st_size == 0
    except (OSError, ValueError) as error:  # a name that is too long, a folder closed to us
        reason = getattr(error, "strerror", None) or error
        raise refused(path, f"cannot be read ({reason})", "a file", "check its name") from error
    if pipe:
        raise refused(path, "a pipe", "a file", "send it to standard input, and give - instead")
    if not there:
        raise refused(path, "not a file", "a recording", "check the path")
    if empty:
        raise refused(path, "empty (0 bytes)", "a recording", "copy or download it again")


def _check_header(path: Path, header: Header) -> None:
    low, high = SAMPLE_RATES
    if not low <= header.sample_rate <= high:
        raise refused(
            path, f"sample rate {header.sample_rate} Hz", f"{low} to {high} Hz", "resample it"
        )
    if not 1 <= header.channels <= MAX_CHANNELS:
        raise refused(path, f"{header.channels} channels", f"1 to {MAX_CHANNELS}", "mix it down")


def _peak(x: np.ndarray) -> float:
    """Largest magnitude; not finite if any sample is not: one pass for each end, no copy."""
    ends = (x.max(initial=0), -x.min(initial=0))
    return float(np.max(ends))


def _mixed(block: np.ndarray) -> np.ndarray:
    """Mean of the channels, (n, 1)."""
    return block if block.shape[1] == 1 else block.mean(axis=1, keepdims=True, dtype=np.float32)


def _check_block(path: Path, peak: float, seconds: float, limit_s: float) -> None:
    if seconds > limit_s:
        raise refused(
            path, f"longer than {limit_s:g} s", "a shorter recording", "cut it or raise the limit"
        )
    if not np.isfinite(peak):
        raise refused(path, "NaN or infinite samples", "finite ones", "export it again")
    if peak > LOUDEST:
        raise refused(
            path, f"samples up to {peak:.1g} of full scale", f"at most {LOUDEST:.1g}",
            "export it again",
        )  # fmt: skip


def _no_samples(path: Path) -> AudioError:
    return refused(path, "no samples (truncated?)", "sound after the header", "fetch it again")


def _check_samples(path: Path, samples: np.ndarray, loudest: float) -> None:
    if samples.size == 0:
        raise _no_samples(path)
    if _peak(samples) >= SILENT_PEAK:
        return
    if loudest >= SILENT_PEAK:
        raise refused(
            path, "silent once its channels are averaged", "channels in phase", "keep one channel"
        )
    raise refused(
        path, f"silent (peak {loudest:.1g})", f"a peak of at least {SILENT_PEAK:g} of full scale",
        "leave it out",
    )  # fmt: skip
