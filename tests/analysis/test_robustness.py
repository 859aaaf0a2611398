"""Stability and strangeness on made embeddings whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_leakage import rows

from cryhear.analysis import primary_auc, robustness
from cryhear.embedding.tables import StudySet


class Altered(StudySet):
    """A made study set whose derived tables are a stand-in with altered versions."""

    def variant(self, name):
        return self.derived.versions[name]


@pytest.fixture(scope="module")
def made():
    """A study set with two conditions and two kinds of other sound, its folds, and their models."""
    own = rows(seed=1, infants=60, dimension=6)
    rng = np.random.default_rng(0)
    versions = {
        "gain_minus_10db": own.X.copy(),
        "white_noise_0db": rng.normal(size=own.X.shape).astype(np.float32),
    }
    keys = pd.DataFrame({"recording": [f"o{i // 2}" for i in range(40)], "start_sample": 0,
                         "category": ["001 - Dog bark"] * 20 + ["004 - Baby cry"] * 20})  # fmt: skip
    vectors = np.concatenate([rng.normal(9, 1, (20, 6)), own.X[:20]]).astype(np.float32)
    derived = SimpleNamespace(
        variants=lambda _: list(versions), other=lambda _: (keys, vectors), versions=versions
    )
    data = Altered(own.recordings, own.X, "made", "uploads", derived=derived)
    plan = primary_auc.FoldPlan.of(data.recordings, 3, 2, 0)
    return SimpleNamespace(data=data, plan=plan, folds=robustness.fitted(data, plan))


def test_models_are_those_of_the_primary_procedure(made):
    expected = primary_auc.out_of_fold(made.data.X, made.data.y, made.plan)
    np.testing.assert_allclose(
        robustness.out_of_fold(made.folds, made.data.X), expected, atol=1e-6
    )  # float32


def test_an_unchanged_recording_keeps_everything_and_noise_does_not(made):
    table = robustness.stability(made.data, made.plan, made.folds, 100, 0)
    wide = table.pivot(index="condition", columns="measure", values="value")
    for name in (robustness.PLAIN, "gain_minus_10db"):
        assert wide.loc[name, "same label"] == 1
        assert wide.loc[name, "moved"] == pytest.approx(0, abs=1e-7)
        assert wide.loc[name, "similarity"] == pytest.approx(1)
    assert wide.loc["white_noise_0db", "same label"] < 0.8
    assert abs(wide.loc["white_noise_0db", "similarity"]) < 0.2
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert set(robustness.changed(table, "moved")["condition"]) == {
        "gain_minus_10db",
        "white_noise_0db",
    }
    assert robustness.by_noise(table)["severity"].tolist() == [0.0]
    plain = table[table["condition"] == robustness.PLAIN]
    assert robustness.changed(plain, "moved")["value"].tolist() == [0.0]
    assert robustness.by_noise(plain)["severity"].tolist() == [robustness.PLAIN]
    assert "codec_aac_32k" in robustness.missing(made.data)
    assert "gain_minus_10db" not in robustness.missing(made.data)
    assert 1 / 3 - 1e-9 <= robustness.agreement_by_chance(made.data, made.folds) <= 1


def test_references_lie_between_nothing_and_the_same(made):
    near = rows(seed=2, identity=4.0)
    table = robustness.references(near, 0).set_index("what")["value"]
    assert table.iloc[0] > table.iloc[1] + 0.3
    assert robustness.references(made.data, 0)["n"].iloc[1] == len(made.data.X)


def test_a_far_sound_is_strange_and_a_cry_is_not(made):
    strange = robustness.ood_scores(made.data, made.folds)
    assert strange["source"].value_counts().to_dict() == {
        robustness.CRY: len(made.data.X), "dog bark": 10, "baby cry": 10
    }  # fmt: skip
    table = robustness.ood_table(strange, 100, 0).set_index("source")
    assert table.loc["dog bark", "value"] == 1.0
    assert table.loc["dog bark", "strange"] == 1.0
    assert table.loc["baby cry", "value"] < 0.7
    assert table.loc[robustness.CRY, "strange"] == pytest.approx(0.05, abs=0.01)


def test_without_other_sounds_cries_stand_alone(made):
    alone = rows(seed=1, infants=60, dimension=6)
    kinds = robustness.ood_table(robustness.ood_scores(alone, made.folds), 100, 0)
    assert kinds["source"].tolist() == [robustness.CRY]
    assert robustness.missing(alone) == list(robustness.PERTURBATIONS)
    table = robustness.stability(alone, made.plan, made.folds, 50, 0)
    assert set(table["condition"]) == {robustness.PLAIN}
