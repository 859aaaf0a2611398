"""Chapter 12: what is drawn and recorded of one recording, whatever it is called."""

from __future__ import annotations

from types import SimpleNamespace

import made_bundle
import numpy as np
import pytest
import soundfile

import cryhear
from cryhear.errors import AudioError, MissingArtefactError
from cryhear.files import write_json
from cryhear.prediction import bundle, decide, gate, predict, tryout
from cryhear.study import chapter
from cryhear.study.ledger import Ledger

HOSTILE = (
    '<img src=x onerror=alert(1)>.wav', "$\\mathrm{x}$.wav", "{num}`leakage.auc`.wav", "a\nb.wav",
    '"quoted" \'name\'.wav', "[link](http:evil).wav", "| a | b |.wav", "`code`.wav", "<!--.wav",
    "\x1b[31mred.wav", "**bold**_x_.wav", "../up.wav", "é\u202e\u0000.wav", "...",
)  # fmt: skip


@pytest.fixture(scope="module")
def judge():
    return made_bundle.no_gate()


@pytest.fixture(scope="module")
def result(judge):
    x = made_bundle.cries(7.0)
    x[60_000:90_000] = 0
    return predict.pieces([x], judge, "made")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_keeps_nothing_that_could_be_markup(name):
    plain = tryout.plain(name)
    assert plain
    assert set(plain) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
    assert plain[0] not in ".-"


def test_a_recording_is_decoded_and_named_a_synthetic_cry_is_made(tmp_path):
    path = tmp_path / "<b>$x$.wav"
    soundfile.write(path, made_bundle.cries(2.5), 16_000)
    samples, name = tryout.sound(str(path), 1)
    assert (samples.shape, name) == ((40_000,), "b-x-.wav")
    samples, name = tryout.sound("", 1)
    assert (len(samples), name) == (round(tryout.SYNTHETIC_S * 16_000), tryout.SYNTHETIC)
    np.testing.assert_array_equal(samples, tryout.sound("", 1)[0])
    assert not np.array_equal(samples, tryout.sound("", 2)[0])
    with pytest.raises(AudioError, match="not a file"):
        tryout.sound(str(tmp_path / "none.wav"), 1)


def test_pictures_are_tables_of_the_sound(judge):
    x = made_bundle.cries(3.0)
    wave, picture = tryout.pictures(x, "made")
    assert set(wave) == {"label", "time_s", "low", "high"}
    assert wave["high"].max() == pytest.approx(x.max())
    assert wave["low"].min() == pytest.approx(x.min())
    assert picture["time_s"].max() <= 3.0 + 256 / 16_000  # a frame is as wide as that
    assert picture["time_s"].nunique() <= tryout.FRAMES
    assert set(picture["label"]) == {"made"}


def test_decisions_are_rows_to_draw(result):
    rows = tryout.decisions(result)
    refused = rows[rows["label"] == tryout.NO_ANSWER]
    assert refused["reason"].tolist() == [c.reason for c in result.clips if c.abstain]
    assert len(refused) >= 1
    answered = rows[rows["reason"] == ""]
    np.testing.assert_allclose(answered.groupby("start_s")["share"].sum(), 1, atol=3e-6)
    np.testing.assert_allclose(rows["end_s"] - rows["start_s"], 2.0)
    assert list(tryout.decisions(predict.Result("x", decide.Clip(0.0)))) == list(rows)


def test_the_table_has_the_whole_first(result):
    table = tryout.table(result)
    assert table["clip"].tolist()[0] == "recording"
    assert len(table) == 1 + len(result.clips)
    assert set(table["no class because"]) >= {"", decide.DROPOUT}


