"""A bundle is read as it was written, or refused."""

from __future__ import annotations

import json
from types import SimpleNamespace

import made_bundle
import numpy as np
import pytest

from cryhear import bundle
from cryhear.errors import BundleError

EXACT = 1e-12
"""Weights are kept in double precision: nothing but the order of sums may differ."""


@pytest.fixture(scope="module")
def made():
    return made_bundle.make()


@pytest.fixture
def folder(made, tmp_path):
    return bundle.write(made, tmp_path / "model")


def weights_of(folder):
    [path] = folder.glob("weights-*.safetensors")
    return path


def test_what_is_read_answers_as_what_was_written(made, folder):
    X = np.random.default_rng(1).normal(size=(5, 320)).astype(np.float32)
    read = bundle.read(folder)
    for level in bundle.LEVELS:
        p = read.probabilities(X, level)
        np.testing.assert_allclose(p, made.probabilities(X, level), atol=EXACT)
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=EXACT)
    np.testing.assert_allclose(read.distance(X), made.distance(X), rtol=1e-6)  # float32 components
    assert not np.allclose(read.probabilities(X, "clip"), read.probabilities(X, "recording"))
    assert {k: v for k, v in read.card.items() if k != "weights"} == made.card


@pytest.mark.parametrize("which", ["card", "weights"])
def test_any_changed_byte_is_refused(folder, which):
    path = folder / bundle.CARD if which == "card" else weights_of(folder)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, len(whole) - 1, *rng.integers(0, len(whole), 60)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(changed))
        with pytest.raises(BundleError):
            bundle.read(folder)
    for other in (whole[:-1], whole + b" ", whole + b"\n", b"", b"[]", b"[" * 100_000):
        path.write_bytes(other)
        with pytest.raises(BundleError):
            bundle.read(folder)
    path.write_bytes(whole)
    bundle.read(folder)


def test_a_missing_file_and_another_layout_are_named(folder, made, tmp_path):
    with pytest.raises(BundleError, match="cryhear train"):
        bundle.read(tmp_path / "nowhere")
    other = made_bundle.make(format=99)
    bundle.write(other, tmp_path / "other")
    with pytest.raises(BundleError, match="format 99"):
        bundle.read(tmp_path / "other")
    weights_of(folder).unlink()
    with pytest.raises(BundleError, match="weights-"):
        bundle.read(folder)


def test_a_card_cannot_lead_out_of_its_folder(folder):
    card = json.loads((folder / bundle.CARD).read_text())
    card.pop("card_sha256")
    card["weights"]["file"] = "../../etc/passwd"
    text = bundle._text({**card, "card_sha256": bundle._digest(card)})
    (folder / bundle.CARD).write_bytes(text)
    with pytest.raises(BundleError, match=r"weights\.file"):
        bundle.read(folder)


def test_a_backend_of_another_version_is_refused(made):
    same = SimpleNamespace(name="logmel", version="1", dimension=320)
    made.check_backend(same)
    for change in ({"version": "2"}, {"dimension": 64}, {"name": "yamnet"}):
        with pytest.raises(BundleError, match="cryhear train --representation logmel"):
            made.check_backend(SimpleNamespace(**{**vars(same), **change}))


def test_writing_again_leaves_one_bundle(made, folder):
    changed = made_bundle.make(name="second")
    object.__setattr__(changed, "coef", changed.coef + 1)
    bundle.write(changed, folder)
    assert bundle.read(folder).card["name"] == "second"
    assert len(list(folder.iterdir())) == 2


def test_an_interrupted_write_keeps_the_old_bundle(made, folder, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "_text", stop)
    changed = made_bundle.make(name="second")
    object.__setattr__(changed, "coef", changed.coef + 1)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(changed, folder)
    monkeypatch.undo()
    assert bundle.read(folder).card["name"] == "made"
    assert not list(folder.glob(".*"))
