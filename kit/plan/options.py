"""Options of the commands on the user's own files: ranges of their values, and the point that they decide."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kit import registry
from kit.catalogue.experiments import NO_SELECTION, Setting, Sft
from kit.catalogue.options import ScenarioOptions
from kit.catalogue.points import Point
from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.files.texts import HALF
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.reading.textfiles import decode, read_bytes
from kit.reading.values import LARGEST_SEED, MOST_BATCH, MOST_EPOCHS, MOST_RANK, MOST_ROUNDS, MOST_TOKENS
from kit.scenarios import options_of

MAX_TEMPLATE_BYTES = 2**20
"""Most bytes of a chat template; the longest known have some 20 KB."""
BENCHMARK_NAMES = {"math": "hendrycks_math"}
"""Short name of a benchmark -> name of its module."""
UNUSED_SFT = Sft(learning_rate=2e-5, epochs=3, global_batch_size=64, warmup_ratio=0.03, max_length_tokens=2048)
"""Settings of training for points whose jobs do not train; they only read whether the model is an adapter."""
UNUSED_FIELDS: Mapping[str, Any] = {
    **dict.fromkeys(("scenario", "seeds", "evolver", "responder", "base"), ""),
    "round": 0,
    "breadth": False,
    "options": None,
    "selection": NO_SELECTION,
    "kept_fraction": 1.0,
    **dict.fromkeys(("scorer", "judge", "embedder", "rewarder"), ""),
    "seed": 0,
    "evolve": None,
    "respond": None,
    "sft": UNUSED_SFT,
}
"""Values of a setting's fields for commands whose stages don't read them."""


def point_of_options(**fields: Any) -> Point:
    """Return the point that a command's options decide.

    Args:
        fields: checked values for fields of the setting; other fields have their value of :data:`UNUSED_FIELDS`.
    """
    return Point(experiment=None, at={}, setting=Setting.model_construct(**{**UNUSED_FIELDS, **fields}))


def chat_format(template: Path | None, end_of_turn: str) -> dict[str, str | None]:
    """Return the user's own chat format as parameters of a tuning job; empty without a template.

    Raises:
        RequestError: the file can't be read, or an end-of-turn token is given without a template.
    """
    if template is None:
        if end_of_turn:
            raise RequestError(
                "--end-of-turn goes with --chat-template: it is the token that this template ends turns with"
            )
        return {}
    if HALF.search(end_of_turn):
        raise RequestError(f"--end-of-turn {end_of_turn!a}: not UTF-8; wanted a token of the base's")
    name = one_line(str(template))
    try:
        data = read_bytes(template, max_bytes=MAX_TEMPLATE_BYTES)
        text = decode(data, name).lstrip(BYTE_ORDER_MARK)
    except RequestError as error:
        raise RequestError(f"--chat-template {error}; wanted a text file in Jinja") from error
    if not text.strip():
        raise RequestError(f"--chat-template {name}: empty; wanted a Jinja template")
    if "\0" in text:
        raise RequestError(f"--chat-template {name}: a zero byte in it; wanted a Jinja template")
    return {"chat_template": text, "end_of_turn": end_of_turn or None}


def scenario_options(texts: Sequence[str], scenario: str) -> ScenarioOptions | None:
    """Return the options of a scenario that ``--set NAME=VALUE`` gives; None without any.

    Raises:
        RequestError: the scenario takes no such option, or not this value, or one is given twice.
    """
    known, found = options_of(scenario), dict[str, Any]()
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise RequestError(f"--set {one_line(text, 60)}: wanted NAME=VALUE, such as samples=8")
        if name not in known:
            close = did_you_mean(name, known) if known else "; it takes none"
            raise RequestError(f"--set {one_line(text, 60)}: {scenario} takes no option {shown(name)}{close}")
        if name in found:
            raise RequestError(f"--set {name}: given twice, and it takes one value; leave the other out")
        try:
            found[name] = getattr(ScenarioOptions.model_validate({name: _number(value)}), name)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise RequestError(f"--set {one_line(text, 60)}: {message[0].lower()}{message[1:]}") from error
    return ScenarioOptions(**found) if found else None


def _number(text: str) -> int | float | str:
    """Return a value as a number, if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def benchmark_name(name: str) -> str:
    """Return the name of a benchmark's module.

    Raises:
        RequestError: there is no such benchmark.
    """
    module = BENCHMARK_NAMES.get(name, name)
    registry.load("benchmarks", module)
    return module


def check_sampling(temperature: float, top_p: float, max_tokens: int, rounds: int = 1) -> None:
    """Check that the options of sampling are in their ranges.

    Raises:
        RequestError: an option is out of its range.
    """
    if not 0 <= temperature <= 2:
        raise RequestError(f"--temperature {temperature}: wanted 0 (greedy) to 2")
    if not 0 < top_p <= 1:
        raise RequestError(f"--top-p {top_p}: wanted above 0, up to 1")
    check_count("--max-tokens", max_tokens, MOST_TOKENS)
    check_count("--rounds", rounds, MOST_ROUNDS)


def check_tuning(
    learning_rate: float, warmup_ratio: float, lora_rank: int, *, epochs: int, global_batch_size: int, max_length: int
) -> None:
    """Check that the options of training are in their ranges.

    Raises:
        RequestError: an option is out of its range.
    """
    if not 0 < learning_rate <= 1:
        raise RequestError(f"--learning-rate {learning_rate}: wanted above 0, up to 1")
    check_count("--epochs", epochs, MOST_EPOCHS)
    check_count("--global-batch-size", global_batch_size, MOST_BATCH)
    check_count("--max-length", max_length, MOST_TOKENS)
    if not 0 <= warmup_ratio < 1:
        raise RequestError(f"--warmup-ratio {warmup_ratio}: wanted 0, or more and below 1")
    if not 0 <= lora_rank <= MOST_RANK:
        raise RequestError(f"--lora-rank {shown(lora_rank)}: wanted 0 (tunes every weight) to {MOST_RANK:,}")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Check that an option's value is one of a few words.

    Raises:
        RequestError: it is another.
    """
    if value not in known:
        raise RequestError(f"{name} {one_line(value, 60)}: known: {', '.join(known)}")


def check_count(name: str, value: int, most: int) -> None:
    """Check that an option is at least 1 and at most ``most``.

    Raises:
        RequestError: it is out of this range.
    """
    if not 1 <= value <= most:
        raise RequestError(f"{name} {shown(value)}: wanted 1 to {most:,}")


def check_seed(seed: int) -> None:
    """Check that a seed is in the range that the trainer's random number generators take.

    Raises:
        RequestError: it is out of this range.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise RequestError(f"--seed {shown(seed)}: wanted 0 to {LARGEST_SEED:,}, which is what numpy takes")
