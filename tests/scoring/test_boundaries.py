"""kit/scoring/boundaries.py: what the texts are, and at which token the response begins."""

from types import SimpleNamespace

import pytest

from kit.errors import RequestError
from kit.records import Pair
from kit.scoring.boundaries import check_boundary, check_tokenizer, encode, question_text
from tests.scoring.conftest import letters

TEXTS = {
    "instruction alone": ({"instruction": "Add."}, "Add."),
    "with an input": ({"instruction": "Add.", "input": "1 2"}, "Add.\n1 2"),
    "after a system prompt and turns": (
        {"instruction": "Add.", "input": "1 2", "system": "Be brief.", "history": (("Hi", "Hello"),)},
        "Be brief.\nHi\nHello\nAdd.\n1 2",
    ),
}


@pytest.mark.parametrize(("fields", "wanted"), TEXTS.values(), ids=list(TEXTS))
def test_question_text(fields, wanted):
    assert question_text(Pair(id="x", output="3", **fields)) == wanted


# Tokens: a is 1, b is 2, the line break 3; where "b" and a line break are one token, that is 3 and the break alone 4.
BOUNDARY = {
    "no begin token": ({}, "authors", ("ab", "ba"), ([1, 2, 3, 2, 1], 2, [2, 1])),
    "no begin token, exact": ({}, "exact", ("ab", "ba"), ([1, 2, 3, 2, 1], 2, [2, 1])),
    "begin token": ({"begin": True}, "authors", ("ab", "ba"), ([0, 1, 2, 3, 2, 1], 3, [0, 2, 1])),
    "begin token, exact": ({"begin": True}, "exact", ("ab", "ba"), ([0, 1, 2, 3, 2, 1], 3, [0, 2, 1])),
    # The joined token holds the line break, which is the response's; by the authors' count it is the question's.
    "joined": ({"joins": True}, "authors", ("aab", "a"), ([1, 1, 3, 1], 3, [1])),
    "joined, exact": ({"joins": True}, "exact", ("aab", "a"), ([1, 1, 3, 1], 2, [1])),
    "joined, begin token": ({"joins": True, "begin": True}, "authors", ("aab", "a"), ([0, 1, 1, 3, 1], 4, [0, 1])),
    "joined, begin token, exact": ({"joins": True, "begin": True}, "exact", ("aab", "a"), ([0, 1, 1, 3, 1], 3, [0, 1])),
    "not joined at the end": ({"joins": True}, "authors", ("aba", "b"), ([1, 2, 1, 4, 2], 3, [2])),
    "not joined at the end, exact": ({"joins": True}, "exact", ("aba", "b"), ([1, 2, 1, 4, 2], 3, [2])),
    "no token past the question": ({}, "exact", ("a", ""), ([1, 3], 1, [])),
}


@pytest.mark.parametrize(("kind", "boundary", "texts", "wanted"), BOUNDARY.values(), ids=list(BOUNDARY))
def test_boundary(kind, boundary, texts, wanted):
    (found,) = encode(letters(**kind), [texts], boundary)
    assert (found.joint, found.boundary, found.response) == wanted


def test_many_texts_keep_their_order():
    texts = [("a" * (number + 1), "b" * (5 - number)) for number in range(5)]
    found = encode(letters(), texts, "authors")
    assert [one.boundary for one in found] == [1, 2, 3, 4, 5]
    assert [len(one.response) for one in found] == [5, 4, 3, 2, 1]
    assert encode(letters(), [], "exact") == []


def test_a_boundary_that_is_not_known():
    with pytest.raises(RequestError) as caught:
        check_boundary("autors", "metrics.ifd.options.boundary")
    assert str(caught.value) == ("metrics.ifd.options.boundary: no boundary named 'autors'; did you mean 'authors'?")


def test_a_tokenizer_without_places_of_its_tokens():
    check_tokenizer(SimpleNamespace(is_fast=False), "authors", "models/x")
    with pytest.raises(RequestError) as caught:
        check_tokenizer(SimpleNamespace(is_fast=False), "exact", "models/x")
    assert str(caught.value) == (
        "models/x: SimpleNamespace does not tell where its tokens begin and end in a text, which boundary 'exact' "
        "needs; add a tokenizer.json, or take boundary 'authors'"
    )
