"""The preprocessing chain against SciPy and against plain statements of what it should do."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import wiener as scipy_wiener

from cryhear.audio import preprocess
from cryhear.errors import AudioError, ParameterError

RATE = 16_000
CLIP = 32_000

# Signals here stay within [-1, 1]; float32 keeps 6e-8 of full scale, and each step adds a few.
FLOAT32_TOLERANCE = 5e-7


def settings(**changes):
    values = {
        "sample_rate": RATE,
        "wiener": True,
        "wiener_size": 3,
        "gaussian": True,
        "gaussian_sigma": 0.5,
        "rms": True,
        "rms_target": 0.1,
        "clip_seconds": 2.0,
        "overlap": 0.10,
        "tail": "slide",
        "short": "skip",
        "silence_dbfs": -50.0,
    }
    return SimpleNamespace(**(values | changes))


def recording(seconds=7.0, seed=0, level=0.2):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 450 * time) * (1 + np.sin(2 * np.pi * 0.7 * time))
    return (level * (tone + 0.1 * rng.standard_normal(time.size)) / 2.2).astype(np.float32)


@pytest.mark.parametrize("size", [3, 5, 11])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_wiener_equals_scipy_in_double_precision(size, offset):
    x = recording() + np.float32(offset)
    expected = scipy_wiener(x.astype(np.float64), size)
    result = preprocess.wiener(x, size)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=FLOAT32_TOLERANCE)
    # The tolerance would notice if the filter did nothing.
    assert np.abs(x - expected).max() > 100 * FLOAT32_TOLERANCE


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("value", [0.0, 1e-30])
def test_wiener_of_silence_is_finite_and_silent(size, value):
    result = preprocess.wiener(np.full(1000, value, np.float32), size)
    assert np.abs(result).max() <= value


@pytest.mark.filterwarnings("error")
def test_wiener_survives_silence_inside_a_recording():
    x = recording()
    x[20_000:60_000] = 0.0
    assert np.isfinite(preprocess.wiener(x)).all()
    assert not preprocess.wiener(x)[20_001:59_999].any()


@pytest.mark.parametrize("sigma", [0.5, 1.3, 6.0])
def test_gaussian_equals_scipy(sigma):
    x = recording()
    expected = gaussian_filter1d(x.astype(np.float64), sigma)
    np.testing.assert_allclose(preprocess.gaussian(x, sigma), expected, atol=FLOAT32_TOLERANCE)


def test_gaussian_of_fewer_samples_than_its_kernel():
    x = np.array([1.0, -1.0], np.float32)
    expected = gaussian_filter1d(x.astype(np.float64), 2.0)
    np.testing.assert_allclose(preprocess.gaussian(x, 2.0), expected, atol=FLOAT32_TOLERANCE)


def test_rms_normalise_reaches_its_target_and_keeps_silence():
    result = preprocess.rms_normalise(recording(), 0.1)
    assert np.sqrt(np.mean(result.astype(np.float64) ** 2)) == pytest.approx(0.1, rel=1e-6)
    assert not preprocess.rms_normalise(np.zeros(10, np.float32)).any()


def test_level_of_full_scale_square_and_of_silence():
    assert preprocess.level_dbfs(np.ones(100, np.float32)) == pytest.approx(0.0, abs=1e-6)
    assert preprocess.level_dbfs(np.zeros(100, np.float32)) == -200.0


@pytest.mark.parametrize(
    ("tail", "expected"),
    [("slide", [0, 28_800, 57_600, 80_000]), ("drop", [0, 28_800, 57_600]),
     ("pad", [0, 28_800, 57_600, 86_400])],
)  # fmt: skip
def test_clip_starts_of_seven_seconds(tail, expected):
    starts = preprocess.clip_starts(7 * RATE, CLIP, 28_800, tail)
    assert starts.tolist() == expected
    assert starts.dtype == np.int64


@pytest.mark.parametrize("tail", ["slide", "drop", "pad"])
def test_exact_fit_needs_no_tail(tail):
    assert preprocess.clip_starts(CLIP, CLIP, 28_800, tail).tolist() == [0]
    assert preprocess.clip_starts(28_800 + CLIP, CLIP, 28_800, tail).tolist() == [0, 28_800]


def test_clips_are_the_recording_from_their_start():
    x = recording()
    starts, cut = preprocess.clips(x, settings())
    assert cut.shape == (4, CLIP)
    assert cut.dtype == np.float32
    for start, clip in zip(starts, cut, strict=True):
        np.testing.assert_array_equal(clip, x[start : start + CLIP])


def test_padded_tail_ends_in_zeros():
    starts, cut = preprocess.clips(recording(), settings(tail="pad"))
    assert starts[-1] == 86_400
    assert cut[-1][: 112_000 - 86_400].any()
    assert not cut[-1][112_000 - 86_400 :].any()


def test_short_recordings_are_skipped_or_padded():
    x = recording(1.5)
    starts, cut = preprocess.run(x, settings())
    assert starts.shape == (0,)
    assert cut.shape == (0, CLIP)
    starts, cut = preprocess.clips(x, settings(short="pad"))
    assert starts.tolist() == [0]
    np.testing.assert_array_equal(cut[0, : x.size], x)
    assert not cut[0, x.size :].any()


def test_run_equals_the_original_chain():
    x = recording()
    y = gaussian_filter1d(scipy_wiener(x).astype(np.float32), sigma=0.5)
    y = y / (np.sqrt(np.mean(y**2)) + 1e-9)
    expected = np.stack([y[s : s + CLIP] for s in range(0, len(y) - CLIP + 1, 28_800)])
    starts, cut = preprocess.run(x, settings(rms_target=1.0, tail="drop"))
    assert starts.tolist() == [0, 28_800, 57_600]
    # At RMS 1 the peaks reach about 3, and SciPy rounds squares to float32 on the way.
    np.testing.assert_allclose(cut, expected, atol=10 * FLOAT32_TOLERANCE)


def test_silent_clips_are_judged_before_normalisation():
    x = recording()
    x[:CLIP] *= np.float32(1e-4)
    x[CLIP:] = recording(level=0.2)[CLIP:]
    starts, _ = preprocess.run(x, settings(overlap=0.0))
    assert 0 not in starts
    assert len(starts) == 3
    # The whole recording below the threshold keeps its loudest clip, however quiet.
    starts, cut = preprocess.run(x * np.float32(1e-4), settings(overlap=0.0))
    assert len(starts) == 1
    assert starts[0] != 0
    assert np.isfinite(cut).all()


@pytest.mark.filterwarnings("error")
def test_digital_silence_gives_one_silent_clip():
    starts, cut = preprocess.run(np.zeros(5 * RATE, np.float32), settings())
    assert len(starts) == 1
    assert not cut.any()


def test_every_step_is_optional():
    x = recording()
    _, cut = preprocess.run(x, settings(wiener=False, gaussian=False, rms=False))
    np.testing.assert_array_equal(cut[0], x[:CLIP])
    assert not np.shares_memory(preprocess.condition(x, settings(wiener=False, gaussian=False)), x)


def test_transform_comes_between_denoising_and_cutting():
    x = recording()
    plain = preprocess.run(x, settings())[1]
    flipped = preprocess.run(x, settings(), transform=np.negative)[1]
    np.testing.assert_array_equal(flipped, -plain)


def test_inputs_are_not_changed():
    x = recording()
    before = x.copy()
    preprocess.run(x, settings())
    preprocess.wiener(x, 5)
    preprocess.rms_normalise(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("bad", [np.zeros((2, 100), np.float32), np.zeros(100, np.int16),
                                 np.array([0.0, np.nan]), np.array([0.0, np.inf])])  # fmt: skip
def test_unusable_waveforms_are_refused(bad):
    with pytest.raises(AudioError):
        preprocess.run(bad, settings())


@pytest.mark.parametrize("call", [lambda x: preprocess.wiener(x, 4),
                                  lambda x: preprocess.gaussian(x, 0.0),
                                  lambda x: preprocess.rms_normalise(x, 0.0),
                                  lambda x: preprocess.clip_starts(10, 5, 5, "wrap")])  # fmt: skip
def test_unusable_settings_are_refused(call):
    with pytest.raises(ParameterError):
        call(recording(0.1))
