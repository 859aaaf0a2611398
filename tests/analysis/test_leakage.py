"""The audit on a small made study: pieces equal the functions they cut up, tables say what they should."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_study import study

from cryhear.analysis import cross_validation, findings, leakage, permutation, primary_auc, trials
from cryhear.corpus.labels import CLASSES
from cryhear.errors import ParameterError
from cryhear.models import primary

EXACT = 1e-12  # the same sums in the same order


def rows(seed=0, copies=0, **made) -> trials.Rows:
    data = study(seed=seed, **made)
    rng = np.random.default_rng(seed)
    table = data.recordings.assign(
        instance=data.recordings["infant"], time_s=rng.uniform(0, 1000, len(data.y)),
        sex="f", age_band="04", level_dbfs=rng.normal(-30, 5, len(data.y)),
    )  # fmt: skip
    X = data.X + rng.normal(0, 0.1, (copies, *data.X.shape)).astype(np.float32)
    return trials.Rows(table, data.X, X.astype(np.float32), "uploads", "made")


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    """An audit of a made study, with as little work as shows that it runs."""
    made = rows(seed=1, infants=45, copies=1, identity=2.0)
    folder = tmp_path_factory.mktemp("run")
    settings = SimpleNamespace(
        set="uploads", sets=["uploads", "cleaned"], representations=["made"], folds=3, repeats=2,
        permutations=19, refits=6, comparisons=19, power_runs=2, ladder_repeats=1, models=[],
        draws=100, seed=42,
    )  # fmt: skip
    derived = SimpleNamespace(manifest=lambda: pd.DataFrame({"set": ["uploads"]}))
    run = SimpleNamespace(
        parameters=settings, run_folder=folder, chapter="09_leakage", derived=derived
    )
    audit = leakage.Audit(run, n_jobs=1)
    audit._rows["uploads", "made"] = made
    return audit


def test_pieces_of_the_null_equal_the_whole(audit):
    made, plan = audit.primary, audit.primary_plan
    table = audit.null(made, plan, 19)
    whole = permutation.permutation_null(made.X, made.y, made.recordings, plan, 19)
    pd.testing.assert_frame_equal(table, whole[table.columns], atol=EXACT, check_dtype=False)
    fewer = audit.null(made, plan, 5)
    pd.testing.assert_frame_equal(fewer, table.head(6), atol=EXACT)


def test_pieces_of_the_bootstrap_equal_the_whole(audit):
    made = audit.primary
    table = audit.refits()
    whole = permutation.refit_bootstrap(
        {"made": made.X}, made.y, made.recordings, audit.primary_plan, 6
    )
    own = table[table["features"] == "made"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, whole, atol=EXACT)
    assert set(table["features"]) == {"made", "metadata"}


def test_primary_predictions_give_the_primary_estimate(audit):
    made, plan = audit.primary, audit.primary_plan
    expected = primary_auc.repeat_auc(made.X, made.y, plan).mean()
    found = findings.scores(audit.primary_predictions(), 50, 0)
    value = findings.of_metric(found, protocol="primary")["value"].iloc[0]
    assert value == pytest.approx(expected, abs=1e-6)  # float32 probabilities


def test_the_ladder_has_every_rung_and_the_lookup_needs_shared_infants(audit):
    table = audit.ladder()
    cells = set(zip(table["model"], table["representation"], table["protocol"], strict=True))
    assert {("logistic_regression", "made", r) for r in leakage.RUNGS} <= cells
    assert {("instance_lookup", "none", r) for r in ("L1", "L2", "L3")} <= cells
    assert {("logistic_regression", "metadata", r) for r in ("L1", "L2", "L3")} <= cells
    scores = findings.scores(table, 50, 0)
    lookup = findings.of_metric(scores, model="instance_lookup").set_index("protocol")["value"]
    assert lookup["L2"] > 0.6
    assert lookup["L3"] == pytest.approx(0.5)
    wide = findings.ladder_table(scores)
    assert (
        len(wide)
        == scores[["model", "representation", "protocol", "part"]].drop_duplicates().shape[0]
    )
    difference = findings.inflation(table, 50, 0)
    own = difference[
        (difference["metric"] == "auc_macro") & (difference["representation"] == "made")
    ]
    auc = findings.of_metric(scores, model="logistic_regression", representation="made", part="oof")
    by_rung = auc.set_index("protocol")["value"]
    for row in own.itertuples():
        assert row.value == pytest.approx(by_rung[row.protocol] - by_rung["L3"])
    assert set(own["comparison"]) == {"L0 minus L3", "L1 minus L3", "L2 minus L3"}


def test_meaningless_labels_are_remembered_on_loose_rungs_only(audit):
    table = findings.shuffled_scores(audit.meaningless()).set_index("rung")
    assert table.loc["L0", "value"] > 0.6
    assert abs(table.loc["L3", "value"] - 0.5) < 0.15  # three shuffles of 60 infants
    assert (table["shuffles"] == leakage.SHUFFLES).all()


def test_the_headline_takes_differences_within_draws(audit):
    null = audit.null(audit.primary, audit.primary_plan, 19)
    metadata = audit.null(leakage.metadata_rows(audit.primary), audit.primary_plan, 0)
    drawn = audit.refits()
    head = findings.headline(null, drawn, metadata).set_index("quantity")
    wide = drawn.pivot(index="draw", columns="features", values="auc")
    assert head.loc["increment", "value"] == pytest.approx(
        head.loc["auc", "value"] - head.loc["metadata_auc", "value"]
    )
    assert head.loc["increment", "se"] == pytest.approx((wide["made"] - wide["metadata"]).std())
    assert (head["high"] - head["value"]).tolist() == pytest.approx((1.96 * head["se"]).tolist())


def test_simulations_and_what_follows_from_them(audit):
    runs = audit.simulations()
    real = runs["run"] < 1_000_000
    assert runs[real]["run"].nunique() == 2
    assert (~real).sum() == 2 * leakage.SIZE_RUNS
    assert (runs[~real]["effect"] == 0).all()
    assert runs[~real]["p"].between(0.05, 1).all()
    covered = runs[runs["se_refit"].notna()]
    assert set(covered["effect"]) == set(leakage.COVERED)
    summary = pd.DataFrame(
        {"effect": [0.0, 0.5], "se_refit": [0.03, np.nan], "auc_sd": [0.03, 0.03]}
    )
    implied = findings.implied_coverage(summary)
    assert implied["coverage_implied"].tolist() == pytest.approx([0.95], abs=1e-3)


def test_sizes_equal_the_simulation_without_an_effect():
    made = rows(seed=5, infants=40)
    folds = primary.primary_folds(made.recordings, 3, 1)
    plan = primary_auc.Plan.draw(made.recordings, folds)
    table = trials.sizes(made, plan, 19, 42, 0, 2)
    one = trials.simulated(made, plan, (0.0,), 1_000_002, 19, 0, 50, 42, 1_000_001)
    assert table["auc"].iloc[1] == pytest.approx(one["auc"].iloc[0], abs=1e-6)
    assert (table["significant"] == (table["p"] <= 0.05)).all()


def test_remembered_is_a_share():
    assert findings.remembered(0.6, 0.7) == pytest.approx(0.5)
    assert findings.remembered(0.8, 0.7) == 1.0
    assert findings.remembered(0.4, 0.7) == 0.0
    assert findings.remembered(0.6, 0.45) == 1.0


def test_fold_counts_and_ceilings():
    made = rows(seed=3)
    folds = primary.primary_folds(made.recordings, 3, 2)
    plan = primary_auc.Plan.draw(made.recordings, folds)
    table = findings.fold_counts(made, plan).set_index("label")
    assert table["recordings"].sum() == len(made.y)
    # Every infant with such a recording is tested once a repeat.
    assert (table["infants_a_fold"] * 3).tolist() == pytest.approx(table["infants"].tolist())
    allowed = findings.ceilings(made)
    assert allowed["value"].between(0.5, 1).all()
    assert allowed["agreement"].iloc[0] == 0.75
    timeless = replace(made, recordings=made.recordings.assign(time_s=np.nan))
    assert len(findings.ceilings(timeless)) == 2
    # Three equal classes: 75 % agreement is a kappa of 0.625, and a perfect model reaches (1 + kappa) / 2.
    assert allowed["kappa"].iloc[1] == pytest.approx(0.625)
    assert allowed["value"].iloc[1] == pytest.approx(0.8125)


def test_the_maximum_statistic_keeps_a_representation_without_signal_out():
    rng = np.random.default_rng(0)
    null = pd.DataFrame({"permutation": range(100), "auc": rng.normal(0.5, 0.02, 100)})
    strong = null.assign(auc=rng.normal(0.5, 0.02, 100))
    null.loc[0, "auc"], strong.loc[0, "auc"] = 0.5, 0.65
    table = findings.comparison({"weak": null, "strong": strong}).set_index("representation")
    assert table.loc["strong", "p_maximum"] == pytest.approx(0.01)
    assert table.loc["weak", "p_maximum"] > 0.2


def test_detectable_falls_back_on_the_formula():
    null = pd.DataFrame({"auc": np.linspace(0.4, 0.6, 101)})
    none = pd.DataFrame(
        {"effect": [0.0, 1.0], "runs": [10, 10], "auc": [0.5, 0.6], "share_significant": [0.0, 0.2]}
    )
    value, how = findings.detectable(none, null, 0.03)
    assert value == pytest.approx(0.59 + 0.8416 * 0.03, abs=1e-3)
    assert "formula" in how
    assert (
        findings.detectable(none.assign(share_significant=[0.0, 1.0]), null, 0.03)[1] == "simulated"
    )
    leap = none.assign(auc=[0.5, 0.9], share_significant=[0.0, 1.0])
    said = "by formula: the simulated effects leap over it"
    assert findings.detectable(leap, null, 0.03) == (value, said)


def test_the_primary_set_comes_first_whatever_it_is(audit):
    def sets(first, named, held):
        settings = SimpleNamespace(**{**vars(audit.settings), "set": first, "sets": named})
        derived = SimpleNamespace(manifest=lambda: pd.DataFrame({"set": held}))
        run = SimpleNamespace(
            parameters=settings, run_folder=audit.folder, chapter="x", derived=derived
        )
        return leakage.Audit(run).sets

    assert sets("uploads", ["uploads", "cleaned"], ["uploads", "cleaned"]) == ["uploads", "cleaned"]
    assert sets("cleaned", ["uploads", "cleaned"], ["uploads", "cleaned"]) == ["cleaned", "uploads"]
    assert sets("all", ["uploads", "cleaned"], ["made"]) == ["all"]


def test_models_of_the_ladder_by_name():
    made = rows(seed=4, copies=1)
    for name in ("svm_rbf", "majority", "metadata"):
        table = trials.rung(made, 3, 0, name, "L3", [0])
        assert len(table) == len(made.y)
        np.testing.assert_allclose(table[cross_validation.P_COLUMNS].sum(axis=1), 1, atol=1e-6)
    with pytest.raises(ParameterError, match="nothing"):
        trials.ladder_model("nothing", made)
    one_platform = made.subset((made.recordings["platform"] == "ios").to_numpy())
    assert trials.rung(
        one_platform.with_features(one_platform.X), 3, 0, "majority", "L4", [0]
    ).empty
    changed = made.with_labels(np.zeros(len(made.y), int))
    assert set(changed.recordings["label"]) == {CLASSES[0]}
    assert set(made.recordings["label"]) == set(CLASSES)
