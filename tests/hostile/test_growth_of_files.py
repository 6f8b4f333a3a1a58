"""The time of reading seeds and completions grows with the file, and no faster."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.files.completions import read_completions
from kit.files.completions.layouts import Record
from kit.files.completions.matching import check_order, id_lookup
from kit.files.seeds import read_instructions
from kit.records import Problem
from tests.growth import assert_linear


def rows_of(text: str, tmp_path: Path) -> None:
    """Read a text as seeds, to its end or its fault."""
    (tmp_path / "x.json").write_text(text)
    try:
        read_instructions(tmp_path / "x.json", "alpaca", "x")
    except RequestError:
        return


def completions_of(text: str, tmp_path: Path) -> None:
    """Read a text as completions of as many problems as it has lines, to its end or its fault."""
    (tmp_path / "x.jsonl").write_text(text)
    problems = [
        Problem(id=f"p{n}/{n}", data={"prompt": "Write a function that does one thing."})
        for n in range(len(text) // 100)
    ]
    try:
        read_completions(tmp_path / "x.jsonl", problems)
    except RequestError:
        return


def records_by_id(prefix: str, count: int) -> str:
    return "".join(f'{{"id": "{prefix}{i}/{i}", "text": "{40 * "a"}"}}\n' for i in range(count))


READERS = {
    "names of a record": (rows_of, lambda n: "[{" + ",".join(f'"{i}": 1' for i in range(n // 10)) + "}]"),
    "long names": (rows_of, lambda n: '[{"instruction": "a", "' + n * "o" + '": 1}]'),
    "empty lines": (rows_of, lambda n: 10 * n * "\n" + "x"),
    "rows": (rows_of, lambda n: "[" + ",".join(n // 40 * ['{"instruction": "a", "outpat": "b"}']) + "]"),
    "open brackets": (rows_of, lambda n: n * "["),
    "escapes": (rows_of, lambda n: '["' + n * "\\"),
    "nested to the limit": (rows_of, lambda n: "[" + ",".join(n // 190 * [95 * "[" + 95 * "]"]) + "]"),
    # each record's prefix was compared with each problem's
    "prefixes": (completions_of, lambda n: records_by_id("x", n // 100)),
    # each problem's text had a list of the problems with the same, copied for each
    "problems alike": (completions_of, lambda n: records_by_id("p", n // 100)),
    "an id of separators": (completions_of, lambda n: '{"id": "' + n * "/" + '", "text": "a"}'),
    "an id of digits": (completions_of, lambda n: '{"id": "' + n * "0" + '.0x", "text": "a"}'),
}


@pytest.mark.parametrize("read, make", READERS.values(), ids=list(READERS))
def test_reading_takes_time_that_grows_with_the_file(
    read: Callable[[str, Path], None], make: Callable[[int], str], tmp_path: Path
):
    assert_linear(lambda text: read(text, tmp_path), make, 30_000)


def sums(numbers: Iterable[int]) -> list[Problem]:
    return [Problem(id=str(n), data={"question": f"Problem {n} asks for the sum of {n} and {n}."}) for n in numbers]


def in_order(texts: list[str]) -> list[Record]:
    return [Record(where=f"x[{n}]", row=text, keys={}, position=n) for n, text in enumerate(texts)]


def test_the_order_of_texts_is_checked_in_time_that_grows_with_them():
    """Each text was searched for each problem's text: 5,000 times 5,000 searches for MATH."""

    def check(text: str) -> None:
        count = len(text) // 200
        texts = [f"The answer to what was asked is {n}. " * 5 for n in range(count)]
        check_order(sums(range(count)), in_order(texts), texts)

    assert_linear(check, lambda n: n * "a", 50_000)


def test_texts_in_another_order_are_still_reported():
    texts = [f"Let us see.\nProblem {n} asks for the  sum of {n} and {n}. It is {2 * n}." for n in (1, 2, 0)]
    with pytest.raises(RequestError, match=r"^x\[0\]: its prompt does not hold the text of problem 0, whose position"):
        check_order(sums(range(3)), in_order(texts), texts)


def test_an_id_with_a_prefix_still_names_the_benchmark():
    find = id_lookup([Problem(id="HumanEval/3", data={}), Problem(id="HumanEval/4", data={})], "humaneval")
    assert [find(id) for id in ("3", "openai_humaneval/3", "humanevalx/4", "mbpp/3", "human/3")] == [
        *(("HumanEval/3",), ("HumanEval/3",), ("HumanEval/4",), (), ())
    ]
