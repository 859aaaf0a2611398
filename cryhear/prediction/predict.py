"""Recordings in, calibrated probabilities or a reasoned refusal out: `cryhear predict`.

From Python, with a model at hand or trained on first use::

    from cryhear import predict

    judge = predict.load()
    predict.recording("cry.wav", judge).as_dict()["reason"]  # such as 'no cry'

A recording is decoded and decided about piece by piece, by what `cryhear.prediction.stream` uses too, so that
a file played through `cryhear listen` gets the same answers.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cryhear import progress
from cryhear.audio import decode
from cryhear.corpus import folders
from cryhear.errors import AudioError, BundleError, CryhearError
from cryhear.prediction import bundle, gate
from cryhear.prediction.bundle import names_classes, number
from cryhear.prediction.decide import NOT_SHOWN, Clip, Cutter, Judge, Recording
from cryhear.prediction.stream import standard_input
from cryhear.progress import printable

BUNDLE = Path("results/default/model")
"""Where the default study leaves its model."""

STUDY = Path("params/default.yaml")
"""The study trained where `BUNDLE` is not there yet."""

STDIN = "-"
LIMIT_S = 600.0
"""Longest recording taken, seconds; `cryhear listen` has no limit."""

LARGEST_STDIN = 1 << 30
"""Bytes taken from standard input."""


@dataclass
class Result:
    """What is said about one recording.

    Attributes
    ----------
    file : str
    whole : cryhear.prediction.decide.Clip
        The decision on the recording.
    clips : list of cryhear.prediction.decide.Clip
    beats_baseline : bool
        Whether the model was shown to beat its no-audio baseline, and so names classes.
    seconds : float
        Time taken, s.
    failed : str
        Why the recording could not be used at all; '' where it could.
    warning : str
        What is odd about the file, such as a length that is not its container's; '' if nothing.
    """

    file: str
    whole: Clip
    clips: list[Clip] = field(default_factory=list)
    seconds: float = 0.0
    failed: str = ""
    beats_baseline: bool = False
    warning: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "file": self.file,
            "label": self.whole.label,
            "probabilities": self.whole.probabilities,
            "abstain": self.whole.abstain,
            "reason": self.whole.reason,
            "warning": self.warning,
            "beats_baseline": self.beats_baseline,
            "clips": [clip.as_dict() for clip in self.clips],
            "seconds": round(self.seconds, 4),
        }


def load(
    folder: str | os.PathLike[str] | None = None,
    gate_choice: str = "auto",
    probabilities: bool = False,
) -> Judge:
    """A judge with a bundle and a gate; trains the default study's model if there is none yet.

    Parameters
    ----------
    folder : path-like, optional
        A bundle's folder; by default ``results/default/model``, which is made from
        ``data/donateacry`` at first use (under a minute).
    gate_choice : {'auto', 'yamnet', 'logmel', 'none'}
        See `cryhear.prediction.gate.load`.
    probabilities : bool
        Give probabilities also where the model was not shown to beat its baseline and names no class.

    Raises
    ------
    BundleError
        The bundle is not there, was altered, or does not fit this installation.
    """
    if folder is None and not (BUNDLE / bundle.CARD).exists():
        _first_use()
    chosen = BUNDLE if folder is None else folder
    return Judge(bundle.read(chosen), gate.load(gate_choice), probabilities=probabilities)


def _first_use() -> None:
    if not STUDY.exists():
        raise BundleError(
            f"no model in {BUNDLE}, and no {STUDY} to train one from; expected to be in a clone of the "
            "repository. Go there, or name a model's folder with --bundle"
        )
    progress.aside(
        f"No model yet: training the default study's once, into {BUNDLE} (under a minute) ..."
    )
    from cryhear.prediction import train

    bundle.write(train.train(train.study_of(STUDY)), BUNDLE)


def recording(path: str | os.PathLike[str], judge: Judge, limit_s: float = LIMIT_S) -> Result:
    """Decide about one recording.

    Parameters
    ----------
    path : path-like
        Any format `cryhear.audio.decode.decode` reads.
    judge : Judge
    limit_s : float
        Longest recording taken, seconds.

    Raises
    ------
    AudioError
        It cannot be decoded.
    """
    notes: list[str] = []
    result = pieces(decode.blocks(path, limit_s=limit_s, notes=notes), judge, os.fspath(path))
    result.warning = "; ".join(notes)
    return result


def pieces(sound: Iterable[np.ndarray], judge: Judge, name: str = "") -> Result:
    """Decide about a recording that comes in pieces.

    Parameters
    ----------
    sound : iterable of numpy.ndarray, shape (n,), float32
        Mono, 16 kHz.
    judge : Judge
    name : str
        What the result calls it.
    """
    started = time.perf_counter()
    whole, cutter = Recording(judge), Cutter(judge.hop)
    for piece in sound:
        for start, samples in cutter.push(piece):
            whole.add(*judge.clip(samples, start))
    for start, samples in cutter.finish():
        whole.add(*judge.clip(samples, start))
    decided = whole.decide()
    took = time.perf_counter() - started
    return Result(name, decided, whole.clips, took, beats_baseline=judge.names_classes)


def each(paths: Iterable[str], judge: Judge) -> Iterator[Result]:
    """Decide about recordings one by one; one that cannot be used gives a result that says so.

    Of more than one, a command shows a bar on a terminal.

    Parameters
    ----------
    paths : iterable of str
        Files, folders (all recordings below), or ``-`` for a file on standard input.
    judge : Judge
    """
    listed = list(find(paths))
    if len(listed) > 1:
        listed = progress.bar(listed, unit="recording", leave=False)
    for path, problem in listed:
        try:
            if problem:
                raise AudioError(problem)
            yield _from_stdin(judge) if path == STDIN else recording(path, judge)
        except CryhearError as error:
            # The path stands before the reason already.
            reason = str(error).removeprefix(f"{path}: ")
            failed = Clip(0.0, reason=f"cannot be used: {reason}")
            yield Result(path, failed, failed=reason, beats_baseline=judge.names_classes)


def find(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each recording once, folders searched; with why it must not be opened, else ''."""
    seen: set[str] = set()
    for name in paths:
        for path, problem in _below(name) if os.path.isdir(name) else [(name, "")]:
            if path not in seen:
                seen.add(path)
                yield path, problem


