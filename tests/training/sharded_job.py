"""SFT jobs sharded over gloo, as accelerate shards them over GPUs: ``sharded_job.py jobs.json pairs base out``.

On a CPU accelerate and the kit refuse FSDP; here both are told that this is the place for it. Beside each job's folder
each rank writes what it saw of the job: ``out/NAME.RANK``. The job ``full`` is trained once more, stopped at a step and
gone on with, into ``out/continued``.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import AutoModelForCausalLM

from kit.errors import KitError
from kit.files.parts import Parts
from kit.stages import sft
from kit.training import checkpoints, weights
from tests.training.ranks_job import run_jobs


def state_of_a_gpu(made: Any) -> Any:
    """Return an initialiser that does on a CPU what accelerate does on a GPU."""

    def __init__(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:  # noqa: N807
        made(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)

    return __init__


def stop_and_go_on(params: dict[str, Any], inputs: dict[str, Path], out: Path) -> None:
    """Train with a checkpoint after each step, end with an error in the fourth step, and go on from the third."""
    os.environ[checkpoints.VARIABLE], checkpoints.WRITING_SHARE = "1e-9", 0
    began: list[int] = []

    def stop(done: int, *_: int) -> None:
        if done == 4:
            raise KitError("stopped")

    context: Any = SimpleNamespace(
        rank=int(os.environ["RANK"]), world=2, parts=Parts(out / "parts", "k"), progress=stop
    )
    with suppress(KitError):
        sft.run(params, inputs, out / "stopped", context)
    context.progress = lambda done, *_: began.append(done)
    sft.run(params, inputs, out / "continued", context)
    assert began[0] == 4, began


if __name__ == "__main__":
    AcceleratorState.__init__ = state_of_a_gpu(AcceleratorState.__init__)  # type: ignore[method-assign]
    sft.check_before = lambda *_asked: None  # type: ignore[assignment]
    seen: dict[str, Any] = {"read": 0}
    save, read = weights.save, AutoModelForCausalLM.from_pretrained

    def counted(*arguments: Any, **options: Any) -> Any:
        seen["read"] += 1
        return read(*arguments, **options)

    def noted(trainer: Any, *arguments: Any, **options: Any) -> int:
        seen["sharded"] = sorted({type(weight).__name__ for weight in trainer.model.parameters()})
        policy = trainer.accelerator.state.fsdp_plugin.mixed_precision_policy
        seen["policy"] = policy and [str(policy.param_dtype), str(policy.reduce_dtype), str(policy.output_dtype)]
        return save(trainer, *arguments, **options)

    AutoModelForCausalLM.from_pretrained, weights.save = counted, noted
    jobs, pairs, base, out = map(Path, sys.argv[1:])
    for name in run_jobs(jobs, pairs, base, out):
        (out / f"{name}.{os.environ['RANK']}").write_text(json.dumps(seen))
        seen.clear()
        seen["read"] = 0
    stop_and_go_on(json.loads(jobs.read_text())["full"], {"pairs": pairs, "base": base}, out)
