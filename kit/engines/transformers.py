"""transformers' own models: the fallback where vLLM doesn't run, and what its numbers are checked against."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.engines import EngineSettings, Progress, Request, Sampling, ScoredCompletion
from kit.engines._adapters import AdaptedEngine, open_adapter
from kit.engines._chat import Chat, Prompt, load_chat
from kit.errors import RequestError
from kit.models import load_causal_lm
from kit.models.opening import opening
from kit.records import Completion
from kit.scoring.batches import TokenRow
from kit.scoring.losses import LossModel

if TYPE_CHECKING:
    import torch

VERSION = 3


def open(model: Path, settings: EngineSettings) -> "TransformersEngine":  # noqa: A001 - the verb that every engine has
    """Load a model into this process.

    Args:
        model: folder with config.json, tokenizer and safetensors.
        settings: how to run it.

    Raises:
        RequestError: the folder is no model, or the settings ask for what only vLLM does.
    """
    if settings.tensor_parallel != 1 or settings.batch_invariant:
        raise RequestError("engine 'transformers' has no tensor_parallel and no batch_invariant; use engine 'vllm'")
    chat = load_chat(model, settings.max_model_len)
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_causal_lm(model, dtype=getattr(torch, settings.dtype))
    fingerprint = {
        "engine": "transformers",
        "version": VERSION,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": settings.dtype,
        "threads": torch.get_num_threads(),
    }
    return TransformersEngine(chat=chat, model=loaded.to(device).eval(), settings=settings, fingerprint=fingerprint)


class TransformersEngine:
    """A model in transformers; see :class:`kit.engines.Engine`."""

    def __init__(self, *, chat: Chat, model: Any, settings: EngineSettings, fingerprint: Mapping[str, Any]) -> None:
        self.fingerprint = fingerprint
        self._chat = chat
        self._model = model
        self._settings = settings
        self._peft: Any = None
        """The model as PEFT sees it, once there is an adapter; its layers are then the model's own."""
        self._adapters: dict[Path, str] = {}
        """Folder -> the adapter's name in PEFT."""
        self._losses: LossModel | None = None
        """The model as it computes likelihoods; made anew after an adapter was put into its layers."""

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
        adapter: str | None,
        requests: Sequence[Request],
        sampling: Sampling,
        progress: Progress | None,
        *,
        probabilities: bool = False,
    ) -> list[ScoredCompletion]:
        """Generate in the words of a chat, with an adapter or without, with probabilities if they are wanted."""
        import torch

        def compute(rows: Sequence[tuple[Request, Prompt]], progress: Progress | None) -> list[ScoredCompletion]:
            completions: list[ScoredCompletion] = []
            tokens = 0
            for first in range(0, len(rows), self._settings.max_num_seqs):
                batch = rows[first : first + self._settings.max_num_seqs]
                prompts, seeds = [prompt for _, prompt in batch], [row.seed for row, _ in batch]
                with torch.inference_mode(), self._using(adapter):
                    texts = self._batch(prompts, seeds, sampling, chat.stop_ids, probabilities=probabilities)
                completions += [_completion(chat, *row, *text) for row, text in zip(batch, texts, strict=True)]
                tokens += sum(len(ids) for ids, _ in texts)
                if progress:
                    progress(len(completions), tokens)
            return completions

        return chat.complete(requests, sampling.max_tokens, progress, compute)

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """For each (context, continuation): ln p of every token of the continuation after the context, nats."""
        return self.score(self._chat, None, texts)

    def score(self, chat: Chat, adapter: str | None, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """:meth:`loglikelihood` with a chat's tokenizer, with an adapter or without."""
        rows = [TokenRow(ids=[*head, *tail], first=len(head)) for head, tail in chat.pair_ids(texts)]
        with self._using(adapter):
            self._losses = self._losses or LossModel(self._model)
            return [(-losses).tolist() for losses in self._losses.losses(rows)]

    def with_adapter(self, adapter: Path) -> AdaptedEngine[str]:
        """Put an adapter into the model's layers, where it does nothing until it is asked; see the Protocol."""
        from peft import PeftModel

        chat = open_adapter(adapter, self._chat, self._settings)
        if adapter not in self._adapters:
            name = f"adapter-{len(self._adapters)}"
            # As vLLM does it: the adapter computes in the model's own type.
            options = {"adapter_name": name, "autocast_adapter_dtype": False}
            with opening(f"{adapter}: PEFT can't read it", request=False):
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self._model, adapter, **options).eval()
                else:
                    self._peft.load_adapter(adapter, **options)
            self._adapters[adapter] = name
            self._losses = None
        return AdaptedEngine(self, chat, self._adapters[adapter])

    @contextmanager
    def _using(self, adapter: str | None) -> Iterator[None]:
        """Compute with one adapter, or with none."""
        if adapter is not None:
            self._peft.set_adapter(adapter)
            yield
        elif self._peft is None:
            yield
        else:
            with self._peft.disable_adapter():
                yield

    def swap(self, model: Path) -> bool:
        """It can't: a new start costs as little."""
        del model
        return False

    def close(self) -> None:
        """Give back memory; the engine can't be used afterwards."""
        import gc

        import torch

        self._model = self._peft = self._losses = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _batch(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        sampling: Sampling,
        stop_ids: Sequence[int],
        *,
        probabilities: bool,
    ) -> "list[tuple[list[int], list[float]]]":
        """Return the token ids that each prompt goes on with, end token included, and their probabilities if wanted."""
        import torch

        ids, mask = _padded([prompt.ids for prompt in prompts], self._model.device, left=True)
        # On the CPU, so that a seed means the same draws on every device.
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        texts: list[tuple[list[int], list[float]]] = [([], []) for _ in prompts]
        live = set(range(len(prompts)))
        cache = None
        while live:
            places = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            output = self._model(
                input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, logits_to_keep=1
            )
            cache = output.past_key_values
            logits = output.logits[:, -1].float()
            tokens = _next_tokens(logits, sampling, generators)
            shares = _probabilities(logits, tokens) if probabilities else []
            ids = torch.zeros_like(ids[:, :1])
            for row in sorted(live):
                token = tokens[row]
                texts[row][0].append(token)
                texts[row][1].extend(shares[row : row + 1])
                ids[row, 0] = token
                if token in stop_ids or len(texts[row][0]) >= prompts[row].max_tokens:
                    live.remove(row)
            mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        return texts


