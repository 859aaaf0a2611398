"""The original's experiment: parts apart, copies in training alone, planted signal found, none made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import four_way, original, original_folds
from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.embedding import catalogue
from cryhear.errors import EvaluationError, SplitError
from cryhear.evaluation import score_tables
from cryhear.evaluation.bootstrap import NO_INTERVAL, PROBABILITIES
from cryhear.files import read_table, write_table
from cryhear.study.ledger import Ledger

FOUND = 0.9
"""Macro AUC to be reached on a shift of 3 SD; chance is 0.5."""
SAMPLED = 0.035
"""Three standard errors of a share over some 700 training files of three rows."""
CHANCE = 0.2
"""Three standard errors of a null macro AUC on some 40 holdout recordings (Mann-Whitney, 0.07)."""
PRINTED = 6e-5
"""The original prints four decimals: half a unit of the last, and a little."""
ROUNDED = 6e-3
"""The same for two decimals."""


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


@pytest.fixture(scope="module")
def fitted():
    """A logistic regression on a planted signal, by file and by infant."""
    fit = four_way.classical_fit(["logistic_regression"], n_iter=2)
    made = study()
    return four_way.experiment(lambda representation: made, ["made"], ["file", "infant"], fit, 3)


def test_training_rows_are_plain_then_copies_of_the_training_part_alone():
    made = study()
    split = four_way.deal(made, "infant", 1)
    X, y, infants = split.training()
    rows = split.rows("train")
    np.testing.assert_array_equal(X[: len(rows)], made.X[rows])
    np.testing.assert_array_equal(X[len(rows) : 2 * len(rows)], made.copies()[0][rows])
    assert len(X) == len(y) == len(infants) == 3 * len(rows)
    assert set(infants).isdisjoint(made.recordings["infant"][split.part != "train"])


def test_without_copies_training_is_the_plain_rows():
    made = study(copies=0)
    made.copies = lambda: np.empty((0, *made.X.shape), np.float32)
    split = four_way.deal(made, "file", 1)
    assert len(split.training()[0]) == len(split.rows("train"))
    assert len(four_way.deal(study(), "file", 1, augment=False).copies) == 0


def test_predictions_cover_every_part_and_baselines_the_scored_ones(fitted):
    table = fitted.tables["predictions"]
    model = table[(table["model"] == "logistic_regression") & (table["unit"] == "infant")]
    assert set(model["part"]) == {"train", "validation", "test", "holdout"}
    assert model["recording"].is_unique
    lookup = table[table["model"] == "instance_lookup"]
    assert set(lookup["unit"]) == {"file"}
    assert "train" not in set(lookup["part"])
    assert np.allclose(table[list(PROBABILITIES)].sum(axis=1), 1, atol=1e-5)
    assert (fitted.tables["search"].groupby("unit")["candidate"].nunique() == 2).all()


def test_finds_what_is_planted_and_nothing_else(fitted):
    scores = score_tables.scored(fitted.tables["predictions"], draws=50)
    where = {"protocol": "split_infant", "part": "holdout", "metric": "auc_macro"}
    assert score_tables.one(scores, model="logistic_regression", **where) > FOUND
    null = study(shift=0.0)
    fit = four_way.classical_fit(["logistic_regression"], n_iter=2)
    nothing = four_way.experiment(lambda representation: null, ["made"], ["infant"], fit, 3)
    scores = score_tables.scored(nothing.tables["predictions"], draws=50)
    assert abs(score_tables.one(scores, model="logistic_regression", **where) - 0.5) < CHANCE


def test_a_refused_unit_is_named_and_the_other_runs():
    few = study(infants=12, seed=1)
    fit = four_way.classical_fit(["logistic_regression"], n_iter=1)
    few.recordings["infant"] = "i" + few.recordings["y"].astype(str)

    def constant(split):
        return {"predictions": split.predictions("flat", np.full((len(few.y), 3), 1 / 3), "made")}

    found = four_way.experiment(lambda representation: few, ["made"], ["file", "infant"], constant)
    assert set(found.refused) == {"infant"}
    assert "infants" in found.refused["infant"]
    assert set(found.tables["predictions"]["unit"]) == {"file"}
    with pytest.raises(SplitError, match="infants"):
        four_way.experiment(lambda representation: few, ["made"], ["infant"], fit)


def test_cells_with_too_few_infants_keep_their_value_without_an_interval():
    made = study(infants=150)
    split = four_way.deal(made, "infant", 1)
    table = split.predictions("m", np.eye(3)[made.y], "made", ["test"])
    table["infant"] = "i" + table["label"]  # one infant a class: most draws lack a class
    scores = score_tables.scored(table, draws=100)
    accuracy = scores[scores["metric"] == "accuracy"].iloc[0]
    assert accuracy["value"] == 1.0
    assert np.isnan(accuracy["low"])
    assert accuracy["interval"] == NO_INTERVAL


def test_validation_alone_chooses(fitted):
    scores = score_tables.scored(fitted.tables["predictions"], draws=50)
    other = scores.assign(model=scores["model"].replace("logistic_regression", "other"))
    other["value"] = np.where(other["part"] == "validation", 0.0, 1.0)
    both = pd.concat([scores, other[other["model"] == "other"]])
    assert score_tables.choose(both, "split_file")["model"] == "logistic_regression"
    with pytest.raises(EvaluationError, match="under split_month"):
        score_tables.choose(scores, "split_month")


def test_comparison_shows_the_majority_rate_and_what_was_not_run(fitted):
    scores = score_tables.scored(fitted.tables["predictions"], draws=50)
    cell = scores[(scores["protocol"] == "split_file") & (scores["part"] == "test")]
    table = score_tables.comparison(cell, absent=score_tables.absent(["made"]))
    assert {"accuracy", "majority_rate"} <= set(table)
    assert table.iloc[-1].to_dict()["representation"] == "hear"
    assert table["model"].iloc[-1] == catalogue.NOT_RUN
    assert score_tables.absent(["hear-pytorch"]) == []
    with pytest.raises(EvaluationError, match="expected one"):
        score_tables.one(scores, metric="accuracy")


def test_record_and_quote(fitted):
    scores = score_tables.scored(fitted.tables["predictions"], draws=50)
    ledger = Ledger("05_classical")
    run, numbers = SimpleNamespace(interval=ledger.interval, ledger=ledger), ledger.numbers
    score_tables.record(run, scores, ["accuracy"])
    key = "infant_made_logistic_regression_holdout_accuracy"
    assert numbers[key]["unit"] == "share"
    assert "file_majority_test_accuracy" in numbers
    assert score_tables.quote(run, key) == f"{{num}}`classical.{key} ci`"
    numbers["plain"] = {"unit": "score"}
    assert score_tables.quote(run, "plain") == "{num}`classical.plain`"


def test_lottery_scores_every_split_once():
    table = four_way.lottery(study(), n=3, seed=5)
    assert table.groupby("unit").size().to_dict() == {"file": 3, "infant": 3}
    assert (table["value"] > FOUND).all()
    assert table["value"].nunique() > 1


def test_the_originals_search_of_two_models_votes_and_can_be_written(tmp_path):
    data = study(infants=30)
    fit = four_way.classical_fit(["random_forest", "gradient_boosting"], "original", n_iter=1)
    found = four_way.experiment(lambda representation: data, ["made"], ["file"], fit)
    rows = found.tables["predictions"].set_index("model")[list(PROBABILITIES)]
    members = [rows.loc[name] for name in ("random_forest", "gradient_boosting")]
    vote = rows.loc["soft_voting"]
    np.testing.assert_allclose(vote, np.mean(members, axis=0), atol=1e-7)  # float32, about 1
    write_table(tmp_path / "search.parquet", found.tables["search"])
    depths = read_table(tmp_path / "search.parquet")["param_max_depth"]
    assert set(depths) <= {"3", "5", "10", "20", "None"}


def test_original_folds_keep_units_whole_and_name_what_was_seen():
    made = study(shift=0.0, altered=0.5)
    table = original_folds.original_folds(four_way.deal(made, "file", 1), n_iter=2)
    for protocol, unit in (("recordings", "recording"), ("infants", "infant")):
        rows = table[table["protocol"] == protocol]
        assert (rows.groupby(unit)["fold"].nunique() == 1).all()
    seen = table.groupby("protocol")["relation"].agg(set)
    assert seen["rows"] >= {"identical row", "altered copy"}
    assert seen["recordings"] <= {"same infant", "none of these"}
    assert seen["infants"] == {"none of these"}
    by = original_folds.by_relation(table).set_index(["protocol", "relation"])
    # Labels are noise here, so only a row that was seen can be known.
    assert (
        by.loc[("rows", "identical row"), "accuracy"]
        > by.loc[("infants", "none of these"), "accuracy"]
    )
    assert by.groupby("protocol")["share"].sum().to_numpy() == pytest.approx(1)


def test_identical_rows_are_as_many_as_arithmetic_says():
    made = study(shift=0.0, infants=900, altered=0.5)
    split = four_way.deal(made, "file", 1)
    rows, X, _ = original_folds._rows(split)
    fold = splits.folds(rows, "row", 5, 0)
    found = np.mean(original_folds.relation(rows, X, fold) == "identical row")
    extra = len(split.rows("validation")) / len(split.rows("train"))
    assert found == pytest.approx(original.identical_share(2, 0.5, 5, extra), abs=SAMPLED)


def test_by_infant_predicts_everyone_once_a_repeat():
    made = study()
    folds = splits.repeated_folds(made.recordings, "infant", 3, 2, 0)
    table = original_folds.by_infant(made, ["logistic_regression"], folds, mlp=False, n_jobs=1)
    counts = table.groupby(["model", "repeat"])["recording"].agg(["size", "nunique"])
    assert (counts == len(made.y)).all().all()
    assert set(table["model"]) == {"logistic_regression", "majority", "stratified", "metadata"}
    scores = score_tables.scored(table, draws=50, within=("platform",))
    value = score_tables.one(scores, model="logistic_regression", metric="auc_macro")
    assert value > FOUND


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


def test_report_chooses_records_and_concludes(fitted):
    ledger = Ledger("05_classical")
    run = SimpleNamespace(
        number=ledger.number, interval=ledger.interval, conclude=ledger.conclude, ledger=ledger
    )
    scores = score_tables.scored(fitted.tables["predictions"], draws=50)
    table = fitted.tables["predictions"]
    none = scores[scores["protocol"] == "split_infant"]
    score_tables.verdict(run, none, table, "test", {"file": "too few"})
    assert ledger.numbers["infant_test_gain"]["low"] > 0
    assert ledger.numbers["infant_model"]["value"] == "logistic regression"
    assert ledger.numbers["conclusion_infant"]["holds"] is True
    assert (
        "{num}`classical.infant_test_auc_macro ci`" in ledger.numbers["conclusion_infant"]["value"]
    )
    assert "too few" in ledger.numbers["conclusion_file"]["value"]
    assert ledger.numbers["verdict"]["value"].endswith("where parts were dealt by infant.")
    assert ledger.numbers["conclusion_infant"]["value"].startswith("Dealt by infant, hearing")


def test_guessing_loss_is_that_of_torch():
    torch = pytest.importorskip("torch")
    labels = pd.Series(["pain"] * 2 + ["hunger"] * 7 + ["neurological"])
    weight = torch.tensor([10 / 6, 10 / 21, 10 / 3])
    y = torch.tensor([0] * 2 + [1] * 7 + [2])
    loss = torch.nn.CrossEntropyLoss(weight, label_smoothing=0.1)(torch.zeros(10, 3), y)
    assert four_way.guessing_loss(labels) == pytest.approx(float(loss), abs=1e-6)  # float32
