"""Damaged and planted files of a store, against every command that reads one.

The store has two artifacts of the smoke scale's Table 2, a job that is planned and not done, a failure, locks and logs.
A case changes one place and runs one command, and says whether that command has to name it. Whatever happens, nothing
outside the store is written, and what another run is at work on stays.
"""

import fcntl
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from kit.benchmarks._results import results
from kit.errors import KitError
from kit.plan.planning import plan_tables
from kit.records import Grade, write_rows
from kit.registry import load
from kit.run import processes
from kit.store import Job, Store
from tests.fuzz import changes, outcomes
from tests.fuzz.outcomes import Ended, FaultError

NAME = "stores"
CPU_S = 20.0
ASLEEP_S = 20.0
IN_A_ROW = 60
READS_HEADS = ("store list", "store list --json", "store show {done} --rows 2", "store check", "store check {done}")
# `plan` looks whether heads are there, and into none.
READS_TABLES = ("report 2 --scale smoke", "plan 2 --scale smoke", "verify 2 --scale smoke")
TIDIES = ("store gc --dry-run", "store gc", "store gc --keep 2 --scale smoke --dry-run")
FREE = {("job", "id"), ("job", "resources"), ("facts",), ("provenance",)}
"""Parts of a head that may say anything: no key or hash covers them; what of them is shown must be shown safely."""
PLACES = (
    *(["head"] * 8 + ["job"] * 6 + ["failed"] * 2 + ["format"] * 2 + ["rows"] * 2),
    *(["lock"] * 2 + ["scratch"] * 3 + ["log", "table"]),
)
"""Places that are changed: heads and jobs most often."""
SCRATCH = (
    "*.x",
    ".nfs0001",
    "notes",
    "{live}",
    "{live}.x",
    "a" * 64,
    "{done}.",
    "..x",
    "[ab].y",
    "{live}*.z",
    "\x1b[2J",
    "%s",
    "-rf",
)
"""Names of folders and files that somebody left in the store's folder of half-written work."""


