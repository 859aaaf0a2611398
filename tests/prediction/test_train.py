"""The shipped model is the primary procedure on every recording, judged by infants it never heard."""

from __future__ import annotations

from types import SimpleNamespace

import made_study
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cryhear import params
from cryhear.analysis import robustness
from cryhear.analysis.cross_validation import P_COLUMNS
from cryhear.analysis.primary_auc import FoldPlan
from cryhear.corpus.labels import CLASSES
from cryhear.errors import MissingArtefactError, StudyError
from cryhear.models import primary
from cryhear.prediction import bundle, decide, predict, train

SOLVER = 5e-3
"""Two solvers of one convex problem stop by different rules: probabilities differ by thousandths."""


@pytest.fixture(scope="module")
def tables():
    return made_study.Tables(made_study.study(40, dimension=8, identity=0.5))


@pytest.fixture
def study(monkeypatch, tables):
    monkeypatch.setattr(train, "Derived", lambda folder: tables)
    monkeypatch.setattr(train, "DRAWS", 60)
    return params.Study(name="made", source={"derived": "made"})


@pytest.fixture(scope="module")
def data(tables):
    return tables.study_set("uploads", "original", "logmel")


@pytest.fixture
def made(study):
    return train.train(study, "logmel", repeats=1)


def test_a_bundle_is_made_that_can_be_written_read_and_asked(made, tmp_path, data):
    read = bundle.read(bundle.write(made, tmp_path / "model"))
    for level in ("recording", "clip"):
        p = read.probabilities(data.X, level)
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-12)
    assert read.classes == list(CLASSES)
    note = predict.standing_note(read.card)
    assert note.startswith("Not a diagnosis")
    for text in ("diagnosis", "parents", "Not a medical device"):
        assert text in read.card["out_of_scope"]


def test_the_card_counts_what_was_trained_on(made, data):
    found = made.card["training"]
    assert found["recordings"] == len(data)
    assert found["infants"] == data.recordings["infant"].nunique()
    assert sum(found["by_class"].values()) == len(data)
    assert made.card["representation"] == {"name": "logmel", "version": "1", "dimension": 8}
    performance = made.card["performance"]
    assert performance["infants"] == found["infants"]
    assert performance["auc_macro"]["low"] <= performance["auc_macro"]["value"]


def test_the_data_hash_notices_another_label_and_another_number(study, tables, made):
    other = made_study.Tables(made_study.study(40, dimension=8, identity=0.5))
    data = other.study_set("uploads", "original", "logmel")
    assert train._training(data)["sha256"] == made.card["training"]["sha256"]
    data.X[3, 2] += 1e-3
    assert train._training(data)["sha256"] != made.card["training"]["sha256"]
    data.X[3, 2] = tables.study.X[3, 2]
    data.recordings.loc[0, "label"] = "pain" if data.recordings["label"][0] != "pain" else "hunger"
    assert train._training(data)["sha256"] != made.card["training"]["sha256"]


def test_the_model_is_scikit_learns_on_all_rows(data):
    reduction, spread, coef, intercept, C = train.fit(data, 42)
    scaled = StandardScaler().fit_transform(data.X.astype(float))
    Z = PCA(primary.PRIMARY.explained).fit_transform(scaled)
    theirs = LogisticRegression(C=C, class_weight="balanced", max_iter=5000).fit(Z, data.y)
    known = bundle.Bundle({}, reduction, spread, coef, intercept)
    np.testing.assert_allclose(known.raw(data.X), theirs.predict_proba(Z), atol=SOLVER)
    assert np.ptp(known.raw(data.X)) > 20 * SOLVER