def _below(folder: str) -> list[tuple[str, str]]:
    root = Path(folder).resolve()
    found = [
        (os.path.join(folder, os.path.relpath(path, root)), problem)
        for path, problem in folders.walk(root)
    ]
    nothing = "no recording in this folder; expected files such as .wav, .m4a, .3gp"
    return sorted(found) or [(folder, nothing)]


def _from_stdin(judge: Judge) -> Result:
    """Decide about a file on standard input; decoders seek, so it is kept aside meanwhile."""
    with tempfile.NamedTemporaryFile(prefix="cryhear-", suffix=".audio") as aside:
        source = standard_input()
        while (size := aside.tell()) <= LARGEST_STDIN and (block := source.read(1 << 16)):
            aside.write(block)
        if size > LARGEST_STDIN:
            raise AudioError(
                f"more than {LARGEST_STDIN:,} bytes came; expected one recording. Use cryhear listen -"
            )
        aside.flush()
        try:
            result = recording(aside.name, judge)
        except AudioError as error:
            raise AudioError(str(error).replace(f"{aside.name}: ", "", 1)) from None
    result.file = STDIN
    return result


def as_text(result: Result, clips: bool = True, measured: bool = False) -> str:
    """A recording's lines for a terminal."""
    name = printable(result.file)
    if result.failed:
        return f"{name}: cannot be used: {printable(result.failed)}"
    took = f"{progress.counted(len(result.clips), 'clip')}, {1000 * result.seconds:.0f} ms"
    lines = [f"{name}: {said(result.whole)} ({took})"]
    if result.warning:
        lines.append(f"  warning: {printable(result.warning)}")
    if clips:
        lines += [f"  {clip_line(clip, measured)}" for clip in result.clips]
    return "\n".join(lines)


def clip_line(clip: Clip, measured: bool = False) -> str:
    """A clip's line for a terminal."""
    line = f"{clip.start_s:7.1f} s  {said(clip)}"
    if measured:
        line += "  [" + ", ".join(f"{k} {v:g}" for k, v in clip.measured.items()) + "]"
    return line


def said(clip: Clip) -> str:
    """A decision in words."""
    ranked = sorted((clip.probabilities or {}).items(), key=lambda item: -item[1])
    shares = ", ".join(f"{name} {value:.2f}" for name, value in ranked)
    if clip.reason == NOT_SHOWN:
        return f"no class named: {clip.reason}" + (f" ({shares})" if shares else "")
    return shares or f"no answer: {clip.reason}"


def as_json(results: Iterable[Result]) -> Generator[str, None, None]:
    """A JSON list, an element at a time, closed even where results or writer (`throw`) are interrupted."""
    comma = ""
    try:
        yield "["
        for result in results:
            yield comma + json.dumps(result.as_dict())
            comma = ","
    except KeyboardInterrupt:
        yield "]"
        raise
    yield "]"


def as_csv(results: Iterable[Result], classes: list[str]) -> Generator[str, None, None]:
    """CSV: a row a recording (`start_s` empty) and a row a clip."""
    shares = [f"p_{c}" for c in classes]
    yield _row(
        ["file", "start_s", "label", *shares, "abstain", "reason", "warning", "beats_baseline", "seconds"]
    )  # fmt: skip
    for result in results:
        beats = str(result.beats_baseline).lower()
        for clip in [result.whole, *result.clips]:
            own = (
                ("", result.warning, f"{result.seconds:.4f}")
                if clip is result.whole
                else (f"{clip.start_s:g}", "", "")
            )
            p = clip.probabilities or {}
            yield _row(
                [result.file, own[0], clip.label or "", *(f"{p[c]:.6f}" if c in p else "" for c in classes),
                 str(clip.abstain).lower(), clip.reason, own[1], beats, own[2]]
            )  # fmt: skip


def _row(cells: list[str]) -> str:
    # The writer quotes a cell that holds the end of a line, so it must be told what that is.
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().removesuffix("\r\n")


def standing_note(card: dict[str, Any]) -> str:
    """What must be read with every answer: no diagnosis, how good the model is, whether it names a class."""
    value, low, high, chance = (
        number(card, "performance", "auc_macro", part)
        for part in ("value", "low", "high", "chance")
    )
    said = (
        f"{printable(card['note'])} On infants it had never heard this model scored a macro AUC of "
        f"{value:.2f} ({low:.2f} to {high:.2f}); {chance:g} is a coin."
    )
    if names_classes(card):
        return said
    return (
        f"{said} It was not shown to do better than its baseline, the class shares, which take no sound at "
        "all; so it names no class. --probabilities shows what it computes."
    )
