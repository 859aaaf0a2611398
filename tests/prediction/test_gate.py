"""The shipped gate loads, scores, and is measured; what is missing is said."""

from __future__ import annotations

from types import SimpleNamespace

import made_bundle
import numpy as np
import pytest

from cryhear.errors import BundleError, ParameterError
from cryhear.prediction import bundle, gate


@pytest.fixture(scope="module")
def shipped():
    return gate.LogMelGate()


def test_the_shipped_gate_is_measured_on_sounds_it_never_heard(shipped):
    card = shipped.bundle.card
    for name in ("logmel", "yamnet"):
        found = card["performance"][name]
        assert 0 < card["limits"]["clip"][name] < 1
        assert found["auc"]["low"] <= found["auc"]["value"] <= found["auc"]["high"]
        cries, others = found["cries, as recorded"], found["other sounds, as recorded"]
        assert cries["passed"] > 0.5 > others["passed"]
    assert "never heard" in card["performance"]["measured_on"] or "kept out" in str(card)


def test_noise_scores_lower_than_a_cry(shipped):
    from cryhear.analysis import demonstrations

    cry = demonstrations.cries(1, 1, 2.0)[0][:32_000]
    noise = 0.05 * np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    scores = [shipped.score(x) for x in (cry, noise)]
    assert scores[1] < shipped.threshold
    assert scores[1] < scores[0] <= 1


def test_the_choice_decides(monkeypatch, tmp_path):
    assert gate.load("none") is None
    assert gate.load("logmel").name == "logmel"
    monkeypatch.setattr(gate, "yamnet_wanted", lambda: False)
    assert gate.load("auto").name == "logmel"
    monkeypatch.setattr(gate, "yamnet_wanted", lambda: True)
    monkeypatch.setattr(gate, "YAMNetGate", lambda folder: SimpleNamespace(name="yamnet"))
    assert gate.load("auto").name == "yamnet"
    with pytest.raises(ParameterError, match="gate is 'open'"):
        gate.load("open")
    with pytest.raises(BundleError, match="--gate none"):
        gate.load("auto", tmp_path / "nowhere")


def test_a_gate_that_was_altered_is_refused(tmp_path, shipped):
    bundle.write(shipped.bundle, tmp_path)
    made_bundle.rewrite(tmp_path, lambda card: card["limits"]["clip"].update(logmel="0.3"))
    with pytest.raises(BundleError, match=r"limits\.clip\.logmel"):
        gate.LogMelGate(tmp_path)
    bundle.write(shipped.bundle, tmp_path)
    made_bundle.rewrite(tmp_path, lambda card: card["representation"].update(version="0"))
    with pytest.raises(BundleError, match="version 0"):
        gate.LogMelGate(tmp_path)


def test_yamnets_own_scores_are_the_larger_of_two(monkeypatch):
    scores = np.zeros((1, 521), np.float32)
    scores[0, gate.CRYING[0]], scores[0, gate.CRYING[1]], scores[0, 0] = 0.2, 0.7, 0.9
    made = SimpleNamespace(scores=lambda clips: scores)
    monkeypatch.setattr("cryhear.embedding.load", lambda name: made)
    found = gate.YAMNetGate()
    assert found.score(made_bundle.cries(2.0)) == pytest.approx(0.7)
    assert found.threshold == pytest.approx(
        bundle.read(gate.FOLDER).card["limits"]["clip"]["yamnet"]
    )


@pytest.mark.corpus
def test_real_cries_pass_and_other_sounds_do_not(corpora, shipped):
    """One look at either kind; the measured shares stand in the card."""
    from cryhear.audio import decode

    kept = []
    for kind in ("004 - Baby cry", "002 - Rain"):
        paths = sorted((corpora / "esc10" / kind).glob("*.ogg"))[:6]
        clips = [decode.decode(p).samples[:32_000] for p in paths]
        kept.append(np.mean([shipped.score(clip) for clip in clips]))
    assert kept[0] > shipped.threshold > kept[1]