def _completion(
    chat: Chat, request: Request, prompt: Prompt, ids: Sequence[int], probabilities: Sequence[float]
) -> ScoredCompletion:
    completion = Completion(
        id=request.id,
        text=chat.text(prompt.ids, ids),
        prompt_tokens=len(prompt.ids),
        tokens=len(ids),
        finish_reason="stop" if ids[-1] in chat.stop_ids else "length",
    )
    return ScoredCompletion(completion=completion, probabilities=tuple(probabilities))


def _padded(rows: Sequence[Sequence[int]], device: Any, *, left: bool) -> "tuple[torch.Tensor, torch.Tensor]":
    """Token ids and mask, shape (rows, longest row), filled up with token 0, which the mask hides."""
    import torch

    longest = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[number, place] = torch.tensor(row)
        mask[number, place] = 1
    return ids.to(device), mask.to(device)


def _next_tokens(logits_BV: "torch.Tensor", sampling: Sampling, generators: Sequence[Any]) -> list[int]:  # noqa: N803
    """Return the next token of every row, greedy ones found on the device, drawn ones on the CPU."""
    if sampling.temperature == 0:
        greedy: list[int] = logits_BV.argmax(dim=-1).tolist()
        return greedy
    rows = zip(logits_BV.cpu(), generators, strict=True)
    return [_draw(logits_V, sampling, generator) for logits_V, generator in rows]


def _probabilities(logits_BV: "torch.Tensor", tokens: Sequence[int]) -> list[float]:  # noqa: N803
    """Return the probability of each row's chosen token among all there are."""
    import torch

    chosen = torch.tensor(tokens, device=logits_BV.device)[:, None]
    shares: list[float] = logits_BV.softmax(dim=-1).gather(1, chosen)[:, 0].tolist()
    return shares


def _draw(logits_V: "torch.Tensor", sampling: Sampling, generator: Any) -> int:  # noqa: N803
    """Draw the next token of one row."""
    import torch

    shares = (logits_V / sampling.temperature).softmax(dim=-1)
    if sampling.top_p < 1:
        ordered, places = shares.sort(descending=True)
        # The smallest set that reaches top_p: a token is out if those before it reach it already.
        ordered[ordered.cumsum(dim=-1) - ordered >= sampling.top_p] = 0
        shares = torch.zeros_like(shares).scatter(0, places, ordered)
    return int(torch.multinomial(shares, 1, generator=generator))
