"""Records of runs in a store, from which any shell tells what is at work, how far it is, and what waits.

runs/<id>.json      a run's jobs, who runs it and since when; written when it begins, and once more when it ends
runs/<id>.now.json  the job at work and its counts; written anew every few seconds, gone when the run ends

No result depends on them: where they can't be written the run goes on, and where they are removed the jobs, artifacts
and failures of the store still say what is done. They are read as everything in a store is: another user may have
written them.
"""

import os
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kit.errors import KitError
from kit.reading.jsonfiles import MAX_BYTES
from kit.store.contents import parse, reason
from kit.store.job import KEY, LARGEST, canonical, count, fitting
from kit.store.reading import StoredFiles

FOLDER = "runs"
NAME = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")
"""Id of a run: the time of its beginning to the microsecond, so that ids sort by time, and a random number."""
KEPT = 20
"""Number of records of ended runs that stay."""
LONGEST_TEXT = 200
"""Most characters of a phase, a host's name and the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as its record has it: jobs, process, times."""

    id: str
    host: str
    """Name of the machine on which it was started."""
    place: str
    """The machine's start and its space of process numbers, see :mod:`kit.machine.identity`."""
    pid: int
    born: str
    """Time at which its process began, as the kernel counts it."""
    batch_id: str = ""
    """Id of the batch system's job that it is part of, ``Slurm 1234``; empty outside one."""
    started_at: str
    ended_at: str = ""
    """Empty while it runs, and for one that was killed."""
    request: dict[str, Any] = field(default_factory=dict)
    """Tables, scale and manifests that were asked for; empty for one job run by its key."""
    keys: list[str] = field(default_factory=list)
    """Keys of all its jobs, done or not, each after its inputs."""

    @classmethod
    def from_json(cls, value: Any) -> "RunRecord":
        """Return the record of a decoded file.

        Raises:
            KitError: a field is missing or of another type.
        """
        texts = ("id", "host", "place", "born", "batch_id", "started_at", "ended_at")
        found: dict[str, Any] = {name: fitting(value, name, str)[:LONGEST_TEXT] for name in texts}
        for name in ("started_at", "ended_at"):
            if found[name]:
                _check_time(found[name], name)
        keys = fitting(value, "keys", list)
        if not all(isinstance(key, str) and KEY.fullmatch(key) for key in keys):
            raise KitError("keys: wanted texts of 64 hexadecimal digits")
        return cls(**found, pid=count(value, "pid"), request=fitting(value, "request", dict), keys=keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The job at work in a run, as the run wrote it last."""

    key: str
    """Empty where the run itself is at work on none: it hands its jobs to others."""
    phase: str
    """Words for what it does while nothing is counted: ``starting the engine vllm``."""
    done: int = 0
    total: int = 0
    """Rows, or a trainer's steps; 0 while nothing is counted."""
    rows_per_s: float = 0.0
    tokens_per_s: float = 0.0
    phase_s: float = 0.0
    """Seconds since its phase, or its first count, when this was written."""
    job_s: float = 0.0
    """Seconds since the job began, when this was written."""

    @classmethod
    def from_json(cls, value: Any) -> "Work":
        """Return the record of a decoded file.

        Raises:
            KitError: a field is missing or of another type.
        """
        if (key := fitting(value, "key", str)) and not KEY.fullmatch(key):
            raise KitError("key: wanted 64 hexadecimal digits, or nothing")
        numbers = {name: _number(value, name) for name in ("rows_per_s", "tokens_per_s", "phase_s", "job_s")}
        counts = {name: count(value, name) for name in ("done", "total")}
        phase = fitting(value, "phase", str)[:LONGEST_TEXT]
        return cls(key=key, phase=phase, done=counts["done"], total=counts["total"], **numbers)

    def seconds_left(self) -> float | None:
        """Return the seconds that its rows still took when this was written; None while there is no rate."""
        return (self.total - self.done) / self.rows_per_s if self.rows_per_s > 0 and self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the store knows it: its record, its job at work, and its last sign of life."""

    record: RunRecord
    work: Work | None
    begun_at: float
    """Time at which its record was written, seconds since 1970 by the clock of the store's disk."""
    seen_at: float
    """Time of its last sign of life, by the same clock."""


def new_id() -> str:
    """Return an id for a run that begins now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"


def write_run(store: StoredFiles, record: RunRecord) -> None:
    """Write the record of a run; where that fails nothing is written, and the run is not shown."""
    _write(store, f"{record.id}.json", asdict(record))


def end_run(store: StoredFiles, record: RunRecord) -> None:
    """Write that a run has ended; one that was asked for nothing but a job by its key leaves no record."""
    _remove(store, [f"{record.id}.now.json"] + [f"{record.id}.json"] * (not record.request))
    if record.request:
        write_run(store, replace(record, ended_at=datetime.now(UTC).isoformat(timespec="seconds")))


def write_work(store: StoredFiles, run_id: str, work: Work) -> None:
    """Write which job of a run is at work and how far it is."""
    _write(store, f"{run_id}.now.json", asdict(work))


def read_runs(store: StoredFiles) -> tuple[list[Run], list[str]]:
    """Return the runs whose records are there, the last one first; and a sentence for each file that is damaged."""
    found, faults = list[Run](), list[str]()
    for name in sorted(_names(store, faults), reverse=True):
        run_id = name.removesuffix(".json")
        if name != f"{run_id}.json" or not NAME.fullmatch(run_id):
            continue
        try:
            value, begun_at = _read(store, name)
            record = RunRecord.from_json(value)
            if record.id != run_id:
                raise KitError(f"id: found {record.id!r:.40}, its file is {run_id}")
        except FileNotFoundError:  # it ended just now
            continue
        except (OSError, KitError) as error:
            faults.append(f"{store.root / FOLDER / name}: no record of a run ({reason(error)}); remove it")
            continue
        work, seen_at = _work_of(store, run_id, faults)
        found.append(Run(record=record, work=work, begun_at=begun_at, seen_at=max(begun_at, seen_at)))
    return found, faults


def remove_old(store: StoredFiles, ended: Iterable[str], kept: int = KEPT) -> None:
    """Remove the records of runs that are over, except the newest.

    Args:
        store: the store that has them.
        ended: ids of runs that are over.
        kept: number of them that stay.
    """
    _remove(store, [f"{name}{ending}" for name in sorted(ended)[:-kept] for ending in (".json", ".now.json")])


def _work_of(store: StoredFiles, run_id: str, faults: list[str]) -> tuple[Work | None, float]:
    """Return the job at work of a run, and the time of its last sign of life; None and 0 where nothing is written."""
    name = f"{run_id}.now.json"
    try:
        value, seen_at = _read(store, name)
        return Work.from_json(value), seen_at
    except FileNotFoundError:
        return None, 0.0
    except (OSError, KitError) as error:
        faults.append(f"{store.root / FOLDER / name}: not the job at work of a run ({reason(error)}); remove it")
        return None, 0.0


def _names(store: StoredFiles, faults: list[str]) -> list[str]:
    """Return the names in the folder of records; none where there is no folder, or none that can be read."""
    try:
        with store.inside(FOLDER) as folder:
            return folder.names()
    except FileNotFoundError:
        pass
    except KitError as error:
        faults.append(str(error))
    except OSError as error:
        faults.append(f"{store.root / FOLDER}: {error.strerror}; the runs at work are not known")
    return []


def _read(store: StoredFiles, name: str) -> tuple[Any, float]:
    """Return what a record's file holds, and the time at which it was written or touched."""
    with store.inside(FOLDER) as folder:
        return parse(folder.read(name, MAX_BYTES), "it"), folder.stat(name).st_mtime


def _write(store: StoredFiles, name: str, value: dict[str, Any]) -> None:
    with suppress(OSError, KitError), store.inside(FOLDER) as folder:
        folder.write(name, canonical(value) + b"\n")


def _remove(store: StoredFiles, names: list[str]) -> None:
    with suppress(OSError, KitError), store.inside(FOLDER) as folder:
        for name in names:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder.descriptor)


def _check_time(text: str, name: str) -> None:
    """Refuse a text that is no time with its zone."""
    if not _is_time(text):
        raise KitError(f"{name}: found {text!r:.60}, wanted a time such as 2026-01-31T12:00:00+00:00")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _number(value: Any, name: str) -> float:
    """Return a field that is a number, not below 0."""
    found = value.get(name)
    if type(found) not in (int, float) or not 0 <= found < LARGEST:
        raise KitError(f"{name}: found {found!r:.40}, wanted a number, not below 0")
    return float(found)
