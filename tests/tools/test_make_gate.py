"""The gate's threshold, weights and measure on made-up sounds; clip by clip beside whole recordings."""

from __future__ import annotations

from types import SimpleNamespace

import made_bundle
import made_study
import numpy as np
import pandas as pd
import pytest
import soundfile

from cryhear import params
from cryhear.analysis.primary_auc import FoldPlan
from cryhear.audio import decode, preprocess
from cryhear.errors import CorpusError
from cryhear.prediction import bundle, gate
from tools import make_gate
from tools.make_gate import BABY, CRIES, OTHER, PLAIN, STORED, Sounds

EXACT = 1e-12
"""Sums of a few hundred weights in double precision."""
SETTINGS = params.Preprocess()
CHANCE = 0.2
"""How far from one half an AUC of a hundred clips in few groups falls by chance; a signal's is over 0.95."""


def sounds(seed=0, shift=2.0, n=16):
    """Clips of both corpora with 320 values; cries lie `shift` away on the first few of them."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind, versions in ((CRIES, [PLAIN]), (BABY, [PLAIN, STORED]), (OTHER, [PLAIN, STORED])):
        for i in range(n if kind != OTHER else 3 * n):
            group = f"{kind}-{i // 2}"
            for version in versions:
                about = {"kind": kind, "version": version, "recording": f"{kind}-{i}", "group": group,
                         "measured": i % 4 < 2, "category": kind}  # fmt: skip
                rows += [about] * 2
    clips = pd.DataFrame(rows)
    X = rng.normal(size=(len(clips), 320)).astype(np.float32)
    cry = (clips["kind"] != OTHER).to_numpy()
    X[:, :5] += shift * cry[:, None]
    clips["yamnet"] = 0.5 * cry + 0.5 * rng.random(len(clips))
    return Sounds(clips, X)


def test_each_part_weighs_what_it_should():
    made = sounds()
    weight = make_gate.weights(made)
    assert weight.mean() == pytest.approx(1, abs=EXACT)
    total = made.clips.assign(w=weight).groupby(["kind", "version"])["w"].sum() / weight.sum()
    for part, share in make_gate.SHARES.items():
        assert total[part] == pytest.approx(share / 2, abs=EXACT)
    assert weight[made.cry].sum() == pytest.approx(weight[~made.cry].sum())


def test_the_threshold_is_the_lowest_with_the_best_mean_of_both_shares():
    made = sounds(n=10)
    score = np.random.default_rng(1).random(len(made.X)) + 0.4 * made.cry
    found = make_gate.threshold(made, score)
    weight, cry = make_gate.weights(made), made.cry

    def balanced(limit):
        kept = weight[cry & (score >= limit)].sum() / weight[cry].sum()
        return kept + weight[~cry & (score < limit)].sum() / weight[~cry].sum()

    best = max(balanced(limit) for limit in score)
    assert balanced(found) == pytest.approx(best, abs=EXACT)
    assert found == min(s for s in score if balanced(s) == pytest.approx(best, abs=EXACT))


def test_a_perfect_score_is_divided_between_the_kinds():
    made = sounds(n=10)
    score = made.cry + 0.0
    assert make_gate.threshold(made, score) == 1.0
    found = make_gate.measure(made, score, 1.0)
    assert found["auc"]["value"] == found["auc"]["low"] == 1.0
    assert found[f"{CRIES}, {PLAIN}"]["passed"] == 1.0
    assert found[f"{OTHER}, {STORED}"]["passed"] == 0.0
    assert found[f"{OTHER}, {STORED}"]["high"] > 0.05  # fifteen sources prove little


def test_intervals_count_sources_not_recordings():
    made = sounds(n=10)
    plain = make_gate.measure(made, made.cry + 0.0, 1.0)[f"{OTHER}, {PLAIN}"]
    assert (plain["recordings"], plain["groups"]) == (30, 15)
    twice = Sounds(pd.concat([made.clips] * 2), np.concatenate([made.X] * 2))
    again = make_gate.measure(twice, twice.cry + 0.0, 1.0)[f"{OTHER}, {PLAIN}"]
    assert again["high"] == plain["high"]


def test_a_recording_passes_when_half_of_its_clips_do():
    made = sounds(n=4)
    first = (made.clips["recording"] == f"{CRIES}-0").to_numpy()
    score = made.cry + 0.0
    score[np.flatnonzero(first)[0]] = 0.0  # one of its two clips
    assert make_gate.measure(made, score, 1.0)[f"{CRIES}, {PLAIN}"]["passed"] == 1.0
    score[first] = 0.0
    found = make_gate.measure(made, score, 1.0)[f"{CRIES}, {PLAIN}"]
    assert found["passed"] == pytest.approx(3 / 4)
    assert found["low"] < 3 / 4 < found["high"]


def test_the_gate_is_fitted_on_one_side_and_measured_on_the_other(tmp_path):
    made = make_gate.make(sounds())
    read = bundle.read(bundle.write(made, tmp_path / "gate"))
    assert read.classes == list(gate.CLASSES)
    for name in ("logmel", "yamnet"):
        found = read.card["performance"][name]
        assert found["auc"]["value"] > 0.95
        assert (
            found[f"{CRIES}, {PLAIN}"]["passed"] > 0.8 > 0.2 > found[f"{OTHER}, {PLAIN}"]["passed"]
        )
    trained = sounds().keep(~sounds().clips["measured"].to_numpy(bool))
    assert read.card["training"]["clips"] == len(trained.X)
    loaded = gate.LogMelGate(tmp_path / "gate")
    held = sounds().keep(sounds().clips["measured"].to_numpy(bool))
    scores = loaded.bundle.probabilities(held.X[:16], "clip")[:, 1]
    assert (scores >= loaded.threshold).mean() > 0.8  # the first ones are cries


def test_what_is_measured_never_taught():
    """Other features on the measured side change its numbers and not one weight."""
    one, other = sounds(), sounds()
    measured = one.clips["measured"].to_numpy(bool)
    other.X[measured] = np.random.default_rng(9).normal(size=(measured.sum(), 320))
    first, second = make_gate.make(one), make_gate.make(other)
    np.testing.assert_array_equal(first.coef, second.coef)
    assert first.card["limits"] == second.card["limits"]
    assert second.card["performance"]["logmel"]["auc"]["value"] == pytest.approx(0.5, abs=CHANCE)


def test_sounds_without_a_signal_are_divided_at_chance():
    found = make_gate.make(sounds(shift=0.0)).card["performance"]["logmel"]["auc"]
    assert found["value"] == pytest.approx(0.5, abs=CHANCE)


def test_yamnet_is_left_out_where_it_was_not_heard():
    made = sounds()
    card = make_gate.make(Sounds(made.clips.drop(columns="yamnet"), made.X)).card
    assert "yamnet" not in card["performance"]
    assert "yamnet" not in card["limits"]["clip"]


def test_a_missing_corpus_is_named(tmp_path, capsys):
    (tmp_path / "donateacry").mkdir()
    with pytest.raises(CorpusError, match=r"esc10 is not a folder; both corpora"):
        make_gate.embed_corpora(tmp_path, None)
    derived = str(tmp_path)
    assert make_gate.main([str(tmp_path), str(tmp_path / "out"), "--derived", derived]) == 1
    assert "make_gate: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_sound_is_heard_as_it_is_and_as_a_telephone_stores_it(tmp_path):
    hiss = 0.05 * np.random.default_rng(0).normal(size=64_000)
    soundfile.write(tmp_path / "a.wav", made_bundle.cries(4.0) + hiss, 16_000)
    plain, stored = (make_gate._prepared(str(tmp_path / "a.wav"), v) for v in (PLAIN, STORED))
    assert plain.shape == stored.shape == (3, 32_000)
    above = np.abs(np.fft.rfft(np.stack([plain[0], stored[0]])))[:, 10_000:].mean(axis=1)
    assert above[1] < 0.3 * above[0]  # above 5 kHz only what the Wiener filter adds
    own = make_gate.clips_of(decode.decode(tmp_path / "a.wav").samples, make_gate.SETTINGS)
    np.testing.assert_array_equal(plain, own)


def test_clips_are_cut_first_and_prepared_by_themselves():
    x = made_bundle.cries(5.0)
    starts = [0, 28_800, 48_000]  # the last ends with the sound
    expected = [preprocess.prepare_clip(x[s : s + 32_000], SETTINGS)[0] for s in starts]
    np.testing.assert_array_equal(make_gate.clips_of(x, SETTINGS), expected)
    assert make_gate.clips_of(x[:100], SETTINGS).shape == (0, 32_000)


@pytest.mark.parametrize("factor", [1e-3, 0.0])
def test_quiet_clips_and_dropouts_are_left_out(factor):
    x = made_bundle.cries(5.0)
    x[28_800:60_800] *= factor
    expected = [preprocess.prepare_clip(x[s : s + 32_000], SETTINGS)[0] for s in (0, 48_000)]
    np.testing.assert_array_equal(make_gate.clips_of(x, SETTINGS), expected)
    assert make_gate.clips_of(np.zeros(64_000, np.float32), SETTINGS).shape == (0, 32_000)


@pytest.fixture(scope="module")
def parts():
    data = made_study.Tables(made_study.study(40, dimension=8, identity=0.5)).study_set(
        "u", "o", "logmel"
    )
    return data, FoldPlan.of(data.recordings, 5, 1, 42)


def test_the_same_clips_change_nothing(parts, monkeypatch):
    monkeypatch.setattr(make_gate, "DRAWS", 60)
    data, plan = parts
    names = data.derived.keys["recording"].to_numpy(str)
    exact = np.repeat(data.X, 2, axis=0)
    found = make_gate.compare(data, plan, names, exact)
    assert found["same_label"] == 1.0
    assert found["moved"] == pytest.approx(0, abs=1e-6)  # float32 means
    assert found["auc_whole"] == found["auc_clipwise"]
    assert 0 <= found["unlike"] < 0.5


def test_clips_that_say_nothing_lose_the_label_and_lie_far_off(parts, monkeypatch):
    monkeypatch.setattr(make_gate, "DRAWS", 60)
    data, plan = parts
    names = data.derived.keys["recording"].to_numpy(str)
    noise = 10 * np.random.default_rng(3).normal(size=data.derived.vectors.shape)
    found = make_gate.compare(data, plan, names, noise.astype(np.float32))
    assert found["same_label"] < 0.9
    assert found["moved"] > 0.1
    assert found["unlike"] > 0.9
    assert found["auc_whole"]["value"] != found["auc_clipwise"]["value"]


def test_only_recordings_at_hand_are_heard(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="cryhear corpus fetch donateacry"):
        make_gate.embed_clipwise(None, tmp_path, None, SETTINGS)
    folder = tmp_path / "donateacry"
    folder.mkdir()
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", made_bundle.cries(4.0, seed=i), 16_000)
    from cryhear.corpus import find

    listed = find.hashed([folder])[0]["recording"].tolist()
    data = SimpleNamespace(recordings=pd.DataFrame({"recording": [*listed[:1], "not here"]}))
    backend = SimpleNamespace(embed=lambda clips: clips[:, :3])
    names, vectors = make_gate.embed_clipwise(data, tmp_path, backend, SETTINGS)
    assert names.tolist() == listed[:1] * 3
    assert vectors.shape == (3, 3)
