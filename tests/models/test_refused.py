"""Commands on a damaged model folder: exit code 2, the tensors named, and no worker started."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli import main
from kit.errors import RequestError
from kit.run import processes

pytest.importorskip("torch")
pytest.importorskip("transformers")

DATA = Path(__file__).parents[1] / "data"
COMMANDS = {
    "sft": "sft --pairs rows.json --base model --out tuned --scale smoke",
    "respond": "respond --instructions rows.json --responder model --out o.json --scale smoke",
    "evolve": "evolve --seeds rows.json --evolver model --out o.json --scale smoke",
    "answer": "answer gsm8k --model model --data problems.jsonl --out o.jsonl --scale smoke",
}


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], str]:
    """The message of a command that is refused before anything is run or written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)
    (tmp_path / "rows.json").write_text(json.dumps([{"instruction": "Name a colour.", "output": "Red."}]))
    (tmp_path / "problems.jsonl").write_text(json.dumps({"question": "What is 1 + 1?", "answer": "#### 2"}) + "\n")
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))

    def call(words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["kit", *words.split()])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert (ended.value.code, printed.out) == (2, "")
        assert not (tmp_path / "store").exists()
        return printed.err.removeprefix("error: ").removesuffix("\n")

    return call


@pytest.fixture
def damaged(copy: Callable[..., Path]) -> Path:
    folder = copy()
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    return folder


@pytest.mark.parametrize("words", COMMANDS.values(), ids=list(COMMANDS))
def test_a_layer_that_lacks_its_mlp(
    words: str, damaged: Path, rewrite: Callable[..., None], refused: Callable[[str], str]
):
    # sft and respond ended with exit code 0, on random weights
    rewrite(damaged, lambda tensors: {name: one for name, one in tensors.items() if "layers.1.mlp" not in name})
    assert refused(words) == (
        "model: the weights are not those of its LlamaForCausalLM: 3 missing (layer 1): "
        "model.layers.1.mlp.down_proj.weight, model.layers.1.mlp.gate_proj.weight, model.layers.1.mlp.up_proj.weight; "
        "is the download complete?"
    )


@pytest.mark.parametrize("words", COMMANDS.values(), ids=list(COMMANDS))
def test_a_file_that_is_cut_off(words: str, damaged: Path, refused: Callable[[str], str]):
    file = damaged / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[:-7])
    assert refused(words) == (
        f"model/model.safetensors: cut off: found {len(data) - 7:,} bytes, wanted {len(data):,} for its tensors; "
        "is the download complete?"
    )


def test_an_untied_head(damaged: Path, rewrite: Callable[..., None], refused: Callable[[str], str]):
    rewrite(damaged, lambda tensors: {name: one for name, one in tensors.items() if name != "lm_head.weight"})
    assert refused(COMMANDS["sft"]).startswith(
        "model: the weights are not those of its LlamaForCausalLM: 1 missing: lm_head.weight; "
    )


def test_a_quantised_base(damaged: Path, reconfigure: Callable[..., None], refused: Callable[[str], str]):
    reconfigure(damaged, quantization_config={"quant_method": "awq"})
    assert refused(COMMANDS["sft"]) == (
        "model: its weights are quantised (awq), wanted 16- or 32-bit floats; take the model's version that is not "
        "quantised"
    )


def test_a_manifests_own_folder(
    damaged: Path, rewrite: Callable[..., None], refused: Callable[[str], str], tmp_path: Path
):
    # planned, hashed, fetched and loaded
    sizes = "parameters = 1\nlayers = 2\nhidden = 16\nintermediate = 24\nheads = 4\nkv_heads = 2\nvocab = 64\n"
    model = f'[models.own]\nfolder = "model"\n{sizes}context = 64\nlicence = "mine"\n\n[seeds]'
    manifest = (DATA / "mine.toml").read_text(encoding="utf-8").replace("[seeds]", model)
    (tmp_path / "my.toml").write_text(manifest.replace('base = ["smollm2-29l"]', 'base = ["own"]'))
    (tmp_path / "seeds.json").write_text('[{"instruction": "a"}]')
    rewrite(damaged, lambda tensors: {name: one for name, one in tensors.items() if name != "lm_head.weight"})
    assert refused("plan my.toml").startswith(
        f"my.toml: models.own: {damaged}: the weights are not those of its LlamaForCausalLM: 1 missing: "
        "lm_head.weight; "
    )


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_an_engine_checks_what_it_is_given(engine: str, damaged: Path, rewrite: Callable[..., None]):
    # vLLM packs queries, keys and values, and gate and up, into one matrix each: it opened a model without an MLP
    from kit import registry
    from kit.engines import EngineSettings

    rewrite(damaged, lambda tensors: {name: one for name, one in tensors.items() if "up_proj" not in name})
    with pytest.raises(RequestError) as caught:
        registry.load("engines", engine).open(damaged, EngineSettings(name=engine, max_model_len=64))
    assert str(caught.value) == (
        f"{damaged}: the weights are not those of its LlamaForCausalLM: 2 missing (layers 0 to 1): "
        "model.layers.0.mlp.up_proj.weight, model.layers.1.mlp.up_proj.weight; is the download complete?"
    )


def test_the_trainer_checks_its_base(damaged: Path, rewrite: Callable[..., None]):
    from kit.training.weights import attention_for

    assert attention_for(damaged, packing=True) == "kit_varlen"
    rewrite(damaged, lambda tensors: {name: one for name, one in tensors.items() if "norm" not in name})
    with pytest.raises(RequestError) as caught:
        attention_for(damaged, packing=True)
    assert str(caught.value) == (
        f"sft.base: {damaged}: the weights are not those of its LlamaForCausalLM: 5 missing (layers 0 to 1): "
        "model.layers.0.input_layernorm.weight, model.layers.0.post_attention_layernorm.weight, "
        "model.layers.1.input_layernorm.weight, model.layers.1.post_attention_layernorm.weight, model.norm.weight; "
        "is the download complete?"
    )


def test_planning_without_torch(damaged: Path, refused: Callable[[str], str], monkeypatch: pytest.MonkeyPatch):
    """The files are checked all the same."""
    import importlib.util
    from typing import cast

    find: Any = importlib.util.find_spec
    without = lambda name, *more: None if name == "torch" else find(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", cast("Any", without))
    (damaged / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert refused(COMMANDS["sft"]) == (
        "model/model.safetensors: a git-lfs pointer, not the weights; run `git lfs pull` where it came from"
    )
