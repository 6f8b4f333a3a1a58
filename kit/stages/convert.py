"""Stage ``convert``: turns fetched weights into a plain model folder with config.json, safetensors and tokenizer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import models
from kit.stages import Context, Summary, only_file

VERSION = 1
WORKER = "convert"
MODEL = "published"


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write a model folder in the layout that every engine loads without code that comes with the model."""
    source, how = inputs["model"], params["how"]
    if how == "gguf":
        models.from_gguf(only_file(source), out)
    elif how == "stack":
        models.select_layers(source, params["layers"], out)
    elif how == "reward_head":
        models.add_reward_head(source, params["rule"], out)
    elif how == "internlm2":
        models.internlm2_to_llama(source, out)
    else:
        models.bin_to_safetensors(source, out)
    context.progress(1, 1)
    return Summary(rows=sum(1 for _ in out.glob("*.safetensors")), facts={})
