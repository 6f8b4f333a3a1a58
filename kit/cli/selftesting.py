"""``kit selftest``: a model answers the same problems twice, in two orders; prints the share of items that turned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    MirrorDir,
    StoreDir,
    UnsafeExec,
    app,
    check_mirror,
    model_option,
    path_option,
    say,
    say_json,
)
from kit.cli.completing import complete_benchmark
from kit.cli.files import BENCHMARK_PACKS, BENCHMARKS, OWN_PACKS, Hardware, Seed, run_bench
from kit.cli.grading import PROTOCOLS
from kit.cli.judging import JudgeBy, JudgeMaxTokens, JudgeName, JudgeOptions, Servers
from kit.errors import one_line

if TYPE_CHECKING:
    from kit.measures import Measure
    from kit.plan.adhoc import Workbench
    from kit.plan.rerun import Rerun as Planned
    from kit.records import Problem
    from kit.report.reruns import Rerun
    from kit.store import Artifact

    Run = Callable[[list[str]], list[Artifact]]

ITEMS = 200
"""Items that are answered twice where nobody asks for another number."""


@app.command()
def selftest(
    benchmark: Annotated[
        str, typer.Option("--benchmark", help=BENCHMARKS, autocompletion=complete_benchmark, metavar="NAME")
    ],
    model: Annotated[
        str, model_option("--model", "A name of manifests/models.toml, a model folder, or an adapter's folder")
    ],
    base: Annotated[str, model_option("--base", "An adapter's base; by default the one that its folder names")] = "",
    items: Annotated[int, typer.Option("--items", help="The first so many items, or all if there are fewer")] = ITEMS,
    order: Annotated[int, typer.Option("--order", help="Seed of the other order; another seed, another rerun")] = 1,
    data: Annotated[
        Path | None, path_option("--data", "The benchmark's file; by default the scale's, or else the pinned one")
    ] = None,
    prompts: Annotated[
        str | None, typer.Option("--prompts", help="kit, opencompass, paper or followbench; the scale's by default")
    ] = None,
    protocol: Annotated[str | None, typer.Option("--protocol", help="paper or default; the scale's by default")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="A text is cut after so many tokens; the scale's by default")
    ] = None,
    seed: Seed = 42,
    judge: JudgeName = "",
    judge_by: JudgeBy = "text",
    judge_max_tokens: JudgeMaxTokens = 2048,
    servers: Servers = None,
    scale: Hardware = "auto",
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    unsafe_exec: UnsafeExec = False,
) -> None:
    """Answer a benchmark's first items twice, in two batch orders, and print the share of items that turned."""
    from kit import registry
    from kit.plan import rerun
    from kit.plan.adhoc import Workbench
    from kit.plan.options import benchmark_name, check_count, check_seed
    from kit.reading.values import LARGEST_SEED, MOST_ROWS
    from kit.report.reruns import rerun_of
    from kit.store import Store

    name = benchmark_name(benchmark)
    module = registry.load("benchmarks", name)
    check_count("--items", items, MOST_ROWS)
    check_count("--order", order, LARGEST_SEED)
    check_seed(seed)
    check_mirror(mirror)
    bench = Workbench(scale, servers)
    given = {"prompts": prompts, "protocol": protocol, "max_tokens": max_tokens}
    fields = rerun.settings(bench, name, given, own_data=data is not None)
    judging = JudgeOptions(
        judge=judge, by=judge_by, max_tokens=judge_max_tokens, prompts=fields["prompts"], servers=servers, verdicts=None
    )
    check_settings(name, module, fields, judging)
    run: Run = partial(run_bench, bench, store_path=store, mirror=mirror, quiet=json, unsafe_exec=unsafe_exec)
    asked = Asked(bench=bench, name=name, module=module, data=data, fields={**fields, **judging.fields()})
    problems = asked.problems(run)
    rows = rerun.row_count(name, items, len(problems), one_line(str(data)) if data is not None else name)
    with ExitStack() as stack:
        asked.take(rows, len(problems))
        judging.plan(bench, module, problems[:rows], [], stack)
        planned = rerun.plan_rerun(bench, name, rerun.answering_point(bench, name, model, base, seed), order)
        compared = run([planned.compared])[0]
    tested = Tested(
        rerun=rerun_of(compared, Store(store)),
        measures=module.METRICS,
        there=len(problems),
        model=one_line(model),
        scale=bench.plan.scale,
        planned=planned,
    )
    if json:
        say_json(tested.to_json())
    else:
        say("\n".join(tested.lines()))


