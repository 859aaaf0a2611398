"""One screen on what can run, that names no secret and never fails."""

from __future__ import annotations

import made_bundle
import pytest

from cryhear import cli
from cryhear.embedding import REPRESENTATIONS
from cryhear.prediction import bundle, doctor, predict

SECRET = "hf_" + "s3cret" * 5


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder without a model, a home without a token, a narrow terminal."""
    monkeypatch.chdir(tmp_path)
    for name in (*doctor.TOKENS, "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def test_everything_is_on_one_screen(elsewhere, capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for title in ("Packages", "Representations", "HeAR", "For new recordings", "Machine"):
        assert f"\n{title}\n" in said
    for name in REPRESENTATIONS:
        assert f"\n  {name:13}" in said
    for package in ("numpy", "soundfile", "safetensors"):
        assert f"{package} {doctor.installed(package)}" in said
    assert "none yet in results/default/model" in said
    assert max(map(len, said.splitlines())) <= 100
    assert len(said.splitlines()) <= 40


def test_a_package_that_is_missing_is_named_with_its_remedy(elsewhere, monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", {"yamnet": ("no-such-package",), "core": ("numpy",)})
    said = doctor.report()
    assert "missing no-such-package: in a clone, pip install -e '.[yamnet]'" in said
    assert doctor.installed("no-such-package") == ""


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_token_is_noticed_and_never_shown(elsewhere, monkeypatch, where):
    assert doctor.hear_access().startswith("not logged in")
    if where == "environment":
        monkeypatch.setenv("HF_TOKEN", SECRET)
    else:
        (elsewhere / "home").mkdir()
        (elsewhere / "home" / "token").write_text(SECRET)
    said = doctor.report()
    assert "logged in to the model hub; accept" in said
    assert "not logged in" not in said
    assert SECRET not in said
    assert "s3cret" not in said


def test_the_model_is_described_and_a_damaged_one_named(elsewhere):
    folder = bundle.write(made_bundle.make(), predict.BUNDLE)
    said = " ".join(doctor.report().split())
    assert "results/default/model: made. Not a diagnosis." in said
    assert "0.71 (0.65 to 0.77)" in said
    (folder / bundle.CARD).write_text("{")
    said = " ".join(doctor.report().split())
    assert "card.json was altered or damaged" in said


def test_no_home_is_no_reason_to_fail(elsewhere, monkeypatch):
    for name in ("HF_HOME", "HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as where there is no such user
    assert doctor.hear_access().startswith("not logged in")


def test_a_gate_that_is_missing_is_said(elsewhere, monkeypatch):
    monkeypatch.setattr(doctor.gate, "load", lambda choice: doctor.gate.LogMelGate(elsewhere))
    assert "gate: none: " in doctor.report()


def test_the_two_gated_releases_and_the_tensorflow_they_need_are_said(elsewhere):
    said = " ".join(doctor.report().split())
    for release in ("google/hear,", "google/hear-pytorch is gated separately"):
        assert f"https://huggingface.co/{release}" in said
    assert "tensorflow 2.18 or newer (the release holds StableHLO" in said


def test_a_tensorflow_that_is_too_old_cannot_run_hear(elsewhere, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setattr("cryhear.embedding.weights.version", lambda _package: "2.17.1")
    said = " ".join(doctor.report(lacking_only=True).split())
    assert "hear cannot run: tensorflow 2.17.1 is installed; 2.18 or newer is needed" in said


def test_a_yamnet_that_was_named_and_is_not_there_is_said(elsewhere, monkeypatch):
    monkeypatch.setenv("CRYHEAR_YAMNET", "~/yamnet.tflite")
    said = " ".join(doctor.report(lacking_only=True).split())
    assert "gate: none: yamnet: ~/yamnet.tflite is not a file" in said
