"""Rows that repeat test items: words by hand, the index against plain sets, and what numbers alone would call equal."""

import tracemalloc
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import RequestError
from kit.overlap import GRAM, SHARE, Match, index
from kit.overlap.index import Index, grams
from kit.overlap.items import items_of
from kit.overlap.words import texts_of, words
from kit.records import Problem
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("Find x_1, if $3\\frac{x}{2}=9.5$!", "find x 1 if 3 frac x 2 9 5", id="latex"),
        pytest.param("don't\tSTOP\n\n- one", "don t stop one", id="marks"),
        pytest.param("ＡＢＣ １２ ﬁne Straße Élan", "abc 12 fine strasse élan", id="forms"),
        pytest.param("地球是round的。", "地 球 是 round 的", id="chinese"),
        pytest.param("カタカナ 한국어", "カ タ カ ナ 한국어", id="japanese-and-korean"),
        pytest.param("", "", id="empty"),
        pytest.param("... \ud800 ---", "", id="half-a-character"),
    ],
)
def test_words(text: str, wanted: str) -> None:
    assert b" ".join(words(text)).decode() == wanted


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=60))
def test_words_of_ascii_are_those_of_any_text(text: str) -> None:
    # the fast way and the general one: a Chinese sign at the end takes the other
    assert [*words(text), "字".encode()] == words(f"{text} 字")


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"instruction": "a", "input": "b", "output": "c"}, ["a\nb", "c"]),
        ({"instruction": "a", "input": "", "output": "c"}, ["a", "c"]),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            ["human", "a", "gpt", "b"],
        ),
        ({"question": "a", "n": 3, "more": {"deep": ["b", None, ["c"]]}}, ["a", "b", "c"]),
        ({"instruction": 3, "input": "b"}, ["b"]),
        ({}, []),
    ],
    ids=["alpaca", "no-input", "chat", "deep", "no-text", "empty"],
)
def test_texts_of_a_record(record: dict[str, object], wanted: list[str]) -> None:
    assert texts_of(record) == wanted


def text(first: int, last: int) -> str:
    """Return the words from one number to another."""
    return " ".join(f"w{number}" for number in range(first, last + 1))


@pytest.mark.parametrize(
    ("item", "row", "wanted"),
    [
        # 17 words are 10 grams: 6 of them are more than half, 5 are not
        pytest.param(text(1, 17), [text(1, 13)], (6, 10), id="more-than-half"),
        pytest.param(text(1, 17), [text(1, 12)], None, id="half"),
        pytest.param(text(1, 17), [text(1, 10), "x", text(8, 17)], (6, 10), id="in-two-texts-of-a-row"),
        pytest.param(text(1, 17), [text(1, 8), text(9, 17)], None, id="no-gram-over-two-texts"),
        pytest.param(text(1, 17), [f"Say: {text(1, 17).upper()}!"], (10, 10), id="case-and-marks"),
        pytest.param(text(1, 8), [f"x {text(1, 8)} y"], (1, 1), id="one-gram"),
        pytest.param(text(1, 7), [text(1, 7)], (1, 1), id="short-as-a-whole"),
        pytest.param(text(1, 7), ["x", text(1, 7) + "!"], (1, 1), id="short-as-one-of-two-texts"),
        pytest.param(text(1, 7), [f"x {text(1, 7)}"], None, id="short-inside-a-text"),
        pytest.param("", ["", text(1, 20)], None, id="empty"),
        # grams that stand in an item several times count once
        pytest.param(f"{text(1, 8)} {text(1, 8)} {text(1, 8)}", [text(1, 8)], None, id="repeated-in-the-item"),
        pytest.param(text(1, 17), [" ".join([text(1, 12)] * 9)], None, id="repeated-in-the-row"),
    ],
)
def test_more_than_half_of_an_item(item: str, row: Sequence[str], wanted: tuple[int, int] | None) -> None:
    found = Index(["other words of another item that nobody repeats here", item]).find([["nothing"], row])
    assert found == ([Match(row=1, item=1, shared=wanted[0], grams=wanted[1])] if wanted else [])


def plain(items: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Match]:
    """The matches that an index has to find, word by word."""
    found = []
    for row, texts in enumerate(rows):
        said = [words(one) for one in texts]
        for item, one in enumerate(map(words, items)):
            own = grams(one)
            shared = len(own & set().union(*map(grams, said)))
            if own and shared > SHARE * len(own):
                found.append(Match(row=row, item=item, shared=shared, grams=len(own)))
            elif 0 < len(one) < GRAM and one in said:
                found.append(Match(row=row, item=item, shared=1, grams=1))
    return found


