"""Load a reward model and give chats their rewards, in batches of a bounded number of tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, shown
from kit.files.texts import HALF
from kit.models import (
    check_ids,
    check_model_folder,
    check_weights,
    embedding_rows,
    head_of,
    load_reward_model,
    load_tokenizer,
    render,
)
from kit.models.folder import require_chat_template
from kit.models.settings import read_config
from kit.models.templates import Renderer
from kit.records import Turn

if TYPE_CHECKING:
    pass

TOKENS_AT_ONCE = {"cpu": 4_096, "cuda": 32_768}
"""Device -> tokens of one pass of the body, with what fills rows up; a longer chat is computed alone."""
REWARD_TOKEN = "reward_token_id"
"""Setting of InternLM2's reward models: the token behind a chat at which the reward is read.

RewardBench's class for them, which names the lines of the model's own code: the token is added unless it is the last
already, and the last place that the mask shows is read:
https://github.com/allenai/reward-bench/blob/9725036c1caf0a1cefd5aa59a2a5dc5c582859b9/rewardbench/models/internlm.py
"""
CURE = "take a reward model whose class in transformers is named ...ForSequenceClassification, with one label"

Progress = Callable[[int], None]
"""Called with the number of chats that have a reward so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """The reward of one chat, or the reason why it has none."""

    value: float | None
    """The number that the model's head gives; None for a chat that is too long."""
    tokens: int
    """Length of the whole chat, tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """A loaded reward model: its body, its head, and the tokenizer with its chat template."""

    folder: Path
    body: Any
    """transformers' model without its head."""
    head: Any
    """A linear layer with one output."""
    tokenizer: Any
    max_tokens: int
    """The longest chat that it takes, tokens."""
    pad_id: int | None
    """Token that transformers' classifiers look behind for the last one; None where config.json names none."""
    reward_token: int | None
    """Token that is put behind a chat; None where the model has none."""
    embedding_rows: int | None
    """Token ids that the model knows."""
    fingerprint: Mapping[str, Any]
    """Packages, device and dtype that compute."""
    renderer: Renderer = field(default_factory=Renderer, repr=False, compare=False)
    """Runs the folder's template within limits."""

    def rewards(self, chats: Mapping[str, Sequence[Turn]], progress: Progress | None = None) -> list[Reward]:
        """Return the reward of each chat, in their order.

        Args:
            chats: id, for messages -> turns, the last by the assistant.
            progress: told after each batch.

        Raises:
            RequestError: a chat is refused by the model's template, or has half a character or a token that the model
                does not know.
        """
        ids = [self.token_ids(id, turns) for id, turns in chats.items()]
        values: dict[int, float] = {}
        fitting = [place for place, tokens in enumerate(ids) if len(tokens) <= self.max_tokens]
        for batch in batches({place: len(ids[place]) for place in fitting}, self._budget()):
            values |= zip(batch, self._compute([ids[place] for place in batch]), strict=True)
            if progress:
                progress(len(values) + len(ids) - len(fitting))
        return [Reward(value=values.get(place), tokens=len(tokens)) for place, tokens in enumerate(ids)]

    def token_ids(self, id: str, turns: Sequence[Turn]) -> list[int]:
        """Return a chat's tokens in the words of the folder's template, with the reward token behind them.

        Raises:
            RequestError: as :meth:`rewards`.
        """
        try:
            text = render(
                self.tokenizer, [{"role": turn.role, "content": turn.content} for turn in turns], self.renderer
            )
        except RequestError as error:
            raise RequestError(f"{id}: the chat template of {self.folder} refuses this chat: {error}") from error
        if half := HALF.search(text):
            raise RequestError(
                f"{id}: its chat holds half a character ({half[0]!a}), which no tokenizer takes; write the whole one, "
                "or U+FFFD in its place"
            )
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if self.reward_token is not None and ids[-1:] != [self.reward_token]:
            ids.append(self.reward_token)
        check_ids(ids, self.embedding_rows, self.tokenizer, f"{id}: chat for {self.folder}")
        if not ids:
            raise RequestError(f"{id}: the chat template of {self.folder} leaves nothing of this chat; take another")
        return ids

    def token_count(self, text: str) -> int:
        """Return the number of tokens of a text alone, without special ones."""
        return len(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _budget(self) -> int:
        return TOKENS_AT_ONCE[self.body.device.type]

    def _compute(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Return the rewards of a batch; what fills rows up stands behind them, where a causal model does not look."""
        import torch

        device = self.body.device
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
        places = torch.tensor([self.place(row) for row in rows], device=device)
        with torch.inference_mode():
            hidden: torch.Tensor = self.body(input_ids=ids, use_cache=False).last_hidden_state
            last = hidden[torch.arange(len(rows), device=device), places].float()
            bias = None if self.head.bias is None else self.head.bias.float()
            found: list[float] = torch.nn.functional.linear(last, self.head.weight.float(), bias)[:, 0].tolist()
        return found

    def place(self, ids: Sequence[int]) -> int:
        """Return the position at which the reward of a chat is read: its last token that is none of filling up."""
        return next((place for place in range(len(ids) - 1, -1, -1) if ids[place] != self.pad_id), 0)


def batches(lengths: Mapping[int, int], budget: int) -> list[list[int]]:
    """Return rows in batches of like lengths, the longest first, each of ``budget`` tokens at most when filled up.

    Args:
        lengths: row -> tokens; a row of more than the budget makes a batch of its own.
        budget: tokens of a batch.
    """
    found: list[list[int]] = []
    for row in sorted(lengths, key=lambda row: (-lengths[row], row)):
        if found and (len(found[-1]) + 1) * lengths[found[-1][0]] <= budget:
            found[-1].append(row)
        else:
            found.append([row])
    return found


def open_reward_model(folder: Path, *, dtype: str = "float32", max_tokens: int | None = None) -> RewardModel:
    """Load a sequence classifier with one label, after all checks that need no weight.

    Args:
        folder: a model folder; InternLM2's is rewritten first (:func:`kit.models.internlm2_to_llama`).
        dtype: torch's name of the type in which the body computes; the head computes in float32.
        max_tokens: a longer chat gets no reward; by default, and at most, as long as the model was made for.

    Raises:
        RequestError: the folder is no such model, or has no chat template.
    """
    check_model_folder(folder, chat=True)
    config = read_config(folder)
    if head_of(config) != "reward":
        raise RequestError(
            f"{folder / 'config.json'}: architectures: found {shown(config.get('architectures'))}, which gives no "
            f"reward; {CURE}"
        )
    check_weights(folder, head="reward")
    require_chat_template(folder)
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_reward_model(folder, dtype=getattr(torch, dtype)).to(device).eval()
    head, body = getattr(model, "score", None), model.base_model
    if not isinstance(head, torch.nn.Linear) or head.out_features != 1 or body is model:
        labels = f"a head of {head.out_features} labels" if isinstance(head, torch.nn.Linear) else "no head named score"
        raise RequestError(f"{folder}: {type(model).__name__} has {labels}; {CURE}")
    longest = config.get("max_position_embeddings")
    known = [limit for limit in (max_tokens, longest) if type(limit) is int]
    rows, tokenizer = embedding_rows(folder), load_tokenizer(folder)
    return RewardModel(
        folder=folder,
        body=body,
        head=head,
        tokenizer=tokenizer,
        max_tokens=min(known) if known else 2**31,
        pad_id=model.config.pad_token_id,
        reward_token=_reward_token(folder, config, rows),
        embedding_rows=rows,
        fingerprint={
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "dtype": dtype,
            "threads": torch.get_num_threads(),
            "class": type(model).__name__,
        },
    )


def _reward_token(folder: Path, config: Mapping[str, Any], rows: int | None) -> int | None:
    """Return the token behind a chat at which the reward is read; None where config.json names none.

    Raises:
        RequestError: it is no token that the model knows.
    """
    found = config.get(REWARD_TOKEN)
    if found is None or (type(found) is int and 0 <= found < (rows or 2**31)):
        return found
    wanted = "a token id" if rows is None else f"a token id below {rows:,}"
    raise RequestError(
        f"{folder / 'config.json'}: {REWARD_TOKEN}: found {shown(found)}, wanted {wanted}; is it the model's own file?"
    )
