"""Several real processes over gloo: one loss curve on one rank, on two, and sharded over two.

Starting two processes that import torch takes far longer than training a tiny model in them, so one launch trains all
jobs of a kind, one after the other, as a worker does.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.records import write_rows
from kit.stages import sft
from tests.training.conftest import PARAMS, make_pairs

pytestmark = pytest.mark.real

HERE = Path(__file__).parent
Jobs = Mapping[str, Mapping[str, Any]]
"""Name -> parameters."""
# Nine rows in batches of four: the last step of an epoch has one row, and a rank without any.
FEW = PARAMS | {"rows": 9, "tokens_per_micro_batch": 60}
LORA = {"tuning": "lora", "lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}}
WHOLE: Jobs = {"packed": FEW | {"packing": True}, "padded": FEW | {"packing": False}}
SHARDED: Jobs = {
    "full": FEW,
    "checkpointed": FEW | {"gradient_checkpointing": True},
    "lora": FEW | LORA,
    "adapter": FEW | LORA | {"save": "adapter"},
    "bfloat16": FEW | {"dtype": "bfloat16"},
}


@pytest.fixture(scope="module")
def inputs(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pairs = tmp_path_factory.mktemp("pairs")
    write_rows(pairs / "pairs.jsonl", make_pairs(11))
    return {"pairs": pairs, "base": base}


def launch(script: str, jobs: Jobs, inputs: Mapping[str, Path], out: Path) -> Path:
    """Run jobs on two CPU ranks, as ``kit`` does (accelerate's ``--cpu`` starts one process); return their folder."""
    (out / "jobs.json").write_text(json.dumps(jobs))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    options = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    arguments = [str(HERE / script), *map(str, (out / "jobs.json", inputs["pairs"], inputs["base"], out))]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    done = subprocess.run(
        [*launcher, *options, *arguments], capture_output=True, text=True, check=False, timeout=3600, env=environment
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def whole(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the jobs that two ranks trained, each with all weights."""
    return launch("ranks_job.py", WHOLE, inputs, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sharded(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the jobs that two ranks trained, each with half of the weights."""
    jobs = {name: {**params, "sharding": "fsdp"} for name, params in SHARDED.items()}
    return launch("sharded_job.py", jobs, inputs, tmp_path_factory.mktemp("sharded"))


@pytest.mark.parametrize("name", WHOLE)
def test_two_ranks_train_as_one_does(
    name: str, whole: Path, inputs: dict[str, Path], context: Any, losses: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    sft.run(WHOLE[name], inputs, tmp_path, context)
    assert losses(whole / name) == pytest.approx(losses(tmp_path), rel=1e-5)
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path, whole / name))
    for weight, tensor in one.items():
        assert_close(two[weight], tensor, rtol=1e-4, atol=1e-5)


def test_two_shards_go_on_from_their_checkpoint_bit_for_bit(sharded: Path) -> None:
    names = [path.name for path in (sharded / "parts").iterdir()]
    assert sorted(name.rpartition("-")[0] for name in names) == [
        "k-checkpoint-00000005",
        "k-checkpoint-00000005-0000",
        "k-checkpoint-00000005-0001",
    ]
    for file in ("model.safetensors", sft.LOG):
        assert (sharded / "continued" / file).read_bytes() == (sharded / "full" / file).read_bytes()


@pytest.mark.parametrize("name", SHARDED)
def test_two_shards_train_as_one_model_does(
    name: str, sharded: Path, inputs: dict[str, Path], context: Any, losses: Any, tmp_path: Path
) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    params = SHARDED[name]
    sft.run(params, inputs, tmp_path, context)
    exact, merged = params["dtype"] == "float32", "lora" in params and "save" not in params
    assert losses(sharded / name) == pytest.approx(losses(tmp_path), rel=1e-5 if exact else 2e-2)
    file = "adapter_model.safetensors" if "save" in params else "model.safetensors"
    one, two = (load_file(folder / file) for folder in (tmp_path, sharded / name))
    assert two.keys() == one.keys()
    if exact:
        for weight, tensor in one.items():
            assert_close(two[weight], tensor, rtol=1e-4, atol=1e-5)
    for rank in (0, 1):
        seen = json.loads((sharded / f"{name}.{rank}").read_text())
        assert seen["sharded"] == ["DTensor"]
        # Every rank read all weights in fp32: eight times 32 GB of an 8B base. The merge after LoRA reads them anew.
        assert seen["read"] == (0 if rank else 1 + merged)
        # Gradients meet in fp32: accelerate's own choice would be bf16, rounded anew for every number of ranks.
        assert seen["policy"] == (None if exact else ["torch.bfloat16", "torch.float32", "torch.bfloat16"])
