"""Fixed strengths of the penalty give scikit-learn's scores; the inner criterion is the protocol's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from test_leakage import rows

from cryhear.analysis import below_chance, findings, penalty, permutation, primary_auc, trials
from cryhear.analysis.controls import plan_of
from cryhear.models import primary

CLOSE = 2e-3  # probabilities of two solvers that stop by other rules
STRENGTHS = (1e-4, 1e-2, 1.0)


@pytest.fixture(scope="module")
def made():
    return rows(seed=4, infants=60, identity=1.0)


@pytest.fixture(scope="module")
def fitted(made):
    plan = plan_of(made, 3, 2, 42)
    tables = [penalty.on_primary_folds(made, plan, r, STRENGTHS) for r in range(2)]
    return pd.concat(tables, ignore_index=True)


def test_predictions_equal_a_plain_scikit_learn_pipeline(made, fitted):
    own = fitted[(fitted["repeat"] == 1) & (fitted["C"] == 1e-2)].set_index("recording")
    own = own.loc[made.recordings["recording"]]
    test = own["fold"].to_numpy() == 0
    scaler = StandardScaler().fit(made.X[~test].astype(float))
    pca = PCA(0.95, svd_solver="full").fit(scaler.transform(made.X[~test].astype(float)))
    Z = pca.transform(scaler.transform(made.X.astype(float)))
    model = LogisticRegression(C=1e-2, class_weight="balanced", max_iter=1000)
    p = model.fit(Z[~test], made.y[~test]).predict_proba(Z[test])
    assert np.abs(own.loc[test, ["p_pain", "p_hunger", "p_neurological"]] - p).max().max() < CLOSE


def test_the_criterion_is_the_one_by_which_the_protocol_chooses(made, fitted):
    plan = plan_of(made, 3, 2, 42)
    Z, inner = primary_auc.components(made.X, plan)[0], plan.inner[0]
    train = np.flatnonzero(inner >= 0)
    procedure = primary.Procedure(Cs=STRENGTHS)
    chosen = primary.choose_C(Z[train], made.y[None, train], inner[train], procedure)[0]
    own = fitted[(fitted["repeat"] == 0) & (fitted["fold"] == 0)].drop_duplicates("C")
    assert own.loc[own["log_loss"].idxmin(), "C"] == chosen
    # And by hand, with scikit-learn's loss.
    loss, weights = 0.0, len(train) / (3 * np.bincount(made.y[train]))
    for k in np.unique(inner[train]):
        side, held = train[inner[train] != k], train[inner[train] == k]
        model = LogisticRegression(C=1e-2, class_weight="balanced", max_iter=1000)
        p = model.fit(Z[side], made.y[side]).predict_proba(Z[held])
        w = weights[made.y[held]]
        loss += log_loss(made.y[held], p, sample_weight=w) * w.sum()
    found = own.loc[own["C"] == 1e-2, "log_loss"].iloc[0]
    assert found == pytest.approx(loss / weights[made.y[train]].sum(), abs=CLOSE)


def test_all_fits_are_counted_at_the_strength_they_chose(fitted):
    table = penalty.criterion(fitted)
    assert table["fits"].tolist() == [6, 6, 6]
    assert table["chosen"].sum() <= 6  # strengths of the grid that are not shown here
    assert table["C"].tolist() == list(STRENGTHS)


def test_a_single_strength_tunes_nothing(made):
    C = primary.choose_C(made.X, np.stack([made.y] * 2), np.zeros(len(made.y)), penalty.fixed(0.1))
    assert C.tolist() == [0.1, 0.1]


def test_scores_by_strength_are_the_primary_estimand(made, fitted):
    plan = plan_of(made, 3, 2, 42)
    cells = dict(list(fitted.groupby("C")))
    table = penalty.scores(cells, 50, 0).set_index("cell")
    for C in STRENGTHS:
        whole = primary_auc.repeat_auc(made.X, made.y, plan, penalty.fixed(C)).mean()
        assert table.loc[C, "value"] == pytest.approx(whole, abs=1e-3)
        assert table.loc[C, "low"] <= table.loc[C, "value"] <= table.loc[C, "high"]
    assert table["n"].tolist() == [len(made.y)] * 3
    paired = penalty.differences(cells, 1e-4, 50, 0).set_index("cell")
    assert paired.loc[1.0, "value"] == pytest.approx(
        table.loc[1.0, "value"] - table.loc[1e-4, "value"]
    )


def test_choosing_by_inner_auc_takes_one_strength_a_fold(fitted):
    table = penalty.by_inner_auc(fitted, STRENGTHS)
    assert len(table) == len(fitted) / 3
    for _, own in table.groupby(["repeat", "fold"]):
        assert own["C"].nunique() == 1
        key = (fitted["repeat"] == own["repeat"].iloc[0]) & (fitted["fold"] == own["fold"].iloc[0])
        assert own["inner_auc"].iloc[0] == fitted.loc[key, "inner_auc"].max()


def test_inflation_at_strengths_is_paired_and_seen_where_infants_are_known(made):
    known = rows(seed=8, infants=60, identity=4.0, dimension=30)
    predictions = pd.concat(
        [penalty.rung(known, 3, 42, 0.01, rung, 0) for rung in ("L1", "L2", "L3")]
    )
    table = findings.inflation_at_strengths(predictions, 100, 0).set_index("comparison")
    at = findings.at_strengths(predictions, 100, 0).set_index("rung")
    for name in ("L1", "L2"):
        difference = at.loc[name, "value"] - at.loc["L3", "value"]
        assert table.loc[f"{name} minus L3", "value"] == pytest.approx(difference)
    assert table.loc["L2 minus L3", "value"] > 0.05


def test_exchanged_labels_at_a_strength_lie_around_chance(made):
    table = penalty.exchanged(made, plan_of(made, 3, 1, 42), 0.01, 40, 0)
    assert abs(table["auc"].mean() - 0.5) < 0.05
    assert len(table) == 40


def test_what_was_tried_below_chance_changes_one_thing(made):
    plain = below_chance.tried(made, 3, 42, "as published", 0)
    expected = trials.primary(made, plan_of(made, 3, 1, 42), 0)
    pd.testing.assert_frame_equal(plain.drop(columns="tried"), expected)
    other = below_chance.tried(made, 3, 42, "other folds", 0)
    assert (other["fold"] != plain["fold"]).any()
    fewer = below_chance.tried(made, 3, 42, below_chance.TRIED[3], 0)
    left_out = made.recordings["infant"].value_counts().nlargest(below_chance.LARGEST)
    assert len(fewer) == len(plain) - left_out.sum()
    table = below_chance.scores(pd.concat([plain, other, fewer]), 50, 0)
    assert table["tried"].tolist() == ["as published", "other folds", below_chance.TRIED[3]]
    assert "as published" not in below_chance.sentence(table)
    assert below_chance.sentence(table).startswith("other folds 0.")
    assert below_chance.sentence(None) == "nothing"


def test_the_two_sided_p_is_twice_the_smaller_tail():
    null = pd.DataFrame({"auc": np.r_[0.45, np.linspace(0.4, 0.6, 99)]})
    lower = (1 + (null["auc"][1:] <= 0.45).sum()) / 100
    assert permutation.p_two_sided(null) == pytest.approx(2 * lower)
    middle = pd.DataFrame({"auc": np.r_[0.5, np.linspace(0.4, 0.6, 99)]})
    assert permutation.p_two_sided(middle) == 1.0
