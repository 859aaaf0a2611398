"""The original's experiment: parts apart, copies in training alone, planted signal found, none made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import four_way, original
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.embedding import catalogue
from cryhear.errors import EvaluationError, SplitError
from cryhear.evaluation import score_tables
from cryhear.evaluation.bootstrap import NO_INTERVAL, PROBABILITIES
from cryhear.models import classical
from cryhear.models.estimators import probabilities

FOUND = 0.9
"""Macro AUC to be reached on a shift of 3 SD; chance is 0.5."""
SAMPLED = 0.035
"""Three standard errors of a share over some 700 training files of three rows."""
CHANCE = 0.2
"""Three standard errors of a null macro AUC on some 40 holdout recordings (Mann-Whitney, 0.07)."""


def study(shift=3.0, infants=150, seed=0, copies=2, dimension=10, altered=0.5):
    """A study set with a class signal of `shift` SD; copies are left as they are half the time."""
    rng = np.random.default_rng(seed)
    infant = np.repeat(np.arange(infants), rng.integers(1, 4, infants))
    y = infant % 3
    X = rng.normal(size=(len(y), dimension)).astype(np.float32)
    X[np.arange(len(y)), y] += shift
    changed = rng.random((copies, len(y), 1)) < altered
    noise = rng.normal(size=(copies, *X.shape)).astype(np.float32)
    made = np.where(changed, X + noise, X)
    recordings = pd.DataFrame(
        {
            "recording": [f"{i:016x}" for i in rng.permutation(len(y))],
            "infant": [f"i{i:03d}" for i in infant],
            "instance": [f"a{i:03d}" for i in infant],
            "platform": np.where(rng.random(infants) < 0.4, "ios", "android")[infant],
            "sex": "f",
            "age_band": "04",
            "level_dbfs": rng.normal(-20, 5, len(y)),
            "label": np.array(CLASSES)[y],
            "y": y,
        }
    )
    return SimpleNamespace(
        recordings=recordings, X=X, y=y, set="made", representation="made", copies=lambda: made
    )


def predictions(made, units=("file", "infant"), seed=3):
    """A logistic regression and the baselines on every split, as chapter 5 puts them together."""
    tables = []
    for split in four_way.split_all(lambda name: made, ["made"], units, seed)[0]:
        how = classical.Search(n_iter=2, seed=seed)
        found = classical.search("logistic_regression", *split.training(), how)
        p = probabilities(found.estimator, made.X)
        tables += [
            four_way.baseline_predictions(split),
            split.predictions("logistic_regression", p),
        ]
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def fitted():
    """A logistic regression on a planted signal, by file and by infant."""
    return predictions(study())


@pytest.fixture(scope="module")
def scores(fitted):
    return score_tables.scored(fitted, draws=50)


def one(scores, **where):
    (value,) = scores.loc[(scores[list(where)] == pd.Series(where)).all(axis=1), "value"]
    return value


def test_training_rows_are_plain_then_copies_of_the_training_part_alone():
    made = study()
    split = four_way.split_by(made, "infant", 1)
    X, y, infants = split.training()
    rows = split.rows("train")
    np.testing.assert_array_equal(X[: len(rows)], made.X[rows])
    np.testing.assert_array_equal(X[len(rows) : 2 * len(rows)], made.copies()[0][rows])
    assert len(X) == len(y) == len(infants) == 3 * len(rows)
    assert set(infants).isdisjoint(made.recordings["infant"][split.part != "train"])


def test_without_copies_training_is_the_plain_rows():
    made = study(copies=0)
    made.copies = lambda: np.empty((0, *made.X.shape), np.float32)
    split = four_way.split_by(made, "file", 1)
    assert len(split.training()[0]) == len(split.rows("train"))
    assert len(four_way.split_by(study(), "file", 1, augment=False).copies) == 0


def test_lottery_scores_every_split_once():
    table = four_way.lottery(study(), n=3, seed=5)
    assert table.groupby("unit").size().to_dict() == {"file": 3, "infant": 3}
    assert (table["value"] > FOUND).all()
    assert table["value"].nunique() > 1


def test_original_folds_keep_units_whole_and_name_what_was_seen():
    made = study(shift=0.0, altered=0.5)
    table = four_way.original_folds(four_way.split_by(made, "file", 1), n_iter=2)
    for protocol, unit in (("recordings", "recording"), ("infants", "infant")):
        rows = table[table["protocol"] == protocol]
        assert (rows.groupby(unit)["fold"].nunique() == 1).all()
    seen = table.groupby("protocol")["relation"].agg(set)
    assert seen["rows"] >= {"identical row", "altered copy"}
    assert seen["recordings"] <= {"same infant", "none of these"}
    assert seen["infants"] == {"none of these"}
    by = four_way.by_relation(table).set_index(["protocol", "relation"])
    # Labels are noise here, so only a row that was seen can be known.
    assert (
        by.loc[("rows", "identical row"), "accuracy"]
        > by.loc[("infants", "none of these"), "accuracy"]
    )
    assert by.groupby("protocol")["share"].sum().to_numpy() == pytest.approx(1)


def test_identical_rows_are_as_many_as_arithmetic_says():
    made = study(shift=0.0, infants=900, altered=0.5)
    split = four_way.split_by(made, "file", 1)
    rows, X, _ = four_way._rows(split)
    fold = splits.folds(rows, "row", 5, 0)
    found = np.mean(four_way.relation(rows, X, fold) == "identical row")
    extra = len(split.rows("validation")) / len(split.rows("train"))
    assert found == pytest.approx(original.identical_share(2, 0.5, 5, extra), abs=SAMPLED)


def test_predictions_cover_every_part_and_baselines_the_scored_ones(fitted):
    model = fitted[(fitted["model"] == "logistic_regression") & (fitted["unit"] == "infant")]
    assert set(model["part"]) == {"train", "validation", "test", "holdout"}
    assert model["recording"].is_unique
    lookup = fitted[fitted["model"] == "instance_lookup"]
    assert set(lookup["unit"]) == {"file"}
    assert "train" not in set(lookup["part"])
    assert np.allclose(fitted[list(PROBABILITIES)].sum(axis=1), 1, atol=1e-5)


def test_finds_what_is_planted_and_nothing_else(scores):
    where = {"protocol": "split_infant", "part": "holdout", "metric": "auc_macro"}
    assert one(scores, model="logistic_regression", **where) > FOUND
    nothing = score_tables.scored(predictions(study(shift=0.0), ["infant"]), draws=50)
    assert abs(one(nothing, model="logistic_regression", **where) - 0.5) < CHANCE


def test_a_refused_unit_is_named_and_the_other_is_split():
    few = study(infants=12, seed=1)
    few.recordings["infant"] = "i" + few.recordings["y"].astype(str)
    made, refused = four_way.split_all(lambda name: few, ["made", "made"], ["file", "infant"])
    assert set(refused) == {"infant"}
    assert "infants" in refused["infant"]
    assert [split.unit for split in made] == ["file", "file"]
    with pytest.raises(SplitError, match="infants"):
        four_way.split_all(lambda name: few, ["made"], ["infant"])


def test_cells_with_too_few_infants_keep_their_value_without_an_interval():
    made = study(infants=150)
    split = four_way.split_by(made, "infant", 1)
    table = split.predictions("m", np.eye(3)[made.y], parts=["test"])
    table["infant"] = "i" + table["label"]  # one infant a class: most draws lack a class
    accuracy = score_tables.scored(table, draws=100).query("metric == 'accuracy'").iloc[0]
    assert accuracy["value"] == 1.0
    assert np.isnan(accuracy["low"])
    assert accuracy["interval"] == NO_INTERVAL
    assert np.isnan(score_tables.keyed(table.assign(**accuracy[["metric", "value", "low", "high", "n"]]),
                                       ["accuracy"])["low"]).all()  # fmt: skip


def test_validation_alone_chooses(scores):
    other = scores.assign(model=scores["model"].replace("logistic_regression", "other"))
    other["value"] = np.where(other["part"] == "validation", 0.0, 1.0)
    both = pd.concat([scores, other[other["model"] == "other"]])
    assert score_tables.choose(both, "split_file")["model"] == "logistic_regression"
    with pytest.raises(EvaluationError, match="under split_month"):
        score_tables.choose(scores, "split_month")


def test_comparison_shows_the_majority_rate_and_what_was_not_run(scores):
    cell = scores[(scores["protocol"] == "split_file") & (scores["part"] == "test")]
    table = score_tables.comparison(cell, absent=score_tables.absent(["made"]))
    assert {"accuracy", "majority_rate"} <= set(table)
    assert table.iloc[-1].to_dict()["representation"] == "hear"
    assert table["model"].iloc[-1] == catalogue.NOT_RUN
    assert score_tables.absent(["hear-pytorch"]) == []


def test_scores_have_keys_of_the_ledger(scores):
    keyed = score_tables.keyed(scores, ["accuracy", "auc_macro"])
    assert keyed.index.is_unique
    row = keyed.loc["infant_made_logistic_regression_holdout_accuracy"]
    cell = {"protocol": "split_infant", "model": "logistic_regression", "part": "holdout"}
    assert row["value"] == one(scores, metric="accuracy", **cell)
    assert row["unit"] == "share"
    assert keyed.loc["file_majority_test_auc_macro", "unit"] == "score"
    short = score_tables.keyed(scores, ["accuracy"], drop=("protocol", "representation"))
    assert "logistic_regression_holdout_accuracy" in short.index


def test_a_choice_stands_beside_its_baseline(scores, fitted):
    table = score_tables.choices(scores, fitted, "test")
    cell = {"part": "test", "metric": "balanced_accuracy"}
    for unit, rival in score_tables.RIVALS.items():
        mine, theirs = (
            one(scores, protocol=f"split_{unit}", model=model, **cell)
            for model in ("logistic_regression", rival)
        )
        assert table.loc[f"{unit}_test_balanced_accuracy", "value"] == mine
        assert table.loc[f"{unit}_test_rival", "value"] == theirs
        assert table.loc[f"{unit}_test_gain", "value"] == pytest.approx(mine - theirs)
        assert table.loc[f"{unit}_test_gain", "low"] > 0
    alone = scores[scores["protocol"] == "split_infant"]
    assert not score_tables.choices(alone, fitted, "test").index.str.startswith("file").any()


def test_a_choice_without_an_interval_keeps_its_difference(fitted):
    few = fitted.assign(infant="i" + fitted["label"])
    table = score_tables.choices(score_tables.scored(few, draws=50), few, "test")
    gain, rival = table.loc["infant_test_gain"], table.loc["infant_test_rival", "value"]
    mine = table.loc["infant_test_balanced_accuracy", "value"]
    assert gain["value"] == pytest.approx(mine - rival)
    assert np.isnan(gain["low"])
