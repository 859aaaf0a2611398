"""Controls find what is planted and nothing where nothing is; specifications, identity, cross-check."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_leakage import rows

from cryhear.analysis import controls, published_results, specification_curve
from cryhear.corpus.labels import CLASSES

SETTING = controls.Setting(folds=3, repeats=2, draws=100, seed=0)


def test_an_attribute_in_the_features_is_read_and_one_that_is_not_is_not():
    made = rows(seed=1, infants=80)
    ios = (made.recordings["platform"] == "ios").to_numpy()
    heard = made.with_features(made.X + 3 * ios[:, None] * np.eye(8)[0])
    found = controls.probe(heard, "platform", SETTING).iloc[0]
    assert found["value"] > 0.9
    assert found["low"] > 0.8
    plain = controls.probe(made, "platform", SETTING).iloc[0]
    assert abs(plain["value"] - 0.5) < 0.15  # 80 infants, no signal
    alone = controls.probe(made, "sex", SETTING).iloc[0]
    assert alone["values"] == 1
    assert np.isnan(alone["value"])


def test_one_probe_reads_every_target_at_the_same_strengths():
    made = rows(seed=7, infants=80, identity=3.0, dimension=20)
    strengths = (1e-4, 1e-2)
    plain = rows(seed=7, infants=80)
    heard = plain.with_features(plain.X + 3 * np.eye(3, 8)[plain.y])
    label = controls.probe(heard, "label", SETTING, strengths)
    assert label["C"].tolist() == list(strengths)
    assert (label["value"] > 0.8).all()
    assert (label["low"] <= label["value"]).all()
    fewest = plain.recordings.groupby("label")["infant"].nunique().min()
    assert (label["fewest"] == fewest).all()
    infant = controls.probe(made, "infant", SETTING, strengths)
    sizes = made.recordings["infant"].value_counts()
    assert (infant["values"] == (sizes >= controls.FEWEST_RECORDINGS).sum()).all()
    assert (infant["low"] > 0.7).all()
    alone = controls.probe(heard, "label", SETTING)  # at one strength, as among several
    pd.testing.assert_frame_equal(alone, label[label["C"] == 1e-2].reset_index(drop=True))


def test_above_compares_with_the_label_at_the_same_strength():
    table = pd.DataFrame({"target": ["label", "age band", "label"], "C": [1e-4, 1e-4, 1e-2],
                          "low": [0.4, 0.6, 0.6], "high": [0.55, 0.7, 0.7]})  # fmt: skip
    at = table.set_index(["target", "C"])
    assert controls.above(at, "age band", 1e-4)
    assert not controls.above(at, "label", 1e-4)
    assert not controls.above(at, "age band", 1e-2)  # was not asked there


def test_pipeline_checks_pass_and_a_dead_pipeline_fails():
    made = rows(seed=2, infants=60)
    plan = SETTING._replace(repeats=1).plan(made)
    null = pd.DataFrame({"permutation": range(101), "auc": np.r_[0.5, np.linspace(0.4, 0.6, 100)]})
    checks = controls.pipeline_checks(made, plan, null, 0)
    assert checks["passes"].all()
    assert checks["value"].iloc[0] > 0.7
    dead = controls.pipeline_checks(made, plan, null.assign(auc=null["auc"] + 0.35), 0)
    assert dead["passes"].tolist() == [False, False, False]


def test_metadata_alone_is_found_when_it_decides():
    made = rows(seed=3, infants=60)
    decided = made.recordings.assign(level_dbfs=made.y * 10.0)
    alone, more = controls.without_sound(replace(made, recordings=decided), SETTING)
    value = alone.set_index("what")["value"]
    assert value["level"] > 0.8
    assert value["platform"] == pytest.approx(0.5)
    assert set(more["what"]) == {"sound", "sound and metadata"}
    assert more.set_index("what").loc["sound", "value"] == pytest.approx(
        value["sound"] - value["all metadata"]
    )


def test_a_two_class_view_uses_those_classes_alone():
    made = rows(seed=4, infants=60)
    heard = made.with_features(made.X + 3 * (made.y == 1)[:, None] * np.eye(8)[1])
    found = controls.contrast(heard, ("pain", "neurological"), ("hunger",), SETTING)
    assert found["value"] > 0.8
    assert found["n"] == len(made.y)
    other = controls.contrast(heard, ("pain",), ("neurological",), SETTING)
    assert other["n"] == int((made.y != 1).sum())
    assert abs(other["value"] - 0.5) < 0.2


def test_each_platform_by_itself():
    made = rows(seed=5, infants=90, identity=3.0, dimension=30)
    table = controls.within_platform(made, ("L2", "L3"), SETTING)
    assert set(table["series"]) == {"android", "ios"}
    wide = table.pivot(index="series", columns="rung", values="value")
    assert (wide["L2"] > wide["L3"]).all()
    few, many_folds = rows(seed=5, infants=30), SETTING._replace(folds=12)
    assert set(controls.within_platform(few, ("L3",), many_folds)["series"]) == {"all"}


def test_identity_is_seen_where_it_is():
    known, unknown = rows(seed=6, identity=3.0, dimension=20), rows(seed=6, dimension=20)
    for made, strong in ((known, True), (unknown, False)):
        near = controls.neighbours(made).set_index("question")
        same = near.loc["same infant"]
        pairs = controls.verification(made, 100, 0)
        assert (same["value"] > 5 * same["chance"]) == strong
        assert (pairs["value"].iloc[0] > 0.8) == strong
        assert pairs["gap"].tolist()[0] == "any"
        named = controls.named_infants(made.X, made.recordings["infant"].to_numpy(), shuffles=2)
        assert (named["value"] > 3 * named["chance"]) == strong
    assert np.isnan(controls.named_infants(known.X, np.arange(len(known.X)))["value"])
    assert controls._gap(np.array([0.0, 200.0, 90_000.0, np.nan]), np.array([0, 0, 0, 0]),
                         np.array([1, 2, 3, 0])).tolist() == [
        "within 5 minutes", "more than a day", "", "within 5 minutes"]  # fmt: skip


def test_pooling_and_spacing():
    keys = pd.DataFrame({"recording": ["b", "a", "a"], "start_sample": [0, 16, 0]})
    vectors = np.array([[5.0, 6.0], [3.0, 0.0], [1.0, 4.0]], np.float32)
    order = np.array(["b", "a"])
    pooled = {
        how: specification_curve.pooled(keys, vectors, order, how)
        for how in specification_curve.POOLINGS
    }
    assert pooled["maximum"].tolist() == [[5, 6], [3, 4]]
    assert pooled["first clip"].tolist() == [[5, 6], [1, 4]]
    assert pooled["median"].tolist() == [[5, 6], [2, 2]]
    assert pooled["mean and SD"].tolist() == [[5, 6, 0, 0], [2, 2, 1, 2]]
    table = pd.DataFrame({"instance": list("xxxxy"), "recording": list("abcde"),
                          "time_s": [0.0, 100.0, 301.0, np.nan, 5.0]})  # fmt: skip
    assert specification_curve.spaced(table, 300).tolist() == [True, False, True, True, True]


def test_a_cell_is_scored_with_its_shuffles_and_keeps_the_primary_ones():
    made = rows(seed=7, infants=50)
    part = made.subset(made.recordings["platform"].eq("ios").to_numpy())
    whole = specification_curve.shuffled_labels(made, made, 3, 0)
    drawn = specification_curve.shuffled_labels(made, part, 3, 0)
    at = pd.Index(made.recordings["recording"]).get_indexer(part.recordings["recording"])
    assert (drawn == whole[:, at]).all()
    one = specification_curve.Specification("primary", "as frozen", made)
    table = specification_curve.cell(one, whole, SETTING)
    assert table["shuffle"].tolist() == [0, 1, 2, 3]
    assert table["low"].iloc[0] <= table["value"].iloc[0] <= table["high"].iloc[0]
    same = specification_curve.cell(one, made.y[None], SETTING)
    # The labels as they are, scored as a shuffle, give the cell's own score.
    assert same["value"].iloc[1] == pytest.approx(same["value"].iloc[0], abs=1e-6)
    alike = replace(one, weighting="infant")
    assert len(specification_curve.cell(alike, whole, SETTING)) == 1


def test_the_curve_keeps_cells_that_were_not_run_and_says_why(tmp_path):
    made = rows(seed=7, infants=50)
    half = made.subset(made.recordings["platform"].eq("ios").to_numpy())
    one_class = made.subset(made.y == 1)
    cells = [("primary", "as frozen", made), ("labels", "strict", None), ("age", "young", half),
             ("age", "one class", one_class)]  # fmt: skip
    asked = [specification_curve.Specification(*cell, note="why") for cell in cells]
    table = specification_curve.curve(tmp_path, iter(asked), SETTING, 2)
    first = table[table["shuffle"] == 0]
    assert first["level"].tolist() == ["as frozen", "strict", "young", "one class"]
    assert first["primary"].tolist() == [True, False, False, False]
    assert first["value"].isna().tolist() == [False, True, False, True]
    assert first["note"].tolist()[:3] == ["", "why", ""]
    assert first["note"].iloc[3].startswith("not scored")
    assert (table[table["level"] == "young"]["shuffle"].tolist()) == [0, 1, 2]


def test_the_best_of_nothing():
    table = pd.DataFrame([{"cell": c, "shuffle": s, "value": 0.5 + 0.02 * c * (s + 1)}
                          for c in range(3) for s in range(3)])  # fmt: skip
    extra = pd.DataFrame([{"cell": 9, "shuffle": 0, "value": 0.9}])
    found = specification_curve.best_of_nothing(pd.concat([table, extra]))
    assert found["cells"] == 3
    assert found["best"] == pytest.approx(0.54)
    assert found["nothing"] == pytest.approx((0.58 + 0.62) / 2)
    assert found["share"] == 1.0
    assert found["as_high"] == 1.0


def test_five_reasons_under_three_protocols():
    made = rows(seed=8, infants=120, identity=3.0, dimension=30)
    codes = np.array(["bp", "hu", "dc", "ti", "bu"])
    reason = codes[np.random.default_rng(0).integers(0, 5, 120)]
    names = sorted(made.recordings["infant"].unique())
    of_infant = dict(zip(names, reason[: len(names)], strict=True))
    copies = made.X[None] + np.random.default_rng(1).normal(0, 0.1, (1, *made.X.shape))
    data = SimpleNamespace(
        recordings=made.recordings.assign(reason=made.recordings["infant"].map(of_infant)),
        X=made.X, infants=made.recordings["infant"].to_numpy(dtype=str), copies=lambda: copies,
    )  # fmt: skip
    table = published_results.five_classes(data, 0, folds=3, repeats=1)
    value = table.set_index(["protocol", "metric"])["value"]
    assert value["copies on both sides", "AUC"] > value["infants apart", "AUC"] + 0.1
    assert value["recordings apart", "AUC"] > value["infants apart", "AUC"] + 0.1
    beside = published_results.beside_published(table)
    assert len(beside) == len(published_results.PUBLISHED)
    assert beside["ours"].notna().all()
    chance = beside.set_index("quantity")["chance"]
    assert chance["infants apart: AUC (fine-tuned)"] == 0.5
    assert chance["infants apart: balanced accuracy (fine-tuned)"] == 0.2
    commonest = data.recordings["reason"].value_counts(normalize=True).max()
    assert chance["recordings apart: accuracy (fine-tuned)"] == pytest.approx(commonest)
    assert set(CLASSES).isdisjoint(published_results.REASONS.values())
    assert published_results.rises_as_folds_loosen(beside, "original")
    assert published_results.rises_as_folds_loosen(beside, "ours") == (
        value["copies on both sides", "AUC"] - value["recordings apart", "AUC"]
        >= value["recordings apart", "AUC"] - value["infants apart", "AUC"]
        > 0
    )
    assert not published_results.rises_as_folds_loosen(beside.assign(ours=-beside["ours"]), "ours")
    assert not published_results.rises_as_folds_loosen(beside.assign(ours=np.nan), "ours")


def test_cries_only_keeps_what_is_heard_as_crying_and_says_so_where_nobody_listened():
    made = rows(seed=1, infants=20)
    ids = made.recordings["recording"]
    heard = pd.DataFrame({"recording": ids, "crying_first": np.arange(len(ids)) % 3 == 0})
    derived = SimpleNamespace(has=lambda name: name == "heard", table=lambda _: heard)
    kept = specification_curve.cries_only(derived, made)
    assert kept.data.recordings["recording"].tolist() == ids[::3].tolist()
    derived.has = lambda _: False
    unheard = specification_curve.cries_only(derived, made)
    assert unheard.data is None
    assert unheard.note.startswith("not run")