def check_settings(name: str, module: Any, fields: Mapping[str, Any], judging: JudgeOptions) -> None:
    """Check the options of a self-test, before anything is fetched or run.

    Args:
        name: name of the benchmark.
        module: the benchmark.
        fields: prompts, protocol and limits.
        judging: the options of the judge.

    Raises:
        RequestError: an option has a wrong value, or a judge is missing or has nothing to do.
    """
    from kit.plan.options import check_choice, check_sampling

    check_choice("--protocol", fields["protocol"], PROTOCOLS)
    check_choice("--prompts", fields["prompts"], BENCHMARK_PACKS if module.PROMPTS else OWN_PACKS)
    check_sampling(0.0, 1.0, fields["max_tokens"])
    judging.check(name, module)


@dataclass(kw_only=True)
class Asked:
    """The benchmark of a self-test, with the settings in which its problems are asked."""

    bench: "Workbench"
    name: str
    module: Any
    """The benchmark."""
    data: Path | None
    """The user's own file of problems."""
    fields: dict[str, Any]
    """Settings, see :class:`~kit.catalogue.scales.BenchmarkRows`."""

    def problems(self, run: "Run") -> "list[Problem]":
        """Return the problems that there are at these settings; the scale's file is fetched for that."""
        from kit.stages import data_path

        if self.data is not None:
            return list(self.module.read(self.data))
        key = self.bench.problems(self.name, None, **self.fields)
        found = self.module.read(data_path(run([key])[0].folder))
        return list(found[: self.fields["rows"]])

    def take(self, rows: int, there: int) -> None:
        """Plan the first rows of the problems; of all that are there, as any other command plans them."""
        fields = self.fields if rows == there else {**self.fields, "rows": rows}
        self.bench.problems(self.name, self.data, there if self.data else None, **fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A self-test that was made, with what is needed to print it."""

    rerun: "Rerun"
    measures: "Mapping[str, Measure]"
    """metric -> its unit and digits."""
    there: int
    """Items of the benchmark."""
    model: str
    scale: str
    planned: "Planned"

    def metrics(self) -> "Sequence[str]":
        """Return the metrics that were judged, in the benchmark's order."""
        return [metric for metric in self.measures if metric in self.rerun.turned]

    def in_one_batch(self) -> bool:
        """Return whether each engine took all of its items at a time, so that no batch was made of other items."""
        params, n = self.rerun.answers.params, self.rerun.turned["texts"].n
        return bool(n <= params["engine"]["max_num_seqs"] * params.get("world", 1))

    def lines(self) -> Iterator[str]:
        """Yield the printed lines: what was done, the texts, each metric with its floor, and the settings."""
        from kit.report.reruns import floor_of, metric_lines, texts_line
        from kit.stages.compare import TEXTS

        texts, params = self.rerun.turned[TEXTS], self.rerun.answers.params
        yield (
            f"{self.rerun.benchmark}: {self.model} answered the first {texts.n:,} of {self.there:,} items in their "
            f"order, and again in another (--order {self.rerun.order})"
        )
        yield texts_line(texts)
        for metric in self.metrics():
            turned, measure = self.rerun.turned[metric], self.measures[metric]
            items = max(1, round(turned.n * self.there / texts.n))
            yield from metric_lines(turned, measure, floor_of(turned, items, measure.kind))
        yield (
            f"scale {self.scale}, engine {params['engine']['name']}, up to {params['engine']['max_num_seqs']} texts at "
            f"a time, protocol {self.rerun.grades.params['protocol']}, prompts {params['prompts']}, "
            f"{params['sampling']['max_tokens']:,} tokens; items that turned: kit store show {self.rerun.key[:10]}"
        )
        if self.in_one_batch():
            yield (
                f"all {texts.n:,} items fit into one batch, so that they only changed places in it; --items above "
                f"{params['engine']['max_num_seqs']} puts them beside others too"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that ``--json`` prints."""
        from kit.report.reruns import floor_json, floor_of, turned_json
        from kit.stages.compare import TEXTS

        texts, params, metrics = self.rerun.turned[TEXTS], self.rerun.answers.params, list[dict[str, Any]]()
        for metric in self.metrics():
            turned, measure = self.rerun.turned[metric], self.measures[metric]
            items = max(1, round(turned.n * self.there / texts.n))
            floor = floor_json(floor_of(turned, items, measure.kind), measure)
            metrics.append({**turned_json(turned), "floor": floor})
        return {
            "schema": 1,
            "benchmark": self.rerun.benchmark,
            "model": self.model,
            "scale": self.scale,
            "engine": params["engine"],
            "protocol": self.rerun.grades.params["protocol"],
            "prompts": params["prompts"],
            "max_tokens": params["sampling"]["max_tokens"],
            "items": texts.n,
            "of": self.there,
            "order": self.rerun.order,
            "in_one_batch": self.in_one_batch(),
            "texts": turned_json(texts),
            "metrics": metrics,
            "keys": asdict(self.planned),
        }
