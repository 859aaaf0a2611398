"""From synthetic audio to derived tables and study sets, and what a second run does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cryhear import params
from cryhear.embedding import build_tables
from cryhear.embedding.tables import Derived, pool
from cryhear.errors import MARK, CorpusError, MissingArtefactError
from cryhear.files import read_json, read_table

HALF = 2e-3
"""Half precision is good to one part in 2,048."""


@pytest.fixture(scope="module")
def study() -> params.Study:
    content = {
        "name": "small",
        "source": {"synthetic": {"infants": 8, "seconds": 5.0}},
        "representations": ["logmel"],
        "primary": "logmel",
    }
    return params.check(content, params.Study, "small.yaml")


@pytest.fixture(scope="module")
def built(study, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("derived")
    build_tables.manifest(study, out)
    for part in range(study.embed.shards):
        build_tables.shard(study, "logmel", part, study.embed.shards, out)
        build_tables.variants(study, "logmel", part, study.embed.shards, out)
    build_tables.merge(study, out)
    return out


def test_every_usable_recording_has_clips_and_two_augmented_copies(built):
    derived = Derived(built)
    table = derived.manifest()
    usable = set(table.loc[table["problem"] == "", "recording"])
    keys, vectors = derived.clips("logmel")
    assert set(keys["recording"]) == usable
    assert np.isfinite(vectors).all()
    assert derived.variants("logmel") == ["augmented_1", "augmented_2"]
    assert set(derived.variant("logmel", "augmented_1")[0]) == usable


def test_a_study_set_is_labelled_pooled_and_sorted(built):
    derived = Derived(built)
    data = derived.study_set("uploads", "original", "logmel")
    assert data.recordings["recording"].is_monotonic_increasing
    assert set(data.y) <= {0, 1, 2}
    keys, vectors = derived.clips("logmel")
    first = data.recordings["recording"][0]
    mine = vectors[(keys["recording"] == first).to_numpy()]
    np.testing.assert_allclose(data.X[0], mine.mean(axis=0), rtol=1e-5)
    assert data.copies().shape == (2, *data.X.shape)
    half = data.subset(data.y == data.y[0])
    assert len(half) == (data.y == data.y[0]).sum()
    assert len(data) > len(half)


def test_a_second_run_embeds_nothing_and_changes_no_table(study, built):
    before = (built / "clips" / "logmel.parquet").read_bytes()
    parts = sorted((built / "store").rglob("part-*.parquet"))
    build_tables.shard(study, "logmel", 0, study.embed.shards, built)
    build_tables.merge(study, built)
    assert sorted((built / "store").rglob("part-*.parquet")) == parts
    assert (built / "clips" / "logmel.parquet").read_bytes() == before


def test_published_tables_hold_no_name_and_no_instance_id(study, built, tmp_path):
    build_tables.publish(built, tmp_path)
    table, original = (
        read_table(tmp_path / "manifest.parquet"),
        read_table(built / "manifest.parquet"),
    )
    assert (table["name"] == "").all()
    assert not set(table["instance"]) & set(original["instance"])
    assert table["instance"].nunique() == original["instance"].nunique()
    published = Derived(tmp_path).study_set("uploads", "original", "logmel")
    same = Derived(built).study_set("uploads", "original", "logmel")
    pd.testing.assert_series_equal(published.recordings["label"], same.recordings["label"])
    np.testing.assert_allclose(published.X, same.X, rtol=HALF, atol=HALF)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    build_tables.publish(built, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == first
    assert read_json(tmp_path / "provenance.json")["representations"]["logmel"]


def test_publishing_takes_away_what_is_no_longer_made(built, tmp_path):
    build_tables.publish(built, tmp_path)
    stale = tmp_path / "other" / "yamnet.parquet"
    stale.parent.mkdir()
    stale.write_bytes((tmp_path / "clips" / "logmel.parquet").read_bytes())
    kept = set(tmp_path.rglob("*.parquet")) - {stale}
    build_tables.publish(built, tmp_path)
    assert set(tmp_path.rglob("*.parquet")) == kept


def test_all_sets_have_their_altered_versions(study):
    table = pd.DataFrame({"recording": ["a", "b"], "set": ["uploads", "cleaned"]})
    assert build_tables._of_set(table, "cleaned")["recording"].tolist() == ["b"]
    assert build_tables._of_set(table, "all")["recording"].tolist() == ["a", "b"]


def test_a_step_says_a_users_mistake_as_a_job_does(tmp_path, capsys):
    assert build_tables.main(["manifest", str(tmp_path / "none.yaml"), str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(MARK)


def test_values_beyond_half_precision_are_kept_whole():
    assert build_tables._narrowest(np.array([[1.0, -3.0]], np.float32)) == "float16"
    assert build_tables._narrowest(np.array([[1.0, 70_000.0]], np.float32)) == "float32"
    assert build_tables._narrowest(np.array([[1.0, 1e-9]], np.float32)) == "float32"


def test_what_is_not_there_is_named_with_what_is(built):
    derived = Derived(built)
    with pytest.raises(MissingArtefactError, match=r"no yamnet embeddings; it has logmel"):
        derived.clips("yamnet")
    with pytest.raises(MissingArtefactError, match="has no version 'louder'"):
        derived.variant("logmel", "louder")
    with pytest.raises(CorpusError, match="set 'cleaned'"):
        derived.study_set("cleaned", "original", "logmel")


def test_pooling_does_not_depend_on_the_order_of_clips():
    keys = pd.DataFrame({"recording": ["b", "a", "b"]})
    vectors = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    names, means = pool(keys, vectors)
    again = pool(keys[::-1], vectors[::-1])
    assert names.tolist() == ["a", "b"]
    assert means.dtype == np.float32
    np.testing.assert_array_equal(means, [[3, 4], [3, 4]])
    np.testing.assert_array_equal(again[1], means)


def test_files_read_are_hashed(built):
    derived = Derived(built)
    derived.manifest()
    assert list(derived.read_hashes()) == ["manifest.parquet"]
