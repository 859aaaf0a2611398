"""Tables behind figures: they show a recording and cannot be played back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear.audio import features
from cryhear.params import Preprocess

BAND_TOLERANCE_HZ = 150
"""Half the width of a mel band near 1 kHz, generously."""


def centres() -> np.ndarray:
    return np.array(
        [
            np.average(np.fft.rfftfreq(1024, 1 / 16_000), weights=row)
            for row in features.mel_filters()
        ]
    )


def test_mel_filters_are_means_and_rise_in_frequency():
    filters = features.mel_filters()
    assert filters.shape == (features.BANDS, 513)
    np.testing.assert_allclose(filters.sum(axis=1), 1.0)
    assert (np.diff(centres()) > 0).all()


@pytest.mark.parametrize("frequency", [500.0, 1000.0, 3000.0])
def test_a_tone_lands_in_its_band(tone, frequency):
    spectrum = features.mean_spectrum(tone(2.0, frequency))
    assert centres()[spectrum.argmax()] == pytest.approx(frequency, abs=BAND_TOLERANCE_HZ)


def test_halving_the_amplitude_lowers_the_spectrum_by_six_decibels(tone):
    loud, soft = (features.mean_spectrum(tone(2.0, 1000.0, a)).max() for a in (0.4, 0.2))
    assert loud - soft == pytest.approx(6.02, abs=0.01)


def test_an_envelope_holds_the_extremes(tone):
    low, high = features.envelope(tone(3.0, 440.0, 0.3))
    assert low.shape == high.shape == (features.POINTS,)
    assert high.max() == pytest.approx(0.3, abs=1e-3)
    assert low.min() == pytest.approx(-0.3, abs=1e-3)


def test_the_steps_of_the_chain_end_at_the_target_level(tone):
    settings = Preprocess()
    table = features.steps(tone(3.0, 440.0, 0.3), settings)
    assert table["step"].unique().tolist() == ["recording", "Wiener", "Gaussian", "RMS"]
    assert set(table["kind"]) == {"envelope", "snippet", "spectrum"}
    peak = table[(table["step"] == "RMS") & (table["kind"] == "envelope")]["high"].max()
    assert peak == pytest.approx(settings.rms_target * np.sqrt(2), rel=0.01)


def test_no_example_is_an_empty_table_and_no_error():
    columns = [
        "recording",
        "path",
        "folder",
        "name",
        "label",
        "duration_s",
        "clipping_share",
        "level_dbfs",
    ]
    tables = features.all_tables(pd.DataFrame(columns=columns), Preprocess(), 0)
    assert set(tables) == {"spectra", "levels", "envelopes", "spectrograms", "steps"}
    assert all(table.empty for table in tables.values())


def test_recordings_of_a_fit_length_are_shown_before_others():
    table = pd.DataFrame({
        "recording": ["a", "b", "c", "d", "e", "f"], "label": ["hunger"] * 5 + ["pain"],
        "duration_s": [6.0, 3.0, 7.0, 1.0, 3.0, 2.5],
        "level_dbfs": [-30.0, -20.0, -20.0, -20.0, -40.0, -20.0],
        "clipping_share": [0.0, 0.0, 0.5, 0.0, 0.0, 0.0],
    })  # fmt: skip
    # 'a' alone is fit; of the rest, 'b' and 'c' are at the median of their level; 'd' is shorter than a clip.
    assert features.examples(table)["recording"].tolist() == ["a", "b", "f"]
