"""Stability and strangeness on made embeddings whose answers are known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_leakage import rows

from cryhear.analysis import controls, robustness
from cryhear.errors import MissingArtefactError
from cryhear.study.ledger import Ledger


@pytest.fixture(scope="module")
def made():
    """Rows, folds and a stand-in for a study set with two conditions and two kinds of other sound."""
    own = rows(seed=1, infants=60, dimension=6)
    plan = controls.plan_of(own, 3, 2, 0)
    rng = np.random.default_rng(0)
    versions = {
        "gain_minus_10db": own.X.copy(),
        "white_noise_0db": rng.normal(size=own.X.shape).astype(np.float32),
    }
    keys = pd.DataFrame({"recording": [f"o{i // 2}" for i in range(40)], "start_sample": 0,
                         "category": ["001 - Dog bark"] * 20 + ["004 - Baby cry"] * 20})  # fmt: skip
    vectors = np.concatenate([rng.normal(9, 1, (20, 6)), own.X[:20]]).astype(np.float32)
    derived = SimpleNamespace(variants=lambda _: list(versions), other=lambda _: (keys, vectors))
    data = SimpleNamespace(derived=derived, representation="made", variant=versions.get)
    return SimpleNamespace(
        rows=own, plan=plan, data=data, folds=robustness.fitted(own, plan), derived=derived
    )


def small(labelled):
    """The ledger after `record_small`; the shares it quotes are recorded first, as the chapter does."""
    ledger = Ledger("11_robustness")
    for row in labelled.to_dict("records"):
        ledger.number(f"same_{row['condition']}", row["value"], "share", n=row["n"])

    def absent(*keys):
        for key in (k for k in keys if k not in ledger.numbers):
            ledger.number(key, "not measured here", "text")

    run = SimpleNamespace(
        number=ledger.number, conclude=ledger.conclude, absent=absent, ledger=ledger
    )
    robustness.record_small(run, labelled)
    return ledger


def test_a_small_change_is_named_with_what_it_leaves():
    names = ["white_noise_20db", "gain_minus_10db", "offset_250ms", "white_noise_0db"]
    labelled = pd.DataFrame({"condition": names, "title": ["white noise, 20 dB SNR", "b", "c", "d"],
                             "value": [0.77, 0.93, 0.86, 0.3], "n": 900})  # fmt: skip
    numbers = small(labelled).numbers
    assert numbers["slight"]["value"] == 0.77
    assert numbers["slight_title"]["value"] == "white noise, 20 dB SNR"
    assert not numbers["conclusion_noise"]["holds"]
    assert "robustness.slight_title" in numbers["conclusion_noise"]["value"]
    steady = small(labelled.assign(value=0.95)).numbers["conclusion_noise"]
    assert steady["holds"]
    assert "leave most labels" in steady["value"]


def test_without_altered_versions_nothing_is_said_of_noise():
    labelled = pd.DataFrame({"condition": ["plain"], "title": ["plain"], "value": [1.0], "n": [9]})
    numbers = small(labelled).numbers
    assert "holds" not in numbers["conclusion_noise"]
    assert "slight" in numbers
    assert numbers["slight"]["unit"] == "text"


def test_models_are_those_of_the_primary_procedure(made):
    from cryhear.analysis import primary_auc

    expected = primary_auc.out_of_fold(made.rows.X, made.rows.y, made.plan)
    np.testing.assert_allclose(
        robustness.out_of_fold(made.folds, made.rows.X), expected, atol=1e-6
    )  # float32


def test_an_unchanged_recording_keeps_everything_and_noise_does_not(made):
    table = robustness.stability(made.data, made.rows, made.plan, made.folds, 100, 0)
    wide = table.pivot(index="condition", columns="measure", values="value")
    for name in (robustness.PLAIN, "gain_minus_10db"):
        assert wide.loc[name, "same label"] == 1
        assert wide.loc[name, "moved"] == pytest.approx(0, abs=1e-7)
        assert wide.loc[name, "similarity"] == pytest.approx(1)
    assert wide.loc["white_noise_0db", "same label"] < 0.8
    assert abs(wide.loc["white_noise_0db", "similarity"]) < 0.2
    assert (table["low"] <= table["value"] + 1e-9).all()
    labelled = table[table["measure"] == "same label"]
    ledger = small(labelled)
    assert ledger.numbers["slight"]["value"] == 1.0
    assert ledger.numbers["conclusion_noise"]["holds"]
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
    assert 1 / 3 - 1e-9 <= robustness.agreement_by_chance(made.rows, made.folds) <= 1


def test_references_lie_between_nothing_and_the_same(made):
    near = rows(seed=2, identity=4.0)
    table = robustness.references(near, 0).set_index("what")["value"]
    assert table.iloc[0] > table.iloc[1] + 0.3
    assert robustness.references(made.rows, 0)["n"].iloc[1] == len(made.rows.X)


def test_a_far_sound_is_strange_and_a_cry_is_not(made):
    strange = robustness.strangeness(made.data, made.rows, made.folds)
    assert strange["source"].value_counts().to_dict() == {
        robustness.CRY: len(made.rows.X), "dog bark": 10, "baby cry": 10
    }  # fmt: skip
    table = robustness.strange_table(strange, 100, 0).set_index("source")
    assert table.loc["dog bark", "value"] == 1.0
    assert table.loc["dog bark", "strange"] == 1.0
    assert table.loc["baby cry", "value"] < 0.7
    assert table.loc[robustness.CRY, "strange"] == pytest.approx(0.05, abs=0.01)
    recorded = {}
    run = SimpleNamespace(
        number=lambda key, value, unit, **_: recorded.update({key: value}),
        interval=lambda key, row, unit, **_: recorded.update({key: row["value"]}),
        conclude=lambda key, holds, yes, no, of=(), beside=(): recorded.update({key: holds}),
        absent=lambda *keys: None,
    )
    robustness.record_other(run, table.reset_index())
    assert set(robustness.OTHER_KEYS) <= set(recorded)
    assert recorded["worst_source"] == "dog bark"
    assert recorded["conclusion_warning"]
    low = table.loc["baby cry", "low"]
    assert recorded["conclusion_baby"] == (low <= 0.6)


def test_without_other_sounds_every_key_says_so(made):
    def nothing(_):
        raise MissingArtefactError("none")

    derived = SimpleNamespace(variants=lambda _: [], other=nothing)
    data = SimpleNamespace(derived=derived, representation="made")
    strange = robustness.strangeness(data, made.rows, made.folds)
    kinds = robustness.strange_table(strange, 100, 0)
    assert kinds["source"].tolist() == [robustness.CRY]
    recorded = {}
    run = SimpleNamespace(
        number=lambda key, value, unit, **_: recorded.update({key: value}),
        absent=lambda *keys: recorded.update(dict.fromkeys(keys, "absent")),
    )
    robustness.record_other(run, kinds)
    assert all(recorded[key] == "absent" for key in robustness.OTHER_KEYS)
