"""Measuring recordings: what is known of a tone, of noise and of silence."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from made_sound import RATE

from cryhear.audio import decode
from cryhear.audio.measurements import measure
from cryhear.errors import AudioError


def test_measures_level_peak_and_clipping(tone):
    x = tone(2.0, 440.0, 0.5)
    m = measure(x, RATE)
    assert m.level_dbfs == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert m.peak == pytest.approx(0.5, abs=1e-3)
    assert m.clipping_share == 0
    clipped = np.clip(4 * x, -1, 1)
    # |2 sin| >= 0.99 for all but 2 asin(0.495) of every pi.
    assert measure(clipped, RATE).clipping_share == pytest.approx(
        1 - 2 * np.arcsin(0.495) / np.pi, abs=0.01
    )


def test_measures_the_band_that_a_source_had(tmp_path):
    noise = 0.2 * np.random.default_rng(1).standard_normal(3 * 8000)
    soundfile.write(tmp_path / "a.wav", np.clip(noise, -1, 1), 8000)
    narrow = decode.decode(tmp_path / "a.wav").samples
    assert 3_700 < measure(narrow, RATE).bandwidth_hz < 4_200
    wide = np.random.default_rng(1).standard_normal(3 * RATE).astype(np.float32)
    assert measure(wide, RATE).bandwidth_hz > 7_900


def test_measures_the_share_of_silence(tone):
    x = tone(4.0)
    x[RATE:] = 0
    assert measure(x, RATE).silence_share == pytest.approx(0.75, abs=0.01)
    assert measure(np.zeros(RATE, np.float32), RATE).level_dbfs == -200
    assert measure(x[:5], RATE).silence_share == 0


def test_measure_refuses_what_is_not_one_channel():
    with pytest.raises(AudioError, match="one channel"):
        measure(np.zeros((4, 2), np.float32), RATE)
    with pytest.raises(AudioError, match="one channel"):
        measure(np.zeros(0, np.float32), RATE)
