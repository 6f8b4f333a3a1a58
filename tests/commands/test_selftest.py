"""``kit selftest``: two orders of the same problems, what turned between them, and how the numbers are kept."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit import registry
from kit.cli import selftesting
from kit.engines import Request, Sampling
from kit.plan.adhoc import Workbench
from kit.records import Completion
from kit.report.reruns import reruns, turned_share
from kit.store import Store
from tests.commands.conftest import Shell, run_here

PROBLEMS = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(10)]
TYPED = ("selftest", "--benchmark", "gsm8k", "--model", "tiny", "--data", "problems.jsonl", "--scale", "smoke")
Answer = Callable[[int, int], str]


class Engine:
    """An engine whose text depends on the place at which a problem is asked, as a batch's sums do."""

    def __init__(self, text: Answer, asked: list[list[str]]) -> None:
        self.text, self.asked, self.fingerprint = text, asked, {"engine": "of a test"}

    def generate(self, requests: Sequence[Request], sampling: Sampling, progress: Any = None) -> list[Completion]:
        self.asked.append([request.id for request in requests])
        return [
            Completion(id=one.id, text=self.text(int(one.id), place), finish_reason="stop")
            for place, one in enumerate(requests)
        ]

    def swap(self, model: Path) -> bool:
        return False

    def close(self) -> None:
        pass


def right(problem: int, place: int) -> str:
    """Answer every problem rightly, wherever it stands."""
    return f"It is {problem + 1}."


def first_is_wrong(problem: int, place: int) -> str:
    """Answer the problem that is asked first wrongly, and the second one in other words."""
    return "It is 77." if place == 0 else f"{'So it' if place == 1 else 'It'} is {problem + 1}."


@pytest.fixture
def asked(shell: Shell, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[list[str]]]:
    """Return a function that lets an engine answer; its list gets the ids of each batch that it is asked."""
    shell.write("problems.jsonl", PROBLEMS)
    Path("tiny").symlink_to(tiny)
    monkeypatch.setattr(selftesting, "run_bench", run_here)
    real = registry.load

    def use(text: Answer) -> list[list[str]]:
        batches: list[list[str]] = []
        module = ModuleType("engine")
        vars(module).update(VERSION=1, open=lambda model, settings: Engine(text, batches))
        monkeypatch.setattr(
            registry, "load", lambda kind, name: module if kind == "engines" and name == "vllm" else real(kind, name)
        )
        return batches

    return use


def test_items_that_turn_are_counted_with_the_floor(shell: Shell, asked: Callable[[Answer], list[list[str]]]):
    batches = asked(first_is_wrong)
    code, printed, errors = shell.call(*TYPED)
    assert (code, errors) == (0, "")
    own, other = batches
    assert own == [str(n) for n in range(10)]
    assert other != own and sorted(other, key=int) == own
    # Wrong: item 0 in the first run, item other[0] in the second: both turn, one to each side. d = 2/10.
    assert other[0] != "0"
    texts = sum(first_is_wrong(n, n) != first_is_wrong(n, other.index(str(n))) for n in range(10))
    assert texts >= 2
    lines = printed.splitlines()
    assert lines[0] == (
        "gsm8k: tiny answered the first 10 of 10 items in their order, and again in another (--order 1)"
    )
    assert lines[1].split()[:9] == [
        "texts",
        "that",
        "differ",
        str(texts),
        "of",
        "10",
        f"{10.0 * texts:.1f}",
        "%",
        "(95%",
    ]
    # Wilson for 2 of 10: 5.7 to 51.0. SE = sqrt(0.2 / 10) = 14.14 points, at most sqrt(0.5098 / 10) = 22.58.
    assert lines[2] == ("gsm8k                            2 of 10  20.0 % (95% interval 5.7 to 51.0), 1 up and 1 down")
    assert lines[3] == (
        "  two runs over 10 items differ by SE 14.14 points (22.58 at most): a difference of less than 39.62 points "
        "may be batch order alone"
    )
    assert lines[4].startswith(
        "scale smoke, engine vllm, up to 64 texts at a time, protocol default, prompts kit, 64 tok"
    )
    assert lines[5:] == [
        "all 10 items fit into one batch, so that they only changed places in it; --items above 64 puts them beside "
        "others too"
    ]


def test_a_second_call_is_cached_and_another_order_is_another_rerun(
    shell: Shell, asked: Callable[[Answer], list[list[str]]]
):
    batches = asked(first_is_wrong)
    first = shell.call(*TYPED, "--json")
    again = shell.call(*TYPED, "--json")
    assert (len(batches), first) == (2, again)
    other = json.loads(shell.call(*TYPED, "--json", "--order", "2")[1])
    assert len(batches) == 3  # the run in the problems' own order is there
    found = json.loads(first[1])
    assert other["keys"]["answers"] == found["keys"]["answers"]
    assert other["keys"]["answers_again"] != found["keys"]["answers_again"]
    assert (found["items"], found["of"], found["order"], found["texts"]["n"]) == (10, 10, 1, 10)
    (metric,) = found["metrics"]
    assert (metric["metric"], metric["turned"], metric["gained"], metric["lost"]) == ("gsm8k", 2, 1, 1)
    assert metric["floor"]["stderr"] == pytest.approx(100 * (0.2 / 10) ** 0.5)
    store = Store(Path("store"))
    assert store.get(found["keys"]["compared"]).facts["turned_ids"]["gsm8k"][0] == "0"


