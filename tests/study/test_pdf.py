"""The PDF: what a browser prints is kept whole, and what goes wrong is said."""

from __future__ import annotations

import pytest

from cryhear.errors import StudyError
from cryhear.study import book

EARLIER = b"%PDF-1.4 printed before"


@pytest.fixture
def one_page(monkeypatch):
    """A book of one small page, in place of a build of minutes."""

    def make(run, folder):
        page = folder / "intro.html"
        page.write_text("<!doctype html><meta charset=utf-8><h1>Can a cry tell us why?</h1>")
        return page

    monkeypatch.setattr(book, "one_page", make)


def test_without_a_browser_it_is_refused_before_anything_is_built(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(book, "BROWSERS", ("no-such-browser",))
    with pytest.raises(StudyError, match=r"no Chromium was found \(looked for no-such-browser\)"):
        book.pdf(out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_browser_that_prints_nothing_leaves_the_earlier_pdf(
    tmp_path, monkeypatch, one_page
) -> None:
    (tmp_path / book.PDF).write_bytes(EARLIER)
    monkeypatch.setattr(book, "BROWSERS", ("true",))
    with pytest.raises(StudyError, match="printed nothing: it gave no reason"):
        book.pdf(out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [book.PDF]
    assert (tmp_path / book.PDF).read_bytes() == EARLIER


@pytest.mark.browser
def test_a_browser_prints_the_page(tmp_path, one_page) -> None:
    if not book.chromium():
        pytest.skip("no Chromium on the path: nothing is printed here")
    made = book.pdf(out=tmp_path / "out")
    assert made.read_bytes()[:5] == b"%PDF-"
    assert [path.name for path in made.parent.iterdir()] == [book.PDF]
