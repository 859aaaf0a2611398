"""The command: exit codes, plain messages, and no traceback for a user's mistake."""

from __future__ import annotations

import argparse
import os
import signal
import time

import pytest
import soundfile

from cryhear import cli, recording_commands
from cryhear.errors import ParameterError
from cryhear.prediction import gate


@pytest.fixture
def folder(tmp_path, tone):
    for i in range(2):
        soundfile.write(tmp_path / f"hungry_{i}.wav", tone(3.0, 400.0 + 50 * i), 16_000)
    return tmp_path


def test_check_lists_what_cannot_be_used_and_says_so_by_its_exit_code(folder, capsys):
    assert cli.main(["corpus", "check", str(folder), "--jobs", "1"]) == 0
    (folder / "renamed.wav").write_text("not audio")
    assert cli.main(["corpus", "check", str(folder), "--jobs", "1"]) == cli.PARTIAL
    assert "renamed.wav" in capsys.readouterr().out


def test_embed_fills_a_store_and_lists_what_it_could_not(folder, tmp_path_factory, capsys):
    store = tmp_path_factory.mktemp("store")
    (folder / "empty.wav").touch()
    given = ["embed", str(folder), "--representation", "logmel", "--out", str(store)]
    assert cli.main(given) == cli.PARTIAL
    assert "clips of 2 recordings" in capsys.readouterr().out
    parts = list(store.rglob("part-*.parquet"))
    assert cli.main(given) == cli.PARTIAL
    assert list(store.rglob("part-*.parquet")) == parts


def test_embed_lists_what_it_may_not_open(folder, tmp_path_factory, capsys):
    (folder / "out.wav").symlink_to("/etc/hostname")
    (folder / "red\x1b[31m.wav").write_text("not audio")
    store = tmp_path_factory.mktemp("store")
    given = ["embed", str(folder), "--out", str(store), "--representation", "logmel"]
    assert cli.main(given) == cli.PARTIAL
    said = capsys.readouterr().err
    assert "out.wav: a link that leaves the root" in said
    assert "red\\x1b[31m.wav: not audio" in said


