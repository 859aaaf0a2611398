"""The ladder on a small made study: every rung, baselines that look labels up, meaningless labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_study import study

from cryhear.analysis import cross_validation, leakage, penalty, primary_auc
from cryhear.corpus.labels import CLASSES
from cryhear.embedding.tables import StudySet
from cryhear.errors import ParameterError, SplitError
from cryhear.evaluation import bootstrap
from cryhear.params import Leakage

SETTINGS = Leakage(folds=3, ladder_repeats=1, representations=["logmel"], models=[])


def rows(seed=0, **made) -> StudySet:
    """A made study with what metadata and identity need."""
    data = study(seed=seed, **made)
    rng = np.random.default_rng(seed)
    table = data.recordings.assign(
        instance=data.recordings["infant"], time_s=rng.uniform(0, 1000, len(data.y)),
        sex="f", age_band="04", level_dbfs=rng.normal(-30, 5, len(data.y)),
    )  # fmt: skip
    return replace(data, recordings=table)


class Copied(StudySet):
    """A made study with one augmented copy of each recording."""

    def copies(self):
        noise = np.random.default_rng(1).normal(0, 0.1, (1, *self.X.shape))
        return (self.X + noise).astype(np.float32)


@pytest.fixture(scope="module")
def known():
    """Infants that are plainly heard, with copies."""
    made = rows(seed=1, infants=45, identity=2.0)
    return Copied(made.recordings, made.X, made.representation, made.set)


@pytest.fixture(scope="module")
def ladder(known, tmp_path_factory):
    load = lambda representation, set: known  # noqa: E731
    return leakage.ladder(tmp_path_factory.mktemp("parts"), load, ["uploads"], SETTINGS)


def test_the_ladder_has_every_rung_and_the_lookup_needs_shared_infants(ladder):
    cells = set(zip(ladder["model"], ladder["representation"], ladder["protocol"], strict=True))
    assert {("logistic_regression", "made", r) for r in leakage.RUNGS} <= cells
    assert {("instance_lookup", "none", r) for r in ("L1", "L2", "L3")} <= cells
    assert {("logistic_regression", "metadata", r) for r in ("L1", "L2", "L3")} <= cells
    scores = bootstrap.bootstrap(ladder, 50, 0, within=("platform",))
    lookup = leakage.of_metric(scores, model="instance_lookup").set_index("protocol")["value"]
    assert lookup["L2"] > 0.6
    assert lookup["L3"] == pytest.approx(0.5)
    wide = leakage.ladder_table(scores)
    named = ["model", "representation", "protocol", "part"]
    assert len(wide) == len(scores[named].drop_duplicates())
    difference = leakage.inflation(ladder, 50, 0)
    own = leakage.of_metric(difference, representation="made")
    auc = leakage.of_metric(scores, model="logistic_regression", representation="made", part="oof")
    by_rung = auc.set_index("protocol")["value"]
    for row in own.itertuples():
        assert row.value == pytest.approx(by_rung[row.protocol] - by_rung["L3"])
    assert set(own["comparison"]) == {"L0 minus L3", "L1 minus L3", "L2 minus L3"}


def test_meaningless_labels_are_remembered_on_loose_rungs_only(known):
    tables = [leakage.exchanged(known, known.copies(), 3, 42, 3, rung) for rung in ("L0", "L3")]
    each = bootstrap.repeated_scores(pd.concat(tables), ("platform",), by=("protocol", "exchange"))
    auc = each[each["metric"] == "auc_macro"].groupby("protocol")["value"]
    assert auc.size().tolist() == [3, 3]
    assert auc.mean()["L0"] > 0.6
    assert abs(auc.mean()["L3"] - 0.5) < 0.15  # three exchanges of 45 infants


def test_the_ladder_at_fixed_strengths_is_asked_where_the_inflation_is(known, tmp_path):
    table = leakage.ladder_at_strengths(tmp_path, known, SETTINGS)
    asked = set(zip(table["C"], table["protocol"], strict=True))
    beside = {(penalty.BESIDE, rung) for rung in leakage.RUNGS}
    assert asked == beside | {(leakage.STEEPER, rung) for rung in ("L1", "L2", "L3")}
    steep = leakage.inflation(table[table["C"] == leakage.STEEPER], 50, 0)
    assert leakage.of_metric(steep, protocol="L2")["value"].iloc[0] > 0.05


def test_memorised_is_a_share():
    assert leakage.memorised_fraction(0.6, 0.7) == pytest.approx(0.5)
    assert leakage.memorised_fraction(0.8, 0.7) == 1.0
    assert leakage.memorised_fraction(0.4, 0.7) == 0.0
    assert leakage.memorised_fraction(0.6, 0.45) == 1.0


def test_the_primary_set_comes_first_whatever_it_is():
    both = ["uploads", "cleaned"]
    assert leakage.sets_of("uploads", both, both) == ["uploads", "cleaned"]
    assert leakage.sets_of("cleaned", both, both) == ["cleaned", "uploads"]
    assert leakage.sets_of("all", both, ["made"]) == ["all"]


def test_models_of_the_ladder_by_name():
    made = rows(seed=4)
    for name in ("svm_rbf", "majority", "metadata"):
        table = leakage.predict(made, made.copies(), 3, 0, leakage.Fit("L3", 0, name))
        assert len(table) == len(made)
        np.testing.assert_allclose(table[cross_validation.P_COLUMNS].sum(axis=1), 1, atol=1e-6)
    with pytest.raises(ParameterError, match="nothing"):
        leakage.predict(made, made.copies(), 3, 0, leakage.Fit("L3", 0, "nothing"))
    one = made.subset((made.recordings["platform"] == "ios").to_numpy())
    assert leakage.predict(one, one.copies(), 3, 0, leakage.Fit("L4", 0, "majority")).empty
    few = made.subset(np.isin(made.infants, made.infants[:2]))
    with pytest.raises(SplitError):
        leakage.predict(few, few.copies(), 3, 0, leakage.Fit("L3", 0, "majority"))
    changed = made.with_labels(np.zeros(len(made), int))
    assert set(changed.recordings["label"]) == {CLASSES[0]}
    assert set(made.recordings["label"]) == set(CLASSES)


def test_primary_predictions_give_the_primary_estimate():
    made = rows(seed=1, infants=45)
    plan = primary_auc.FoldPlan.of(made.recordings, 3, 2)
    table = pd.concat([primary_auc.predictions(made, plan, r) for r in range(2)])
    found = leakage.of_metric(bootstrap.repeated_scores(table, ("platform",)))["value"].iloc[0]
    expected = primary_auc.repeat_auc(made.X, made.y, plan).mean()
    # Float32 probabilities may swap two recordings that all but tie.
    assert found == pytest.approx(expected, abs=2e-3)
