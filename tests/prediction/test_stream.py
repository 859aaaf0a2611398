"""A stream is heard as a file is, whatever its pieces, pauses, holes and headers."""

from __future__ import annotations

import csv
import io
import os
import re
import struct
import threading
import tracemalloc
from types import SimpleNamespace

import made_bundle
import numpy as np
import pytest
import soundfile

from cryhear.audio import decode
from cryhear.audio.wav import Format
from cryhear.errors import AudioError, ParameterError
from cryhear.prediction import decide, predict, stream

RATE = 16_000
SAME = 2e-6
"""Probabilities are given to six digits, and a resampler fed in other pieces may round once more."""


@pytest.fixture(scope="module")
def judge():
    return made_bundle.no_gate()


class Deaf:
    """A judge that answers nothing: for what happens around decisions."""

    hop = 28_800
    bundle = SimpleNamespace()

    def clip(self, samples, start):
        assert samples.shape == (32_000,)
        return decide.Clip(start / RATE, reason=decide.QUIET), None


def wav(x, rate=RATE, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format="WAV", **options)
    return buffer.getvalue()


def piped(data, listener, form=None, pieces=None):
    """Write bytes into a pipe, in pieces, and listen to it."""
    out, into = os.pipe()

    def write():
        with open(into, "wb", buffering=0) as sink:
            for piece in pieces or [data]:
                sink.write(piece)

    writer = threading.Thread(target=write)
    writer.start()
    with open(out, "rb") as source:
        found = list(stream.of_input(source, listener, form))
        writer.join()
    return found


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def events(judge, data, form=None, **how):
    told = []
    listener = stream.Listener(judge, on_event=told.append)
    found = piped(data, listener, form, **how)
    return found, told, listener


def close(found, expected):
    assert [c.start_s for c in found] == [c.start_s for c in expected]
    assert [(c.label, c.reason) for c in found] == [(c.label, c.reason) for c in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert (mine.probabilities is None) == (theirs.probabilities is None)
        for name, value in (mine.probabilities or {}).items():
            assert value == pytest.approx(theirs.probabilities[name], abs=SAME)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "options"),
    [
        ("a.wav", RATE, 1, {}),
        ("a.wav", 44_100, 2, {"subtype": "PCM_24"}),
        ("a.wav", 8_000, 1, {"subtype": "FLOAT"}),
        ("a.flac", 48_000, 1, {}),
        ("a.ogg", RATE, 1, {}),
    ],
)
def test_listening_to_a_file_is_predicting_it(judge, tmp_path, name, rate, channels, options):
    x = made_bundle.cries(7.3)[:, None].repeat(channels, 1)
    x[50_000:70_000] = 0
    soundfile.write(tmp_path / name, x, rate, **options)
    expected = predict.recording(tmp_path / name, judge)
    assert len({c.reason for c in expected.clips} | {""}) > 1 or rate != RATE
    played = [c for c, _ in stream.of_file(str(tmp_path / name), stream.Listener(judge))]
    assert [c.as_dict() for c in played] == [c.as_dict() for c in expected.clips]
    if name.endswith(".wav"):
        data = (tmp_path / name).read_bytes()
        for size in (1 << 20, 997):
            found, _, listener = events(judge, data, pieces=cut(data, size))
            close([c for c, _ in found], expected.clips)
            assert listener.clips == len(expected.clips)
            assert all(latency >= 0 for _, latency in found)


def test_raw_sound_is_heard_as_the_same_with_a_header(judge):
    x = made_bundle.cries(4.0)
    data = wav(x)
    with_header, _, _ = events(judge, data)
    data = data[data.index(b"data") + 8 :]
    raw, _, listener = events(judge, data, Format("s16le", RATE, 1), pieces=cut(data, 1001))
    close([c for c, _ in raw], [c for c, _ in with_header])
    assert listener.heard_s == pytest.approx(4.0)


@pytest.mark.parametrize("length", [0, 0x7FFFFFFF, 0xFFFFFFFF, 10_000_000])
def test_a_header_may_claim_any_length(length):
    data = bytearray(wav(0.1 * np.ones(3 * RATE)))
    data[40:44] = struct.pack("<I", length)
    found, told, listener = events(Deaf(), bytes(data))
    assert listener.heard_s == 3.0
    assert [c.start_s for c, _ in found] == [0.0, 1.0]
    assert told == []


def test_what_follows_the_sound_is_not_heard():
    data = wav(0.1 * np.ones(2 * RATE)) + b"LIST" + struct.pack("<I", 2000) + b"\x7f" * 2000
    assert events(Deaf(), data)[2].heard_s == 2.0


def test_a_dropout_is_told_with_its_place_and_length(judge):
    x = made_bundle.cries(9.0)
    x[3 * RATE : 5 * RATE + 800] = 0
    x[6 * RATE : 6 * RATE + 1600] = 0  # a tenth of a second: shorter than is told
    found, told, listener = events(judge, wav(x))
    assert [str(e) for e in told] == ["dropout at 3.00 s, 2.05 s"]
    assert listener.events == 1
    reasons = [c.reason for c, _ in found]
    assert decide.DROPOUT in reasons
    assert reasons[0] == reasons[-1] == ""