@functools.cache
def base() -> tuple[Path, str, str, str]:
    """Make the store that is copied for each case; the keys of what is done, planned, and being worked on."""
    root = changes.fresh(Path.cwd().parent / "base-store")
    plan = plan_tables(["2"], "smoke")
    grades = [job for job in plan.jobs.values() if job.stage == "grade"][:4]
    store = Store.open(root)
    for job in grades:
        store.plan(job)
    for job in grades[:2]:
        with store.lock(job.key), store.scratch(job.key) as out:
            metrics = load("benchmarks", job.params["benchmark"]).METRICS
            found = [Grade(id=str(n), scores={name: [n % 2, 1] for name in metrics}) for n in range(4)]
            write_rows(out / "grades.jsonl", found)
            write_rows(out / "results.jsonl", results(found, metrics))
            provenance = {"started_at": "2026-01-01T00:00:00+00:00", "wall_s": 1.5, "commit": "0" * 40, "dirty": False}
            store.commit(job, out, rows=4, facts={"sandbox": "seccomp", "cpu_s": 0.5}, provenance=provenance)
    store.record_failure(grades[2], "it failed for a reason")
    (root / "logs" / f"{grades[2].key}.log").write_text("a line\n", encoding="utf-8")
    return root, grades[0].key, grades[2].key, grades[3].key


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one case, drawn at random."""
    place = rng.choice(PLACES)
    case: dict[str, Any] = {"place": place}
    root, done, planned, _ = base()
    if place in ("head", "job", "failed"):
        case["change"] = changes.any_change(rng, json.loads(_path(place, root, done, planned).read_bytes()))
        reads = {
            "head": (*READS_HEADS, *READS_HEADS, *READS_TABLES, *TIDIES[2:]),
            "job": ("job {planned}", "job {done}"),
        }
        case["command"] = rng.choice(reads.get(place, ("failure",)))
        if place == "job" and rng.random() < 0.3:
            case["command"] = "store.job"
        elif place == "head" and rng.random() < 0.3:
            case["command"] = "store.get"
    elif place == "format":
        value = rng.choice(("2", "", "1 1", "one", "-1", "1" * 5_000, "\x1b[2J", "\x00", "1.0", "{}", "01"))
        byte = changes.byte_change(rng) if rng.random() < 0.3 else ["become", rng.choice(changes.KINDS)]
        case["change"] = ["write", value] if rng.random() < 0.5 else byte
        case["command"] = rng.choice((*READS_HEADS, *READS_TABLES, *TIDIES))
    elif place in ("rows", "table"):
        case["change"] = rng.choice((changes.byte_change(rng), ["become", rng.choice(changes.KINDS)]))
        case["command"] = rng.choice(READS_TABLES if place == "table" else READS_HEADS[2:])
    elif place == "log":
        case["change"] = ["become", rng.choice(changes.KINDS)]
        case["command"] = rng.choice((*READS_HEADS, *TIDIES))
    else:
        kinds = ("fifo", "link-victim", "link-nowhere", "folder", "socket", "file", "link-victims-folder")
        case["kind"] = rng.choice(kinds[:5] if place == "lock" else kinds)
        case["name"] = "{dead}" if place == "lock" else rng.choice(SCRATCH)
        case["command"] = rng.choice(TIDIES)
    return case


def group(case: dict[str, Any]) -> str:
    """Return what a case is counted under."""
    return f"stores: {case['place']}"


def _path(place: str, root: Path, done: str, planned: str) -> Path:
    """Return the path of the file that is changed."""
    return {
        "head": root / "artifacts" / done / "artifact.json",
        "job": root / "jobs" / f"{planned}.json",
        "failed": root / "failed" / f"{planned}.json",
        "format": root / "format",
        "rows": root / "artifacts" / done / "grades.jsonl",
        "table": root / "artifacts" / done / "results.jsonl",
        "log": root / "logs" / f"{planned}.log",
    }[place]


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Damage the copy, run the command, and look at what it said and did.

    Raises:
        FaultError: anything but success or a sentence; what was refused by nobody; what was written outside.
    """
    original, done, planned, live = base()
    root, outside = folder / "store", changes.fresh(folder / "outside")
    shutil.copytree(original, root, symlinks=True)
    (outside / "victim").write_text("precious\n", encoding="utf-8")
    (outside / "folder").mkdir()
    (outside / "folder" / "victim").write_text("precious too\n", encoding="utf-8")
    keys = {"done": done, "planned": planned, "live": live, "dead": planned}
    path = _path(case["place"], root, done, planned) if "change" in case else root
    before = path.read_bytes() if "change" in case else b""
    _damage(case, root, path, outside, keys)
    untouched = changes.tree(outside)
    scratch = root / "tmp" / f"{live}.at-work"
    scratch.mkdir()
    (scratch / "half").write_text("half", encoding="utf-8")
    # Names that start with the key of a job that nobody is at work on are a dead run's; the others are not the store's.
    odd = {name for name in _names(root / "tmp") if not name.startswith((f"{planned}.", f"{done}."))}
    with _held(root / "locks" / live), _no_workers():
        ended = _call(case, root, keys)
    if changes.tree(outside) != untouched:
        raise FaultError("wrote outside", f"{case['command']}: {changes.tree(outside)}")
    if lost := odd - _names(root / "tmp"):
        raise FaultError("removed what is not its own", f"{sorted(lost)}")
    refused = ended.refused or "damaged" in ended.output
    if not refused and _must_tell(case, path, before, done, planned):
        raise FaultError("silent acceptance", f"{case['command']}: {ended.output[:300] or 'nothing was said'}")
    return {"end": outcomes.REFUSED if refused else outcomes.ACCEPTED}


def _damage(case: dict[str, Any], root: Path, path: Path, outside: Path, keys: dict[str, str]) -> None:
    """Make the case's change in the store."""
    if "change" in case:
        if case["change"][0] == "write":
            path.write_text(case["change"][1], encoding="utf-8")
        else:
            changes.change_file(path, case["change"])
        return
    (root / "tmp" / f"{keys['dead']}.left").mkdir()
    name = case["name"].format_map(keys) if "{" in case["name"] else case["name"]
    planted = (root / "locks" / keys["dead"]) if case["place"] == "lock" else root / "tmp" / name
    planted.unlink(missing_ok=True)
    planted.write_text("x", encoding="utf-8")
    if case["kind"].startswith("link-victim"):
        planted.unlink()
        planted.symlink_to(outside / ("victim" if case["kind"] == "link-victim" else "folder"))
    elif case["kind"] != "file":
        changes.become(planted, case["kind"])


def _call(case: dict[str, Any], root: Path, keys: dict[str, str]) -> Ended:
    """Run the case's command, or the store's own function."""
    functions: dict[str, Callable[[], Any]] = {
        "store.get": lambda: Store.existing(root).get(keys["done"]),
        "store.job": lambda: Store.existing(root).job(keys["planned"]),
        "failure": lambda: Store.existing(root).failure(keys["planned"]),
    }
    if function := functions.get(case["command"]):
        ended = outcomes.call(function)
        if case["command"] == "failure" and not isinstance(ended.value, str | None):
            raise FaultError("wrong type", f"failure gives {type(ended.value).__name__}")
        return ended
    return outcomes.command([*case["command"].format_map(keys).split(), "--store", str(root)])


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a job's lock as another run does."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_workers() -> Iterator[None]:
    """Let no job be started: one that comes that far was not refused."""
    kept = processes.command

    def started(*_: Any, **__: Any) -> Any:
        raise KitError("the fuzz test lets no worker start, and this job came that far: it was not refused")

    processes.command = started  # type: ignore[assignment]
    try:
        yield
    finally:
        processes.command = kept


