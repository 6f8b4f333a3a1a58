"""vLLM in this process, on CUDA GPUs or on a CPU."""

import gc
import math
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kit.engines import EngineSettings, Progress, Request, Sampling, ScoredCompletion, adapter_room
from kit.engines._adapters import AdaptedEngine, open_adapter
from kit.engines._chat import Chat, Prompt, load_chat
from kit.engines._vllm_cpu_cache import cache_gib
from kit.engines._whole_prompts import joining
from kit.errors import KitError, RequestError
from kit.models.adapters import adaptable_layers
from kit.models.files import read_json
from kit.models.opening import opening
from kit.records import Completion

VERSION = 2

STEP_TOKENS = 4096
"""Most tokens of one step on a CPU, vLLM's own number."""


def open(model: Path, settings: EngineSettings) -> "VllmEngine":  # noqa: A001 - the verb that every engine has
    """Load a model into this process.

    The environment variables vLLM reads are set here, before it is imported: callers must not import it themselves.

    Args:
        model: folder with config.json, tokenizer and safetensors.
        settings: how to run it.

    Raises:
        RequestError: the folder is no model, or the settings can't hold on this machine.
        KitError: vLLM was imported earlier with other values of the variables it reads, or can't open the folder.
    """
    chat = load_chat(model, settings.max_model_len, engine="vllm")
    _set_environment({"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"})
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # Threads that spin while they wait make a step ten times slower once anything else runs on the same cores. Read
    # when torch is imported, so a launcher should set it too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import torch

    cuda = torch.cuda.is_available()
    threads = 0 if cuda else max(1, _cores() // _local_ranks())
    options = _cuda_options(settings) if cuda else _cpu_options(model, settings, threads)
    if settings.lora_rank:
        # Without its layer around the head, which in scoring has a row for each token and is given one for each text.
        options["lora_target_modules"] = adaptable_layers(model)
    had_group = torch.distributed.is_available() and torch.distributed.is_initialized()
    ranks = os.environ.get("LOCAL_WORLD_SIZE")
    import vllm

    if settings.lora_rank and not cuda:
        from kit.engines import _vllm_cpu_lora

        _vllm_cpu_lora.use()
    with opening(f"{model}: vLLM can't open it", request=False):
        llm = vllm.LLM(**arguments(model, settings) | options)
    if ranks is not None:  # vLLM's CPU platform has written its own number over the launcher's
        os.environ["LOCAL_WORLD_SIZE"] = ranks
    fingerprint = {
        "engine": "vllm",
        "version": VERSION,
        "vllm": vllm.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "dtype": settings.dtype,
        "threads": threads,
    }
    return VllmEngine(chat=chat, llm=llm, settings=settings, fingerprint=fingerprint, had_group=had_group)


def arguments(model: Path, settings: EngineSettings) -> dict[str, Any]:
    """Return the options of vLLM that hold on any device."""
    # One adapter at a time: the rows of a job all have the same one.
    rank = settings.lora_rank
    adapters = {"enable_lora": True, "max_lora_rank": adapter_room(rank, "lora_rank"), "max_loras": 1} if rank else {}
    return {
        "model": str(model),
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "trust_remote_code": False,
        # Texts are rendered and decoded by kit.engines._chat, the same for every engine.
        "skip_tokenizer_init": True,
        # Off, or the order in which requests arrive would decide which parts are computed anew.
        "enable_prefix_caching": False,
        # "auto" would let the folder's generation_config.json add top_k, repetition_penalty, even a max_tokens to what
        # was asked for, so that two models of one comparison would be sampled in two ways.
        "generation_config": "vllm",
        "disable_log_stats": True,
        **adapters,
    }


class VllmEngine:
    """A model in vLLM; see :class:`kit.engines.Engine`."""

    def __init__(
        self, *, chat: Chat, llm: Any, settings: EngineSettings, fingerprint: Mapping[str, Any], had_group: bool
    ) -> None:
        self.fingerprint = fingerprint
        self._chat = chat
        self._llm = llm
        self._settings = settings
        self._had_group = had_group
        self._adapters: dict[Path, Any] = {}
        """Folder -> vLLM's LoRARequest."""
        self._loaded: Any = None
        """The one that vLLM holds."""

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[Completion]:
        """One completion a request, in the order of the requests; see :class:`kit.engines.Engine`."""
        return [row.completion for row in self.answer(self._chat, None, requests, sampling, progress)]

    def generate_with_probabilities(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[ScoredCompletion]:
        """Return the completions with the probability of each token; see :class:`kit.engines.Engine`."""
        return self.answer(self._chat, None, requests, sampling, progress, probabilities=True)

    def answer(
        self,
        chat: Chat,
        adapter: Any,
        requests: Sequence[Request],
        sampling: Sampling,
        progress: Progress | None,
        *,
        probabilities: bool = False,
    ) -> list[ScoredCompletion]:
        """Generate in the words of a chat, with an adapter or without, with probabilities if they are wanted."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        def params(request: Request, prompt: Prompt) -> Any:
            return SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=prompt.max_tokens,
                seed=request.seed,
                stop_token_ids=list(chat.stop_ids),
                logprobs=0 if probabilities else None,  # 0: of the token that was chosen, and of no other
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )

        def compute(rows: Sequence[tuple[Request, Prompt]], progress: Progress | None) -> list[ScoredCompletion]:
            prompts = [prompt.ids for _, prompt in rows]
            outputs = self._run(prompts, [params(*row) for row in rows], progress, adapter)
            return [_completion(chat, *row, output.outputs[0]) for row, output in zip(rows, outputs, strict=True)]

        return chat.complete(requests, sampling.max_tokens, progress, compute)

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """For each (context, continuation): ln p of every token of the continuation after the context, nats."""
        return self.score(self._chat, None, texts)

    def score(self, chat: Chat, adapter: Any, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """:meth:`loglikelihood` with a chat's tokenizer, with an adapter or without."""
        from vllm import SamplingParams

        pairs = chat.pair_ids(texts)
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = self._run([head + tail for head, tail in pairs], [params] * len(pairs), None, adapter)
        return [
            [output.prompt_logprobs[place][token].logprob for place, token in enumerate(tail, start=len(head))]
            for (head, tail), output in zip(pairs, outputs, strict=True)
        ]

    def with_adapter(self, adapter: Path) -> AdaptedEngine[Any]:
        """Have vLLM read an adapter, if it has not yet; see :class:`kit.engines.Engine`."""
        from vllm.lora.request import LoRARequest

        chat = open_adapter(adapter, self._chat, self._settings)
        if adapter not in self._adapters:
            number = len(self._adapters) + 1
            asked = LoRARequest(lora_name=f"adapter-{number}", lora_int_id=number, lora_path=str(adapter))
            self._load(asked)
            self._adapters[adapter] = asked
        return AdaptedEngine(self, chat, self._adapters[adapter])

    def _load(self, adapter: Any) -> None:
        """Have vLLM hold this adapter and no other."""
        if adapter is self._loaded:
            return
        engine = self._llm.llm_engine
        if self._loaded is not None:
            engine.remove_lora(self._loaded.lora_int_id)
            self._loaded = None
        with opening(f"{adapter.lora_path}: vLLM can't read it", request=False):
            engine.add_lora(adapter)
        self._loaded = adapter

    def swap(self, model: Path) -> bool:
        """Put another model's weights in the place of this one's, if its shape is the same; faster than a new start.

        An engine that answers with adapters can't: vLLM has put layers of its own around the weights. Nor can one of
        quantised weights, which vLLM has put into another order than the folder's.

        Returns:
            Whether it was done; if not, the engine is as it was, and the other model needs ``open``.

        Raises:
            RequestError: the folder is no model.
        """
        chat = load_chat(model, self._chat.max_model_len, engine="vllm")
        shape = _shape(model)
        if self._settings.lora_rank or shape.get("quantization_config") or shape != _shape(self._chat.model):
            return False
        with opening(f"{model}: vLLM can't read the weights", request=False):
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(model)})
        if self.fingerprint["device"] == "cpu":
            self._llm.apply_model(_repack_head)
        self._chat = chat
        return True

    def close(self) -> None:
        """Give back memory; the engine can't be used afterwards."""
        from vllm.distributed import parallel_state

        if self._llm is None:
            return
        engine = self._llm.llm_engine
        # A compiled model is held by a hook in torch, which vLLM takes away when the engine is garbage: too late, the
        # model is then known by no name (Llama-3.2-3B left 6.4 GB on an H100, and the next engine found less room).
        if release := getattr(engine, "_finalizer", None):
            release()
        client = engine.engine_core
        if self._had_group:
            # vLLM's own shutdown would end the launcher's process group too, which accelerate still needs.
            client._finalizer.detach()
            client.engine_core.model_executor.shutdown()
            client.engine_core.scheduler.shutdown()
            gc.unfreeze()  # vLLM freezes the heap once it has started, which would keep the weights for ever
            parallel_state.destroy_model_parallel()
        else:
            client.shutdown()
        self._llm = engine = client = release = None
        gc.collect()
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _run(
        self, prompts: Sequence[list[int]], params: Sequence[Any], progress: Progress | None, adapter: Any
    ) -> list[Any]:
        """Drive the engine step by step until each prompt is done; outputs in the order of the prompts."""
        from vllm.inputs import TokensPrompt

        engine = self._llm.llm_engine
        if adapter is not None:
            self._load(adapter)
        splits = self.fingerprint["device"] != "cpu" or not any(param.temperature for param in params)
        config = engine.vllm_config.scheduler_config
        outputs: list[Any] = [None] * len(prompts)
        rows = tokens = joined = 0
        try:
            while rows < len(prompts):
                lengths = map(len, islice(prompts, joined, None))
                more = (
                    len(prompts)
                    if splits
                    else joining(lengths, joined - rows, config.max_num_batched_tokens, config.max_num_seqs)
                )
                for number in range(joined, min(joined + more, len(prompts))):
                    prompt = TokensPrompt(prompt_token_ids=prompts[number])
                    engine.add_request(str(number), prompt, params[number], lora_request=adapter)
                joined = min(joined + more, len(prompts))
                finished = [output for output in engine.step() if output.finished]
                for output in finished:
                    outputs[int(output.request_id)] = output
                    tokens += len(output.outputs[0].token_ids)
                rows += len(finished)
                if finished and progress:
                    progress(rows, tokens)
        except BaseException:
            engine.abort_request([str(number) for number in range(joined) if outputs[number] is None])
            raise
        return outputs


