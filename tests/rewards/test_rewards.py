"""Rewards of chats: InternLM2's without its code, any sequence classifier with one label, and a head made by a rule."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.records import Turn
from kit.rewards import model as reward_model
from kit.rewards import open_reward_model
from kit.rewards.model import batches

REWARD_TOKEN = 262


def chat(question: str, answer: str, system: str = "") -> tuple[Turn, ...]:
    turns = (Turn(role="user", content=question), Turn(role="assistant", content=answer))
    return (Turn(role="system", content=system), *turns) if system else turns


CHATS = {
    "a": chat("Name a river.", "The Nile."),
    "b": chat("Count to three, in words, and then back again.", "one two three two one " * 3),
    "c": chat("Why?", "x"),
    "d": chat("Say hello.", "hello", system="Be brief."),
}


def changed(folder: Path, out: Path, **settings: Any) -> Path:
    """A copy of a folder with other settings; None takes one out."""
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text()) | settings
    (out / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return out


def values(folder: Path, chats: dict[str, tuple[Turn, ...]]) -> list[float | None]:
    return [reward.value for reward in open_reward_model(folder).rewards(chats)]


def test_internlm2_as_its_own_layers_compute_it(converted: Path, by_hand: Callable[[list[int]], float]):
    opened = open_reward_model(converted)
    ids = {id: opened.token_ids(id, turns) for id, turns in CHATS.items()}
    assert all(one[-1] == REWARD_TOKEN for one in ids.values())
    found = opened.rewards(CHATS)
    assert [reward.value for reward in found] == pytest.approx([by_hand(one) for one in ids.values()], rel=1e-4)
    assert [reward.tokens for reward in found] == [len(one) for one in ids.values()]


def test_the_value_head_becomes_the_score(internlm2: Path, converted: Path):
    import torch
    from safetensors.torch import load_file

    old, new = load_file(internlm2 / "model.safetensors"), load_file(converted / "model.safetensors")
    assert torch.equal(new["score.weight"], old["v_head.weight"])
    assert "lm_head.weight" not in new
    config = json.loads((converted / "config.json").read_text())
    assert (config["architectures"], config["reward_token_id"]) == (["LlamaForSequenceClassification"], REWARD_TOKEN)
    assert not (converted / "modeling_internlm2.py").exists()


def test_the_reward_token_is_not_put_there_twice(converted: Path, tmp_path: Path):
    # a template that ends in the token itself
    bare = open_reward_model(changed(converted, tmp_path / "bare", reward_token_id=None))
    last = bare.token_ids("a", CHATS["a"])[-1]
    same = open_reward_model(changed(converted, tmp_path / "same", reward_token_id=last))
    assert same.token_ids("a", CHATS["a"]) == bare.token_ids("a", CHATS["a"])


def test_neither_order_nor_batches_nor_length_of_others_count(converted: Path, monkeypatch: pytest.MonkeyPatch):
    opened = open_reward_model(converted)
    alone = {id: opened.rewards({id: turns})[0].value for id, turns in CHATS.items()}
    backwards = dict(reversed(CHATS.items()))
    for budget in (1, 100, 10**6):
        monkeypatch.setitem(reward_model.TOKENS_AT_ONCE, "cpu", budget)
        found = dict(zip(backwards, opened.rewards(backwards), strict=True))
        assert {id: found[id].value for id in CHATS} == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("pad", [None, 3], ids=["no token that fills up", "one that ends every turn"])
def test_any_classifier_as_its_class_in_transformers_has_it(converted: Path, tmp_path: Path, pad: int | None):
    # where the filling token is the turn's own end, transformers reads the place before it
    import torch

    folder = changed(converted, tmp_path / "plain", reward_token_id=None, pad_token_id=pad)
    opened, whole = open_reward_model(folder), models.load_reward_model(folder, dtype=torch.float32)
    with torch.inference_mode():
        wanted = [
            float(whole(input_ids=torch.tensor([opened.token_ids(id, turns)])).logits[0, 0])
            for id, turns in CHATS.items()
        ]
    assert [reward.value for reward in opened.rewards(CHATS)] == pytest.approx(wanted, rel=1e-4)


def test_too_long_a_chat_has_no_reward_and_moves_no_other(converted: Path):
    opened = open_reward_model(converted, max_tokens=60)
    told: list[int] = []
    found = dict(zip(CHATS, opened.rewards(CHATS, told.append), strict=True))
    assert [id for id, reward in found.items() if reward.value is None] == ["b"]
    assert told[-1] == len(CHATS)
    whole = open_reward_model(converted).rewards({"a": CHATS["a"]})
    assert found["a"].value == pytest.approx(whole[0].value, rel=1e-5)


BATCHES = {
    "like lengths together": ({0: 3, 1: 9, 2: 4, 3: 8}, 18, [[1, 3], [2, 0]]),
    "one too long alone": ({0: 5, 1: 50, 2: 5}, 10, [[1], [0, 2]]),
    "none": ({}, 10, []),
}


@pytest.mark.parametrize(("lengths", "budget", "wanted"), BATCHES.values(), ids=list(BATCHES))
def test_batches(lengths: dict[int, int], budget: int, wanted: list[list[int]]):
    assert batches(lengths, budget) == wanted


# a head by a rule


def with_words(generator: Path, folder: Path) -> Path:
    """The generator with a token for each word of the rule, in the place of two letters that no test uses."""
    shutil.copytree(generator, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    for place, word in ((250, " good"), (251, " bad")):
        letter = next(letter for letter, id in tokenizer["model"]["vocab"].items() if id == place)
        del tokenizer["model"]["vocab"][letter]
        tokenizer["model"]["vocab"][word] = place
        tokenizer["added_tokens"].append(
            {"id": place, "content": word, "special": False, "normalized": False, "single_word": False,
             "lstrip": False, "rstrip": False}
        )  # fmt: skip
    path.write_text(json.dumps(tokenizer))
    return folder


@pytest.mark.parametrize("tied", [False, True], ids=["a matrix of its own", "tied to the embedding"])
def test_a_head_by_a_rule_is_the_difference_of_two_logits(generator: Path, tmp_path: Path, tied: bool):
    import torch

    source = with_words(generator, tmp_path / "words")
    if tied:
        from safetensors.torch import load_file, save_file

        tensors = load_file(source / "model.safetensors")
        tensors.pop("lm_head.weight")
        save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
        source = changed(source, tmp_path / "tied", tie_word_embeddings=True)
    models.add_reward_head(source, "good_minus_bad", tmp_path / "reward")
    opened = open_reward_model(tmp_path / "reward")
    whole = models.load_causal_lm(source, dtype=torch.float32)
    ids = opened.token_ids("a", CHATS["a"])
    with torch.inference_mode():
        logits = whole(input_ids=torch.tensor([ids])).logits[0, -1]
    assert opened.rewards({"a": CHATS["a"]})[0].value == pytest.approx(float(logits[250] - logits[251]), rel=1e-4)


# errors, each before a weight is loaded


def no_rule(folders: dict[str, Path], out: Path) -> None:
    models.add_reward_head(folders["generator"], "good_minus_bat", out)


def no_word(folders: dict[str, Path], out: Path) -> None:
    models.add_reward_head(folders["generator"], "good_minus_bad", out)


def generator_opened(folders: dict[str, Path], out: Path) -> None:
    open_reward_model(folders["generator"])


def two_labels(folders: dict[str, Path], out: Path) -> None:
    open_reward_model(changed(folders["converted"], out, id2label={"0": "bad", "1": "good"}))


def wrong_token(folders: dict[str, Path], out: Path) -> None:
    open_reward_model(changed(folders["converted"], out, reward_token_id=264))


def not_converted(folders: dict[str, Path], out: Path) -> None:
    open_reward_model(folders["internlm2"])


def half_a_character(folders: dict[str, Path], out: Path) -> None:
    open_reward_model(folders["converted"]).rewards({"s/4": chat("Why?", "\ud83d")})


def refused_by_the_template(folders: dict[str, Path], out: Path) -> None:
    shutil.copytree(folders["converted"], out)
    template = out / "chat_template.jinja"
    refuses = "{% if 'Monday' in messages[-1].content %}{{ raise_exception('not on Mondays') }}{% endif %}"
    template.write_text(refuses + template.read_text())
    open_reward_model(out).rewards({"s/5": chat("When?", "On Monday.")})


ERRORS = {
    "no such rule": (
        no_rule,
        "no rule named 'good_minus_bat' for a reward head; did you mean 'good_minus_bad'?",
    ),
    "no token for a word": (
        no_word,
        "{generator}: its tokenizer splits ' good' into 5 tokens, wanted one; take another model to play a reward "
        "model",
    ),
    "a generator": (
        generator_opened,
        "{generator}/config.json: architectures: found ['LlamaForCausalLM'], which gives no reward; take a reward "
        "model whose class in transformers is named ...ForSequenceClassification, with one label",
    ),
    "two labels": (
        two_labels,
        "{out}: the weights are not those of its LlamaForSequenceClassification: 1 of another shape: score.weight "
        "1 x 32, wanted 2 x 32; do config.json and the weights belong together?",
    ),
    "no such reward token": (
        wrong_token,
        "{out}/config.json: reward_token_id: found 264, wanted a token id below 264; is it the model's own file?",
    ),
    "its own code": (
        not_converted,
        "{internlm2}/config.json: auto_map names code that comes with the model ({{'AutoModel': "
        "'modeling_internlm2.InternLM2ForRewardModel'}}), and none is run; rewrite the model with "
        "kit.models.internlm2_to_llama",
    ),
    "half a character": (
        half_a_character,
        "s/4: its chat holds half a character ('\\ud83d'), which no tokenizer takes; write the whole one, or U+FFFD in "
        "its place",
    ),
    "a template that refuses": (
        refused_by_the_template,
        "s/5: the chat template of {out} refuses this chat: not on Mondays",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=list(ERRORS))
def test_what_gives_no_reward(
    act: Callable[..., None], message: str, generator: Path, internlm2: Path, converted: Path, tmp_path: Path
):
    folders, out = {"generator": generator, "internlm2": internlm2, "converted": converted}, tmp_path / "out"
    with pytest.raises(RequestError) as caught:
        act(folders, out)
    assert str(caught.value) == message.format(out=out, **folders)