def _must_tell(case: dict[str, Any], path: Path, before: bytes, done: str, planned: str) -> bool:
    """Whether the command has to name the damage: it reads the place, and the place is not what a store has there."""
    command, place = case["command"], case["place"]
    if place == "lock":
        return case["kind"] not in ("file", "link-nowhere")
    if place == "failed":
        return not _sound_failure(path)
    if place == "format":
        return os.path.lexists(path) and (_plain_bytes(path) or b"").strip() != b"1"
    if place in ("log", "scratch") or command in TIDIES or command == "job {done}" or command.startswith("plan "):
        return False
    checks = command.startswith("store check")
    if place in ("rows", "table", "job"):
        return not sound_job(_value(path), planned) if place == "job" else checks and _plain_bytes(path) != before
    gone = not os.path.lexists(path)  # without a head nothing is committed: whoever asks for it by its key is told
    return ("{done}" in command or command == "store.get") if gone else _bad_head(path, before, done, checks=checks)


def _bad_head(path: Path, before: bytes, done: str, *, checks: bool) -> bool:
    """Return whether a head is none, or lists other files, which whoever compares them must see."""
    return not sound_head(_value(path), done) or (checks and not _same_files(path, before))


def _names(folder: Path) -> set[str]:
    """Return the names of a folder's entries."""
    return {path.name for path in folder.iterdir()}


def _plain_bytes(path: Path) -> bytes | None:
    """The bytes of a plain file; None for anything else in its place."""
    return path.read_bytes() if path.is_file() and not path.is_symlink() else None


def _value(path: Path) -> Any:
    """The JSON of a plain file; None where there is none that everybody reads alike."""
    data = _plain_bytes(path)
    try:
        text = (data or b"").decode("utf-8")
        return json.loads(text, parse_constant=lambda _: float("x"), parse_float=lambda t: _finite(float(t)))
    except (ValueError, RecursionError):
        return None


def _finite(value: float) -> float:
    if value in (float("inf"), float("-inf")):
        raise ValueError("infinite")
    return value


def _sound_failure(path: Path) -> bool:
    value = _value(path)
    gone = not os.path.lexists(path)
    return gone or (isinstance(value, dict) and isinstance(value.get("reason"), str))


def sound_job(value: Any, key: str) -> bool:
    """Return whether this is the job of that key, every field of its type."""
    if not isinstance(value, dict):
        return False
    texts = ("id", "stage", "version", "environment", "lock")
    if not all(isinstance(value.get(name), str) for name in texts):
        return False
    if not all(isinstance(value.get(name), dict) for name in ("params", "inputs", "resources")):
        return False
    if not all(isinstance(one, str) for one in value["inputs"].values()):
        return False
    fields = {name: value[name] for name in (*texts, "params", "inputs", "resources")}
    try:
        return Job(**fields).key == key and value.get("key", key) == key
    except (ValueError, UnicodeEncodeError, RecursionError):
        return False


def sound_head(value: Any, key: str) -> bool:
    """Return whether this is a head that a store of this layout has for the key."""
    if not isinstance(value, dict) or not isinstance(job := value.get("job"), dict):
        return False
    if not sound_job({name: one for name, one in job.items() if name != "key"}, key):  # its key is written twice
        return False
    files, rows = value.get("files"), value.get("rows")
    sound = isinstance(files, dict) and all(map(_sound_file, files.items()))
    sound = sound and type(rows) is int and rows >= 0 and value.get("key", key) == key and value.get("format", 1) == 1
    return sound and all(isinstance(value.get(name), dict) for name in ("facts", "provenance"))


def _sound_file(item: tuple[str, Any]) -> bool:
    name, file = item
    inside = name and not name.startswith("/") and ".." not in Path(name).parts and "\x00" not in name
    if not inside or not isinstance(file, dict):
        return False
    sha256, size = file.get("sha256"), file.get("size_bytes")
    digits = isinstance(sha256, str) and len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    return digits and type(size) is int and size >= 0


def _same_files(path: Path, before: bytes) -> bool:
    """Return whether the head lists the files that it listed."""
    first, now = json.loads(before)["files"], _value(path)["files"]
    return {name: file["sha256"] for name, file in first.items()} == {
        name: file["sha256"] for name, file in now.items()
    }
