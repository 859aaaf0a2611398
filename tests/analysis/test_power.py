"""Simulated studies, the end-to-end check, and the ceilings by formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_study import study

from cryhear.analysis import power, primary_auc
from cryhear.errors import EvaluationError
from cryhear.models import primary

QUICK = primary.Procedure(Cs=(1e-2,))


def test_inject_moves_classes_by_the_effect():
    data = study(infants=150, seed=1, identity=1.0)
    infants = data.recordings["infant"].to_numpy()
    before = data.X.copy()
    moved = power.inject(data.X, data.y, infants, 0.8, np.random.default_rng(0))
    np.testing.assert_array_equal(data.X, before)
    means = power.between_infant_rows(data.X, infants)
    for k in range(3):
        shift = ((moved - data.X)[data.y == k] / data.X.std(axis=0)).mean(axis=0)
        spread = (means @ (shift / np.linalg.norm(shift))).std(ddof=1)
        assert np.linalg.norm(shift) == pytest.approx(0.8 * spread, rel=1e-4)  # float32 features
    still = power.inject(data.X, data.y, infants, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(still, data.X)


def planned(data):
    folds = primary.primary_folds(data.recordings, 3, 1)
    return primary_auc.FoldPlan.draw(data.recordings, folds, QUICK)


def test_simulations_rise_with_the_effect():
    data = study(infants=80, seed=2, identity=0.5)
    how = power.Simulation(39, refits=3, draws=50, procedure=QUICK)
    runs = [power.simulated_study(data, planned(data), how, run, (0.0, 1.5)) for run in range(4)]
    again = power.simulated_study(data, planned(data), how, 2, (0.0, 1.5))
    pd.testing.assert_frame_equal(again, runs[2])
    whole = pd.concat(runs, ignore_index=True)
    summary = power.summarise(whole).set_index("effect")
    assert summary.loc[1.5, "auc"] > summary.loc[0.0, "auc"] + 0.1
    assert summary.loc[1.5, "share_significant"] == 1.0
    assert whole["permutations"].isin([19, 39]).all()
    assert (whole["significant"] == ((whole["p"] <= 0.05) & (whole["permutations"] == 39))).all()
    assert (whole["sampling_low"] < whole["sampling_high"]).all()
    assert (whole["se_refit"] > 0).all()
    with pytest.raises(EvaluationError, match="19"):
        power.Simulation(permutations=5)


def test_studies_without_an_effect_equal_the_simulation():
    data = study(infants=40, seed=5)
    how = power.Simulation(draws=0)
    table = power.empty_studies(data, planned(data), how, 0, 2)
    one = power.simulated_study(data, planned(data), how, 1_000_001, (0.0,))
    assert table["run"].tolist() == [1_000_000, 1_000_001]
    assert table["auc"].iloc[1] == pytest.approx(one["auc"].iloc[0], abs=1e-6)
    assert table["p"].iloc[1] == pytest.approx(one["p"].iloc[0])
    assert (table["significant"] == (table["p"] <= 0.05)).all()


def test_an_effect_is_one_truth_and_only_labels_differ_between_runs(monkeypatch):
    data, seen = study(infants=40, seed=2), []
    real = power.inject

    def noted(X, y, infants, effect, rng):
        seen.append((tuple(y), str(rng.bit_generator.state["state"])))
        return real(X, y, infants, effect, rng)

    monkeypatch.setattr(power, "inject", noted)
    for run in range(3):
        how = power.Simulation(draws=0, procedure=QUICK)
        power.simulated_study(data, planned(data), how, run, (0.1, 0.2))
    assert len({labels for labels, _ in seen}) == 3
    assert len({directions for _, directions in seen}) == 1


def test_coverage_is_implied_where_studies_were_refitted():
    summary = pd.DataFrame(
        {"effect": [0.0, 0.5], "se_refit": [0.03, np.nan], "auc_sd": [0.03, 0.03]}
    )
    implied = power.implied_coverage(summary)
    assert implied["coverage_implied"].tolist() == pytest.approx([0.95], abs=1e-3)


def test_detectable_auc_interpolates_power():
    summary = pd.DataFrame(
        {
            "effect": [0.0, 0.2, 0.5],
            "runs": [100] * 3,
            "auc": [0.5, 0.56, 0.64],
            "share_significant": [0.05, 0.5, 1.0],
        }
    )
    assert power.detectable_auc(summary) == pytest.approx(0.56 + 0.6 * 0.08)
    assert np.isnan(power.detectable_auc(summary.assign(share_significant=[0.05, 0.1, 0.2])))
    rng = np.random.default_rng(0)
    null = pd.DataFrame({"auc": np.r_[0.5, rng.normal(0.5, 0.03, 20_000)]})
    expected = 0.5 + (1.645 + 0.842) * 0.03
    assert power.detectable_auc_normal(null, 0.03) == pytest.approx(expected, abs=0.002)


def test_detectable_falls_back_on_the_formula():
    null = pd.DataFrame({"auc": np.linspace(0.4, 0.6, 101)})
    none = pd.DataFrame(
        {"effect": [0.0, 1.0], "runs": [10, 10], "auc": [0.5, 0.6], "share_significant": [0.0, 0.2]}
    )
    value, how = power.detectable(none, null, 0.03)
    assert value == pytest.approx(0.59 + 0.8416 * 0.03, abs=1e-3)
    assert "formula" in how
    assert power.detectable(none.assign(share_significant=[0.0, 1.0]), null, 0.03)[1] == "simulated"
    leap = none.assign(auc=[0.5, 0.9], share_significant=[0.0, 1.0])
    said = "by formula: the simulated effects leap over it"
    assert power.detectable(leap, null, 0.03) == (value, said)


def test_label_ceilings_equal_a_simulation():
    rng = np.random.default_rng(0)
    priors, kept = np.array([0.11, 0.8, 0.09]), 0.6
    truth = rng.choice(3, 200_000, p=priors)
    label = np.where(rng.random(len(truth)) < kept, truth, rng.choice(3, len(truth), p=priors))
    auc = [
        0.5 * (1 + (truth[label == k] == k).mean() - (truth[label != k] == k).mean())
        for k in range(3)
    ]
    agreement = float((truth == label).mean())
    assert power.label_ceiling(agreement, priors) == pytest.approx(np.mean(auc), abs=0.01)
    # The two ends of the band that the study design states.
    real = np.array([102, 742, 88]) / 932
    assert power.label_ceiling(0.75, real) == pytest.approx(0.64, abs=0.02)
    assert power.label_ceiling(1 - 131 / 771, real, pairs=True) == pytest.approx(0.86, abs=0.01)


def test_kappa_of_equal_classes():
    # Three equal classes: 75 % agreement is a kappa of 0.625, and a perfect model reaches (1 + kappa) / 2.
    equal = np.full(3, 1 / 3)
    assert power.kappa(0.75, equal) == pytest.approx(0.625)
    assert power.label_ceiling(0.75, equal) == pytest.approx(0.8125)


def test_shares_have_wilson_intervals():
    runs = pd.DataFrame({"effect": 0.0, "auc": 0.5, "significant": [True] * 5 + [False] * 95})
    empty = dict.fromkeys(("se_refit", "sampling_low", "sampling_high"), np.nan)
    row = power.summarise(runs.assign(**empty)).iloc[0]
    assert (row["low"], row["high"]) == pytest.approx((0.0215, 0.1118), abs=5e-4)


def test_one_synthetic_study_from_audio_to_p():
    first = power.end_to_end(1.2, 24, 19, seed=3)
    assert first["effect"].tolist() == [1.2]
    assert 15 <= first["infants"].iloc[0] <= 24
    assert first["recordings"].iloc[0] >= 40
    assert 0 < first["auc"].iloc[0] < 1
    assert 0.05 <= first["p"].iloc[0] <= 1
    pd.testing.assert_frame_equal(first, power.end_to_end(1.2, 24, 19, seed=3))
