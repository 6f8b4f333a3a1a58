"""IFEval: instructions that a program can check, 541 prompts with 834 of them.

    {"key": 1001, "prompt": "Describe a beach. Do not use any commas.",
     "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}

Official grader (the checkers beside it, ``instructions*.py``, are carried by the lm-eval wheel in
``lm_eval/tasks/ifeval/`` and used by path; ``manifests/ifeval.toml`` pins each file by its sha256):
https://github.com/google-research/google-research/blob/4c4299485319ed72ef782020c81784be5468924e/instruction_following_eval/evaluation_lib.py

The prompt alone is asked and the whole text is judged, whatever the pack: strict on the text as it is, loose on the
best of eight variants of it. Nothing is downloaded; langdetect is seeded.

Two of the 541 prompts (keys 1122 and 1129) ask to count ``#`` and ``!``. The official checker takes neither for a
letter and draws one instead, anew in each reading, so the published scores hold that chance. Both protocols draw too,
seeded so that the published GPT-4 counts come out (:data:`SEED`): a score here and a published one compare.
"""

import hashlib
import importlib.util
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any

from kit.benchmarks import _ifeval_patterns as patterns
from kit.benchmarks._files import choose, problems
from kit.benchmarks._reading_time import graded
from kit.errors import RequestError, shown
from kit.measures import Measure
from kit.prompts import Pack
from kit.records import Grade, Problem, Turn
from kit.registry import PACKAGE
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "ifeval"
PROMPTS: tuple[str, ...] = ()
SOURCE = (
    "https://github.com/google-research/google-research/blob/4c4299485319ed72ef782020c81784be5468924e/"
    "instruction_following_eval/evaluation_lib.py"
)
METRICS: Mapping[str, Measure] = {
    "ifeval_prompt_strict": Measure(title="IFEval Pr(S)", counts="prompts"),
    "ifeval_instruction_strict": Measure(title="IFEval In(S)", counts="instructions"),
    "ifeval_prompt_loose": Measure(title="IFEval Pr(L)", counts="prompts"),
    "ifeval_instruction_loose": Measure(title="IFEval In(L)", counts="instructions"),
}
RUNS_CODE = False
SEED = 5
"""The first seed with which GPT-4's published responses get the published counts."""
MANIFEST = PACKAGE.parent / "manifests" / "ifeval.toml"


def read(path: Path) -> list[Problem]:
    """Read the problems of the official ``input_data.jsonl``; the id is ``key``.

    Raises:
        RequestError: not that format, kwargs that are no objects, or a key stands twice.
    """
    rows = problems(path, {"key": int, "prompt": str, "instruction_id_list": list, "kwargs": list}, "key")
    for row in rows:
        ids, kwargs = row.data["instruction_id_list"], row.data["kwargs"]
        if not ids or len(ids) != len(kwargs):
            raise RequestError(
                f"{path}: key {row.id}: {len(ids)} instructions with {len(kwargs)} kwargs; wanted one each"
            )
        for name, kinds in (("instruction_id_list", str), ("kwargs", dict)):
            if mistyped := [value for value in row.data[name] if not isinstance(value, kinds)]:
                raise RequestError(
                    f"{path}: key {row.id}: {name}: found {type(mistyped[0]).__name__} in the list, "
                    f"wanted {kinds.__name__}"
                )
    return rows


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the prompt alone, whatever the pack: a word around it could keep or break an instruction."""
    del pack
    return (Turn(role="user", content=problem.data["prompt"]),)


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol, a wheel's file is missing or differs, or an instruction is not known.
    """
    del sandbox
    return graded(reader, protocol, problems, texts, _nothing_followed)


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by the official checkers, whatever the protocol.

    Raises:
        RequestError: no such protocol, or a wheel's file is missing or differs.
    """
    choose({"paper": "official", "default": "official"}, protocol)
    checkers = load_checkers()
    return lambda problem, text: _one(problem, text, checkers)


def _nothing_followed(problem: Problem) -> dict[str, list[int]]:
    """Return the scores of a text that follows no instruction."""
    counts = {"prompts": 1, "instructions": len(problem.data["instruction_id_list"])}
    return {metric: [0, counts[measure.counts]] for metric, measure in METRICS.items()}


def variants(text: str) -> tuple[str, ...]:
    """The text, and what the loose reading forgives: its first line, its last one, both; each without asterisks too."""
    lines = text.split("\n")
    cuts = (text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    return (*cuts, *(cut.replace("*", "") for cut in cuts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkers:
    """The official checkers with their source of random draws."""

    classes: Mapping[str, Any]
    """Instruction id -> class."""
    chance: Random
    """Source of random draws for what a problem does not name."""


def follows(problem: Problem, forms: Sequence[str], reading: str, checkers: Checkers) -> list[bool]:
    """Tell for each of the problem's instructions whether at least one form of the text follows it.

    Args:
        problem: the prompt with its instructions.
        forms: the text, or its variants; blank ones follow nothing.
        reading: ``strict`` or ``loose``; each has draws of its own.
        checkers: the official ones.

    Raises:
        RequestError: the registry has no such instruction, or its checker can't take the kwargs.
    """
    followed = []
    written = [form for form in forms if form.strip()]
    checkers.chance.seed(f"{SEED}/{problem.id}/{reading}")
    for name, kwargs in zip(problem.data["instruction_id_list"], problem.data["kwargs"], strict=True):
        if name not in checkers.classes:
            raise RequestError(f"ifeval: key {problem.id}: no instruction {name!r} in the official registry")
        given = {key: value for key, value in kwargs.items() if value is not None}
        try:
            checker = checkers.classes[name](name)
            checker.build_description(**given)
            if "prompt" in (checker.get_instruction_args() or {}):
                checker.build_description(prompt=problem.data["prompt"])
            _holds(checker, "A text.")
        except FAULTS as error:
            raise RequestError(
                f"ifeval: key {problem.id}: the official checker of {name!r} can't take kwargs {shown(given)}: "
                f"{error!s:.400}; "
                "wanted those of the official input_data.jsonl"
            ) from error
        followed.append(any(_holds(checker, form) for form in written))
    return followed


FAULTS = (TypeError, ValueError, AttributeError, KeyError, IndexError)
"""Errors of the official checkers that can't take their kwargs; raised by one text alone, it is that text's."""


def _holds(checker: Any, form: str) -> bool:
    """Return the official checker's verdict; its JSON parser gives up on many opening brackets, which are no JSON."""
    try:
        return bool(checker.check_following(form))
    except RecursionError:
        return False


