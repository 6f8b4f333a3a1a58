"""Formats on the command line and in manifests: `--format`, `format = "auto"`, and what ends up in a job's key."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.catalogue.entries import Dataset
from kit.catalogue.experiments import SamplingSpec, Sft
from kit.cli import grading
from kit.errors import RequestError
from kit.plan.adhoc import Workbench
from kit.plan.planning import plan_manifest
from kit.plan.sources import count_rows, data_source, seed_format
from kit.stages import input_pairs
from kit.store import Store
from tests.conftest import Kit

MANIFEST = Path(__file__).resolve().parent / "data" / "mine.toml"
MODEL = "smollm2-135m-instruct"
SHARED = ("--scale", "smoke")


@pytest.fixture
def kit(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run the command line in an empty folder; models say "Go on: " and the instruction, or answer "Yes."."""
    store = Store.open(tmp_path / "store")

    def run(bench: Workbench, keys: list[str], *_: object) -> list[Any]:
        for key in keys:
            params = bench.plan.jobs[key].params
            stage = registry.load("stages", bench.plan.jobs[key].stage)
            (fetched,) = [job for job in bench.plan.jobs.values() if job.params.get("kind") == "file"]
            path = Path(fetched.resources["source"]["path"])
            folder = tmp_path / f"input-{key}"
            folder.mkdir(exist_ok=True)
            (folder / path.name).write_bytes(path.read_bytes())
            rows = stage.input_instructions(params, {"seeds": folder}).rows
            with store.scratch(key) as out:
                evolves = bench.plan.jobs[key].stage == "evolve"
                made = [row.to_json() | {"instruction": f"Go on: {row.instruction}", "output": ""} for row in rows]
                pairs = [
                    {name: value for name, value in row.to_json().items() if name != "operator"} | {"output": "Yes."}
                    for row in rows
                ]
                name = "instructions.jsonl" if evolves else "pairs.jsonl"
                (out / name).write_text("".join(json.dumps(row) + "\n" for row in (made if evolves else pairs)))
                store.commit(bench.plan.jobs[key], out, rows=len(rows), facts={}, provenance={})
        return [store.get(key) for key in keys]

    assert grading.run_bench  # it takes the function from there as it is imported first, and would keep this one
    monkeypatch.setattr("kit.cli.files.run_bench", run)
    return kit


