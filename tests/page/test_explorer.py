"""The page's explorer in a browser: search, filters, comparisons, items, rows, jobs; and what it refuses to show."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.page import documents

if TYPE_CHECKING:
    from tests.page.browsing import Browser

IDS = "#explorer tbody th"


@pytest.fixture
def report(browser: "Browser", small: Path) -> "Browser":
    browser.view()
    browser.open(small)
    return browser


def ids(places: list[int]) -> list[str]:
    return [f"HumanEval/{place}" for place in places]


def search(browser: "Browser", text: str) -> str:
    """Type into the search box, and return how many rows are left."""
    box = "const box = document.querySelector('[type=search]');"
    script = f"{box} box.value = arguments[0]; box.dispatchEvent(new Event('input'))"
    browser.run(script, text)
    return browser.text("[role=status]")


def choose(browser: "Browser", value: str) -> None:
    """Choose an entry of the list's select box."""
    box = "const box = document.querySelector('#explorer select');"
    browser.run(f"{box} box.value = arguments[0]; box.dispatchEvent(new Event('change'))", value)


def press(browser: "Browser", label: str) -> None:
    """Press the button that begins with a label."""
    script = """[...document.querySelectorAll('#explorer button')]
        .find(one => one.textContent.startsWith(arguments[0])).click()"""
    browser.run(script, label)


def test_a_list_is_searched_and_filtered(report: "Browser") -> None:
    report.go("#set=s1")
    assert report.texts(IDS) == ids(list(range(12)))
    assert search(report, "HUMANEVAL/1") == "3 of 12 rows"
    press(report, "right (5)")
    assert report.texts(IDS) == ["HumanEval/1"]
    assert search(report, "no such words") == "0 of 12 rows"


def test_all_texts_of_an_item_are_searched(report: "Browser") -> None:
    report.go("#set=s3")
    for words in ("what is follow/2?", "the tests fail", "it follows.", "system"):
        found = search(report, words)
        assert (words, found) == (
            words,
            {"what is follow/2?": "1", "the tests fail": "3", "system": "0"}.get(words, "4") + " of 4 rows",
        )


def test_a_search_is_kept_in_the_address_and_in_the_items(report: "Browser") -> None:
    report.go("#set=s1&beside=s2&show=first")
    assert report.texts("[aria-pressed=true]") == ["only the first is right (3)"]
    report.run("document.querySelectorAll('#explorer tbody a')[1].click()")
    report.await_view()
    assert report.text("#explorer-title") == "HumanEval/2: humaneval"
    assert report.texts(".neighbours a") == ["back to the list", "Previous: HumanEval/1", "Next: HumanEval/7"]
    report.run("document.querySelector('.neighbours a').click()")
    report.await_view()
    search(report, "x + 7")
    report.wait(lambda: report.run("return location.hash") == "#set=s1&beside=s2&show=first&find=x%20%2B%207")
    assert report.texts(IDS) == ["HumanEval/7"]


@pytest.mark.parametrize(
    ("button", "places"),
    [
        ("only the first is right (3)", [1, 2, 7]),
        ("only the second is right (1)", [4]),
        ("outcomes differ (4)", [1, 2, 4, 7]),
        ("texts differ (11)", list(range(1, 12))),
        ("right (5)", [0, 1, 2, 3, 7]),
    ],
)
def test_two_models_are_compared(report: "Browser", button: str, places: list[int]) -> None:
    report.go("#set=s1&beside=s2")
    press(report, button)
    assert report.texts(IDS) == ids(places)


def test_a_comparison_says_how_many_items_each_has_right(report: "Browser") -> None:
    report.go("#set=s1&beside=s2")
    said = (
        "Both are right at 2 of 12 items that both were asked, only the first at 3, only the second at 1, neither at 6."
    )
    assert report.text(".crossed") == said
    heads = [f"first: {documents.QWEN}", f"second: {documents.LLAMA}"]
    assert report.texts("#explorer thead th") == ["item", *heads]


def test_a_set_is_chosen_to_stand_beside(report: "Browser") -> None:
    report.go("#set=s1")
    assert report.texts("#explorer option") == ["nothing", "humaneval: llama-3.1-8b-instruct"]
    choose(report, "s2")
    report.wait(lambda: report.run("return explorer.dataset.shown") == "#set=s1&beside=s2")
    assert len(report.texts(".crossed")) == 1


def test_two_answers_stand_beside_each_other(report: "Browser") -> None:
    report.go("#item=HumanEval%2F1&set=s1&beside=s2")
    assert report.texts(".side .text") == [documents.code(documents.QWEN, 1), documents.code(documents.LLAMA, 1)]
    assert report.texts("mark.changed") == ["1", "-1"]
    report.go("#item=HumanEval%2F0&set=s1&beside=s2")
    assert report.texts("mark.changed") == []
    assert "The two answers are identical." in report.texts("#explorer .note")


def test_an_item_shows_what_was_asked_answered_and_read(report: "Browser") -> None:
    report.go("#item=follow%2F1&set=s3")
    shown = report.text("#explorer")
    for words in (
        "What is follow/1?",
        "The answer to follow/1 is 42.",
        "the tests fail",
        "pass@1 0 of 1",
        "q1: Yes",
        "It follows.",
        "gpt-4",
    ):
        assert words in shown
    assert report.run("return document.querySelector('#explorer details').open") is False


def test_a_row_shows_its_way_with_each_steps_changes(report: "Browser") -> None:
    report.go("#row=alpaca%2F1&set=r1")
    assert report.texts(".side h4")[:2] == ["seed instruction", f"round 1, deepening, by {documents.QWEN}"]
    assert report.texts("mark.changed") == ["sleep through the winter, qwen-2-7b-instruct."]
    assert report.texts(".side .note") == ["Nothing changed."]
    report.run("document.querySelector('[type=checkbox]').click()")
    assert report.texts("mark.changed") == []


