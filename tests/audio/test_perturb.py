"""Each perturbation does what its title says, the same every time, and to a copy."""

import numpy as np
import pytest
from scipy.signal import lfilter

from cryhear import params
from cryhear.audio import perturb
from cryhear.audio.perturb import ALTERNATIVES, PERTURBATIONS, generator
from cryhear.embedding import build_tables
from cryhear.errors import AudioError
from cryhear.params import Preprocess

RATE = 16_000
NAMES = sorted(PERTURBATIONS)


@pytest.fixture(scope="module")
def cry():
    """Harmonic, gliding, coming and going: enough like a cry for a codec. 3 s, RMS about 0.1."""
    time = np.arange(3 * RATE) / RATE
    pulses = np.sign(np.sin(2 * np.pi * 450 * time + 20 * np.sin(2 * np.pi * 0.7 * time)))
    x = lfilter([0.1], [1, -0.7], pulses * (np.sin(2 * np.pi * 0.8 * time) > -0.5))
    return x.astype(np.float32)


def apply(name, x, seed=1):
    if name not in perturb.possible():
        pytest.skip(f"this PyAV has no encoder for {name}")
    return PERTURBATIONS[name](x, RATE, generator(name, "recording", seed))


def band_db(x, low, high):
    power = np.abs(np.fft.rfft(x)) ** 2
    frequency = np.fft.rfftfreq(len(x), 1 / RATE)
    inside = (frequency >= low) & (frequency < high)
    return 10 * np.log10(power[inside].sum() / power.sum())


@pytest.mark.parametrize("name", NAMES)
def test_deterministic_finite_float32_and_input_kept(name, cry):
    before = cry.copy()
    first, again = apply(name, cry), apply(name, cry)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(cry, before)
    assert not np.shares_memory(first, cry)
    offset = PERTURBATIONS[name].family == "offset"
    assert len(first) == len(cry) - offset * round(PERTURBATIONS[name].value * RATE)
    assert len(first) != len(cry) or np.abs(first - cry).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [2 * RATE, 2 * RATE + 7])
def test_short_and_silent_recordings_survive(name, samples, cry):
    assert np.isfinite(apply(name, cry[:samples])).all()
    silent = apply(name, np.zeros(samples, np.float32))
    # Encoders dither; anything that counts as sound would be above -60 dBFS.
    assert np.sqrt(np.mean(silent**2)) < 1e-3
    assert len(silent) >= 2 * RATE


@pytest.mark.parametrize("name", [n for n in NAMES if "noise" in n])
def test_noise_has_its_level_and_colour(name, cry):
    noise = apply(name, cry) - cry
    snr = 10 * np.log10(np.mean(cry**2) / np.mean(noise**2))
    assert snr == pytest.approx(PERTURBATIONS[name].value, abs=0.05)
    octaves = band_db(noise, 2000, 4000) - band_db(noise, 500, 1000)
    # Two octaves up, a band twice twice as wide: white +6 dB, pink +0 dB.
    assert octaves == pytest.approx(6.0 if "white" in name else 0.0, abs=1.0)
    other = PERTURBATIONS[name](cry, RATE, generator(name, "another", 1)) - cry
    assert abs(np.corrcoef(noise, other)[0, 1]) < 0.05


def test_gain_clips_at_full_scale(cry):
    np.testing.assert_allclose(apply("gain_minus_20db", cry), cry / 10, atol=1e-7)
    loud = apply("gain_plus_10db", cry * np.float32(3.0))
    assert np.abs(loud).max() == 1.0
    assert (np.abs(loud) == 1.0).mean() > 0.05


@pytest.mark.parametrize("name", ["lowpass_4khz", "resample_8khz", "codec_amr_nb"])
def test_narrow_bands_are_empty_above_4_khz(name, cry):
    assert band_db(cry, 4300, 8000) > -30
    assert band_db(apply(name, cry), 4300, 8000) < -50
    assert band_db(apply(name, cry), 300, 3000) > -3


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("codec")])
def test_codecs_keep_the_sound_in_place(name, cry):
    result = apply(name, cry)
    # Lossy but alike; a delay of a tenth of a period (4 samples) would fail.
    assert np.corrcoef(result, cry)[0, 1] > 0.9


def test_offset_never_leaves_less_than_a_clip(cry):
    np.testing.assert_array_equal(apply("offset_250ms", cry), cry[4000:])
    assert len(apply("offset_500ms", cry[: 2 * RATE + 100])) == 2 * RATE


def test_names_titles_and_units_are_set():
    assert list(PERTURBATIONS) == [p.name for p in PERTURBATIONS.values()]
    assert len({p.title for p in PERTURBATIONS.values()}) == len(PERTURBATIONS)
    assert {p.unit for p in PERTURBATIONS.values()} == {"dB SNR", "dB", "Hz", "bit/s", "s"}


def test_bad_waveforms_and_missing_encoders_are_refused(cry):
    with pytest.raises(AudioError):
        apply("gain_minus_10db", np.array([np.nan], np.float32))
    with pytest.raises(AudioError, match="no_such_codec"):
        perturb.through_codec(cry, RATE, None, "no_such_codec", "wav", RATE, 16_000)


def test_alternatives_name_settings_that_the_study_does_not_have():
    base = Preprocess().model_dump()
    for changes in ALTERNATIVES.values():
        assert set(changes) <= set(base)
        assert all(base[name] != value for name, value in changes.items())


def test_a_codec_that_cannot_be_encoded_here_is_left_out_by_name(monkeypatch):
    """PyAV 19's wheels have no AMR encoder: the other conditions are made all the same."""
    monkeypatch.setattr(perturb, "available", lambda codec: codec != "libopencore_amrnb")
    left_out = [name for name in PERTURBATIONS if name not in perturb.possible()]
    assert left_out == ["codec_amr_nb"]
    study = params.Study(name="x", source={"derived": "x"}, embed={"variants": ["perturbed"]})
    assert [version.name for version in build_tables.versions(study)] == perturb.possible()
