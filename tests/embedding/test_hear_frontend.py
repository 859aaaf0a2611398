"""HeAR's front end against a slow float64 version written independently from the same description."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cryhear.embedding import hear_frontend  # noqa: E402

FLOAT32_TOLERANCE = 2e-5
"""Relative L2 of a float32 image from the float64 one: five times the rounding seen over 60 dB of
levels (4e-6). The wrong constants below exceed it many times over."""

FLOAT64_TOLERANCE = 1e-9
"""The same in float64: only the order of sums differs."""


def slow_image(clip: np.ndarray) -> np.ndarray:
    """HeAR's image of one clip, float64 (192, 128), one frame and one pixel at a time."""
    x = clip.astype(np.float64)
    x = x - x.min()
    x = x / (x.max() + 1e-8) * 2 - 1
    x = np.concatenate([x, np.zeros(240)])  # 199 * 160 + 400 - 32,000
    window = [0.5 - 0.5 * math.cos(2 * math.pi * n / 400) for n in range(400)]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(400)) / 400)
    power = np.array(
        [np.abs(turns @ (x[t : t + 400] * window)) ** 2 for t in range(0, 32_000, 160)]
    )
    mel = power @ slow_filters()
    smooth = mel[0]
    image = []
    for frame in mel:  # the first frame leaves the smoother where it started
        smooth = 0.96 * smooth + 0.04 * frame
        image.append(np.sqrt(frame / (1e-8 + smooth) ** 0.8 + 2) - math.sqrt(2))
    return slow_resize(np.array(image), 192)


def slow_filters() -> np.ndarray:
    """Mel triangles, float64 (201, 128), bin by bin."""
    top = 2595 * math.log10(1 + 8000 / 700)
    step = top / 129
    weights = np.zeros((201, 128))
    for k in range(1, 201):
        mel = 2595 * math.log10(1 + 40 * k / 700)
        for band in range(128):
            weights[k, band] = max(0.0, 1 - abs(mel - (band + 1) * step) / step)
    return weights


def slow_resize(image: np.ndarray, rows: int) -> np.ndarray:
    """Bilinear resize along the first axis; pixel centres at half integers."""
    out = np.empty((rows, image.shape[1]))
    for row in range(rows):
        place = max((row + 0.5) * len(image) / rows - 0.5, 0.0)
        below = int(place)
        above = min(below + 1, len(image) - 1)
        out[row] = image[below] + (place - below) * (image[above] - image[below])
    return out


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def expected(clips: np.ndarray) -> np.ndarray:
    return np.stack([slow_image(clip) for clip in clips[::4]])


def image_of(clips: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    return hear_frontend.spectrogram(torch.from_numpy(clips.astype(dtype))).numpy()[:, 0]


def test_float64_equals_the_slow_version(clips, expected):
    found = image_of(clips[::4], np.float64)
    assert found.shape == (3, 192, 128)
    assert max(map(distance, found, expected)) < FLOAT64_TOLERANCE


def test_float32_is_within_rounding_of_the_slow_version(clips, expected):
    found = image_of(clips[::4])
    assert found.dtype == np.float32
    assert max(map(distance, found, expected)) < FLOAT32_TOLERANCE


@pytest.mark.parametrize(
    ("name", "value"),
    [("GAIN", 0.98), ("BIAS", 1.0), ("SMOOTHING", 0.025), ("ROOT", 4.0), ("HOP", 161)],
)
def test_the_tolerance_sees_a_wrong_constant(clips, expected, monkeypatch, name, value):
    monkeypatch.setattr(hear_frontend, name, value)
    found = image_of(clips[::4])
    assert min(map(distance, found, expected)) > 3 * FLOAT32_TOLERANCE


def test_the_tolerance_sees_a_wrong_scaling(clips, expected, monkeypatch):
    monkeypatch.setattr(hear_frontend, "scaled", lambda x: x / x.abs().amax(dim=1, keepdim=True))
    assert min(map(distance, image_of(clips[::4]), expected)) > 3 * FLOAT32_TOLERANCE


def test_a_clip_does_not_depend_on_its_batch(clips):
    together = image_of(clips)
    alone = np.concatenate([image_of(clips[row : row + 1]) for row in range(len(clips))])
    assert max(map(distance, together, alone)) < FLOAT32_TOLERANCE


def test_scaling_by_the_whole_batch_would_show(clips):
    whole = torch.from_numpy(clips.copy())
    lifted = whole - whole.min()
    quiet = (2 * lifted / lifted.max() - 1)[-1:]
    scaled = hear_frontend.scaled(whole)[-1:]
    assert distance(quiet.numpy(), scaled.numpy()) > 0.3


def test_a_constant_clip_gives_a_finite_image():
    assert np.isfinite(image_of(np.full((1, 32_000), 0.25, np.float32))).all()
