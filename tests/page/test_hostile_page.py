"""Texts that models wrote to do harm are shown as text by the page, in every view, and nothing of theirs runs."""

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from kit.page.texts import clean
from tests.page.documents import HOSTILE_IDS, HOSTILE_TEXTS, LONG

if TYPE_CHECKING:
    from tests.page.browsing import Browser

SAFE = "!'()*"
"""Characters that the page's own addresses leave as they are, beside letters, digits and ``-_.~``."""
FOREIGN = """const made = 'script, img, svg, iframe, object, embed, style, form';
    const named = (one) => one.getAttributeNames().some(name => /^on|^style$/.test(name));
    return [...document.querySelectorAll(`#explorer :is(${made})`),
    ...[...document.querySelectorAll('#explorer a')].filter(one => !one.getAttribute('href').startsWith('#')),
    ...[...document.querySelectorAll('body *')].filter(named)
    ].map(one => one.outerHTML)"""
"""Elements in the explorer that no view of the kit's makes, links out of the page, attributes that run."""


@pytest.fixture
def page(browser: "Browser", hostile: Path) -> "Browser":
    browser.view(360)
    browser.open(hostile)
    return browser


def harmless(browser: "Browser") -> None:
    """Check that nothing ran, nothing was made of the texts but text, and the page is no wider than a phone."""
    assert browser.run("return [typeof window.hacked, typeof window.open]") == ["undefined", "function"]
    assert browser.run(FOREIGN) == []
    assert browser.logged() == []
    assert browser.too_wide() == 0
    assert browser.texts("[role=alert]") == []


def route(id: str, view: str = "item", rows: str = "s0", **more: str) -> str:
    found = {view: clean(id), "set": rows, **more}
    return "#" + "&".join(f"{name}={quote(value, safe=SAFE)}" for name, value in found.items())


def test_lists_show_hostile_texts(page: "Browser") -> None:
    for rows in ("s0", "s1&beside=s2", "s2", "r8", "c9", "all"):
        page.go(f"#set={rows}")
        harmless(page)
        assert page.texts("#explorer tbody th")[: len(HOSTILE_IDS)] == [clean(id) for id in HOSTILE_IDS]


@pytest.mark.parametrize("place", range(len(HOSTILE_IDS)))
def test_items_with_hostile_ids_are_opened_by_their_links(page: "Browser", place: int) -> None:
    page.go("#set=s0&beside=s0")
    page.run("document.querySelectorAll('#explorer tbody a')[arguments[0]].click()", place)
    page.await_view()
    harmless(page)
    assert page.run("return location.hash") == route(HOSTILE_IDS[place], beside="s0")
    assert page.text("#explorer-title") == f"{clean(HOSTILE_IDS[place])}: humaneval"
    text = HOSTILE_TEXTS[place % len(HOSTILE_TEXTS)]
    assert page.text(".side .text") == clean(text)[:4000]
    assert clean(HOSTILE_TEXTS[0]) in page.text("#explorer details")


@pytest.mark.parametrize("view", ["r8", "c9"])
def test_rows_show_hostile_steps(page: "Browser", view: str) -> None:
    for id in HOSTILE_IDS:
        page.go(route(id, "row", view))
        harmless(page)
        assert page.texts(".side .text") == [clean(text)[:4000] for text in HOSTILE_TEXTS]


def test_jobs_with_hostile_names_are_shown(page: "Browser") -> None:
    for key in page.run("return [...sets.values()].map(set => set.job)"):
        page.go(f"#job={key}")
        harmless(page)


def test_a_long_text_is_cut_until_it_is_asked_for(page: "Browser") -> None:
    page.go(route(HOSTILE_IDS[4]))
    assert page.texts("#explorer .side button") == [f"Show all {LONG:,} characters"]
    page.run("document.querySelector('#explorer .side button').click()")
    assert len(page.text(".side .text")) == LONG
    assert page.focus().tag_name == "pre"
    harmless(page)


def test_marks_that_turn_the_writing_are_written_out(page: "Browser") -> None:
    page.go(route(HOSTILE_IDS[3]))
    shown = page.text("#explorer")
    for written in (r"\u202eevil", r"\x1b[31mred", r"\x07", r"\x00", r"\ud83d"):
        assert written in shown
    assert not any(character in shown for character in "\u202e\x1b\x07\x00\ud83d")


def test_texts_of_both_directions_do_not_disturb_each_other(page: "Browser") -> None:
    page.go(route(HOSTILE_IDS[3]))
    isolated = "return getComputedStyle(document.querySelector('.side .text')).unicodeBidi"
    assert page.run(isolated) == "isolate"
    assert page.run("return [...document.querySelectorAll('.side .text')].every(one => one.dir === 'auto')")


def test_axe_finds_nothing_in_hostile_texts(page: "Browser") -> None:
    for shown in ("", "#set=s1&beside=s2", route(HOSTILE_IDS[0], beside="s1"), route(HOSTILE_IDS[1], "row", "c9")):
        page.go(shown)
        assert page.findings() == []
