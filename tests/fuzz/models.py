"""Damaged and hostile model folders: every JSON file, the weights' headers, the chat template, code that came along.

The folder is a Llama of two layers that was made on the spot. A case changes one file, and the kit reads the folder as
it does before any work: its files, its weights against config.json, its tokenizer, a chat in its template's words.
"""

import contextlib
import functools
import io
import json
import shutil
import sys
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import changes, outcomes
from tests.fuzz.outcomes import FaultError

NAME = "models"
CPU_S = 60.0
"""torch and transformers are imported by the first case."""
ASLEEP_S = 30.0
IN_A_ROW = 40
INDEX = "model.safetensors.index.json"
DOCUMENTS = ("config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json", INDEX)
REQUIRED = ("config.json", "tokenizer.json", "model.safetensors", INDEX, "chat_template.jinja")
SHAPES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
"""What config.json says of the weights, beside its number of tokens."""
TOKENS = 260
"""A token a byte, and four that mark turns."""
TEMPLATES = {
    "unclosed": "{% for m in messages %}{{ m.content }",
    "unknown tag": "{% import_code 'x' %}",
    "refuses": "{{ raise_exception('only two turns') }}",
    "divides": "{{ 1 / 0 }}",
    "undefined": "{{ nothing.at.all }}",
    "no such turn": "{{ messages[99].content }}",
    "of another type": "{{ messages + 1 }}",
    "no function": "{{ messages() }}",
    "endless": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(9) %}{% endfor %}{% endfor %}"
    + "{% endfor %}",
    "long": "{{ 'a' * 10 ** 10 }}",
    "longer and longer": "{% set x = namespace(t='a') %}{% for i in range(99) %}{% set x.t = x.t ~ x.t %}{% endfor %}",
    "many": "{% for i in range(99999) %}" + "a" * 9_000 + "{% endfor %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "recursive": "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "deep": "{{ " + "(" * 3_000 + "1" + ")" * 3_000 + " }}",
    "deep lists": "{{ " + "[" * 3_000 + "]" * 3_000 + " }}",
    "class": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ raise_exception.__globals__ }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "width": "{{ '%999999999d' % 1 }}",
    "padded": "{{ 'a'.center(9999999999) }}",
    "joined": "{{ range(99999) | map('string') | join('x' * 99999) }}",
    "include": "{% include '/etc/passwd' %}",
    "extends": "{% extends 'base.html' %}",
    "half a character": "{{ '\\ud83d' }}{% for m in messages %}{{ m.content }}{% endfor %}",
    "NUL": "\x00{{ messages }}",
    "empty": "",
    "no turn": "always the same words",
    "stops": "{% break %}",
    "unhashable": "{{ {messages: 1} }}",
    "sorted": "{{ messages | sort | list }}",
    "escape": "\x1b[31m{{ undefined_thing.x }}",
    "own error": "{{ raise_exception('\x1b[2J' * 9) }}",
    "long error": "{{ raise_exception('x' * 9999999) }}",
    "changed": "{% set _ = messages.append(messages[0]) %}{{ messages }}",
    "cleared": "{% set _ = messages.clear() %}{{ messages }}",
}
"""Chat templates of people who mean no good, or can't write Jinja; none is a chat's."""
ANY_END = {"empty", "no turn", "escape", "NUL", "half a character", "changed", "cleared", "unhashable", "sorted"}
"""Those that may be rendered: they are foolish, and some leave a turn out."""
PLANTED = {
    "code": {
        "modeling_evil.py": "EVIL",
        "config.json": {"auto_map": {"AutoModelForCausalLM": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}},
    },
    "tokenizer code": {
        "modeling_evil.py": "EVIL",
        "tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["modeling_evil.Evil", None]}},
    },
    "unknown model with code": {
        "modeling_evil.py": "EVIL",
        "config.json": {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.Evil"}},
    },
    "generation code": {"modeling_evil.py": "EVIL", "custom_generate/generate.py": "EVIL"},
    "tokenizer class": {"modeling_evil.py": "EVIL", "tokenizer_config.json": {"tokenizer_class": "modeling_evil.Evil"}},
    "an adapter": {"adapter_config.json": "{}"},
    "more weights": {"other.safetensors": "x"},
    "pickle": {"pytorch_model.bin": "x"},
}
"""Files that came along, and what a configuration says of them."""
MAY_STAY = {"generation code", "tokenizer class", "pickle"}
"""Of those: what may be left unread in silence, since nothing of it is run."""


@functools.cache
def bases() -> dict[str, Path]:
    """Make the folders that are copied: the weights in one file, and in two with an index."""
    from tests.tiny_model import save

    here = changes.fresh(Path.cwd().parent / "base-models")
    (here / "whole").mkdir()
    with contextlib.redirect_stderr(io.StringIO()):
        save(here / "whole")
    shutil.copytree(here / "whole", here / "sharded")
    header, data = split((here / "whole" / "model.safetensors").read_bytes())
    names = sorted(name for name in header if name != "__metadata__")
    places = {}
    for number, some in enumerate((names[:9], names[9:]), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        (here / "sharded" / file).write_bytes(_some_tensors(header, data, some))
        places |= dict.fromkeys(some, file)
    (here / "sharded" / "model.safetensors").unlink()
    (here / "sharded" / INDEX).write_text(json.dumps({"metadata": {"total_size": len(data)}, "weight_map": places}))
    return {"whole": here / "whole", "sharded": here / "sharded"}


def split(file: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a safetensors file."""
    length = int.from_bytes(file[:8], "little")
    return json.loads(file[8 : 8 + length]), file[8 + length :]


def framed(header: bytes, data: bytes) -> bytes:
    """Return a safetensors file."""
    return len(header).to_bytes(8, "little") + header + data


def _some_tensors(header: dict[str, Any], data: bytes, names: list[str]) -> bytes:
    """A file of some of another's tensors."""
    found, pieces, place = {}, [], 0
    for name in names:
        start, end = header[name]["data_offsets"]
        found[name] = header[name] | {"data_offsets": [place, place + end - start]}
        pieces.append(data[start:end])
        place += end - start
    return framed(json.dumps(found | {"__metadata__": {"format": "pt"}}).encode(), b"".join(pieces))


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one case."""
    pick = rng.random()
    if pick < 0.15:
        return {"base": "whole", "template": rng.choice(sorted(TEMPLATES))}
    if pick < 0.20:
        return {"base": "whole", "planted": rng.choice(sorted(PLANTED))}
    if pick < 0.40:
        file = (bases()["whole"] / "model.safetensors").read_bytes()
        change = changes.value_change(rng, split(file)[0])
        return (
            {"base": "whole", "file": "model.safetensors", "header": change}
            if rng.random() < 0.7
            else {
                "base": "whole",
                "file": "model.safetensors",
                "change": rng.choice((changes.byte_change(rng), ["become", rng.choice(changes.KINDS)])),
            }
        )
    file = rng.choice((*DOCUMENTS, "config.json", "config.json", "chat_template.jinja"))
    kind = "sharded" if file == INDEX else "whole"
    if file == "chat_template.jinja":
        return {
            "base": kind,
            "file": file,
            "change": rng.choice((changes.byte_change(rng), ["become", rng.choice(changes.KINDS)])),
        }
    document = json.loads((bases()[kind] / file).read_bytes())
    if file == "config.json" and rng.random() < 0.4:
        name = rng.choice((*SHAPES, "vocab_size", "model_type", "rms_norm_eps", "num_key_value_heads", "head_dim"))
        return {
            "base": kind,
            "file": file,
            "change": ["set", [name], rng.choice((*changes.VALUES, 3, 8, 16, 64, "gpt2"))],
        }
    return {"base": kind, "file": file, "change": changes.any_change(rng, document)}


def group(case: dict[str, Any]) -> str:
    """Return what a case is counted under."""
    return f"models: {case.get('file') or ('chat template' if 'template' in case else 'planted files')}"


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Change the folder, and read it.

    Raises:
        FaultError: anything but a model or a sentence; another model than the folder's, in silence; code that ran.
    """
    model, marker = folder / "model", folder / "ran"
    shutil.copytree(bases()[case["base"]], model)
    must = _damage(case, model, marker)
    stdin, sys.stdin = sys.stdin, io.StringIO("y\nyes\n" * 9)  # to whoever asks whether code may run
    try:
        ended = outcomes.call(lambda: read(model))
    finally:
        sys.stdin = stdin
    if marker.exists():
        raise FaultError("code ran", case["planted"])
    if must and not ended.refused:
        raise FaultError("silent acceptance", f"{ended.value}"[:500])
    return {"end": outcomes.REFUSED if ended.refused else outcomes.ACCEPTED}


def read(model: Path) -> str:
    """Read a folder as an engine does before it loads the weights; returns the chat in its template's words."""
    from kit.engines import Request
    from kit.engines._chat import load_chat
    from kit.models import check_model_folder
    from kit.plan.sources import folder_source
    from kit.records import Turn

    check_model_folder(model, chat=True)
    folder_source(model)
    chat = load_chat(model, 128)
    turns = (
        Turn(role="user", content="How many?"),
        Turn(role="assistant", content="Two."),
        Turn(role="user", content="Why?"),
    )
    (prompt,) = chat.prompts([Request(id="a", turns=turns, seed=1)], 8)
    return str(chat.tokenizer.decode(prompt.ids))


def _damage(case: dict[str, Any], model: Path, marker: Path) -> bool:
    """Make the change; returns whether the folder must be refused."""
    if "template" in case:
        text = TEMPLATES[case["template"]]
        (model / "chat_template.jinja").write_text(text, "utf-8", "surrogatepass")
        return case["template"] not in ANY_END
    if "planted" in case:
        _plant(PLANTED[case["planted"]], model, marker)
        return case["planted"] not in MAY_STAY
    path = model / case["file"]
    before = path.read_bytes()
    if "header" in case:
        header, data = split(before)
        changed = changes.dumped(changes.changed(header, case["header"]))
        path.write_bytes(framed(changed, data))
        return _tensors(changed) != _tensors(before[8 : len(before) - len(data)])
    changes.change_file(path, case["change"])
    return _must_refuse(case["file"], path, before)


def _plant(files: dict[str, Any], model: Path, marker: Path) -> None:
    """Write files beside the model's, or keys into its JSON."""
    for name, value in files.items():
        (model / name).parent.mkdir(exist_ok=True)
        if isinstance(value, dict):
            (model / name).write_text(json.dumps(json.loads((model / name).read_bytes()) | value))
        else:
            evil = f"open({str(marker)!r}, 'w').close()\nclass Evil:\n    pass\n"
            (model / name).write_text(evil if value == "EVIL" else value)


def _tensors(header: bytes) -> Any:
    """What a header says of the tensors; None where it is none."""
    value = _json(header)
    if not isinstance(value, dict):
        return None
    known = ("dtype", "shape", "data_offsets")
    return {
        name: {key: one.get(key) for key in known} if isinstance(one, dict) else one
        for name, one in value.items()
        if name != "__metadata__"
    }


def _json(data: bytes) -> Any:
    """The value of a JSON text that everybody reads alike; None if it is none."""
    try:
        return json.loads(data.decode(), parse_constant=lambda _: float("x"))
    except (ValueError, RecursionError):
        return None


def _must_refuse(name: str, path: Path, before: bytes) -> bool:
    """Whether the folder is no longer that model's, by what its changed file says."""
    if not path.is_file():
        return name in REQUIRED
    if str(path.resolve()).startswith("/dev/"):
        return True
    data = path.read_bytes()
    if data == before or name.endswith(".safetensors"):
        return data != before
    if name == "chat_template.jinja":
        return not data.strip()
    value, first = _json(data), json.loads(before)
    return not isinstance(value, dict) or _another_model(name, value, first)


def _another_model(name: str, value: dict[str, Any], first: dict[str, Any]) -> bool:
    """Whether a JSON file of the folder describes another model than it did."""
    if name == INDEX:
        places, before = value.get("weight_map"), first["weight_map"]
        # A tensor that is not named is read all the same, as long as its file is.
        lost = not isinstance(places, dict) or set(map(str, places.values())) != set(before.values())
        return lost or not set(places.items()) <= set(before.items())
    if name == "config.json":
        keys = (*SHAPES, "vocab_size", "model_type")
        return "auto_map" in value or any(_other(value.get(key), first.get(key)) for key in keys)
    if name == "generation_config.json":
        ends = value.get("eos_token_id")
        ends = ends if isinstance(ends, list) else [ends]
        return not all(one is None or (type(one) is int and 0 <= one < TOKENS) for one in ends)
    return False


def _other(found: Any, wanted: Any) -> bool:
    """Whether two values of a configuration are others: 2.0 layers are 2, but true is not 1."""
    return isinstance(found, bool) or found != wanted
