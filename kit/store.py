"""Content-addressed artifacts on a disk: each is there whole or not at all.

store/
  jobs/<key>.json        what the job is: stage, version, parameters, inputs
  artifacts/<key>/       artifact.json (the head) and the files it lists; never changed once there
  tmp/<key>.<random>/    what a running job writes; renamed into artifacts/ as the last step
  locks/<key>            held (flock) while a process works on the job
  logs/<key>.log         what the job printed
  failed/<key>.json      why the last attempt failed; removed by the next success
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError

HEAD = "artifact.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work; its key is everything that can change an output byte."""

    id: str
    """Readable: ``evolve/alpaca/qwen-2-7b-instruct/round-1``; not in the key."""
    stage: str
    """A file of ``kit/stages``."""
    version: str
    """The stage's VERSION, and those of the plug-ins it uses: ``evolve-1.evol_instruct-1``."""
    environment: str
    """Name of the lock it runs from: ``cpu``, ``cuda`` or ``grade``; not in the key, its hash is."""
    lock: str
    """sha256 of that lock."""
    params: dict[str, Any]
    """What the stage is told, JSON values."""
    inputs: dict[str, str]
    """role -> key of the job whose artifact it reads."""
    resources: dict[str, Any] = field(default_factory=dict)
    """Processes, GPUs, and the estimated cost; not in the key."""

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON of stage, version, lock, parameters and inputs."""
        parts = {
            "stage": self.stage,
            "version": self.version,
            "lock": self.lock,
            "params": self.params,
            "inputs": self.inputs,
        }
        return hashlib.sha256(canonical(parts)).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Every field, and the key."""
        return {"key": self.key, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Job":
        """The job of a ``jobs/<key>.json``."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The head of a committed artifact."""

    key: str
    folder: Path
    job: Job
    files: dict[str, dict[str, Any]]
    """name -> ``{"sha256": ..., "size_bytes": ...}``."""
    rows: int
    facts: dict[str, Any]
    provenance: dict[str, Any]
    """Where and how it ran; recorded, not in the key."""


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no blanks, UTF-8, NaN refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BusyError(KitError):
    """Another process works on this job right now."""


class Store:
    """A folder of artifacts."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        """Absolute: its folders go to workers that start elsewhere, and to containers."""

    @classmethod
    def open(cls, root: Path) -> "Store":
        """A store at ``root``, made if it is not there.

        Raises:
            RequestError: the folder can't be made or written, or another version of the kit laid it out.
        """
        try:
            for name in ("artifacts", "jobs", "tmp", "locks", "logs", "failed"):
                (root / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                f"store {root}: {error.strerror}; name a folder that you may write with --store"
            ) from error
        if not os.access(root / "tmp", os.W_OK):
            raise RequestError(f"store {root}: no permission to write; name a folder that you may write with --store")
        if not (root / "format").exists():
            _replace(root / "format", f"{FORMAT}\n".encode())
        _check_format(root)
        return cls(root)

    @classmethod
    def existing(cls, root: Path) -> "Store":
        """A store that is there, to look at: nothing is made, so a folder that may only be read will do.

        Raises:
            RequestError: there is none, or another version of the kit laid it out.
        """
        if not (root / "artifacts").is_dir():
            raise RequestError(f"store {root}: no store there; name the folder that a run wrote with --store")
        _check_format(root)
        return cls(root)

    # reading

    def has(self, key: str) -> bool:
        """Whether the artifact is committed."""
        return (self.root / "artifacts" / key / HEAD).exists()

    def get(self, key: str) -> Artifact:
        """The head of a committed artifact.

        Raises:
            KitError: it is not there, or its head can't be read.
        """
        folder = self.root / "artifacts" / key
        try:
            head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            job, files = Job.from_json(head["job"]), {name: dict(file) for name, file in head["files"].items()}
            return Artifact(
                key=key,
                folder=folder,
                job=job,
                files=files,
                rows=int(head["rows"]),
                facts=head["facts"],
                provenance=head["provenance"],
            )
        except FileNotFoundError as error:
            raise KitError(f"store {self.root}: no artifact {key[:12]}; run the job that makes it") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KitError(
                f"store {self.root}: the head of {key[:12]} can't be read: {type(error).__name__}: {error}; remove "
                f"{folder} and run again"
            ) from error

    def committed(self) -> list[str]:
        """Every committed artifact's key, sorted; no head is read."""
        return sorted(folder.name for folder in (self.root / "artifacts").iterdir() if (folder / HEAD).exists())

    def artifacts(self) -> Iterator[Artifact]:
        """Every committed artifact, by key; reads heads only.

        Raises:
            KitError: a head can't be read.
        """
        yield from map(self.get, self.committed())

    def find(self, prefix: str) -> str:
        """The one key that starts with ``prefix``.

        Raises:
            RequestError: none does, or more than one.
        """
        keys = sorted(path.stem for path in (self.root / "jobs").glob("*.json") if path.stem.startswith(prefix))
        if len(keys) == 1:
            return keys[0]
        if not keys:
            raise RequestError(
                f"store {self.root}: no job {prefix!r}; `kit store list` prints the keys of what is there, "
                "`kit plan TABLE --write` puts the jobs of a table there"
            )
        raise RequestError(f"store {self.root}: {prefix!r} is the start of {len(keys)} keys; give more of it")

    def check(self, key: str) -> list[str]:
        """What is wrong with an artifact: its head, or files missing, added or changed; empty if nothing."""
        try:
            artifact = self.get(key)
        except KitError as error:
            return [str(error)]
        faults = []
        present = {str(p.relative_to(artifact.folder)) for p in artifact.folder.rglob("*") if p.is_file()} - {HEAD}
        for name in sorted(present | set(artifact.files)):
            if name not in present:
                faults.append(f"{name}: missing")
            elif name not in artifact.files:
                faults.append(f"{name}: not in the head")
            elif sha256_file(artifact.folder / name) != artifact.files[name]["sha256"]:
                faults.append(f"{name}: changed (sha256 differs from the head's)")
        if artifact.job.key != key:
            faults.append(f"{HEAD}: its job hashes to {artifact.job.key[:12]}")
        return faults

    def job(self, key: str) -> Job:
        """The job that was planned under this key."""
        path = self.root / "jobs" / f"{key}.json"
        try:
            return Job.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise RequestError(f"store {self.root}: no job {key[:12]}; a run writes down the jobs it plans") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise KitError(
                f"{path}: not a job ({type(error).__name__}: {error}); remove it and plan again: kit plan TABLE --write"
            ) from error

    # writing

    def plan(self, job: Job) -> None:
        """Write down what a key stands for."""
        path = self.root / "jobs" / f"{job.key}.json"
        if not path.exists():
            _replace(path, json.dumps(job.to_json(), ensure_ascii=False, indent=1, sort_keys=True).encode())

    @contextmanager
    def lock(self, key: str, *, wait: bool = False) -> Iterator[None]:
        """Hold a job's lock; the kernel gives it back when the process ends, however it ends.

        Raises:
            BusyError: another process holds it and ``wait`` is off.
        """
        with (self.root / "locks" / key).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise BusyError(f"job {key[:12]} is being worked on by another run") from error
            yield

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """An empty folder for the job's output, gone afterwards unless it was committed; hold the lock."""
        self.clear(key)
        folder = Path(tempfile.mkdtemp(prefix=f"{key}.", dir=self.root / "tmp"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self, job: Job, folder: Path, *, rows: int, facts: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> None:
        """Hash the files, write the head, and rename the folder into place: the artifact is there whole, or not at all.

        Raises:
            KitError: the disk is full, or a permission is gone; nothing is left behind.
        """
        try:
            found = sorted(folder.rglob("*"))
            if linked := [p for p in found if p.is_symlink()]:
                raise KitError(f"{job.id}: {linked[0].name} is a link; an artifact holds plain files")
            folders, paths = [p for p in found if p.is_dir()], [p for p in found if not p.is_dir()]
            if odd := [p for p in paths if not p.is_file()]:
                raise KitError(f"{job.id}: {odd[0].name} is no plain file; an artifact holds nothing else")
            if folder / HEAD in paths:
                raise KitError(f"{job.id}: the name {HEAD} is the head's; give the file another name")
            files = {
                str(p.relative_to(folder)): {"sha256": sha256_file(p), "size_bytes": p.stat().st_size} for p in paths
            }
            head = {
                "format": FORMAT,
                "key": job.key,
                "job": job.to_json(),
                "files": files,
                "rows": rows,
                "facts": dict(facts),
                "provenance": dict(provenance),
            }
            for path in paths:
                path.chmod(0o644)  # whatever the umask: a container's user reads it too
                _sync(path)
            for path in folders:
                path.chmod(0o755)
            _replace(folder / HEAD, json.dumps(head, ensure_ascii=False, indent=1, sort_keys=True).encode())
            folder.chmod(0o755)
            folder.rename(self.root / "artifacts" / job.key)
            _sync(self.root / "artifacts")
        except OSError as error:
            raise KitError(
                f"{job.id}: could not be stored in {self.root}: {error.strerror}; nothing was kept"
            ) from error
        (self.root / "failed" / f"{job.key}.json").unlink(missing_ok=True)

    def record_failure(self, job: Job, reason: str) -> None:
        """Keep why an attempt failed; a disk too full even for that is no further failure."""
        try:
            path = self.root / "failed" / f"{job.key}.json"
            text = reason.encode("utf-8", "backslashreplace").decode()  # a worker's words may hold half a character
            _replace(path, canonical({"id": job.id, "reason": text}) + b"\n")
        except OSError:
            return

    def failure(self, key: str) -> str | None:
        """Why the last attempt at a job failed."""
        path = self.root / "failed" / f"{key}.json"
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"]) if path.exists() else None

    def log_path(self, key: str) -> Path:
        """Where the job's log is."""
        return self.root / "logs" / f"{key}.log"

    def clear(self, key: str) -> None:
        """Remove what a dead attempt left half-written; hold the lock."""
        for folder in (self.root / "tmp").glob(f"{key}.*"):
            shutil.rmtree(folder, ignore_errors=True)

    def half_written(self, *, remove: bool) -> dict[str, int]:
        """What dead runs left half-written, key -> bytes; what a run is at work on is none of it."""
        found: dict[str, int] = {}
        for key in sorted({folder.name.partition(".")[0] for folder in (self.root / "tmp").iterdir()}):
            with suppress(BusyError), self.lock(key):
                files = (path for folder in (self.root / "tmp").glob(f"{key}.*") for path in folder.rglob("*"))
                found[key] = sum(path.lstat().st_size for path in files if not path.is_dir())
                if remove:
                    self.clear(key)
        return found

    def remove(self, key: str) -> int:
        """Delete an artifact; returns the bytes given back."""
        artifact = self.get(key)
        size = sum(int(file["size_bytes"]) for file in artifact.files.values())
        doomed = self.root / "tmp" / f"{key}.removed"
        artifact.folder.rename(doomed)
        shutil.rmtree(doomed)
        return size


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_format(root: Path) -> None:
    """A store is laid out as this kit writes it; one without a mark was never written to.

    Raises:
        RequestError: it is of another version.
    """
    mark = root / "format"
    found = mark.read_text(encoding="utf-8").strip() if mark.exists() else str(FORMAT)
    if found != str(FORMAT):
        raise RequestError(f"store {root}: laid out as format {found}, this kit reads {FORMAT}; name another --store")


def _replace(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
