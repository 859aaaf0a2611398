"""Cutting first is compared with preparing whole on the same recordings and by the same models."""

from __future__ import annotations

from types import SimpleNamespace

import made_bundle
import made_study
import numpy as np
import pytest
from test_train import Tables

from cryhear import params
from cryhear.analysis import trials
from cryhear.analysis.primary_auc import Plan
from cryhear.errors import CorpusError
from cryhear.models import primary
from cryhear.prediction import clipwise, decide

SETTINGS = params.Preprocess()


def test_clips_are_cut_first_and_prepared_by_themselves():
    x = made_bundle.cries(5.0)
    starts = [0, 28_800, 48_000]  # the last ends with the sound
    expected = [decide.prepare(x[s : s + 32_000], SETTINGS) for s in starts]
    np.testing.assert_array_equal(clipwise.clips_of(x, SETTINGS), expected)
    assert clipwise.clips_of(x[:100], SETTINGS).shape == (0, 32_000)


@pytest.mark.parametrize("factor", [1e-3, 0.0])
def test_quiet_clips_and_dropouts_are_left_out(factor):
    x = made_bundle.cries(5.0)
    x[28_800:60_800] *= factor
    expected = [decide.prepare(x[s : s + 32_000], SETTINGS) for s in (0, 48_000)]
    np.testing.assert_array_equal(clipwise.clips_of(x, SETTINGS), expected)
    assert clipwise.clips_of(np.zeros(64_000, np.float32), SETTINGS).shape == (0, 32_000)


@pytest.fixture(scope="module")
def parts():
    data = Tables(made_study.study(40, dimension=8, identity=0.5)).study_set("u", "o", "logmel")
    rows = trials.Rows.of(data)
    folds = primary.primary_folds(rows.recordings, 5, 1, 42)
    return data, rows, Plan.draw(rows.recordings, folds, seed=42)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(clipwise, "DRAWS", 60)


def test_the_same_clips_change_nothing(parts):
    data, rows, plan = parts
    names = data.derived.keys["recording"].to_numpy(str)
    exact = np.repeat(data.X, 2, axis=0)
    found = clipwise.compared(data, rows, plan, names, exact)
    assert found["same_label"] == 1.0
    assert found["moved"] == pytest.approx(0, abs=1e-6)  # float32 means
    assert found["auc_whole"] == found["auc_clipwise"]
    assert 0 <= found["unlike"] < 0.5


def test_clips_that_say_nothing_lose_the_label_and_lie_far_off(parts):
    data, rows, plan = parts
    names = data.derived.keys["recording"].to_numpy(str)
    noise = 10 * np.random.default_rng(3).normal(size=data.derived.vectors.shape)
    found = clipwise.compared(data, rows, plan, names, noise.astype(np.float32))
    assert found["same_label"] < 0.9
    assert found["moved"] > 0.1
    assert found["unlike"] > 0.9
    assert found["auc_whole"]["value"] != found["auc_clipwise"]["value"]


def test_only_recordings_at_hand_are_heard(tmp_path, monkeypatch):
    with pytest.raises(CorpusError, match="cryhear corpus fetch donateacry"):
        clipwise.heard(None, tmp_path, None, SETTINGS)
    import pandas as pd
    import soundfile

    folder = tmp_path / "donateacry"
    folder.mkdir()
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", made_bundle.cries(4.0, seed=i), 16_000)
    from cryhear.corpus import find

    listed = find.hashed([folder])[0]["recording"].tolist()
    data = SimpleNamespace(recordings=pd.DataFrame({"recording": [*listed[:1], "not here"]}))
    backend = SimpleNamespace(embed=lambda clips: clips[:, :3])
    names, vectors = clipwise.heard(data, tmp_path, backend, SETTINGS)
    assert names.tolist() == listed[:1] * 3
    assert vectors.shape == (3, 3)
