"""The commands for new recordings: train, predict, listen, doctor. Arguments and printing only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from cryhear.errors import ParameterError
from cryhear.progress import LOG, aside

PARTIAL = 3
"""Exit code when the rest was done but some recordings could not be used."""

GATES = ("auto", "yamnet", "logmel", "none")
ENCODINGS = ("u8", "s16le", "s24le", "s32le", "f32le", "f64le")
"""As `cryhear.prediction.gate.CHOICES` and `cryhear.audio.wav.ENCODINGS`, whose modules load
NumPy: no reason for `--help` to wait."""

RATE, CHANNELS = 16_000, 1
"""What raw sound is taken for where nothing is said."""

Add = Callable[..., argparse.ArgumentParser]
CLIPS = "show what was measured of each clip"


def add(commands: Any, command_of: Add) -> None:
    """Add the four commands to the parser's."""
    command = command_of(
        commands, "train", _train, "train the model for new recordings and judge it by infants it has "
        "not heard", "cryhear train --representation logmel --out results/default/model",
        verbose="print how it was measured",
    )  # fmt: skip
    command.add_argument("--representation", help="default: logmel where the study has it")
    command.add_argument("--params", type=Path, default=Path("params/default.yaml"), help="a study")
    command.add_argument("--derived", type=Path, help="start from this folder of derived tables")
    command.add_argument(
        "--out", type=Path, default=Path("results/default/model"), help="the bundle"
    )
    _predict_arguments(
        command_of(
            commands, "predict", _predict, "say what a trained model answers to recordings, or why it "
            "does not", "cryhear predict cry.wav folder/ --json",
            "leave out the clips, the bar and the note", CLIPS,
        )
    )  # fmt: skip
    _listen_arguments(
        command_of(
            commands, "listen", _listen, "decide about sound as it comes, every two seconds",
            "arecord -q -f S16_LE -r 16000 -c 1 -t raw | cryhear listen - --format s16le",
            "leave out the summary and the note", CLIPS,
        )
    )  # fmt: skip
    command_of(
        commands, "doctor", _doctor, "say what is installed and what can run", "cryhear doctor",
        "print only what is missing", "say also where everything lies",
    )  # fmt: skip


def _judge_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--bundle", type=Path, help="the model; default: results/default/model, trained if missing"
    )
    command.add_argument(
        "--gate", choices=GATES, default="auto", help="what refuses sounds that are no cry; auto: YAMNet "
        "where its file is at hand, else the shipped one",
    )  # fmt: skip
    command.add_argument(
        "--probabilities", action="store_true", help="show them also of a model that names no class, since "
        "it was not shown to beat its no-audio baseline",
    )  # fmt: skip


def _predict_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "files", nargs="+", metavar="FILE", help="recordings, folders, or - for stdin"
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a list of objects")
    form.add_argument("--csv", action="store_true", help="a row a recording and a row a clip")
    _judge_arguments(command)


def _listen_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("source", metavar="FILE", help="a recording, or - for standard input")
    command.add_argument("--format", choices=ENCODINGS, help="raw sound on stdin; default: WAV")
    command.add_argument("--rate", type=int, help=f"Hz of raw sound ({RATE})")
    command.add_argument("--channels", type=int, help=f"channels of raw sound ({CHANNELS})")
    command.add_argument(
        "--hop", type=float, help="s between clips, above 0 to 2; default as trained"
    )
    command.add_argument("--json", action="store_true", help="one object a line")
    _judge_arguments(command)


def _train(given: argparse.Namespace) -> int:
    from cryhear.prediction import bundle, predict, train

    made = train.train(train.study_of(given.params, given.derived), given.representation)
    bundle.write(made, given.out)
    LOG.info("%s: %s. %s", given.out, made.card["name"], predict.standing_note(made.card))
    LOG.debug("%s", json.dumps(made.card["performance"], indent=1))
    return 0


def _predict(given: argparse.Namespace) -> int:
    from cryhear.prediction import predict

    judge = predict.load(given.bundle, given.gate, given.probabilities)
    note = predict.standing_note(judge.bundle.card)
    failed: list[predict.Result] = []

    def kept() -> Iterator[predict.Result]:
        for result in predict.each(given.files, judge):
            if result.failed:
                failed.append(result)
            yield result

    if given.json:
        lines = predict.as_json(kept())
    elif given.csv:
        lines = predict.as_csv(kept(), judge.bundle.classes)
    else:
        lines = (predict.as_text(r, not given.quiet, given.verbose) for r in kept() if not r.failed)
    _write(lines)
    for result in failed:
        print(predict.as_text(result), file=sys.stderr)
    aside(note)
    return PARTIAL if failed else 0


def _write(lines: Generator[str, None, None]) -> None:
    """Write lines as they are made; who makes them ends the text where the writing is interrupted."""
    from tqdm import tqdm

    def put(line: str) -> None:
        tqdm.write(line)  # a bar on the same terminal makes room for it
        sys.stdout.flush()

    try:
        for line in lines:
            put(line)
    except KeyboardInterrupt as stopped:
        put(lines.throw(stopped))
        raise


def _listen(given: argparse.Namespace) -> int:
    from cryhear.prediction import predict, stream

    form = _raw(given)
    judge = predict.load(given.bundle, given.gate, given.probabilities)
    note = predict.standing_note(judge.bundle.card)
    listener = stream.Listener(judge, given.hop, _told)
    if given.source == predict.STDIN:
        decisions = stream.of_input(stream.standard_input(), listener, form)
    else:
        decisions = stream.of_file(given.source, listener)
    try:
        for clip, latency in decisions:
            if given.json:
                line = stream.line_of(clip, latency, judge.names_classes)
                print(json.dumps(line), flush=True)
            else:
                print(predict.clip_line(clip, given.verbose), flush=True)
        if listener.warning:
            odd = {"warning": listener.warning}
            print(json.dumps(odd) if given.json else f"warning: {listener.warning}", flush=True)
    finally:
        if listener.heard_s:
            aside(f"{listener.summary()}\n{note}")
    return 0


def _raw(given: argparse.Namespace) -> Any:
    """How raw sound is to be read; None for sound that says so itself."""
    from cryhear.audio.wav import Format
    from cryhear.prediction.predict import STDIN

    told = [f"--{k}" for k in ("format", "rate", "channels") if getattr(given, k) is not None]
    if told and (given.source != STDIN or not given.format):
        raise ParameterError(
            f"{', '.join(told)}: only raw sound on standard input needs it, with --format; expected a file, "
            "or a WAV stream, which say themselves how they are stored. Leave it out, or give - and --format"
        )
    rate = RATE if given.rate is None else given.rate
    channels = CHANNELS if given.channels is None else given.channels
    return Format(given.format, rate, channels) if told else None


def _told(event: Any) -> None:
    print(f"cryhear: {event}", file=sys.stderr, flush=True)


def _doctor(given: argparse.Namespace) -> int:
    from cryhear.prediction import doctor

    print(doctor.report(lacking_only=given.quiet, places=given.verbose))
    return 0