def test_scores_are_compared(report: "Browser") -> None:
    report.go("#set=c1&beside=c2")
    row = report.texts("#explorer tbody tr:nth-child(2) td")
    assert row[:2] == ["0.6", "0.61"]
    assert report.texts("#explorer tbody tr:nth-child(5) td")[0] == "the response is empty"
    assert [one.partition(" (")[0] for one in report.texts(".filters button")] == [
        "all",
        "numbers differ",
        "texts differ",
    ]
    report.go("#row=alpaca%2F1&set=c1&beside=c2")
    assert [one for one in report.texts(".side dd") if one] == ["0.6", "0.61"]


def test_a_job_shows_its_facts_inputs_and_command(report: "Browser") -> None:
    report.go(str(report.run("return address({job: sets.get('s1').job})")))
    assert report.texts("#explorer dd")[1:4] == ["c0ffee", "none: it ran without a container", "Test CPU, 2 cores"]
    assert report.text("#explorer .command").startswith("kit store show ")
    assert "rows: humaneval: qwen-2-7b-instruct" in report.texts("#explorer a")
    report.run("[...document.querySelectorAll('#explorer dd a')].at(-1).click()")
    report.await_view()
    assert report.text("#explorer-title") == "fetch/humaneval"
    assert "nothing: it was fetched" in report.text("#explorer")


def test_twenty_thousand_items_are_searched(browser: "Browser", large: Path) -> None:
    browser.view()
    browser.open(large)
    assert browser.run("return opened.size") == 0  # nothing is unpacked before it is asked for
    browser.go("#set=all")
    assert browser.text("#explorer-title") == "All items: 20,000 in 20 sets"
    assert len(browser.texts(IDS)) == 100
    assert search(browser, "NEEDLE") == "200 of 20,000 rows"
    assert search(browser, "needle 7 ") == "10 of 20,000 rows"
    search(browser, "")
    press(browser, "right (5,000)")
    assert browser.text("[role=status]") == "5,000 of 20,000 rows"
    choose(browser, "s4")
    assert browser.text("[role=status]") == "250 of 20,000 rows"
    press(browser, "Next rows")
    assert browser.texts(IDS)[0] == "gsm8k/400"
    press(browser, "Next rows")
    assert len(browser.texts(IDS)) == 50
    assert browser.run("return [...document.querySelectorAll('button')].at(-1).disabled")
    assert browser.logged() == []


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("#set=nothing", "There are no rows named nothing in this page."),
        ("#set=s1&beside=nothing", "There are no rows named nothing in this page."),
        ("#set=constructor", "There are no rows named constructor in this page."),
        ("#item=nothing&set=s1", "There is no row nothing in humaneval: qwen-2-7b-instruct."),
        ("#item=nothing", "There are no rows named undefined in this page."),
        ("#job=constructor", "There is no job constructor in this page."),
        ("#nothing", "The report has no part and no rows named #nothing."),
        ("#a=1&b=%zz", "The report has no part and no rows named #a=1&b=%zz."),
        ("#%zz", "The report has no part and no rows named #%zz."),
    ],
)
def test_a_wrong_address_is_answered(report: "Browser", route: str, said: str) -> None:
    report.go(route)
    assert report.texts("[role=alert]") == [said]
    assert report.logged() == []
    report.go("#table-2")
    assert report.run("return [explorer.hidden, parts.hidden]") == [True, False]


@pytest.mark.parametrize("damage", ["H4sI", "%%%", "", "bm90IGd6aXA="])
def test_a_damaged_block_says_what_to_do(browser: "Browser", small: Path, tmp_path: Path, damage: str) -> None:
    before, start, rest = small.read_text(encoding="utf-8").partition('id="block-b-s1">')
    file = tmp_path / "damaged.html"
    file.write_text(f"{before}{start}{damage}{rest[rest.index('<') :]}", encoding="utf-8")
    browser.view()
    browser.open(file, "#set=s1")
    (said,) = browser.texts("[role=alert]")
    assert said.startswith("The rows b-s1 can't be read: ")
    assert said.endswith("write the page again with `kit report --html`")
    browser.go("#set=s2")
    assert len(browser.texts(IDS)) == 12
    assert browser.logged() == []


@pytest.mark.parametrize("head", ["{", '{"schema":2,"sets":[]}', ""])
def test_a_damaged_list_of_rows_leaves_the_report(browser: "Browser", small: Path, tmp_path: Path, head: str) -> None:
    before, start, rest = small.read_text(encoding="utf-8").partition('id="report">')
    file = tmp_path / "damaged.html"
    file.write_text(f"{before}{start}{head}{rest[rest.index('<') :]}", encoding="utf-8")
    browser.view()
    browser.open(file, "#set=all")
    (said,) = browser.texts("[role=alert]")
    assert said.startswith("The page's list of rows can't be read: ")
    browser.go("#table-2")
    assert browser.run("return parts.hidden") is False
    assert browser.logged() == []


def test_a_served_page_asks_for_its_rows(browser: "Browser") -> None:
    from kit.page.serving import make_server

    browser.view()
    with make_server(documents.small_page().page(served=True)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.driver.get(f"http://127.0.0.1:{server.server_port}/#item=HumanEval%2F1&set=s1&beside=s2")
        browser.await_view()
        server.shutdown()
    assert browser.texts("mark.changed") == ["1", "-1"]
    browser.go("#set=s3")
    assert "is `kit report --serve` still running?" in browser.text("[role=alert]")
