"""The page as a browser shows it: widths and schemes, keyboard alone, without scripts, on paper, links, axe-core."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.page.browsing import Browser

WIDTHS = (360, 768, 1440)
SCHEMES = ("light", "dark")
PAPER_PX = 718
"""Width of A4 between margins of 1 cm, at 96 pixels an inch."""
VIEWS = {
    "report": "",
    "list": "#set=s1",
    "judged": "#set=s3",
    "pairs": "#set=r1",
    "scores": "#set=c1&beside=c2",
    "all": "#set=all",
    "compare": "#set=s1&beside=s2",
    "item": "#item=HumanEval%2F1&set=s1",
    "items": "#item=HumanEval%2F1&set=s1&beside=s2",
    "replies": "#item=follow%2F0&set=s3",
    "row": "#row=alpaca%2F0&set=r1",
    "rows": "#row=alpaca%2F4&set=c1&beside=c2",
    "unknown": "#set=nothing",
}
"""Name of a view -> its route in the small page; a job's is asked from the page itself."""


@pytest.fixture
def report(browser: "Browser", small: Path) -> "Browser":
    """The small page, as wide as a desk's screen."""
    browser.view()
    browser.open(small)
    return browser


def job_route(browser: "Browser") -> str:
    return str(browser.run("return address({job: sets.get('s1').job})"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_amiss_at_any_width_in_any_scheme(browser: "Browser", small: Path, width: int, scheme: str) -> None:
    browser.view(width, scheme)
    browser.open(small)
    found: dict[str, Any] = {}
    for name, route in {**VIEWS, "job": job_route(browser)}.items():
        browser.go(route)
        found[name] = [*browser.logged(), *browser.findings()]
        if wide := browser.too_wide():
            found[name].append(f"{wide} pixels wider than the window")
    assert found == {name: [] for name in found}


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_of_a_whole_store_is_fit_to_read(browser: "Browser", page_file: Path, width: int) -> None:
    browser.view(width)
    browser.open(page_file)
    assert [browser.logged(), browser.findings(), browser.too_wide()] == [[], [], 0]
    browser.go("#set=s1")
    assert [browser.logged(), browser.findings(), browser.too_wide()] == [[], [], 0]


def test_targets_are_24_pixels_high(browser: "Browser", small: Path) -> None:
    browser.view(360)
    browser.open(small)
    low = """const chosen = 'nav a, .contents a, .items, button, input, select, summary, .rows a';
        return [...document.querySelectorAll(chosen)]
        .filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 24).map(one => one.outerHTML)"""
    for route in VIEWS.values():
        browser.go(route)
        assert browser.run(low) == []


def test_every_link_of_the_page_leads_somewhere(report: "Browser") -> None:
    links = "return [...document.querySelectorAll('a')].map(one => one.getAttribute('href'))"
    waiting, seen = [""], {""}
    while waiting:
        report.go(waiting.pop())
        assert report.texts("[role=alert]") == []
        found = set(report.run(links)) - seen
        assert all(href.startswith("#") for href in found)
        seen |= found
        waiting += sorted(found)
    assert len(seen) > 60
    assert report.logged() == []


def test_the_way_back_leads_to_the_number_that_was_followed(report: "Browser") -> None:
    report.run("document.querySelector('a.items[href=\"#set=s2\"]').click()")
    report.await_view()
    assert report.text("#explorer-title") == "humaneval: llama-3.1-8b-instruct"
    assert report.focus().get_attribute("id") == "explorer-title"
    report.run("document.querySelector('#explorer a').click()")
    report.await_view()
    assert report.run("return document.getElementById('explorer').hidden")
    assert report.focus().get_attribute("href").endswith("#set=s2")


def walk(page: "Browser", steps: int, route: str) -> None:
    """Walk back or forth in the browser's history, and wait until the page shows that route."""
    page.run("history.go(arguments[0])", steps)
    shown = "const made = document.getElementById('explorer'); return made && made.dataset.shown"
    page.wait(lambda: page.run(shown) == route and page.run("return location.hash") == route)


def test_the_browsers_own_way_back_and_forth(report: "Browser") -> None:
    item = "#item=HumanEval%2F3&set=s1"
    report.go("#set=s1")
    report.go(item)
    walk(report, -1, "#set=s1")
    assert report.text("#explorer-title") == "humaneval: qwen-2-7b-instruct"
    walk(report, -1, "")
    assert report.run("return parts.hidden") is False
    walk(report, 2, item)
    assert report.text("#explorer-title") == "HumanEval/3: humaneval"
    assert report.run("return document.title").startswith("HumanEval/3: humaneval - ")


def test_keys_alone_lead_from_a_number_to_an_item(report: "Browser") -> None:
    tab, enter = "\ue004", "\ue007"
    tabbed_to(report, tab, lambda one: (one.get_attribute("href") or "").endswith("#set=s1"))
    report.press(enter)
    report.await_view()
    tabbed_to(report, tab, lambda one: one.get_attribute("type") == "search")
    report.press("x + 3")
    report.wait(lambda: report.text("[role=status]") == "1 of 12 rows")
    tabbed_to(report, tab, lambda one: one.text == "HumanEval/3")
    report.press(enter)
    report.wait(lambda: report.text("#explorer-title") == "HumanEval/3: humaneval")
    assert "return x + 3" in report.text(".side .text")


def tabbed_to(browser: "Browser", tab: str, wanted: Any) -> None:
    """Press the tabulator until an element has the focus, which must be seen to have it."""
    for _ in range(80):
        browser.press(tab)
        if wanted(browser.focus()):
            assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError("the tabulator does not lead there")


def test_skipping_to_the_content_stays_in_the_explorer(report: "Browser") -> None:
    report.go("#set=s1")
    report.run("document.querySelector('.skip').click()")
    assert report.focus().get_attribute("id") == "explorer-title"
    assert report.run("return location.hash") == "#set=s1"


def test_without_javascript_the_tables_are_read(browser: "Browser", small: Path) -> None:
    browser.view(scripts=False)
    try:
        browser.driver.get(small.as_uri())
        shown = browser.driver.find_element("css selector", "body").text
    finally:
        browser.view()
    assert "33.33 \N{PLUS-MINUS SIGN}13.6" in shown
    assert "paper 62.00" in shown
    assert "\N{CHECK MARK} match" in shown
    assert "Without JavaScript the rows behind the numbers can't be opened" in shown
    assert "All items" not in shown  # only the script can show them


def test_each_verdict_has_a_sign_beside_its_colour(report: "Browser") -> None:
    signs = set(report.texts("td .sign"))
    assert signs == {"\N{CHECK MARK} match", "\N{MULTIPLICATION X} off", "? cannot tell", "\N{EN DASH} missing"}


def test_paper_has_the_report_alone(browser: "Browser", small: Path) -> None:
    hidden = "return ['#explorer', 'nav', '.skip'].filter(one => document.querySelector(one).checkVisibility())"
    cut = """return [...document.querySelectorAll('.scroll')]
        .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth).length"""
    browser.view()
    browser.open(small, "#set=s1")
    browser.view(PAPER_PX, "dark", "print")
    try:
        assert browser.run(hidden) == []
        assert browser.run("return document.querySelector('#table-2 table').checkVisibility()")
        assert browser.run(cut) == 0
        assert browser.too_wide() == 0
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 251)"
        colours = "getComputedStyle(document.querySelector(arguments[0])).color"
        assert browser.run(f"return {colours}", "#claims p") == browser.run(f"return {colours}", "body")
    finally:
        browser.view()


def test_a_first_column_stays_where_a_table_is_moved(browser: "Browser", small: Path) -> None:
    browser.view(360)
    browser.open(small)
    moved = """const region = document.querySelector('#table-2 .scroll');
        const left = () => region.querySelector('tbody th').getBoundingClientRect().left;
        const before = left(); region.scrollLeft = 200; return [region.scrollLeft, left() - before]"""
    assert browser.run(moved) == [200, 0]


PAGE, PICTURE = "KIT_TEST_PAGE", "KIT_TEST_PICTURE"
"""Variables: a page that ``kit report --html`` wrote, to be opened in the place of a made-up one, and the file that its
picture is written into: ``docs/report.png``, which README shows."""


def test_the_page_of_whole_tables_is_sound_and_its_picture_is_made(
    browser: "Browser", page_file: Path, tmp_path: Path
) -> None:
    page = Path(os.environ.get(PAGE, page_file)).resolve()
    assert page.stat().st_size < 3_000_000
    for width, scheme in ((1440, "light"), (768, "dark"), (360, "dark")):
        browser.view(width, scheme)
        browser.open(page)
        assert (browser.findings(), browser.too_wide(), browser.logged()) == ([], 0, [])
    browser.view(1440, "light")
    browser.open(page)
    picture = Path(os.environ.get(PICTURE, tmp_path / "report.png")).resolve()
    browser.picture(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_every_link_of_whole_tables_shows_something(browser: "Browser", page_file: Path) -> None:
    browser.view()
    browser.open(page_file)
    routes = browser.run(
        "return [...new Set([...document.querySelectorAll('a')].map(one => one.getAttribute('href')))]"
    )
    views = [route for route in routes if "=" in route]
    assert len(views) > 40
    for route in views:
        browser.go(route)
        assert browser.run("return document.querySelector('[role=alert]') === null"), route
        assert browser.run("return document.querySelectorAll('#explorer tbody tr').length") > 0, route
    assert browser.logged() == []
