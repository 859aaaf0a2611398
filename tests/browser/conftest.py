"""The published book, built once, and a browser that is offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_socket
import report

BUILT = "CRYHEAR_BOOK"
"""Variable that names the pages of a book already built, to look at instead."""


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the book's pages."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not report.chromium():
        pytest.skip("no Chromium on the path: the built book is not looked at here")
    if not list((report.ROOT / "book" / "chapters").glob("*.ipynb")):
        pytest.skip("nothing has been published here yet: `make publish` does")
    given = os.environ.get(BUILT)
    return Path(given).resolve() if given else report.build(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def page(html: Path) -> Iterator[Any]:
    """One page of a browser; it is driven over a local pipe, and is itself offline."""
    pytest_socket.enable_socket()
    with report.browsing(html) as opened:
        yield opened


@pytest.fixture(scope="session")
def visits(html: Path, page: Any) -> list[report.Visit]:
    """Every page of the book, seen once."""
    return [report.visit(page, path) for path in report.pages(html)]
