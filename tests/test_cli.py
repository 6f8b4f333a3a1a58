"""The command line: what each command prints, and the exit codes that scripts go by."""

import errno
import io
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.cli import listing, outcomes, placing
from kit.errors import KitError
from kit.plan.planning import Machine, plan_tables
from kit.store import Job, Store
from tests.conftest import Kit

COMMANDS = [
    "claims",
    "reproduce",
    "run",
    "plan",
    "report",
    "fetch",
    "verify",
    "evolve",
    "respond",
    "sft",
    "answer",
    "grade",
    "job",
    "doctor",
    "new",
    "schema",
    "store",
]


def test_help_names_every_command(kit: Kit):
    code, out, _ = kit("--help")
    assert code == 0
    assert {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()} >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, kit: Kit):
    code, out, _ = kit(command, "--help")
    assert (code, out.startswith("Usage: "), f" {command} [OPTIONS]" in out) == (0, True, True)


def test_version(kit: Kit):
    from kit import __version__

    assert kit("--version") == (0, f"kit {__version__}\n", "")


USAGE = {
    "no such command": (("reprodue",), "No such command 'reprodue'"),
    "no such option": (("plan", "2", "--sclae", "smoke"), "No such option"),
    "nothing to plan": (("plan",), "Missing argument"),
}


@pytest.mark.parametrize("words, part", USAGE.values(), ids=list(USAGE))
def test_an_invalid_command_line_ends_with_exit_code_2(words: tuple[str, ...], part: str, kit: Kit):
    code, _, err = kit(*words)
    assert (code, part in err) == (2, True)


def test_plan_is_one_json_document(kit: Kit, tmp_path: Path):
    code, out, err = kit("plan", "2", "--scale", "paper", "--json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["scale"]) == (0, "", 1, "paper")
    counts = Counter(job["stage"] for job in document["jobs"])
    assert (counts["evolve"], counts["respond"], counts["sft"]) == (6, 6, 36)
    assert {name: document["totals"][name] for name in counts} == counts
    assert document["totals"]["gpu_hours"] > 100
    assert "memory per device" in document["formula"]
    assert "Args:" not in document["formula"]
    assert "tokens_per_row: mean length" not in document["formula"]
    fields = {"id", "key", "stage", "version", "environment", "lock", "params", "inputs", "resources", "worker"}
    assert all(set(job) == fields | {"cached", "released"} and not job["cached"] for job in document["jobs"])
    sft = next(job for job in document["jobs"] if job["stage"] == "sft")
    assert {"gpu_hours", "disk_bytes", "memory_bytes_per_device"} <= set(sft["resources"])
    assert list(tmp_path.iterdir()) == []  # a plan leaves nothing behind


def test_plan_and_dry_run_show_one_line_a_job(kit: Kit):
    for words in (("plan", "2"), ("reproduce", "2", "--dry-run")):
        code, out, _ = kit(*words, "--scale", "smoke")
        jobs = plan_tables(["2"], "smoke").jobs.values()
        lines = [line for line in out.splitlines() if line.startswith("to do")]
        assert (code, [line.split()[3] for line in lines]) == (0, [job.id for job in jobs])
        assert f"{len(jobs)} jobs: " in out
        # "about 0.0 GPU-hours", and no word of the rows that are left out
        assert re.search(r"; about \d+\.\d min, \d+\.\d GB of disk at the peak$", out.rstrip())
        assert "\nnote: table-2: no player at scale smoke for mistral-7b-v0.3" in f"\n{out}"


def test_a_manifest_names_its_scale_itself(kit: Kit):
    # "scale smoke: no GPU here; --scale names another", which is refused
    code, out, _ = kit("plan", str(Path(__file__).parent / "data" / "tiny.toml"))
    assert (code, "no GPU here" in out, out.startswith("to do")) == (0, False, True)


def test_plan_names_the_scale_that_auto_took(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert kit("plan", "2")[1].startswith("scale smoke: no GPU here; --scale (make: SCALE=) names another\n")


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kit.plan.planning.this_machine", lambda: Machine(gpus=8, gpu_memory_gib=80, memory_gib=512))


@pytest.mark.usefixtures("eight_gpus")
def test_more_than_a_gpu_hour_needs_confirmation(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    from kit.run import processes

    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**15}))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, _, err = kit("reproduce", "2", "--scale", "paper")
    assert code == 2
    assert err.startswith("error: this needs about ")
    assert err.endswith(" GPU-hours at scale paper; say --yes (make: YES=1) to begin\n")


