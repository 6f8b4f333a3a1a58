"""Memory that vLLM still holds once its engine is closed, with vLLM's compiler at work as on a GPU.

python closing.py FOLDER    saves a tiny model there; prints for each way of starting how many of its tensors there are,
                            open and closed
"""

import json
import os
import sys
import tempfile
import weakref
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from tiny_model import save  # noqa: E402

from kit.engines import EngineSettings, Request, Sampling, vllm  # noqa: E402
from kit.records import Turn  # noqa: E402

uncompiled = vllm._cpu_options


def compiled(*asked):
    return uncompiled(*asked) | {"enforce_eager": False}


def tensors(model):
    """Open an engine, let it write, close it; the model's tensors that are alive before and after."""
    engine = vllm.open(model, EngineSettings(dtype="float32", max_model_len=64, max_num_seqs=2))
    found = []

    def remember(inner):
        found.extend(map(weakref.ref, inner.parameters()))

    engine._llm.apply_model(remember)
    engine.generate([Request(id="a", turns=(Turn(role="user", content="Hi"),), seed=1)], Sampling(max_tokens=2))
    alive = [sum(ref() is not None for ref in found)]
    engine.close()
    return [*alive, sum(ref() is not None for ref in found)]


if __name__ == "__main__":
    vllm._cpu_options = compiled
    model = Path(sys.argv[1])
    save(model, heads=64)
    seen = {"alone": tensors(model)}
    import torch

    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=0, world_size=1)
        os.environ["LOCAL_WORLD_SIZE"] = "1"
        seen["in a group"] = tensors(model)
        torch.distributed.destroy_process_group()
    print("\n" + json.dumps(seen))
