"""A bundle is read as it was written, or refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import made_bundle
import numpy as np
import pytest

from cryhear.errors import BundleError
from cryhear.prediction import bundle

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
    for name in ("spread", "coef", "intercept"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))


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
    for other in (whole[:-9], whole + b"x", b"", b"[]", b"3", b"[" * 100_000):
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


def test_two_cards_with_right_digests_cannot_be_swapped(folder, made, tmp_path):
    other = bundle.write(replace(made, coef=made.coef + 1), tmp_path / "other")
    (folder / bundle.CARD).write_bytes((other / bundle.CARD).read_bytes())
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read(folder)  # the card names weights that are not there
    weights_of(folder).rename(folder / weights_of(other).name)
    with pytest.raises(BundleError, match="was altered or damaged: SHA-256"):
        bundle.read(folder)


def test_a_card_that_json_cannot_hold_is_refused(folder):
    whole = (folder / bundle.CARD).read_text()
    for hostile in (whole.replace("1.5", "NaN", 1), whole.replace("1.5", "1e999", 1),
                    '{"format": 1, "name": ' + "[" * 5000 + "]" * 5000 + "}",
                    '{"format": ' + "1" * 5000 + "}"):  # fmt: skip
        (folder / bundle.CARD).write_text(hostile)
        with pytest.raises(BundleError):
            bundle.read(folder)


def test_a_backend_of_another_version_is_refused(made):
    same = SimpleNamespace(name="logmel", version="1", dimension=320)
    made.check_backend(same)
    for change in ({"version": "2"}, {"dimension": 64}, {"name": "yamnet"}):
        with pytest.raises(BundleError, match="cryhear train --representation logmel"):
            made.check_backend(SimpleNamespace(**{**vars(same), **change}))


def test_writing_again_leaves_one_bundle(made, folder):
    changed = made_bundle.make(name="second")
    bundle.write(replace(changed, coef=changed.coef + 1), folder)
    assert bundle.read(folder).card["name"] == "second"
    assert len(list(folder.iterdir())) == 2


def test_an_interrupted_write_keeps_the_old_bundle(made, folder, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "write_json", stop)
    changed = made_bundle.make(name="second")
    changed = replace(changed, coef=changed.coef + 1)
    with pytest.raises(KeyboardInterrupt):
        bundle.write(changed, folder)
    monkeypatch.undo()
    assert bundle.read(folder).card["name"] == "made"
    assert not list(folder.glob(".*"))
