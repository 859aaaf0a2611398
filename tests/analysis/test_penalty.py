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

from cryhear.analysis import leakage, penalty, primary_auc
from cryhear.analysis.primary_auc import FoldPlan
from cryhear.evaluation import bootstrap
from cryhear.models import primary

CLOSE = 2e-3  # probabilities of two solvers that stop by other rules
STRENGTHS = (1e-4, 1e-2, 1.0)


@pytest.fixture(scope="module")
def made():
    return rows(seed=4, infants=60, identity=1.0)


@pytest.fixture(scope="module")
def fitted(made):
    plan = FoldPlan.of(made.recordings, 3, 2)
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
    plan = FoldPlan.of(made.recordings, 3, 2)
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
    plan = FoldPlan.of(made.recordings, 3, 2)
    scores = bootstrap.bootstrap(fitted, 50, 0, within=("platform",), by=["C"])
    table = leakage.of_metric(scores).set_index("C")
    for C in STRENGTHS:
        whole = primary_auc.repeat_auc(made.X, made.y, plan, penalty.fixed(C)).mean()
        assert table.loc[C, "value"] == pytest.approx(whole, abs=1e-3)
        assert table.loc[C, "low"] <= table.loc[C, "value"] <= table.loc[C, "high"]
    assert table["n"].tolist() == [len(made)] * 3


def test_choosing_by_inner_auc_takes_one_strength_a_fold(fitted):
    table = penalty.by_inner_auc(fitted, STRENGTHS)
    assert len(table) == len(fitted) / 3
    for _, own in table.groupby(["repeat", "fold"]):
        assert own["C"].nunique() == 1
        key = (fitted["repeat"] == own["repeat"].iloc[0]) & (fitted["fold"] == own["fold"].iloc[0])
        assert own["inner_auc"].iloc[0] == fitted.loc[key, "inner_auc"].max()


def test_exchanged_labels_at_a_strength_lie_around_chance(made):
    table = penalty.exchanged(made, FoldPlan.of(made.recordings, 3, 1), 0.01, 40, 0)
    assert abs(table["auc"].mean() - 0.5) < 0.05
    assert len(table) == 40


def test_what_was_tried_below_chance_changes_one_thing(made):
    plan = FoldPlan.of(made.recordings, 3, 2)
    plain = primary_auc.predictions(made, plan, 1)
    other, centred, fewer, fixed, _ = (
        penalty.one_thing_changed(made, 3, 42, how, 1) for how in penalty.CHANGED
    )
    assert (other["fold"] != plain["fold"]).any()
    assert (centred["fold"] == plain["fold"]).all()
    assert not np.allclose(centred["p_pain"], plain["p_pain"])
    left_out = made.recordings["infant"].value_counts().nlargest(penalty.LARGEST)
    assert len(fewer) == len(plain) - left_out.sum()
    p = primary_auc.out_of_fold(made.X, made.y, plan.repeat(1), penalty.fixed(0.01))[0]
    np.testing.assert_array_equal(fixed[["p_pain", "p_hunger", "p_neurological"]], p)
