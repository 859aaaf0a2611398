"""The ledger: what may be recorded, how two are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cryhear.errors import LedgerError
from cryhear.study.ledger import Ledger, compare, merge


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger("04_exploration")
    made.number("auc", np.float32(0.5), "score", low=0.4, high=0.6, n=np.int64(12))
    made.number("n", 12, "count")
    made.conclude("verdict", True, "It holds.", "It does not.")
    return made


def test_numbers_are_plain_and_keep_their_interval(ledger):
    entry = ledger.numbers["auc"]
    assert entry == {"value": 0.5, "unit": "score", "low": 0.4, "high": 0.6, "n": 12}
    assert type(entry["value"]) is float
    assert type(entry["n"]) is int


def test_a_conclusion_keeps_the_sentence_not_said(ledger):
    verdict = ledger.numbers["verdict"]
    assert (verdict["value"], verdict["otherwise"]) == ("It holds.", "It does not.")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("auc", 0.1, "score"), "recorded before"),
        (("new", 0.1, "furlongs"), "unit 'furlongs'"),
        (("new", math.nan, "score"), "expected finite"),
        (("new", math.inf, "score"), "expected finite"),
    ],
)
def test_what_cannot_be_recorded_is_refused(ledger, arguments, expected):
    with pytest.raises(LedgerError, match=expected):
        ledger.number(*arguments)


def test_merge_gives_full_keys(ledger, tmp_path):
    path = ledger.write(tmp_path / "ledger.json")
    assert merge([path])["exploration.auc"]["value"] == 0.5


def test_compare_finds_each_kind_of_difference_and_none_where_there_is_none(ledger, tmp_path):
    published = merge([ledger.write(tmp_path / "ledger.json")])
    assert compare(published, published) == []
    changed = {key: dict(entry) for key, entry in published.items()}
    changed["exploration.auc"]["value"] = 0.5 + 1e-3
    changed["exploration.auc"]["low"] = None
    changed["exploration.n"]["value"] = 13
    del changed["exploration.verdict"]
    changed["exploration.extra"] = {"value": 1, "unit": "count"}
    found = {difference.key for difference in compare(published, changed)}
    assert found == {
        "exploration.auc",
        "exploration.auc (low)",
        "exploration.n",
        "exploration.verdict",
        "exploration.extra",
    }


def test_a_difference_within_the_tolerance_passes_and_zero_or_chance_would_not():
    one = {"a.auc": {"value": 0.7, "unit": "score"}}
    assert compare(one, {"a.auc": {"value": 0.7 + 5e-7, "unit": "score"}}) == []
    for nonsense in (0.0, 0.5):
        assert compare(one, {"a.auc": {"value": nonsense, "unit": "score"}})
