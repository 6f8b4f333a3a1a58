"""Ask and grade multiple-choice questions of several subjects: what MMLU and C-Eval share."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from kit.benchmarks._files import choose
from kit.benchmarks._letters import chosen
from kit.benchmarks._reading_time import graded
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn

Reader = Callable[[Problem, str], str]
"""Finds the letter that a text chooses; empty where there is none."""


def group(problem: Problem) -> str:
    """Return the subject of a problem."""
    return str(problem.data["subject"])


def ask(pack: Pack, id: str, subject: str, problem: Problem) -> tuple[Turn, ...]:
    """Return the chat that asks a problem after its worked examples.

    A pack has two templates: ``<id>`` asks, ``<id>.example`` is one worked example. Where the first has a place for
    ``{examples}``, they stand there, in one turn with the question; else they are turns before it.

    Args:
        pack: the words.
        id: the template's.
        subject: the subject as the words name it.
        problem: the question, with its examples.
    """
    question, template = pack.chat(id), pack.chat(f"{id}.example")
    examples = [fill(template, _values(subject, example)) for example in problem.data["examples"]]
    values = _values(subject, {**problem.data, "answer": ""})
    if any("{examples}" in turn.content for turn in question):
        text = "".join(f"{turn.content}\n\n" for turn in chain.from_iterable(examples))
        return fill(question, {**values, "examples": text})
    return (*chain.from_iterable(examples), *fill(question, values))


def _values(subject: str, row: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Return the values of a template's placeholders; OpenCompass has two names for question and answer."""
    question, answer = str(row["question"]), str(row["answer"])
    letters = dict(zip("ABCD", map(str, row["choices"]), strict=True))
    return {"subject": subject, "question": question, "input": question, "answer": answer, "target": answer, **letters}


def fair(problem: Problem, text: str) -> str:
    """Return the letter by the kit's own reading (:func:`kit.benchmarks._letters.chosen`)."""
    return chosen(text, problem.data["choices"], problem.data["question"])


def reader(metric: str, readers: Mapping[str, Callable[[], Reader]], protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by a protocol.

    Args:
        metric: what the grades count.
        readers: protocol -> function that makes its reader.
        protocol: ``paper`` or ``default``.

    Raises:
        RequestError: no such protocol, or the reader's source is not the pinned one.
    """
    read = choose(readers, protocol)()

    def one(problem: Problem, text: str) -> Grade:
        letter = read(problem, text)
        right = letter == problem.data["answer"]
        reason = "" if right or letter else "no answer found"
        return Grade(id=problem.id, scores={metric: [int(right), 1]}, answer=letter, reason=reason)

    return one


def grade_choices(
    maker: Callable[[str], Callable[[Problem, str], Grade]],
    metric: str,
    problems: Sequence[Problem],
    texts: Sequence[str],
    protocol: str,
) -> list[Grade]:
    """Return one grade a text, in the order of the problems; the examples stay here, no reader needs them.

    Raises:
        RequestError: no such protocol, or the reader's source is not the pinned one.
    """
    bare = [
        Problem(id=problem.id, data={name: value for name, value in problem.data.items() if name != "examples"})
        for problem in problems
    ]
    return graded(maker, protocol, bare, texts, lambda _: {metric: [0, 1]})
