"""A reader's questions, answered by clicking alone, on the page that the kit writes from a store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.items import graded_items
from kit.plan import Plan
from kit.store import Store
from tests.page.made_run import COMMIT, IMAGE

if TYPE_CHECKING:
    from tests.page.browsing import Browser

LARGE, SMALL = "qwen-2-72b-instruct", "qwen-2-7b-instruct"
BASE = "llama-3-8b"
CLICK = """const says = (each) => each.getAttribute('aria-label') || each.textContent;
const one = [...document.querySelectorAll(arguments[0])]
    .find(each => each.checkVisibility() && says(each).includes(arguments[1]));
if (!one) return false;
one.click();
return true;"""
CHOOSE = """const box = document.querySelector('#explorer select');
box.value = [...box.options].find(one => arguments[0].every(word => one.textContent.includes(word))).value;
box.dispatchEvent(new Event('change'));"""


@pytest.fixture
def page(browser: "Browser", page_file: Path) -> "Browser":
    browser.view()
    browser.open(page_file)
    return browser


def click(page: "Browser", selector: str, words: str) -> None:
    """Click the first shown element that a selector names and that has these words, and wait for what comes."""
    before = page.run("return location.hash")
    assert page.run(CLICK, selector, words), f"nothing to click: {selector}: {words}"
    if page.run("return location.hash") != before:
        page.await_view()


def choose(page: "Browser", *words: str) -> None:
    """Choose the set with these words to stand beside."""
    before = page.run("return location.hash")
    page.run(CHOOSE, list(words))
    page.wait(lambda: page.run("return location.hash") != before)
    page.await_view()


def graded(plan: Plan, evolver: str, column: str) -> str:
    """Return the key of the grading behind a number of Table 2."""
    (key,) = [
        address.keys[0]
        for address in plan.cells["table-2"]
        if (address.at["evolver"], address.at["base"], address.column) == (evolver, BASE, column)
    ]
    return key


def solved(store: Store, key: str) -> Sequence[str]:
    return [item.id for item in graded_items(store, key).items if item.state == "right"]


def test_which_items_did_one_evolvers_model_solve_and_the_others_not(
    page: "Browser", made_store: Store, page_plan: Plan
) -> None:
    large, small = (solved(made_store, graded(page_plan, name, "humaneval")) for name in (LARGE, SMALL))
    wanted = [id for id in small if id not in large]
    assert 0 < len(wanted) < len(small)
    click(page, "#table-2 a.items", f"{SMALL}, {BASE}, HumanEval")
    choose(page, LARGE, BASE)
    click(page, "#explorer button", "only the first is right")
    assert page.texts("#explorer tbody th") == wanted
    assert page.text("[role=status]").startswith(f"{len(wanted)} of ")
    click(page, "#explorer tbody a", wanted[0])
    assert page.texts("#explorer .side .state") == ["✓ right", "✕ wrong"]


def test_what_did_the_judge_reply(page: "Browser", made_store: Store) -> None:
    click(page, "#figure-6 a.items", "")
    click(page, "#explorer tbody a", "")
    assert "What the judge said" in page.texts("#explorer h5")
    assert any("The judge says yes" in text for text in page.texts("#explorer .text"))


def test_which_commit_and_image_made_this_cell(page: "Browser", made_store: Store, page_plan: Plan) -> None:
    click(page, "#table-2 a.items", f"{LARGE}, {BASE}, GSM8K")
    click(page, "#explorer a", "the job that made it")
    facts = dict(zip(page.texts("#explorer dt"), page.texts("#explorer dd"), strict=True))
    assert (facts["commit"], facts["image"]) == (COMMIT, IMAGE)
    assert facts["key"] == graded(page_plan, LARGE, "gsm8k")
    click(page, "#explorer dd a", "answer/gsm8k")
    click(page, "#explorer dd a", "sft/gsm8k-train")
    click(page, "#explorer dd a", "respond/gsm8k-train")
    assert page.text("#explorer-title").startswith("respond/gsm8k-train/smollm2-36l")


def test_which_seed_does_a_training_pair_come_from(page: "Browser") -> None:
    click(page, "#table-2 a.items", f"{LARGE}, {BASE}, GSM8K")
    click(page, "#explorer a", "pairs that its model was tuned on")
    click(page, "#explorer tbody a", "")
    headings = page.texts("#explorer h4")
    assert headings[0] == "seed instruction"
    assert headings[1].startswith("round 1, deepen, by smollm2")
    assert headings[2].startswith("response, by smollm2")
