"""``kit score``: a metric's scores for the rows of one's own file, written beside their other fields."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import DEFAULT_STORE, AsJson, StoreDir, app, model_option, path_option, say, say_json
from kit.cli.completing import complete_metric
from kit.cli.files import Format, Hardware, Rows, run_bench
from kit.cli.judging import JudgeBy, JudgeMaxTokens, JudgeName, JudgePrompts, Servers
from kit.cli.placing import check_out, place
from kit.cli.scored import Scored
from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.reading.values import MOST_TOKENS
from kit.registry import names

if TYPE_CHECKING:
    from kit.files.onebyone import ReadRow
    from kit.files.rowfiles import RowFile
    from kit.metrics import Metric
    from kit.records import Instruction, Row, Score

METRIC_NAMES = {"ppl": ("ifd", ("instruction_ppl", "instruction_perplexity"))}
"""Short name -> metric, and the numbers that are meant."""
KNOWN = ", ".join([*names("metrics"), *METRIC_NAMES])
BOUNDARIES = ("authors", "exact")
PACKS = ("kit", "paper")
DROP = "--drop-ifd-at-1"


@app.command()
def score(
    metric: Annotated[str, typer.Argument(help=KNOWN, autocompletion=complete_metric)],
    data: Annotated[Path, path_option("--data", "Rows to score: JSON, JSONL, CSV, Parquet or lines")],
    out: Annotated[
        Path,
        path_option(
            "--out",
            "File to write: the rows as they stand, in order and in their format, each with a field for each number "
            "(ic_ifd), in chats of several turns one for the turns too (ic_ifd_turns), or why not (ifd_skipped)",
        ),
    ],
    model: Annotated[
        str,
        model_option("--model", "Who scores, where the metric takes one: a name of manifests/models.toml, or a folder"),
    ] = "",
    number: Annotated[
        list[str] | None, typer.Option("--metric", help="A number of the metric to write, such as ic_ifd; default: all")
    ] = None,
    format: Format = "auto",
    rows: Rows = None,
    boundary: Annotated[
        str,
        typer.Option(
            "--boundary",
            help="Where the answer begins: authors (tokens of the question alone, the default) or exact (by its text)",
        ),
    ] = "",
    max_length: Annotated[int, typer.Option("--max-length", help="Longest row that is scored, tokens")] = 2048,
    drop: Annotated[
        bool,
        typer.Option(
            DROP, help="Leave out rows with an IFD of 1 or more, as the first IFD code did; the paper doesn't"
        ),
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Option of the metric")
    ] = None,
    before: Annotated[
        Path | None, path_option("--before", "The instructions before the rewrite, for metrics that compare the two")
    ] = None,
    judge: JudgeName = "",
    judge_by: JudgeBy = "text",
    judge_max_tokens: JudgeMaxTokens = 2048,
    prompts: JudgePrompts = "kit",
    servers: Servers = None,
    scale: Hardware = "auto",
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
) -> None:
    """Rows -> the same rows with scores; what can't be scored is named, and a stopped command goes on where it was."""
    from kit.files.formats import FORMATS, open_rows
    from kit.files.onebyone import read_each
    from kit.files.writing import write_with
    from kit.plan.adhoc import Workbench
    from kit.plan.options import check_choice, check_count
    from kit.plan.scoring import AskedScores, parsed_options, plan_scores

    check_choice("--judge-by", judge_by, ("text", "labels"))
    check_choice("--prompts", prompts, PACKS)
    check_choice("--format", format, FORMATS)
    check_count("--max-length", max_length, MOST_TOKENS)
    check_count("--judge-max-tokens", judge_max_tokens, MOST_TOKENS)
    if boundary:
        check_choice("--boundary", boundary, BOUNDARIES)
    if servers and not judge:
        raise RequestError(f"--servers {one_line(str(servers))}: no --judge of it is named; name one")
    name, module, numbers = asked_numbers(metric, number or [])
    check_drop(name, module, drop=drop)
    settings = [*(option or []), *([f"boundary={boundary}"] if boundary else [])]
    asked = AskedScores(
        metric=name,
        model=model,
        judge=judge,
        judge_by="labels" if judge_by == "labels" else "text",
        prompts="paper" if prompts == "paper" else "kit",
        max_tokens=judge_max_tokens if judge else max_length,
        options=parsed_options(settings, name),
    )
    asked.check()
    check_out(out, [data])
    origin = open_rows(data, format)
    read = read_each(origin, rows, answers=module.READS == "pairs")
    check_some(origin, read, name)
    check_answers(origin, read, name, module)
    earlier = rows_before(before, module, read, rows)
    bench = Workbench(scale, servers)
    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        key = plan_scores(bench, asked, units(read, module), folder=Path(folder), name=origin.stem, before=earlier)
        (artifact,) = run_bench(bench, [key], store, quiet=json)
    scored = Scored(
        metric=name,
        version=module.VERSION,
        numbers=numbers,
        measures=module.METRICS,
        origin=origin,
        rows=read,
        scores=(scores := stored_scores(artifact.folder)),
        dropped=frozenset(at_one(scores)) if drop else frozenset(),
    )
    place(out, lambda path: write_with({row: scored.fields(row) for row in scored.kept()}, origin, path))
    if json:
        say_json(scored.to_json(str(out)))
        return
    say("\n".join([*scored.lines(), f"{scored.last_line(DROP)}: {out}"]))


