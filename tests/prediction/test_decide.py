"""Clips are cut as in training, and answered or refused for the right reason."""

from __future__ import annotations

import made_bundle
import numpy as np
import pytest

from cryhear.audio import preprocess
from cryhear.errors import ParameterError
from cryhear.prediction import decide

HOP = 28_800


class Doorman:
    """A gate that says the same of every clip."""

    name = "made"

    def __init__(self, score: float, threshold: float = 0.5) -> None:
        self.said, self.threshold = score, threshold

    def score(self, samples):
        return self.said


@pytest.fixture(scope="module")
def judge():
    return decide.Judge(made_bundle.make(), Doorman(1.0))


def cut(samples, pieces, hop=HOP):
    cutter, found = decide.Cutter(hop), []
    for piece in np.array_split(samples, pieces):
        found += cutter.push(piece)
    return [*found, *cutter.finish()]


@pytest.mark.parametrize("n", [31_999, 32_000, 32_001, 60_800, 60_801, 112_000, 200_003])
@pytest.mark.parametrize("pieces", [1, 7, 211])
def test_pieces_are_cut_where_a_whole_recording_is(n, pieces):
    samples = np.arange(n, dtype=np.float32)
    found = cut(samples, pieces)
    expected = preprocess.clip_starts(n, 32_000, HOP, "slide")
    assert [start for start, _ in found] == expected.tolist()
    for start, clip in found:
        np.testing.assert_array_equal(clip, samples[start : start + 32_000])


def test_a_hop_that_skips_sound_is_refused():
    for hop in (0, -1, 32_001):
        with pytest.raises(ParameterError, match="hop is"):
            decide.hop_of(hop / 16_000)


def test_a_known_sound_is_answered(judge):
    clip, vector = judge.clip(made_bundle.cries()[:32_000], 16_000)
    assert clip.start_s == 1.0
    assert clip.reason == ""
    assert clip.label == max(clip.probabilities, key=clip.probabilities.get)
    assert sum(clip.probabilities.values()) == pytest.approx(1, abs=3e-6)  # six digits each
    assert vector.shape == (320,)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x * 0, decide.DROPOUT),
        (lambda x: np.where(np.arange(32_000) < 16_000, 0, x), decide.DROPOUT),
        (lambda x: x * 1e-3, decide.QUIET),
        (lambda x: np.clip(x * 50, -1, 1), decide.CLIPPED),
        (lambda x: np.random.default_rng(0).normal(0, 0.1, 32_000), decide.UNLIKE),
    ],
)
def test_each_refusal_has_its_reason(judge, change, reason):
    clip, vector = judge.clip(change(made_bundle.cries()[:32_000]).astype(np.float32), 0)
    assert (clip.reason, clip.label, clip.probabilities, vector) == (reason, None, None, None)


def test_the_gate_is_asked_before_the_distance():
    strict = decide.Judge(made_bundle.make(), Doorman(0.2))
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    for sound in (made_bundle.cries()[:32_000], noise):
        clip, _ = strict.clip(sound, 0)
        assert clip.reason == decide.NO_CRY
        assert clip.measured["cry"] == 0.2
    open_door = decide.Judge(made_bundle.make(), None)
    assert open_door.clip(noise, 0)[0].reason == decide.UNLIKE


def test_a_clip_is_not_changed(judge):
    samples = made_bundle.cries()[:32_000]
    before = samples.copy()
    judge.clip(samples, 0)
    np.testing.assert_array_equal(samples, before)


def recording(judge, *reasons):
    whole = decide.Recording(judge)
    answered = judge.clip(made_bundle.cries()[:32_000], 0)
    for reason in reasons:
        whole.add(*((decide.Clip(0.0, reason=reason), None) if reason else answered))
    return whole.decide()


def test_a_recording_is_answered_while_half_of_its_clips_are(judge):
    assert recording(judge).reason == decide.SHORT
    assert recording(judge, "", decide.QUIET).label is not None
    assert recording(judge, "", decide.QUIET, decide.QUIET).reason == decide.QUIET
    assert recording(judge, decide.NO_CRY, decide.QUIET).reason == decide.QUIET
    assert recording(judge, decide.NO_CRY, decide.NO_CRY, decide.QUIET).reason == "no cry"


def test_a_recording_is_calibrated_as_a_recording(judge):
    bundle = judge.bundle
    clip, vector = judge.clip(made_bundle.cries()[:32_000], 0)
    whole = recording(judge, "", "")
    expected = bundle.probabilities(vector[None], "recording")[0]
    np.testing.assert_allclose(list(whole.probabilities.values()), expected, atol=1e-6)
    assert whole.probabilities != clip.probabilities
