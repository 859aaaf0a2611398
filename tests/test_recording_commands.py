"""`train`, `predict`, `listen` and `doctor` at a desk and in a script."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys

import made_bundle
import pytest
import soundfile

from cryhear import cli, recording_commands
from cryhear.audio import wav
from cryhear.prediction import bundle, decide, gate, predict

RATE = 16_000
KEYS = [
    "file", "label", "probabilities", "abstain", "reason", "warning", "beats_baseline", "clips",
    "seconds",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(bundle.write(made_bundle.make(), tmp_path_factory.mktemp("commands") / "model"))


@pytest.fixture
def cry(tmp_path):
    soundfile.write(tmp_path / "cry.wav", made_bundle.cries(4.0), RATE)
    return str(tmp_path / "cry.wav")


@pytest.fixture
def run(model, capsys):
    """Run a command with the made-up model: its exit code, output and messages."""

    def command(name, *arguments):
        code = cli.main([name, *arguments, "--bundle", model, "--gate", "none"])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return command


@pytest.fixture
def standard_input(monkeypatch, tmp_path):
    """Put bytes on standard input."""

    def put(data):
        (tmp_path / "stdin").write_bytes(data)
        opened.append(open(tmp_path / "stdin"))  # noqa: SIM115 - closed below
        monkeypatch.setattr(sys, "stdin", opened[-1])

    opened: list[io.TextIOWrapper] = []
    yield put
    for handle in opened:
        handle.close()


def started(*arguments, model, **how):
    """A command in a process of its own."""
    command = [sys.executable, "-m", "cryhear.cli", *arguments, "--bundle", model, "--gate", "none"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ),
        # A suite run in the background hands down an ignored Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **how,
    )  # fmt: skip


@pytest.mark.parametrize("command", ["predict", "listen"])
def test_a_closed_standard_input_is_said(run, monkeypatch, command):
    monkeypatch.setattr(sys, "stdin", None)
    code, out, err = run(command, "-")
    assert (code, out) == (cli.PARTIAL if command == "predict" else 1, "")
    assert "standard input is closed" in err


def test_predict_says_who_what_and_that_it_is_no_diagnosis(run, cry):
    code, out, err = run("predict", cry)
    assert code == 0
    assert out.startswith(f"{cry}: ")
    assert len(out.splitlines()) == 4
    assert "Not a diagnosis" in err
    code, quiet, err = run("predict", cry, "--quiet")
    assert (code, len(quiet.splitlines()), err) == (0, 1, "")
    assert "level_dbfs" in run("predict", cry, "--verbose")[1]


def test_predict_json_and_csv_hold_one_thing_each(run, cry):
    code, out, _ = run("predict", cry, cry + ".not", "--json")
    assert code == cli.PARTIAL
    said = json.loads(out)
    assert [list(r) for r in said] == [KEYS, KEYS]
    assert [r["abstain"] for r in said] == [False, True]
    assert said[1]["probabilities"] is None
    code, out, _ = run("predict", cry, "--csv", "--quiet")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert float(rows[0]["p_hunger"]) == said[0]["probabilities"]["hunger"]


def test_predict_lists_what_it_could_not_use_at_the_end(run, cry, tmp_path):
    (tmp_path / "a.wav").write_text("not audio")
    code, out, err = run("predict", str(tmp_path), "nowhere.wav")
    assert code == cli.PARTIAL
    assert "a.wav" not in out
    lines = err.splitlines()
    assert lines[0].startswith(f"{tmp_path}/a.wav: cannot be used: not audio")
    assert lines[1].startswith("nowhere.wav: cannot be used: not a file")


def test_predict_reads_standard_input(run, cry, standard_input):
    with open(cry, "rb") as handle:
        standard_input(handle.read())
    code, out, _ = run("predict", "-", "--json")
    assert code == 0
    assert json.loads(out)[0]["file"] == "-"


def test_listen_gives_what_predict_gives(run, cry, standard_input):
    clips = json.loads(run("predict", cry, "--json")[1])[0]["clips"]
    code, out, err = run("listen", cry, "--json")
    assert code == 0
    heard = [json.loads(line) for line in out.splitlines()]
    assert all(h.pop("latency_s") >= 0 and h.pop("beats_baseline") for h in heard)
    assert heard == clips
    assert "real-time factor" in err
    assert "Not a diagnosis" in err
    with open(cry, "rb") as handle:
        data = handle.read()
    standard_input(data)
    assert [json.loads(line)["label"] for line in run("listen", "-", "--json")[1].splitlines()] == [
        c["label"] for c in clips
    ]
    standard_input(data[44:])
    given = ("listen", "-", "--format", "s16le", "--quiet")
    code, out, err = run(*given)
    assert (code, len(out.splitlines()), err) == (0, len(clips), "")


def test_listen_tells_of_dropouts_even_when_quiet(run, tmp_path):
    x = made_bundle.cries(6.0)
    x[40_000:60_000] = 0
    soundfile.write(tmp_path / "gap.wav", x, RATE)
    code, out, err = run("listen", str(tmp_path / "gap.wav"), "--quiet")
    assert code == 0
    assert decide.DROPOUT in out
    assert err.strip() == "cryhear: dropout at 2.50 s, 1.25 s"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["listen", "no-such.wav"], "no-such.wav: not a file"),
        (["listen", "."], "not a file"),
        (["listen", "no-such.wav", "--rate", "8000"], "--rate: only raw sound"),
        (["listen", "-", "--rate", "8000"], "--rate: only raw sound"),
        (["listen", "-", "--format", "s16le", "--rate", "0"], "0 Hz"),
        (["listen", "-", "--format", "s16le", "--channels", "65"], "65 channels"),
        (["listen", "-", "--hop", "9"], "hop is 9 s"),
        (["listen", "-", "--hop", "nan"], "hop is nan s; expected above 0 to 2 s"),
        (["listen", "-", "--hop", "inf"], "hop is inf s"),
    ],
)
def test_a_users_mistake_is_one_message(run, standard_input, arguments, says):
    standard_input(b"")
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.startswith("cryhear: ")
    assert says in err


def test_a_model_that_is_none_is_one_message(cry, tmp_path, capsys):
    for command in ("predict", "listen"):
        assert cli.main([command, cry, "--bundle", str(tmp_path)]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "card.json cannot be read (No such file or directory)" in said.err
        assert "cryhear train" in said.err


def test_help_offers_what_there_is_and_loads_no_numpy():
    assert recording_commands.GATES == gate.CHOICES
    assert tuple(wav.ENCODINGS) == recording_commands.ENCODINGS
    code = "import sys; from cryhear import cli; cli.parser(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_wrong_command_line_is_exit_code_2(capsys):
    for given in (["predict"], ["predict", "a.wav", "--json", "--csv"], ["listen", "a", "b"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(given)
        assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_train_writes_a_bundle_and_says_what_it_is(tmp_path, monkeypatch, capsys):
    from cryhear.prediction import train

    asked = []
    monkeypatch.setattr(train, "study_of", lambda *given: given)
    monkeypatch.setattr(train, "train", lambda *given: asked.append(given) or made_bundle.make())
    out = tmp_path / "new" / "model"
    given = ["train", "--representation", "logmel", "--params", "p.yaml", "--out", str(out)]
    assert cli.main(given) == 0
    assert bundle.read(out).card["name"] == "made"
    assert [str(asked[0][0][0]), asked[0][1]] == ["p.yaml", "logmel"]
    assert f"{out}: made. Not a diagnosis." in capsys.readouterr().out
    assert cli.main([*given, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_train_says_what_tables_it_lacks(tmp_path, capsys, root, monkeypatch):
    monkeypatch.chdir(root)
    out = tmp_path / "model"
    for given, says in (
        (["--derived", str(tmp_path / "none")], "is not a folder; derived tables"),
        (["--params", "params/none.yaml"], "params/none.yaml is not there"),
        (["--representation", "logmell"], "no logmell embeddings"),
    ):
        assert cli.main(["train", "--out", str(out), *given]) == 1
        assert says in capsys.readouterr().err
    assert not out.exists()


def test_closed_outputs_are_no_traceback(model, cry):
    command = shlex.join([sys.executable, "-m", "cryhear.cli", "predict", cry, "--bundle", model])
    for closed, rest in ((">&-", "stderr"), ("2>&-", "stdout"), (">&- 2>&-", None)):
        done = subprocess.run(f"{command} --gate none {closed}", shell=True, capture_output=True)
        assert done.returncode == 0
        assert b"Traceback" not in done.stdout + done.stderr
        assert rest is None or getattr(done, rest)


def test_output_into_a_closed_pipe_ends_quietly(model, cry, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for i in range(60):
        (many / f"{i:02d}.wav").symlink_to(many / "cry.wav")
    soundfile.write(many / "cry.wav", made_bundle.cries(4.0), RATE)
    for form in ("--csv", "--json"):
        process = started("predict", str(many), form, model=model)
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait() == 141  # as a shell says of a process ended by SIGPIPE
        assert "Traceback" not in said
        assert "Broken" not in said


def test_interrupting_listen_keeps_what_was_said(model, cry):
    process = started("listen", "-", "--json", model=model, stdin=subprocess.PIPE)
    with open(cry, "rb") as handle:
        process.stdin.write(handle.read()[:-2])
    process.stdin.flush()
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    said = [json.loads(line)["start_s"] for line in [first, *out.splitlines()]]
    assert said[0] == 0.0
    said = err.decode()
    assert "Traceback" not in said
    assert "s of sound" in said
    assert "interrupted" in said


def test_interrupting_predict_leaves_a_whole_list(model, cry, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    soundfile.write(many / "cry.wav", made_bundle.cries(60.0), RATE)
    for i in range(60):
        (many / f"{i:02d}.wav").symlink_to(many / "cry.wav")
    process = started("predict", str(many), "--json", model=model)
    lines = [process.stdout.readline(), process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    said = json.loads(b"".join(lines) + out)
    assert 1 <= len(said) < 61
    assert [list(r) for r in said] == [KEYS] * len(said)
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize("written", [1, 2, 3])
def test_a_list_is_whole_wherever_its_writing_is_interrupted(written):
    result = predict.Result("a.wav", decide.Clip(0.0, None, None, "too quiet", {}))
    lines = predict.as_json([result, result])
    said = [next(lines) for _ in range(written)]
    said.append(lines.throw(KeyboardInterrupt()))
    assert len(json.loads("".join(said))) == written - 1
    with pytest.raises(KeyboardInterrupt):
        next(lines)


@pytest.fixture
def unproven(tmp_path):
    return str(bundle.write(made_bundle.no_better(), tmp_path / "unproven"))


def test_a_model_no_better_than_its_baseline_names_no_class_in_any_form(run, cry, unproven, capsys):
    model = ["--bundle", unproven, "--gate", "none"]
    assert cli.main(["predict", cry, *model]) == 0
    said = capsys.readouterr()
    assert "hunger" not in said.out
    assert f"no class named: {decide.NOT_SHOWN}" in said.out
    assert "--probabilities" in said.err
    assert cli.main(["predict", cry, *model, "--probabilities"]) == 0
    assert "hunger 0." in capsys.readouterr().out
    assert cli.main(["predict", cry, *model, "--json"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert (one["label"], one["probabilities"], one["beats_baseline"]) == (None, None, False)
    assert cli.main(["predict", cry, *model, "--json", "--probabilities"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert (one["label"], one["beats_baseline"], one["abstain"]) == (None, False, True)
    assert one["probabilities"]["hunger"] > 0
    for given in ([], ["--probabilities"]):
        assert cli.main(["predict", cry, *model, "--csv", *given]) == 0
        row = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert (row["label"], row["beats_baseline"]) == ("", "false")
        assert bool(row["p_hunger"]) == bool(given)
        assert cli.main(["listen", cry, *model, "--json", *given]) == 0
        line = json.loads(capsys.readouterr().out.splitlines()[0])
        assert (line["label"], line["beats_baseline"]) == (None, False)
        assert bool(line["probabilities"]) == bool(given)
    assert cli.main(["listen", cry, *model]) == 0
    said = capsys.readouterr()
    assert "hunger" not in said.out
    assert "0 given a class" in said.err
    assert "hunger 0." in run("predict", cry)[1]  # a model that does beat it


@pytest.mark.parametrize("named", ["~/yamnet.tflite", "no/such/file", "."])
def test_a_yamnet_that_was_named_and_is_not_there_is_an_error(
    model, cry, monkeypatch, capsys, named
):
    monkeypatch.setenv("CRYHEAR_YAMNET", named)
    for command in ("predict", "listen"):
        assert cli.main([command, cry, "--bundle", model]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "yamnet" in said.err
        assert cli.main([command, cry, "--bundle", model, "--gate", "logmel"]) == 0
        capsys.readouterr()