def _completion(chat: Chat, request: Request, prompt: Prompt, output: Any) -> ScoredCompletion:
    completion = Completion(
        id=request.id,
        text=chat.text(prompt.ids, output.token_ids),
        prompt_tokens=len(prompt.ids),
        tokens=len(output.token_ids),
        finish_reason=output.finish_reason,
    )
    chosen = zip(output.logprobs or (), output.token_ids, strict=output.logprobs is not None)
    return ScoredCompletion(
        completion=completion, probabilities=tuple(math.exp(place[token].logprob) for place, token in chosen)
    )


def _cpu_options(model: Path, settings: EngineSettings, threads: int) -> dict[str, Any]:
    """Return vLLM's options for a fast run on a CPU: a start of 5 s instead of 25, twice the tokens a second."""
    if settings.tensor_parallel != 1:
        raise RequestError(
            f"tensor_parallel is {settings.tensor_parallel}, and no CUDA GPU is visible; wanted 1 on a CPU"
        )
    import torch
    import torch._dynamo

    _set_environment(
        {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # no second process, which would take one of few cores
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # bound threads keep a core free and fight with other ranks
            "OMP_NUM_THREADS": str(threads),
        }
    )
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(cache_gib(model, settings))  # read anew at every start
    # Likelihoods rank tokens in a function that torch would compile, which takes a C++ compiler; images have none.
    torch._dynamo.config.disable = True
    if torch.get_num_threads() != threads:  # torch read OMP_NUM_THREADS when it was imported, which may be long ago
        torch.set_num_threads(threads)
    # A sampled prompt is not split (see _whole_prompts), so that a step holds the longest.
    longest = {"max_num_batched_tokens": settings.max_model_len} if settings.max_model_len > STEP_TOKENS else {}
    return {"enforce_eager": True, **longest}


