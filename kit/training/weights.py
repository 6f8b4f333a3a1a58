"""The base on its way in, the tuned model on its way out: a plain folder that vLLM and transformers read."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models import check_adapter, check_model_folder, check_weights, load_causal_lm
from kit.models.adapters import name_base
from kit.models.attention import kernel
from kit.models.folder import check_config
from kit.models.opening import opening
from kit.models.settings import read_config
from kit.training.params import LoraParams, SftParams

ADAPTER = "adapter"
"""Folder of a LoRA run's adapter, inside the model's."""


def attention_for(base: Path, packing: bool) -> str | None:
    """The attention implementation to train with, after a check of the base; None for its own, on padded rows.

    Raises:
        RequestError: the base's folder holds no model, its weights are not what its config.json describes, or packing
            is not known to be exact for it.
    """
    with _named_as_base():
        check_config(base)
        model_type = str(read_config(base).get("model_type"))
    attention = kernel(model_type, packing)
    with _named_as_base():
        check_model_folder(base)
        check_weights(base)
    return attention


@contextmanager
def _named_as_base() -> Iterator[None]:
    """Say of a refused folder that it was to be the base."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"sft.base: {error}") from error


def load(base: Path, params: SftParams, attention: str | None, rank: int = 0) -> Any:
    """The base in fp32 (master weights), with a fresh adapter when LoRA is asked for.

    Under FSDP the first rank alone reads weights, and gives the others their shards when the trainer wraps the model
    (``cpu_ram_efficient_loading``). The others' are memory that is never touched: eight ranks of an 8B base would take
    256 GB. They are no meta tensors, which accelerate could not tell apart by their addresses.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    chosen = {"attn_implementation": attention} if attention else {}
    if params.sharding == "fsdp" and rank:
        with opening(f"{base}: transformers can't build it", request=False), no_init_weights():
            config = AutoConfig.from_pretrained(base, trust_remote_code=False, local_files_only=True)
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False, **chosen)
        model.tie_weights()
    else:
        model = load_causal_lm(base, dtype=torch.float32, **chosen)
    return model if params.lora is None else _with_adapter(model, params.lora, params.seed)


def _with_adapter(model: Any, lora: LoraParams, seed: int) -> Any:
    """The model with every linear layer but the head adapted, first weights drawn from the seed."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def save(trainer: Any, tokenizer: Any, end_of_turn: str, *, base: Path, params: SftParams, out: Path) -> int:
    """Write the tuned model; every rank calls it, rank 0 writes.

    A plain model's folder; of a LoRA run that is to be saved as an adapter, PEFT's two files with the tokenizer beside.

    Returns:
        Tensors written; 0 on the other ranks.
    """
    accelerator = trainer.accelerator
    # Collective when sharded: the whole weights meet on rank 0. Otherwise the model already has them.
    state = accelerator.get_state_dict(trainer.model) if str(accelerator.distributed_type.value) == "FSDP" else None
    if not accelerator.is_main_process:
        return 0
    model = accelerator.unwrap_model(trainer.model)
    if params.save == "adapter":
        _save_adapter(model, state, base, out)
        _generation_config(model, tokenizer, end_of_turn).save_pretrained(out)
        tokenizer.save_pretrained(out)
        return _count_tensors(out)
    if params.lora is not None:
        model, state = _merged(model, state, base, out), None
    model.generation_config = _generation_config(model, tokenizer, end_of_turn)
    return _write(model, state, tokenizer, params.dtype, out)


def _save_adapter(model: Any, state: Mapping[str, Any] | None, base: Path, out: Path) -> None:
    """Write PEFT's adapter_config.json and adapter_model.safetensors (fp32), the same bytes in every store.

    The base is named by its folder's name, which in a store is its key; PEFT itself would write a path of this machine.
    """
    model.save_pretrained(out, **({} if state is None else {"state_dict": state}))
    (out / "README.md").unlink(missing_ok=True)
    name_base(out, base.name)
    check_adapter(out, base)


def _merged(model: Any, state: Mapping[str, Any] | None, base: Path, out: Path) -> Any:
    """Save the adapter, then add it to a fresh fp32 copy of the base: the same sum whatever wrapped the training."""
    import torch
    from peft import PeftModel

    _save_adapter(model, state, base, out / ADAPTER)
    whole = load_causal_lm(base, dtype=torch.float32)
    return PeftModel.from_pretrained(whole, out / ADAPTER).merge_and_unload()


def _write(model: Any, state: dict[str, Any] | None, tokenizer: Any, precision: str, out: Path) -> int:
    """Config, safetensors, tokenizer with the chat template, and a generation config that stops at the turn's end."""
    import torch

    dtype = getattr(torch, precision)
    if state is None:
        model.to(dtype)
    else:
        # A head that is the embedding came back from the shards as a tensor of its own.
        tied = model.all_tied_weights_keys
        state = {name: tensor.to(dtype) for name, tensor in state.items() if name not in tied}
        model.config.dtype = dtype
    model.config.use_cache = True  # the Trainer turns it off
    model.save_pretrained(out, state_dict=state)
    tokenizer.save_pretrained(out)
    return _count_tensors(out)


def _count_tensors(out: Path) -> int:
    """Let every user read the safetensors, and return how many tensors the folder's own files hold."""
    from safetensors import safe_open

    for path in out.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors makes them 0600; another container's user is to read them
    tensors = 0
    for path in sorted(out.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            tensors += len(file.keys())
    return tensors


def _generation_config(model: Any, tokenizer: Any, end_of_turn: str) -> Any:
    """Greedy, and over at the end-of-turn token or wherever the base stopped; without the base's own sampling."""
    from transformers import GenerationConfig

    before = model.generation_config.eos_token_id
    stops = [tokenizer.convert_tokens_to_ids(end_of_turn)]
    stops += before if isinstance(before, list) else [] if before is None else [before]
    pad = tokenizer.pad_token_id
    return GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=list(dict.fromkeys(stops)),
        pad_token_id=stops[0] if pad is None else pad,
    )
