"""How long an answer takes: `cryhear predict` on one recording, and `cryhear listen` on a stream.

A cold answer is the whole command, from the shell's side: Python starts, the model and the gate are read, a
recording of seven seconds is decoded and answered clip by clip. A warm one is the same recording asked about
again in one process. The stream is a minute of such sound written into a pipe as fast as it is taken. The
model is trained here on the derived tables of the repository, for each representation that can run; the gate
is the shipped one, so that a machine with YAMNet's file measures the same work.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from benchmarks import bench, made
from cryhear import params
from cryhear.embedding import REPRESENTATIONS, availability
from cryhear.prediction import bundle, decide, gate, predict, stream, train

PARAMS = bench.ROOT / "params" / "default.yaml"
GATE = "logmel"
SECONDS = 7.0
STREAM_S = 60.0

ROUNDING = 2e-6
"""Largest difference of a probability between file and stream: six digits, and one more rounding."""


def at_hand(derived: Path) -> list[str]:
    """Representations that can run here and whose embeddings the derived tables hold."""
    found = availability()
    return [
        n for n in REPRESENTATIONS if found[n][0] and (derived / "clips" / f"{n}.parquet").exists()
    ]


def cold(path: Path, model: Path) -> float:
    """Seconds from the command to its end."""
    command = [sys.executable, "-m", "cryhear.cli", "predict", str(path), "--bundle", str(model),
               "--gate", GATE, "--json", "--quiet"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(bench.ROOT)}
    seconds, done = bench.timed(
        lambda: subprocess.run(command, env=environment, capture_output=True, text=True)
    )
    bench.check_same(done.returncode, 0, f"exit code of predict ({done.stderr[-500:]})")
    return seconds


def heard(path: Path, judge: decide.Judge) -> tuple[stream.Listener, list[decide.Clip]]:
    """The recording played through a pipe; the listener that heard it and what it decided."""
    out, into = os.pipe()

    def play() -> None:
        with open(into, "wb") as sink:
            sink.write(path.read_bytes())

    player = threading.Thread(target=play)
    player.start()
    listener = stream.Listener(judge)
    with open(out, "rb") as source:
        clips = [clip for clip, _ in stream.of_input(source, listener)]
    player.join()
    return listener, clips


def check(clips: list[decide.Clip], others: list[decide.Clip]) -> None:
    """A stream gets what a file gets, clip by clip."""
    for field in ("start_s", "label", "reason"):
        bench.check_same(
            [getattr(c, field) for c in clips], [getattr(c, field) for c in others], field
        )
    shares = [
        [list(c.probabilities.values()) for c in side if c.probabilities]
        for side in (clips, others)
    ]
    bench.check_close(*shares, ROUNDING, "probabilities of file and stream")


def latencies(results: bench.Results, key: str, times: list[float], note: str) -> None:
    """Median and 95th percentile of some times."""
    results.seconds(f"{key}_median", times, note)
    results.number(
        f"{key}_p95", float(np.percentile(times, 95)), "seconds", n=len(times), note=note
    )


def one(results: bench.Results, name: str, judge: decide.Judge, model: Path, folder: Path) -> None:
    """Measure one representation."""
    short, long = folder / "short", folder / "long"
    [path] = made.recordings(short, 1, SECONDS, 16_000)
    [minute] = made.recordings(long, 1, SECONDS * 2 if results.quick else STREAM_S, 16_000)
    cold(path, model)  # the first one reads the libraries from the disk
    times = [cold(path, model) for _ in range(1 if results.quick else 7)]
    results.seconds(f"cold_{name}", times, f"the whole command, one recording of {SECONDS:g} s")
    answer = predict.recording(path, judge)
    times = [
        bench.timed(lambda: predict.recording(path, judge))[0]
        for _ in range(5 if results.quick else 200)
    ]
    latencies(results, f"warm_{name}", times, f"the same recording, {len(answer.clips)} clips")
    listener, clips = heard(minute, judge)
    check(clips, predict.recording(minute, judge).clips)
    kept = [*listener.latencies]
    latencies(results, f"clip_{name}", kept, "from a clip's last sample to its decision")
    factor = listener.busy_s / listener.heard_s
    results.number(
        f"factor_{name}", factor, "ratio", n=len(clips), note="seconds of work a second of sound"
    )


def measure(results: bench.Results) -> None:
    """Measure every representation at hand."""
    study = params.load(PARAMS, {"source": {"derived": str(bench.ROOT / "data" / "donateacry")}})
    names = at_hand(Path(study.derived))
    with tempfile.TemporaryDirectory() as parent:
        for name in names[-1:] if results.quick else names:
            folder = Path(parent) / name
            model = bundle.write(train.train(study, name, repeats=1), folder / "model")
            one(
                results,
                name,
                decide.Judge(bundle.read(model), gate.load(GATE), probabilities=True),
                model,
                folder,
            )
    results.number("representations", ", ".join(names), "text")


if __name__ == "__main__":
    raise SystemExit(bench.run("predict", measure))
