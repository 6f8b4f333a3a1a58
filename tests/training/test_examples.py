"""Pairs to tokens: layout, truncation, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.records import Pair
from kit.training.examples import chat_tokenizer, encode, kept_lengths, user_turn

PAIR = Pair(id="s/0", instruction="Add.", input="1 2", output="3")


@pytest.fixture
def tokenizer(base: Path, params: dict[str, Any]) -> Any:
    return chat_tokenizer(base, params["chat_template"], "<|end|>")[0]


def test_the_input_follows_after_a_line_break() -> None:
    assert user_turn(PAIR) == "Add.\n1 2"
    assert user_turn(Pair(id="s/1", instruction="Add.", output="3")) == "Add."


def test_the_loss_is_on_the_response_and_its_end(tokenizer: Any) -> None:
    encoded = encode([PAIR], tokenizer, end_of_turn="<|end|>", max_length_tokens=100)
    (example,) = encoded.examples
    shown, said = example.tokens[: example.prompt_tokens], example.tokens[example.prompt_tokens :]
    assert tokenizer.decode(shown) == "<|user|>\nAdd.\n1 2<|end|>\n<|assistant|>\n"
    assert tokenizer.decode(said) == "3<|end|>"
    assert example.response_tokens == 2
    assert (encoded.truncated, encoded.dropped, encoded.empty_responses) == (0, {}, 0)


# Worked out by hand from LLaMA-Factory's infer_seqlen.
@pytest.mark.parametrize(
    ("prompt", "response", "limit", "kept"),
    [
        pytest.param(5, 4, 10, (5, 4), id="fits"),
        pytest.param(20, 4, 10, (6, 4), id="short-response-stays-whole"),
        pytest.param(4, 20, 10, (4, 6), id="short-prompt-stays-whole"),
        pytest.param(30, 10, 8, (6, 2), id="both-shrink-in-proportion"),
        pytest.param(90, 5, 8, (8, 0), id="no-response-left"),
    ],
)
def test_truncation(prompt: int, response: int, limit: int, kept: tuple[int, int]) -> None:
    assert kept_lengths(prompt, response, limit) == kept


def test_truncated_and_dropped_pairs_are_counted(tokenizer: Any) -> None:
    pairs = [
        PAIR,
        Pair(id="s/1", instruction="Say it.", output="word " * 20),
        Pair(id="s/2", instruction="x" * 500, output="word " * 4),
        Pair(id="s/3", instruction="Hush.", output=""),
    ]
    encoded = encode(pairs, tokenizer, end_of_turn="<|end|>", max_length_tokens=24)
    assert [example.id for example in encoded.examples] == ["s/0", "s/1", "s/3"]
    assert all(len(example.tokens) <= 24 for example in encoded.examples)
    assert encoded.truncated == 1
    assert encoded.dropped == {"no response token left": 1}
    assert encoded.empty_responses == 1


def test_no_pairs_is_an_error(tokenizer: Any) -> None:
    with pytest.raises(RequestError) as caught:
        encode([], tokenizer, end_of_turn="<|end|>", max_length_tokens=24)
    assert str(caught.value) == (
        "sft: the set of pairs is empty; a model cannot be tuned on nothing (is `rows` or a filter off?)"
    )


def test_an_end_of_turn_that_is_no_token_is_refused(base: Path, params: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"sft\.end_of_turn: '<\|im_end\|>' is 10 tokens in the base's vocabulary"):
        chat_tokenizer(base, params["chat_template"], "<|im_end|>")


def test_without_an_end_of_turn_it_is_the_end_of_text(base: Path, params: dict[str, Any]) -> None:
    assert chat_tokenizer(base, params["chat_template"], None)[1] == "</s>"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        pytest.param("{{ messages | length }}<|end|>", r"the prompt of s/0 is not the start", id="not-a-prefix"),
        pytest.param("{% for m in messages %}{{ m.content }}{% endfor %}", r"does not follow the answer", id="no-end"),
    ],
)
def test_a_template_that_asks_and_trains_differently_is_refused(tokenizer: Any, template: str, message: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(RequestError, match=message):
        encode([PAIR], tokenizer, end_of_turn="<|end|>", max_length_tokens=24)
