"""What a set of recordings cannot be asked, from its labels and names alone."""

from __future__ import annotations

import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import cryhear
from cryhear import files
from cryhear.corpus import manifest, questions
from cryhear.corpus.labels import CLASSES

ROWS = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.integers(0, 12)), min_size=1, max_size=60
).map(lambda rows: pd.DataFrame(rows, columns=["label", "infant"]).astype({"infant": str}))


@given(ROWS, st.integers(2, 10))
@settings(deadline=None)
def test_a_chapter_is_refused_where_a_class_is_missing_or_has_too_few_infants(used, folds):
    infants = used.groupby("label")["infant"].nunique()
    missing = set(CLASSES) - set(infants.index)
    assert questions.refusal(used, "01_audit", folds) == ""
    assert bool(questions.refusal(used, "05_classical", folds)) == bool(missing)
    few = bool(missing) or infants.min() < folds
    assert bool(questions.refusal(used, "09_leakage", folds)) == few


@given(ROWS)
@settings(deadline=None)
def test_what_is_told_beforehand_is_what_chapters_refuse(used):
    sentences = " ".join(why for _, why in questions.limits(used))
    for chapter in (*questions.COMPARING, "12_recording"):
        if questions.refusal(used, chapter):
            assert "cannot be asked" in sentences
    assert ("No infant has two" in sentences) == (not used["infant"].duplicated().any())


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("pain", "hunger"), "No class neurological: chapters 5 to 11 compare"),
        (("hunger",), "No class pain and no class neurological"),
        (
            CLASSES,
            "Fewer than 5 infants of pain (1), hunger (1), neurological (1): chapters 7, 9, 10 and 11",
        ),
    ],
)
def test_a_refusal_is_a_sentence_for_its_reader(labels, says):
    used = pd.DataFrame({"label": labels, "infant": [f"i{n}" for n in range(len(labels))]})
    said = questions.refusal(used, "09_leakage")
    assert says in said
    assert said[0].isupper()
    assert said.endswith(".")


@pytest.mark.parametrize(("named", "says"), [(False, True), (True, False)])
def test_a_chapter_says_at_its_top_where_nobody_knows_who_cried(
    tmp_path, capsys, tone, named, says
):
    for n in range(3):
        name = f"baby{n}-143074219700{n}-1.0-m-04-hu" if named else f"hungry_{n}"
        soundfile.write(tmp_path / f"{name}.wav", tone(2.5, 400.0 + 90 * n), 16_000)
    table, _ = manifest.build([tmp_path])
    files.write_table(tmp_path / "derived" / "manifest.parquet", table)
    files.write_json(
        tmp_path / "params.json", {"name": "own", "source": {"roots": [str(tmp_path)]}}
    )
    for chapter in ("01_audit", "02_preprocessing"):
        given = {} if chapter.startswith("02") else {"set": tmp_path.name}
        cryhear.open_chapter(chapter, {"study": str(tmp_path), **given})
        spoken = says and chapter == "01_audit"
        assert ("Nobody knows who cried in 3 of these 3" in capsys.readouterr().out) == spoken


def test_a_page_says_where_nobody_knows_who_cried():
    used = pd.DataFrame({"reason": ["", "hu", ""]})
    assert questions.unnamed(used).startswith("Nobody knows who cried in 2 of these 3 recordings")
    assert questions.unnamed(used.iloc[1:2]) == ""
