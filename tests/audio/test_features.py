"""What is measured of a tone, noise and silence; tables that show a recording and cannot be played."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import soundfile
from made_sound import RATE

from cryhear.audio import decode, features
from cryhear.audio.features import measure
from cryhear.errors import AudioError
from cryhear.params import Preprocess

BAND_TOLERANCE_HZ = 150
"""Half the width of a mel band near 1 kHz, generously."""


@pytest.mark.parametrize("frequency", [500.0, 1000.0, 3000.0])
def test_a_tone_lands_in_its_band(tone, frequency):
    spectrum = features.mean_spectrum(tone(2.0, frequency))
    assert features.mel_centres()[spectrum.argmax()] == pytest.approx(
        frequency, abs=BAND_TOLERANCE_HZ
    )


def test_halving_the_amplitude_lowers_the_spectrum_by_six_decibels(tone):
    loud, soft = (features.mean_spectrum(tone(2.0, 1000.0, a)).max() for a in (0.4, 0.2))
    assert loud - soft == pytest.approx(6.02, abs=0.01)


def test_an_envelope_holds_the_extremes(tone):
    low, high = features.envelope(tone(3.0, 440.0, 0.3))
    assert low.shape == high.shape == (features.POINTS,)
    assert high.max() == pytest.approx(0.3, abs=1e-3)
    assert low.min() == pytest.approx(-0.3, abs=1e-3)


def test_steps_hold_every_stage_in_three_pictures(tone):
    x = tone(3.0, 440.0, 0.3)
    table = features.steps({"recording": x, "half": x / 2})
    assert table["step"].unique().tolist() == ["recording", "half"]
    assert set(table["kind"]) == {"envelope", "snippet", "spectrum"}
    peaks = table[table["kind"] == "envelope"].groupby("step", sort=False)["high"].max()
    assert peaks.tolist() == pytest.approx([0.3, 0.15], rel=0.01)


def test_the_chain_of_an_example_ends_at_the_target_level(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", tone(3.0, 440.0, 0.3), RATE)
    row = {"recording": "a", "path": tmp_path / "a.wav", "label": "pain", "duration_s": 3.0,
           "clipping_share": 0.0, "level_dbfs": -14.0}  # fmt: skip
    settings = Preprocess()
    table = features.all_tables(pd.DataFrame([row]), settings)["steps"]
    assert table["step"].unique().tolist() == ["recording", "Wiener", "Gaussian", "RMS"]
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
    tables = features.all_tables(pd.DataFrame(columns=columns), Preprocess())
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


def test_measures_level_peak_and_clipping(tone):
    x = tone(2.0, 440.0, 0.5)
    m = measure(x, RATE)
    assert m["level_dbfs"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert m["peak"] == pytest.approx(0.5, abs=1e-3)
    assert m["clipping_share"] == 0
    clipped = np.clip(4 * x, -1, 1)
    # |2 sin| >= 0.99 for all but 2 asin(0.495) of every pi.
    assert measure(clipped, RATE)["clipping_share"] == pytest.approx(
        1 - 2 * np.arcsin(0.495) / np.pi, abs=0.01
    )


def test_measures_the_band_that_a_source_had(tmp_path):
    noise = 0.2 * np.random.default_rng(1).standard_normal(3 * 8000)
    soundfile.write(tmp_path / "a.wav", np.clip(noise, -1, 1), 8000)
    narrow = decode.decode(tmp_path / "a.wav").samples
    assert 3_700 < measure(narrow, RATE)["bandwidth_hz"] < 4_200
    wide = np.random.default_rng(1).standard_normal(3 * RATE).astype(np.float32)
    assert measure(wide, RATE)["bandwidth_hz"] > 7_900


def test_measures_the_share_of_silence(tone):
    x = tone(4.0)
    x[RATE:] = 0
    assert measure(x, RATE)["silence_share"] == pytest.approx(0.75, abs=0.01)
    assert measure(np.zeros(RATE, np.float32), RATE)["level_dbfs"] == -200
    assert measure(x[:5], RATE)["silence_share"] == 0


def test_measure_refuses_what_is_not_one_channel():
    with pytest.raises(AudioError, match="one channel"):
        measure(np.zeros((4, 2), np.float32), RATE)
    with pytest.raises(AudioError, match="one channel"):
        measure(np.zeros(0, np.float32), RATE)


def test_a_band_is_empty_only_at_the_floor_of_the_measurement(tone):
    spectrum = features.mean_spectrum(tone(1.0, 1000.0, 0.1))
    assert spectrum.max() > features.EMPTY_DB
    assert (features.mean_spectrum(np.zeros(RATE, np.float32)) <= features.EMPTY_DB).all()


def test_bands_become_long_and_keep_what_names_them() -> None:
    table = pd.DataFrame(
        {
            "recording": ["a", "b"],
            "set": ["u", "u"],
            "band_0": [-10.0, -20.0],
            "band_1": [-30.0, -40.0],
        }
    )
    long = features.long_bands(table)
    assert list(long.columns) == ["recording", "set", "frequency_hz", "level_db"]
    assert long["frequency_hz"].between(0, 8000, inclusive="neither").all()


def test_treble_is_the_loudest_above_a_frequency_against_the_loudest_of_all() -> None:
    bands = pd.DataFrame(
        {
            "label": ["a", "a", "b", "b"],
            "frequency_hz": [1000.0, 5000.0, 1000.0, 5000.0],
            "level_db": [-10.0, -45.0, -30.0, -20.0],
        }
    )
    assert features.treble(bands, "label").to_dict() == {"a": -35.0, "b": 0.0}
