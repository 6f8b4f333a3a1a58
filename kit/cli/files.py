"""``kit evolve``, ``respond``, ``sft``, ``answer``: the stages on one's own files, with no manifest."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, MirrorDir, StoreDir, app, check_mirror, model_option, path_option, say, store_to_plan
from kit.cli.completing import complete_benchmark, complete_format, complete_scale, complete_scenario
from kit.cli.judging import say_estimate
from kit.cli.outcomes import as_records, cut, trained, written
from kit.cli.placing import check_out, copy_tuned, place
from kit.errors import RequestError, one_line
from kit.reading.values import MOST_ROWS
from kit.registry import names

if TYPE_CHECKING:
    from kit.plan.adhoc import Workbench
    from kit.store import Artifact

RowsOut = Annotated[
    Path, path_option("--out", "File to write, in the format and container of the input; it must not be there yet")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="Format of the rows: alpaca, sharegpt, messages, lines, gsm8k; auto lets them tell",
        autocompletion=complete_format,
    ),
]
Rows = Annotated[int | None, typer.Option("--rows", min=1, max=MOST_ROWS, help="The first so many rows")]
Seed = Annotated[int, typer.Option("--seed", help="Of every random draw; the same seed, the same output")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 is greedy")]
TopP = Annotated[float, typer.Option("--top-p", help="Draw from the likeliest tokens of this total probability")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", help="A text is cut after so many tokens")]
Hardware = Annotated[
    str,
    typer.Option(
        "--scale",
        help="Whose engine and training settings to use; auto fits this machine",
        autocompletion=complete_scale,
    ),
]
BENCHMARKS = ", ".join(names("benchmarks"))
OWN_PACKS = ("kit", "opencompass")
BENCHMARK_PACKS = (*OWN_PACKS, "paper", "followbench")
"""Prompt packs that ask a benchmark's problems."""


