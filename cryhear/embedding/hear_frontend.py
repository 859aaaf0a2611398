"""HeAR's front end for its PyTorch release: from a waveform to a PCEN mel spectrogram.

Written from the description of Google's reference; PCEN is Wang et al. 2017, arXiv:1607.05666,
equation 1. One thing differs on purpose: the reference scales by the extremes of the whole batch,
so that a clip's embedding depends on the clips beside it. Here each clip is scaled by its own,
which is what the reference gives for a batch of one. The caller's tensor is not changed either.
"""

from __future__ import annotations

import torch
from torch.nn.functional import interpolate, pad

from cryhear.embedding.base import SAMPLE_RATE
from cryhear.embedding.logmel import mel_matrix

FRAME = 400
"""Samples of a frame and points of its Fourier transform: 25 ms."""
HOP = 160
"""Samples between frames: 10 ms."""
N_MELS = 128
SIZE = (192, 128)
"""Rows (time) and columns (mel) of the encoder's image."""

SCALE_FLOOR = 1e-8
"""Keeps a constant clip from dividing by zero."""

GAIN, BIAS, ROOT, SMOOTHING, PCEN_FLOOR = 0.8, 2.0, 2.0, 0.04, 1e-8


def spectrogram(clips: torch.Tensor) -> torch.Tensor:
    """HeAR's input image.

    Parameters
    ----------
    clips : torch.Tensor, shape (n, 32000), floating point
        2 s at 16 kHz.

    Returns
    -------
    torch.Tensor, shape (n, 1, 192, 128), of the same type and on the same device
    """
    return image(scaled(clips))


def image(waves: torch.Tensor) -> torch.Tensor:
    """HeAR's input image of clips already scaled to [-1, 1]; shapes as in `spectrogram`."""
    power = power_spectrum(waves)
    weights = mel_matrix(N_MELS, FRAME // 2 + 1, SAMPLE_RATE, 0.0, SAMPLE_RATE / 2)
    mel = power @ torch.as_tensor(weights, dtype=waves.dtype, device=waves.device)
    made = pcen(mel)[:, None]
    return interpolate(made, size=SIZE, mode="bilinear", align_corners=False, antialias=False)


def scaled(clips: torch.Tensor) -> torch.Tensor:
    """Scale each clip to [-1, 1]: its minimum becomes -1, its maximum 1; a constant gives -1."""
    lifted = clips - clips.amin(dim=1, keepdim=True)
    return 2 * lifted / (lifted.amax(dim=1, keepdim=True) + SCALE_FLOOR) - 1


def power_spectrum(clips: torch.Tensor) -> torch.Tensor:
    """Squared magnitude of frames, shape (n, ceil(samples / 160), 201); zeros pad the end."""
    frames = -(-clips.shape[1] // HOP)
    padded = pad(clips, (0, (frames - 1) * HOP + FRAME - clips.shape[1]))
    window = torch.hann_window(FRAME, periodic=True, dtype=clips.dtype, device=clips.device)
    spectrum = torch.fft.rfft(padded.unfold(1, FRAME, HOP) * window)
    return spectrum.real**2 + spectrum.imag**2


def pcen(mel: torch.Tensor) -> torch.Tensor:
    """Per-channel energy normalisation along time.

    ``(mel / (floor + smooth)**gain + bias)**(1/root) - bias**(1/root)``, where ``smooth`` is the
    first-order recursion ``(1 - s) smooth + s mel`` started from the first frame.

    Parameters
    ----------
    mel : torch.Tensor, shape (n, frames, bands), at least 0
    """
    smooth = torch.empty_like(mel)
    smooth[:, 0] = mel[:, 0]
    for frame in range(1, mel.shape[1]):
        smooth[:, frame] = (1 - SMOOTHING) * smooth[:, frame - 1] + SMOOTHING * mel[:, frame]
    return (mel / (PCEN_FLOOR + smooth) ** GAIN + BIAS) ** (1 / ROOT) - BIAS ** (1 / ROOT)