def asked_numbers(metric: str, numbers: Sequence[str]) -> "tuple[str, Metric, list[str]]":
    """Return the metric that a name means, its module, and the numbers that are written.

    Raises:
        RequestError: there is no such metric, or it gives no such number.
    """
    from kit import metrics

    name, meant = METRIC_NAMES.get(metric, (metric, ()))
    known = [*names("metrics"), *METRIC_NAMES]
    if name not in known:
        raise RequestError(f"no metric named {shown(metric)}{did_you_mean(metric, known)}")
    module = metrics.load(name)
    for number in numbers:
        if number not in module.METRICS:
            raise RequestError(
                f"--metric {one_line(number, 60)}: {name} gives no such number{did_you_mean(number, module.METRICS)}"
            )
    wanted = numbers or [number for number in meant if number in module.METRICS] or list(module.METRICS)
    return name, module, list(dict.fromkeys(wanted))


def check_drop(name: str, module: "Metric", *, drop: bool) -> None:
    """Check that rows are left out by their IFD only where it is computed.

    Raises:
        RequestError: another metric is computed.
    """
    if drop and "ifd" not in module.METRICS:
        raise RequestError(f"{DROP}: {name} gives no ifd; leave it out, or score by ifd")


def check_some(origin: "RowFile", read: "Sequence[ReadRow]", metric: str) -> None:
    """Check that at least one row can be read.

    Raises:
        RequestError: none can.
    """
    if not read:
        raise RequestError(f"{origin.name}: no record; wanted rows to score")
    if all(row.fault for row in read):
        raise RequestError(
            f"{origin.name}: none of {len(read):,} rows can be scored by {metric}; {read[0].where}: {read[0].fault}"
        )


def check_answers(origin: "RowFile", read: "Sequence[ReadRow]", metric: str, module: "Metric") -> None:
    """Check that a metric whose model reads answers finds one at least.

    Raises:
        RequestError: no row has an answer.
    """
    from kit.records import Pair

    if module.READS != "pairs" or not module.ROLE:
        return
    if not any(isinstance(unit, Pair) and unit.output.strip() for unit in units(read, module)):
        raise RequestError(
            f"{origin.name}: none of {len(read):,} rows has an answer, which {metric} needs; give pairs, or let a "
            "model answer first (kit respond)"
        )


def units(read: "Sequence[ReadRow]", module: "Metric") -> "list[Row]":
    """Return what is scored: of each row that can be read the instruction, or the pair and its turns."""
    from kit.files.onebyone import whole_and_turns

    rows = [one.row for one in read if one.row is not None]
    return [unit for row in rows for unit in whole_and_turns(row)] if module.READS == "pairs" else list(rows)


def rows_before(
    path: Path | None, module: "Metric", read: "Sequence[ReadRow]", rows: int | None
) -> "list[Instruction]":
    """Return the instructions before the rewrite, one for each row that is scored; nothing where none are read.

    Raises:
        RequestError: the metric reads none and some are given, or the other way round; or they are not as many.
    """
    from kit.files.formats import open_rows
    from kit.files.onebyone import read_each

    if module.READS != "rewrites":
        if path is not None:
            raise RequestError(f"--before {one_line(str(path))}: this metric compares nothing with it; leave it out")
        return []
    if path is None:
        raise RequestError("--before: missing, and the metric compares each row with what it was before its rewrite")
    found = read_each(open_rows(path), rows, answers=False)
    if len(found) != len(read):
        raise RequestError(
            f"--before {one_line(str(path))}: {len(found):,} rows, and --data has {len(read):,}; wanted one for each, "
            "in the same order"
        )
    if bad := next((one for one, row in zip(found, read, strict=True) if row.row and one.row is None), None):
        raise RequestError(f"--before: {bad.where}: {bad.fault}")
    return [one.row for one, row in zip(found, read, strict=True) if row.row is not None and one.row is not None]


def stored_scores(folder: Path) -> "Mapping[str, Score]":
    """Return the scores of an artifact by the ids of what was scored."""
    from kit.records import Score, read_rows
    from kit.stages import SCORES

    scores: list[Score] = read_rows(folder / SCORES, Score)
    return {score.id: score for score in scores}


def at_one(scores: "Mapping[str, Any]") -> list[int]:
    """Return the positions of the rows whose IFD is 1 or more; of a chat of several turns that of the whole counts."""
    return [int(id) for id, score in scores.items() if "/" not in id and score.values.get("ifd", 0.0) >= 1]