def _one(problem: Problem, text: str, checkers: Checkers) -> Grade:
    """Grade one text by both readings, strict and loose."""
    strict = follows(problem, [text], "strict", checkers)
    loose = follows(problem, variants(text), "loose", checkers)
    names = problem.data["instruction_id_list"]
    broken = [name for name, followed in zip(names, strict, strict=True) if not followed]
    scores = {
        "ifeval_prompt_strict": [int(all(strict)), 1],
        "ifeval_instruction_strict": [sum(strict), len(strict)],
        "ifeval_prompt_loose": [int(all(loose)), 1],
        "ifeval_instruction_loose": [sum(loose), len(loose)],
    }
    return Grade(id=problem.id, scores=scores, reason=f"broken: {broken[0]}" if broken else "")


def load_checkers() -> Checkers:
    """Return the checkers in the wheel's three files; the package around them is not imported.

    They read with the kit's own chance and patterns (:mod:`kit.benchmarks._ifeval_patterns`) and log nothing: a text
    whose language is not found would go to the terminal as it is, control characters too. nltk's limit on its patterns,
    five seconds by the clock, is lifted: how busy the machine is would be part of a verdict.

    Raises:
        RequestError: a file is missing or is not the pinned one.
    """
    import langdetect
    import nltk
    from nltk import redos

    pins = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    punkt = [_pinned(pin) for pin in pins["punkt"]]
    folder = str(punkt[0].parents[3])  # .../nltk_cache/tokenizers/punkt_tab/english/<file>
    if folder not in nltk.data.path:
        nltk.data.path.insert(0, folder)
    langdetect.DetectorFactory.seed = 0
    redos.DEFAULT_TIMEOUT = None
    chance = Random()
    own = {"random": chance, "re": patterns.stand_in(), "logger": SimpleNamespace(error=lambda *_: None)}
    with _stand_ins("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval") as package:
        for pin in pins["checker"]:
            path = _pinned(pin)
            module = _executed(f"{package.__name__}.{path.stem}", path)
            vars(package)[path.stem] = module
            vars(module).update({name: value for name, value in own.items() if name in vars(module)})
    return Checkers(classes=module.INSTRUCTION_DICT, chance=chance)


def _pinned(pin: Mapping[str, str]) -> Path:
    """Return the place of an installed wheel's file, after its sha256 was checked."""
    name = pin["distribution"]
    try:
        path = Path(str(distribution(name).locate_file(pin["path"])))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except (PackageNotFoundError, OSError) as error:
        raise RequestError(f"ifeval: no {pin['path']} of the wheel {name}; install requirements/grade.txt") from error
    if found != pin["sha256"]:
        raise RequestError(
            f"ifeval: {path}: sha256 is {found[:12]}…, {MANIFEST.name} says {pin['sha256'][:12]}…;"
            " another version is installed; install requirements/grade.txt"
        )
    return path


@contextmanager
def _stand_ins(*names: str) -> Iterator[ModuleType]:
    """Empty packages of these names in ``sys.modules`` for a while; gives the last, and puts back what was there."""
    root = names[0]
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in {root, "packaging"}}
    for name in before:
        if name.partition(".")[0] == root:
            del sys.modules[name]
    for name in names:
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = []
    if importlib.util.find_spec("packaging") is None:
        sys.modules["packaging"], sys.modules["packaging.version"] = ModuleType("packaging"), _version_parser()
    try:
        yield sys.modules[names[-1]]
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in {root, "packaging"}]:
            del sys.modules[name]
        sys.modules.update(before)


def _version_parser() -> ModuleType:
    """Make the part of ``packaging`` that the checkers compare nltk's version with; the grade image has none."""
    module = ModuleType("packaging.version")
    module.parse = lambda text: tuple(map(int, text.split(".")[:3]))  # type: ignore[attr-defined]
    return module


def _executed(name: str, path: Path) -> ModuleType:
    """Return the module of one file, under the name that its siblings import it by."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RequestError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
