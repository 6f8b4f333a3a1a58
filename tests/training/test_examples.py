"""Pairs to tokens: layout, truncation, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.files.seeds import read_training
from kit.plan.adhoc import Workbench
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


@pytest.fixture
def begin_token(base: Path, tmp_path: Path) -> Path:
    """The base with a tokenizer that puts ``<s>``, id 0, in front of every text, as Llama's does."""
    folder = tmp_path / "begin"
    shutil.copytree(base, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    begin, text = {"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [begin, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}},
    }
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    return folder


# The five special tokens are 0 to 4; then the bytes as byte-level tokenizers order them: printable ASCII from "!" on,
# and the line break as the 199th: "3" is 5 + 51 - 33 = 23, "A" is 5 + 65 - 33 = 37, the line break is 5 + 198 = 203.
@pytest.mark.parametrize(
    ("template", "shown"),
    [
        pytest.param("", (3, 203, 37, 2, 203, 4, 203), id="template-writes-none"),
        pytest.param("{{ bos_token }}", (0, 3, 203, 37, 2, 203, 4, 203), id="template-writes-one"),
    ],
)
def test_the_begin_token_is_the_templates_alone(
    begin_token: Path, params: dict[str, Any], template: str, shown: tuple[int, ...]
) -> None:
    # with special tokens added, <s> stood twice in front, and once more in front of every answer
    tokenizer, _ = chat_tokenizer(begin_token, template + params["chat_template"], "<|end|>")
    assert tokenizer("A")["input_ids"] == [0, 37]
    pair = Pair(id="s/0", instruction="A", output="3")
    (example,) = encode([pair], tokenizer, end_of_turn="<|end|>", max_length_tokens=100).examples
    assert (example.tokens[: example.prompt_tokens], example.tokens[example.prompt_tokens :]) == (shown, (23, 2))


CHAT = Pair(id="s/7", system="S", history=(("A", "B"), ("C", "")), instruction="Add.", input="1 2", output="3")


def test_system_and_history_are_turns_and_the_loss_is_on_every_answer(tokenizer: Any) -> None:
    # both were dropped: the model was asked "Add.\n1 2" alone
    (example,) = encode([CHAT], tokenizer, end_of_turn="<|end|>", max_length_tokens=200).examples
    assert tokenizer.decode(example.tokens) == (
        "<|system|>\nS<|end|>\n<|user|>\nA<|end|>\n<|assistant|>\nB<|end|>\n<|user|>\nC<|end|>\n<|assistant|>\n<|end|>\n"
        "<|user|>\nAdd.\n1 2<|end|>\n<|assistant|>\n3<|end|>"
    )
    assert (
        tokenizer.decode([example.tokens[place] for place in example.response_positions]) == "B<|end|><|end|>3<|end|>"
    )
    # "<|system|>" is no token of this vocabulary: 10 bytes, a line break, S, end, line break; then a user's A and what
    # opens the answer: 3 + 2 + 2. Each later prompt begins with the line break that closes the turn before.
    assert (example.prompt_tokens, example.response_tokens) == (14 + 7, 2 + 1 + 2)
    assert example.later_prompts == ((23, 31), (32, 47))


CHATS = {
    "sharegpt": (("from", "value"), ("system", "human", "gpt"), "conversations"),
    "messages": (("role", "content"), ("system", "user", "assistant"), "messages"),
}


@pytest.mark.parametrize("keys, roles, field", CHATS.values(), ids=list(CHATS))
def test_a_whole_conversation_is_one_example_with_the_loss_on_each_turn_of_the_assistants(
    tokenizer: Any, keys: tuple[str, str], roles: tuple[str, ...], field: str, tmp_path: Path
) -> None:
    system, user, assistant = roles
    said = [
        (system, "S"),
        (user, "A"),
        (assistant, "B"),
        (user, "C"),
        (assistant, ""),
        (user, "Add.\n1 2"),
        (assistant, "3"),
    ]
    turns = [dict(zip(keys, turn, strict=True)) for turn in said]
    (tmp_path / "chats.json").write_text(json.dumps([{"id": "s/7", field: turns}]))
    (pair,) = read_training(tmp_path / "chats.json").rows
    assert pair == replace(CHAT, instruction="Add.\n1 2", input="")
    wanted = encode([CHAT], tokenizer, end_of_turn="<|end|>", max_length_tokens=200).examples
    (example,) = encode([pair], tokenizer, end_of_turn="<|end|>", max_length_tokens=200).examples
    assert (example,) == wanted
    answers = tokenizer.decode([example.tokens[place] for place in example.response_positions])
    assert answers == "B<|end|><|end|>3<|end|>"


def test_a_system_prompt_alone(tokenizer: Any) -> None:
    pair = Pair(id="s/0", system="S", instruction="A", output="3")
    (example,) = encode([pair], tokenizer, end_of_turn="<|end|>", max_length_tokens=100).examples
    assert tokenizer.decode(example.tokens[: example.prompt_tokens]) == (
        "<|system|>\nS<|end|>\n<|user|>\nA<|end|>\n<|assistant|>\n"
    )
    assert example.later_prompts == ()


# Turn by turn, by hand: A takes 7 + 2, C takes 8 + 1, "Add." with its input 15 + 2.
@pytest.mark.parametrize(
    ("limit", "tokens", "responses", "truncated", "unanswered"),
    [
        pytest.param(35, 35, 5, 0, 0, id="all"),
        # 16 tokens are left for 15 + 2; the answer is under half of them and stays whole
        pytest.param(34, 34, 5, 1, 0, id="the-last-prompt-shrinks"),
        # 2 are left for 15 + 2: int(2 * 2 / 17) = 0 of the answer
        pytest.param(20, 20, 3, 1, 1, id="the-last-answer-is-lost"),
        pytest.param(18, 18, 3, 1, 1, id="the-last-turn-is-lost"),
        pytest.param(9, 9, 2, 1, 1, id="one-turn-is-left"),
    ],
)
def test_chats_are_cut_turn_by_turn(
    tokenizer: Any, limit: int, tokens: int, responses: int, truncated: int, unanswered: int
) -> None:
    chat = Pair(id="s/7", history=(("A", "B"), ("C", "")), instruction="Add.", input="1 2", output="3")
    encoded = encode([chat], tokenizer, end_of_turn="<|end|>", max_length_tokens=limit)
    (example,) = encoded.examples
    assert (len(example.tokens), example.response_tokens) == (tokens, responses)
    assert (encoded.truncated, encoded.unanswered) == (truncated, unanswered)


USER_AND_ANSWER = (
    "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "pair", "message"),
    [
        pytest.param(
            USER_AND_ANSWER,
            Pair(id="s/1", system="Be brief.", instruction="Be brief. Why?", output="3"),
            "it leaves out or changes the system turn of s/1; take a template that writes every turn as it is",
            id="system-left-out",
        ),
        pytest.param(
            USER_AND_ANSWER,
            Pair(id="s/1", system="user", instruction="A", output="3"),
            "it leaves out or changes the system turn of s/1; take a template that writes every turn as it is",
            id="system-left-out-that-is-a-word-of-the-template",
        ),
        pytest.param(
            "{% if messages[0].role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
            + USER_AND_ANSWER,
            Pair(id="s/2", system="S", instruction="A", output="3"),
            "it refuses the chat of s/2: no system turns",
            id="system-refused",
        ),
        pytest.param(
            "<|user|>\n{{ (messages | selectattr('role', 'eq', 'user') | list | last).content }}<|end|>\n"
            "<|assistant|>\n{% if not add_generation_prompt %}{{ messages[-1].content }}<|end|>\n{% endif %}",
            Pair(id="s/3", history=(("A", "B"),), instruction="C", output="3"),
            "the chat of s/3 up to turn 2 is not the start of its whole chat; a history wants a template that writes "
            "earlier turns like the last",
            id="history-left-out",
        ),
        pytest.param(
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content | upper }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
            Pair(id="s/4", instruction="Add up.", output="3"),
            "it leaves out or changes the user turn of s/4; take a template that writes every turn as it is",
            id="instruction-changed",
        ),
        pytest.param(
            "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content.split('</think>')[-1] }}<|end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
            Pair(id="s/5", instruction="a", output="Hm.</think>3"),
            "it leaves out or changes the assistant turn of s/5; take a template that writes every turn as it is",
            id="answer-changed",
        ),
        pytest.param(
            "{{ messages[0].content.no_such.thing }}",
            Pair(id="s/6", instruction="a", output="3"),
            "it refuses the chat of s/6: 'str object' has no attribute 'no_such'",
            id="template-breaks",
        ),
    ],
)
def test_a_template_that_loses_something_is_refused(tokenizer: Any, template: str, pair: Pair, message: str) -> None:
    tokenizer.chat_template = template
    with pytest.raises(RequestError) as caught:
        encode([PAIR, pair] if "s/2" in pair.id else [pair], tokenizer, end_of_turn="<|end|>", max_length_tokens=99)
    assert str(caught.value) == f"sft.chat_template: {message}"


