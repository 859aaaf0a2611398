"""The extractor: batches across recordings, goes past bad ones, resumes, keeps memory flat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
import soundfile

from cryhear.embedding import base, extract, load
from cryhear.embedding.store import Store, preprocess_key
from cryhear.files import sha256_of
from cryhear.params import Preprocess

SETTINGS = Preprocess()


class Counter(base.Backend):
    """Mean and peak of a clip; counts what it is given; refuses what `refuse` says."""

    name, version, dimension, batch_size = "counter", "1", 2, 4

    def __init__(self, refuse=lambda clip: False):
        self.batches: list[int] = []
        self.refuse = refuse

    def _forward(self, batch):
        self.batches.append(len(batch))
        out = np.stack([batch.mean(axis=1), np.abs(batch).max(axis=1)], axis=1)
        out[[self.refuse(clip) for clip in batch]] = np.nan
        return out


def corpus(folder, seconds) -> pd.DataFrame:
    """Write one noisy tone a duration; return `recording` and `path`."""
    rows = []
    for number, duration in enumerate(seconds):
        rng = np.random.default_rng(number)
        time_s = np.arange(round(duration * 16_000)) / 16_000
        sound = 0.2 * np.sin(2 * np.pi * (300 + 40 * number) * time_s) + 0.02 * rng.standard_normal(
            len(time_s)
        )
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, sound, 16_000)
        rows.append((sha256_of(path)[:16], str(path)))
    return pd.DataFrame(rows, columns=["recording", "path"])


def run(recordings, backend, folder, **options):
    store = Store(folder, backend, preprocess_key(SETTINGS))
    failures = extract.embed_recordings(recordings, backend, SETTINGS, store, **options)
    return failures, store


@pytest.fixture
def recordings(tmp_path):
    return corpus(tmp_path, [2.0, 5.6, 3.8, 7.4, 2.1])  # 1 + 3 + 2 + 4 + 2 clips


def test_batches_are_full_across_recordings(recordings, tmp_path):
    backend = Counter()
    failures, store = run(recordings, backend, tmp_path / "store")
    keys, vectors = store.read()
    assert failures.empty
    assert list(failures) == ["recording", "path", "problem"]
    assert backend.batches == [4, 4, 4]
    assert keys["recording"].value_counts().to_dict() == dict(
        zip(recordings["recording"], [1, 3, 2, 4, 2], strict=True)
    )
    assert vectors.shape == (12, 2)
    assert len(store.parts()) == 3  # a batch each
    assert store.complete() == set(recordings["recording"])


def test_the_same_whatever_the_order(recordings, tmp_path):
    backend = load("logmel")
    one = run(recordings, backend, tmp_path / "one")[1].read()
    other = run(recordings[::-1], backend, tmp_path / "other")[1].read()
    pd.testing.assert_frame_equal(one[0], other[0])
    np.testing.assert_allclose(one[1], other[1], atol=1e-3)  # dB


def test_a_second_run_embeds_nothing_and_a_new_recording_only_itself(recordings, tmp_path):
    run(recordings[:4], Counter(), tmp_path / "store")
    again = Counter()
    run(recordings[:4], again, tmp_path / "store")
    assert again.batches == []
    run(recordings, again, tmp_path / "store")
    assert again.batches == [2]


def test_bad_recordings_are_listed_and_the_rest_go_on(recordings, tmp_path):
    text = tmp_path / "text.wav"
    text.write_text("not a sound")
    short = corpus(tmp_path, [0.5]).assign(recording="f" * 16)
    short["path"] = short["path"].map(lambda p: os.rename(p, p + ".short.wav") or p + ".short.wav")
    more = corpus(tmp_path, [2.0, 5.6, 3.8, 7.4, 2.1])
    bad = pd.DataFrame(
        [("0" * 16, str(text)), ("1" * 16, str(tmp_path / "none.wav"))],
        columns=["recording", "path"],
    )
    failures, store = run(pd.concat([bad, more, short]), Counter(), tmp_path / "store")
    assert failures["recording"].tolist() == ["0" * 16, "1" * 16, "f" * 16]
    assert failures["problem"].str.len().min() > 10
    assert len(store.read()[0]) == 12


def test_a_clip_the_model_refuses_is_named_and_its_neighbours_kept(recordings, tmp_path):
    samples = soundfile.read(recordings["path"][3])[0]
    samples[:32_000] *= 3  # the first clip of a recording of four
    soundfile.write(recordings["path"][3], samples, 16_000)
    recordings.loc[3, "recording"] = "e" * 16
    failures, store = run(
        recordings, Counter(lambda clip: np.abs(clip).max() > 0.26), tmp_path / "s"
    )
    assert set(failures["recording"]) == {"e" * 16}
    assert "sample 0" in failures["problem"].iloc[0]
    keys, _ = store.read()
    assert len(keys) == 12 - len(failures)
    assert "e" * 16 in set(keys["recording"])
    assert "e" * 16 not in store.complete()


def test_a_transform_comes_between_decoding_and_preprocessing(recordings, tmp_path):
    seen = []

    def louder(samples, recording):
        seen.append(recording)
        return np.concatenate([samples, samples]).astype(np.float32)

    _, store = run(recordings[:1], Counter(), tmp_path / "store", transform=louder)
    assert seen == [recordings["recording"][0]]
    assert len(store.read()[0]) == 3  # 4 s
    _, after = run(recordings[:1], Counter(), tmp_path / "after", denoised=louder)
    assert len(after.read()[0]) == 3


def test_a_model_that_breaks_stops_the_run(recordings, tmp_path):
    class Breaks(Counter):
        def _forward(self, batch):
            raise MemoryError("out of memory")

    with pytest.raises(MemoryError):
        run(recordings, Breaks(), tmp_path / "store")


def test_shards_part_the_recordings(recordings):
    parts = [extract.shard(recordings, index, 3) for index in range(3)]
    assert sorted(pd.concat(parts)["path"]) == sorted(recordings["path"])
    backwards = extract.shard(recordings[::-1], 1, 3)
    assert set(backwards["path"]) == set(parts[1]["path"])


def test_a_killed_run_loses_one_batch_at_most_and_goes_on(tmp_path):
    recordings = corpus(tmp_path, [3.8] * 12)
    recordings.to_parquet(tmp_path / "recordings.parquet")
    code = textwrap.dedent("""
        import sys, time
        sys.path.insert(0, sys.argv[2])
        import pandas as pd
        import test_extract as t
        class Slow(t.Counter):
            def _forward(self, batch):
                time.sleep(0.2)
                return super()._forward(batch)
        t.run(pd.read_parquet(sys.argv[1] + "/recordings.parquet"), Slow(), sys.argv[1] + "/store")
    """)
    here = os.path.dirname(os.path.abspath(__file__))
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), here])
    store = Store(tmp_path / "store", Counter(), preprocess_key(SETTINGS))
    deadline = time.monotonic() + 60
    while len(store.parts()) < 2 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    saved = len(store.read()[0])
    assert 8 <= saved < 24
    assert saved % 4 == 0  # whole batches of four
    again = Counter()
    run(recordings, again, tmp_path / "store")
    assert sum(again.batches) == 24 - saved
    assert len(store.read()[0]) == 24
