"""The `{num}` role: formats by unit, parts, unknown keys, and text that holds roles itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from mathml import convert
from numrole import explain, find, quantity, show

from cryhear.errors import LedgerError

NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1128, "count", "1,128"),
        (7, "count", "7"),
        (12.5, "count", "12.5"),
        (0.4125, "share", f"41.2{NBSP}%"),
        (1, "share", f"100{NBSP}%"),
        (0, "share", f"0{NBSP}%"),
        (0.9998, "share", f"more than 99.9{NBSP}%"),
        (0.0003, "share", f"less than 0.1{NBSP}%"),
        (-0.0003, "share", f"0.0{NBSP}%"),
        (0.5666, "score", "0.57"),
        (0.5, "score", "0.50"),
        (0.123, "difference", "+0.12"),
        (-0.123, "difference", "\N{MINUS SIGN}0.12"),
        (-0.001, "difference", "0.00"),
        (0.0004, "probability", "less than 0.001"),
        (0.012, "probability", "0.012"),
        (0.43, "probability", "0.43"),
        (1.066, "ratio", "1.07"),
        (2.345, "ratio", "2.3"),
        (20.78, "ratio", "21"),
        (1496.8, "ratio", "1,497"),
        (0.000612, "ratio", "0.000612"),
        (2.0, "seconds", f"2{NBSP}s"),
        (0.12345, "seconds", f"0.123{NBSP}s"),
        (5, "minutes", f"5{NBSP}min"),
        (16000, "hz", f"16,000{NBSP}Hz"),
        (-20.26, "dbfs", f"\N{MINUS SIGN}20.3{NBSP}dBFS"),
        (32000, "samples", "32,000"),
        (1024, "dimensions", "1,024"),
        (True, "text", "yes"),
        ("it holds", "text", "it holds"),
    ],
)
def test_each_unit_has_its_format(value: object, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_a_value_that_is_no_number_is_said_to_be_missing() -> None:
    assert quantity(float("nan"), "score") == "not available"


@pytest.mark.parametrize(
    ("value", "n", "text"),
    [
        (0.8, 10, "8 of 10"),
        (1.0, 6, "6 of 6"),
        (0.0, 24, "0 of 24"),
        (23 / 24, 24, "23 of 24"),
        (0.8, 40, f"80{NBSP}%"),
        (0.255, 72, f"26{NBSP}%"),
        (0.998, 40, f"more than 99{NBSP}%"),
        (0.004, 40, f"less than 1{NBSP}%"),
        (0.9977, 10, f"more than 99{NBSP}%"),  # not counted from the ten: no count is made up
        (0.8004, 927, f"80.0{NBSP}%"),
        (1.0, 927, f"100{NBSP}%"),
    ],
)
def test_a_share_is_printed_no_finer_than_its_n(value: float, n: int, text: str) -> None:
    assert show({"value": value, "unit": "share", "n": n}) == text


def test_ends_of_an_interval_of_few_stay_in_per_cent() -> None:
    entry = {"value": 1.0, "unit": "share", "n": 8, "low": 0.6756, "high": 1.0}
    assert show(entry, "ci") == f"8 of 8 (68{NBSP}% to 100{NBSP}%)"
    assert show(entry, "low") == f"68{NBSP}%"
    assert explain("a.kept", entry) == f"a.kept; interval 68{NBSP}% to 100{NBSP}%; n = 8"


ENTRY = {
    "value": 0.566,
    "unit": "score",
    "low": 0.501,
    "high": 0.639,
    "n": 1128,
    "note": "10 repeats",
}


def test_parts_of_a_number() -> None:
    assert show(ENTRY) == "0.57"
    assert show(ENTRY, "ci") == "0.57 (0.50 to 0.64)"
    assert show(ENTRY, "n") == "1,128"
    assert show(ENTRY, "low") == "0.50"
    assert show(ENTRY, "note") == "10 repeats"


def test_the_tooltip_gives_interval_n_and_note() -> None:
    assert explain("a.auc", ENTRY) == "a.auc; interval 0.50 to 0.64; n = 1,128; 10 repeats"


def test_a_part_that_was_not_recorded_is_refused() -> None:
    with pytest.raises(LedgerError, match="without low and high"):
        show({"value": 1, "unit": "count"}, "ci")
    with pytest.raises(LedgerError, match="'interval' is no part"):
        show(ENTRY, "interval")


def test_an_unknown_key_names_its_neighbours() -> None:
    with pytest.raises(LedgerError, match=r"audit\.n_used"):
        find({"audit.n_used": ENTRY}, "audit.nused")


def test_a_formula_becomes_mathml_that_keeps_its_source() -> None:
    mathml = convert(r"\frac{a}{b}")
    assert mathml.startswith("<math ")
    assert "<mfrac>" in mathml
    assert r'alttext="\frac{a}{b}"' in mathml


def build(
    folder: Path,
    page: str,
    numbers: dict[str, object],
    skipped: str = "",
    published: dict[str, object] | None = None,
) -> tuple[str, str]:
    """Build one Markdown page with Sphinx alone; return its HTML and the warnings."""
    import io

    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    (folder / "chapters" / "01_audit").mkdir(parents=True)
    ledger = {"chapter": "01_audit", "numbers": numbers}
    (folder / "chapters" / "01_audit" / "ledger.json").write_text(json.dumps(ledger))
    elsewhere = folder / "published.json"
    elsewhere.write_text(json.dumps({"chapter": "01_audit", "numbers": published or {}}))
    (folder / "conf.py").write_text(
        "extensions = ['myst_parser', 'numrole', 'mathml']\n"
        "html_math_renderer = 'mathml'\nmyst_enable_extensions = ['dollarmath']\n"
        f"cryhear_skipped = [{skipped!r}]\ncryhear_published = [{elsewhere.as_posix()!r}]\n"
    )
    (folder / "index.md").write_text(page)
    warnings = io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            folder, folder, folder / "out", folder / "trees", "html", status=None, warning=warnings
        )
        app.build()
    return (folder / "out" / "index.html").read_text(), warnings.getvalue()


def test_a_page_takes_its_numbers_from_the_ledger(tmp_path: Path) -> None:
    numbers = {
        "n": {"value": 1128, "unit": "count"},
        "verdict": {"value": "*Yes*, of {num}`audit.n`.", "unit": "text"},
    }
    page = "# Page\n\n{num}`audit.n` and {num}`audit.verdict` but {num}`mlp.auc`; $x^2$\n"
    text, warnings = build(tmp_path, page, numbers, skipped="mlp")
    assert '<abbr class="num" title="audit.n">1,128</abbr>' in text
    assert "<em>Yes</em>, of <abbr" in text
    assert "(not run here)" in text
    assert "<msup>" in text
    assert "tex-mml-chtml" not in text  # the script MathJax is fetched as
    assert warnings == ""


def test_an_unknown_key_is_a_warning_with_its_place(tmp_path: Path) -> None:
    text, warnings = build(
        tmp_path, "# Page\n\n{num}`audit.m`\n", {"n": {"value": 1, "unit": "count"}}
    )
    assert "index.md:3: WARNING" in warnings
    assert "no ledger has the number 'audit.m' (nearest: audit.n)" in warnings
    assert "[audit.m?]" in text


def test_what_only_the_published_run_has_is_said_not_to_be_had(tmp_path: Path) -> None:
    whole = {"value": 0.5, "unit": "score", "low": 0.4, "high": 0.6, "n": 90}
    bare = {"value": 0.7, "unit": "score"}
    page = (
        "# Page\n\n{num}`audit.far ci`; {num}`audit.auc ci`, {num}`audit.auc n`; {num}`audit.raw`\n"
    )
    text, warnings = build(
        tmp_path, page, {"auc": bare, "raw": bare}, published={"auc": whole, "far": whole}
    )
    said = re.sub(r"<[^>]+>", "", text)
    absent = "(not to be had from this study)"
    assert f"{absent}; 0.70, {absent}; 0.70" in said
    assert warnings == ""


def test_a_part_that_the_published_run_lacks_too_is_a_mistake(tmp_path: Path) -> None:
    bare = {"raw": {"value": 0.7, "unit": "score"}}
    _, warnings = build(tmp_path, "# Page\n\n{num}`audit.raw ci`\n", bare, published=bare)
    assert "recorded without low and high" in warnings


def test_a_conclusion_that_quotes_itself_ends(tmp_path: Path) -> None:
    numbers = {"loop": {"value": "Again {num}`audit.loop`", "unit": "text"}}
    _, warnings = build(tmp_path, "# Page\n\n{num}`audit.loop`\n", numbers)
    assert "quotes itself" in warnings
