"""Splits: exact sizes, whole infants, every class, errors that say what to do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryhear.corpus import splits
from cryhear.corpus.labels import CLASSES
from cryhear.errors import CryhearError, SplitError

SHARE_TOLERANCE = 0.05
"""Whole infants cannot hit a share exactly; .05 of the recordings, a third of the smallest part."""


def study(infants: tuple[int, int, int] = (60, 150, 50), seed: int = 0) -> pd.DataFrame:
    """Synthetic recordings: 1 to 5 of an infant, mostly of one class, one in six of another."""
    rng = np.random.default_rng(seed)
    rows = []
    for code, count in enumerate(infants):
        for i in range(count):
            for j in range(rng.integers(1, 6)):
                other = j > 0 and rng.random() < 1 / 6
                label = CLASSES[rng.integers(3)] if other else CLASSES[code]
                rows.append((f"infant{code}-{i:03d}", label))
    table = pd.DataFrame(rows, columns=["infant", "label"])
    table.insert(0, "recording", [f"{k:04x}" for k in rng.permutation(len(table))])
    return table.assign(platform=np.where(rng.random(len(table)) < 0.4, "ios", "android"))


def test_four_way_by_file_reproduces_the_originals_counts():
    # 6,639 files and 2655 / 996 / 986 / 2002 are the original study's; its last ratio was .67.
    labels = np.repeat(CLASSES, (1798, 1163, 3678))
    table = pd.DataFrame({"recording": [f"{i:05d}" for i in range(6639)], "label": labels})
    table["infant"] = table["recording"]
    part = splits.four_way(table, "file", 42, (0.40, 0.15, 0.45 * 0.33, 0.45 * 0.67))
    assert part.value_counts()[list(splits.PARTS)].tolist() == [2655, 996, 986, 2002]
    exact = splits.four_way(table, "file", 42).value_counts()[list(splits.PARTS)]
    assert exact.tolist() == [2655, 996, 996, 1992]
    shares = pd.crosstab(part, table["label"], normalize="index")
    # Stratified: each part's class shares are the whole's, but for less than two files.
    whole = table["label"].value_counts(normalize=True)
    assert (shares - whole[shares.columns]).abs().to_numpy().max() < 2 / 986


@pytest.mark.parametrize("seed", range(5))
def test_four_way_by_infant_keeps_infants_whole_and_hits_shares(seed):
    table = study(seed=seed)
    part = splits.four_way(table, "infant", seed)
    splits.assert_no_overlap(table, part)
    reached = part.value_counts(normalize=True)[list(splits.PARTS)].to_numpy()
    assert np.abs(reached - splits.FRACTIONS).max() < SHARE_TOLERANCE
    by_class = pd.crosstab(part, table["label"], normalize="columns").loc[list(splits.PARTS)]
    assert (by_class.sub(splits.FRACTIONS, axis=0).abs() < SHARE_TOLERANCE).all(axis=None)
    infants = table.assign(part=part).groupby(["part", "label"])["infant"].nunique()
    assert len(infants) == 12
    assert infants.min() >= splits.MINIMUM_INFANTS


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(12, 20), st.integers(40, 120), st.integers(12, 30)), st.integers(0, 999)
)
def test_every_part_has_the_minimum_even_when_a_class_has_just_enough(infants, seed):
    table = study(infants, seed)
    part = splits.four_way(table, "infant", seed)
    splits.assert_no_overlap(table, part)
    assert table.assign(part=part).groupby(["part", "label"])["infant"].nunique().min() >= 3


def test_splits_do_not_depend_on_row_order_and_do_on_the_seed():
    table = study()
    shuffled = table.sample(frac=1, random_state=3)
    before = shuffled.copy()
    for unit in ("infant", "file"):
        one, other = splits.four_way(table, unit, 1), splits.four_way(shuffled, unit, 1)
        pd.testing.assert_series_equal(one, other.reindex(one.index))
        assert not one.equals(splits.four_way(table, unit, 2))
        fold = pd.Series(splits.folds(table, unit, 5, 1), table.index)
        again = pd.Series(splits.folds(shuffled, unit, 5, 1), shuffled.index)
        assert fold.equals(again.reindex(fold.index))
        assert not np.array_equal(fold, splits.folds(table, unit, 5, 2))
    pd.testing.assert_frame_equal(shuffled, before)


def test_too_few_infants_are_refused_with_counts_and_advice():
    table = study((7, 60, 20))
    with pytest.raises(SplitError, match=r"pain: \d+ recordings of \d+ infants.*cross-validation"):
        splits.four_way(table[table["label"].ne("pain") | table["infant"].str.contains("t0")])


@pytest.mark.parametrize("unit", ["infant", "recording", "file", "row"])
def test_folds_cover_all_rows_and_hold_every_class(unit):
    table = study()
    fold = splits.folds(table, unit, 5, 0)
    assert fold.dtype == np.int64
    assert set(fold) == set(range(5))
    counts = pd.crosstab(fold, table["label"])
    assert counts.to_numpy().min() > 0
    # Balanced: no fold has more than 1.5 times its due share of any class.
    assert (counts / counts.sum()).to_numpy().max() < 0.3


def test_folds_by_infant_keep_them_whole_and_those_by_recording_do_not():
    table = study()
    splits.assert_no_overlap(table, splits.repeated_folds(table, "infant", 5, 3, 0))
    by_file = splits.folds(table, "recording", 5, 0)
    splits.assert_no_overlap(table, by_file, keys=("recording",))
    with pytest.raises(SplitError, match=r"\d+ infant\(s\) lie in more than one part .*infant\d-"):
        splits.assert_no_overlap(table, by_file)


def test_rows_of_one_recording_fall_apart_only_by_row():
    table = pd.concat([study()] * 3, ignore_index=True)
    by_row = splits.folds(table, "row", 5, 0)
    with pytest.raises(SplitError, match="recording"):
        splits.assert_no_overlap(table, by_row)
    with pytest.raises(SplitError, match=r"more than once.*unit 'row'"):
        splits.folds(table, "recording", 5, 0)


def test_folds_without_labels_ignore_labels():
    table = study()
    permuted = table.assign(label=np.random.default_rng(0).permutation(table["label"]))
    one, other = (splits.folds(t, "infant", 5, 4, stratify=False) for t in (table, permuted))
    assert np.array_equal(one, other)
    splits.assert_no_overlap(table, one)
    assert not np.array_equal(splits.folds(table, seed=4), splits.folds(permuted, seed=4))
    sizes = np.bincount(one)
    assert sizes.max() - sizes.min() <= 5  # no infant has more than 5 recordings


def test_repeats_differ_and_do_not_depend_on_how_many():
    table = study()
    three, five = (splits.repeated_folds(table, "infant", 5, r, 7) for r in (3, 5))
    assert five.shape == (5, len(table))
    assert np.array_equal(three, five[:3])
    assert len({row.tobytes() for row in five}) == 5


def test_overlap_is_found_wherever_it_is_planted():
    table = study()
    fold = splits.folds(table, "infant", 5, 0)
    sizes = table["infant"].value_counts()
    victim = int(np.flatnonzero(table["infant"] == sizes.index[0])[0])
    for repeats in (fold.copy(), np.stack([fold, fold])):
        planted = repeats.copy()
        planted[..., victim] = (planted[..., victim] + 1) % 5
        with pytest.raises(SplitError, match=rf"1 infant\(s\).*{sizes.index[0]}"):
            splits.assert_no_overlap(table, planted)
    # A row in no part shares nothing.
    parts = fold.astype(object)
    parts[victim] = ""
    splits.assert_no_overlap(table, parts)
    with pytest.raises(SplitError, match="assignment has shape"):
        splits.assert_no_overlap(table, fold[:-1])


def test_overlap_proof_counts_by_hand():
    table = pd.DataFrame(
        {
            "recording": list("abcdef"),
            "infant": list("112233"),
            "label": ["pain", "hunger"] * 3,
            "duplicate_of": ["", "", "", "a", "", "e"],
        }
    )
    proof = splits.overlap_proof(
        table, np.array(["train", "train", "train", "test", "test", "test"])
    )
    assert proof.iloc[0].to_dict() == {
        "part_a": "train", "part_b": "test",
        "recordings_a": 3, "recordings_b": 3, "shared_recordings": 0,
        "infants_a": 2, "infants_b": 2, "shared_infants": 1, "near_duplicates": 1,
    }  # fmt: skip
    unchecked = splits.overlap_proof(table.drop(columns="duplicate_of"), [0, 0, 1, 1, 2, 2])
    assert len(unchecked) == 3
    assert unchecked["near_duplicates"].isna().all()
    assert unchecked["shared_infants"].tolist() == [0, 0, 0]


def test_leave_out_keeps_infants_apart():
    table = study()
    held = splits.leave_out(table)
    assert [h.name for h in held] == ["android", "ios"]
    for name, train, test, dropped in held:
        assert set(table["platform"].iloc[test]) == {name}
        assert not set(table["infant"].iloc[train]) & set(table["infant"].iloc[test])
        assert len(train) + len(test) + dropped == len(table)
        assert dropped > 0
    unknown = table.assign(platform=table["platform"].where(table.index > 20, ""))
    assert not {*range(21)} & {
        *np.concatenate([np.r_[h.train, h.test] for h in splits.leave_out(unknown)])
    }
    with pytest.raises(SplitError, match="at least two values"):
        splits.leave_out(table.assign(platform="ios"))
    with pytest.raises(SplitError, match="lacks pain"):
        splits.leave_out(table[(table["platform"] == "ios") | (table["label"] != "pain")])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.drop(columns="infant"), "no column infant"),
        (lambda t: t.iloc[:0], "no row"),
        (lambda t: t.assign(label="cold"), r"label holds \['cold'\]"),
        (lambda t: t.assign(infant=""), "infant has empty values"),
        (lambda t: t.assign(recording="a"), "more than once"),
    ],
)
def test_bad_tables_are_refused(change, text):
    with pytest.raises(SplitError, match=text) as caught:
        splits.four_way(change(study()))
    assert isinstance(caught.value, CryhearError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: splits.four_way(t, "clip"), "unit is 'clip'"),
        (lambda t: splits.four_way(t, "row"), "unit is 'row'"),
        (lambda t: splits.four_way(t, fractions=(0.5, 0.2, 0.2, 0.2)), "fractions"),
        (lambda t: splits.folds(t, n_splits=1), "at least 2"),
        (lambda t: splits.folds(t, n_splits=200), "200 folds by infant of pain"),
        (
            lambda t: splits.folds(t.iloc[:2], n_splits=5, stratify=False),
            r"5 folds by infant of .* expected at least 5 infants\. Take",
        ),
        (lambda t: splits.repeated_folds(t, n_repeats=0), "n_repeats is 0"),
        (lambda t: splits.four_way(t.drop_duplicates("label"), "file"), "cannot be dealt"),
    ],
)
def test_bad_settings_are_refused(call, text):
    with pytest.raises(SplitError, match=text):
        call(study())


def test_class_counts():
    table = pd.DataFrame(
        {"recording": list("abc"), "infant": list("112"), "label": ["pain", "pain", "hunger"]}
    )
    counts = splits.class_counts(table)
    assert counts["recordings"].tolist() == [2, 1, 0]
    assert counts["infants"].tolist() == [1, 1, 0]
