"""The fields of a head's provenance: what each must be, and what is wrong with one.

A provenance says where and how a job ran. It stands beside the rows, in no key and in no file that is hashed. Heads of
earlier kits have no ``schema`` in theirs and lack fields: they stay valid, and what they lack is not recorded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kit.store.job import KEY, LARGEST, Job

SCHEMA = 2
"""Version of these fields; the heads before them have none."""


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < LARGEST


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def _is_time(value: Any) -> bool:
    try:
        return type(value) is str and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


def _are_texts(value: Any) -> bool:
    return type(value) is dict and all(map(_is_text, value.values()))


def _is_object(value: Any) -> bool:
    return type(value) is dict


def _is_memory(value: Any) -> bool:
    if type(value) is not dict or set(value) != set(MEMORY) or value["worker_peak_since"] not in ("job", "process"):
        return False
    peaks = [value[name] for name in MEMORY if name != "worker_peak_since"]
    return all(peak is None or _is_count(peak) for peak in peaks)


def _is_request(value: Any) -> bool:
    if type(value) is not dict or not set(value) <= {"tables", "scale", "manifests"}:
        return False
    tables, scale, manifests = value.get("tables", []), value.get("scale", ""), value.get("manifests", {})
    hashes = _are_texts(manifests) and all(KEY.fullmatch(found) for found in manifests.values())
    return type(tables) is list and all(map(_is_text, tables)) and _is_text(scale) and bool(hashes)


MEMORY: Mapping[str, str] = {
    "worker_peak_bytes": "most memory that the worker had resident",
    "worker_peak_since": "``job``: since the job began; ``process``: since the worker began, as it could not be set "
    "back",
    "others_peak_bytes": "sum of the peaks of the worker's other processes that were alive at the end, each since it "
    "began: they need not have been at once, and memory that they share counts in each",
    "ended_child_peak_bytes": "the largest of the worker's processes that had ended, since the worker began",
    "gpu_peak_bytes": "most that torch had allocated on one GPU in the worker's own process",
}
"""Field of ``memory`` -> its meaning."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a provenance: the check of its value."""

    wanted: str
    """The value that is wanted, in words."""
    fits: Callable[[Any], bool]
    may_be_null: bool = False
    """Whether it may be null: nobody could tell, or there is none."""


FIELDS: Mapping[str, Field] = {
    "started_at": Field("a time", _is_time),
    "wall_s": Field("seconds", _is_number),
    "cpu_s": Field("seconds", _is_number, may_be_null=True),
    "gpus_held": Field("a count", _is_count),
    "gpu_held_s": Field("seconds", _is_number),
    "memory": Field(f"an object of {', '.join(MEMORY)}", _is_memory, may_be_null=True),
    "seed": Field("a whole number", lambda value: type(value) is int, may_be_null=True),
    "environment": Field("a text", _is_text),
    "image": Field("an image's digest", _is_text, may_be_null=True),
    "commit": Field("a commit", _is_text, may_be_null=True),
    "dirty": Field("a truth", lambda value: type(value) is bool, may_be_null=True),
    "python": Field("a version", _is_text),
    "packages": Field("an object of versions", _are_texts),
    "machine": Field("an object", _is_object),
    "request": Field("an object of tables, scale and manifests with their sha256", _is_request),
}
"""Fields that a head of :data:`SCHEMA` must have."""

LATER: Mapping[str, Field] = {
    "resumed": Field("a truth", lambda value: type(value) is bool),
}
"""Fields that were added to :data:`SCHEMA` later, and that a head may lack."""


def fault_of(name: str, value: Any) -> str:
    """Return what is wrong with a field's value, with the cure; empty if nothing is."""
    field = FIELDS.get(name) or LATER[name]
    if (value is None and field.may_be_null) or (value is not None and field.fits(value)):
        return ""
    return f"provenance.{name}: found {value!r:.60}, wanted {field.wanted}{' or null' * field.may_be_null}"


def provenance_faults(provenance: Mapping[str, Any], job: Job) -> list[str]:
    """List the fields of a provenance that are missing or wrong; none for heads of earlier kits.

    Args:
        provenance: as the head has it.
        job: the head's job, with whose seed and environment it must agree.
    """
    if "schema" not in provenance:
        return []
    if type(schema := provenance["schema"]) is not int or schema < SCHEMA:
        return [f"provenance.schema: found {schema!r:.60}, wanted {SCHEMA}, or none in a head of an earlier kit"]
    faults = []
    for name, field in FIELDS.items():
        if name not in provenance:
            faults.append(f"provenance.{name}: missing; wanted {field.wanted}{' or null' * field.may_be_null}")
        elif fault := fault_of(name, provenance[name]):
            faults.append(fault)
    faults += [fault for name in LATER if name in provenance and (fault := fault_of(name, provenance[name]))]
    for name, wanted in (("seed", job.params.get("seed")), ("environment", job.environment)):
        if not faults and provenance[name] != wanted:
            faults.append(f"provenance.{name}: found {provenance[name]!r:.60}, its job has {wanted!r:.60}")
    return faults
