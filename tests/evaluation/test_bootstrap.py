"""The bootstrap against a loop over scikit-learn, and its rules on repeats, folds and pairing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from test_metrics_and_tables import EXACT, by_sklearn, sample

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation import auc, bands, bootstrap, metrics, validation
from cryhear.evaluation.metrics import binned, calibration_pair

P = list(bootstrap.PROBABILITIES)


def predictions(
    n: int = 120, models: int = 2, repeats: int = 1, seed: int = 0, ties: bool = False
) -> pd.DataFrame:
    """A table of out-of-fold predictions on infants of one to some recordings."""
    rng = np.random.default_rng(seed)
    infant = rng.integers(0, n // 2, n)
    y, _ = sample(n, seed)
    tables = []
    for model in range(models):
        for repeat in range(repeats):
            _, p = sample(n, seed, ties)
            p = p[rng.permutation(n)] * 0.5 + p * 0.5 if model or repeat else p
            table = pd.DataFrame(p, columns=P).assign(
                recording=[f"r{i:04d}" for i in range(n)],
                infant=[f"i{i:03d}" for i in infant],
                label=np.array(CLASSES, dtype=object)[y],
                set="uploads", protocol="L3", part="oof", representation="yamnet",
                model=f"model{model}", repeat=repeat,
                fold=rng.permutation(5)[infant % 5] if repeat else infant % 5,
                platform=np.where(infant % 3, "ios", "android"),
            )  # fmt: skip
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def naive(table: pd.DataFrame, within: tuple[str, ...], draws: int, seed: int) -> np.ndarray:
    """Metrics of each draw by drawing rows and calling scikit-learn: (metrics, draws)."""
    weights = bootstrap.draw_weights(table["infant"], draws, seed)
    y, p = validation.validate(table["label"], table[P])
    groups = validation.strata(table, ["fold", *within])
    out = []
    for column in weights.T.astype(int):
        rows = np.repeat(np.arange(len(y)), column)
        values = by_sklearn(y[rows], p[rows], groups[rows])
        for label in (None, *CLASSES):
            # Bins are those of all rows.
            predicted, observed = calibration_pair(y, p, label)
            gaps = binned(predicted)[rows].T @ (predicted - observed)[rows]
            values[f"ece_{label}" if label else "ece"] = np.abs(gaps).sum() / len(rows)
        values["ece_classwise"] = np.mean([values[f"ece_{c}"] for c in CLASSES])
        out.append([values[m] for m in metrics.METRICS])
    return np.array(out).T


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("within", [(), ("platform",)])
def test_bootstrap_equals_a_loop_over_scikit_learn(ties, within):
    table = predictions(ties=ties)
    got = bootstrap.bootstrap(table, draws=6, seed=3, within=within)
    for model in ("model0", "model1"):
        rows = table[table["model"] == model]
        loop = naive(rows, within, 6, 3)
        mine = got[got["model"] == model].set_index("metric")
        assert mine.index.tolist() == list(metrics.METRICS)
        assert np.allclose(mine["low"], np.quantile(loop, 0.025, axis=1), rtol=0, atol=EXACT)
        assert np.allclose(mine["high"], np.quantile(loop, 0.975, axis=1), rtol=0, atol=EXACT)
        assert np.allclose(mine["se"], loop.std(1, ddof=1), rtol=0, atol=EXACT)
        assert (mine["undefined"] == 0).all()
        y, p = validation.validate(rows["label"], rows[P])
        whole = metrics.scores(y, p, pairs_within=validation.strata(rows, ["fold", *within]))
        assert mine["value"].to_dict() == pytest.approx(whole, rel=0, abs=EXACT)
    assert set(got["interval"]) == {"test-sampling only"}


def test_every_model_has_every_metric():
    got = bootstrap.bootstrap(predictions(300, models=10), draws=50, seed=0)
    assert len(got) == 10 * len(metrics.METRICS)
    assert not got.isna().any(axis=None)


def test_draws_are_whole_infants():
    weights = bootstrap.draw_weights(list("aabbbc"), 500, 1)
    assert weights.shape == (6, 500)
    assert np.array_equal(weights, weights.round())
    assert np.array_equal(weights[0], weights[1])
    assert np.array_equal(weights[2], weights[4])
    assert (weights[[0, 2, 5]].sum(0) == 3).all()
    assert np.abs(weights.mean(1) - 1).max() < 0.15  # SE of a mean of 500 is about .04
    assert np.array_equal(weights, bootstrap.draw_weights(list("aabbbc"), 500, 1))
    assert not np.array_equal(weights, bootstrap.draw_weights(list("aabbbc"), 500, 2))


def test_the_interval_is_wider_over_infants_than_over_recordings_when_infants_agree():
    # Each recording four times over: infants then hold four copies.
    table = pd.concat([predictions(models=1)] * 4, ignore_index=True)
    table["infant"] = table["recording"]
    table["recording"] = [f"r{i}" for i in range(len(table))]
    one = bootstrap.bootstrap(table, 500, 0).set_index("metric")["se"]
    each = table.assign(infant=table["recording"])
    other = bootstrap.bootstrap(each, 500, 0).set_index("metric")["se"]
    # Four copies hold the information of one: twice the standard error.
    assert one["accuracy"] / other["accuracy"] == pytest.approx(2, rel=0.15)


def test_repeats_are_scored_apart_and_averaged():
    table = predictions(models=1, repeats=3)
    got = bootstrap.repeated_scores(table, within=("platform",)).set_index("metric")
    single = [
        metrics.scores(
            *validation.validate(rows["label"], rows[P]),
            pairs_within=validation.strata(rows, ["fold", "platform"]),
        )
        for _, rows in table.groupby("repeat")
    ]
    expected = pd.DataFrame(single)
    assert got["value"].to_dict() == pytest.approx(expected.mean().to_dict(), abs=EXACT)
    assert got["sd"].to_dict() == pytest.approx(expected.std().to_dict(), abs=EXACT)
    assert (got["repeats"] == 3).all()
    assert (got["n"] == 120).all()
    pooled = table.groupby("recording")[P].mean()
    y = validation.codes(table.drop_duplicates("recording").set_index("recording")["label"])
    # Averaging probabilities first is another score; the comparison tells them apart.
    assert abs(metrics.scores(y, pooled)["log_loss"] - got.loc["log_loss", "value"]) > 1e-4
    booted = bootstrap.bootstrap(table, 50, 0, within=("platform",)).set_index("metric")
    assert booted["value"].to_dict() == pytest.approx(got["value"].to_dict(), abs=EXACT)


def test_fold_offsets_do_not_reach_the_auc():
    table = predictions(models=1)
    plain = bootstrap.repeated_scores(table).set_index("metric")["value"]
    shift = 1 / (1 + table["fold"].to_numpy()[:, None])
    p = table[P].to_numpy() * np.hstack([shift, np.ones((120, 2))])
    # Pain's probability scaled by a factor a fold: its order within folds stays.
    moved = table.assign(p_pain=p[:, 0], p_hunger=1 - p[:, 0] - table["p_neurological"] * 0.5)
    moved["p_neurological"] = 1 - moved["p_pain"] - moved["p_hunger"]
    y = validation.codes(table["label"])
    assert (
        bootstrap.repeated_scores(moved).set_index("metric")["value"]["auc_pain"]
        == plain["auc_pain"]
    )
    assert auc.class_auc(y, moved[P])[0] != auc.class_auc(y, table[P])[0]


def test_infant_weighting():
    table = predictions(models=1)
    got = bootstrap.bootstrap(table, 50, weighting="infant").set_index("metric")["value"]
    right = table[P].to_numpy().argmax(1) == validation.codes(table["label"])
    by_infant = pd.Series(right).groupby(table["infant"].to_numpy()).mean()
    assert got["accuracy"] == pytest.approx(by_infant.mean(), abs=EXACT)


def test_scores_by_fold():
    table = predictions(400, models=1)
    got = bootstrap.repeated_scores(table, by=["model", "fold"])
    accuracy = got[got["metric"] == "accuracy"]
    assert accuracy["fold"].tolist() == list(pd.unique(table["fold"]))
    assert accuracy["n"].sum() == 400
    assert got["sd"].isna().all()


def test_differences_are_paired():
    table = predictions()
    table = pd.concat([table, table.assign(protocol="L1", p_pain=table["p_pain"])])
    same = bootstrap.paired_difference(table, "protocol", "L3", 200, 0)
    # The same predictions under another name: nothing between them, in every draw.
    assert set(same["protocol"]) == {"L1"}
    assert set(same["reference"]) == {"L3"}
    assert (same[["value", "low", "high", "se"]] == 0).all(axis=None)
    models = bootstrap.paired_difference(table, "model", "model0", 200, 0, within=("platform",))
    one = bootstrap.bootstrap(table, 200, 0, within=("platform",))
    value = one.pivot_table(index=["protocol", "metric"], columns="model", values="value")
    expected = value["model1"] - value["model0"]
    got = models.set_index(["protocol", "metric"])["value"]
    assert np.allclose(got, expected.loc[got.index], atol=EXACT)
    # Paired draws: narrower than two independent intervals would be.
    se = one.pivot_table(index=["protocol", "metric"], columns="model", values="se")
    independent = np.hypot(se["model0"], se["model1"])
    paired = models.set_index(["protocol", "metric"])["se"]
    assert paired["L3", "accuracy"] < independent["L3", "accuracy"]
    assert paired["L3", "majority_rate"] == 0
    two = bootstrap.paired_difference(table, ("model", "protocol"), ("model0", "L3"), 50, 0)
    assert len(two) == 3 * len(metrics.METRICS)


def test_differences_refuse_other_infants_and_missing_references():
    table = predictions(models=1)
    fewer = table[table["infant"] != table["infant"].iloc[0]].assign(protocol="L1")
    with pytest.raises(EvaluationError, match=r"infants and its reference.*of them shared"):
        bootstrap.paired_difference(pd.concat([table, fewer]), "protocol", "L3", 50)
    with pytest.raises(EvaluationError, match="no cell has a reference"):
        bootstrap.paired_difference(table, "protocol", "L9", 50)
    with pytest.raises(EvaluationError, match="as many values as columns"):
        bootstrap.paired_difference(table, ("protocol", "model"), "L3", 50)


def test_undefined_draws_are_counted_and_too_many_are_refused():
    # Five pain infants of 400: a draw lacks them with probability e^-5, two of 300.
    y = np.r_[np.zeros(5), np.ones(350), np.full(45, 2)].astype(int)
    table = predictions(400, models=1).assign(
        label=np.array(CLASSES, dtype=object)[y], infant=[f"i{k}" for k in range(400)], fold=0
    )
    got = bootstrap.bootstrap(table, 1000, 0).set_index("metric")
    assert 0 < got.loc["recall_pain", "undefined"] <= 50
    assert got.loc["accuracy", "undefined"] == 0
    assert not got["low"].isna().any()
    table.loc[2:4, "label"] = "hunger"
    with pytest.raises(EvaluationError, match="Too few infants of a class"):
        bootstrap.bootstrap(table, 1000, 0)
    band = bands.roc_band(table, 300).groupby("label")
    assert band["true_positive_rate"].count().eq(bands.POINTS).all()
    assert band["low"].count().to_dict() == {
        "pain": 0, "hunger": bands.POINTS, "neurological": bands.POINTS, "macro": 0,
    }  # fmt: skip
    assert set(band.get_group("pain")["interval"]) == {bootstrap.NO_INTERVAL}


def test_bad_tables_are_refused():
    table = predictions(models=1)
    with pytest.raises(EvaluationError, match=r"lack columns \['fold'\]"):
        bootstrap.bootstrap(table.drop(columns="fold"), 10)
    with pytest.raises(EvaluationError, match=r"lack columns \['corpus'\]"):
        bootstrap.bootstrap(table, 10, within=("corpus",))
    with pytest.raises(EvaluationError, match="weighting 'clip'"):
        bootstrap.bootstrap(table, 10, weighting="clip")
    with pytest.raises(EvaluationError, match="no column size"):
        bootstrap.bootstrap(table, 10, by=["size"])
    with pytest.raises(EvaluationError, match=r"model0.*no pain"):
        bootstrap.bootstrap(table[table["label"] != "pain"], 10)
    with pytest.raises(EvaluationError, match="several values of model"):
        bands.roc_band(predictions(models=2), 10)
    with pytest.raises(EvaluationError, match="0 rows"):
        bootstrap.repeated_scores(table.iloc[:0])


def test_roc_band_has_the_area_of_the_auc():
    table = predictions(600, models=1, repeats=2)
    band = bands.roc_band(table, 200, 0, within=("platform",))
    scores = bootstrap.repeated_scores(table, within=("platform",)).set_index("metric")["value"]
    assert band["label"].unique().tolist() == [*CLASSES, "macro"]
    assert len(band) == 4 * bands.POINTS
    for label, curve in band.groupby("label"):
        area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
        # A grid of 101 points takes a step at its highest: at most a grid step more in all.
        assert area == pytest.approx(scores[f"auc_{label}"], abs=0.01)
        assert curve["true_positive_rate"].is_monotonic_increasing
        assert curve["true_positive_rate"].iloc[-1] == pytest.approx(1, abs=EXACT)
        assert (curve["low"] <= curve["high"] + EXACT).all()
        middle = curve[curve["false_positive_rate"].between(0.1, 0.9)]
        assert (middle["low"] <= middle["true_positive_rate"]).mean() > 0.9


def test_curves_by_hand():
    table = predictions(6, models=1).assign(
        label=["pain", "hunger", "pain", "neurological", "hunger", "neurological"],
        infant=list("abcdef"), fold=0,
        p_pain=[0.9, 0.8, 0.7, 0.1, 0.1, 0.1], p_hunger=0.05,
    )  # fmt: skip
    table["p_neurological"] = 1 - table["p_pain"] - table["p_hunger"]
    table = pd.concat([table] * 40, ignore_index=True)  # so that no draw lacks a class
    table["infant"] = table["recording"] = [f"i{k}" for k in range(240)]
    roc = bands.roc_band(table, 20).query("label == 'pain'").set_index("false_positive_rate")
    assert roc.loc[[0.0, 0.25, 1.0], "true_positive_rate"].tolist() == [0.5, 1.0, 1.0]
    pr = bands.pr_band(table, 20).query("label == 'pain'").set_index("recall")
    assert pr.loc[[0.0, 0.5, 1.0], "precision"].tolist() == pytest.approx([1.0, 1.0, 2 / 3])
    assert pr.loc[0.51, "precision"] == pytest.approx(2 / 3)


def test_intervals_of_draws():
    draws = np.vstack([np.arange(101.0), np.where(np.arange(101) < 4, np.nan, 7.0)])
    low, high, se, undefined = bootstrap.interval_of(draws)
    assert low.tolist() == pytest.approx([2.5, 7])
    assert high.tolist() == pytest.approx([97.5, 7])
    assert undefined.tolist() == [0, 4]
    assert se.tolist() == pytest.approx([np.std(np.arange(101), ddof=1), 0])


def test_draws_of_repeats_are_averaged_over_the_same_infants():
    table = predictions(models=1, repeats=3)
    got = bootstrap.bootstrap(table, 20, 5).set_index("metric")
    each = []
    for _, rows in table.groupby("repeat"):
        score = metrics.Scorer(
            *validation.validate(rows["label"], rows[P]), pairs_within=rows["fold"].to_numpy()
        )
        each.append(score(bootstrap.draw_weights(rows["infant"], 20, 5)))
    low, high, se, _ = bootstrap.interval_of(np.mean(each, axis=0))
    for column, expected in (("low", low), ("high", high), ("se", se)):
        assert np.allclose(got[column], expected, rtol=0, atol=EXACT), column
