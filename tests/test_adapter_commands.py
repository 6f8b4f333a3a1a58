"""``kit sft --lora-rank`` and ``kit answer``: PEFT opens the adapter, and it answers as the merged model does."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.plan.adhoc import Workbench

TESTS = Path(__file__).resolve().parent
SETTINGS: dict[str, Any] = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj"]}


@pytest.fixture
def adapter(tmp_path: Path) -> Callable[..., Path]:
    """A folder with an adapter's two files, its settings changed."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "adapters" / "mine"
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text(json.dumps(SETTINGS | changes))
        # A header's length, eight bytes, and a header without a tensor.
        (folder / "adapter_model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
        return folder

    return make


@pytest.mark.parametrize(
    ("named", "known"),
    [("smollm2-29l", "smollm2-29l"), ("meta-llama/Llama-3.2-3B", "llama-3.2-3b"), ("beside", "{folder}/beside")],
)
def test_the_base_that_an_adapter_names(named: str, known: str, adapter: Callable[..., Path]):
    folder = adapter(base_model_name_or_path=named)
    (folder.parent / "beside").mkdir()
    found = Workbench("smoke").base_of(folder)
    assert found == known.format(folder=folder.parent.resolve())


@pytest.mark.parametrize("named", [None, "", 7, "a/stranger's", "no\0name"])
def test_an_unknown_base_is_reported(named: Any, adapter: Callable[..., Path]):
    folder = adapter(base_model_name_or_path=named)
    with pytest.raises(RequestError) as caught:
        Workbench("smoke").base_of(folder)
    assert str(caught.value) == (
        f"{folder}: an adapter, and its base {named!a} (adapter_config.json) is no folder here and no model of "
        "manifests/models.toml; name the base with --base"
    )


MORE = {
    "dora": ({"use_dora": True}, "use_dora: found True, wanted False"),
    "biases": ({"bias": "all"}, "bias: found 'all', wanted 'none'"),
    "whole layers": ({"modules_to_save": ["lm_head"]}, "modules_to_save: found ['lm_head'], wanted None"),
    "another kind": ({"peft_type": "IA3"}, "peft_type: found 'IA3', wanted 'LORA'"),
}


@pytest.mark.parametrize(("changes", "message"), MORE.values(), ids=list(MORE))
def test_an_adapter_with_more_than_low_rank_matrices_is_refused(
    changes: dict[str, Any], message: str, adapter: Callable[..., Path]
):
    folder = adapter(base_model_name_or_path="smollm2-135m-instruct", **changes)
    with pytest.raises(RequestError) as caught:
        Workbench("smoke").use_as_tuned(str(folder), "")
    assert str(caught.value) == (
        f"{folder}/adapter_config.json: {message}: engines answer with plain LoRA adapters; merge this one into its "
        "base with PEFT's merge_and_unload and save that"
    )


def test_an_adapter_is_planned_beside_its_base(adapter: Callable[..., Path]):
    bench = Workbench("smoke")
    bench.problems("gsm8k", None)
    key = bench.answer("gsm8k", str(adapter(base_model_name_or_path="smollm2-135m-instruct")), "", 42)
    inputs, engine = bench.plan.jobs[key].inputs, bench.plan.jobs[key].params["engine"]
    assert (sorted(inputs), engine["lora_rank"]) == (["adapter", "data", "model"], 8)
    assert bench.plan.jobs[inputs["model"]].id == "convert/smollm2-135m-instruct"
    assert sorted(bench.plan.jobs[inputs["adapter"]].params["files"]) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


@pytest.fixture
def kit(tmp_path: Path) -> Callable[[str], None]:
    """Run the command line in a process of its own, in a folder with a tiny base, pairs and problems."""
    model = [sys.executable, "-c", "import sys; sys.path[0] = sys.argv[1]; import tiny_model; from pathlib import Path"]
    model[-1] += "; tiny_model.save(Path(sys.argv[2]), heads=64, longest=2048)"
    subprocess.run([*model, str(TESTS), str(tmp_path / "base")], check=True, timeout=3600)
    pairs = [{"instruction": f"Count to {n}.", "output": " ".join(map(str, range(n)))} for n in range(1, 13)]
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    problems = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(3)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))

    def call(words: str) -> None:
        command = [
            sys.executable,
            "-c",
            "from kit.cli import main; main()",
            *words.split(),
            "--scale",
            "smoke",
            "--store",
            "store",
        ]
        path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path}
        )
        assert done.returncode == 0, done.stderr

    return call


@pytest.mark.real
def test_an_adapter_answers_as_the_merged_model_does(kit: Callable[[str], None], tmp_path: Path):
    from peft import AutoPeftModelForCausalLM

    tune = "sft --pairs pairs.json --base base --lora-rank 4 --learning-rate 0.01 --global-batch-size 4"
    kit(f"{tune} --out tuned")
    kit(f"{tune} --merge --out whole")
    settings = json.loads((tmp_path / "tuned" / "adapter_config.json").read_text())
    assert (settings["base_model_name_or_path"], settings["r"]) == (str(tmp_path / "base"), 4)
    # By the base that it names.
    assert (
        AutoPeftModelForCausalLM.from_pretrained(tmp_path / "tuned", trust_remote_code=False).peft_config["default"].r
        == 4
    )
    assert (tmp_path / "whole" / "config.json").is_file()
    for model in ("tuned", "whole"):
        kit(f"answer gsm8k --model {model} --data problems.jsonl --max-tokens 12 --out {model}.jsonl")
    texts = [
        [json.loads(line)["text"] for line in (tmp_path / f"{model}.jsonl").read_text().splitlines()]
        for model in ("tuned", "whole")
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 3
    shutil.rmtree(tmp_path / "store")