def test_nothing_turns_where_the_order_does_not_count(shell: Shell, asked: Callable[[Answer], list[list[str]]]):
    asked(right)
    code, printed, _ = shell.call(*TYPED, "--items", "4")
    lines = printed.splitlines()
    assert (code, lines[0].split(" items")[0]) == (0, "gsm8k: tiny answered the first 4 of 10")
    # Wilson for 0 of 4: up to 49.0 %. Over the 10 items: sqrt(0.4899 / 10) = 22.13 points.
    assert lines[2] == "gsm8k                            0 of 4   0.0 % (95% interval 0.0 to 49.0)"
    assert lines[3] == (
        "  two runs over 10 items differ by SE 0.00 points (22.13 at most): none turned, so that the upper end alone "
        "tells something"
    )


def test_the_first_run_is_the_job_of_any_other_command(shell: Shell, asked: Callable[[Answer], list[list[str]]]):
    asked(right)
    options = ("--prompts", "kit", "--protocol", "default", "--max-tokens", "64", "--json")
    keys = json.loads(shell.call(*TYPED, *options)[1])["keys"]
    bench = Workbench("smoke")
    bench.problems("gsm8k", Path("problems.jsonl"), 10, max_tokens=64)
    assert bench.answer("gsm8k", "tiny", "", 42) == keys["answers"]
    store = Store(Path("store"))
    jobs = {name: store.get(key).job for name, key in keys.items()}
    assert (jobs["answers"].params.get("order"), jobs["answers_again"].params["order"]) == (None, 1)
    assert jobs["answers_again"].params == {**jobs["answers"].params, "order": 1}
    assert jobs["answers_again"].inputs == jobs["answers"].inputs
    assert jobs["grades_again"].params == jobs["grades"].params


def test_what_was_measured_is_found_for_other_answers(shell: Shell, asked: Callable[[Answer], list[list[str]]]):
    asked(first_is_wrong)
    for order in ("1", "3"):
        assert shell.call(*TYPED, "--order", order)[0] == 0
    store = Store(Path("store"))
    found = reruns(store, "gsm8k")
    answers, protocol = found[0].answers, str(found[0].grades.params["protocol"])
    assert (len(found), reruns(store, "ifeval")) == (2, [])
    counts = turned_share(found, "gsm8k", answers, protocol)
    assert counts is not None
    assert (counts.n, counts.turned, counts.rms) == (20, 4, pytest.approx(0.2**0.5))
    other_model = replace(answers, inputs={**answers.inputs, "model": "0" * 64})
    assert turned_share(found, "gsm8k", other_model, protocol) == counts
    sampled = replace(answers, params={**answers.params, "sampling": {"max_tokens": 1}})
    assert turned_share(found, "gsm8k", sampled, protocol) is None
    assert turned_share(found, "gsm8k", answers, "paper" if protocol == "default" else "default") is None
    assert turned_share(found, "ifeval", answers, protocol) is None


ERRORS = {
    "no items": (("--items", "0"), "--items 0: wanted 1 to 1,000,000,000"),
    "the problems' own order": (("--order", "0"), "--order 0: wanted 1 to 4,294,967,295"),
    "another protocol": (("--protocol", "ours"), "--protocol ours: known: paper, default"),
    "other prompts": (("--prompts", "mine"), "--prompts mine: known: kit, opencompass, paper, followbench"),
    "no tokens": (("--max-tokens", "0"), "--max-tokens 0: wanted 1 to 100,000,000"),
    "one item": (
        ("--items", "1"),
        "problems.jsonl: 1 problem to answer, which has no other order; wanted 2 or more (--items, --data)",
    ),
    "a judge": (("--judge", "llama-3-8b"), "--judge llama-3-8b: gsm8k decides about its answers by rule; leave it out"),
    "no such benchmark": (
        ("--benchmark", "gsm9k"),
        "no benchmark named 'gsm9k'; did you mean 'gsm8k'?",
    ),
}


@pytest.mark.parametrize(("options", "message"), ERRORS.values(), ids=list(ERRORS))
def test_wrong_requests_are_told_before_anything_runs(
    options: Sequence[str], message: str, shell: Shell, asked: Callable[[Answer], list[list[str]]]
):
    batches = asked(right)
    typed = [*TYPED]
    if options[0] == "--benchmark":
        typed[2], options = options[1], ()
    assert shell.call(*typed, *options) == (2, "", message)
    assert batches == []


def test_a_judged_benchmark_needs_a_judge(shell: Shell, asked: Callable[[Answer], list[list[str]]]):
    asked(right)
    code, _, error = shell.call("selftest", "--benchmark", "alpacafarm", "--model", "tiny", "--scale", "smoke")
    assert (code, error) == (
        2,
        "alpacafarm: a judge decides about its answers; name one with --judge (a model of manifests/models.toml, with "
        "weights or served; a server of --servers FILE; or a model folder)",
    )