def test_a_template_may_trim_blanks(tokenizer: Any) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("m.content", "m.content | trim")
    pair = Pair(id="s/0", system=" S ", history=((" A", "B\n"),), instruction=" C ", output=" 3\n")
    (example,) = encode([pair], tokenizer, end_of_turn="<|end|>", max_length_tokens=99).examples
    assert tokenizer.decode([example.tokens[place] for place in example.response_positions]) == "B<|end|>3<|end|>"


def test_a_blank_answer_is_counted_as_none(tokenizer: Any) -> None:
    pairs = [Pair(id="s/0", instruction="A", output=" \n"), Pair(id="s/1", instruction="A", output="3")]
    assert encode(pairs, tokenizer, end_of_turn="<|end|>", max_length_tokens=99).empty_responses == 1


@pytest.mark.parametrize("command", ["stage", "command line"])
def test_an_end_of_turn_past_the_embedding_is_refused(
    command: str, base: Path, params: dict[str, Any], tmp_path: Path
) -> None:
    # IndexError in the first forward pass
    folder = tmp_path / "grown"
    shutil.copytree(base, folder)
    tokenizer = chat_tokenizer(base, params["chat_template"], "<|end|>")[0]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|over|>"]}, replace_extra_special_tokens=False)
    tokenizer.save_pretrained(folder)
    with pytest.raises(RequestError) as caught:
        if command == "stage":
            chat_tokenizer(folder, params["chat_template"], "<|over|>")
        else:
            (tmp_path / "t.jinja").write_text(params["chat_template"])
            (tmp_path / "pairs.json").write_text('[{"instruction": "a", "output": "b"}]')
            bench = Workbench("smoke")
            key = bench.sft(tmp_path / "pairs.json", {"base": str(folder)}, tmp_path / "t.jinja", "<|over|>")
            bench.check_end_of_turn(str(folder), key)
    assert str(caught.value) == (
        "sft.end_of_turn: token '<|over|>' has id 261, and the model's embedding has 261 rows; take another token, or "
        "a model whose embedding has grown with its tokenizer"
    )
