"""Chat templates: the same texts as transformers', and a sentence where one breaks, loops, or wants too much."""

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.models import templates
from kit.models.templates import (
    Renderer,
    TemplateLimitError,
    TemplateRefusalError,
    template_text,
    try_template,
)

pytest.importorskip("jinja2")
CHAT = [{"role": "user", "content": "Hi"}]
CURE = "; mend it, or take the model's template from another copy"


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer() as made:
        yield made


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SAME = {
    "chatml": CHATML,
    "llama 3": "{{- bos_token }}\n{%- for message in messages %}\n    {{- '<|' + message['role'] + '|>\\n' }}\n"
    "    {{- message['content'] | trim + '<|eot|>' }}\n{%- endfor %}\n{%- if add_generation_prompt %}\n"
    "    {{- '<|assistant|>' }}\n{%- endif %}\n",
    "a namespace": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }} "
    "{{ m['content'] }}{{ eos_token }}{% endfor %}",
    "json": "{% for m in messages %}{{ m | tojson }}{{ m | tojson(indent=2, ensure_ascii=True) }}{% endfor %}",
    "what is not there": "{% if tools is not none %}T{% endif %}{{ documents }}{{ nothing }}{{ messages[-1].content }}",
    "loop controls": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}"
    "{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}",
    "a generation": "{% for m in messages %}{% set x = 1 %}{% generation %}{% set x = 2 %}{{ m.content }}"
    "{% endgeneration %}{{ x }}{% endfor %}",
    "macros": "{% macro turn(m) -%}[{{ m.role | upper }}] {{ caller() }}{%- endmacro %}"
    "{% for m in messages %}{% call turn(m) %}{{ m['content'] }}{% endcall %}\n{% endfor %}",
    "methods": "{% for m in messages %}{{ m.content.split(' ')[-1].strip() ~ m.get('role').title() }}{% endfor %}"
    "{{ messages | map(attribute='content') | join('|') }}",
    "blanks": "  {% for m in messages %}  \n   {{ m.content }}   \n  {% endfor %}  \n\n",
    "markup": "{{ '<b>' | e }}{{ messages[-1].content | safe }}{{ '%s-%d' % ('a', 3) }}{{ '{:>4}'.format('x') }}",
}
CHATS = {
    "one turn": [("user", "Hi")],
    "all roles": [
        ("system", "Be brief."),
        ("user", " What\nis it? "),
        ("assistant", "海 <b>&</b> 😀"),
        ("user", "Why?"),
    ],
    "an answer": [("user", "Hi"), ("assistant", "Ho ")],
    "half a character": [("user", "a \ud83d b \u2028 \x00")],
}


@pytest.mark.parametrize("chat", CHATS.values(), ids=list(CHATS))
@pytest.mark.parametrize("template", SAME.values(), ids=list(SAME))
def test_the_texts_are_those_of_transformers(template: str, chat: list[tuple[str, str]], renderer: Renderer):
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": role, "content": content} for role, content in chat]
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    for options in ({}, {"add_generation_prompt": True}, {"continue_final_message": True}):
        try:
            (wanted,), _ = render_jinja_template(
                conversations=[turns], chat_template=template, **{"add_generation_prompt": False} | options, **tokens
            )
        except ValueError:  # of a last turn that the template changes
            with pytest.raises(RequestError, match=r"turn (that )?is to be continued"):
                renderer.render(template, turns, tokens, **options)
        else:
            assert renderer.render(template, turns, tokens, **options) == wanted


