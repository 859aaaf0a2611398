"""Numbers in prose: those of results come from the ledger, in chapters, captions, conclusions and pages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from test_notebooks import NOTEBOOKS, ROLE, _cells, _code

ROOT = Path(__file__).parents[1]
PAGES = sorted(p for p in (ROOT / "book").rglob("*.md") if "chapters" not in p.parts)

PERCENTS = {"5", "10", "15", "30", "40", "50", "60", "70", "75", "80", "90", "95", "100"}
"""Shares that are design: overlap, the four-way split, confidence, power, variance kept."""
DECIMALS = {
    "0.0", "0.0001", "0.01", "0.05", "0.1", "0.2", "0.3", "0.5", "0.50", "0.8", "0.9", "0.95", "1.0", "1.1",
    "1.2",    "1.5", "1.8", "1.96", "2.0", "4.1",
}  # fmt: skip
"""Decimals that are design: settings of the chain, of the tests and of figures, effect sizes."""
COUNTS = {
    "100", "101", "128", "200", "256", "300", "320", "400", "500", "512", "521", "1,000", "1,024", "1,280",
    "2,000", "32,000",
}  # fmt: skip
"""Whole numbers that are design or published elsewhere: sizes of models, of clips, of draws."""

ON_PAGES = {
    "beside_the_original": {"0.67"},  # a line of the original's code
    "how_to_read": {"0.57", "0.50", "0.64"},  # an interval made up to explain one
    "hear_column": {"2.18", "4.50"},  # versions of TensorFlow and transformers
    "intro": {"39,201"},
    "checklists": {"1.3", "1.4", "2.1", "3.1", "3.2", "3.3", "180"},  # items; a paper's figure
    "protocol": {
        ".30",
        ".39",
        ".41",
        ".48",
        ".63",
        ".78",
        "0.075",
        "0.15",
    },  # frozen before any run; effects
    "speed": {"0.03", "10,000", "100,000"},  # what was wanted, and sizes of corpora
    "rerun": {"130", "141", "143", "192"},
    "use": {"130", "141", "143"},
}
"""What a page may hold besides: other people's figures, examples, wishes, exit codes, sampling rates."""

RECORDERS = ("figure", "table", "conclude")
"""Methods of a run whose texts a reader sees."""


def typed_numbers(markdown: str) -> list[str]:
    """Numbers in prose that are in no list of design constants, roles and code left out."""
    text = re.sub(r"```.*?```|\$[^$]*\$", " ", markdown, flags=re.S)
    text = re.sub(r"`[^`]*`", " ", ROLE.sub(" ", text))
    text = re.sub(r"\]\([^)]*\)|\{:[^}]*\}", "]", text)
    suspects = [n for n in re.findall(r"(\d[\d.,]*)\s?%", text) if n not in PERCENTS]
    plain = re.sub(r"\d[\d.,]*\s?%", " ", text)
    for number in re.findall(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+)(?![\w])", plain):
        if "." in number:
            known = number in DECIMALS
        else:
            year = re.fullmatch(r"(19|20)\d\d", number)
            known = bool(year) or len(number) < 3 or number in COUNTS
        if not known:
            suspects.append(number)
    return suspects


def texts(source: str) -> list[str]:
    """Captions, alternative texts and conclusions handed to a run, without what is computed into them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in [f"run.{r}" for r in RECORDERS]:
            computed = {
                id(inner)
                for part in ast.walk(node)
                if isinstance(part, ast.FormattedValue)
                for inner in ast.walk(part)
            }
            found += [
                part.value
                for argument in [
                    *node.args[1:],
                    *(k.value for k in node.keywords if k.arg == "alt"),
                ]
                for part in ast.walk(argument)
                if isinstance(part, ast.Constant)
                and isinstance(part.value, str)
                and id(part) not in computed
            ]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_result_is_typed_into_a_chapter(path):
    """Numbers of results come by {num}; what may be typed is listed at the head of this file."""
    for cell in _cells(path):
        if cell.cell_type == "markdown":
            assert typed_numbers(cell.source) == [], cell.source[:80]
    for text in (text for source in _code(path) for text in texts(source)):
        assert typed_numbers(text) == [], text[:80]


def test_no_sentence_of_the_book_is_in_the_library():
    """Captions and conclusions stand in the chapters, where their numbers are."""
    said = {p.name: texts(p.read_text("utf-8")) for p in (ROOT / "cryhear").rglob("*.py")}
    assert {name: found for name, found in said.items() if found} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_result_is_typed_into_a_page(path):
    plain = re.sub(r"<[^>]*>|\bdoi\s+10\.[\d./]+", " ", path.read_text("utf-8"))
    plain = re.sub(r"(Python|ODbL|License|Attribution|section|item|RFC) \d+(\.\d+)*", " ", plain)
    typed = [n for n in typed_numbers(plain) if n not in ON_PAGES.get(path.stem, ())]
    assert typed == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("run.conclude('k', x > 0, 'It is 0.57.', 'It is not.')", ["0.57"]),
        ("run.figure('k', f, 'Of 927 files.', f'Half: {x:.2f}', t)", ["927"]),
        ("run.figure('k', f, 'Of {num}`a.n` files.', f'{x:.0%} of {n}', t)", []),
    ],
)
def test_numbers_typed_into_captions_and_conclusions_are_seen(source, found):
    assert [n for text in texts(source) for n in typed_numbers(text)] == found


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("It scores 0.57 at best", ["0.57"]),
        ("a share of .41 is chance", [".41"]),
        ("62 % of them", ["62"]),
        ("all 927 recordings, 1,128 files", ["927", "1,128"]),
        (
            "2.0 s at 16 kHz, 95 % of {num}`audit.n_used` in 2024; see `f(0.123)` and $x = 0.777$",
            [],
        ),
    ],
)
def test_typed_numbers_are_seen(prose, found):
    assert typed_numbers(prose) == found
