"""What is said about recordings: one by one, in any form, going on past those that cannot be used."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import sys

import made_bundle
import numpy as np
import pytest
import soundfile

from cryhear import progress
from cryhear.audio import decode
from cryhear.errors import AudioError, BundleError
from cryhear.prediction import bundle, decide, predict

RATE = 16_000
HOSTILE = 'a"b\nc,<img src=x onerror=alert(1)>$x$\x1b[31m.wav'


@pytest.fixture(scope="module")
def judge():
    return made_bundle.no_gate()


@pytest.fixture
def cry(tmp_path):
    soundfile.write(tmp_path / "cry.wav", made_bundle.cries(4.0), RATE)
    return tmp_path / "cry.wav"


def standard_input(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_recording_is_answered_as_a_whole_and_clip_by_clip(judge, cry):
    result = predict.recording(cry, judge)
    assert result.file == str(cry)
    assert [c.start_s for c in result.clips] == [0.0, 1.8, 2.0]
    said = result.as_dict()
    assert list(said) == [
        "file", "label", "probabilities", "abstain", "reason", "warning", "beats_baseline", "clips",
        "seconds",
    ]  # fmt: skip
    assert said["label"] == max(said["probabilities"], key=said["probabilities"].get)
    assert sum(said["probabilities"].values()) == pytest.approx(1, abs=3e-6)  # six digits each
    assert (said["abstain"], said["reason"]) == (False, "")
    assert json.loads(json.dumps(said)) == said


def test_the_whole_is_decided_on_the_mean_of_the_answered_clips(judge):
    x = made_bundle.cries(8.0)
    x[60_000:75_000] = 0
    result = predict.pieces([x], judge)
    cutter = decide.Cutter(judge.hop)
    answered = [judge.clip(clip, start) for start, clip in [*cutter.push(x), *cutter.finish()]]
    vectors = [vector for _, vector in answered if vector is not None]
    assert 0 < len(vectors) < len(result.clips)
    mean = np.mean(vectors, axis=0, dtype=np.float64).astype(np.float32)[None]
    expected = judge.bundle.probabilities(mean)[0]
    np.testing.assert_allclose(list(result.whole.probabilities.values()), expected, atol=1e-6)


def test_silence_and_shortness_are_reasons_not_errors(judge, tmp_path):
    for name, x, reason in (
        ("silent", np.zeros(3 * RATE), decide.DROPOUT),
        ("short", 0.1 * np.ones(RATE), decide.SHORT),
        ("quiet", 1e-4 * np.random.default_rng(0).normal(size=3 * RATE), decide.QUIET),
    ):
        soundfile.write(tmp_path / f"{name}.wav", x, RATE, subtype="FLOAT")
        result = predict.recording(tmp_path / f"{name}.wav", judge)
        assert (result.whole.reason, result.failed) == (reason, "")


def test_a_recording_longer_than_the_limit_is_refused(judge, cry):
    with pytest.raises(AudioError, match="longer than 3 s"):
        predict.recording(cry, judge, limit_s=3.0)


def test_a_batch_goes_on_past_what_cannot_be_used(judge, cry, tmp_path):
    folder = tmp_path / "more"
    (folder / "deep").mkdir(parents=True)
    soundfile.write(folder / "deep" / "b.flac", made_bundle.cries(2.0), RATE)
    (folder / "text.wav").write_text("not audio")
    (folder / "out.wav").symlink_to("/etc/hostname")
    (folder / "notes.txt").write_text("passed over")
    os.mkfifo(folder / "pipe.wav")
    long = "x" * 300 + ".wav"
    given = ["no-such.wav", long, str(cry), str(folder), str(cry), str(tmp_path / "empty")]
    (tmp_path / "empty").mkdir()
    found = list(predict.each(given, judge))
    assert [bool(r.failed) for r in found] == [True, True, False, False, True, True, True, True]
    failed = {os.path.basename(r.file): r.failed for r in found if r.failed}
    assert failed["no-such.wav"].startswith("not a file; expected a recording")
    assert failed[long].startswith("cannot be read (File name too long)")
    assert failed["out.wav"].startswith("a link that leaves the root")
    assert failed["pipe.wav"] == "not a regular file"
    assert failed["text.wav"].startswith("not audio")
    assert failed["empty"].startswith("no recording in this folder")
    for result in found:
        if result.failed:
            assert result.whole.abstain
            assert result.as_dict()["reason"] == f"cannot be used: {result.failed}"


def test_a_path_cannot_lead_a_folder_out_of_itself(judge, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    soundfile.write(tmp_path / "secret.wav", made_bundle.cries(2.0), RATE)
    (inside / "up.wav").symlink_to(tmp_path / "secret.wav")
    (inside / "round").symlink_to(inside)
    found = list(predict.each([str(inside)], judge))
    assert len(found) == 2
    assert all("link" in r.failed for r in found)


def test_a_pipe_named_as_a_file_says_what_to_do(judge, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    [result] = predict.each([str(tmp_path / "pipe.wav")], judge)
    assert "standard input" in result.failed


def test_standard_input_is_a_file(judge, cry, monkeypatch):
    expected = predict.recording(cry, judge)
    standard_input(monkeypatch, cry.read_bytes())
    [result] = predict.each(["-"], judge)
    assert result.file == "-"
    assert [c.as_dict() for c in result.clips] == [c.as_dict() for c in expected.clips]
    assert result.whole == expected.whole


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "empty (0 bytes)"), (b"hello " * 99, "not audio, or damaged")]
)
def test_standard_input_that_is_no_recording_is_listed(judge, monkeypatch, data, says):
    standard_input(monkeypatch, data)
    [result] = predict.each(["-"], judge)
    assert result.failed.startswith(says)
    assert "/tmp" not in result.failed


def test_standard_input_without_end_is_refused_and_nothing_is_left(judge, monkeypatch, tmp_path):
    monkeypatch.setattr(predict, "LARGEST_STDIN", 1 << 17)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    standard_input(monkeypatch, bytes(1 << 19))
    [result] = predict.each(["-"], judge)
    assert "cryhear listen -" in result.failed
    assert list(tmp_path.iterdir()) == []


def test_json_is_a_list_of_objects(judge, cry, tmp_path):
    (tmp_path / HOSTILE).write_text("not audio")
    found = list(predict.each([str(cry), str(tmp_path / HOSTILE)], judge))
    said = json.loads("\n".join(predict.as_json(found)))
    assert said == [r.as_dict() for r in found]
    assert said[1]["file"] == str(tmp_path / HOSTILE)
    assert json.loads("".join(predict.as_json([]))) == []


def test_json_is_whole_where_the_work_is_interrupted(judge, cry):
    def interrupted():
        yield predict.recording(cry, judge)
        raise KeyboardInterrupt

    lines = []
    with pytest.raises(KeyboardInterrupt):
        lines.extend(predict.as_json(interrupted()))
    assert len(json.loads("\n".join(lines))) == 1


def test_csv_survives_any_name(judge, cry, tmp_path):
    (tmp_path / HOSTILE).write_text("not audio")
    found = list(predict.each([str(cry), str(tmp_path / HOSTILE)], judge))
    text = "\n".join(predict.as_csv(found, judge.bundle.classes))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [r["file"] for r in rows] == [str(cry)] * 4 + [str(tmp_path / HOSTILE)]
    assert [r["start_s"] for r in rows] == ["", "0", "1.8", "2", ""]
    assert rows[0]["label"] == found[0].whole.label
    for name, share in found[0].whole.probabilities.items():
        assert float(rows[0][f"p_{name}"]) == share
    assert (rows[4]["abstain"], rows[4]["label"], rows[4]["p_pain"]) == ("true", "", "")
    assert rows[0]["seconds"]
    assert not rows[1]["seconds"]


def test_text_says_each_clip_and_moves_no_cursor(judge, cry, tmp_path):
    (tmp_path / HOSTILE).write_bytes(cry.read_bytes())
    [result] = predict.each([str(tmp_path / HOSTILE)], judge)
    lines = predict.as_text(result, measured=True).split("\n")
    assert len(lines) == 1 + len(result.clips)
    assert "\x1b" not in lines[0]
    assert r"\n" in lines[0]
    assert re.search(r"\d s  \w+ \d\.\d\d, .*\[level_dbfs -\d+", lines[1])
    assert predict.as_text(result, clips=False) == lines[0]
    assert predict.said(decide.Clip(0.0, reason=decide.QUIET)) == "no answer: too quiet"


def test_the_note_is_no_diagnosis_and_says_how_good_the_model_is():
    card = made_bundle.make(note="Not a diagnosis.\x1b[2J").card
    note = predict.standing_note(card)
    assert note.startswith("Not a diagnosis.")
    assert "0.71 (0.65 to 0.77); 0.5 is a coin" in note
    assert "names no class" not in note
    assert "\x1b" not in note


def test_the_default_model_is_read_or_its_absence_explained(judge, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="--bundle"):
        predict.load(gate_choice="none")
    assert list(tmp_path.iterdir()) == []
    bundle.write(judge.bundle, predict.BUNDLE)
    assert predict.load(gate_choice="none").bundle.card["name"] == "made"
    with pytest.raises(BundleError, match="elsewhere"):
        predict.load("elsewhere", "none")


@pytest.fixture
def trained(judge, tmp_path, monkeypatch):
    """A clone in which nothing was trained yet; the studies that were trained since."""
    from cryhear.prediction import train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(progress.LOG, "level", logging.NOTSET)
    (tmp_path / "params").mkdir()
    (tmp_path / predict.STUDY).touch()
    trained = []
    monkeypatch.setattr(train, "study_of", lambda path: path)
    monkeypatch.setattr(train, "train", lambda study: trained.append(study) or judge.bundle)
    return trained


def test_the_first_use_trains_the_default_model_once_and_says_so(trained, capsys):
    for _ in range(2):
        assert predict.load(gate_choice="none").bundle.card["name"] == "made"
    assert trained == [predict.STUDY]
    assert f"into {predict.BUNDLE}" in capsys.readouterr().err


def test_the_first_use_is_silent_where_silence_was_asked_for(trained, capsys):
    progress.tell(quiet=True)
    predict.load(gate_choice="none")
    assert trained == [predict.STUDY]
    assert capsys.readouterr() == ("", "")


def test_every_format_gives_the_answer_of_its_samples(judge, tmp_path):
    x = made_bundle.cries(4.0)
    expected = predict.pieces([x], judge)
    for name in ("a.flac", "b.ogg", "c.mp3", "d.aiff"):
        soundfile.write(tmp_path / name, x, RATE)
        samples = decode.decode(tmp_path / name).samples
        mine = predict.recording(tmp_path / name, judge)
        assert mine.whole.as_dict() == predict.pieces([samples], judge).whole.as_dict()
        assert [c.start_s for c in mine.clips] == [c.start_s for c in expected.clips]


@pytest.fixture(scope="module")
def no_better():
    return decide.Judge(made_bundle.no_better(), None)


def test_a_model_no_better_than_its_baseline_names_no_class(no_better, cry):
    result = predict.recording(cry, no_better)
    for clip in [result.whole, *result.clips]:
        assert (clip.label, clip.probabilities, clip.abstain) == (None, None, True)
        assert clip.reason == decide.NOT_SHOWN
        assert clip.measured["distance"] > 0  # nothing is amiss with the sound
    said = result.as_dict()
    assert (said["beats_baseline"], said["label"], said["probabilities"]) == (False, None, None)
    for text in (
        predict.as_text(result),
        *predict.as_json([result]),
        *predict.as_csv([result], []),
    ):
        assert "0." not in text.replace("0.0 s", "") or "hunger" not in text
    assert "no class named: model not shown to beat" in predict.as_text(result)
    rows = list(
        csv.DictReader("\n".join(predict.as_csv([result], no_better.bundle.classes)).split("\n"))
    )
    assert {r["beats_baseline"] for r in rows} == {"false"}
    assert {(r["label"], r["p_hunger"], r["reason"]) for r in rows} == {("", "", decide.NOT_SHOWN)}
    note = predict.standing_note(no_better.bundle.card)
    assert "names no class. --probabilities" in note


def test_its_probabilities_are_shown_when_asked_for(judge, cry):
    asked = decide.Judge(made_bundle.no_better(), None, probabilities=True)
    result, known = predict.recording(cry, asked), predict.recording(cry, judge)
    assert result.whole.label is None
    assert result.whole.probabilities == known.whole.probabilities
    assert [c.probabilities for c in result.clips] == [c.probabilities for c in known.clips]
    assert "(hunger 0." in predict.as_text(result) or "hunger 0." in predict.as_text(result)
    assert result.whole.abstain


def test_what_is_amiss_with_a_sound_is_said_before_what_is_with_the_model(no_better):
    x = made_bundle.cries(8.0)
    x[:70_000] = 0
    result = predict.pieces([x], no_better)
    reasons = [c.reason for c in result.clips]
    assert decide.DROPOUT in reasons
    assert decide.NOT_SHOWN in reasons
    assert predict.pieces([np.zeros(64_000, np.float32)], no_better).whole.reason == decide.DROPOUT


def test_a_card_of_before_the_question_shows_nothing(cry):
    old = {k: v for k, v in made_bundle.BETTER.items() if k != "beats_baseline"}
    result = predict.recording(cry, decide.Judge(made_bundle.make(performance=old), None))
    assert result.whole.reason == decide.NOT_SHOWN