def test_a_model_that_names_no_class_is_looked_at_by_its_probabilities(tmp_path):
    (tmp_path / "model").mkdir()
    bundle.write(made_bundle.no_better(), tmp_path / "model")
    judge = decide.Judge(bundle.read(tmp_path / "model"), None, probabilities=True)
    x = made_bundle.cries(4.0)
    result = predict.pieces([x], judge, "made")
    assert result.whole.label is None
    assert set(tryout.decisions(result)["label"]) == {"pain", "hunger", "neurological"}
    assert set(tryout.decisions(result)["reason"]) == {""}
    assert set(tryout.table(result)["no class because"]) == {decide.NOT_SHOWN}
    write_json(tmp_path / "params.json", {"name": "toy", "source": {"derived": "data/toy"}})
    run = cryhear.open_chapter("12_recording", {"study": str(tmp_path)})
    tryout.record(run, result, judge, "made")
    values = {name: entry["value"] for name, entry in run.ledger.numbers.items()}
    assert values["answered"] == values["clips"] == 3
    assert values["answer"] == f"is given no class ({decide.NOT_SHOWN})"


def test_sounds_that_are_no_cry_are_refused(judge):
    said = tryout.others(judge, 1).set_index("sound")["reason"]
    assert said["digital silence"] == decide.DROPOUT
    assert said["one second of the cry"] == decide.SHORT
    assert said["the cry, 50 dB quieter"] == decide.QUIET
    assert said["the cry, clipped"] == decide.CLIPPED
    assert said["white noise"] == decide.UNLIKE


def test_the_gate_table_is_the_cards(judge):
    card = gate.LogMelGate().bundle.card
    table = tryout.gate_table(card)
    assert set(table["gate"]) == set(tryout.GATE_NAMES.values())
    assert len(table) == sum(len(card["performance"][g]) - 1 for g in ("logmel", "yamnet"))
    assert (table["low"] <= table["passed"]).all()
    assert (table["passed"] <= table["high"]).all()


@pytest.mark.parametrize("measured", [False, True])
def test_what_is_recorded_is_what_was_said(judge, result, tmp_path, measured):
    write_json(tmp_path / "params.json", {"name": "toy", "source": {"derived": "data/toy"}})
    run = cryhear.open_chapter("12_recording", {"study": str(tmp_path)})
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    clipwise = {
        "recordings": 9,
        "same_label": 0.9,
        "unlike": 0.1,
        "auc_whole": score,
        "auc_clipwise": score,
    }
    card = {**judge.bundle.card, "clipwise": clipwise if measured else {}}
    tryout.record(run, result, SimpleNamespace(bundle=SimpleNamespace(card=card)), "made")
    values = {name: entry["value"] for name, entry in run.ledger.numbers.items()}
    assert values["clips"] == len(result.clips)
    assert values["answered"] == sum(not c.abstain for c in result.clips) < len(result.clips)
    assert values["auc"] == 0.71
    assert values["most_class"] == "hunger"
    assert values["same_label"] == (0.9 if measured else chapter.ABSENT)
    assert 0 < values["logmel_kept"] <= 1


def test_a_run_without_a_model_says_how_to_make_one(tmp_path, judge):
    with pytest.raises(MissingArtefactError, match="cryhear train"):
        tryout.judge_of(tmp_path)
    bundle.write(judge.bundle, tmp_path / "model")
    assert tryout.judge_of(tmp_path).gate.name == "logmel"


@pytest.mark.parametrize(("whole", "holds"), [((0.42, 0.53), True), ((0.42, 0.50), False)])
def test_scores_of_all_and_of_the_loud_recordings_are_held_side_by_side(whole, holds):
    ledger = Ledger("12_recording")
    run = SimpleNamespace(number=ledger.number, conclude=ledger.conclude, ledger=ledger)
    ledger.number("auc", 0.51, "score", n=927)
    own = {"value": 0.48, "low": whole[0], "high": whole[1]}
    found = {"recordings": 853, "same_label": 0.9, "unlike": 0.05}
    tryout._record_clipwise(run, found | {"auc_whole": own, "auc_clipwise": own})
    assert ledger.numbers["conclusion_loud"]["holds"] is holds
