"""A card that lacks a field or holds another kind of thing is refused by the name of what is wrong."""

from __future__ import annotations

import copy
from pathlib import Path

import made_bundle
import pytest

from cryhear import params
from cryhear.errors import BundleError
from cryhear.prediction import bundle, decide, predict


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return bundle.read(bundle.write(made_bundle.make(), tmp_path_factory.mktemp("card"))).card


def put(whole, dotted, value):
    """The card with one field changed, or taken out (None)."""
    changed = copy.deepcopy(whole)
    *way, last = dotted.split(".")
    place = changed
    for name in way:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, None) for name in bundle.Card.model_fields),
        ("format", "1"),
        ("classes", ["pain"]),
        ("classes", ["pain", ["hunger"], "neurological"]),
        ("representation", {"name": ["logmel"], "version": "1"}),
        ("representation", {"name": "logmel"}),
        ("weights", {"file": "weights-0123456789ab.safetensors"}),
        ("calibration.clip", None),
        ("calibration.clip.temperature", 0),
        ("calibration.clip.temperature", float("inf")),
        ("calibration.recording.temperature", True),
        ("calibration.recording.bias", [0.0, 0.0, "0"]),
        ("limits.clip", 3),
        ("preprocess.wiener", 1),
        ("preprocess.wiener_size", 10**9),
        ("preprocess.gaussian_sigma", 1e9),
        ("preprocess.overlap", 0.999),
        ("preprocess.rms_target", "0.1; rm -rf /"),
        ("preprocess.tail", "wrap"),
    ],
)
def test_a_field_that_is_not_what_it_should_be_is_named(whole, field, value):
    with pytest.raises(BundleError, match=field.replace(".", r"\.")) as refused:
        bundle.check(put(whole, field, value), Path("model/card.json"))
    message = str(refused.value)
    assert message.startswith("model/card.json: ")
    assert "cryhear train" in message
    assert len(message) < 300


@pytest.mark.parametrize("setting", params.Preprocess.model_fields)
def test_a_missing_setting_is_named_and_not_filled_in(whole, setting):
    with pytest.raises(
        BundleError, match=rf"preprocess is .*: every setting .* {setting} is missing"
    ):
        bundle.check(put(whole, f"preprocess.{setting}", None), Path("card.json"))


def test_a_card_as_written_passes(whole):
    bundle.check(whole, Path("card.json"))
    assert vars(bundle.settings(whole))["wiener_size"] == 3


@pytest.mark.parametrize("field", ["limits.silence_dbfs", "limits.clip.distance"])
def test_a_limit_that_is_missing_stops_before_any_sound(field):
    hostile = made_bundle.make()
    for value in (None, "7", float("nan")):
        with pytest.raises(BundleError, match=field.replace(".", r"\.")):
            decide.Judge(made_bundle.make(**put(hostile.card, field, value)), None)


def test_the_note_needs_the_measured_performance():
    for value in (None, "fine"):
        with pytest.raises(BundleError, match=r"performance\.auc_macro\.low"):
            predict.standing_note(put(made_bundle.make().card, "performance.auc_macro.low", value))


@pytest.mark.parametrize(
    ("auc", "loss", "beats"),
    [
        ((0.65, 0.5), (0.57, 0.64), True),
        ((0.501, 0.5), (0.639, 0.64), True),
        ((0.5, 0.5), (0.57, 0.64), False),
        ((0.45, 0.5), (0.57, 0.64), False),
        ((0.65, 0.5), (0.64, 0.64), False),
        ((0.65, 0.5), (0.67, 0.64), False),
        ((0.65, 0.66), (0.57, 0.64), False),
    ],
)
def test_a_model_beats_its_baseline_by_interval_and_by_loss(auc, loss, beats):
    performance = {
        "auc_macro": dict(zip(("low", "chance"), auc, strict=True)),
        "log_loss": dict(zip(("calibrated", "class_shares_alone"), loss, strict=True)),
    }
    assert bundle.beats_baseline(performance) is beats
    for said in (True, False, None, "true", 1):
        made = {"performance": {**performance, "beats_baseline": said}}
        assert bundle.names_classes(made) is (said is True and beats)


def test_a_card_without_the_numbers_shows_nothing():
    old = {k: v for k, v in made_bundle.BETTER.items() if k != "beats_baseline"}
    assert bundle.names_classes({"performance": made_bundle.BETTER})
    assert not bundle.names_classes({"performance": old})
    assert not bundle.names_classes({"performance": {}})
    for lacking in ("auc_macro", "log_loss"):
        broken = {k: v for k, v in made_bundle.BETTER.items() if k != lacking}
        with pytest.raises(BundleError, match=f"performance.{lacking}"):
            bundle.names_classes({"performance": broken})
