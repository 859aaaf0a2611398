"""Look at every page of the built book in a browser: what is counted, and a report of it.

``python -m tests.browser.report`` builds the published book, visits each page and prints the counts of
accessibility, links and weight. The tests beside this file hold the same counts.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from html.parser import HTMLParser
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cryhear.study import book

ROOT = Path(__file__).resolve().parents[2]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WIDTHS = (PHONE["width"], 1000, 1200)
"""Widths at which a page is asked for what sticks out: a phone's, and those where the margins come and go."""

PAGE_BYTES, SHARED_BYTES, PAINT_MS = 1_000_000, 4_000_000, 1_000
"""What a page and its pictures may weigh, what all pages share, and when the first text should stand."""

LONGEST_MS = 120_000
"""How long a page may take before it counts as stuck: a busy machine is no fault of the book."""

SERIOUS = ("serious", "critical")
GENERATED = ("genindex", "search")
"""Pages of the builder's own, with no chapter's text in them."""

HEADINGS = """[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')]
    .filter(h => h.getClientRects().length).map(h => +h.tagName[1])"""
NO_ALT = "[...document.querySelectorAll('main img')].filter(i => !i.alt.trim()).map(i => i.src)"
BROKEN = """[...document.querySelectorAll('img')].filter(i => i.loading !== 'lazy' && !i.naturalWidth)
    .map(i => i.src)"""
PAINT = "(performance.getEntriesByName('first-contentful-paint')[0] || {}).startTime || 0"
AXE = """() => axe.run(document, {preload: false, resultTypes: ['violations'],
    rules: {'color-contrast': {enabled: false}}}).then(told)"""
CONTRAST = """() => axe.run({include: kinds()}, {preload: false, resultTypes: ['violations'],
    runOnly: {type: 'rule', values: ['color-contrast']}}).then(told)"""
HELPERS = """
function told(found) {
    return found.violations.flatMap(v => v.nodes.map(n => [v.impact, v.id, n.html.slice(0, 160)]));
}
function ground(e) {
    for (; e; e = e.parentElement) {
        const color = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)$|^transparent/.test(color)) return color;
    }
}
function kinds() {
    const one = new Map();
    for (const e of document.querySelectorAll('body *')) {
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
        const s = getComputedStyle(e);
        const kind = [s.color, ground(e), s.fontSize, s.fontWeight, s.opacity, e.tagName].join('|');
        if (!one.has(kind)) one.set(kind, e);
    }
    return [...one.values()];
}"""
"""Contrast is asked for one of each kind of text (its colour, ground, size, weight), in seconds a page
instead of minutes: equal kinds have equal contrast."""


@dataclass
class Visit:
    """What was seen on one page."""

    name: str
    paint_ms: float = 0.0
    sideways: list[int] = field(default_factory=list)
    """Widths of `WIDTHS` at which the page scrolls sideways."""
    headings: list[int] = field(default_factory=list)
    without_alt: list[str] = field(default_factory=list)
    broken_images: list[str] = field(default_factory=list)
    faults: list[list[str]] = field(default_factory=list)
    """Impact, rule and element, in the light theme; of the dark one, contrast alone."""
    asked: list[str] = field(default_factory=list)
    """Addresses of hosts; each request was stopped."""
    said: list[str] = field(default_factory=list)
    """Errors of the console and of scripts."""

    @property
    def serious(self) -> list[list[str]]:
        """Faults that keep someone out."""
        return [fault for fault in self.faults if fault[0] in SERIOUS]


def build(out: Path) -> Path:
    """Build the published book below `out` and return the folder of its pages."""
    command = [sys.executable, "-m", "cryhear.cli", "book", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return out / "html"


def offline_page(browser: Any) -> Any:
    """A page without a network; its ``asked`` and ``said`` keep what it tried to load and what it logged."""
    # Colours that are still moving into place would be measured in between.
    page = browser.new_context(
        viewport=DESKTOP, offline=True, has_touch=True, reduced_motion="reduce"
    ).new_page()
    page.set_default_timeout(LONGEST_MS)
    page.asked, page.said = [], []
    page.on("request", lambda r: page.asked.append(r.url) if _of_host(r.url) else None)
    page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    return page


def _of_host(address: str) -> bool:
    return urlsplit(address).scheme not in ("file", "data", "blob")


def pages(html: Path) -> list[Path]:
    """Every page of the book; the first only sends on to the cover."""
    found = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    return sorted(path for path in found if path.name != "index.html")


def visit_all(html: Path, jobs: int = 2) -> list[Visit]:
    """Every page of the book, seen once; each of `jobs` processes has a browser of its own."""
    found = pages(html)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        seen = pool.map(_visit_some, [found[i::jobs] for i in range(jobs)])
        return sorted(itertools.chain(*seen), key=lambda visit: visit.name)


def _visit_some(paths: list[Path]) -> list[Visit]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=book.chromium(), args=["--no-sandbox"])
        page = offline_page(browser)
        seen = [visit(page, path) for path in paths]
        browser.close()
    return seen


def name_of(path: Path) -> str:
    """A page's name with its part of the book: ``chapters/01_audit``, ``intro``."""
    return path.stem if path.parent.name == "html" else f"{path.parent.name}/{path.stem}"


