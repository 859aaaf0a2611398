"""Neighbours of embeddings whose answer is known, and what else a chapter looks at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import exploration
from cryhear.embedding.tables import StudySet
from cryhear.errors import EvaluationError

SAMPLING = 0.06
"""Four standard errors of a purity over 300 independent rows of 5 neighbours at chance 0.5."""


def blobs(n: int = 60, d: int = 8, gap: float = 6.0, seed: int = 0):
    """Two groups of points `gap` apart (0: none), infants of three recordings each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(["hunger", "pain"], n // 2)
    X = rng.normal(size=(n, d)).astype(np.float32)
    X[:, 0] += gap * (labels == "pain")
    return X, labels, np.repeat(np.arange(n // 3), 3)


def test_purity_is_one_where_groups_are_apart_and_chance_where_not() -> None:
    X, labels, _ = blobs()
    X[:, 0] -= X[:, 0].mean()  # on two sides of the origin: apart in angle too
    apart = exploration.neighbour_purity(X, labels, [1, 5])
    assert list(apart["target"]) == ["all", "hunger", "pain"] * 2
    assert (apart["purity"] > 0.97).all()
    assert np.allclose(apart["chance"], 29 / 59)
    X, labels, _ = blobs(300, gap=0.0)
    mixed = exploration.neighbour_purity(X, labels, 5, each=False).iloc[0]
    assert abs(mixed["purity"] - mixed["chance"]) < SAMPLING
    assert mixed["n"] == 300


def test_purity_excluding_the_same_infant_does_not_see_memory() -> None:
    rng = np.random.default_rng(0)
    infants = np.repeat(np.arange(100), 3)
    labels = np.repeat(rng.choice(["pain", "hunger"], 100), 3)
    X = np.repeat(rng.normal(size=(100, 16)), 3, axis=0) + 0.01 * rng.normal(size=(300, 16))
    memory = exploration.neighbour_purity(X, labels, 2, each=False).iloc[0]
    honest = exploration.neighbour_purity(X, labels, 2, exclude=infants, each=False).iloc[0]
    assert memory["purity"] == 1.0
    assert abs(honest["purity"] - honest["chance"]) < 2.5 * SAMPLING
    same = exploration.neighbour_purity(X, infants, 2, each=False, name="same infant").iloc[0]
    assert (same["target"], same["purity"]) == ("same infant", 1.0)
    assert np.isclose(same["chance"], 2 / 299)


def test_purity_counts_only_rows_that_could_have_a_neighbour_alike() -> None:
    X, _, _ = blobs(12)
    infants = ["a", "a", "b", *"cdefghijk"]
    row = exploration.neighbour_purity(X, infants, 1, each=False).iloc[0]
    assert row["n"] == 2
    assert np.isclose(row["chance"], 1 / 11)


def test_purity_refuses_what_it_cannot_count() -> None:
    X, labels, _ = blobs(12)
    with pytest.raises(EvaluationError, match="asked for 12 neighbours where a row has 11"):
        exploration.neighbour_purity(X, labels, 12)
    with pytest.raises(EvaluationError, match="12 embeddings, 11 labels"):
        exploration.neighbour_purity(X, labels[:-1], 2)
    with pytest.raises(EvaluationError, match="not finite"):
        exploration.neighbour_purity(np.full((4, 3), np.nan), list("aabb"), 1)


def test_many_rows_are_sampled_by_whole_infants_and_it_is_said(capsys) -> None:
    infants = np.random.default_rng(0).integers(0, 40, 300).astype(str)
    assert exploration.sampled(infants, most=300).all()
    assert capsys.readouterr().out == ""
    keep = exploration.sampled(infants, seed=1, most=100)
    assert 80 < keep.sum() <= 100, "an infant here has at most some 15 rows"
    assert not set(infants[keep]) & set(infants[~keep])
    said = capsys.readouterr().out
    assert "300 recordings are more than" in said
    assert f"{keep.sum()} recordings of {len(set(infants[keep]))} infants" in said
    assert np.array_equal(keep, exploration.sampled(infants, seed=1, most=100))
    assert not np.array_equal(keep, exploration.sampled(infants, seed=2, most=100))


def test_identity_looks_at_a_sample_of_many_rows(monkeypatch) -> None:
    from cryhear.analysis import controls

    rng = np.random.default_rng(0)
    infants = np.repeat(np.arange(40), 3)
    X = rng.normal(size=(120, 6)) + 3 * rng.normal(size=(40, 6))[infants]
    table = pd.DataFrame({"infant": infants, "label": "pain", "platform": "ios", "time_s": 0.0})
    data = StudySet(table, X, "made", "uploads")
    monkeypatch.setattr(exploration.sampled, "__defaults__", (0, 60))
    assert controls.verification(data, draws=20)["pairs"].iloc[0] == 20 * 3
    assert controls.neighbours(data)["n"].iloc[0] == 60
