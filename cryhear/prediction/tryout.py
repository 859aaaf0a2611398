"""Tables for chapter 12: per-clip predictions and gate performance.

Nothing in a file's name reaches a page but letters, digits, points and hyphens.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cryhear.analysis import demonstrations
from cryhear.audio import features
from cryhear.audio.decode import decode
from cryhear.embedding.base import CLIP_SAMPLES, SAMPLE_RATE
from cryhear.errors import MissingArtefactError
from cryhear.prediction import bundle, gate, predict
from cryhear.prediction.decide import Judge

SYNTHETIC = "a synthetic cry"
SYNTHETIC_S = 7.0
"""Seconds of the worked example: what the corpus's recordings last."""

NO_ANSWER = "no answer"
UNNAMED = "probabilities, no class"
GATE_NAMES = {"logmel": "the shipped gate", "yamnet": "YAMNet's own score"}
"""Gates as readers see them."""

FRAMES = 150
_PLAIN = re.compile(r"[^A-Za-z0-9.-]+")


def judge_of(run_folder: Path) -> Judge:
    """The run's model behind the shipped gate, asked for probabilities: what every reader of the book has."""
    folder = run_folder / "model"
    if not (folder / bundle.CARD).exists():
        raise MissingArtefactError(
            f"{folder} holds no model; it was expected from the study. Run `make report`, or "
            f"cryhear train --params {run_folder / 'params.json'} --out {folder}"
        )
    return Judge(bundle.read(folder), gate.load("logmel"), probabilities=True)


def sound(recording: str, seed: int) -> tuple[np.ndarray, str]:
    """The recording at 16 kHz, float32 (n,), and a name for it; a synthetic cry for ''."""
    if recording:
        return decode(recording).samples, plain(Path(recording).name)
    return demonstrations.cries(1, seed, SYNTHETIC_S)[0], SYNTHETIC


def plain(name: str) -> str:
    """A file's name with a hyphen for whatever could be markup."""
    return _PLAIN.sub("-", name).strip("-.") or "unnamed"