TURNS = [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Ho."}]


def test_chats_are_evolved_and_answered_in_their_own_format(kit: Kit, tmp_path: Path):
    chats = [{"id": "x", "conversations": [*TURNS, {"from": "human", "value": "Again?"}], "source": "web"}]
    (tmp_path / "chats.jsonl.gz").write_bytes(gzip.compress(json.dumps(chats[0]).encode()))
    words = ("evolve", "--seeds", "chats.jsonl.gz", "--evolver", MODEL, "--out", "evolved.gz", *SHARED)
    assert kit(*words) == (0, "1 instructions: evolved.gz\n", "")
    said = [*TURNS, {"from": "human", "value": "Go on: Again?"}]
    assert json.loads(gzip.decompress((tmp_path / "evolved.gz").read_bytes())) == chats[0] | {"conversations": said}
    words = ("respond", "--instructions", "evolved.gz", "--responder", MODEL, "--out", "pairs.gz", *SHARED)
    assert kit(*words) == (0, "1 pairs: pairs.gz\n", "")
    said.append({"from": "gpt", "value": "Yes."})
    assert json.loads(gzip.decompress((tmp_path / "pairs.gz").read_bytes())) == chats[0] | {"conversations": said}


def test_a_table_is_answered_in_a_table(kit: Kit, tmp_path: Path):
    (tmp_path / "t.csv").write_text('note;instruction\n"a;b";Name a colour.\n', newline="")
    assert kit("respond", "--instructions", "t.csv", "--responder", MODEL, "--out", "o.csv", *SHARED)[0] == 0
    with (tmp_path / "o.csv").open(newline="") as file:
        assert list(csv.DictReader(file, delimiter=";")) == [
            {"id": "t/0", "note": "a;b", "instruction": "Name a colour.", "output": "Yes.", "input": ""}
        ]


def test_lines_are_evolved_into_records(kit: Kit, tmp_path: Path):
    (tmp_path / "tasks.txt").write_text("Name a colour.\nCount.\n")
    words = ("evolve", "--seeds", "tasks.txt", "--evolver", MODEL, "--out", "o.jsonl", "--rows", "1", *SHARED)
    assert kit(*words) == (
        0,
        "1 instructions, as Alpaca JSON (lines hold no line breaks and no answers): o.jsonl\n",
        "",
    )
    assert json.loads((tmp_path / "o.jsonl").read_text()) == [
        {"id": "tasks/0", "instruction": "Go on: Name a colour.", "input": "", "output": ""}
    ]


ALL = "auto, alpaca, sharegpt, messages, lines, gsm8k"
REFUSED = {
    "evolve": (
        f"evolve --seeds s.json --evolver {MODEL} --out o --format sharegtp",
        f"--format sharegtp: known: {ALL}",
    ),
    "respond": (
        f"respond --instructions s.json --responder {MODEL} --out o --format messages",
        "s.json[0]: no 'conversations' and no 'messages'; found instruction, wanted a list of turns with 'role' and "
        "'content' (format messages)",
    ),
    "sft": ("sft --pairs s.json --base smollm2-29l --out o --format json", f"--format json: known: {ALL}"),
    "JSON as lines": (
        f"evolve --seeds s.json --evolver {MODEL} --out o --format lines",
        "s.json:1: found JSON, wanted a text on each line",
    ),
    "pairs without answers": (
        "sft --pairs tasks.txt --base smollm2-29l --out o",
        "tasks.txt: every 'output' is empty; run `kit respond` first",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_refused(words: str, message: str, kit: Kit, tmp_path: Path):
    (tmp_path / "s.json").write_text('[{"instruction": "a"}]')
    (tmp_path / "tasks.txt").write_text("Count.")
    assert kit(*words.split()) == (2, "", f"error: {message}\n")


def test_auto_says_in_the_key_what_it_found(tmp_path: Path):
    (tmp_path / "seeds.json").write_text(json.dumps([{"instruction": f"Task {n}"} for n in range(3)]))
    text = MANIFEST.read_text(encoding="utf-8")
    keys = []
    for name, format in (("a.toml", "alpaca"), ("b.toml", "auto")):
        (tmp_path / name).write_text(text.replace('format = "alpaca"', f'format = "{format}"'), encoding="utf-8")
        keys.append(list(plan_manifest(tmp_path / name).jobs))
    assert keys[0] == keys[1]


def test_chats_of_a_manifest(tmp_path: Path):
    (tmp_path / "seeds.json").write_text(json.dumps([{"conversations": TURNS}, {"conversations": TURNS}]))
    text = MANIFEST.read_text(encoding="utf-8").replace('format = "alpaca"', 'format = "auto"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    jobs = plan_manifest(tmp_path / "own.toml").jobs.values()
    first = next(job for job in jobs if job.stage == "evolve")
    assert (first.params["format"], first.resources["rows"]) == ("sharegpt", 2)


def test_a_bad_row_of_a_manifests_data_set_is_told_before_anything_runs(tmp_path: Path):
    (tmp_path / "seeds.json").write_text(json.dumps([{"conversations": TURNS}, {"conversations": TURNS[1:]}]))
    text = MANIFEST.read_text(encoding="utf-8").replace('format = "alpaca"', 'format = "auto"')
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as error:
        plan_manifest(tmp_path / "own.toml")
    assert str(error.value) == (
        f"{tmp_path}/own.toml: datasets.mine: {tmp_path}/seeds.json[1]: 'conversations'[0]: the assistant speaks "
        "first; wanted the user, leave this turn out"
    )


def test_a_data_set_at_an_address_is_told_apart_when_it_is_here(tmp_path: Path):
    dataset = Dataset(format="auto", url="https://example.org/chats.jsonl", licence="mine")
    assert seed_format(dataset, None) == "auto"
    local = Dataset(format="auto", file="s.json", licence="mine")
    (tmp_path / "s.json").write_text('[{"instruction": "a", "system": "s"}]')
    assert (seed_format(local, tmp_path), count_rows(local, tmp_path, None)) == ("alpaca", 1)
    assert data_source(local, tmp_path)[0]["chats"] is True


@pytest.mark.parametrize("format, name", [("alpaca", "alpaca.gz"), ("sharegpt", "sharegpt.jsonl.gz")])
def test_the_copy_of_the_pairs_is_named_by_their_format(format: str, name: str, tmp_path: Path):
    record = {"instruction": "Hi.", "output": "Ho."} if format == "alpaca" else {"conversations": TURNS}
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(record).encode()))
    bench = Workbench("smoke")
    spec = Sft(learning_rate=1e-5, epochs=1, global_batch_size=1, warmup_ratio=0.0, max_length_tokens=64)
    bench.sft(path, {"base": "smollm2-29l", "seed": 1, "sft": spec}, format=format)
    (fetched,) = [job for job in bench.plan.jobs.values() if job.id == "fetch/p.jsonl.gz"]
    assert fetched.params["name"] == name
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / name).write_bytes(path.read_bytes())
    (pair,) = input_pairs({}, tmp_path / "copy", "sft").rows
    assert (pair.instruction, pair.output) == ("Hi.", "Ho.")


def test_a_benchmarks_problems_come_in_any_container(tmp_path: Path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    problems = [{"question": "1 + 1?", "answer": "#### 2"}, {"question": "2, 3?", "answer": "#### 5"}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    (tmp_path / "p.csv").write_text('question,answer\n1 + 1?,#### 2\n"2, 3?",#### 5\n')
    pq.write_table(pa.Table.from_pylist(problems), tmp_path / "p.parquet")
    read = registry.load("benchmarks", "gsm8k").read
    assert read(tmp_path / "p.csv") == read(tmp_path / "p.parquet") == read(tmp_path / "p.jsonl")


def test_a_command_takes_a_files_format_into_the_plan(tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps([{"conversations": TURNS}]))
    bench = Workbench("smoke")
    setting = {"responder": MODEL, "respond": SamplingSpec(temperature=0.0, max_tokens=8)}
    job = bench.plan.jobs[bench.respond(tmp_path / "c.json", setting, format="sharegpt", count=1)]
    assert (job.params["format"], job.resources["rows"]) == ("sharegpt", 1)