def _cuda_options(settings: EngineSettings) -> dict[str, Any]:
    """One engine a rank on its own GPU, or one process that shares its model over several."""
    _set_environment(
        {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_BATCH_INVARIANT": "1" if settings.batch_invariant else "0"}
    )
    options: dict[str, Any] = {
        "gpu_memory_utilization": settings.gpu_memory_share,
        "tensor_parallel_size": settings.tensor_parallel,
    }
    if _local_ranks() > 1:
        if settings.tensor_parallel != 1:
            raise RequestError(
                f"tensor_parallel is {settings.tensor_parallel} under a launcher with {_local_ranks()} ranks; "
                "wanted one process for a model that is shared over GPUs"
            )
        # Else every rank would take the first GPU: this one reads LOCAL_RANK and joins the launcher's group.
        options["distributed_executor_backend"] = "external_launcher"
    return options


def _set_environment(values: Mapping[str, str]) -> None:
    """Set variables that vLLM reads when it is imported or started.

    Raises:
        KitError: vLLM is imported already and one has another value.
    """
    for name, value in values.items():
        found = os.environ.get(name)
        if found != value and "vllm" in sys.modules:
            raise KitError(
                f"{name} is {found!r} and vllm is imported already, wanted {value!r}; "
                "open every engine of a process with the same settings, and let kit.engines.vllm do the first import"
            )
        os.environ[name] = value


def _cores() -> int:
    """Cores this process may use: its affinity, capped by the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such file outside Linux, and "max 100000" without a quota
        return cores


def _local_ranks() -> int:
    """Ranks of the launcher on this machine; 1 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def _repack_head(model: Any) -> None:
    """Pack the output matrix anew after a reload.

    On a CPU vLLM computes with a packed copy. Where the matrix is the embedding's (tied), a reload writes the embedding
    and leaves the copy of the old weights in use: fluent text, wrong model.
    """
    head = getattr(model, "lm_head", None)
    if head is not None:
        head.quant_method.process_weights_after_loading(head)


def _shape(model: Path) -> dict[str, Any]:
    """The part of config.json that decides which tensors there are and what is done with them."""
    config = read_json(model / "config.json")
    told_apart = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "use_cache", "eos_token_id")
    return {key: value for key, value in config.items() if key not in (*told_apart, "bos_token_id", "pad_token_id")}
