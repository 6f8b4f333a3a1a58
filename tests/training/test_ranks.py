"""Several real processes over gloo: one loss curve on one rank, on two, and sharded over two."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.stages import sft

pytestmark = pytest.mark.real

HERE = Path(__file__).parent
LORA = {"tuning": "lora", "lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}}


def launch(job: str, params: dict[str, Any], inputs: dict[str, Path], out: Path) -> subprocess.CompletedProcess[str]:
    """Run a job on two CPU ranks, as ``kit`` does: accelerate's own ``--cpu`` starts one process."""
    file = out.with_suffix(".json")
    file.write_text(json.dumps(params))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    options = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    arguments = [str(HERE / job), *map(str, (file, inputs["pairs"], inputs["base"], out))]
    environment = os.environ | {
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    return subprocess.run(
        [*launcher, *options, *arguments], capture_output=True, text=True, check=False, timeout=3600, env=environment
    )


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
def test_two_ranks_train_as_one_does(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path, *, packing: bool
) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    # Nine rows in batches of four: the last step of an epoch has one row, and a rank without any.
    params |= {"packing": packing, "rows": 9, "tokens_per_micro_batch": 60}
    sft.run(params, inputs, tmp_path / "one", context)
    done = launch("ranks_job.py", params, inputs, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({}, id="full"),
        pytest.param({"gradient_checkpointing": True}, id="checkpointed"),
        pytest.param(LORA, id="lora"),
        pytest.param(LORA | {"save": "adapter"}, id="adapter"),
        pytest.param({"dtype": "bfloat16"}, id="bfloat16"),
    ],
)
def test_two_shards_train_as_one_model_does(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path, extra: dict[str, Any]
) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    params |= {"rows": 9, "tokens_per_micro_batch": 60} | extra
    sft.run(params, inputs, tmp_path / "one", context)
    done = launch("sharded_job.py", params | {"sharding": "fsdp"}, inputs, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    rounding = 2e-2 if "dtype" in extra else 1e-5
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=rounding)
    file = "adapter_model.safetensors" if "save" in extra else "model.safetensors"
    one, two = (load_file(tmp_path / name / file) for name in ("one", "two"))
    assert two.keys() == one.keys()
    if "dtype" not in extra:
        for name, tensor in one.items():
            assert_close(two[name], tensor, rtol=1e-4, atol=1e-5)
    for rank in (0, 1):
        seen = json.loads((tmp_path / f"two.{rank}").read_text())
        assert seen["sharded"] == ["DTensor"]
        # Every rank read all weights in fp32: eight times 32 GB of an 8B base. The merge after LoRA reads them anew.
        assert seen["read"] == (0 if rank else 1 + ("lora" in extra and "save" not in extra))
        # Gradients meet in fp32: accelerate's own choice would be bf16, rounded anew for every number of ranks.
        wanted = ["torch.bfloat16", "torch.float32", "torch.bfloat16"] if "dtype" in extra else None
        assert seen["policy"] == wanted