MEMORY = r"it takes more than 1 GiB of memory for one chat; "
TIME = r"it takes more than 1 s of CPU time for one chat; does it loop for ever\? "
LENGTH = r"it makes more than 1,000,032 characters of a chat of 2; does it repeat itself\? "
NESTS = r"it nests or calls itself without end; "
COSTLY = {
    "loops in loops": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", TIME),
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        TIME,
    ),
    "words without end": ("{{ lipsum(n=10**7) }}", TIME),
    "sorting in C": ("{% for a in range(99999) %}{% set b = range(99999) | sort %}{% endfor %}", TIME),
    "a letter times": ("{{ 'a' * 10**10 }}", MEMORY),
    "a format": ("\n\n{{ '%10000000000d' | format(1) }}", "line 3: " + MEMORY),
    "a method's format": ("{{ '{:>10000000000}'.format(1) }}", MEMORY),
    "a filter": ("{{ 'a' | center(10**10) }}", MEMORY),
    "doubling": (
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        MEMORY,
    ),
    "a list of lists": ("{{ [[0] * 10**9] * 10**9 }}", MEMORY),
    "a long text": ("{% for i in range(99999) %}{{ 'a' * 99 }}{% endfor %}", LENGTH),
    "the chat over and over": ("{% for i in range(99999) %}{{ messages | string }}{% endfor %}", LENGTH),
    "a macro that calls itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", NESTS),
    "brackets": ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", NESTS),
    "blocks": ("{% if 1 %}" * 2_000 + "{% endif %}" * 2_000, NESTS),
}


@pytest.mark.parametrize("template, message", COSTLY.values(), ids=list(COSTLY))
def test_a_template_that_wants_too_much_is_ended(
    template: str, message: str, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
):
    # it ran for ever, or took all the memory there was, in the process that held the model
    # where time is not what ends it, there is enough: to fill 1 GiB took a second on a slow machine
    monkeypatch.setattr(templates, "CPU_S", 1 if message == TIME else 60)
    with pytest.raises(
        TemplateLimitError, match=rf"^{message}mend it, or take the model's template from another copy$"
    ):
        renderer.render(template, CHAT, {})
    assert renderer.render(CHATML, CHAT, {}) == "<|im_start|>user\nHi<|im_end|>\n"


WRONG = {
    "no division": ("{{ 1 / 0 }}", "division by zero"),
    "no sum, in a line of several": (
        "a\nb\n{{ 1 + 'a' }}\n",
        "line 3: unsupported operand type(s) for +: 'int' and 'str'",
    ),
    "in a macro": (
        "{% macro f(a) %}\n{{ a.b.c }}\n{% endmacro %}\n\n{{ f('x') }}",
        "line 2: 'str object' has no attribute 'b'",
    ),
    "syntax": ("\n{% for x in %}", "line 2: Expected an expression, got 'end of statement block'"),
    "a tag of nobody's": ("{% sea %}", "line 1: Encountered unknown tag 'sea'."),
    "a filter of nobody's": ("{{ 1 | sea }}", "line 1: No filter named 'sea'."),
    "a number too large": ("{{ 10**400 / 1 }}", "integer division result too large for a float"),
    "a range": (
        "{% for i in range(10**12) %}x{% endfor %}",
        "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).",
    ),
    "a file": ("{% include '/etc/passwd' %}", "no loader for this environment specified"),
    "a class": ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe."),
    "a module": (
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "access to attribute '__init__' of 'type' object is unsafe.",
    ),
    "a change of the chat": ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe."),
}


@pytest.mark.parametrize("template, message", WRONG.values(), ids=list(WRONG))
def test_a_template_that_breaks_is_told_with_its_line(template: str, message: str, renderer: Renderer):
    with pytest.raises(RequestError) as caught:
        renderer.render(template, CHAT, {})
    assert str(caught.value) == message


def test_a_refusal_is_one_line_of_plain_characters(renderer: Renderer):
    template = "{{ raise_exception('\x1b[2J\n only' ~ ' system turns' * 999) }}"
    with pytest.raises(TemplateRefusalError) as caught:
        renderer.render(template, CHAT, {})
    assert str(caught.value).startswith(r"\x1b[2J only system turns system")
    assert len(str(caught.value)) == 300


def test_long_chats_are_no_loop(renderer: Renderer):
    """The length that is allowed grows with the chat."""
    turns = [{"role": ("user", "assistant")[turn % 2], "content": "word " * 20_000} for turn in range(40)]
    assert len(renderer.render(CHATML, turns, {})) > 4_000_000


def test_the_process_ends_with_its_owner():
    made = Renderer()
    made.render(CHATML, CHAT, {})
    assert made._child is not None
    process = made._child.process
    assert process.poll() is None
    del made
    gc.collect()
    assert process.poll() is not None


def test_the_date_is_one_day(renderer: Renderer):
    assert renderer.render("{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}", CHAT, {}) == "26 Jul 2024 Hi"


