"""The registry, the checks every backend shares, and what is said when weights are missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from cryhear import embedding
from cryhear.embedding import base, weights
from cryhear.errors import RepresentationError

HEAVY = ("tensorflow", "torch", "transformers", "opensmile", "ai_edge_litert", "huggingface_hub")


class Doubler(base.Backend):
    """A backend that writes into its batch, and gives two values a clip."""

    name, version, dimension, batch_size = "doubler", "1", 2, 4

    def _forward(self, batch):
        batch *= 2
        return np.stack([batch[:, 0], batch.mean(axis=1)], axis=1)


class Broken(Doubler):
    """A backend that gives NaN for clips that start with a negative sample."""

    def _forward(self, batch):
        return np.where(batch[:, :1] < 0, np.nan, batch[:, :2])


def test_importing_loads_nothing_heavy():
    code = f"import sys, cryhear.embedding; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RepresentationError, match="did you mean 'yamnet'"):
        embedding.load("yamnett")


def needs(*packages: str) -> None:
    """Skip where a package is absent: what is said of its weights is said after what is said of it."""
    for package in packages:
        if find_spec(package) is None:  # not imported, which would take seconds
            pytest.skip(f"{package} is not installed")


def test_a_package_that_is_missing_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr("cryhear.embedding.egemaps.PACKAGES", ("no_such_package",))
    said = r"no_such_package is not installed; run in a clone: pip install -e '\.\[egemaps\]'"
    with pytest.raises(RepresentationError, match=said):
        embedding.load("egemaps")
    here, what = embedding.available("egemaps")
    assert not here
    assert "no_such_package" in what


def test_availability_names_every_representation(monkeypatch, tmp_path):
    needs("tensorflow")
    monkeypatch.setenv("HEAR_MODEL_DIR", str(tmp_path))
    found = embedding.availability()
    assert tuple(found) == embedding.REPRESENTATIONS
    assert found["logmel"][0]
    assert not found["hear"][0]
    assert "HEAR_MODEL_DIR" in found["hear"][1]


def test_the_callers_array_is_not_changed(clips):
    mine = clips.copy()
    vectors = Doubler().embed(mine)
    np.testing.assert_array_equal(mine, clips)
    np.testing.assert_array_equal(vectors[:, 0], 2 * clips[:, 0])
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous


def test_no_clip_gives_no_vector():
    assert Doubler().embed(np.empty((0, 32_000), np.float32)).shape == (0, 2)


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        ([0.0], "list"),
        (np.zeros(32_000, np.float32), "shape"),
        (np.zeros((1, 16_000), np.float32), "shape"),
        (np.zeros((1, 32_000)), "float64"),
        (np.full((1, 32_000), np.nan, np.float32), "rows 0 of 1"),
    ],
)
def test_wrong_clips_are_refused(clips, said):
    with pytest.raises(RepresentationError, match=said):
        Doubler().embed(clips)


def test_rows_without_a_finite_vector_are_named(clips):
    some = clips.copy()
    some[:, 0] = 1
    some[[2, 5], 0] = -1
    with pytest.raises(RepresentationError, match="rows 2, 5 of 9"):
        Broken().embed(some)


def test_a_vector_of_another_length_is_refused(clips):
    backend = Doubler()
    backend.dimension = 3
    with pytest.raises(RepresentationError, match="shape"):
        backend.embed(clips)


def test_loud_clips_are_scaled_to_full_scale_and_others_kept():
    clips = np.array([[0.5, -0.2], [3.0, -6.0], [0.0, 0.0]], dtype=np.float32)
    found = base.within_full_scale(clips)
    np.testing.assert_array_equal(found[[0, 2]], clips[[0, 2]])
    np.testing.assert_allclose(found[1], [base.FULL_SCALE / 2, -base.FULL_SCALE], rtol=1e-6)


@pytest.mark.parametrize("name", ["hear", "hear-pytorch"])
def test_without_access_the_steps_are_said_in_seconds(monkeypatch, tmp_path, name):
    hub = pytest.importorskip("huggingface_hub")
    needs("tensorflow" if name == "hear" else "transformers")
    secret = "hf_" + "x" * 34

    def refuse(*_args, **_options):
        raise PermissionError(f"401 with {secret}")

    for variable in ("HEAR_MODEL_DIR", "HEAR_PYTORCH_MODEL_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_TOKEN", secret)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_a, **_k: None)
    monkeypatch.setattr(hub.HfApi, "auth_check", refuse)
    with pytest.raises(RepresentationError) as caught:
        embedding.load(name)
    message = str(caught.value)
    for step in ("1. Accept the terms", f"google/{name}", "2. Log in", "3. Run again"):
        assert step in message
    assert secret not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_only_the_encoder_is_downloaded(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    from cryhear.embedding import hear

    asked = {}

    def download(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.delenv("HEAR_MODEL_DIR", raising=False)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_a, **_k: None)
    monkeypatch.setattr(hub.HfApi, "auth_check", lambda *_a, **_k: None)
    monkeypatch.setattr(hub, "snapshot_download", download)
    assert weights.folder_of(hear.RELEASE) == tmp_path
    assert asked["repository"] == "google/hear"
    assert asked["revision"] == "9b2eb2853c426676255cc6ac5804b7f1fe8e563f"
    assert asked["allow_patterns"] == ["saved_model.pb", "fingerprint.pb", "variables/*"]


def test_a_folder_without_the_weights_is_refused(tmp_path):
    needs("tensorflow", "transformers")
    with pytest.raises(RepresentationError, match=r"lacks saved_model\.pb"):
        embedding.load("hear", path=tmp_path)
    with pytest.raises(RepresentationError, match=r"lacks config\.json"):
        embedding.load("hear-pytorch", path=tmp_path)
