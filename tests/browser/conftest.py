"""The published book, built once, and a page of a browser that is offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import report

BUILT = "CRYHEAR_BOOK"
"""Variable that names the pages of a book already built, to look at instead."""


@pytest.fixture(scope="module")
def html(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the book's pages."""
    given = os.environ.get(BUILT)
    return Path(given).resolve() if given else report.build(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    """One page, which notes what it asks for and what it logs."""
    return report.offline_page(browser)


@pytest.fixture(scope="module")
def visits(html: Path) -> list[report.Visit]:
    """Every page of the book, seen once."""
    return report.visit_all(html)
