"""PCA, UMAP, neighbours and class means on embeddings whose answer is known."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from cryhear.analysis import exploration
from cryhear.errors import EvaluationError

ROUNDING = 1e-5
"""float32 scores of a float64 decomposition; far below any distance between points (about 1)."""
SHUFFLED = 0.08
"""Three standard errors of a mean over three shuffles of a map of 60 points."""
SAMPLING = 0.06
"""Four standard errors of a purity over 300 independent rows of 5 neighbours at chance 0.5."""


def blobs(n: int = 60, d: int = 8, gap: float = 6.0, seed: int = 0):
    """Two groups of points `gap` apart (0: none), infants of three recordings each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(["hunger", "pain"], n // 2)
    X = rng.normal(size=(n, d)).astype(np.float32)
    X[:, 0] += gap * (labels == "pain")
    return X, labels, np.repeat(np.arange(n // 3), 3)


def test_pca_keeps_distances_and_finds_the_axis() -> None:
    X, labels, _ = blobs()
    X[:, 1] = X[:, 0]  # twice the variance of any other direction
    before = X.copy()
    found = exploration.pca(X)
    assert np.array_equal(X, before)
    assert found.scores.dtype == np.float32
    assert np.isclose(found.share.sum(), 1)
    wanted = np.linalg.norm((X[0] - X[-1]) / X.std(axis=0))
    assert abs(np.linalg.norm(found.scores[0] - found.scores[-1]) - wanted) < ROUNDING * wanted * 10
    first = found.scores[:, 0]
    assert abs(first[labels == "pain"].mean() - first[labels == "hunger"].mean()) > 2
    table = found.variance()
    assert list(table.columns) == ["component", "share", "cumulative"]
    assert table["cumulative"].is_monotonic_increasing
    assert found.axis_names()[0] == f"PC 1 ({found.share[0]:.0%} of the variance)"


def test_pca_is_fitted_on_the_rows_asked_for() -> None:
    X, _, _ = blobs()
    rows = np.arange(len(X)) < 30
    changed = X.copy()
    changed[~rows] *= 100
    one, other = exploration.pca(X, fit_rows=rows), exploration.pca(changed, fit_rows=rows)
    assert np.allclose(one.scores[rows], other.scores[rows], atol=ROUNDING)
    assert exploration.pca(X, 0.5).share.sum() >= 0.5
    assert exploration.pca(X, 3).scores.shape == (60, 3)


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


def test_class_means() -> None:
    X = np.array([[1, 5], [3, 5], [-2, 5], [-2, 5]], dtype=np.float32)
    labels = ["pain", "pain", "hunger", "hunger"]
    means = exploration.class_means(X, labels)
    assert list(means["value"]) == [-2, 5, 2, 5]


def test_stability_of_equal_and_unrelated_maps() -> None:
    X, _, _ = blobs(60, d=2)
    X /= np.linalg.norm(X, axis=1, keepdims=True)  # on a circle, near in angle is near
    turned = X @ np.array([[0, 1], [-1, 0]])
    noise = np.random.default_rng(1).normal(size=(60, 2))
    found = exploration.umap_stability(X, {1: X, 2: turned, 3: noise}, k=5)
    value = found.set_index(["quantity", "seed_a", "seed_b"])["value"]
    assert np.isclose(value["trustworthiness", 1, 1], 1)
    assert np.isclose(value["neighbour overlap", 1, 2], 1)
    assert np.isclose(value["shape agreement", 1, 2], 1)
    assert value["neighbour overlap", 1, 3] < 0.3
    assert value["shape agreement", 1, 3] < 0.3
    # Shuffled maps: k of the others shared, half of the ranks kept, no shape in common.
    chance = found.groupby("quantity")["chance"].mean()
    assert chance["neighbour overlap"] == pytest.approx(5 / 59, abs=SHUFFLED)
    assert chance["trustworthiness"] == pytest.approx(0.5, abs=SHUFFLED)
    assert chance["shape agreement"] < SHUFFLED


@pytest.mark.slow  # numba compiles UMAP at its first use
def test_umap_is_seeded_finite_and_imports_no_tensorflow() -> None:
    loaded = "tensorflow" in sys.modules
    X, _, _ = blobs(40)
    before = X.copy()
    one, same = (exploration.umap(X, seed=1, neighbours=8) for _ in range(2))
    assert one.shape == (40, 2)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, same)
    assert np.array_equal(X, before)
    assert ("tensorflow" in sys.modules) == loaded


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
    from cryhear.analysis import identity

    rng = np.random.default_rng(0)
    infants = np.repeat(np.arange(40), 3)
    X = rng.normal(size=(120, 6)) + 3 * rng.normal(size=(40, 6))[infants]
    table = pd.DataFrame({"infant": infants, "label": "pain", "platform": "ios", "time_s": 0.0})
    monkeypatch.setattr(exploration.sampled, "__defaults__", (0, 60))
    assert identity.verification(X, table, draws=20)["pairs"].iloc[0] == 20 * 3
    assert identity.neighbours(X, table)["n"].iloc[0] == 60