def test_gpus_are_checked_before_anything_is_fetched(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    from kit.run import processes

    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr("kit.plan.planning.this_machine", lambda: Machine(gpus=0, gpu_memory_gib=0, memory_gib=24))
    code, _, err = kit("reproduce", "2", "--scale", "one-gpu", "--yes")
    assert code == 2
    assert err.startswith("error: scale one-gpu wants 1 GPU of 24 GB, this machine has none that nvidia-smi names; ")


@pytest.mark.usefixtures("eight_gpus")
def test_too_little_disk_is_reported_before_the_run(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**9}))
    code, _, err = kit("reproduce", "2", "--scale", "paper", "--yes")
    assert code == 2
    assert "GB of disk, 1.0 GB are free; make room, or name another --store" in err


def test_a_damaged_file_of_the_mirror_fails_its_job(kit: Kit, tmp_path: Path):
    (tmp_path / "mirror" / "gsm8k").mkdir(parents=True)
    (tmp_path / "mirror" / "gsm8k" / "test.jsonl").write_text("damaged")
    (tmp_path / "c.jsonl").write_text('{"id": 0, "output": "1"}\n')
    code, _, err = kit("grade", "gsm8k", "--completions", "c.jsonl", "--mirror", "mirror")
    assert code == 1
    assert err.count("the file is damaged") == err.count("log of fetch/gsm8k-test: ") == 1  # the reason stood twice
    pinned = "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"
    assert f"the manifest pins {pinned}; the file is damaged or is not the pinned revision" in err
    assert list(Store(tmp_path / "store").artifacts()) == []


def test_a_sha256_that_is_not_pinned_is_printed_after_the_fetch(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    known = {"sha256": "a" * 64, "sha256_was_pinned": True}
    noted = {"sha256": "b" * 64, "sha256_was_pinned": False, "git_blob": "c" * 40}
    keys = []
    for name, facts in (("known", known), ("noted\x1b[5m", noted), ("model", {"from": "a/b"})):
        made = Job(
            id=f"fetch/{name}", stage="fetch", version="1", environment="grade", lock="", params={"n": name}, inputs={}
        )
        keys.append(made.key)
        with store.scratch(made.key) as out:
            store.commit(made, out, rows=1, facts=facts, provenance={})
    out = io.StringIO()
    listing.print_unpinned_hashes(Console(file=out, width=200), store, keys)
    assert out.getvalue() == (f"note: noted\\x1b[5m: sha256 is {'b' * 64}; `kit pin` writes it into its manifest\n")


def test_files_without_a_pin_and_files_pinned_by_a_blob_are_counted_apart(kit: Kit):
    code, out, _ = kit("doctor", "--pins")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 6)
    assert lines[-1].partition(" of ")[0] == "3"
    assert lines[-1].endswith(" are not pinned, 2 by a git blob id alone; a networked machine finds them: kit pin")


