"""Mel filters: TensorFlow's convention."""

from __future__ import annotations

import numpy as np
import pytest

from cryhear.embedding.logmel import hz_to_mel, mel_matrix


def test_hz_to_mel_is_htk():
    assert hz_to_mel(700.0) == pytest.approx(2595 * np.log10(2))
    assert hz_to_mel(1000.0) == pytest.approx(1000.0, abs=0.1)


def test_weights_are_triangles_of_unit_height_without_dc():
    weights = mel_matrix(40, 2001, 16_000, 0.0, 8000.0)
    assert weights.shape == (2001, 40)
    assert (weights[0] == 0).all()
    assert weights.min() == 0
    np.testing.assert_allclose(
        weights[:, 5:].max(axis=0), 1.0, atol=0.06
    )  # bins of 4 Hz miss peaks
    # Between the first and last centre neighbours share each bin in full.
    centres = weights.argmax(axis=0)
    np.testing.assert_allclose(weights[centres[0] + 1 : centres[-1]].sum(axis=1), 1.0, atol=1e-9)


def test_equal_to_tensorflow():
    tf = pytest.importorskip("tensorflow")
    expected = tf.signal.linear_to_mel_weight_matrix(128, 201, 16_000, 0.0, 8000.0, tf.float64)
    # TensorFlow keeps the edges in single precision.
    np.testing.assert_allclose(mel_matrix(128, 201, 16_000, 0.0, 8000.0), expected, atol=1e-4)
