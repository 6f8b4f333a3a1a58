"""Shared by metrics whose scores a judge gives: a row's question, its verdict, the reason why it has no score."""

from collections.abc import Mapping

from kit.engines import TOO_LONG
from kit.errors import KitError
from kit.prompts import Pack, fill
from kit.records import Instruction, Turn, Verdict

TOO_LONG_REASON = "instruction too long to be asked about"
"""Reason of a row whose question leaves the judge no room for a reply."""
NO_REPLY_REASON = "no reply of the judge"
"""Reason of a row whose question a server left unanswered, or whose reply had thoughts alone."""


def asked_about(row: Instruction, pack: Pack, template: str) -> tuple[Turn, ...]:
    """Return the chat that asks about a row: its instruction alone is shown, without its input and its history."""
    return fill(pack.chat(template), {"instruction": row.instruction})


def verdict_on(id: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """Return the verdict on a question.

    Raises:
        KitError: there is none.
    """
    if id not in verdicts:
        raise KitError(f"no verdict on {id} among {len(verdicts):,}: they are on other rows; remove them and run again")
    return verdicts[id]


def reason_without(verdict: Verdict, unreadable: str) -> str:
    """Return why a verdict without a label has none.

    Args:
        verdict: the verdict.
        unreadable: the reason of a reply that is there and says nothing that counts.
    """
    if verdict.finish_reason == TOO_LONG:
        return TOO_LONG_REASON
    return unreadable if verdict.text.strip() else NO_REPLY_REASON
