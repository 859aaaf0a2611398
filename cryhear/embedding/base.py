"""What every embedding backend shares: the checks on clips and on vectors."""

from __future__ import annotations

import numpy as np

from cryhear.errors import RepresentationError

SAMPLE_RATE = 16_000
"""Hz; every backend is fed this rate."""

CLIP_SAMPLES = 32_000
"""Samples of a clip: 2.0 s at 16 kHz."""

FULL_SCALE = 32767 / 32768
"""Largest magnitude that both a float in [-1, 1] and a 16-bit sample can hold."""


class Backend:
    """A backend that has only to say how one batch goes through its model.

    `embed` checks what comes in and what goes out, cuts it into batches of `batch_size` and hands
    the model a copy, since some models write into what they are given.

    Attributes
    ----------
    name : str
        The representation, one of `cryhear.embedding.REPRESENTATIONS`.
    version : str
        Changes whenever the same clip may give another vector: part of every stored embedding's key.
    dimension : int
        Length of a vector, read from the model.
    batch_size : int
        Clips a forward pass; what the extractor collects before it calls `embed`.
    note : str
        What a reader of the results must know about how the model was run; '' if nothing.
    revision : str
        Commit of downloaded weights; '' where there are none, or they came in a folder of the user's.
    """

    name: str = ""
    version: str = ""
    dimension: int = 0
    batch_size: int = 32
    note: str = ""
    revision: str = ""

    def embed(self, clips: np.ndarray) -> np.ndarray:
        """Embed clips.

        Parameters
        ----------
        clips : numpy.ndarray, shape (n, 32000), float32
            2 s each at 16 kHz. Not changed.

        Returns
        -------
        numpy.ndarray, shape (n, dimension), float32, C-contiguous, finite

        Raises
        ------
        RepresentationError
            `clips` is not as above, or the model gave something else than finite vectors (the
            message holds the rows).
        """
        check_clips(clips)
        vectors = np.empty((len(clips), self.dimension), dtype=np.float32)
        for start in range(0, len(clips), self.batch_size):
            batch = np.array(clips[start : start + self.batch_size], dtype=np.float32, order="C")
            made = self._forward(batch)
            if np.shape(made) != (len(batch), self.dimension):
                raise RepresentationError(
                    f"{self.name} gave an array of shape {np.shape(made)} for {len(batch)} clips; "
                    f"({len(batch)}, {self.dimension}) was expected. The model is not the one that was "
                    "loaded and checked: load it again, or report this."
                )
            vectors[start : start + len(batch)] = made
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if bad.size:
            raise RepresentationError(
                f"{self.name} gave NaN or infinity for the clips in rows {_shortened(bad)} of "
                f"{len(clips)}; finite vectors were expected. Leave those clips out, or look at them."
            )
        return vectors

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        """Embed one batch, float32 (b, 32000), b <= batch_size, which may be written to."""
        raise NotImplementedError


def check_clips(clips: np.ndarray) -> None:
    """Refuse anything but finite float32 clips of 32,000 samples.

    Some encoders take other lengths without a word and give a plausible vector, so the shape is
    checked here and not left to the model.
    """
    if not isinstance(clips, np.ndarray) or clips.ndim != 2 or clips.shape[1] != CLIP_SAMPLES:
        came = f"shape {clips.shape}" if isinstance(clips, np.ndarray) else type(clips).__name__
        raise RepresentationError(
            f"clips came as {came}; a NumPy array of shape (n, {CLIP_SAMPLES}) was expected, 2 s at "
            "16 kHz a row. Cut the recording with cryhear.audio.preprocess first."
        )
    if clips.dtype != np.float32:
        raise RepresentationError(
            f"clips have dtype {clips.dtype}; float32 was expected. Convert integers by their full "
            "scale first (int16: divide by 32768), floats with .astype('float32')."
        )
    bad = np.flatnonzero(~np.isfinite(clips).all(axis=1))
    if bad.size:
        raise RepresentationError(
            f"clips hold NaN or infinity in rows {_shortened(bad)} of {len(clips)}; finite samples "
            "were expected. Leave those clips out."
        )


def within_full_scale(clips: np.ndarray) -> np.ndarray:
    """Scale down, each by its own peak, the clips that leave [-1, 1]; return the others as they are.

    For backends whose model takes a waveform in [-1, 1]. Clips of recordings normalised by their
    RMS can leave it; cutting their peaks off instead would add harmonics that are not in the cry.

    Parameters
    ----------
    clips : numpy.ndarray, shape (n, samples), float32

    Returns
    -------
    numpy.ndarray, shape (n, samples), float32, in [-FULL_SCALE, FULL_SCALE]
    """
    peak = np.abs(clips).max(axis=1, keepdims=True, initial=0.0)
    return clips / np.maximum(peak / np.float32(FULL_SCALE), np.float32(1.0))


def told(problem: Exception) -> str:
    """An error of another library in one line: its type, and what its last paragraph says."""
    # TensorFlow puts a traceback of its graph first, and indents what names a node.
    lines = [line for line in str(problem).splitlines() if line.strip() and not line[0].isspace()]
    text = " ".join((lines or [""])[-1].split())
    return f"{type(problem).__name__}: {text[:300]}" if text else type(problem).__name__


def _shortened(rows: np.ndarray) -> str:
    listed = ", ".join(str(row) for row in rows[:8])
    return listed + (f" and {len(rows) - 8} more" if len(rows) > 8 else "")
