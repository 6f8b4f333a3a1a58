"""The last line of `kit evolve`, `respond`, `answer`, `sft` and `grade`: rows and faults, out of artifacts' facts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from kit.errors import KitError

if TYPE_CHECKING:
    from kit.store import Artifact

Arguments = ParamSpec("Arguments")
Text = TypeVar("Text", str, list[str])

MOST_FIELDS = 6
"""Most unread fields that one line names; an artifact's facts have all of them."""


def _from_facts(line: Callable[Arguments, Text]) -> Callable[Arguments, Text]:
    """Wrap a function of facts: facts that no stage writes (a head may be written by others) raise a KitError."""

    @wraps(line)
    def checked(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Text:
        try:
            return line(*args, **kwargs)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise KitError(
                f"an artifact's facts are not those of its stage: {type(error).__name__}: {error}; `kit store check` "
                "finds what was changed, and what is removed from the store is computed anew"
            ) from error

    return checked


@_from_facts
def cut(artifacts: Sequence["Artifact"], max_tokens: int) -> str:
    """Return a phrase that counts, for each round, the texts that were cut at the limit; empty if there are none."""
    rounds: dict[Any, int] = {}
    for artifact in artifacts:  # a round of several steps has several
        round = artifact.job.params.get("round")
        rounds[round] = rounds.get(round, 0) + int(artifact.facts.get("cut_at_limit", 0))
    counts = list(rounds.values())
    if not any(counts):
        return ""
    limit = f"cut at {max_tokens:,} tokens (--max-tokens)"
    if len(counts) == 1:
        return f", {counts[0]:,} {limit}"
    return f", {limit}: " + ", ".join(f"{count:,} in round {round}" for round, count in enumerate(counts, 1))


@_from_facts
def written(artifacts: Sequence["Artifact"], rows: int, asked: int | None) -> str:
    """Return phrases on the file that a model's texts were made from, and on texts that are not whole or left out.

    Args:
        artifacts: one for each step of each round; the first has the facts of the file, the last round's those of the
            texts.
        rows: number of texts.
        asked: number of rows that ``--rows`` asked for, if it was given.
    """
    first, dropped = artifacts[0].facts, Counter[str]()
    for artifact in artifacts:
        dropped.update(artifact.facts.get("dropped", {}))
    round = artifacts[-1].job.params.get("round")
    last = [artifact.facts for artifact in artifacts if artifact.job.params.get("round") == round]
    facts = dict(first) | {"half_characters": sum(artifact.facts.get("half_characters", 0) for artifact in artifacts)}
    parts = [f"of {asked:,} asked for (--rows)"] if asked is not None and rows < asked else []
    parts += as_read(facts)
    for name, sentence in (
        ("too_long", "too long to be asked"),
        ("empty", "with no response"),
        ("outputs_replaced", "had an output, which is replaced"),
        ("broken_characters", "with characters that the model wrote in part (U+FFFD)"),
    ):
        if count := sum(facts.get(name, 0) for facts in last):
            parts.append(f"{count:,} {sentence}")
    parts += [f"{count:,} left out: {reason}" for reason, count in dropped.items()]
    return "".join(f", {part}" for part in parts)


@_from_facts
def unread(artifact: "Artifact") -> list[str]:
    """Return a line for each reason why completions could not be read; they count as wrong."""
    counts = artifact.facts.get("not_read", {})
    return [f"{count:,} of {artifact.rows:,} completions: {reason}" for reason, count in counts.items()]


@_from_facts
def trained(facts: Mapping[str, Any], max_length: int) -> str:
    """Return a sentence on a training: the pairs that it used and left out, and the loss."""
    parts = [f"tuned on {facts['examples']:,} pairs in {facts['steps']:,} steps"]
    parts += [f"loss {facts['loss_first']:.3f} to {facts['loss_last']:.3f}"]
    if facts["truncated"]:
        parts.append(f"{facts['truncated']:,} cut at {max_length:,} tokens (--max-length)")
    if unanswered := facts.get("unanswered", 0):
        parts.append(f"{unanswered:,} of them before the last answer")
    parts += [f"{count:,} left out: {reason}" for reason, count in facts["dropped"].items() if count]
    if facts["empty_responses"]:
        parts.append(f"{facts['empty_responses']:,} with no response")
    return ", ".join([*parts, *as_read(facts)])


def as_records(container: str) -> str:
    """Return a phrase on the format that was written, where it is not that of the input."""
    return ", as Alpaca JSON (lines hold no line breaks and no answers)" if container == "lines" else ""


def as_read(facts: Mapping[str, Any]) -> list[str]:
    """Return phrases on a file: fields beside instruction, input and output, texts that were mended, unread fields."""
    sentences = (
        ("with_system", "{:,} with a system prompt"),
        ("with_history", "{:,} with a history"),
        ("half_characters", "half characters replaced by U+FFFD: {:,}"),
        ("byte_order_marks", "byte-order marks dropped: {:,}"),
    )
    parts = [sentence.format(facts[name]) for name, sentence in sentences if facts.get(name)]
    if fields := facts.get("unread_fields"):
        named = [f"{name!r} of {count:,}" for name, count in fields.items()]
        more = [f"{len(named) - MOST_FIELDS:,} more fields"] if len(named) > MOST_FIELDS else []
        parts.append("not read: " + ", ".join([*named[:MOST_FIELDS], *more]))
    return parts