@app.command()
def evolve(
    seeds: Annotated[Path, path_option("--seeds", "JSON, JSONL, CSV, Parquet or lines")],
    evolver: Annotated[list[str], model_option("--evolver")],
    out: Annotated[
        list[Path], path_option("--out", "File to write, in the format of the seeds, one for each --evolver")
    ],
    scenario: Annotated[
        str,
        typer.Option("--scenario", help="How to evolve: a file of kit/scenarios", autocompletion=complete_scenario),
    ] = "evol_instruct",
    queries: Annotated[
        Path | None, path_option("--queries", "Questions of users that autoif joins with its constraints")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Option of the scenario: samples=8")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="How often each instruction is rewritten")] = 1,
    breadth: Annotated[
        bool, typer.Option("--breadth/--no-breadth", help="The breadth operator beside the depth ones")
    ] = True,
    format: Format = "auto",
    rows: Rows = None,
    seed: Seed = 42,
    temperature: Temperature = 0.7,
    top_p: TopP = 0.95,
    max_tokens: MaxTokens = 512,
    scale: Hardware = "auto",
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Seed instructions -> evolved instructions, any number of rounds; several evolvers get sets of equal size."""
    from kit.catalogue.experiments import SamplingSpec
    from kit.cli.evolving import Given, evolve_files
    from kit.files.formats import FORMATS
    from kit.plan.options import check_choice, check_sampling, check_seed, scenario_options

    check_sampling(temperature, top_p, max_tokens, rounds)
    check_seed(seed)
    check_choice("--format", format, FORMATS)
    setting = {
        "scenario": scenario,
        "breadth": breadth,
        "seed": seed,
        "evolve": SamplingSpec(temperature=temperature, top_p=top_p, max_tokens=max_tokens),
        "options": scenario_options(option or [], scenario),
    }
    given = Given(seeds=seeds, queries=queries, evolvers=evolver, outs=out, rows=rows, format=format)
    evolve_files(given, setting, rounds, scale, store)


@app.command()
def respond(
    instructions: Annotated[Path, path_option("--instructions", "As `kit evolve` reads and writes them")],
    responder: Annotated[str, model_option("--responder")],
    out: RowsOut,
    scenario: Annotated[
        str,
        typer.Option(
            "--scenario",
            help="The scenario that made them, if it asks in its own way: autoif",
            autocompletion=complete_scenario,
        ),
    ] = "",
    format: Format = "auto",
    rows: Rows = None,
    seed: Seed = 42,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    max_tokens: MaxTokens = 512,
    scale: Hardware = "auto",
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Instructions -> pairs, in the format of the instructions, which trainers read."""
    from kit.catalogue.experiments import SamplingSpec
    from kit.files.formats import FORMATS, open_rows
    from kit.files.seeds import instructions_of
    from kit.files.writing import write_back
    from kit.plan.adhoc import Workbench
    from kit.plan.options import check_choice, check_sampling, check_seed
    from kit.records import Pair, read_rows
    from kit.scenarios import check_inputs

    check_sampling(temperature, top_p, max_tokens)
    check_seed(seed)
    check_choice("--format", format, FORMATS)
    check_out(out)
    origin = open_rows(instructions, format)
    found = instructions_of(origin, origin.stem, rows)
    check_inputs(scenario, found, origin.name)
    count = len(found)
    bench = Workbench(scale)
    sampling = SamplingSpec(temperature=temperature, top_p=top_p, max_tokens=max_tokens)
    setting = {"responder": responder, "scenario": scenario, "seed": seed, "respond": sampling}
    key = bench.respond(instructions, setting, rows=rows, count=count, format=origin.format)
    artifacts = run_bench(bench, [key], store)
    rows_out = read_rows(artifacts[-1].folder / "pairs.jsonl", Pair)
    place(out, lambda path: write_back(rows_out, origin, path))
    counts = cut(artifacts, max_tokens) + written(artifacts, len(rows_out), rows)
    say(f"{len(rows_out):,} pairs{counts}{as_records(origin.container)}: {out}")


@app.command()
def sft(
    pairs: Annotated[Path, path_option("--pairs", "JSON, JSONL, CSV or Parquet, with answers")],
    base: Annotated[str, model_option("--base")],
    out: Annotated[Path, path_option("--out", "Folder to make for the tuned model; it must not be there yet")],
    format: Format = "auto",
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="The highest; a cosine leads to 0")] = 2e-5,
    epochs: Annotated[int, typer.Option("--epochs", help="How often each pair is seen")] = 3,
    global_batch_size: Annotated[int, typer.Option("--global-batch-size", help="Pairs a step, on all devices")] = 64,
    warmup_ratio: Annotated[float, typer.Option("--warmup-ratio", help="Share of the steps that warm up")] = 0.03,
    max_length: Annotated[int, typer.Option("--max-length", help="Longest example, tokens")] = 2048,
    lora_rank: Annotated[
        int, typer.Option("--lora-rank", help="Tune an adapter of this rank; 0 tunes every weight")
    ] = 0,
    merge: Annotated[bool, typer.Option("--merge", help="Write the adapter added to its base, a whole model")] = False,
    chat_template: Annotated[Path | None, path_option("--chat-template", "Jinja file; the scale's by default")] = None,
    end_of_turn: Annotated[
        str, typer.Option("--end-of-turn", help="Its last token; by default the base's end of text")
    ] = "",
    seed: Seed = 42,
    scale: Hardware = "auto",
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Pairs + base model -> tuned model folder, or an adapter's folder."""
    from kit.catalogue.experiments import Lora, Sft
    from kit.files.formats import FORMATS, open_rows
    from kit.files.seeds import pairs_of
    from kit.plan.adhoc import Workbench
    from kit.plan.options import check_choice, check_seed, check_tuning

    check_tuning(
        learning_rate,
        warmup_ratio,
        lora_rank,
        epochs=epochs,
        global_batch_size=global_batch_size,
        max_length=max_length,
    )
    if merge and not lora_rank:
        raise RequestError("--merge: without --lora-rank the tuned model is whole already; leave it out")
    check_seed(seed)
    check_choice("--format", format, FORMATS)
    check_out(out)
    rows = open_rows(pairs, format)
    count = len(pairs_of(rows))
    bench = Workbench(scale)
    spec = Sft(
        tuning="lora" if lora_rank else "full",
        lora=Lora(rank=lora_rank, alpha=lora_rank) if lora_rank else None,
        merge=merge,
        learning_rate=learning_rate,
        epochs=epochs,
        global_batch_size=global_batch_size,
        warmup_ratio=warmup_ratio,
        max_length_tokens=max_length,
    )
    setting = {"base": base, "seed": seed, "sft": spec}
    key = bench.sft(pairs, setting, chat_template, end_of_turn, count=count, format=rows.format)
    if chat_template is not None:
        check_template(chat_template, bench.plan.jobs[key].params["chat_template"])
    bench.check_end_of_turn(base, key)
    (artifact,) = run_bench(bench, [key], store)
    base_name = bench.base_name(base) if lora_rank else ""
    place(out, lambda path: copy_tuned(artifact.folder, path, base_name))
    say(f"{trained(artifact.facts, max_length)}: {out}")


@app.command()
def answer(
    benchmark: Annotated[str, typer.Argument(help=BENCHMARKS, autocompletion=complete_benchmark)],
    model: Annotated[
        str, model_option("--model", "A name of manifests/models.toml, a model folder, or an adapter's folder")
    ],
    out: Annotated[Path, path_option("--out", "JSONL file of completions to write; it must not be there yet")],
    data: Annotated[Path | None, path_option("--data", "The benchmark's file; the pinned one by default")] = None,
    base: Annotated[str, model_option("--base", "An adapter's base; by default the one that its folder names")] = "",
    prompts: Annotated[str, typer.Option("--prompts", help="kit, opencompass, paper or followbench")] = "kit",
    rows: Rows = None,
    max_tokens: MaxTokens = 512,
    seed: Seed = 42,
    scale: Hardware = "auto",
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """A model + a benchmark's problems -> completions, greedy."""
    from kit import registry
    from kit.plan.adhoc import Workbench
    from kit.plan.options import benchmark_name, check_choice, check_sampling, check_seed

    check_sampling(0.0, 1.0, max_tokens)
    name = benchmark_name(benchmark)
    module = registry.load("benchmarks", name)
    # Where no template is used, the pack does not matter, and must not be one that has to be fetched.
    check_choice("--prompts", prompts, BENCHMARK_PACKS if module.PROMPTS else OWN_PACKS)
    check_seed(seed)
    check_out(out)
    check_mirror(mirror)
    count = len(module.read(data)) if data is not None else None
    bench = Workbench(scale)
    bench.problems(name, data, count, rows=rows, prompts=prompts, max_tokens=max_tokens)
    artifacts = run_bench(bench, [bench.answer(name, model, base, seed)], store, mirror)
    place(out, lambda path: shutil.copyfile(artifacts[-1].folder / "completions.jsonl", path))
    say(f"{artifacts[-1].rows:,} completions{cut(artifacts, max_tokens)}: {out}")


def check_template(path: Path, text: str) -> None:
    """Check that a chat template renders a chat of two turns, before a model is loaded.

    Raises:
        RequestError: it does not compile, refuses that chat, or takes too much time, memory or characters for it.
    """
    from kit.models.templates import TOKENS, Renderer

    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    try:
        with Renderer() as renderer:
            renderer.render(text, chat, dict.fromkeys(TOKENS, ""))
    except RequestError as error:
        raise RequestError(
            f"--chat-template {one_line(str(path))}: {error}; wanted a Jinja template that renders a user's and an "
            "assistant's turn"
        ) from error


def run_bench(
    bench: "Workbench",
    keys: list[str],
    store_path: Path,
    mirror: Path | None = None,
    *,
    quiet: bool = False,
    unsafe_exec: bool = False,
) -> list["Artifact"]:
    """Run the jobs of a workbench that have not run yet, and return the artifacts of ``keys``; exit 1 if a job failed.

    Args:
        bench: the workbench with the plan.
        keys: keys of the jobs whose artifacts are returned.
        store_path: folder of the store.
        mirror: a folder with copies of pinned files.
        quiet: whether jobs are not shown; errors are.
        unsafe_exec: whether model-written code runs where no sandbox can be had.

    Raises:
        RequestError: this machine lacks the GPUs of the scale.
    """
    from rich.console import Console

    from kit.cli.running import check_hardware
    from kit.report import terminal
    from kit.run.execute import execute
    from kit.run.launch import Options
    from kit.run.needs import to_run
    from kit.store import Store

    there = store_to_plan(store_path)
    missing = [bench.plan.jobs[key] for key in to_run(bench.plan.jobs, there, keys)]
    check_hardware(bench.plan, missing)
    if not quiet:
        say_estimate(missing)
    store = Store.open(store_path)
    options = Options(store=store.root, mirror=mirror, unsafe_exec=unsafe_exec, request=bench.plan.request())
    console = Console(stderr=True, quiet=quiet)
    again = {job.key for job in missing}
    jobs = {key: job for key, job in bench.plan.jobs.items() if key not in bench.done or key in again}
    with terminal.Live(console, len(jobs)) as live:
        outcome = execute(jobs, store, options, live, wanted=keys)
    bench.done.update(outcome.cached, outcome.done)
    for key, reason in outcome.failed.items():
        if quiet:  # else its line has said so
            say(f"error: {bench.plan.jobs[key].id}: {reason}", err=True)
        if str(store.log_path(key)) not in reason:
            say(f"log of {bench.plan.jobs[key].id}: {store.log_path(key)}", err=True)
    if outcome.failed or outcome.blocked:
        sys.exit(1)
    return [store.get(key) for key in keys]
