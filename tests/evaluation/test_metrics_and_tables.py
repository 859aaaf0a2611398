"""Metrics against scikit-learn and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cryhear.corpus.labels import CLASSES
from cryhear.errors import CryhearError, EvaluationError
from cryhear.evaluation import auc, calibration, metrics, score_tables, validation

EXACT = 1e-12
"""Sums of a few hundred float64 terms of order 1, in another order: a thousand roundings."""
K = range(3)


def sample(n: int = 300, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Labels in the corpus's proportions, and probabilities that know a little."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=(0.15, 0.70, 0.15))
    y[:3] = (0, 1, 2)
    p = rng.dirichlet((1, 2, 1), n) + 0.2 * np.eye(3)[y]
    p /= p.sum(1, keepdims=True)
    if ties:
        p = np.round(p * 8)
        p[:, 1] += p.sum(1) == 0
        p /= p.sum(1, keepdims=True)
    return y, p


def by_sklearn(y: np.ndarray, p: np.ndarray, groups: np.ndarray | None = None) -> dict[str, float]:
    """Every metric but the calibration errors, by scikit-learn; AUC within groups by its parts."""
    guess = p.argmax(1)
    out = {
        "accuracy": sk.accuracy_score(y, guess),
        "majority_rate": np.bincount(y).max() / len(y),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess),
        "log_loss": sk.log_loss(y, p, labels=list(K)),
        "log_loss_prior": sk.log_loss(
            y, np.tile(np.bincount(y, minlength=3) / len(y), (len(y), 1))
        ),
        "brier": sk.brier_score_loss(y, p, labels=list(K), scale_by_half=False),
    }
    out["log_loss_gain"] = out["log_loss_prior"] - out["log_loss"]
    for average in ("macro", "weighted", None):
        values = sk.precision_recall_fscore_support(
            y, guess, labels=list(K), average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), values[:3], strict=True):
            if average:
                out[f"{name}_{average}"] = value
            else:
                out |= {f"{name}_{c}": value[k] for k, c in enumerate(CLASSES)}
    groups = np.zeros(len(y)) if groups is None else groups
    for k, name in enumerate(CLASSES):
        out[f"average_precision_{name}"] = sk.average_precision_score(y == k, p[:, k])
        wins = pairs = 0.0
        for group in np.unique(groups):
            rows = groups == group
            here = (y[rows] == k).sum() * (y[rows] != k).sum()
            if here:
                wins += here * sk.roc_auc_score(y[rows] == k, p[rows, k])
                pairs += here
        out[f"auc_{name}"] = wins / pairs
    for name in ("auc", "average_precision"):
        out[f"{name}_macro"] = np.mean([out[f"{name}_{c}"] for c in CLASSES])
    return out


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_scikit_learn(seed, ties, grouped):
    y, p = sample(seed=seed, ties=ties)
    groups = np.random.default_rng(seed).integers(0, 7, len(y)) if grouped else None
    mine, theirs = metrics.scores(y, p, pairs_within=groups), by_sklearn(y, p, groups)
    assert tuple(mine) == metrics.METRICS
    assert set(mine) - set(theirs) == {"ece", "ece_classwise", *(f"ece_{c}" for c in CLASSES)}
    for name, value in theirs.items():
        assert mine[name] == pytest.approx(value, rel=0, abs=EXACT), name
    # The same comparison rejects zero and chance.
    assert abs(mine["auc_macro"] - 0.5) > 100 * EXACT
    assert mine["auc_macro"] > 100 * EXACT


def test_single_functions_equal_the_dictionary():
    y, p = sample(ties=True)
    all_of_them, counts = metrics.scores(y, p), metrics.confusion(y, p)
    assert np.array_equal(counts, sk.confusion_matrix(y, p.argmax(1)))
    single = {
        "accuracy": metrics.accuracy(counts),
        "majority_rate": metrics.majority_rate(counts),
        "balanced_accuracy": metrics.balanced_accuracy(counts),
        "f1_weighted": metrics.weighted_mean(metrics.f1(counts), counts),
        "precision_macro": metrics.precision(counts).mean(),
        "recall_weighted": metrics.weighted_mean(metrics.recall(counts), counts),
        "auc_macro": auc.macro_auc(y, p),
        "auc_hunger": auc.class_auc(y, p)[1],
        "log_loss": metrics.log_loss(y, p),
    }
    for name, value in single.items():
        assert all_of_them[name] == pytest.approx(value, rel=0, abs=EXACT), name


def test_perfect_inverted_and_chance():
    y = np.repeat([0, 1, 2], 20)
    perfect = metrics.scores(y, np.eye(3)[y])
    ones = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "auc_macro", "auc_pain")
    assert [perfect[m] for m in (*ones, "average_precision_macro")] == [1.0] * 7
    assert [perfect[m] for m in ("log_loss", "brier", "ece", "ece_classwise")] == [0.0] * 4
    inverted = metrics.scores(y, (1 - np.eye(3)[y]) / 2)
    assert [inverted[m] for m in ones] == [0.0] * 6
    wrong = metrics.scores(y, np.eye(3)[(y + 1) % 3])
    assert wrong["brier"] == 2.0
    assert wrong["ece"] == 1.0
    assert wrong["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps), abs=EXACT)
    flat = metrics.scores(y, np.full((60, 3), 1 / 3))
    assert flat["auc_macro"] == 0.5
    assert flat["balanced_accuracy"] == pytest.approx(1 / 3)
    assert flat["average_precision_pain"] == pytest.approx(1 / 3)
    assert flat["log_loss_gain"] == pytest.approx(0, abs=EXACT)
    assert flat["ece"] == pytest.approx(0, abs=EXACT)
    # Ties go to the lowest code: all are called pain.
    assert [flat[f"recall_{c}"] for c in CLASSES] == [1, 0, 0]
    assert flat["precision_hunger"] == 0
    assert flat["f1_hunger"] == 0


def test_golden_values():
    y = ["pain", "hunger", "hunger", "neurological"]
    p = [[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.2, 0.3, 0.5]]
    got = metrics.scores(y, p)
    hand = {
        "accuracy": 3 / 4, "majority_rate": 1 / 2, "balanced_accuracy": 5 / 6,
        "precision_macro": 5 / 6, "f1_macro": (2 / 3 + 2 / 3 + 1) / 3, "recall_hunger": 1 / 2,
        # pain .5 against .1 .6 .2; hunger .8 and .2 against .3 .3; neurological above all.
        "auc_pain": 2 / 3, "auc_hunger": 1 / 2, "auc_neurological": 1.0, "auc_macro": 13 / 18,
        "average_precision_pain": 1 / 2, "average_precision_hunger": 1 / 2 + 1 / 4,
        "log_loss": -np.log([0.5, 0.8, 0.2, 0.5]).mean(),
        "log_loss_prior": 1.5 * np.log(2),
        "brier": (0.38 + 0.06 + 1.04 + 0.38) / 4,
        # Each of four rows has a bin of its own but the two equal ones: .5, .5 both right.
        "ece": (1.0 + 0.6 + 0.2) / 4,
    }  # fmt: skip
    for name, value in hand.items():
        assert got[name] == pytest.approx(value, rel=0, abs=EXACT), name


def test_expected_calibration_error_by_hand():
    # 20 rows, 10 bins of two: the gaps of pairs, weighed by 2/20.
    confidence = np.linspace(0.5, 0.88, 20)
    right = np.tile([1, 1, 0], 7)[:20]
    y = np.where(right, 1, 0)
    y[0] = 1
    p = np.stack([(1 - confidence) * 0.6, confidence, (1 - confidence) * 0.4], axis=1)
    pairs = confidence.reshape(10, 2).mean(1) - right.reshape(10, 2).mean(1)
    ece = metrics.Scorer(y, p)(np.ones((20, 1)))[metrics.METRICS.index("ece"), 0]
    assert ece == pytest.approx(np.abs(pairs).mean(), abs=EXACT)
    table = calibration.reliability(y, p)
    assert table["n"].tolist() == [2] * 10
    assert np.allclose(table["predicted"] - table["observed"], pairs, atol=EXACT)
    gap = (table["n"] * (table["predicted"] - table["observed"]).abs()).sum() / 20
    assert gap == pytest.approx(ece, abs=EXACT)
    # Equal predictions share a bin.
    constant = calibration.reliability(y, np.tile([0.2, 0.7, 0.1], (20, 1)), "hunger")
    assert constant["n"].tolist() == [20]
    assert constant["label"].tolist() == ["hunger"]


def test_pairs_within_strata_undo_a_confound():
    # Scores that know only the stratum, in which classes differ: pooled far from chance, within at it.
    rng = np.random.default_rng(0)
    stratum = rng.integers(0, 2, 4000)
    y = np.where(rng.random(4000) < np.where(stratum, 0.8, 0.2), 0, rng.integers(1, 3, 4000))
    p = (
        rng.random((4000, 3)) * 0.1
        + np.outer(stratum, [1, -1, -1])
        + np.outer(1 - stratum, [-1, 1, 1])
    )
    assert auc.macro_auc(y, p) > 0.7
    within = auc.macro_auc(y, p, stratum)
    assert abs(within - 0.5) < 0.03  # the SD of a null AUC of these counts is below .01
    # A constant within each stratum is chance exactly.
    assert auc.macro_auc(y, np.repeat(stratum[:, None], 3, 1), stratum) == 0.5


def test_pairs_within_strata_pool_by_pairs():
    # Stratum a: 1 positive above 1 negative; b: 1 positive below 3 negatives: 1 of 4 pairs won.
    y = np.array([0, 1, 0, 1, 1, 2])
    stratum = np.array(list("aabbbb"))
    scores = np.array([2, 1, 0, 1, 1, 1])[:, None] * np.ones(3)
    assert auc.class_auc(y, scores, stratum)[0] == 1 / 4


@pytest.mark.parametrize("within", [None, "groups"])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_are_repetition(within, seed):
    rng = np.random.default_rng(seed)
    y, p = sample(80, seed, ties=bool(seed % 2))
    groups = rng.integers(0, 3, 80) if within else None
    weights = rng.integers(0, 4, 80)
    weights[:3] = 1
    rows = np.repeat(np.arange(80), weights)
    values = metrics.Scorer(y, p, pairs_within=groups)(weights[:, None].astype(float))[:, 0]
    weighted = dict(zip(metrics.METRICS, values, strict=True))
    repeated = metrics.scores(
        y[rows], p[rows], pairs_within=None if groups is None else groups[rows]
    )
    for name in metrics.METRICS:
        # Bins are cut on the rows, not on their weights, so those errors differ.
        if not name.startswith("ece"):
            assert weighted[name] == pytest.approx(repeated[name], rel=0, abs=EXACT), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), power=st.floats(0.2, 5))
def test_ranking_ignores_monotone_transforms(seed, power):
    y, p = sample(60, seed, ties=True)
    assert np.array_equal(auc.class_auc(y, p), auc.class_auc(y, p**power * 3 - 1))
    each = np.ones((60, 1))
    ranked = [auc.Ranked(y == 0, p[:, 0] ** k).average_precision(each) for k in (1, power)]
    assert np.array_equal(*ranked)
    assert np.allclose(auc.class_auc(y, -p), 1 - auc.class_auc(y, p), atol=EXACT)


def test_row_order_and_inputs_do_not_matter():
    y, p = sample(ties=True)
    y.setflags(write=False)
    p.setflags(write=False)
    order = np.random.default_rng(1).permutation(len(y))
    one, other = metrics.scores(y, p), metrics.scores(y[order], p[order])
    assert one == pytest.approx(other, abs=EXACT)
    frame = pd.DataFrame(p.astype(np.float32))
    named = pd.Series([CLASSES[k] for k in y])
    assert metrics.scores(named, frame) == pytest.approx(one, abs=1e-6)  # float32 probabilities


def test_priors_of_the_training_side():
    y, p = sample()
    priors = np.array([0.2, 0.5, 0.3])
    expected = -np.log(priors[y]).mean()
    assert metrics.scores(y, p, priors)["log_loss_prior"] == pytest.approx(expected, abs=EXACT)


GOOD = sample(30)


@pytest.mark.parametrize(
    ("y", "p", "text"),
    [
        (GOOD[0], GOOD[1][:, :2], r"shape \(30, 2\) for 30 labels"),
        (GOOD[0][:-1], GOOD[1], r"shape \(30, 3\) for 29 labels"),
        (GOOD[0], GOOD[1] * 1.01, "sums to 1 only within"),
        (GOOD[0], GOOD[1] * [1, -1, 1], "range from"),
        (GOOD[0], np.where(GOOD[1] > 0.6, np.nan, GOOD[1]), "not finite"),
        (GOOD[0] + 1, GOOD[1], r"labels hold \['3'\]"),
        (GOOD[0] + 0.5, GOOD[1], "labels hold"),
        (["cold"] * 30, GOOD[1], r"labels hold \['cold'\]"),
        ([], np.empty((0, 3)), "n at least 1"),
        (np.zeros(30, int), GOOD[1], "no hunger, neurological among 30"),
        (np.minimum(GOOD[0], 1), GOOD[1], "no neurological"),
    ],
)
def test_what_cannot_be_scored_is_refused(y, p, text):
    with pytest.raises(EvaluationError, match=text) as caught:
        metrics.scores(y, p)
    assert isinstance(caught.value, CryhearError)
    assert isinstance(caught.value, ValueError)


def test_undefined_ranking_is_refused_not_nan():
    y, p = sample(30)
    with pytest.raises(EvaluationError, match="no stratum holds both pain or hunger"):
        auc.macro_auc(y, p, y)
    with pytest.raises(EvaluationError, match="no stratum"):
        metrics.scores(y, p, pairs_within=y)
    # For draws, NaN marks what a draw leaves undefined, and only that.
    weights = np.stack([np.ones(30), (y > 0).astype(float)], axis=1)
    values = dict(zip(metrics.METRICS, metrics.Scorer(y, p)(weights), strict=True))
    assert not any(np.isnan(v[0]) for v in values.values())
    lost = {name for name, v in values.items() if np.isnan(v[1])}
    assert {"auc_macro", "auc_pain", "recall_pain", "balanced_accuracy", "f1_macro"} <= lost
    assert {"accuracy", "auc_hunger", "recall_hunger", "brier", "log_loss"}.isdisjoint(lost)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"priors": (0.5, 0.5, 0.5)}, "priors"),
        ({"pairs_within": np.zeros((30, 2))}, "Use strata"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(EvaluationError, match=text):
        metrics.scores(*GOOD, **options)


@pytest.mark.parametrize(
    ("weights", "text"),
    [(np.ones(5), r"weights have shape \(5,\)"), (-np.ones(30), "at least 0")],
)
def test_bad_weights_are_refused(weights, text):
    with pytest.raises(EvaluationError, match=text):
        auc.class_auc(*GOOD, weights=weights)


def test_strata_number_combinations():
    table = pd.DataFrame({"fold": [0, 0, 1, 1], "platform": ["", "ios", "", ""]})
    assert validation.strata(table, ["fold", "platform"]).tolist() == [0, 1, 2, 2]
    assert validation.strata(table, []).tolist() == [0] * 4
    with pytest.raises(EvaluationError, match="no column corpus"):
        validation.strata(table, ["corpus"])


def test_what_knowing_nothing_scores_depends_on_the_scoring():
    searches = pd.DataFrame(
        {"scoring": ["balanced_log_loss", "balanced_accuracy", "accuracy"], "unit": ["file"] * 3}
    )
    found = score_tables.of_knowing_nothing(searches, pd.Series({"file": 0.8}))
    assert found.tolist() == pytest.approx([-np.log(3), 1 / 3, 0.8])
