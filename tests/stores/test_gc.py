"""`kit store gc` removes half-written output whose lock is free, and nothing else."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.containers import client
from kit.errors import KitError
from kit.store import Job, Store
from kit.store.opening import open_root
from kit.store.walking import remove

pytestmark = pytest.mark.timeout(120)
Kit = Callable[..., tuple[int, str]]
UNKNOWN = {
    "a star": "*.x",  # its "key" matched every live folder, and all were deleted
    "any sign": "?.x",
    "a class": "[0-9a-f]*.x",
    "what NFS keeps": ".nfs0000000000a1",  # IsADirectoryError ended gc
    "a word": "notes",
    "a key without an ending": "a" * 64,
    "a short key": "a" * 63 + ".x",
    "a long key": "a" * 65 + ".x",
    "capitals": "A" * 64 + ".x",
    "an escape": "\x1b[2J.x",
    "bytes": "b\udcff.x",
}


@pytest.mark.parametrize("name", UNKNOWN.values(), ids=list(UNKNOWN))
@pytest.mark.parametrize("is_folder", [True, False])
def test_gc_leaves_unknown_names_alone(name: str, is_folder: bool, store: Store, made: Job, kit: Kit):
    odd, live, dead = store.root / "tmp" / name, store.root / "tmp" / f"{made.key}.live", "f" * 64
    odd.mkdir() if is_folder else odd.write_text("mine")
    live.mkdir()
    (store.root / "tmp" / f"{dead}.x").mkdir()
    with store.lock(made.key):
        code, output = kit("store", "gc")
    assert code == 0
    assert f"removed a half-written {dead[:10]}  0 bytes\n" in output
    (line,) = (line for line in output.splitlines() if line.startswith("left alone"))
    shown = repr(f"tmp/{name}")
    assert line == f"left alone, as no name that the kit gives: {shown}"
    assert "\x1b" not in output
    assert sorted(path.name for path in (store.root / "tmp").iterdir()) == sorted([name, live.name])
    assert store.half_written(remove=True) == {made.key: 0}  # as a run does, which passes over the odd name
    assert os.path.lexists(odd)


def test_gc_leaves_unknown_names_among_artifacts_alone(store: Store, made: Job, kit: Kit):
    for name in ("*", "notes", ".._x", f"{made.key}.old"):
        (store.root / "artifacts" / name).mkdir()
        (store.root / "artifacts" / name / "artifact.json").write_text("{}")
    code, output = kit("store", "check")
    assert (code, output) == (0, "1 artifacts checked, 0 faults\n")
    code, output = kit("store", "gc", "--keep", "2", "--scale", "smoke", "--yes")
    assert (code, "removed 1 artifacts" in output, "'artifacts/*'" in output) == (0, True, True)
    assert len(list((store.root / "artifacts").iterdir())) == 4


def test_gc_does_not_remove_the_targets_of_links(store: Store, made: Job, kit: Kit, tmp_path: Path):
    target = tmp_path / "victim"
    target.mkdir()
    (target / "a").write_text("precious")
    (store.root / "tmp" / f"{made.key}.link").symlink_to(target)
    (store.root / "tmp" / f"{made.key}.x").mkdir()
    (store.root / "tmp" / f"{made.key}.x" / "inner").symlink_to(target)
    os.mkfifo(store.root / "tmp" / f"{made.key}.x" / "pipe")
    os.mkfifo(store.root / "tmp" / f"{made.key}.pipe")
    assert kit("store", "gc") == (0, f"removed a half-written {made.key[:10]}  0 bytes\n")
    assert (target / "a").read_text() == "precious"
    assert list((store.root / "tmp").iterdir()) == []


def test_gc_keeps_an_artifact_that_a_run_works_on(store: Store, made: Job, kit: Kit):
    words = ("store", "gc", "--keep", "2", "--scale", "smoke", "--yes")
    with store.lock(made.key):
        code, output = kit(*words)
    assert (code, "removed 0 artifacts" in output, store.has(made.key)) == (1, True, True)
    assert f"{made.key[:10]}  is left: job {made.key[:12]} is being worked on by another run" in output
    (store.root / "tmp" / f"{made.key}.removed").mkdir()  # of a gc that was killed
    (store.root / "tmp" / f"{made.key}.removed" / "a").write_text("a")
    code, output = kit(*words)
    assert (code, "removed 1 artifacts" in output, store.has(made.key)) == (0, True, False)


@pytest.mark.parametrize("depth", [1, 50, 3000])
def test_deeply_nested_folders_are_removed(depth: int, tmp_path: Path):
    # Python's own removal calls itself for each level: RecursionError
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        for name in ("a", "b"):
            os.mkdir(name, dir_fd=descriptor)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
        inner = os.open("a", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    with open_root(tmp_path) as folder:
        for name in folder.names():
            remove(folder, name)
    assert list(tmp_path.iterdir()) == []


def test_nested_folders_of_a_container_are_removed(store: Store, made: Job):
    folder = store.make_scratch(made.key)
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    assert store.half_written(remove=False) == {made.key: 0}
    store.remove_scratch(folder)
    assert not folder.exists()


@pytest.mark.parametrize("key", ["../locks/x", "", ".", "a/b", "\0", "/etc/passwd", "a.b"])
def test_a_key_that_is_a_path_is_refused(key: str, store: Store):
    for call in (
        store.has,
        store.get,
        store.job,
        store.failure,
        store.make_scratch,
        lambda key: store.append_log(key, ""),
    ):
        with pytest.raises(KitError, match="is no key of a job"):
            call(key)
    with pytest.raises(KitError, match="is no key of a job"), store.lock(key):
        pass


@pytest.mark.parametrize("label", ["../../x", "", "a/b"])
def test_a_container_with_a_forged_label_is_not_ended(label: str, store: Store, monkeypatch: pytest.MonkeyPatch):
    answers = {"ps": ["kit-1"], "container": [json.dumps([{"Config": {"Labels": {client.KEY_LABEL: label}}}])]}
    monkeypatch.setattr(client, "_output_lines", lambda runtime, *arguments: answers.get(arguments[0], []))
    assert client.end_leftover_containers("docker", store) == []
