"""Demonstrations on synthetic cries, and the catalogue of backends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryhear import params
from cryhear.analysis import demonstrations
from cryhear.embedding import REPRESENTATIONS, catalogue

RATE = 16_000


@pytest.fixture(scope="module")
def cries() -> list[np.ndarray]:
    return demonstrations.cries(4, seed=1, seconds=2.2)


def test_cries_are_seeded_and_differ(cries):
    again = demonstrations.cries(2, seed=1, seconds=2.2)
    assert np.array_equal(again[1], cries[1])
    assert not np.array_equal(cries[0], cries[1])
    assert cries[0].shape == (round(2.2 * RATE),)


def test_tails_account_for_every_second():
    table = demonstrations.tails([2.0, 3.8, 5.0], params.Preprocess()).set_index("tail")
    assert table.loc["slide", ["unheard", "padding"]].tolist() == [0.0, 0.0]
    # 2.0 and 3.8 s end with a clip; of 5.0 s the starts 0 and 1.8 cover 3.8 s.
    assert table.at["drop", "clips"] == 5
    assert table.at["drop", "unheard"] == pytest.approx(1.2 / 10.8)
    assert table.at["pad", "padding"] == pytest.approx(0.6 / 12.0)
    assert table.at["slide", "clips"] == table.at["pad", "clips"] == 6
    assert table.at["slide", "overlap"] > table.at["drop", "overlap"]


def test_the_threshold_bites_before_normalising_only(cries):
    settings = params.Preprocess(rms_target=1.0)
    table = demonstrations.silence_sweep(cries[0], settings, [-80.0, -20.0])
    assert table["kept_before"].tolist() == [0, table["clips"].iloc[1]]
    assert (table["kept_after"] == table["clips"]).all()


def test_each_transform_moves_a_cry(cries):
    pytest.importorskip("audiomentations")
    table = demonstrations.augmentation_distances(cries[:3], params.Augment(), seed=3)
    kinds = [*demonstrations.TRANSFORMS, "all four", "another cry"]
    assert table["kind"].unique().tolist() == kinds
    assert (table.groupby("kind")["distance"].median() > 0).all()


def test_copy_distances_know_untouched_copies():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 5)).astype(np.float32)
    copy = X.copy()
    copy[0] += 1.0
    fake = SimpleNamespace(X=X, infants=np.array(list("aabbcc")), copies=lambda: copy[None])
    table = demonstrations.copy_distances(fake, seed=0)
    counts = table["kind"].value_counts()
    assert counts["untouched copy"] == 5
    assert counts["changed copy"] == 1
    assert counts["same infant"] == counts["another infant"] == 6
    assert table.loc[table["kind"] == "untouched copy", "distance"].max() < 1e-6


class _Derived:
    def __init__(self):
        self.provenance = {"representations": {"logmel": "1"}}

    def representations(self):
        return ["logmel"]

    def clips(self, name):
        return pd.DataFrame({"recording": ["a", "b"]}), np.zeros((2, 320), np.float32)


def test_the_catalogue_names_every_representation():
    table = catalogue.table(_Derived())
    assert len(table) == len(REPRESENTATIONS) == len(catalogue.CARDS)
    by_name = dict(zip(REPRESENTATIONS, table.to_dict("records"), strict=True))
    assert by_name["logmel"]["status"] == "run"
    assert by_name["logmel"]["clips"] == 2
    assert by_name["hear"]["status"] == catalogue.NOT_RUN
    assert by_name["yamnet"]["status"] == "not run"


def test_speed_measures_what_is_there(cries):
    clips = np.stack([cry[:32_000] for cry in cries[:2]])
    found = catalogue.speed(clips, ["logmel"])
    assert list(found) == ["logmel"]
    assert found["logmel"]["seconds_a_clip"] > 0
