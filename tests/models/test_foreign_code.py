"""Code that comes with a model: named and refused, and run by no library that the kit calls."""

import ast
import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import KitError, RequestError

ROOT = Path(__file__).parents[2]
WITHOUT = {
    "GenerationConfig": "reads numbers, and has no such argument",
    "PeftConfig": "reads an adapter's settings, and has no such argument",
    "PeftModel": "adds tensors to a model that is there, and has no such argument",
}
"""Classes whose ``from_pretrained`` runs no code of a folder -> why they are not asked to."""


def calls(code: str) -> Iterator[ast.Call]:
    """The calls that open a folder, those in a program's own string constants among them."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "from_pretrained(" in node.value:
            try:
                yield from calls(textwrap.dedent(node.value))
            except SyntaxError:
                continue  # a text about it
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = ast.unparse(node.func.value).rpartition(".")[2]
        if node.func.attr in ("from_pretrained", "from_config") and owner not in WITHOUT:
            yield node


def unguarded_calls(code: str) -> list[str]:
    """List the calls that do not say ``trust_remote_code=False``."""
    return [
        ast.unparse(call)
        for call in calls(code)
        if not any(
            word.arg == "trust_remote_code" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in call.keywords
        )
    ]


@pytest.mark.parametrize("part", ["kit", "perf", "tests", "examples"])
def test_every_call_that_opens_a_folder_says_that_no_code_of_it_is_run(part: str):
    # unset, transformers asks on the terminal, and a `yes` on standard input ran the folder's code
    files = sorted({*(ROOT / part).rglob("*.py")} - {Path(__file__)})  # its own cases are wrong on purpose
    assert {str(file): found for file in files if (found := unguarded_calls(file.read_text(encoding="utf-8")))} == {}


def test_the_kits_own_calls_are_found():
    found = [call for file in (ROOT / "kit").rglob("*.py") for call in calls(file.read_text(encoding="utf-8"))]
    assert len(found) >= 6


UNTOLD = {
    "unset": ("AutoTokenizer.from_pretrained(folder)", 1),
    "by a variable": ("AutoConfig.from_pretrained(folder, trust_remote_code=asked)", 1),
    "on": ("transformers.AutoModel.from_pretrained(folder, trust_remote_code=True)", 1),
    "in a program's text": ("run('if True:\\n    AutoModel.from_pretrained(x)')", 1),
    "off": ("AutoModel.from_pretrained(x, trust_remote_code=False); GenerationConfig.from_pretrained(x)", 0),
}


@pytest.mark.parametrize("code, count", UNTOLD.values(), ids=list(UNTOLD))
def test_the_search_for_calls_finds_them(code: str, count: int):
    assert len(unguarded_calls(code)) == count


pytest.importorskip("torch")
pytest.importorskip("transformers")

MAPS = {
    "config.json": ("config.json", {"AutoConfig": "configuration_z.Z", "AutoModelForCausalLM": "modeling_z.Z"}),
    "another repository's": ("config.json", {"AutoModelForCausalLM": "some/where--modeling_z.Z"}),
    "the tokenizer's": ("tokenizer_config.json", {"AutoTokenizer": ["tokenization_z.Z", None]}),
    "an old tokenizer's": ("tokenizer_config.json", ["tokenization_z.Z", "tokenization_z.ZFast"]),
    "of generation": ("generation_config.json", {"AutoModel": "z.Z"}),
    "a processor's": ("processor_config.json", {"AutoProcessor": "processing_z.Z"}),
    "empty": ("config.json", {}),
    "null": ("config.json", None),
}


@pytest.fixture
def evil(copy: Callable[..., Path], tmp_path: Path) -> Callable[[str, Any], Path]:
    """A good model's folder with code that leaves a mark if it is run, and a file that names it."""

    def make(file: str, named: Any) -> Path:
        folder = copy()
        for name in ("configuration_z", "modeling_z", "tokenization_z", "processing_z", "z"):
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
        settings = json.loads((folder / file).read_text()) if (folder / file).is_file() else {}
        (folder / file).write_text(json.dumps(settings | {"auto_map": named}))
        return folder

    return make


@pytest.mark.parametrize("file, named", MAPS.values(), ids=list(MAPS))
def test_code_that_a_file_names_is_refused(
    file: str, named: Any, evil: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    folder = evil(file, named)
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value).startswith(f"{folder / file}: auto_map names code that comes with the model (")
    assert str(caught.value).endswith(
        "and none is run; take auto_map out of the file: transformers has the architecture 'llama' itself"
    )
    assert not (tmp_path / "ran").exists()


def test_code_is_not_run_where_the_check_is_left_out(
    evil: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    # the second line: `trust_remote_code=False`, also where transformers does not know the architecture and would ask
    monkeypatch.setattr("builtins.input", lambda *_: "yes")
    folder = evil("config.json", {"AutoConfig": "configuration_z.Z", "AutoModelForCausalLM": "modeling_z.Z"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "zzzz"}))
    (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["tokenization_z.Z", null]}}')
    (folder / "tokenizer.json").unlink()
    for opened in (lambda: models.load_causal_lm(folder), lambda: models.load_tokenizer(folder)):
        with pytest.raises(KitError, match=rf"^{folder}: transformers can't "):
            opened()
    assert not (tmp_path / "ran").exists()


CURES = {
    "unknown": ("zzzz", "take a version of the model that transformers knows"),
    "InternLM2": ("internlm2", "rewrite the model with kit.models.internlm2_to_llama"),
    "no name": (["llama"], "take a version of the model that transformers knows"),
}


@pytest.mark.parametrize("name, cure", CURES.values(), ids=list(CURES))
def test_the_cure_fits_the_architecture(name: Any, cure: str, copy: Callable[..., Path]):
    folder = copy()
    (folder / "config.json").write_text(json.dumps({"model_type": name, "auto_map": {"AutoConfig": "z.Z"}}))
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value).endswith(f"and none is run; {cure}")


def test_a_way_to_write_texts_of_its_own_is_refused(copy: Callable[..., Path]):
    folder = copy()
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("raise SystemExit")
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == (
        f"{folder / 'custom_generate'}: code that comes with the model, and none is run; if the model writes texts "
        "without it, take it out of the folder"
    )


def test_code_that_nothing_names_does_no_harm(copy: Callable[..., Path]):
    # many good folders hold some
    folder = copy()
    (folder / "modeling_llama.py").write_text("raise SystemExit")
    (folder / "training_args.bin").write_bytes(b"\x80\x04\x95cos\nsystem\n")
    models.check_model_folder(folder)
    models.check_weights(folder)
    assert models.load_causal_lm(folder).config.model_type == "llama"


KERNELS = {
    "attention": {"attn_implementation": "some-one/attention"},
    "attention, as a class keeps it": {"_attn_implementation": "some-one/attention@main:f"},
    "one a part": {"_attn_implementation_internal": {"text_config": "some-one/attention"}},
    "experts": {"experts_implementation": "some-one/experts"},
}


@pytest.mark.parametrize("settings", KERNELS.values(), ids=list(KERNELS))
def test_kernels_of_another_repository_are_refused(
    settings: dict[str, Any], copy: Callable[..., Path], reconfigure: Callable[..., None]
):
    # transformers fetches such a kernel from the hub and runs it, where the `kernels` package is installed
    folder = copy()
    reconfigure(folder, **settings)
    ((name, value),) = settings.items()
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == (
        f"{folder / 'config.json'}: {name}: found {value!r}, wanted a plain name: one with a path is code from "
        "elsewhere, which is not run; is it the model's own file?"
    )