def test_no_one_is_judged_by_a_model_that_heard_them(data, monkeypatch):
    plan = FoldPlan.of(data.recordings, 5, 2, 42)
    models = robustness.fitted(data, plan)
    for fold in models:
        heard = set(data.recordings["infant"].iloc[fold.train])
        assert heard.isdisjoint(data.recordings["infant"].iloc[fold.test])
    recordings, clips = train.judge(data, plan)
    assert len(recordings) == 2 * len(data)
    assert (recordings["distance"] > 0).all()
    assert len(clips) == 2 * len(data.derived.vectors)
    # A recording's clips weigh as much as one recording.
    assert clips["weight"].sum() == pytest.approx(2 * len(data))
    expected = robustness.out_of_fold(models, data.X)
    for repeat, own in recordings.groupby("repeat"):
        at = pd.Index(data.recordings["recording"]).get_indexer(own["recording"])
        np.testing.assert_allclose(own[P_COLUMNS], expected[repeat][at], atol=1e-6)


def test_the_card_says_whether_the_model_beats_its_baseline(made):
    performance = made.card["performance"]
    assert performance["beats_baseline"] is bundle.beats_baseline(performance)
    assert bundle.names_classes(made.card) is performance["beats_baseline"]
    assert "class shares" in performance["baseline"]


def test_calibration_comes_from_infants_not_heard(made, data):
    """Labels that nothing tells apart calibrate to about the classes' shares."""
    p = made.probabilities(data.X)
    shares = np.bincount(data.y, minlength=3) / len(data)
    assert np.abs(p.mean(axis=0) - shares).max() < 0.15
    raw = np.abs(made.raw(data.X).mean(axis=0) - shares).max()
    assert raw > np.abs(p.mean(axis=0) - shares).max()


def test_class_shares_come_from_the_other_folds():
    y, fold = np.array([0, 0, 1, 2, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    p = train._shares_elsewhere(y, fold)
    np.testing.assert_allclose(p[0], [0, 2 / 3, 1 / 3])
    np.testing.assert_allclose(p[5], [2 / 3, 1 / 3, 0])
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_limits_are_the_distances_of_held_out_cries(made, data):
    away = made.distance(data.X)
    limit = made.card["limits"]["recording"]["distance"]
    # Rows the model was fitted on lie closer than those it was not: fewer than 5 % exceed it.
    assert (away > limit).mean() < 1 - train.STRANGE
    assert limit < made.card["limits"]["clip"]["distance"] * 2
    assert made.distance(100 + data.X).min() > limit


def test_the_limit_of_clips_counts_a_recordings_clips_as_one():
    near, far = np.linspace(0, 1, 300), np.full(30, 5.0)
    clips = pd.DataFrame({"distance": [*near, *far], "weight": 1.0})
    assert train.clip_limit(clips) == 5.0
    clips.loc[300:, "weight"] = 1 / 30  # of one recording
    assert train.clip_limit(clips) == pytest.approx(np.quantile(near, 0.9532), abs=0.01)


def test_tables_without_a_version_are_refused(study, monkeypatch, tables):
    monkeypatch.setattr(
        train, "Derived", lambda folder: made_study.Tables(tables.study, version="")
    )
    with pytest.raises(StudyError, match="does not give the version of logmel"):
        train.train(study, "logmel", repeats=1)


def test_a_study_may_start_from_other_tables(tmp_path, root, monkeypatch):
    monkeypatch.chdir(root)
    assert str(train.study_of("params/default.yaml", tmp_path).derived) == str(tmp_path)
    with pytest.raises(StudyError, match="--derived"):
        train.study_of("params/default.yaml", tmp_path / "none")


def test_a_representation_that_was_not_made_is_named(root, monkeypatch):
    monkeypatch.chdir(root)
    with pytest.raises(MissingArtefactError, match="no hear embeddings; it has"):
        train.train(train.study_of("params/default.yaml"), "hear")


def test_what_clip_by_clip_changes_is_told_for_the_same_representation_only(made):
    shipped = train.measured_clipwise("logmel", made.card["representation"]["version"])
    assert 0 < shipped["same_label"] <= 1
    assert made.card["clipwise"] == shipped
    assert train.measured_clipwise("logmel", "0") == {}
    assert train.measured_clipwise("yamnet", "1") == {}


def test_the_trained_model_judges_sound(made):
    """What `train` leaves is what `Judge` takes, but for a representation of its own size."""
    with pytest.raises(ValueError, match=r"logmel version 1 \(8 values\)"):
        decide.Judge(made, None, SimpleNamespace(name="logmel", version="1", dimension=320))
