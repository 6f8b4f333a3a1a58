"""Folders that the engines are given: a template that loops in the run, and what transformers and vLLM raise."""

import json
import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit import models, registry
from kit.engines import EngineSettings, Request
from kit.engines._chat import load_chat
from kit.errors import KitError, RequestError
from kit.models import templates
from kit.models.opening import opening
from kit.records import Turn

pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    try:
        import tiny_model
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("model")
    tiny_model.save(folder)
    return folder


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    shutil.copytree(model, tmp_path / "copy")
    return tmp_path / "copy"


LATER = "{%% if messages[0].content == 'now' %%}%s{%% endif %%}{{ messages[0].content }}"
"""A template that does no harm where it is tried out."""
RUNS = {
    "loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "it takes more than 1 s of CPU time for one chat; does it loop for ever? mend it, or take the model's template "
        "from another copy",
    ),
    "fills the memory": (
        "\n{{ 'a' * 10**10 }}",
        "line 2: it takes more than 1 GiB of memory for one chat; mend it, or take the model's template from another "
        "copy",
    ),
    "breaks": ("\n\n{{ 1 + 'a' }}", "line 3: unsupported operand type(s) for +: 'int' and 'str'"),
    "refuses": ("{{ raise_exception('not now') }}", "not now"),
}


@pytest.mark.parametrize("code, message", RUNS.values(), ids=list(RUNS))
def test_a_template_that_breaks_in_the_run(code: str, message: str, copy: Path, monkeypatch: pytest.MonkeyPatch):
    # it kept the engine busy for ever, or took its memory; some errors were tracebacks
    monkeypatch.setattr(templates, "CPU_S", 1)
    (copy / "chat_template.jinja").write_text(LATER % code)
    chat = load_chat(copy, 256)
    asked = [Request(id=f"s/{number}", turns=(Turn(role="user", content=text),), seed=1) for number, text in
             enumerate(["later", "now"])]  # fmt: skip
    assert len(chat.prompts(asked[:1], 8)) == 1
    with pytest.raises(RequestError) as caught:
        chat.prompts(asked, 8)
    assert str(caught.value) == (f"s/1: the chat template of {copy} refuses this chat: chat_template.jinja: {message}")


def test_a_template_that_is_costly_without_a_system_turn_alone(copy: Path, monkeypatch: pytest.MonkeyPatch):
    """The second look, with another system turn, is limited too."""
    monkeypatch.setattr(templates, "CPU_S", 1)
    code = "{% if '4711' in messages[0].content %}{{ 'a' * 10**10 }}{% endif %}"
    code += "{{ messages | map(attribute='content') | join }}"
    (copy / "chat_template.jinja").write_text(code)
    turns = (Turn(role="system", content="Be brief."), Turn(role="user", content="Hi"))
    with pytest.raises(RequestError, match=r"^s: the chat template of .* refuses this chat: .*memory for one chat"):
        load_chat(copy, 256).prompts([Request(id="s", turns=turns, seed=1)], 8)


UNASKED = {
    "nothing": "{% if messages | length == 1 %}{{ messages[0].content }}{% endif %}",
    "the first turn alone": "{{ messages[0].content }}",
    "the same words": "{% if messages | length == 1 %}{{ messages[0].content }}{% else %}Hello{% endif %}",
}


@pytest.mark.parametrize("template", UNASKED.values(), ids=list(UNASKED))
def test_a_template_that_leaves_the_question_out(template: str, copy: Path):
    # a prompt of no token was computed, and what came of it graded
    (copy / "chat_template.jinja").write_text(template)
    chat = load_chat(copy, 256)
    turns = [Turn(role=role, content=said) for role, said in (("user", "Hi"), ("assistant", "Ho"), ("user", "Why so?"))]
    assert len(chat.prompts([Request(id="s", turns=tuple(turns[:1]), seed=1)], 8)) == 1
    with pytest.raises(RequestError) as caught:
        chat.prompts([Request(id="s", turns=tuple(turns), seed=1)], 8)
    assert str(caught.value) == (
        f"s: the chat template of {copy} leaves the user's last turn out, so that the model would be asked nothing; "
        "take another template"
    )