def pictures(samples: np.ndarray, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables for `figures.waveforms` and `figures.spectrograms`."""
    low, high = features.envelope(samples)
    seconds = np.linspace(0, len(samples) / SAMPLE_RATE, len(low), endpoint=False)
    wave = pd.DataFrame({"label": name, "time_s": seconds, "low": low, "high": high})
    picture = features.mel_spectrogram(samples)
    columns = (
        np.linspace(0, picture.shape[1] - 1, min(FRAMES, picture.shape[1])).round().astype(int)
    )
    frames = pd.DataFrame(picture[:, columns].T).add_prefix("band_")
    frames.insert(0, "time_s", columns * 256 / SAMPLE_RATE)
    return wave, features.long_bands(frames).assign(label=name)


def decisions(result: predict.Result) -> pd.DataFrame:
    """What `figures.decisions` draws.

    Returns
    -------
    pandas.DataFrame
        ``start_s``, ``end_s``, ``label`` (a class, or `NO_ANSWER`), ``share`` (probability, or 1),
        ``reason`` ('' for an answer); a row a clip and class, one for a clip without an answer.
    """
    rows = []
    for clip in result.clips:
        shares = clip.probabilities or {NO_ANSWER: 1.0}
        ends = clip.start_s + CLIP_SAMPLES / SAMPLE_RATE
        rows += [
            {
                "start_s": clip.start_s,
                "end_s": ends,
                "label": label,
                "share": share,
                "reason": "" if clip.probabilities else clip.reason,
            }
            for label, share in shares.items()
        ]
    return pd.DataFrame(rows, columns=["start_s", "end_s", "label", "share", "reason"])


def table(result: predict.Result) -> pd.DataFrame:
    """One row a clip and one for the whole, for the page."""
    rows = []
    for what, clip in [
        ("recording", result.whole),
        *((f"{c.start_s:.1f} s", c) for c in result.clips),
    ]:
        shares = {k: round(v, 3) for k, v in (clip.probabilities or {}).items()}
        rows.append({"clip": what, **shares, "no class because": clip.reason, **clip.measured})
    return pd.DataFrame(rows)


def others(judge: Judge, seed: int) -> pd.DataFrame:
    """What is said to sounds that are no cry, made here: `sound`, `answered` and `reason`."""
    rng = np.random.default_rng(seed)
    n = round(SYNTHETIC_S * SAMPLE_RATE)
    time = np.arange(n) / SAMPLE_RATE
    cry = demonstrations.cries(1, seed, SYNTHETIC_S)[0]
    made = {
        "white noise": 0.05 * rng.standard_normal(n),
        "a tone of 440 Hz": 0.3 * np.sin(2 * np.pi * 440 * time),
        "the cry, 50 dB quieter": cry * 10 ** (-50 / 20),
        "the cry, clipped": np.clip(40 * cry, -1, 1),
        "one second of the cry": cry[:SAMPLE_RATE],
        "digital silence": np.zeros(n),
    }
    results = {k: predict.pieces([x.astype(np.float32)], judge).whole for k, x in made.items()}
    # A model that names no class gives the sounds it takes for cries probabilities all the same.
    rows = [
        {
            "sound": k,
            "answer": r.label or (UNNAMED if r.probabilities else NO_ANSWER),
            "reason": "" if r.probabilities else r.reason,
        }
        for k, r in results.items()
    ]
    return pd.DataFrame(rows)


def gate_table(card: dict[str, Any]) -> pd.DataFrame:
    """How the shipped gate and YAMNet's did on sounds they were not fitted to.

    Returns
    -------
    pandas.DataFrame
        ``gate``, ``sounds``, ``passed``, ``low``, ``high``, ``recordings``, ``groups``.
    """
    rows = []
    for name in GATE_NAMES:
        for sounds, found in card["performance"].get(name, {}).items():
            if sounds != "auc":
                kept = {k: found[k] for k in ("passed", "low", "high", "recordings", "groups")}
                rows.append({"gate": GATE_NAMES[name], "sounds": sounds, **kept})
    return pd.DataFrame(rows)


def record(run: Any, result: predict.Result, judge: Judge, name: str) -> None:
    """Record what was said about the recording, how good the model is, and how good the gate."""
    run.number("name", name, "text")
    run.number("clips", len(result.clips), "count")
    run.number("answered", sum(c.probabilities is not None for c in result.clips), "count")
    whole = result.whole
    unnamed = "is given no class" if whole.probabilities else f"gets {NO_ANSWER}"
    said = f"is called {whole.label}" if whole.label else f"{unnamed} ({whole.reason})"
    run.number("answer", said, "text")
    card = judge.bundle.card
    auc, losses = card["performance"]["auc_macro"], card["performance"]["log_loss"]
    n = card["training"]["recordings"]
    run.number("auc", auc["value"], "score", low=auc["low"], high=auc["high"], n=n)
    run.number("log_loss", losses["calibrated"], "score", n=n)
    run.number("log_loss_shares", losses["class_shares_alone"], "score", n=n)
    most = max(card["training"]["by_class"], key=lambda c: card["training"]["by_class"][c])
    run.number("most_class", most, "text")
    run.number("most_share", card["training"]["by_class"][most] / n, "share", n=n)
    run.number("representation", card["representation"]["name"], "text")
    run.number("infants", card["training"]["infants"], "count")
    _record_gate(run, gate.LogMelGate().bundle.card)
    _record_clipwise(run, card["clipwise"])


def _record_gate(run: Any, card: dict[str, Any]) -> None:
    for name in GATE_NAMES:
        found = card["performance"].get(name, {})
        for key, part in (("auc", "auc"), ("kept", "cries, as recorded"),
                          ("kept_other", "ESC-10 cries, as recorded"),
                          ("passed", "other sounds, as recorded"),
                          ("passed_telephone", "other sounds, telephone")):  # fmt: skip
            if part in found:
                own = found[part]
                unit, value = ("score", own["value"]) if part == "auc" else ("share", own["passed"])
                n = own["clips"] if part == "auc" else own["recordings"]
                run.number(f"{name}_{key}", value, unit, low=own["low"], high=own["high"], n=n)
            else:
                run.absent(f"{name}_{key}")


def _record_clipwise(run: Any, found: dict[str, Any]) -> None:
    if not found:
        run.absent("same_label", "auc_whole", "auc_clipwise", "unlike", "conclusion_loud")
        return
    n = found["recordings"]
    run.number("same_label", found["same_label"], "share", n=n)
    run.number("unlike", found["unlike"], "share", n=n, note="of clips")
    for how in ("auc_whole", "auc_clipwise"):
        own = found[how]
        run.number(how, own["value"], "score", low=own["low"], high=own["high"], n=n)
    low, high = (found["auc_whole"][end] for end in ("low", "high"))
    run.conclude(
        "conclusion_loud", low <= run.ledger.numbers["auc"]["value"] <= high,
        "On the {num}`recording.auc_whole n` recordings that have a clip loud enough, prepared whole, it "
        "scores {num}`recording.auc_whole ci`: the {num}`recording.auc` of all {num}`recording.auc n` at the "
        "head of this page lies within that interval.",
        "On the {num}`recording.auc_whole n` recordings that have a clip loud enough, prepared whole, it "
        "scores {num}`recording.auc_whole ci`, which does not hold the {num}`recording.auc` of all "
        "{num}`recording.auc n` at the head of this page: which recordings are scored matters.",
        of=["auc", "auc_whole"],
    )  # fmt: skip
