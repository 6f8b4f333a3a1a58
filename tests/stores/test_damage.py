"""Damaged heads, jobs and failure files: each is reported in a sentence with path and cure."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.run import events
from kit.store import Job, Store

pytestmark = pytest.mark.timeout(120)
Kit = Callable[..., tuple[int, str]]


def changed(*path: str, to: Any) -> Callable[[bytes], bytes]:
    """Return a change of a JSON file: another value at one place."""

    def change(data: bytes) -> bytes:
        value = inner = json.loads(data)
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to
        return json.dumps(value).encode()

    return change


def without(*path: str) -> Callable[[bytes], bytes]:
    """Return a change of a JSON file: one field less."""

    def change(data: bytes) -> bytes:
        value = inner = json.loads(data)
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]
        return json.dumps(value).encode()

    return change


FILE = {"sha256": "a" * 64, "size_bytes": 1}
TEXTS = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "no UTF-8": lambda data: data.replace(b"fetch", b"f\xfftch"),
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "zeros": lambda data: bytes(1000),
    "a list": lambda data: b"[" + data + b"]",
    "null": lambda data: b"null",
    "a nest": lambda data: b"[" * 200_000,
    "a nest of objects": lambda data: b'{"a":' * 100_000,
    "NaN": lambda data: data.replace(b'"name": "one"', b'"name": NaN'),
    "Infinity": lambda data: data.replace(b'"name": "one"', b'"name": Infinity'),
    "a number without end": lambda data: data.replace(b'"name": "one"', b'"name": ' + b"9" * 5000),
    "a float without end": lambda data: data.replace(b'"name": "one"', b'"name": 1e999'),
    "half a character": lambda data: data.replace(b'"name": "one"', b'"name": "\\ud800"'),
}
JOB_FIELDS = {
    "no stage": without("stage"),
    "a stage that is a list": changed("stage", to=[]),
    "an id that is null": changed("id", to=None),
    "a version that is a number": changed("version", to=1),
    "a lock that is true": changed("lock", to=True),
    "parameters that are a list": changed("params", to=[1]),
    "inputs that are a text": changed("inputs", to="a"),
    "an input that leads out": changed("inputs", to={"model": "../../../etc"}),
    "an input that is a number": changed("inputs", to={"model": 1}),
    "an input that is no key": changed("inputs", to={"model": "A" * 64}),
    "resources that are null": changed("resources", to=None),
    "another key": changed("key", to="0" * 64),
    "another stage": changed("stage", to="grade"),
    "other parameters": changed("params", to={"name": "two"}),
}
HEAD_FIELDS = {
    "no job": without("job"),
    "a job that is a list": changed("job", to=[]),
    "a job without parameters": without("job", "params"),
    "no files": without("files"),
    "files that are a list": changed("files", to=["rows.jsonl"]),
    "a file that is null": changed("files", to={"rows.jsonl": None}),
    "a file without a hash": changed("files", to={"rows.jsonl": {"size_bytes": 1}}),
    "a hash that is none": changed("files", to={"rows.jsonl": FILE | {"sha256": "../x"}}),
    "a size that is a text": changed("files", to={"rows.jsonl": FILE | {"size_bytes": "1"}}),
    "a size below nothing": changed("files", to={"rows.jsonl": FILE | {"size_bytes": -1}}),
    "a file outside": changed("files", to={"../../../etc/passwd.jsonl": FILE}),
    "a file outside, further in": changed("files", to={"deep/../../x.jsonl": FILE}),
    "a file by its whole path": changed("files", to={"/etc/passwd": FILE}),
    "a file without a name": changed("files", to={"": FILE}),
    "a file of zero bytes' name": changed("files", to={"a\0b": FILE}),
    "a file of half a character": changed("files", to={"a\ud800": FILE}),
    "a file that is the folder": changed("files", to={".": FILE}),
    "the head among its files": changed("files", to={"artifact.json": FILE}),
    "no rows": without("rows"),
    "rows that are a text": changed("rows", to="2"),
    "rows that are true": changed("rows", to=True),
    "rows that are half": changed("rows", to=1.5),
    "rows below none": changed("rows", to=-1),
    "rows beyond any disk": changed("rows", to=10**30),
    "facts that are null": changed("facts", to=None),
    "facts that are a list": changed("facts", to=[]),
    "provenance that is a text": changed("provenance", to="here"),
    "a time that is a list": changed("provenance", "started_at", to=["now"]),
    "a key of another": changed("key", to="0" * 64),
    "no key": without("key"),
    "a later format": changed("format", to=2),
    "a job that states another key": changed("job", "key", to="0" * 64),
    "a job that states an escape for a key": changed("job", "key", to="\x1b]0;title\x07"),
    "a job that states no text for a key": changed("job", "key", to=1),
    "a job of another stage": changed("job", "stage", to="grade"),
    "a job of other inputs": changed("job", "inputs", to={"model": "b" * 64}),
}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(KitError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("change", [*TEXTS.values(), *HEAD_FIELDS.values()], ids=[*TEXTS, *HEAD_FIELDS])
def test_a_damaged_head_is_reported_and_other_artifacts_are_still_listed(
    change: Callable[[bytes], bytes],
    store: Store,
    made: Job,
    kit: Kit,
    commit: Callable[[Store, Job], Path],
    new_job: Callable[..., Job],
):
    # a RecursionError, KeyError, TypeError or ValueError ended `list`, `check` and `gc`, or the damage was taken
    commit(store, other := new_job("other"))
    path = store.root / "artifacts" / made.key / "artifact.json"
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    sentence = refusal(lambda: store.get(made.key))
    assert sentence.startswith(f"store {store.root}: the head of {made.key[:12]} can't be read: ")
    assert sentence.endswith(f"; remove {path.parent} and run again")
    assert store.check(made.key)
    assert refusal(lambda: store.input_folder(made.key))
    code, output = kit("store", "list")
    assert (code, f"{made.key[:10]}  damaged: " in output, other.id in output) == (0, True, True)
    code, output = kit("store", "check")
    assert (code, f"\n{'2 artifacts checked, 1 faults'}\n" in f"\n{output}") == (1, True)
    code, output = kit("store", "show", made.key)
    assert (code, output.startswith("error: store ")) == (1, True)
    code, output = kit("store", "gc", "--keep", "2", "--scale", "smoke", "--yes")
    assert (code, f"{made.key[:10]}  damaged: " in output, "removed 1 artifacts" in output) == (0, True, True)
    assert path.is_file()


@pytest.mark.parametrize("change", [*TEXTS.values(), *JOB_FIELDS.values()], ids=[*TEXTS, *JOB_FIELDS])
def test_a_damaged_job_is_reported_and_not_run(change: Callable[[bytes], bytes], store: Store, made: Job, kit: Kit):
    path = store.root / "jobs" / f"{made.key}.json"
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    sentence = refusal(lambda: store.job(made.key))
    assert sentence.startswith(f"{path}: not a job (")
    assert sentence.endswith("); remove it and plan again: kit plan TABLE --write")
    code, output = kit("job", made.key)
    assert (code, output.startswith(f"error: {path}: not a job (")) == (1, True)
    store.plan(made)  # a plan knows better
    assert store.job(made.key) == made


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"reason": 1}', b'{"reason": "a', b"\xff\xfe\xff", b"[" * 99_999, b'{"reason": NaN}'],
    ids=["empty", "a list", "no reason", "a number", "cut off", "no UTF-8", "a nest", "NaN"],
)
def test_a_damaged_failure_file_is_reported(data: bytes, store: Store, made: Job):
    path = store.root / "failed" / f"{made.key}.json"
    path.write_bytes(data)
    assert re.fullmatch(
        rf"{re.escape(str(path))}: can't be read \(.+\); remove it", refusal(lambda: store.failure(made.key))
    )


def test_files_above_their_size_limit_are_refused(store: Store, made: Job, kit: Kit):
    # sparse: it takes no disk, and would take the memory
    for path in (store.root / "jobs" / f"{made.key}.json", store.root / "artifacts" / made.key / "artifact.json"):
        os.truncate(path, 1 << 40)
    assert "more than 67,108,864 bytes" in refusal(lambda: store.job(made.key))
    assert "more than 67,108,864 bytes" in refusal(lambda: store.get(made.key))
    os.truncate(store.root / "artifacts" / made.key / "rows.jsonl", 1 << 40)
    os.truncate(store.root / "format", 1 << 40)
    code, output = kit("store", "check")
    assert (code, "more than 1,000 bytes" in output) == (2, True)


def test_a_row_file_that_grew_to_a_terabyte_is_not_hashed(store: Store, made: Job, kit: Kit):
    os.truncate(store.root / "artifacts" / made.key / "rows.jsonl", 1 << 40)
    assert store.check(made.key) == ["rows.jsonl: changed (sha256 differs from the head's)"]
    code, output = kit("store", "show", made.key, "--rows", "9")
    assert (code, len(output) < 5 << 20) == (0, True)


@pytest.mark.parametrize("depth", [33, 40, 300])
def test_folders_nested_too_deep_are_reported(depth: int, store: Store, made: Job):
    (store.root / "artifacts" / made.key / "/".join("d" * depth)).mkdir(parents=True)
    assert store.check(made.key) == [f"{'/'.join('d' * 33)}: more than 32 folders in each other"]


def test_an_artifact_without_a_head_is_a_fault(store: Store, made: Job, kit: Kit):
    # "0 artifacts checked, 0 faults"
    path = store.root / "artifacts" / made.key
    (path / "artifact.json").unlink()
    code, output = kit("store", "check")
    assert (code, output) == (
        1,
        f"{made.key[:10]}  no artifact.json there; remove {path} and run again\n0 artifacts checked, 1 faults\n",
    )
    with store.scratch(made.key) as out:
        sentence = refusal(lambda: store.commit(made, out, rows=0, facts={}, provenance={}))
    assert sentence.endswith(f"; nothing was kept; remove {path} and run again")


def test_facts_that_a_head_could_not_give_back_are_not_stored(store: Store, new_job: Callable[..., Job]):
    # NaN was written, and read by Python alone
    job = new_job("two")
    for facts in ({"loss": float("nan")}, {"loss": float("inf")}, {"a": {1, 2}}):
        with store.scratch(job.key) as out:
            sentence = refusal(lambda out=out, facts=facts: store.commit(job, out, rows=0, facts=facts, provenance={}))
        assert sentence.startswith("fetch/two: its facts are no JSON: ")
    assert not store.has(job.key)


COMPUTED = '{"event": "computed", "key": "k", "rows": 1, "facts": %s, "provenance": {}}'


@pytest.mark.parametrize(
    "facts", ['{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", "{" * 99, "[1]", "null"]
)
def test_an_event_that_no_head_could_hold_is_log_text(facts: str):
    assert events.parse(events.MARK + COMPUTED % '{"a": 1}') is not None
    assert events.parse(events.MARK + COMPUTED % facts) is None
