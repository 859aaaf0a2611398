"""Simulated studies, and the ceilings by formula."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_study import study

from cryhear.analysis import ceiling, power, primary_auc
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


def test_simulations_rise_with_the_effect_and_come_in_pieces():
    data = study(infants=80, seed=2, identity=0.5)
    folds = primary.primary_folds(data.recordings, 3, 1)
    plan = primary_auc.Plan.draw(data.recordings, folds, QUICK)
    arguments = (data.X, data.y, data.recordings, plan)
    options = {"effects": (0.0, 1.5), "runs": 4, "refits": 3, "draws": 50, "procedure": QUICK}
    whole = power.simulate_power(*arguments, **options)
    piece = power.simulate_power(*arguments, **options, start=2, stop=3)
    own = whole[whole["run"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, piece)
    summary = power.summarise(whole).set_index("effect")
    assert summary.loc[1.5, "auc"] > summary.loc[0.0, "auc"] + 0.1
    assert summary.loc[1.5, "share_significant"] == 1.0
    assert whole["permutations"].isin([19, 39]).all()
    assert (whole["significant"] == ((whole["p"] <= 0.05) & (whole["permutations"] == 39))).all()
    assert (whole["sampling_low"] < whole["sampling_high"]).all()
    assert (whole["se_refit"] > 0).all()
    with pytest.raises(EvaluationError, match="19"):
        power.simulate_power(*arguments, permutations=5)


def test_an_effect_is_one_truth_and_only_labels_differ_between_runs(monkeypatch):
    data, seen = study(infants=40, seed=2), []
    folds = primary.primary_folds(data.recordings, 3, 1)
    plan = primary_auc.Plan.draw(data.recordings, folds, QUICK)
    real = power.inject

    def noted(X, y, infants, effect, rng):
        seen.append((tuple(y), str(rng.bit_generator.state["state"])))
        return real(X, y, infants, effect, rng)

    monkeypatch.setattr(power, "inject", noted)
    power.simulate_power(data.X, data.y, data.recordings, plan, effects=(0.1, 0.2), runs=3,
                         permutations=19, draws=0, procedure=QUICK)  # fmt: skip
    assert len({labels for labels, _ in seen}) == 3
    assert len({directions for _, directions in seen}) == 1


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
    assert ceiling.label_ceiling(agreement, priors) == pytest.approx(np.mean(auc), abs=0.01)
    # The two ends of the band that the study design states.
    real = np.array([102, 742, 88]) / 932
    assert ceiling.label_ceiling(0.75, real) == pytest.approx(0.64, abs=0.02)
    assert ceiling.label_ceiling(1 - 131 / 771, real, pairs=True) == pytest.approx(0.86, abs=0.01)


def test_pairs_within_minutes():
    table = pd.DataFrame(
        {
            "instance": ["a", "a", "a", "b", "b", "c"],
            "time_s": [0.0, 200.0, 900.0, 0.0, np.nan, 0.0],
            "label": ["pain", "hunger", "pain", "pain", "hunger", "pain"],
        }
    )
    assert ceiling.pair_disagreement(table) == (1, 1)
    assert ceiling.pair_disagreement(table, 1000.0) == (2, 3)


def test_infants_needed_and_wilson():
    assert ceiling.infants_needed(0.051, 60, 0.05) == int(np.ceil(60 * (1.96 * 0.051 / 0.05) ** 2))
    low, high = ceiling.wilson(5, 100)
    assert low == pytest.approx(0.0215, abs=5e-4)
    assert high == pytest.approx(0.1118, abs=5e-4)
    assert ceiling.wilson(0, 0) == (0.0, 1.0)