WORDY = st.lists(st.sampled_from(["a", "b", "c"]), max_size=24).map(" ".join)


@settings(max_examples=200)
@given(st.lists(WORDY, max_size=6), st.lists(st.lists(WORDY, max_size=3), max_size=6))
def test_finds_what_plain_sets_find(items: list[str], rows: list[list[str]]) -> None:
    assert Index(items).find(rows) == plain(items, rows)


@settings(max_examples=200)
@given(st.lists(WORDY, max_size=6), st.lists(st.lists(WORDY, max_size=3), max_size=6))
def test_common_grams_and_small_parts_change_nothing(items: list[str], rows: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "COMMON", 1)
        patch.setattr(index, "MOST_PAIRS", 3)
        assert Index(items).find(rows) == plain(items, rows)


def test_a_phrase_that_begins_all_items_and_rows_costs_little() -> None:
    # each row was counted against each item that begins like it: 2,000 rows and 10,000 items took gigabytes
    begin = "answer the following question and choose one of the four options below"
    known = Index([f"{begin} {text(20 * n, 20 * n + 19)}" for n in range(3_000)])
    assert len(known.owners) < 3_000 * 30
    rows = [[f"{begin} {text(20 * n + 10**6, 20 * n + 10**6 + 19)}"] for n in range(2_000)]
    rows[7] = [f"{begin} {text(40, 59)}"]
    tracemalloc.start()
    assert [(match.row, match.item) for match in known.find(rows)] == [(7, 2)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def test_a_row_that_repeats_many_items_is_cut_into_grams_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # a row that holds a whole test set had its grams made anew for each item: hours for MMLU's
    items = [text(20 * n, 20 * n + 19) for n in range(50)]
    known, cut = Index(items), list[int]()
    inner = index.each_gram
    monkeypatch.setattr(index, "each_gram", lambda found: cut.append(len(found)) or inner(found))
    assert len(known.find([[" ".join(items)]])) == 50
    assert sum(cut) == 2 * 50 * 20


def test_numbers_that_are_equal_by_chance_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # every word had one number: each row of 8 words would repeat every item
    monkeypatch.setattr(index, "_number", lambda _: 1)
    items = [text(1, 12), text(101, 112)]
    rows = [[text(201, 220)], [text(1, 12)], [text(101, 112)]]
    assert [(match.row, match.item) for match in Index(items).find(rows)] == [(1, 0), (2, 1)]


def test_many_rows_are_looked_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "TOGETHER", 3)
    rows = [[text(10 * n, 10 * n + 9)] for n in range(20)]
    assert [(match.row, match.item) for match in Index([text(50, 59), text(190, 199)]).find(rows)] == [(5, 0), (19, 1)]


def test_order_and_ranks_of_items_change_nothing() -> None:
    random = Random(1)
    items = [text(n, n + random.randrange(5, 30)) for n in range(0, 400, 20)]
    rows = [[text(n, n + random.randrange(5, 60))] for n in range(0, 400, 15)]
    found = {(match.row, items[match.item]) for match in Index(items).find(rows)}
    assert found
    turned = items[::-1]
    assert {(match.row, turned[match.item]) for match in Index(turned).find(rows)} == found


def test_without_items_nothing_is_found() -> None:
    assert Index([]).find([[text(1, 20)]]) == []
    assert Index(["few words"]).find([[text(1, 20)]]) == []


@pytest.mark.parametrize("piece", ["a ", "a. ", "字", "ﬁ", "\u0301", "a"])
def test_takes_time_in_proportion_to_the_text(piece: str) -> None:
    known = Index([text(1, 20), "a " * 20, "字" * 20])
    assert_linear(lambda one: known.find([[one]]), lambda size: piece * (size // len(piece)))


def test_the_text_of_an_item_is_its_question() -> None:
    data = {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": "A", "examples": [{"question": "Other?"}]}
    asked = {"instruction": "Say", "input": "this", "output": "no"}
    items = items_of("mmlu", [Problem(id="x/0", data=data), Problem(id="1", data=asked)])
    assert [(item.id, item.text) for item in items] == [("x/0", "Which?"), ("1", "Say\nthis")]


def test_an_item_without_a_question_is_named() -> None:
    with pytest.raises(RequestError) as error:
        items_of("own", [Problem(id="7", data={"title": "x", "question": " "})])
    assert str(error.value) == (
        "own: problem 7: no question; found question, title, wanted one of prompt, question, problem, instruction, "
        "text, query, input"
    )
