"""The movable threshold: counts as stated, static without scripts, the same count in a browser."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from cryhear.corpus.labels import CLASSES
from cryhear.errors import EvaluationError
from cryhear.evaluation.bootstrap import PROBABILITIES
from cryhear.figures.threshold import START, STEPS, matrix, slider, summary

BUDGET = 20_000
"""Bytes a slider over 300 recordings may add to a page."""


def predictions(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    p = rng.dirichlet([2, 3, 2], n).astype(np.float32)
    y = np.array(CLASSES)[np.r_[0, 1, 2, rng.integers(0, 3, n - 3)]]
    return pd.DataFrame(p, columns=list(PROBABILITIES)).assign(label=y)


def counted(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"<td[^>]*>(\d+)<br>", text)]


def test_a_threshold_names_its_class_and_else_the_likelier_of_the_others() -> None:
    y = np.array([0, 1, 2, 0])
    p = np.array([[40, 35, 25], [40, 30, 30], [39, 21, 40], [10, 45, 45]])
    assert matrix(y, p, 0, 40).tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert matrix(y, p, 0, 0)[:, 0].tolist() == [2, 1, 1]
    assert matrix(y, p, 0, 101)[:, 0].tolist() == [0, 0, 0]
    assert summary(matrix(y, p, 0, 40), 0) == (
        "Found: 1 of 2 recordings of pain. Named pain: 2, of which 1 wrongly."
    )


def test_a_higher_threshold_never_finds_more() -> None:
    rows = predictions()
    y = pd.Categorical(rows["label"], CLASSES).codes.astype(int)
    p = rows[list(PROBABILITIES)].to_numpy()
    for chosen in range(3):
        named = [matrix(y, p, chosen, t)[:, chosen].sum() for t in np.linspace(0, 1, 21)]
        assert named[0] == len(rows)
        assert named == sorted(named, reverse=True)
        assert all(matrix(y, p, chosen, t).sum() == len(rows) for t in (0, 0.5, 1))


def test_without_scripts_the_matrix_at_the_start_is_there() -> None:
    rows = predictions()
    before = rows.copy()
    text = slider(rows, title="A <b>& title")
    pd.testing.assert_frame_equal(rows, before)
    assert text == slider(rows, title="A <b>& title")
    static = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    y = pd.Categorical(rows["label"], CLASSES).codes.astype(int)
    p = np.rint(rows[list(PROBABILITIES)].to_numpy(float) * STEPS)
    assert counted(static) == matrix(y, p, 0, START).ravel().tolist()
    assert "<caption>A &lt;b&gt;&amp; title</caption>" in static
    assert '<div class="set" hidden>' in static
    assert "http" not in text
    assert len(text.encode()) < BUDGET


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(EvaluationError, match="hold no hunger"):
        slider(predictions().query("label != 'hunger'"))
    with pytest.raises(EvaluationError, match="sums to 1 only within"):
        slider(predictions().assign(p_pain=0.0))


@pytest.mark.browser
def test_the_browser_counts_as_python_does(tmp_path, browser) -> None:
    rows = predictions()
    y = pd.Categorical(rows["label"], CLASSES).codes.astype(int)
    p = np.rint(rows[list(PROBABILITIES)].to_numpy(float) * STEPS)
    page_file = tmp_path / "slider.html"
    page_file.write_text(f"<!doctype html><meta charset=utf-8><body>{slider(rows)}", "utf-8")
    page = browser.new_page()
    page.goto(page_file.as_uri())
    for chosen, threshold in ((0, START), (1, 250), (2, 0), (0, 1000), (1, 610)):
        page.select_option("select", str(chosen))
        page.locator("input").fill(str(threshold))
        counts = matrix(y, p, chosen, threshold)
        assert counted(page.locator("table").inner_html()) == counts.ravel().tolist()
        assert page.locator("[aria-live]").inner_text() == summary(counts, chosen)
    page.locator("input").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("output").inner_text() == "0.62"
