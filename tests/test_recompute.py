"""Headline numbers computed again from the published predictions, without a line of `cryhear`.

Only pandas, numpy and scikit-learn: what a reader with the two published files could write.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

FOLDER = Path(__file__).parents[1] / "book" / "chapters" / "09_leakage"
CLASSES = ["pain", "hunger", "neurological"]
P = [f"p_{name}" for name in CLASSES]
SAME = 1e-6  # published probabilities are float32: equal scores may part by rounding, no more


@pytest.fixture(scope="module")
def published():
    """The published predictions and numbers of chapter 9."""
    content = json.loads((FOLDER / "ledger.json").read_text(encoding="utf-8"))
    return pd.read_parquet(FOLDER / "predictions.parquet"), content


def cell(table, content, protocol, number=0, model="logistic_regression", representation=None):
    """Rows of one cell: plain recordings of the set of this number, by default the primary sound."""
    parameters = content["parameters"]
    named = [parameters["set"], *(s for s in parameters["sets"] if s != parameters["set"])]
    wanted = {
        "set": named[number], "protocol": protocol, "part": "oof", "model": model,
        "representation": representation or parameters["representations"][0],
    }  # fmt: skip
    for column, value in wanted.items():
        table = table[table[column] == value]
    assert len(table), f"no published prediction of {wanted}"
    return table


def class_auc(rows, name):
    """AUC of one class against the rest over pairs of one fold and platform, all strata together."""
    won = pairs = 0.0
    for _, stratum in rows.groupby(["fold", "platform"]):
        positive = stratum["label"] == name
        n = int(positive.sum()) * int((~positive).sum())
        if n:
            won += n * roc_auc_score(positive, stratum[f"p_{name}"].astype(float))
            pairs += n
    return won / pairs


def auc(rows, names=CLASSES):
    """Mean over classes in each repeat, then over repeats."""
    by_repeat = [
        np.mean([class_auc(repeat, name) for name in names]) for _, repeat in rows.groupby("repeat")
    ]
    return float(np.mean(by_repeat))


def balanced(rows):
    """Mean recall of the commonest guess in each repeat, then over repeats."""
    by_repeat = [
        balanced_accuracy_score(r["label"], np.array(CLASSES)[r[P].to_numpy().argmax(axis=1)])
        for _, r in rows.groupby("repeat")
    ]
    return float(np.mean(by_repeat))


def test_nothing_of_the_library_is_used():
    source = Path(__file__).read_text(encoding="utf-8")
    assert not any(
        line.startswith(("import cryhear", "from cryhear")) for line in source.splitlines()
    )


def test_every_recording_is_predicted_once_a_repeat_and_no_infant_is_split(published):
    rows = cell(*published, "primary")
    assert rows.groupby("repeat")["recording"].apply(lambda r: r.is_unique).all()
    assert rows.groupby("repeat")["recording"].apply(frozenset).nunique() == 1
    assert (rows.groupby(["repeat", "infant"])["fold"].nunique() == 1).all()
    assert (
        len(rows) == published[1]["numbers"]["n"]["value"] * published[1]["parameters"]["repeats"]
    )
    np.testing.assert_allclose(rows[P].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["auc", "auc_pain", "auc_hunger", "auc_neurological"])
def test_the_primary_estimate(published, name):
    table, content = published
    names = CLASSES if name == "auc" else [name.removeprefix("auc_")]
    found = auc(cell(table, content, "primary"), names)
    assert found == pytest.approx(content["numbers"][name]["value"], abs=SAME)


@pytest.mark.parametrize("rung", ["l0", "l1", "l2", "l3", "l4"])
def test_the_ladder(published, rung):
    table, content = published
    found = auc(cell(table, content, rung.upper()))
    assert found == pytest.approx(content["numbers"][f"auc_{rung}"]["value"], abs=SAME)


def test_the_ladder_of_the_other_set(published):
    table, content = published
    other = next(s for s in content["parameters"]["sets"] if s != content["parameters"]["set"])
    for rung in ("l1", "l3"):
        found = auc(cell(table, content, rung.upper(), number=1))
        assert found == pytest.approx(content["numbers"][f"auc_{rung}_{other}"]["value"], abs=SAME)


def test_the_inflation(published):
    table, content = published
    base = auc(cell(table, content, "L3"))
    for rung in ("l0", "l1", "l2"):
        found = auc(cell(table, content, rung.upper())) - base
        assert found == pytest.approx(content["numbers"][f"inflation_{rung}_l3"]["value"], abs=SAME)


def test_balanced_accuracy_and_the_lookup_that_hears_nothing(published):
    table, content = published
    numbers = content["numbers"]
    found = balanced(cell(table, content, "primary"))
    assert found == pytest.approx(numbers["balanced_accuracy"]["value"], abs=SAME)
    lookup = cell(table, content, "L2", model="instance_lookup", representation="none")
    assert balanced(lookup) == pytest.approx(numbers["lookup_balanced"]["value"], abs=SAME)
    assert auc(lookup) == pytest.approx(numbers["lookup_auc"]["value"], abs=SAME)


def test_p_follows_from_the_published_null(published):
    _, content = published
    null = pd.read_csv(FOLDER / "tables" / "null.csv")
    drawn, observed = null["auc"].iloc[1:], null["auc"].iloc[0]
    p = (1 + (drawn >= observed).sum()) / (1 + len(drawn))
    assert p == pytest.approx(content["numbers"]["p"]["value"], abs=1e-12)
    assert observed == pytest.approx(content["numbers"]["auc"]["value"], abs=1e-12)
