"""The cross-check of AutoIF: check functions and cases that several texts hold for one constraint check each other.

A case is kept if at least one function gives its expected value, and a function if it gives enough of the kept cases'.
The functions run in the sandbox and are told inputs alone; what is expected is compared here, in the kit's own process.

Protocol: HypherX/Evolution-Analysis @7595feb, AutoIF/3_Cross_validation.py; QwenLM/AutoIF @d67b9ba,
code/3_cross_validation.py. What they do and what is different here: docs/decisions/0007-cross-check.md.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.errors import RequestError, shown
from kit.reading.jsonfiles import DEEPEST, BeyondError, load_json
from kit.sandbox import Function, Returned, Sandbox
from kit.sandbox.plain import text_of

NAME = "evaluate"
"""Name of the function that a text is asked for."""
NUMBER_DIGITS = 320
"""Characters of the longest number that equals a shorter one: a float as large as floats get, as a whole number."""
FENCE, OPENING = "```", "```json"
REMOVED = ("download", "requests")
"""A line of a function that has one of these words is removed."""
NO_FUNCTION, FEW_FUNCTIONS, FEW_CASES = "no function that loads", "too few functions", "too few cases"
NO_CASE, NO_AGREEMENT = "no case that a function agrees with", "no function that reaches the threshold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Numbers by which functions, cases and constraints are kept.

    Raises:
        RequestError: one of them is out of range.
    """

    threshold: float = 0.8
    """Share of the kept cases that a function has to get right."""
    minimum_functions: int = 1
    """A constraint with fewer functions is dropped: 1 in the paper's repository, 3 in AutoIF's."""
    minimum_cases: int = 1
    """A constraint with fewer cases is dropped: 1 in the paper's repository, 10 in AutoIF's."""
    cpu_s: float = 5.0
    """CPU seconds of one call; all calls of a function may take four times that."""
    by_type: bool = False
    """Whether a value has to be of the expected type too; otherwise 1 is as good as true, as Python's ``==`` has it."""

    def __post_init__(self) -> None:
        where = "cross-check"
        if not _is_number(self.threshold) or not 0 < self.threshold <= 1:
            raise RequestError(
                f"{where}: threshold: found {shown(self.threshold)}, wanted a share above 0 and at most 1; the "
                "protocol's is 0.8"
            )
        for name in ("minimum_functions", "minimum_cases"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise RequestError(
                    f"{where}: {name}: found {shown(value)}, wanted a whole number of 1 or more; the paper's "
                    "repository has 1 function and 1 case, AutoIF's has 3 and 10"
                )
        if not _is_number(self.cpu_s) or not 0.01 <= self.cpu_s <= 600:
            raise RequestError(
                f"{where}: cpu_s: found {shown(self.cpu_s)}, wanted CPU seconds of one call from 0.01 to 600; the "
                "protocol's limit is 5"
            )
        if type(self.by_type) is not bool:
            raise RequestError(f"{where}: by_type: found {shown(self.by_type)}, wanted true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One input of a check function, with the value that whoever wrote it expects."""

    input: Any
    output: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Content of one text: a function, cleaned up, and its cases; or why it holds none."""

    function: str = ""
    cases: Sequence[Case] = ()
    reason: str = ""
    """Reason for which the text is of no use; empty if it is of use."""
    left_out: int = 0
    """Number of cases without an input or an output."""
    beyond_rows: int = 0
    """Number of cases that no file of rows can hold: with an infinite number or NaN, or nested too deep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Result of the cross-check for one constraint."""

    functions: Sequence[str] = ()
    """Sources of the functions that are kept, in the order of the texts."""
    cases: Sequence[Case] = ()
    """Cases that are kept, in the order of the texts."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Source of each function that loads -> share of the kept cases that it gets right."""
    reason: str = ""
    """Reason for which the constraint is dropped; empty if it is kept."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason -> how many texts, functions and cases were left out for it."""


def cross_check(
    samples: Sequence[Sequence[str]],
    sandbox: Sandbox,
    rule: Rule,
    progress: Callable[[int, int], None] | None = None,
) -> list[Checked]:
    """Check the functions and cases of each constraint against each other, all in one go.

    Args:
        samples: the texts that were written for each constraint.
        sandbox: where the functions run, spread over its workers.
        rule: what is kept.
        progress: told how many functions were called, and how many there are, equal ones once.

    Raises:
        RequestError: a sample is no text.
    """
    pools = [
        Pool([parse(text, (place, number)) for number, text in enumerate(texts)]) for place, texts in enumerate(samples)
    ]
    functions = [
        Function(
            id=f"{place}/{number}",
            code=code,
            name=NAME,
            inputs=tuple(pool.inputs.values()),
            cpu_s=rule.cpu_s,
            longest=pool.longest(),
        )
        for place, pool in enumerate(pools)
        for number, code in enumerate(pool.functions)
    ]
    returned = iter(sandbox.call_functions(functions, progress))
    return [pool.judge({code: next(returned) for code in pool.functions}, rule) for pool in pools]


def parse(text: object, at: tuple[int, int] = (0, 0)) -> Sample:
    """Return what a text holds in its first fenced block of JSON.

    Args:
        text: what a model wrote.
        at: places of the constraint and of the text, for the message.

    Raises:
        RequestError: it is no text.
    """
    if not isinstance(text, str):
        raise RequestError(
            f"cross-check: constraint {at[0] + 1:,}, sample {at[1] + 1}: found {shown(text)}, wanted the text that a "
            "model wrote; the rows of an earlier step may be of another version"
        )
    _, opening, rest = text.partition(OPENING)
    block, closing, _ = rest.partition(FENCE)
    if not (opening and closing):
        return Sample(reason="text without a block of JSON")
    try:
        held = json.loads(block.strip())
    except (ValueError, RecursionError):
        return Sample(reason="text with broken JSON")
    if not isinstance(held, dict) or not isinstance(held.get("func"), str):
        return Sample(reason="text without a function")
    lines = held["func"].strip().split("\n")
    function = "\n".join(line for line in lines if not any(word in line for word in REMOVED))
    found = held.get("cases")
    found = found if isinstance(found, list) else []
    whole = [
        Case(input=case["input"], output=case["output"])
        for case in found
        if isinstance(case, dict) and "input" in case and "output" in case
    ]
    cases = [case for case in whole if _fits_in_a_row(case)]
    return Sample(function=function, cases=cases, left_out=len(found) - len(whole), beyond_rows=len(whole) - len(cases))


def _fits_in_a_row(case: Case) -> bool:
    """Return whether a row of JSONL can hold a case; Python's JSON has infinite numbers and is read deeper."""
    try:
        # a row has two more brackets around a value than this list
        load_json(json.dumps([case.input, case.output]), deepest=DEEPEST - 2)
    except (BeyondError, RecursionError):
        return False
    return True


class Pool:
    """Content of the texts of one constraint together, equal functions and equal cases once.

    Args:
        samples: what each text holds.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = [sample for sample in samples if not sample.reason]
        self.left_out = Counter(sample.reason for sample in samples if sample.reason)
        self.functions = [*dict.fromkeys(sample.function for sample in self.samples)]
        self.inputs = {json.dumps(case.input): case.input for sample in self.samples for case in sample.cases}
        """Text of each input -> input; those of functions that do not load too, which is known when they ran."""
        if without := sum(sample.left_out for sample in self.samples):
            self.left_out["case without input or output"] = without
        if beyond := sum(sample.beyond_rows for sample in self.samples):
            self.left_out["case with an infinite number, or nested too deep"] = beyond

    def judge(self, returned: Mapping[str, Returned], rule: Rule) -> Checked:
        """Return what is kept of the functions and cases.

        Args:
            returned: source of a function -> what it gave for each input.
            rule: what is kept.
        """
        left_out = self.left_out.copy()
        left_out.update(f"function that does not load: {each.error}" for each in returned.values() if each.error)
        given = {code: self._by_input(each) for code, each in returned.items() if not each.error}
        cases = self._cases(given)
        if reason := _too_few(given, cases, rule):
            return Checked(reason=reason, left_out=left_out)
        texts = [json.dumps(case.input) for case in cases]
        right = {
            code: [_agrees(values.get(text), case.output, rule) for text, case in zip(texts, cases, strict=True)]
            for code, values in given.items()
        }
        kept = [place for place in range(len(cases)) if any(verdicts[place] for verdicts in right.values())]
        scores = {code: sum(verdicts[place] for place in kept) / max(1, len(kept)) for code, verdicts in right.items()}
        functions = [code for code, score in scores.items() if score >= rule.threshold]
        left_out["case that no function agrees with"] += len(cases) - len(kept)
        left_out["function below the threshold"] += len(scores) - len(functions)
        return Checked(
            functions=functions,
            cases=[cases[place] for place in kept],
            scores=scores,
            reason="" if functions else NO_AGREEMENT if kept else NO_CASE,
            left_out=+left_out,
        )

    def longest(self) -> int:
        """Return how many characters the text of a value can have that equals what one of the cases expects."""
        texts = [text_of(case.output) for sample in self.samples for case in sample.cases]
        return max((len(text) + NUMBER_DIGITS * (1 + text.count(",")) for text in texts), default=0)

    def _by_input(self, returned: Returned) -> dict[str, Any]:
        """Return the values that a function gave, by the text of the input; those without a value are not in it."""
        replies = zip(self.inputs, returned.replies, strict=True)
        return {text: reply.value for text, reply in replies if not reply.error and reply.value is not None}

    def _cases(self, loaded: Mapping[str, Any]) -> list[Case]:
        """Return the cases of the texts whose function loads, equal ones once."""
        cases = (case for sample in self.samples if sample.function in loaded for case in sample.cases)
        return [*{json.dumps((case.input, case.output)): case for case in cases}.values()]


def _too_few(functions: Mapping[str, Any], cases: Sequence[Case], rule: Rule) -> str:
    """Return why there are too few functions or cases to check each other; empty if there are enough."""
    if not functions:
        return NO_FUNCTION
    if len(functions) < rule.minimum_functions:
        return FEW_FUNCTIONS
    return FEW_CASES if len(cases) < rule.minimum_cases else ""


def _agrees(value: Any, expected: Any, rule: Rule) -> bool:
    """Return whether a function gave what a case expects; None is what it gives where it fails."""
    if value is None:
        return False
    return bool(value == expected) and (not rule.by_type or _same_types(value, expected))


def _same_types(one: Any, other: Any) -> bool:
    """Return whether two equal values of JSON are of the same types, in all their parts."""
    if isinstance(one, list) and isinstance(other, list):
        return all(map(_same_types, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same_types(item, other[key]) for key, item in one.items())
    return type(one) is type(other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
