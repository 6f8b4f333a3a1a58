"""Scores by a reward model, for the metrics that show it a chat a row."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kit.metrics import Progress
from kit.records import Score, Turn

if TYPE_CHECKING:
    from kit.rewards import RewardModel

Shown = tuple[Turn, ...] | str
"""A row's chat, whose last turn is rewarded; or the reason why the row has none."""


class Rewarder:
    """Asks a reward model about the chat of each row."""

    def __init__(self, model: "RewardModel", number: str, chat_of: Callable[[Any], Shown]) -> None:
        """Ask a model that is loaded already.

        Args:
            model: the reward model.
            number: id of the number that a reward is.
            chat_of: gives a row's chat.
        """
        self.fingerprint: Mapping[str, Any] = model.fingerprint
        self._model = model
        self._number = number
        self._chat_of = chat_of

    def score(self, rows: Sequence[Any], progress: Progress) -> list[Score]:
        """Return the reward of each row, with the tokens of the text that is rewarded and of the whole chat.

        Raises:
            RequestError: the model's chat template refuses a chat.
        """
        shown = {row.id: self._chat_of(row) for row in rows}
        chats = {id: chat for id, chat in shown.items() if not isinstance(chat, str)}
        left_out = len(rows) - len(chats)
        found = self._model.rewards(chats, lambda done: progress(done + left_out))
        rewards = dict(zip(chats, found, strict=True))
        scores = []
        for id, chat in shown.items():
            if isinstance(chat, str):
                scores.append(Score(id=id, skipped=chat))
                continue
            facts = {"tokens": self._model.token_count(chat[-1].content), "chat_tokens": rewards[id].tokens}
            if (value := rewards[id].value) is None:
                reason = f"chat of more than {self._model.max_tokens:,} tokens"
                scores.append(Score(id=id, skipped=reason, facts=facts))
            else:
                scores.append(Score(id=id, values={self._number: value}, facts=facts))
        progress(len(rows))
        return scores
