"""Artifacts: there whole or not at all, checked by hash, locked while they are made."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import KitError, RequestError
from kit.store import BusyError, Job, Store, canonical, sha256_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé\n\"'"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def job(name: str = "one", **changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": f"fetch/{name}",
        "stage": "fetch",
        "version": "fetch-1",
        "environment": "grade",
        "lock": "",
        "params": {"name": name},
        "inputs": {},
    }
    return Job(**(values | changes))


def put(store: Store, made: Job, files: dict[str, str]) -> None:
    """Commit an artifact that has these files."""
    store.plan(made)
    with store.lock(made.key), store.scratch(made.key) as out:
        for name, text in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text, encoding="utf-8")
        store.commit(made, out, rows=len(files), facts={"f": 1}, provenance={"started_at": "now"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@given(JSON)
def test_canonical_json_has_one_text_and_reads_back(value: Any):
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(json.loads(text)) == text


@given(st.dictionaries(st.text("abc", max_size=2), st.integers(), max_size=5))
def test_canonical_json_ignores_the_order_of_keys(value: dict[str, int]):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_canonical_json_refuses_values_that_json_lacks():
    with pytest.raises(ValueError, match=r"^Out of range float values are not JSON compliant"):
        canonical({"loss": float("nan")})


@given(JSON, JSON)
def test_a_job_reads_back_as_it_was(first: Any, second: Any):
    made = job(params={"a": first, "b": second})
    again = Job.from_json(json.loads(json.dumps(made.to_json())))
    assert (again, again.key) == (made, made.key)


def test_an_artifact_comes_back_as_it_was_put(store: Store):
    made = job()
    put(store, made, {"a.jsonl": "{}\n", "deep/b.txt": "b"})
    found = store.get(made.key)
    assert (found.job, found.rows, found.facts) == (made, 2, {"f": 1})
    assert {name: file["size_bytes"] for name, file in found.files.items()} == {"a.jsonl": 3, "deep/b.txt": 1}
    assert found.files["a.jsonl"]["sha256"] == sha256_file(found.folder / "a.jsonl")
    assert [artifact.key for artifact in store.artifacts()] == [made.key]
    assert store.check(made.key) == []
    assert list((store.root / "tmp").iterdir()) == []


def test_uncommitted_output_is_not_in_the_store(store: Store):
    made = job()
    with pytest.raises(ZeroDivisionError), store.lock(made.key), store.scratch(made.key) as out:
        (out / "half").write_text("half")
        assert not store.has(made.key)
        raise ZeroDivisionError
    assert (store.has(made.key), list(store.artifacts()), list((store.root / "tmp").iterdir())) == (False, [], [])


CHANGES = {
    "changed": (lambda f: (f / "a").write_text("y"), ["a: changed (sha256 differs from the head's)"]),
    "missing": (lambda f: (f / "a").unlink(), ["a: missing"]),
    "added": (lambda f: (f / "b").write_text(""), ["b: not in the head"]),
}


@pytest.mark.parametrize("change, faults", CHANGES.values(), ids=list(CHANGES))
def test_check_names_what_was_changed(change: Any, faults: list[str], store: Store):
    made = job()
    put(store, made, {"a": "x"})
    change(store.get(made.key).folder)
    assert store.check(made.key) == faults


def test_check_sees_a_head_of_another_job(store: Store):
    made = job()
    put(store, made, {"a": "x"})
    head = store.get(made.key).folder / "artifact.json"
    head.write_text(head.read_text().replace('"fetch-1"', '"fetch-2"'))
    other = job(version="fetch-2").key
    assert store.check(made.key) == [f"artifact.json: its job hashes to {other[:12]}"]


def refusal(call: Any) -> str:
    with pytest.raises(KitError) as error:
        call()
    return str(error.value)


def test_messages(store: Store):
    made = job()
    key = made.key[:12]
    assert refusal(lambda: store.get(made.key)) == (f"store {store.root}: no artifact {key}; run the job that makes it")
    assert refusal(lambda: store.job(made.key)) == (
        f"store {store.root}: no job {key}; a run writes down the jobs it plans"
    )
    assert refusal(lambda: store.find("00")) == (
        f"store {store.root}: no job '00'; `kit store list` prints the keys of what is there, "
        "`kit plan TABLE --write` puts the jobs of a table there"
    )
    store.plan(made)
    store.plan(job("two"))
    assert refusal(lambda: store.find("")) == f"store {store.root}: '' is the start of 2 keys; give more of it"
    assert store.find(made.key[:20]) == made.key


def test_a_head_that_cannot_be_read(store: Store):
    made = job()
    put(store, made, {"a": "x"})
    folder = store.get(made.key).folder
    (folder / "artifact.json").write_text('{"job": ')
    message = (
        f"store {store.root}: the head of {made.key[:12]} can't be read: JSONDecodeError: Expecting value: "
        f"line 1 column 9 (char 8); remove {folder} and run again"
    )
    assert refusal(lambda: store.get(made.key)) == message
    assert store.check(made.key) == [message]


@pytest.mark.parametrize("head", ["{}", "[]", '{"job": {}}', '{"job": [], "files": 1}', "1" * 5000])
def test_a_head_of_another_shape(store: Store, head: str):
    # a KeyError's trace ended `kit store check`, which is there to find this
    made = job()
    put(store, made, {"a": "x"})
    (store.get(made.key).folder / "artifact.json").write_text(head)
    assert refusal(lambda: store.get(made.key)).startswith(f"store {store.root}: the head of {made.key[:12]} can't be")
    (store.root / "jobs" / f"{made.key}.json").write_text(head)
    assert "not a job" in refusal(lambda: store.job(made.key))


def test_a_store_of_another_format(store: Store):
    (store.root / "format").write_text("9\n")
    for look in (Store.open, Store.existing):
        assert refusal(lambda look=look: look(store.root)) == (
            f"store {store.root}: laid out as format 9, this kit reads 1; name another --store"
        )


def test_a_folder_that_is_no_store_is_left_as_it_is(tmp_path: Path):
    for name, text in (("mine.txt", "x"), ("format", "9\n")):
        root = tmp_path / f"of {name}"
        root.mkdir()
        (root / name).write_text(text)
        refusal(lambda root=root: Store.open(root))
        assert [path.name for path in root.iterdir()] == [name]
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)  # a new disk's own
    assert Store.open(tmp_path / "disk").root == tmp_path / "disk"


def test_reading_a_store_does_not_create_one(tmp_path: Path):
    # `kit store list --store misspelt` made a store of that name and listed nothing
    root = tmp_path / "none"
    assert refusal(lambda: Store.existing(root)) == (
        f"store {root}: no store there; name the folder that a run wrote with --store"
    )
    assert not root.exists()


def test_a_link_is_not_stored(store: Store):
    made = job()
    with store.scratch(made.key) as out:
        (out / "shadow").symlink_to("/etc/passwd")
        text = refusal(lambda: store.commit(made, out, rows=0, facts={}, provenance={}))
    assert text == "fetch/one: shadow is a link; an artifact holds plain files"
    assert not store.has(made.key)


def test_a_pipe_is_not_stored(store: Store):
    # was passed over in silence, and lay in the artifact
    made = job()
    with store.scratch(made.key) as out:
        os.mkfifo(out / "pipe")
        text = refusal(lambda: store.commit(made, out, rows=0, facts={}, provenance={}))
    assert text == "fetch/one: pipe is no plain file; an artifact holds nothing else"


def test_every_user_may_read_an_artifact(store: Store):
    # with umask 077 a container, which runs as another user, could read no input
    before = os.umask(0o077)
    try:
        put(store, made := job(), {"a": "x", "deep/b": "y"})
    finally:
        os.umask(before)
    folder = store.get(made.key).folder
    modes = {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}
    assert modes == {"a": "0o644", "deep": "0o755", "deep/b": "0o644", "artifact.json": "0o644"}


def test_a_file_with_the_heads_name_is_not_stored(store: Store):
    # the head was written over it, and the artifact never passed its check
    made = job()
    with store.scratch(made.key) as out:
        (out / "artifact.json").write_text("[]")
        text = refusal(lambda: store.commit(made, out, rows=0, facts={}, provenance={}))
    assert text == "fetch/one: the name artifact.json is the head's; give the file another name"


def test_only_one_process_holds_a_jobs_lock(store: Store):
    made = job()
    with store.lock(made.key):
        with pytest.raises(BusyError) as error, store.lock(made.key):
            pass
        assert str(error.value) == f"job {made.key[:12]} is being worked on by another run"
        (store.root / "tmp" / f"{made.key}.abc").mkdir()
        assert store.half_written(remove=True) == {}  # at work, not interrupted
    assert list(store.half_written(remove=True)) == [made.key]
    assert list((store.root / "tmp").iterdir()) == []


def test_a_failure_is_kept_until_the_job_succeeds(store: Store):
    made = job()
    store.record_failure(made, "no luck")
    assert store.failure(made.key) == "no luck"
    put(store, made, {"a": "x"})
    assert store.failure(made.key) is None


def test_a_reason_that_can_not_be_encoded_is_stored(store: Store):
    # ended the run in a UnicodeEncodeError
    made = job()
    store.record_failure(made, "no \ud800 luck")
    assert store.failure(made.key) == "no \\ud800 luck"


def test_remove_frees_the_disk_space(store: Store):
    made = job()
    put(store, made, {"a": "four"})
    assert store.remove(made.key) == 4
    assert (store.has(made.key), list((store.root / "tmp").iterdir())) == (False, [])


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError) as error:
        Store.open(tmp_path / "store")
    assert str(error.value) == (
        f"store {tmp_path / 'store'}: Permission denied; name a folder that you may write with --store"
    )
