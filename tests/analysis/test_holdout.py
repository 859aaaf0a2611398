"""An opened holdout: calibration learned on validation alone, and the original's figures beside ours."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import holdout, original
from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.evaluation.metrics import METRICS
from cryhear.study.ledger import Ledger

ROUNDING = 1e-9
FITTED = 0.25
"""A temperature from 1,200 predictions: its standard error is about 0.07."""


def predictions(n=1200, temperature=3.0, seed=0):
    """Overconfident predictions: the true probabilities raised to `temperature`."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet([1.0, 1.0, 1.0], n)
    y = (rng.random((n, 1)) > truth.cumsum(1)).sum(1)
    p = truth**temperature
    p /= p.sum(1, keepdims=True)
    table = pd.DataFrame(
        {"recording": [f"{i:016x}" for i in range(n)], "label": np.array(CLASSES)[y], "model": "m"}
    )
    table["part"] = np.array(["train", "validation", "test", "holdout"])[np.arange(n) % 4]
    return table.assign(**dict(zip(PROBABILITIES, p.T, strict=True)))


def test_calibration_is_learned_on_validation_and_helps_the_holdout():
    table = pd.concat([predictions(4800)])
    mended, fitted = holdout.calibrated(table, "m")
    assert fitted.temperature == pytest.approx(3.0, abs=3 * FITTED)
    prior = holdout.priors(table, "m")
    found = holdout.calibration_scores({"raw": table, "calibrated": mended}, "m", prior)
    found = found.set_index("probabilities")
    assert found.at["calibrated", "log_loss"] < found.at["raw", "log_loss"]
    assert found.at["calibrated", "ece"] < found.at["raw", "ece"]
    assert found.at["raw", "log_loss_prior"] == pytest.approx(np.log(3), abs=0.01)
    other = table.copy()
    hidden = other["part"] == "holdout"
    other.loc[hidden, "label"] = "pain"
    assert holdout.calibrated(other, "m")[1] == fitted


def test_a_cell_is_one_row_a_recording():
    table = predictions(40)
    assert len(holdout.cell(table, "m", "test")) == 10
    with pytest.raises(EvaluationError, match="expected one a recording"):
        holdout.cell(pd.concat([table, table]), "m", "test")
    with pytest.raises(EvaluationError, match="0 rows"):
        holdout.cell(table, "other", "test")


def test_right_and_wrong_by_hand():
    rows = predictions(3).assign(label=["pain", "pain", "hunger"])
    p = [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]
    rows = rows.assign(**dict(zip(PROBABILITIES, np.transpose(p), strict=True)))
    table = holdout.right_and_wrong(rows, np.zeros((3, 2)))
    assert table["correct"].tolist() == [True, False, True]
    assert table["confidence"].tolist() == [0.6, 0.7, 0.8]


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
    table = holdout.beside(printed, scores(), rowwise)
    assert len(table) == len(printed)
    at = table.set_index(["source", "model", "part", "metric"])
    assert at.at[("article", "mlp", "gap", "accuracy"), "ours"] == pytest.approx(0.1)
    assert at.at[("notebook", "svm_rbf", "rows", "accuracy"), "ours"] == 0.9
    assert at.at[("notebook", "svm_rbf", "rows", "accuracy"), "infants"] == 0.6
    assert np.isnan(at.at[("notebook", "soft_voting", "test", "accuracy"), "ours"])
    gains = holdout.over_majority(table, 0.55).set_index("quantity")
    cross = gains.loc["SVM (RBF), cross-validation over rows (notebook)"]
    assert cross["original"] == pytest.approx(0.8188 - 0.55)
    assert cross["ours"] == pytest.approx(0.1, abs=ROUNDING)
    # Only the folds over rows repeat the original's settings; they stand first.
    rows = gains.index.str.contains("over rows")
    assert list(rows[:2]) == [True, True]
    assert not rows[2:].any()
    assert set(gains.loc[rows, "shared"]) == {holdout.SAME_SETTINGS}
    assert set(gains.loc[~rows, "shared"]) == {holdout.SAME_SPLIT}
    assert (gains["chance"] == 0).all()


def test_what_was_not_run_is_recorded_as_text(root):
    printed = original.figures(original.facts(root / original.FACTS))
    table = holdout.beside(printed, scores(protocols=("split_file",)))
    ledger = Ledger("08_evaluation")
    holdout.record_beside(SimpleNamespace(number=ledger.number, ledger=ledger), table)
    assert ledger.numbers["infants_mlp_holdout_accuracy"]["value"] == holdout.NOT_RUN
    assert ledger.numbers["ours_mlp_holdout_accuracy"]["unit"] == "share"
    assert ledger.numbers["article_mlp_holdout_auc_pain"]["value"] == 0.808
    assert ledger.numbers["ours_svm_rbf_rows_accuracy"]["value"] == holdout.NOT_RUN


def test_class_bars_follow_the_scores():
    table = holdout.class_bars(scores()[lambda t: t["part"] == "test"])
    assert len(table) == 9
    assert set(table["label"]) == set(CLASSES)


def test_what_the_original_printed_is_recorded_once(root):
    facts = original.facts(root / original.FACTS)
    ledger = Ledger("08_evaluation")
    run = SimpleNamespace(number=ledger.number, ledger=ledger)
    holdout.record_original(run, facts, original.rederived(facts))
    assert ledger.numbers["original_n_neurological"] == {"value": 3678, "unit": "count"}
    assert ledger.numbers["implied_majority_rate"]["unit"] == "share"
    assert ledger.numbers["original_printed_dim"]["value"] == 512


def test_a_matrix_in_words():
    table = pd.DataFrame(
        {"true": ["pain", "pain"], "predicted": ["pain", "hunger"], "n": [2, 3], "part": "test"}
    )
    assert holdout.matrix_in_words(table, "test").endswith("pain: 2 named pain, 3 named hunger.")