def test_commands_on_own_files_count_texts_that_were_cut(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # "2 instructions after 2 round(s)": that 7 of them end in the middle of a sentence stood in the store alone
    store = Store.open(tmp_path / "store")

    def made(bench: Any, keys: list[str], *_: object) -> list[Any]:
        for cut, key in enumerate(keys):
            with store.scratch(key) as out:
                (out / "instructions.jsonl").write_text('{"id":"s/0","instruction":"Go on"}\n')
                store.commit(bench.plan.jobs[key], out, rows=1, facts={"cut_at_limit": cut}, provenance={})
        return [store.get(key) for key in keys]

    monkeypatch.setattr("kit.cli.files.run_bench", made)
    (tmp_path / "s.json").write_text('[{"instruction": "Go"}]')
    words = ("evolve", "--seeds", "s.json", "--evolver", "smollm2-135m-instruct", "--scale", "smoke", "--out", "o.json")
    assert kit(*words, "--rounds", "2") == (
        0,
        "1 instructions after 2 rounds, cut at 512 tokens (--max-tokens): 0 in round 1, 1 in round 2: o.json\n",
        "",
    )
    facts = {"examples": 9, "steps": 3, "loss_first": 2.5, "loss_last": 0.25, "truncated": 2}
    assert outcomes.trained(facts | {"dropped": {"no room": 1, "empty": 0}, "empty_responses": 0}, 2048) == (
        "tuned on 9 pairs in 3 steps, loss 2.500 to 0.250, 2 cut at 2,048 tokens (--max-length), 1 left out: no room"
    )


@dataclass
class WrittenJob:
    """A job with nothing but parameters."""

    params: dict[str, Any]


@dataclass
class Written:
    """An artifact with nothing but facts and its job."""

    facts: dict[str, Any]
    job: WrittenJob


PLAIN = {"with_system": 0, "with_history": 0, "unread_fields": {}, "half_characters": 0, "byte_order_marks": 0}
LAST_LINES: dict[str, tuple[list[dict[str, Any]], int, int | None, str]] = {
    "nothing to say": ([PLAIN | {"too_long": 0, "empty": 0}], 3, None, ""),
    "an artifact of before": ([{}], 3, 3, ""),
    "all that was read": (
        [PLAIN | {"with_system": 1200, "with_history": 2, "unread_fields": {"source": 3, "text": 1}}],
        3,
        None,
        ", 1,200 with a system prompt, 2 with a history, not read: 'source' of 3, 'text' of 1",
    ),
    "many fields": (
        [{"unread_fields": dict.fromkeys("abcdefgh", 2)}],
        3,
        None,
        ", not read: 'a' of 2, 'b' of 2, 'c' of 2, 'd' of 2, 'e' of 2, 'f' of 2, 2 more fields",
    ),
    "mended in every round, read in the first": (
        [PLAIN | {"half_characters": 2, "byte_order_marks": 1, "with_system": 1}, PLAIN | {"half_characters": 5}],
        3,
        None,
        ", 1 with a system prompt, half characters replaced by U+FFFD: 7, byte-order marks dropped: 1",
    ),
    "fewer than asked for": ([PLAIN], 3, 10, ", of 10 asked for (--rows)"),
    "of the last round": (
        [{"too_long": 9, "broken_characters": 9}, {"too_long": 1, "broken_characters": 2}],
        3,
        3,
        ", 1 too long to be asked, 2 with characters that the model wrote in part (U+FFFD)",
    ),
    "of answers": (
        [{"empty": 1, "outputs_replaced": 2}],
        3,
        None,
        ", 1 with no response, 2 had an output, which is replaced",
    ),
}


@pytest.mark.parametrize("facts, rows, asked, line", LAST_LINES.values(), ids=list(LAST_LINES))
def test_the_last_line_counts_the_rows(facts: list[dict[str, Any]], rows: int, asked: int | None, line: str):
    artifacts = [Written(one, WrittenJob({"round": round})) for round, one in enumerate(facts, start=1)]
    assert outcomes.written(artifacts, rows, asked) == line  # type: ignore[arg-type]


def test_the_last_line_sums_the_steps_of_the_last_round():
    artifacts = [
        Written({"too_long": too_long, "dropped": dropped}, WrittenJob({"round": round, "step": step}))
        for round, step, too_long, dropped in (
            (1, "write", 9, {"no code in it": 1}),
            (1, "check", 0, {}),
            (2, "write", 1, {"no code in it": 3}),
            (2, "check", 2, {"not kept": 5}),
        )
    ]
    line = outcomes.written(artifacts, 3, None)  # type: ignore[arg-type]
    assert line == ", 3 too long to be asked, 4 left out: no code in it, 5 left out: not kept"


def test_a_full_disk_while_out_is_written(tmp_path: Path):
    # "the same command goes on from there", and the name of a hidden file
    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.raises(KitError) as error:
        placing.place(tmp_path / "o.json", full)
    assert str(error.value) == f"--out {tmp_path}/o.json: No space left on device; nothing was written there"
    assert list(tmp_path.iterdir()) == []
