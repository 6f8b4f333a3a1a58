"""Jobs, which name work by a hash, and artifacts, which are the results of that work."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import KitError

HEAD = "artifact.json"
MARK = "artifact.released.json"
"""Name of the file beside a head that says that the artifact's files were given back (:mod:`kit.store.releasing`)."""
FORMAT = 1
KEY = re.compile(r"[0-9a-f]{64}")
"""A job's key, and the name of its files."""
LARGEST = 1 << 63
"""Counts are below it; no disk holds so many rows or bytes."""
_LONE_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number", bool: "a truth"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One piece of work; its key is everything that can change an output byte."""

    id: str
    """Readable: ``evolve/alpaca/qwen-2-7b-instruct/round-1``; not in the key."""
    stage: str
    """Name of a file of ``kit/stages``."""
    version: str
    """The stage's VERSION, and those of the plug-ins it uses: ``evolve-1.evol_instruct-1``."""
    environment: str
    """Name of the lock it runs from: ``cpu``, ``cuda`` or ``grade``; not in the key, its hash is."""
    lock: str
    """sha256 of that lock."""
    params: dict[str, Any]
    """Parameters of the stage, JSON values."""
    inputs: dict[str, str]
    """role -> key of the job whose artifact it reads."""
    resources: dict[str, Any] = field(default_factory=dict)
    """Processes, GPUs, and the estimated cost; not in the key."""
    worker: str = ""
    """The kind of worker that runs it (:mod:`kit.workers`); not in the key; empty in the files of earlier kits."""

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
        """Return every field, and the key."""
        return {"key": self.key, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> "Job":
        """Return the job of a decoded ``jobs/<key>.json``; fields of a later kit are passed over.

        Raises:
            KitError: a field is missing or of another type, or the key that it states is not its own.
        """
        kinds = {"params": dict, "inputs": dict, "resources": dict}
        names = [name for name in cls.__dataclass_fields__ if name != "worker"]
        found = {name: fitting(value, name, kinds.get(name, str)) for name in names}
        if "worker" in value:  # earlier kits did not write it
            found["worker"] = fitting(value, "worker", str)
        for role, key in found["inputs"].items():
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise KitError(f"inputs.{role}: wanted a key, 64 hexadecimal digits")
        job = cls(**found)
        try:
            key = job.key
        except ValueError as error:  # half a character
            raise KitError(f"its key can't be computed: {error}") from error
        if value.get("key", key) != key:
            raise KitError(f"its job hashes to {key[:12]}")
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Time and rule by which an artifact gave its files back; both are empty where the disk was too full for them."""

    at: str = ""
    rule: str = ""
    """Option of the command that gave them back or left them out: ``--keep results``, ``--files weights``."""

    def to_json(self) -> dict[str, Any]:
        """Return the mark as its file has it."""
        return {"format": FORMAT, "at": self.at, "rule": self.rule}

    @classmethod
    def from_json(cls, value: Any) -> "Released":
        """Return the mark of a decoded file; a copy of the head, as on a full disk, says neither time nor rule.

        Raises:
            KitError: it is no object, or a field is of another type.
        """
        if type(value) is dict and "job" in value:
            return cls()
        return cls(at=fitting(value, "at", str, f"{MARK}."), rule=fitting(value, "rule", str, f"{MARK}."))


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
    """Record of where and how it ran; not in the key."""
    released: Released | None = None
    """Mark of an artifact whose files were given back; it is no part of the head."""

    @property
    def size_bytes(self) -> int:
        """Return the bytes of its files, whether they are there or were given back."""
        return sum(int(file["size_bytes"]) for file in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """Return the head as its file has it."""
        return {
            "format": FORMAT,
            "key": self.key,
            "job": self.job.to_json(),
            "files": self.files,
            "rows": self.rows,
            "facts": self.facts,
            "provenance": self.provenance,
        }

    @classmethod
    def from_json(cls, value: Any, folder: Path) -> "Artifact":
        """Return the artifact of a decoded head.

        Args:
            value: what the JSON file held.
            folder: where the head is; its name is the key.

        Raises:
            KitError: a field is missing or of another type, or a file's name leads out of the folder.
        """
        key = fitting(value, "key", str)
        if key != folder.name:
            raise KitError(f"key: found {key[:12]!r}, its folder is {folder.name[:12]}")
        if value.get("format", FORMAT) != FORMAT:
            raise KitError(f"format: found {value['format']!r:.40}, this kit reads {FORMAT}")
        job, files = fitting(value, "job", dict), fitting(value, "files", dict)
        if job.get("key", key) != key:
            raise KitError(f"job.key: found {job['key']!r:.100}, its folder is {key[:12]}")
        provenance = fitting(value, "provenance", dict)
        if "started_at" in provenance:
            fitting(provenance, "started_at", str, "provenance.")
        try:
            made = Job.from_json({name: part for name, part in job.items() if name != "key"})
        except KitError as error:
            raise KitError(f"job: {error}") from error
        return cls(
            key=folder.name,
            folder=folder,
            job=made,
            files={check_file_name(name): _file(name, file) for name, file in files.items()},
            rows=count(value, "rows"),
            facts=fitting(value, "facts", dict),
            provenance=provenance,
        )


def _file(name: str, file: Any) -> dict[str, Any]:
    """Return a head's entry for one file, checked."""
    where = f"files.{name}."
    if not KEY.fullmatch(fitting(file, "sha256", str, where)):
        raise KitError(f"{where}sha256: wanted 64 hexadecimal digits")
    count(file, "size_bytes", where)
    return dict(file)


def fitting(value: Any, name: str, kind: type, where: str = "") -> Any:
    """Return one field of a decoded object.

    Args:
        value: the object.
        name: the field's name.
        kind: the type it has to have, to the letter: a truth is no whole number.
        where: what stands before its name in the message.

    Raises:
        KitError: there is no object or no such field, or it is of another type.
    """
    if type(value) is not dict:
        raise KitError(f"{where.rstrip('.') or 'it'}: found {_kind_name(value)}, wanted an object")
    if name not in value:
        raise KitError(f"{where}{name}: missing; wanted {_WORDS[kind]}")
    if type(value[name]) is not kind:
        raise KitError(f"{where}{name}: found {_kind_name(value[name])}, wanted {_WORDS[kind]}")
    return value[name]


def count(value: Any, name: str, where: str = "") -> int:
    """Return a field that counts something.

    Raises:
        KitError: as :func:`fitting`, or it is below 0, or more than any disk holds.
    """
    found: int = fitting(value, name, int, where)
    if not 0 <= found < LARGEST:
        raise KitError(f"{where}{name}: wanted a count from 0 to {LARGEST:,}")
    return found


def _kind_name(value: Any) -> str:
    """Return a JSON value's kind, in words."""
    return "null" if value is None else _WORDS.get(type(value), type(value).__name__)


def check_file_name(name: str) -> str:
    """Return the name of a file inside an artifact, such as ``adapter/config.json``.

    Raises:
        KitError: it leads out of the artifact's folder, is the head's, or is no name of a file.
    """
    parts = name.split("/")
    try:
        name.encode()
    except UnicodeEncodeError:
        parts = []
    if not parts or name in (HEAD, MARK) or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise KitError(f"files: {name!r:.200} is no name of a file inside an artifact")
    return name


def check_lone_name(key: str) -> str:
    """Return a key that may stand in a path: a name without a slash or a dot.

    Raises:
        KitError: it is another thing; it is not looked for.
    """
    if not _LONE_NAME.fullmatch(key):
        raise KitError(f"{key!r:.100} is no key of a job; wanted 64 hexadecimal digits")
    return key


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no blanks, UTF-8, NaN refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def readable_json(value: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a head or a job as it is written: one field a line, UTF-8, NaN refused."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False).encode()


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
