"""Thoughts are taken off a reply by one rule, and counted, closed or not."""

import time

import pytest

from kit.judges.thoughts import without_thoughts

CASES = {
    "none": (" A \n", " A \n", 0),
    "empty": ("", "", 0),
    "one": ("<think>B or A?</think>\n\nA", "A", 1),
    "empty thoughts": ("<think>\n\n</think>\n\nA", "A", 1),
    "two": ("<think>x</think>A<think>y</think> B", "A B", 2),
    "cut off in a thought": ("A? <think>B or", "A?", 1),
    "nothing but a thought cut off": ("<think>A, or", "", 1),
    "opened in the prompt": ("B or A?</think>A", "A", 1),
    "opened in the prompt, and another": ("x</think>A<think>y", "A", 2),
    "a thought in a thought": ("<think>a <think> b</think> c</think> A", "A", 2),
    "opened twice": ("<think><think>b</think>A", "A", 1),
    "other marks": ("<thinking>x</thinking> A </Think>", "<thinking>x</thinking> A </Think>", 0),
}


@pytest.mark.parametrize(("text", "answer", "parts"), CASES.values(), ids=list(CASES))
def test_thoughts_are_taken_off_and_counted(text: str, answer: str, parts: int):
    assert without_thoughts(text) == (answer, parts)


@pytest.mark.parametrize("text", ["<think>" * 200_000, "</think>" * 200_000, "<think></think>" * 200_000, "<" * 10**6])
def test_the_time_grows_as_the_text(text: str):
    began = time.process_time()
    without_thoughts(text)
    assert time.process_time() - began < 5