TRIED = {
    "a refusal of system turns": "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML,
    "wants a history": "{{ messages[2].content }}",
    "wants a system turn": "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}" + CHATML,
}


@pytest.mark.parametrize("template", TRIED.values(), ids=list(TRIED))
def test_a_template_that_renders_some_chats_will_do(template: str):
    try_template(template, {}, "m/chat_template.jinja: the chat template")


USELESS = {
    "a path": (
        "chat_template.jinja",
        "holds no '{{' and no '{%', so every chat would be the same text; wanted a template in Jinja, and not a path "
        "to one",
    ),
    "always the same words": (
        "{{ 'Hello' | length }}{% for m in messages %}{{ m.role }}{% endfor %}",
        f"leaves what the user says out of every chat{CURE}",
    ),
    # renders '' in jinja2's sandbox: the model was asked nothing
    "nothing": ("{{ raise_exception.__globals__ }}", f"leaves what the user says out of every chat{CURE}"),
    "breaks on all": ("\n{{ 1 / 0 }}", f"renders no chat: line 2: division by zero{CURE}"),
    "refuses all": ("{{ raise_exception('never') }}", f"renders no chat: never{CURE}"),
    "does not compile": (
        "{% for %}",
        f"renders no chat: line 1: Expected an expression, got 'end of statement block'{CURE}",
    ),
    "costs too much": ("{{ 'a' * 10**10 }}", f"it takes more than 1 GiB of memory for one chat{CURE}"),
    "costs too much for a long chat": (
        "{% for m in messages %}{% for n in messages %}{{ messages | string }}{% endfor %}{% endfor %}",
        None,
    ),
}


@pytest.mark.parametrize("where", ["chat_template.jinja", "tokenizer_config.json"])
@pytest.mark.parametrize("template, message", USELESS.values(), ids=list(USELESS))
def test_a_folders_template_is_tried_out(template: str, message: str | None, where: str, copy: Callable[..., Path]):
    # presence alone was checked: the model was loaded first
    folder = copy()
    text = template if where.endswith("jinja") else json.dumps({"chat_template": template})
    (folder / where).write_text(text)
    models.check_model_folder(folder)
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder, chat=True)
    start = f"{folder / where}: the chat template: "
    if message is None:
        assert str(caught.value).startswith(f"{start}it makes more than ")
    else:
        assert str(caught.value) == f"{start}{message}"


PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"chat_template": "{{ a }}"}, "{{ a }}"),
    "some by name": (
        {"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]},
        "d",
    ),
    "an object": ({"chat_template": {"default": "d", "rag": "r"}}, "d"),
    "none": ({"chat_template": None}, ""),
}


@pytest.mark.parametrize("config, text", PLACES.values(), ids=list(PLACES))
def test_where_a_template_stands(config: dict[str, Any], text: str, tmp_path: Path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert template_text(tmp_path) == (text, "tokenizer_config.json")
    (tmp_path / "chat_template.jinja").write_text("\ufefffirst", encoding="utf-8")
    assert template_text(tmp_path) == ("first", "chat_template.jinja")


def test_a_template_of_no_name_that_is_used(tmp_path: Path):
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": [{"name": "rag", "template": "r"}]}')
    with pytest.raises(RequestError) as caught:
        template_text(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/tokenizer_config.json: chat_template has 'rag' and no 'default', which is the one that chats are "
        "written with; name one so"
    )


FILES = {
    "no text": (b"\xff\xfe\x00{", "UTF-16 text; save the file as UTF-8"),
    "bytes": (b"{{ a }}\xff", "line 1: byte 7 (0xff) is not UTF-8; save the file as UTF-8"),
    "too long": (b"{{ a }}" * 200_000, "more than 1,048,576 bytes, which no such file has; is it the right one?"),
}


@pytest.mark.parametrize("data, message", FILES.values(), ids=list(FILES))
def test_a_template_that_is_no_text(data: bytes, message: str, tmp_path: Path):
    (tmp_path / "chat_template.jinja").write_bytes(data)
    with pytest.raises(RequestError) as caught:
        template_text(tmp_path)
    assert str(caught.value) == f"{tmp_path}/chat_template.jinja: {message}"
