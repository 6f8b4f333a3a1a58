"""The head of an artifact in words: its job, its files, what its stage told, and where and how it ran."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kit.store import Artifact
from kit.store.job import LARGEST

NOT_RECORDED = "not recorded"
"""Words for a field that an artifact of an earlier kit does not have, or that nobody could tell."""
RESUMED = "of its last attempt, which went on from what an earlier one had kept"
"""Words for the times of a job that was stopped and went on."""
WIDTH = 14
"""Characters of a field's name, so that the values stand below each other."""


def head_lines(artifact: Artifact) -> Iterator[str]:
    """Yield the lines that show a head; all of it is text that others may have written, so it is to be made plain."""
    job = artifact.job
    yield job.id
    yield _line("key", artifact.key)
    yield _line("stage", f"{job.version}, rows {artifact.rows:,}")
    if artifact.released:
        yield _line("files", _released(artifact))
    yield from _listed("parameters", {name: _json(value) for name, value in sorted(job.params.items())})
    yield from _listed("inputs", job.inputs)
    files = {name: f"{one['size_bytes']:,} bytes, sha256 {one['sha256']}" for name, one in artifact.files.items()}
    yield from _listed("former files" if artifact.released else "files", files)
    yield from _listed("facts", {name: _json(value) for name, value in sorted(artifact.facts.items())})
    yield "provenance"
    for name, text in provenance_texts(artifact.provenance).items():
        yield _line(f"  {name}", text)


def provenance_texts(found: Mapping[str, Any]) -> dict[str, str]:
    """Return each field of a provenance in words; one that is not there is :data:`NOT_RECORDED`."""
    return {
        "code": _code(found),
        "asked for": _request(found.get("request")),
        "seed": _seed(found),
        "started": _text(found.get("started_at")),
        "wall time": _seconds(found.get("wall_s"), RESUMED * (found.get("resumed") is True)),
        "CPU time": _seconds(found.get("cpu_s"), "user and system, of the worker and its children"),
        "GPU time": _gpu_time(found),
        "peak memory": _memory(found.get("memory")),
        "machine": _machine(found.get("machine")),
        "image": _image(found),
        "environment": f"{_text(found.get('environment'))}, Python {_text(found.get('python'))}",
        "packages": _pairs(found.get("packages"), " "),
    }


def _released(artifact: Artifact) -> str:
    """Return when and by which rule an artifact gave its files back, and how they come again."""
    assert artifact.released is not None
    at, rule = artifact.released.at, artifact.released.rule
    how = f"given back{f' at {at}' * bool(at)}{f' by {rule}' * bool(rule)}"
    size = f"{len(artifact.files)} files of {artifact.size_bytes:,} bytes"
    return f"{how}: {size}; a run whose jobs need them makes them again, as does `kit job {artifact.key[:10]}`"


def _line(name: str, text: str) -> str:
    return f"{name:{WIDTH}} {text}"


def _listed(name: str, values: Mapping[str, str]) -> Iterator[str]:
    """Yield a heading and a line for each value; one line where there is none."""
    yield name if values else _line(name, "none")
    for inner, text in values.items():
        yield _line(f"  {inner}", text)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text(value: Any) -> str:
    return NOT_RECORDED if value is None else value if isinstance(value, str) else _json(value)


def _number(value: Any) -> float | None:
    """Return a value that is a number, and below what any disk or clock counts; None for others."""
    return value if type(value) in (int, float) and 0 <= value < LARGEST else None


def _seconds(value: Any, about: str = "") -> str:
    seconds = _number(value)
    return NOT_RECORDED if seconds is None else f"{seconds:,.2f} s{f' ({about})' * bool(about)}"


def _pairs(value: Any, sign: str) -> str:
    """Return an object's texts in one line: ``torch 2.9.0, vllm 0.11.0``."""
    if not isinstance(value, Mapping):
        return NOT_RECORDED
    return ", ".join(f"{name}{sign}{_text(text)}" for name, text in value.items()) or "none"


def _code(found: Mapping[str, Any]) -> str:
    """Return the commit, and whether the tree was clean."""
    if found.get("commit") is None:
        return f"commit {NOT_RECORDED}"
    tree = f"whether the tree was clean: {NOT_RECORDED}"
    if type(dirty := found.get("dirty")) is bool:
        tree = "and the tree differed from it" if dirty else "clean tree"
    return f"commit {_text(found['commit'])}, {tree}"


def _request(value: Any) -> str:
    """Return tables, scale and manifests of the command that made it."""
    if not isinstance(value, Mapping) or not value:
        return NOT_RECORDED
    tables = value.get("tables")
    parts = [", ".join(map(_text, tables)) if isinstance(tables, list) and tables else "a command on own files"]
    if "scale" in value:
        parts.append(f"scale {_text(value['scale'])}")
    manifests = value.get("manifests")
    if isinstance(manifests, Mapping) and manifests:
        parts.append("manifests " + ", ".join(f"{name} {_text(found)[:12]}" for name, found in manifests.items()))
    return "; ".join(parts)


def _seed(found: Mapping[str, Any]) -> str:
    if "seed" not in found:
        return NOT_RECORDED
    return "none: its stage draws nothing" if found["seed"] is None else _text(found["seed"])


def _gpu_time(found: Mapping[str, Any]) -> str:
    """Return the GPU time, which is the wall time of the GPUs that were held, at work or not."""
    gpus, seconds = _number(found.get("gpus_held")), _number(found.get("gpu_held_s"))
    if gpus is None or seconds is None:
        return NOT_RECORDED
    return f"{seconds:,.2f} s held ({gpus:g} GPUs for the wall time, at work or not)" if gpus else "no GPU held"


def _memory(value: Any) -> str:
    """Return the peaks of the resident memory, each with what it is the peak of."""
    if not isinstance(value, Mapping):
        return NOT_RECORDED
    since = "this job" if value.get("worker_peak_since") == "job" else "the worker's life"
    meanings = {
        "worker_peak_bytes": f"worker in {since}",
        "others_peak_bytes": "its other processes (sum of their peaks)",
        "ended_child_peak_bytes": "largest child that had ended (worker's life)",
        "gpu_peak_bytes": "allocated by torch on one GPU",
    }
    sizes = {meaning: _number(value.get(name)) for name, meaning in meanings.items()}
    return ", ".join(f"{size / 2**20:,.1f} MiB {meaning}" for meaning, size in sizes.items() if size) or NOT_RECORDED


def _machine(value: Any) -> str:
    """Return the processor, cores, memory and GPUs."""
    if not isinstance(value, Mapping):
        return NOT_RECORDED
    parts = [f"{_text(value.get('cpu'))}, {_text(value.get('cores'))} cores"]
    if (memory := _number(value.get("memory_bytes"))) is not None:
        parts.append(f"{memory / 2**30:,.1f} GiB")
    if isinstance(gpus := value.get("gpus"), list):
        driver, cuda = _text(value.get("driver")), _text(value.get("cuda"))
        parts.append(f"GPUs {', '.join(map(_text, gpus))} (driver {driver}, CUDA {cuda})")
    return ", ".join([*parts, _text(value.get("system"))])


def _image(found: Mapping[str, Any]) -> str:
    if "image" not in found:
        return NOT_RECORDED
    return "none: it ran on the host" if found["image"] is None else _text(found["image"])