def visit(page: Any, path: Path) -> Visit:
    """Open one page, in both themes and at both widths."""
    from axe_playwright_python.base import AXE_FILE_PATH

    page.asked.clear()
    page.said.clear()
    page.set_viewport_size(DESKTOP)
    page.goto(path.as_uri())
    seen = Visit(name_of(path), page.evaluate(PAINT))
    seen.headings, seen.without_alt = page.evaluate(HEADINGS), page.evaluate(NO_ALT)
    seen.broken_images = page.evaluate(BROKEN)
    page.add_script_tag(content=Path(AXE_FILE_PATH).read_text(encoding="utf-8") + HELPERS)
    seen.faults = page.evaluate(AXE) + page.evaluate(CONTRAST)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    seen.faults += page.evaluate(CONTRAST)
    for width in WIDTHS:
        page.set_viewport_size({**DESKTOP, "width": width})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            seen.sideways.append(width)
    seen.asked, seen.said = list(page.asked), list(page.said)
    return seen


class _Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        wanted = given.get("src") or (given.get("href") if tag != "use" else None)
        if wanted:
            self.links.append(wanted)
        if tag == "img" and given.get("src"):
            self.pictures.append(str(given["src"]))


def links(html: Path) -> tuple[Counter[str], list[str]]:
    """How many links lead inside and outside, and those that lead nowhere or are no address."""
    found = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    parsed = {path.resolve(): _Page(path) for path in found}
    counted, wrong = Counter(), []
    for path, page in parsed.items():
        for link in page.links:
            parts = urlsplit(link)
            kind = "outside" if parts.scheme or parts.netloc else "inside"
            if parts.scheme == "data":
                continue
            counted[kind] += 1
            good = _inside(path, link, parsed) if kind == "inside" else _well_formed(link)
            if not good:
                wrong.append(f"{path.name}: {link}")
    return counted, wrong


def _inside(path: Path, link: str, parsed: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return False
    anchor = unquote(parts.fragment)
    # Links to the page's top and to what a script makes carry no anchor of the page.
    return not anchor or target not in parsed or anchor in parsed[target].ids


def _well_formed(link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme == "mailto":
        return bool(re.fullmatch(r"[^@\s]+@[\w-]+(\.[\w-]+)+", parts.path))
    host = re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc)
    return parts.scheme in ("http", "https") and bool(host) and not re.search(r"[\s<>\"]", link)


def weights(html: Path) -> tuple[dict[str, int], int]:
    """Bytes of each page with its own pictures, and of what a page shares with all others.

    Pictures that load only as they come into view are the other pages', and not counted again.
    """
    own = {}
    for path in pages(html):
        text, found = path.read_text(encoding="utf-8"), _Page(path)
        pictures = {(path.parent / src).resolve() for src in found.pictures if "data:" not in src}
        lazy = 'loading="lazy"' in text
        own[name_of(path)] = path.stat().st_size + (
            0 if lazy else sum(p.stat().st_size for p in pictures if "_static" not in p.parts)
        )
    return own, _shared(html)


def _shared(html: Path) -> int:
    used: set[Path] = set()
    for path in pages(html):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r'(?:src|href)="([^"?#]*_static/[^"?#]+)', text):
            used.add((path.parent / name).resolve())
    for sheet in [path for path in used if path.suffix == ".css"]:
        for name in re.findall(r"url\(['\"]?([^'\")?#]+\.woff2)", sheet.read_text("utf-8")):
            used.add((sheet.parent / name).resolve())
    return sum(path.stat().st_size for path in used if path.is_file())


def main() -> int:
    """Print the report; the exit code says whether every budget holds."""
    argparse.ArgumentParser(prog="python -m tests.browser.report", description=__doc__).parse_args()
    if not book.chromium():
        print(f"no Chromium on the path ({', '.join(book.BROWSERS)}): install one for this report")
        return 1
    with tempfile.TemporaryDirectory(prefix="cryhear-look-") as folder:
        html = build(Path(folder))
        visits = visit_all(html)
        counted, wrong = links(html)
        own, shared = weights(html)
    return _print(visits, counted, wrong, own, shared)


def _print(
    visits: list[Visit], counted: Counter[str], wrong: list[str], own: dict[str, int], shared: int
) -> int:
    by_impact = Counter(fault[0] for seen in visits for fault in seen.faults)
    late = [seen.name for seen in visits if seen.paint_ms > PAINT_MS]
    heaviest = max(own, key=lambda name: own[name])
    wide = [f"{seen.name} at {seen.sideways}" for seen in visits if seen.sideways]
    asked = sum(len(seen.asked) for seen in visits)
    said = sum(len(seen.said) for seen in visits)
    print(f"pages visited           {len(visits)}")
    print(f"axe, by impact          {dict(by_impact) or 'none'}")
    print(
        f"links inside, outside   {counted['inside']}, {counted['outside']}; wrong: {wrong or 'none'}"
    )
    print(f"heaviest page           {heaviest}, {own[heaviest]:,} bytes with its pictures")
    print(f"shared by all pages     {shared:,} bytes")
    print(f"first paint, median     {sorted(s.paint_ms for s in visits)[len(visits) // 2]:.0f} ms")
    print(
        f"first paint, latest     {max(s.paint_ms for s in visits):.0f} ms; late: {late or 'none'}"
    )
    print(f"scroll sideways         {wide or 'none'}; asked at {', '.join(map(str, WIDTHS))}")
    print(f"requests to hosts       {asked}")
    print(f"console errors          {said}")
    heavy = own[heaviest] > PAGE_BYTES or shared > SHARED_BYTES
    return int(bool(wrong or wide or asked or said or heavy or any(s.serious for s in visits)))


if __name__ == "__main__":
    raise SystemExit(main())