def test_a_full_disk_is_one_message(folder, tmp_path_factory, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device", "store/part")

    monkeypatch.setattr("cryhear.embedding.store.write_vectors", full)
    store = tmp_path_factory.mktemp("store")
    given = ["embed", str(folder), "--out", str(store), "--representation", "logmel"]
    assert cli.main(given) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith(
        "cryhear: store/part: No space left on device; what was finished is kept"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["study", "params/nothing.yaml"], "is not there"),
        (["corpus", "check", "no/such/folder"], "no/such/folder"),
        (["embed", ".", "--out", "store", "--representation", "yamnett"], "did you mean 'yamnet'"),
        (["study", "--set", "seed"], "expected NAME=VALUE"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_1(
    arguments, expected, capsys, monkeypatch, root
):
    monkeypatch.chdir(root)
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("cryhear: ")
    assert expected in error
    assert "Traceback" not in error


def test_overrides_are_read_as_yaml_and_stay_data():
    assert cli.overrides(["exploration.seed=7", "name=$(rm -rf x)"]) == {
        "exploration.seed": 7,
        "name": "$(rm -rf x)",
    }
    with pytest.raises(ParameterError, match="cannot be read as YAML"):
        cli.overrides(["name=!!python/name:os.system"])


def test_interrupting_says_that_finished_work_is_kept(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_check", interrupted)
    assert cli.main(["corpus", "check", "."]) == 130
    assert "what was finished is kept" in capsys.readouterr().err


def commands(parser=None, words=()):
    """The words of every command the parser holds, with its parser."""
    parser = parser or cli.parser()
    below = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not below:
        return [(words, parser)]
    inner = below[0].choices.items()
    return [found for name, one in inner for found in commands(one, (*words, name))]


def test_all_commands_are_found():
    assert len(commands()) == 14
    assert ("corpus", "fetch") in dict(commands())


@pytest.mark.parametrize(
    "words", [(), ("corpus",), *(words for words, _ in commands())], ids=" ".join
)
def test_every_command_has_help_with_an_example_and_its_exit_codes(words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"{' '.join(('cryhear', *words))} " in said.split("Example: ")[1]
    assert cli.CODES in said


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_is_quiet_or_verbose_and_not_both(words, capsys):
    flags = {flag for action in dict(commands())[words]._actions for flag in action.option_strings}
    assert {"--quiet", "--verbose"} <= flags
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--quiet", "--verbose"])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


def lines(capsys, *arguments):
    assert cli.main(list(map(str, arguments))) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


def test_an_audit_is_counted_or_whole(folder, tone, capsys, monkeypatch):
    for i in range(2, 6):
        soundfile.write(folder / f"cry_{i}.wav", tone(3.0, 400.0 + 50 * i), 16_000)
    monkeypatch.setattr(cli, "MOST_ROWS", 2)
    check = ["corpus", "check", folder, "--jobs", "1"]
    quiet, plain, verbose = (
        lines(capsys, *check, *more) for more in (["--quiet"], [], ["--verbose"])
    )
    assert len(quiet) < len(plain) < len(verbose)
    # Counts, and what they do not allow.
    assert all(line.endswith((")", ".")) for line in quiet if line)


def test_check_names_every_file_that_is_not_used(folder, tone, capsys):
    for name in ("a.3ga", "b.qta", "c.ape", "noending", "d.xyz", "short.wav"):
        seconds = 0.5 if name == "short.wav" else 3.0
        soundfile.write(folder / "t.wav", tone(seconds), 16_000)
        (folder / "t.wav").rename(folder / name)
    (folder / "lost.m4r").write_bytes(b"\0" * 999)
    (folder / "notes.txt").write_text("minutes of a meeting")
    (folder / ".hidden.wav").write_bytes(b"x")
    soundfile.write(folder / "no_pain.wav", tone(3.0, 700.0), 16_000)
    (folder / "no_pain.wav").write_bytes((folder / "no_pain.wav").read_bytes()[:-2000])
    check = ["corpus", "check", str(folder), "--verbose", "--jobs", "1"]
    assert cli.main(check) == cli.PARTIAL
    out = capsys.readouterr().out
    for name in (
        "a.3ga",
        "b.qta",
        "c.ape",
        "noending",
        "d.xyz",
        "short.wav",
        "lost.m4r",
        "notes.txt",
        ".hidden.wav",
    ):
        assert name in out
    assert "0.5 s long, shorter than 2 s" in out
    assert "its name denies: pain" in out
    assert "2,000 bytes more than there are" in out
    assert "no sound by its ending or its content" in out
    assert "Nobody knows who cried in" in out


def test_embedding_tells_nothing_something_or_more(folder, tmp_path_factory, capsys):
    store = tmp_path_factory.mktemp("store")
    embed = ["embed", folder, "--representation", "logmel", "--out", store]
    assert lines(capsys, *embed, "--quiet") == []
    assert len(lines(capsys, *embed)) == 1
    assert lines(capsys, *embed, "--verbose")[0] == "logmel, version 1: 320 numbers a clip"


def test_doctor_tells_only_what_lacks_or_where_things_lie(capsys):
    quiet, plain, verbose = (
        lines(capsys, "doctor", *more) for more in (["--quiet"], [], ["--verbose"])
    )
    assert len(quiet) < len(plain) < len(verbose)
    assert not [line for line in quiet if ": runs" in line or "cores" in line]
    assert any(line.startswith("  library") for line in verbose)


def test_the_gates_offered_are_those_there_are():
    assert recording_commands.GATES == gate.CHOICES


def test_building_a_book_hands_over_the_run_and_the_place(monkeypatch, tmp_path, capsys):
    from cryhear.study import book

    monkeypatch.setattr(book, "build", lambda run, out: (run, out))
    assert cli.main(["book", "--out", str(tmp_path)]) == 0
    assert cli.main(["book", "--run", "results/default", "--out", str(tmp_path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("(None, ")
    assert "results/default" in second


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "", "\N{SUPERSCRIPT TWO}"])
@pytest.mark.parametrize("words", [["corpus", "check", ".", "--jobs"], ["study", "--cores"]])
def test_a_count_that_is_none_is_a_wrong_command_line(words, given, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, given])
    assert stopped.value.code == 2
    assert "expected a whole number from 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_command_as_ctrl_c_does_with_its_own_exit_code(name, monkeypatch, capsys):
    number, cleaned = signal.Signals[name], []

    def ended(*_, **__):
        try:
            os.kill(os.getpid(), number)
            time.sleep(60)
        finally:
            cleaned.append(True)

    monkeypatch.setattr(cli, "_check", ended)
    before = signal.signal(number, signal.SIG_DFL)  # it is ignored where the tests run under nohup
    try:
        assert cli.main(["corpus", "check", "."]) == 128 + number
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert cleaned == [True]
    assert f"ended by {name}; what was finished is kept" in capsys.readouterr().err


def test_a_signal_that_is_ignored_stays_ignored(monkeypatch):
    monkeypatch.setattr(cli, "_check", lambda *_: os.kill(os.getpid(), signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        assert cli.main(["corpus", "check", "."]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)
