"""Synthetic cries: deterministic, shaped as their settings say, and heard as a baby's."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import soundfile
from pydantic import ValidationError

from cryhear.audio.synthesis import formants
from cryhear.corpus.find import find_recordings
from cryhear.corpus.synthetic import CrySettings, SyntheticCorpus, corpus, cry, recording_settings
from cryhear.files import sha256_of

RATE = 16_000
BABY_CRY = 20
CRYING = 19

# A plain voice, so that one thing at a time can be measured.
PLAIN = {
    "jitter": 0.0, "shimmer": 0.0, "roughness": 0.0, "p_subharmonic": 0.0, "p_hyperphonation": 0.0,
    "vibrato_depth": 0.0, "aspiration_db": -60.0, "reverberation_s": 0.0, "snr_db": 80.0,
}  # fmt: skip
STILL = dict.fromkeys(
    ("f0", "roughness", "first_cry", "melody", "breathiness", "tract", "expiration"), 0.0
)
SMALL = SyntheticCorpus(infants=5, recordings=(2, 2), seconds=2.0)


def make(seed=0, **settings):
    return cry(CrySettings(**settings), np.random.default_rng(seed))


def pitch(x, rate=RATE):
    """Median F0 over loud 64 ms frames, by autocorrelation, Hz."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 1024)[::512]
    energy = (frames**2).sum(axis=1)
    found = []
    for frame in frames[energy > np.quantile(energy, 0.6)]:
        r = np.fft.irfft(np.abs(np.fft.rfft(frame * np.hanning(1024), 4096)) ** 2)
        lags = np.arange(rate // 1000, rate // 150)
        found.append(rate / lags[np.argmax(r[lags] * (1 - 0.3 * lags / lags[-1]))])
    return float(np.median(found))


def noise_share(x):
    """Energy between the harmonics: spectral flatness over loud frames, 0 to 1."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 1024)[::512] * np.hanning(1024)
    power = np.abs(np.fft.rfft(frames))[:, 20:300] ** 2 + 1e-20
    loud = power.sum(axis=1) > np.quantile(power.sum(axis=1), 0.6)
    return float(np.median(np.exp(np.log(power[loud]).mean(axis=1)) / power[loud].mean(axis=1)))


@pytest.mark.parametrize(("seconds", "rate"), [(0.5, 8000), (7.0, 16_000), (3.3, 48_000)])
def test_length_type_and_level(seconds, rate):
    x = make(seconds=seconds, sample_rate=rate)
    assert x.shape == (round(seconds * rate),)
    assert x.dtype == np.float32
    assert np.abs(x).max() <= 1.0
    assert 20 * np.log10(np.std(x)) == pytest.approx(-20.0, abs=0.5)


def test_one_seed_one_cry():
    np.testing.assert_array_equal(make(3), make(3))
    assert not np.array_equal(make(3), make(4))


@pytest.mark.parametrize("f0", [350.0, 496.0, 650.0])
def test_pitch_follows_its_setting(f0):
    # Infants' F0 moves within a cry, from 0.8 to 1.2 of the mean: 15 % holds the median.
    assert pitch(make(1, f0_hz=f0, **PLAIN)) == pytest.approx(f0, rel=0.15)


def test_roughness_and_breath_fill_the_gaps_between_harmonics():
    clean = noise_share(make(1, **PLAIN))
    rough = noise_share(make(1, **(PLAIN | {"roughness": 0.9})))
    breathy = noise_share(make(1, **(PLAIN | {"aspiration_db": -5.0})))
    assert rough > 3 * clean
    assert breathy > 3 * clean


def test_formants_are_those_of_a_uniform_tube():
    np.testing.assert_allclose(formants(8.75)[:3], [1000, 3000, 5000])


def test_a_cry_breathes():
    x = make(1, seconds=10.0, **PLAIN)
    level = np.sqrt(np.convolve(x**2, np.ones(800) / 800, "same"))
    silent = (level < 0.05 * level.max()).mean()
    assert 0.1 < silent < 0.5


def test_band_limit_of_a_telephone():
    power = np.abs(np.fft.rfft(make(1, bandwidth_hz=3700.0, **PLAIN))) ** 2
    above = np.fft.rfftfreq(7 * RATE, 1 / RATE) > 5000
    assert power[above].sum() / power.sum() < 1e-4
    full = np.abs(np.fft.rfft(make(1, **PLAIN))) ** 2
    assert full[above].sum() / full.sum() > 1e-3


def test_effects_move_what_they_name():
    base = recording_settings(STILL, "04", "ios")
    moved = recording_settings(STILL | {"f0": 1.0, "roughness": 1.0, "first_cry": 1.0}, "04", "ios")
    assert moved.f0_hz - base.f0_hz == pytest.approx(95.0)
    assert moved.roughness > base.roughness
    assert moved.first_expiration_s - base.first_expiration_s == pytest.approx(0.6)
    assert recording_settings(STILL, "72", "ios").tract_cm > base.tract_cm


@pytest.mark.parametrize("wrong", [{"f0": 500}, {"f0_hz": 50}, {"seconds": -1}])
def test_wrong_cry_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        CrySettings(**wrong)


@pytest.mark.parametrize("wrong", [{"recordings": (3, 2)}, {"classes": {"joy": 1.0}},
                                   {"directions": {"pain": {"colour": 1.0}}},
                                   {"infants": 0}])  # fmt: skip
def test_wrong_corpus_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        SyntheticCorpus(**wrong)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("synthetic"), SMALL, seed=7)


def test_corpus_is_found_as_donate_a_cry(written):
    found = find_recordings(written)
    truth = pd.read_parquet(written / "truth.parquet")
    assert len(found) == len(truth) == 10
    assert "synthetic" in written.name
    assert (found["set"] == "uploads").all()
    merged = found.assign(path=[str(p)[len(str(written)) + 1 :] for p in found["path"]]).merge(
        truth, on="path", suffixes=("", "_true")
    )
    assert len(merged) == 10
    for column in ("instance", "platform", "sex", "age_band", "reason"):
        assert (merged[column] == merged[f"{column}_true"]).all(), column
    assert truth["instance"].nunique() == 5
    assert (merged.groupby("instance")["time_unix"].diff().dropna() > 5).all()


def test_corpus_files_are_what_their_phones_write(written):
    for path in written.rglob("*.wav"):
        info = soundfile.info(path)
        assert info.samplerate == (8000 if "android" in path.parent.name else 16_000)
        assert info.duration == pytest.approx(2.0)
        assert info.subtype == "PCM_16"


def test_corpus_is_deterministic_and_grows_at_its_end(written, tmp_path):
    larger = corpus(tmp_path, SMALL.model_copy(update={"infants": 6}), seed=7)
    before = {p.relative_to(written): sha256_of(p) for p in written.rglob("*.wav")}
    after = {p.relative_to(larger): sha256_of(p) for p in larger.rglob("*.wav")}
    assert before.items() < after.items()
    other = corpus(tmp_path / "other", SMALL, seed=8)
    assert not {p.name for p in other.rglob("*.wav")} & {p.name for p in before}


def test_classes_are_shared_out_and_an_effect_moves_only_what_it_names(monkeypatch, tmp_path):
    # Voices are not needed to check who was drawn.
    monkeypatch.setattr(
        "cryhear.corpus.synthetic.cry", lambda settings, rng: np.zeros(100, np.float32)
    )
    tables = {}
    for effect in (0.0, 1.2):
        root = corpus(tmp_path / str(effect), SyntheticCorpus(infants=40, effect=effect), 1)
        tables[effect] = pd.read_parquet(root / "truth.parquet")
    still, moved = tables[0.0], tables[1.2]
    usual = moved.groupby("infant")["label"].agg(lambda labels: labels.mode()[0])
    assert usual.value_counts(normalize=True)["hunger"] == pytest.approx(0.4, abs=0.1)
    assert (moved.groupby("label")["infant"].nunique() >= 12).all()
    pain, neurological = moved["label"] == "pain", moved["label"] == "neurological"
    np.testing.assert_allclose(moved["z_f0"] - still["z_f0"], 1.2 * pain, atol=1e-12)
    np.testing.assert_allclose(
        moved["z_breathiness"] - still["z_breathiness"], 1.2 * neurological, atol=1e-12
    )
    np.testing.assert_array_equal(moved["z_tract"], still["z_tract"])


@pytest.fixture(scope="module")
def listener(yamnet_path) -> Callable[[np.ndarray], np.ndarray]:
    """YAMNet's 521 scores, averaged over half-overlapping windows of 15,600 samples."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    net = litert.Interpreter(str(yamnet_path), num_threads=1)
    net.allocate_tensors()
    source, scores = net.get_input_details()[0], net.get_output_details()[0]

    def hear(x: np.ndarray) -> np.ndarray:
        heard = []
        for start in range(0, len(x) - 15_600 + 1, 7_800):
            window = x[start : start + 15_600].reshape(source["shape"])
            net.set_tensor(source["index"], window)
            net.invoke()
            heard.append(net.get_tensor(scores["index"])[0].copy())
        return np.array(heard)

    return hear


def test_yamnet_hears_a_baby_cry(listener):
    heard = [listener(make(seed, f0_hz=f0, seconds=7.0))
             for seed, f0 in enumerate((400.0, 450.0, 500.0, 550.0))]  # fmt: skip
    for scores in heard:
        assert scores.mean(axis=0).argmax() in (CRYING, BABY_CRY)
    # Means over the whole recording, pauses included; the best window is nearly certain.
    assert np.mean([scores[:, BABY_CRY].mean() for scores in heard]) > 0.4
    assert np.min([scores[:, BABY_CRY].max() for scores in heard]) > 0.7
