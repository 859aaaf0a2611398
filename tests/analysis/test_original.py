"""What the original printed: figures that follow from each other, and ours in the same places."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import original
from cryhear.evaluation.metrics import METRICS

PRINTED = 6e-5
"""The original prints four decimals: half a unit of the last, and a little."""
ROUNDED = 6e-3
"""The same for two decimals."""
ROUNDING = 1e-9


def test_printed_figures_follow_from_each_other(root):
    study = original.facts(root / original.FACTS)
    found = original.rederived(study)
    holdout = study["notebook_outputs"]["mlp"]["holdout"]
    assert found["accuracy_from_recalls"] == pytest.approx(holdout["accuracy"], abs=PRINTED)
    assert found["f1_from_classes"] == pytest.approx(holdout["f1_weighted"], abs=ROUNDED)
    printed = study["notebook_outputs"]["cross_validation_svm_5fold"]
    assert found["cv_mean"] == pytest.approx(printed["mean"], abs=PRINTED)
    assert found["cv_sd"] == pytest.approx(printed["sd"], abs=PRINTED)
    assert sum(study["data"]["split_counts"].values()) == study["data"]["files_labelled"]
    assert found["cv_expected_low"] < printed["mean"] < found["cv_expected_high"]
    training, outputs = study["notebook_outputs"]["mlp_training"], study["notebook_outputs"]["mlp"]
    for part, gap in training["gaps"].items():
        assert training["accuracy"] - outputs[part]["accuracy"] == pytest.approx(
            gap, abs=2 * PRINTED
        )
    assert found["majority_rate"] == pytest.approx(3678 / 6639)
    table = original.figures(study)
    assert table.groupby(["source", "model", "part", "metric"]).size().max() == 1


def test_identical_share_by_hand():
    # One untouched copy, two folds: either row meets the other with probability one half.
    assert original.identical_share(1, 1.0, 2) == pytest.approx(0.5)
    assert original.identical_share(2, 0.0, 5) == 0
    assert original.identical_share(1, 1.0, 2, plain=2.0) == pytest.approx(0.25)


def test_a_copy_passes_unaltered_where_no_transform_fires(root):
    """The share of identical rows, against rows drawn as the original's code draws them."""
    study = original.facts(root / original.FACTS)
    augment, parts = study["pipeline"]["augment"], study["data"]["split_counts"]
    assert original.untouched(augment) == pytest.approx(0.54375)
    rng, shares = np.random.default_rng(0), []
    chances = np.array(list(augment["probabilities"].values()))
    n_train, n_valid = parts["train"], parts["validation"]
    for _ in range(10):
        tried = rng.random((n_train, 2)) < augment["probability_of_augmenting_a_copy"]
        altered = tried & (rng.random((n_train, 2, len(chances))) < chances).any(axis=2)
        fold = rng.integers(original.N_FOLDS, size=(n_train, 3))
        same = np.column_stack([np.ones(n_train, bool), ~altered])
        others = (fold[:, :, None] != fold[:, None]) & same[:, :, None] & same[:, None]
        shares.append(others.any(axis=2).sum() / (3 * n_train + n_valid))
    found = original.rederived(study)
    assert found["identical_share"] == pytest.approx(np.mean(shares), abs=0.005)  # SE 0.001
    assert found["identical_share"] == pytest.approx(0.488, abs=5e-4)
    assert found["cv_expected_low"] == pytest.approx(0.817, abs=5e-4)
    assert found["cv_expected_high"] == pytest.approx(0.830, abs=5e-4)


def scores(value=0.7, protocols=("split_file", "split_infant")):
    """Scores that are `value` everywhere, a tenth more on the training part."""
    made = [
        {"protocol": protocol, "model": model, "part": part, "metric": metric,
         "representation": "yamnet", "value": value + 0.1 * (part == "train"),
         "low": value - 0.1, "high": value + 0.1}
        for protocol in protocols for model in ("mlp", "svm_rbf")
        for part in ("train", "validation", "test", "holdout") for metric in METRICS
    ]  # fmt: skip
    return pd.DataFrame(made)


def test_beside_places_ours_where_the_original_is(root):
    printed = original.figures(original.facts(root / original.FACTS))
    rowwise = pd.DataFrame(
        [("rows", "accuracy", 0.9), ("infants", "accuracy", 0.6), ("rows", "majority_rate", 0.8)],
        columns=["protocol", "metric", "value"],
    )
    table = original.beside(printed, scores(), rowwise)
    assert len(table) == len(printed)
    at = table.set_index(["source", "model", "part", "metric"])
    assert at.at[("article", "mlp", "gap", "accuracy"), "ours"] == pytest.approx(0.1)
    assert at.at[("notebook", "svm_rbf", "rows", "accuracy"), "ours"] == 0.9
    assert at.at[("notebook", "svm_rbf", "rows", "accuracy"), "infants"] == 0.6
    assert np.isnan(at.at[("notebook", "soft_voting", "test", "accuracy"), "ours"])
    gains = original.over_majority(table, 0.55).set_index("quantity")
    cross = gains.loc["SVM (RBF), cross-validation over rows (notebook)"]
    assert cross["original"] == pytest.approx(0.8188 - 0.55)
    assert cross["ours"] == pytest.approx(0.1, abs=ROUNDING)
    # Only the folds over rows repeat the original's settings; they stand first.
    rows = gains.index.str.contains("over rows")
    assert list(rows[:2]) == [True, True]
    assert not rows[2:].any()
    assert set(gains.loc[rows, "shared"]) == {original.SAME_SETTINGS}
    assert set(gains.loc[~rows, "shared"]) == {original.SAME_SPLIT}
    assert (gains["chance"] == 0).all()


def test_what_was_not_run_is_missing(root):
    printed = original.figures(original.facts(root / original.FACTS))
    table = original.beside(printed, scores(protocols=("split_file",)))
    at = table.set_index(["source", "model", "part", "metric"])
    assert at["infants"].isna().all()
    assert at.at[("article", "mlp", "holdout", "accuracy"), "ours"] == 0.7
    assert np.isnan(at.at[("notebook", "svm_rbf", "rows", "accuracy"), "ours"])
