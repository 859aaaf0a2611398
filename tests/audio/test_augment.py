"""Augmented copies: the same wherever and whenever they are made, and the original's ranges."""

import random
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from cryhear.audio.augment import augment, copy_seed
from cryhear.errors import AudioError, ParameterError

RATE = 16_000


def settings(**changes):
    values = {
        "copies": 2,
        "noise_amplitude": (0.001, 0.015),
        "stretch_rate": (0.8, 1.25),
        "pitch_semitones": (-4.0, 4.0),
        "shift_fraction": (-0.5, 0.5),
        "p_noise": 0.5,
        "p_stretch": 0.5,
        "p_pitch": 0.5,
        "p_shift": 0.3,
        "p_augment": 0.5,
    }
    return SimpleNamespace(**(values | changes))


ALWAYS = settings(p_noise=1.0, p_stretch=1.0, p_pitch=1.0, p_shift=1.0, p_augment=1.0)


@pytest.fixture
def cry(tone):
    return tone(2.5, 450.0, 0.2)


def peak_frequency(x):
    return np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * RATE / len(x)


def test_a_copy_does_not_depend_on_order_or_on_the_global_generators(cry):
    keys = [("a", 0), ("a", 1), ("b", 0)]
    first = {key: augment(cry, RATE, *key, ALWAYS, 42) for key in keys}
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    for key in reversed(keys):
        np.testing.assert_array_equal(augment(cry, RATE, *key, ALWAYS, 42), first[key])
    assert not np.array_equal(first["a", 0], first["a", 1])
    assert not np.array_equal(first["a", 0], first["b", 0])
    assert not np.array_equal(first["a", 0], augment(cry, RATE, "a", 0, ALWAYS, 43))


def test_a_copy_is_the_same_on_any_number_of_threads(cry):
    keys = [(f"r{i}", i % 2) for i in range(8)]
    alone = [augment(cry, RATE, *key, settings(p_augment=1.0), 1) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        together = list(
            pool.map(lambda key: augment(cry, RATE, *key, settings(p_augment=1.0), 1), keys)
        )
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_global_generators_are_put_back(cry):
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    augment(cry, RATE, "a", 0, ALWAYS, 42)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_length_type_and_input_are_kept(cry):
    before = cry.copy()
    result = augment(cry, RATE, "a", 0, ALWAYS, 42)
    assert result.shape == cry.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(cry, before)


def test_level_only_scales_the_copy(cry):
    loud = augment(cry, RATE, "a", 0, ALWAYS, 42)
    quiet = augment(cry * np.float32(0.125), RATE, "a", 0, ALWAYS, 42)
    # A phase vocoder between: float32 rounding of a waveform of amplitude 0.2 grows a little.
    np.testing.assert_allclose(quiet * 8.0, loud, atol=1e-4)


def test_about_half_of_the_copies_are_left_alone(cry):
    drawn = [random.Random(copy_seed(f"r{i}", 0, 42)).random() for i in range(2000)]
    assert abs(sum(u >= 0.5 for u in drawn) - 1000) < 4 * np.sqrt(500)  # four standard deviations
    left_alone = next(i for i, u in enumerate(drawn) if u >= 0.5)
    np.testing.assert_array_equal(augment(cry, RATE, f"r{left_alone}", 0, settings(), 42), cry)


def test_each_transform_does_what_its_range_says(cry):
    off = {"p_noise": 0.0, "p_stretch": 0.0, "p_pitch": 0.0, "p_shift": 0.0, "p_augment": 1.0}
    pitched = augment(
        cry, RATE, "a", 0, settings(**(off | {"p_pitch": 1.0}), pitch_semitones=(4.0, 4.0)), 1
    )
    assert peak_frequency(pitched) == pytest.approx(450 * 2 ** (4 / 12), rel=0.02)
    noisy = augment(
        cry, RATE, "a", 0, settings(**(off | {"p_noise": 1.0}), noise_amplitude=(0.01, 0.01)), 1
    )
    rms = np.sqrt(np.mean(cry.astype(float) ** 2))
    assert np.std(noisy - cry) == pytest.approx(0.01 * rms, rel=0.05)
    fast = augment(
        cry, RATE, "a", 0, settings(**(off | {"p_stretch": 1.0}), stretch_rate=(1.25, 1.25)), 1
    )
    assert not fast[-int(0.15 * len(cry)) :].any()
    assert peak_frequency(fast) == pytest.approx(450, rel=0.02)
    shifted = augment(
        cry, RATE, "a", 0, settings(**(off | {"p_shift": 1.0}), shift_fraction=(0.25, 0.25)), 1
    )
    quarter = round(0.25 * len(cry))
    np.testing.assert_allclose(shifted[quarter + 200 :], cry[200:-quarter], atol=1e-6)


def test_silence_stays_silence():
    assert not augment(np.zeros(RATE, np.float32), RATE, "a", 0, ALWAYS, 1).any()


def test_bad_input_and_settings_are_refused(cry):
    with pytest.raises(AudioError):
        augment(np.array([0.0, np.nan], np.float32), RATE, "a", 0, ALWAYS, 1)
    with pytest.raises(ParameterError):
        augment(cry, RATE, "a", 0, settings(noise_amplitude=(0.5, 0.1)), 1)