def test_a_question_in_other_words_is_asked(copy: Path):
    (copy / "chat_template.jinja").write_text("{{ messages[-1].content | upper }}")
    chat = load_chat(copy, 256)
    (prompt,) = chat.prompts([Request(id="s", turns=(Turn(role="user", content="why"),), seed=1)], 8)
    assert chat.tokenizer.decode(prompt.ids) == "WHY"


TOKENIZERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no object": lambda _: [],
    "no model": lambda tokenizer: tokenizer | {"model": None},
    "another kind": lambda tokenizer: tokenizer | {"model": {"type": "SEA", "vocab": {}}},
    "ids that are texts": lambda tokenizer: tokenizer | {"model": {"type": "BPE", "vocab": {"a": "1"}, "merges": []}},
    "merges of nothing": lambda tokenizer: tokenizer | {"model": {"type": "BPE", "vocab": {"a": 1}, "merges": ["b c"]}},
    "a pattern": lambda tokenizer: (
        tokenizer
        | {"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(("}, "behavior": "Isolated", "invert": False}}
    ),
    "added tokens": lambda tokenizer: tokenizer | {"added_tokens": [{"id": -1, "content": 7}]},
    "deep": lambda tokenizer: json.loads('{"a":' * 500 + "1" + "}" * 500),
}


@pytest.mark.parametrize("change", TOKENIZERS.values(), ids=list(TOKENIZERS))
def test_a_tokenizer_that_is_damaged(change: Callable[[dict[str, Any]], Any], copy: Path):
    # some are a bare Exception, some a panic of Rust's, which is no Exception at all
    path = copy / "tokenizer.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(RequestError) as caught:
        load_chat(copy, 64)
    assert str(caught.value).startswith(f"{copy}")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_is_too_large(copy: Path):
    with (copy / "tokenizer.json").open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(RequestError, match=f"tokenizer.json: {2**40:,} bytes, wanted 536,870,912 at most"):
        models.load_tokenizer(copy)


def test_what_vllm_raises_names_the_folder(copy: Path, monkeypatch: pytest.MonkeyPatch):
    # a traceback of a thousand lines
    def broken(**_: Any) -> None:
        raise RuntimeError("Engine core initialization failed.\n  See root cause above.")

    vllm = ModuleType("vllm")
    monkeypatch.setattr(vllm, "LLM", broken, raising=False)
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    engine = registry.load("engines", "vllm")
    monkeypatch.setattr(engine, "_set_environment", lambda _: None)
    with pytest.raises(KitError) as caught:
        engine.open(copy, EngineSettings(name="vllm", max_model_len=64))
    assert str(caught.value) == (
        f"{copy}: vLLM can't open it: Engine core initialization failed. See root cause above."
    )
    assert engine.arguments(copy, EngineSettings())["trust_remote_code"] is False


def test_a_folder_that_changed_after_its_check(copy: Path):
    (copy / "model.safetensors").write_bytes(b"sea")
    with pytest.raises(KitError, match=rf"^{copy}: transformers can't load it: "):
        models.load_causal_lm(copy)


@pytest.mark.parametrize(
    "error", [ValueError("a\nb\x1b[2J"), MemoryError(), RecursionError("deep"), BaseException("p")]
)
def test_whatever_a_library_raises_is_a_sentence(error: BaseException, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "kit"), pytest.raises(RequestError) as caught, opening("m: can't be read"):
        raise error
    assert str(caught.value).startswith("m: can't be read: ")
    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is error
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), KitError("a sentence")])
def test_what_is_no_librarys_passes(error: BaseException):
    with pytest.raises(type(error)) as caught, opening("m"):
        raise error
    assert caught.value is error


LIMITS: dict[str, tuple[Any, str]] = {
    "a text": ("64", "max_position_embeddings: found '64', wanted a whole number"),
    "fewer": (32, "max_model_len is 64, the model was made for 32 tokens at most"),
}


@pytest.mark.parametrize("most, message", LIMITS.values(), ids=list(LIMITS))
def test_how_many_tokens_a_model_was_made_for(most: Any, message: str, copy: Path):
    config = json.loads((copy / "config.json").read_text()) | {"max_position_embeddings": most}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(RequestError, match=message):
        load_chat(copy, 64)
