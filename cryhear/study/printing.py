"""The whole book as one PDF: one HTML page of everything, printed by a Chromium.

The style sheet's print rules set the pages: no sidebars, figures and rows of tables uncut, and without
the library's pages, which are for the screen. Nothing is fetched: the browser reads from disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cryhear.errors import StudyError
from cryhear.study import book

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Commands under which a Chromium is found."""

LONGEST_S = 600
"""Seconds after which a browser that has not printed is given up."""

NAME = "cryhear.pdf"


def chromium() -> str | None:
    """Path of a Chromium, where one is found."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def pdf(
    run: str | os.PathLike[str] | None = None, out: str | os.PathLike[str] = book.BUILD
) -> Path:
    """Print the book to `out`/cryhear.pdf.

    Parameters
    ----------
    run : path-like, optional
        A finished run's folder; the published run by default.
    out : path-like
        Folder of the PDF; a PDF already there is replaced only when the new one is whole.

    Raises
    ------
    StudyError
        If no Chromium is found, the book cannot be built, or the browser prints nothing.
    """
    browser = chromium()
    if browser is None:
        raise StudyError(
            f"no Chromium was found (looked for {', '.join(BROWSERS)}); install one, or print "
            "_build/html from any browser"
        )
    target = Path(out) / NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pdf.") as folder:
        page = book.one_page(run, Path(folder))
        made = Path(folder) / NAME
        _print(browser, page, made)
        made.replace(target)
    return target


def _print(browser: str, page: Path, target: Path) -> None:
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
        "--generate-pdf-document-outline",
        f"--user-data-dir={target.parent / 'browser'}", f"--print-to-pdf={target}",
        page.resolve().as_uri(),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise StudyError(f"{browser} did not print {page.name} within {LONGEST_S} s") from None
    if not target.exists() or target.read_bytes()[:5] != b"%PDF-":
        said = done.stderr.strip().splitlines()[-3:]
        raise StudyError(f"{browser} printed nothing: {' '.join(said) or 'it gave no reason'}")