@pytest.mark.parametrize("size", [1, 333, 1600, 100_000])
def test_dropouts_are_the_same_in_any_pieces(size):
    x = np.full(RATE, 0.1, np.float32)
    x[100:8000] = 0
    x[-6000:] = 0
    told = []
    listener = stream.Listener(Deaf(), on_event=told.append)
    for piece in cut(x, size):
        assert list(listener.push(piece)) == []
    assert list(listener.finish()) == []
    assert [(e.at_s, e.seconds) for e in told] == [(100 / RATE, 7900 / RATE), (0.625, 0.375)]


def test_numbers_that_are_no_sound_are_told_once_a_run_and_made_silent(judge):
    x = made_bundle.cries(6.0).astype(np.float64)
    x[30_000:40_000] = np.nan
    x[60_000] = -np.inf
    x[80_000] = 1e30
    found, told, listener = events(judge, x.astype("<f8").tobytes(), Format("f64le", RATE, 1))
    kinds = [e.kind for e in told]
    assert kinds.count("samples that are no numbers") == 3
    assert kinds.count("dropout") == 1
    assert listener.heard_s == 6.0
    assert all(np.isfinite(list(c.measured.values())).all() for c, _ in found)


def test_a_stream_that_ends_within_a_sample_keeps_the_rest():
    data = wav(0.1 * np.ones((2 * RATE, 2)))
    _, told, listener = events(Deaf(), data[:-3])
    assert [e.kind for e in told] == ["ended within a sample"]
    assert listener.heard_s == (2 * RATE - 1) / RATE


def test_no_sound_is_an_error():
    for data, form in ((wav(np.zeros(0)), None), (b"", Format("s16le", RATE, 1)), (b"", None)):
        with pytest.raises(AudioError, match="standard input"):
            events(Deaf(), data, form)


def test_too_short_a_sound_is_heard_and_not_answered():
    found, _, listener = events(Deaf(), wav(0.1 * np.ones(RATE)))
    assert found == []
    assert listener.summary() == "1.0 s of sound, 0 clips, 0 given a class, 0 interruptions"


def test_the_hop_may_be_chosen(judge):
    found = [
        c.start_s
        for piece in [made_bundle.cries(4.0)]
        for c, _ in stream.Listener(judge, 0.5).push(piece)
    ]
    assert found == [0.0, 0.5, 1.0, 1.5, 2.0]
    with pytest.raises(ParameterError, match=r"hop is 2\.5 s"):
        stream.Listener(judge, 2.5)


def test_memory_does_not_grow_over_hours():
    """Three hours of sound, pushed as they would come; every decision is let go."""
    listener = stream.Listener(Deaf())
    block = np.full(RATE * 60, 0.1, np.float32)

    def hear(minutes):
        for _ in range(minutes):
            for _ in listener.push(block):
                pass

    hear(20)
    tracemalloc.start()
    hear(20)
    before = tracemalloc.get_traced_memory()[0]
    hear(140)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert listener.heard_s == 3 * 3600
    # Latencies are still being gathered, 33 a minute and 24 bytes each; a minute of sound is 3.8 MB.
    assert grown < 400_000
    assert len(listener._cutter._kept) == 32_000


def test_events_say_what_where_and_how_long():
    assert str(stream.Event("dropout", 1.5, 0.25)) == "dropout at 1.50 s, 0.25 s"
    assert str(stream.Event("ended within a sample", 2)) == "ended within a sample at 2.00 s"


def test_the_summary_gives_latency_and_real_time_factor(judge):
    listener = stream.Listener(judge)
    for _ in listener.push(made_bundle.cries(4.0)):
        pass
    said = re.sub(r"\d+\.\d+", "X", listener.summary())
    assert said.splitlines()[1] == (
        "latency after a clip's last sample: median X ms, 95th percentile X ms; real-time factor X"
    )


def test_one_decision_is_one_line_of_plain_data(judge):
    clip, _ = judge.clip(made_bundle.cries(2.0), 0)
    line = stream.line_of(clip, 0.0123456, True)
    assert line["latency_s"] == 0.01235
    assert set(line) == {
        "start_s", "label", "probabilities", "abstain", "reason", "measured", "beats_baseline", "latency_s",
    }  # fmt: skip


def test_blocks_are_bounded_for_a_file_of_any_length(tmp_path):
    x = 0.1 * np.ones(30 * RATE, np.float32)
    soundfile.write(tmp_path / "a.wav", x, RATE)
    largest = max(len(piece) for piece in decode.blocks(tmp_path / "a.wav"))
    assert largest < len(x) / 4


def test_what_is_odd_about_a_file_is_told_by_predict_and_by_listen(judge, tmp_path):
    data = bytearray(wav(made_bundle.cries(4.0)))
    (tmp_path / "whole.wav").write_bytes(data)
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2 + 20_000])
    for name, odd in (("whole.wav", False), ("cut.wav", True)):
        result = predict.recording(tmp_path / name, judge)
        listener = stream.Listener(judge)
        assert list(stream.of_file(str(tmp_path / name), listener))
        assert listener.warning == result.warning == result.as_dict()["warning"]
        assert bool(result.warning) is odd
        rows = list(csv.DictReader(predict.as_csv([result], judge.bundle.classes)))
        assert [row["warning"] for row in rows] == [result.warning, *[""] * len(result.clips)]
        assert ("warning: " in predict.as_text(result)) is odd
