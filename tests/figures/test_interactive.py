"""The interactive map: self-contained, escaped, static without scripts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from cryhear.errors import EvaluationError
from cryhear.figures.interactive import GREY, LARGEST, MAXIMUM, scatter

BUDGET = 300_000
"""Bytes a map of 1,000 points may add to a page."""
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&\u2028"


def table(n: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n), "y": rng.normal(size=n),
            "label": rng.choice(["pain", "hunger", "neurological"], n),
            "infant": [f"{i:016x}" for i in rng.integers(0, 300, n)],
            "platform": rng.choice(["android", "ios", ""], n), "level_dbfs": rng.normal(-30, 5, n),
        }
    )  # fmt: skip


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_thousand_points_fit_the_budget_and_ask_for_nothing() -> None:
    text = scatter(
        table(), colour_by=("label", "infant", "platform"), hover=("label", "infant", "level_dbfs")
    )
    assert len(text.encode()) < BUDGET
    assert "http" not in text
    assert "url(" not in text
    for _, attributes in Elements(text).found:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")


def test_without_scripts_points_legend_and_texts_are_there() -> None:
    rows = table(50)
    text = scatter(rows, colour_by=("label", "platform"))
    static = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert static.count("<title>") == 50
    assert [f"{c}</li>" in static for c in ("pain", "hunger", "neurological")] == [True] * 3
    assert f"label: {rows['label'].iloc[0]}; platform: " in static
    assert "<label hidden>" in static


def test_looks_are_those_of_the_group_of_every_row() -> None:
    rows = table(400)
    columns = ("label", "platform", "infant")
    uses = [a for tag, a in Elements(scatter(rows, colour_by=columns)).found if "data-looks" in a]
    looks = pd.DataFrame([use["data-looks"].split(" ") for use in uses], columns=columns)
    assert len(looks) == 400
    for column in ("label", "platform"):  # one look a group, another for each
        assert looks.groupby(rows[column].to_numpy())[column].nunique().max() == 1
        assert looks[column].nunique() == rows[column].nunique()
    coloured = looks["infant"] != f"{GREY[1]}{GREY[0]}"
    assert rows["infant"][coloured].nunique() == looks["infant"][coloured].nunique() == LARGEST
    assert [f"{use['href'][-1]}{use['fill']}" for use in uses] == list(looks["label"])


def test_hostile_text_stays_text() -> None:
    rows = table(20)
    rows.loc[0, "platform"] = HOSTILE
    text = scatter(
        rows,
        colour_by=("platform",),
        axis_names=(HOSTILE, "y"),
    )
    found = Elements(text).found
    assert "img" not in {tag for tag, _ in found}
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)
    assert text.count("<script") == text.count("</script>") == 1
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in text


def test_same_table_same_text_and_table_unchanged() -> None:
    rows = table(30)
    before = rows.copy()
    assert scatter(rows) == scatter(rows.copy())
    pd.testing.assert_frame_equal(rows, before)
    assert scatter(rows).count(re.search(r'id="(map\w+)"', scatter(rows))[1]) > 3


def test_points_lie_where_the_table_says() -> None:
    rows = pd.DataFrame(
        {"x": [0.0, 1.0, 0.5], "y": [0.0, 1.0, 0.5], "label": ["pain", "hunger", "pain"]}
    )
    uses = [a for tag, a in Elements(scatter(rows)).found if tag == "use" and "x" in a]
    x, y = ([float(u[axis]) for u in uses] for axis in ("x", "y"))
    assert x[0] < x[2] < x[1]
    assert y[1] < y[2] < y[0]
    assert [u["fill"] for u in uses] == ["#D55E00", "#0072B2", "#D55E00"]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(EvaluationError, match="without age_band"):
        scatter(table(5), colour_by=("age_band",))
    with pytest.raises(EvaluationError, match="not finite"):
        scatter(table(5).assign(x=np.nan))
    with pytest.raises(EvaluationError, match="got 0 points"):
        scatter(table(5).iloc[:0])
    with pytest.raises(EvaluationError, match=f"{MAXIMUM + 1} points"):
        scatter(table(MAXIMUM + 1))


@pytest.mark.browser
def test_touch_and_switch_in_a_browser(tmp_path, browser) -> None:
    rows = table(60)
    rows.loc[0, "platform"] = HOSTILE
    page_file = tmp_path / "map.html"
    body = scatter(rows, colour_by=("label", "platform"), hover=("infant",))
    page_file.write_text(f"<!doctype html><meta charset=utf-8><body>{body}", encoding="utf-8")
    page = browser.new_page(has_touch=True)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append("dialog"), dialog.dismiss()))
    page.goto(page_file.as_uri())
    assert page.locator("p").inner_text() == "Map of recordings"
    page.locator(".points use").nth(5).tap(force=True)
    assert page.locator("p").inner_text().startswith("infant: ")
    page.select_option("select", "platform")
    assert "android" in page.locator("ul:visible").inner_text()
    assert troubles == []
