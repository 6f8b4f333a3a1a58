"""One SFT job sharded over gloo, as accelerate shards it over GPUs: ``sharded_job.py params.json pairs base out``.

On a CPU accelerate and the kit refuse FSDP; here both are told that this is the place for it.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import AutoModelForCausalLM

from kit.stages import sft
from kit.training import weights


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


if __name__ == "__main__":
    params, pairs, base, out = map(Path, sys.argv[1:])
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
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
    context = SimpleNamespace(rank=rank, world=world, progress=lambda *_numbers: None)
    sft.run(json.loads(params.read_text()), {"pairs": pairs, "base": base}, out, context)  # type: ignore[arg-type]
    out.with_suffix(f".{rank}").write_text(json.dumps(seen))
