"""The published book in a real browser: every page, and what a reader does with it."""

from __future__ import annotations

import itertools

import pytest
import report

pytestmark = pytest.mark.browser

MAP, SOUND = "04_exploration", "02_preprocessing"


def chapter(html, name):
    return (html / "chapters" / f"{name}.html").as_uri()


def test_no_page_keeps_anyone_out(visits) -> None:
    assert len(visits) > 20
    assert {seen.name: seen.serious for seen in visits if seen.serious} == {}
    assert {seen.name: seen.without_alt for seen in visits if seen.without_alt} == {}


def test_headings_go_down_one_step_at_a_time_from_one_title(visits) -> None:
    for seen in visits:
        levels = seen.headings
        if seen.name in report.GENERATED:
            continue
        assert levels[0] == 1, seen.name
        assert levels.count(1) == 1, seen.name
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels)), seen.name


def test_pages_ask_no_host_and_log_no_error(visits) -> None:
    assert {seen.name: seen.asked for seen in visits if seen.asked} == {}
    assert {seen.name: seen.said for seen in visits if seen.said} == {}


def test_every_figure_loads_and_no_page_scrolls_sideways(visits) -> None:
    assert {seen.name: seen.broken_images for seen in visits if seen.broken_images} == {}
    wide = [f"{seen.name} at {seen.sideways}" for seen in visits if seen.sideways]
    assert wide == []


def test_links_lead_somewhere(html) -> None:
    counted, wrong = report.links(html)
    assert counted["inside"] > 1000
    assert counted["outside"] > 10
    assert wrong == []


def test_weights_are_within_their_budget(html) -> None:
    own, shared = report.weights(html)
    assert {name: size for name, size in own.items() if size > report.PAGE_BYTES} == {}
    assert 100_000 < shared < report.SHARED_BYTES


def test_a_reader_goes_from_the_cover_to_the_next_page_and_back(html, page) -> None:
    page.set_viewport_size(report.DESKTOP)
    page.goto((html / "index.html").as_uri())
    page.wait_for_url("**/intro.html")
    page.locator("a.right-next").click()
    page.wait_for_url("**/how_to_read.html")
    page.locator("nav.bd-links a", has_text="Data audit").first.click()
    page.wait_for_url("**/01_audit.html")
    assert "Data audit" in page.locator("h1").first.inner_text()


def test_search_finds_a_term_from_disk(html, page) -> None:
    page.goto((html / "search.html").as_uri() + "?q=leakage")
    found = page.locator("#search-results li a[href*='chapters/09_leakage.html']")
    found.first.wait_for()  # results come in one by one
    assert "no infant is on both sides" in found.first.inner_text()


def test_sounds_can_be_played(html, page) -> None:
    page.goto(chapter(html, SOUND))
    players = page.locator("audio")
    assert players.count() >= 2
    for one in players.all():
        seconds = one.evaluate(
            """a => new Promise((done, fail) => { a.onloadedmetadata = () => done(a.duration);
                a.onerror = () => fail(a.error.message); a.preload = 'metadata'; a.load(); })"""
        )
        assert 0.5 < seconds < 10


def test_the_map_tells_a_point_by_touch_and_changes_colour(html, page) -> None:
    page.goto(chapter(html, MAP))
    drawing, told = page.locator(".crymap .plot"), page.locator(".crymap p")
    assert not told.inner_text().startswith("recording: ")
    drawing.locator(".points use").nth(5).scroll_into_view_if_needed()
    drawing.locator(".points use").nth(5).tap(force=True)
    assert told.inner_text().startswith("recording: ")
    page.select_option(".crymap select", label="platform")
    assert "ios" in page.locator(".crymap ul:visible").inner_text().lower()


def test_formulas_are_whole_on_a_phone(html, page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto((html / "methods.html").as_uri())
    edges = page.locator("div.math math").evaluate_all(
        """formulas => formulas.map(m => { const a = m.parentElement.getBoundingClientRect();
            const parts = [...m.querySelectorAll('*')].map(p => p.getBoundingClientRect());
            return [Math.min(...parts.map(p => p.left)) - a.left,
                    a.right - Math.max(...parts.map(p => p.right))]; })"""
    )
    assert len(edges) > 1
    assert min(min(sides) for sides in edges) >= 0


def test_what_takes_the_keyboard_shows_where_it_is(html, page) -> None:
    page.goto((html / "intro.html").as_uri())
    for _ in range(12):
        page.keyboard.press("Tab")
        style = page.evaluate(
            """() => { const s = getComputedStyle(document.activeElement);
                return [s.outlineStyle, s.boxShadow, document.activeElement.outerHTML.slice(0, 90)]; }"""
        )
        assert style[0] != "none" or style[1] != "none", style[2]


def test_without_scripts_the_text_the_points_and_the_figures_are_there(html, page) -> None:
    plain = page.context.browser.new_context(java_script_enabled=False, offline=True).new_page()
    plain.goto(chapter(html, MAP))
    assert plain.locator(".crymap .points use").count() > 100
    assert plain.locator("figure img").count() > 3
    plain.close()
