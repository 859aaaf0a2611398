"""Decode any recording to float32 samples.

The content decides how it is read, not its name (`cryhear.audio.readers`). Decoding goes by blocks
and stops at a limit, so a header that claims a year costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from cryhear.audio.readers import Recording, begins_as_sound, refused
from cryhear.audio.wav import MAX_CHANNELS, SAMPLE_RATES

__all__ = ["EXTENSIONS", "MAX_CHANNELS", "SAMPLE_RATES", "Mono", "blocks", "decode", "is_sound"]

EXTENSIONS = frozenset(
    (
        ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".ogx", ".opus", ".spx",
        ".mp3", ".mp2", ".mpga", ".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".qta", ".qt", ".aac",
        ".aif", ".aiff", ".aifc", ".3gp", ".3gpp", ".3g2", ".3ga", ".amr", ".awb", ".caf", ".wma", ".asf",
        ".webm", ".weba", ".mkv", ".mka", ".au", ".snd", ".voc", ".ac3", ".eac3", ".avi", ".ape", ".wv",
        ".tta", ".dss", ".ds2", ".gsm", ".vox", ".pcm", ".qcp", ".mpc", ".ra", ".dsf", ".dff", ".sph",
    )
)  # fmt: skip
"""File name extensions (lower case) of sound, also such as cannot be read, which are then named with
the reason. A file of another ending that is sound by its content is looked at too."""

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
    warning : str
        Where what was decoded is not what the file says: a length that differs, damaged packets, a rate
        that changes on the way; '' where they agree.
    """

    codec: str
    sample_rate: int
    channels: int
    duration_s: float
    warning: str = ""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Samples of a recording.

    Attributes
    ----------
    samples : numpy.ndarray, shape (n,), float32
        Mean of the channels; full scale is 1, which lossy codecs may overshoot.
    sample_rate : int
        Hz.
    source : SourceInfo
    """

    samples: np.ndarray
    sample_rate: int
    source: SourceInfo


def decode(
    path: str | os.PathLike[str], sample_rate: int | None = 16_000, limit_s: float = 600.0
) -> Decoded:
    """Decode a recording.

    Parameters
    ----------
    path : path-like
        A file in any format of `EXTENSIONS`; its content decides, not its name.
    sample_rate : int or None
        Rate wanted, Hz (soxr, high quality); None keeps the recording's own.
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
    with _opened(Path(path)) as recording:
        header = recording.header
        rate = int(sample_rate or header.sample_rate)
        samples = np.concatenate([np.zeros(0, np.float32), *_mono(recording, rate, limit_s)])
        _check_heard(recording, samples)
        info = SourceInfo(
            header.codec, header.sample_rate, header.channels, recording.seconds,
            "; ".join(recording.notes),
        )  # fmt: skip
        return Decoded(samples, rate, info)


@contextmanager
def _opened(path: Path) -> Iterator[Recording]:
    _check_file(path)
    try:
        with open(path, "rb") as file:
            yield Recording(path, file)
    except OSError as error:
        raise refused(
            path, f"cannot be read ({error.strerror})", "a readable file", "check its permissions"
        ) from error


def is_sound(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as a recording does, whatever it is called; False where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return begins_as_sound(file)
    except OSError:
        return False


def blocks(
    path: str | os.PathLike[str],
    sample_rate: int = 16_000,
    limit_s: float = float("inf"),
    notes: list[str] | None = None,
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
    notes : list of str, optional
        Takes in, once all is read, what `SourceInfo.warning` says.

    Yields
    ------
    numpy.ndarray, shape (n,), float32
        Mono; joined, the samples of `decode`. Silence is not refused.

    Raises
    ------
    AudioError
        As `decode`.
    """
    with _opened(Path(path)) as recording:
        yield from _mono(recording, sample_rate, limit_s)
        if notes is not None:
            notes.extend(recording.notes)


def _mono(recording: Recording, rate: int, limit_s: float) -> Iterator[np.ndarray]:
    """Blocks checked, mixed and resampled as they come; parts of another rate by themselves."""
    stream, source_rate = None, 0
    for header, block in recording.blocks():
        _check_block(recording, _peak(block), limit_s)
        if stream and header.sample_rate != source_rate:
            yield stream.push(np.zeros((0, 1), np.float32), last=True)
            stream = None
        source_rate = header.sample_rate
        stream = stream or Mono(source_rate, rate)
        yield stream.push(block)
    if stream:
        yield stream.push(np.zeros((0, 1), np.float32), last=True)


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
        mixed = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        return mixed if self._same else self._stream.resample_chunk(mixed, last=last)


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


def _peak(x: np.ndarray) -> float:
    """Largest magnitude; not finite if any sample is not: one pass for each end, no copy."""
    ends = (x.max(initial=0), -x.min(initial=0))
    return float(np.max(ends))


def _check_block(recording: Recording, peak: float, limit_s: float) -> None:
    path = recording.path
    if recording.seconds > limit_s:
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
    recording.peak = max(recording.peak, peak)


def _check_heard(recording: Recording, samples: np.ndarray) -> None:
    path, loudest = recording.path, recording.peak
    if samples.size == 0:
        raise refused(path, "no samples (truncated?)", "sound after the header", "fetch it again")
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
