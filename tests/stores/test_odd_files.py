"""Links, pipes, sockets, devices and folders where a store's files should be: named, not followed, not waited for."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import KitError, RequestError
from kit.run import execute as run
from kit.run.launch import Options
from kit.store import Job, Store

pytestmark = pytest.mark.timeout(120)  # what is waited for here is waited for without end
Kit = Callable[..., tuple[int, str]]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
STRANGER = 12345


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("nowhere"))


def endless(path: Path, target: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path, target: Path) -> None:
    os.mkfifo(path)


def folder(path: Path, target: Path) -> None:
    path.mkdir()


def listener(path: Path, target: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = Path.cwd()
        os.chdir(path.parent)  # a socket's path is 100 bytes at most
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


ODD = {
    "a link": (link, "a link"),
    "a link to nowhere": (dangling, "a link"),
    "a link to /dev/zero": (endless, "a link"),
    "a pipe": (pipe, "a pipe"),
    "a folder": (folder, "a folder"),
    "a socket": (listener, "a socket"),
}
odd_files = pytest.mark.parametrize("plant, kind", ODD.values(), ids=list(ODD))


def place(path: Path, plant: Callable[[Path, Path], None], tmp_path: Path) -> Path:
    """Replace a file by one of another kind; return the file that a link leads to."""
    target = tmp_path / "victim"
    target.write_text("precious\n")
    if path.exists():
        path.unlink()
    plant(path, target)
    return target


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(KitError) as error:
        call()
    return str(error.value)


@odd_files
def test_a_lock(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job):
    # open("w"): another user's link made root empty a file, by `gc --dry-run` too; a pipe hung it
    path = store.root / "locks" / made.key
    target = place(path, plant, tmp_path)
    (store.root / "tmp" / f"{made.key}.x").mkdir()

    def hold() -> None:
        with store.lock(made.key):
            pass

    assert refusal(hold) == f"{path}: {kind}, wanted a plain file; remove it"
    for words in (["--dry-run"], []):
        code, output = kit("store", "gc", *words)
        assert code == 1
        assert f"tmp/{made.key}.x is left: {path}: {kind}, wanted a plain file; remove it" in output.replace("\n", " ")
    assert (store.root / "tmp" / f"{made.key}.x").is_dir()
    assert target.read_text() == "precious\n"


@odd_files
def test_a_log(
    plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, new_job: Callable[..., Job]
):
    # the worker's words were added to whatever file a link led to; a pipe hung the run
    waiting = new_job("two")
    path = store.log_path(waiting.key)
    target = place(path, plant, tmp_path)
    events: list[str] = []
    outcome = run.execute(
        {waiting.key: waiting}, store, Options(store=store.root), lambda event, job, fields: events.append(event)
    )
    assert outcome.failed == {waiting.key: f"{path}: {kind}, wanted a plain file; remove it"}
    assert events == ["failed"]
    run._log(store, waiting.key, "a line\n")  # as it would be, if it came there later
    assert target.read_text() == "precious\n"


@odd_files
def test_a_head(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job):
    # a pipe hung `check`, `list`, `gc` and every run; a link to /dev/zero filled the memory
    path = store.root / "artifacts" / made.key / "artifact.json"
    place(path, plant, tmp_path)
    sentence = f"{path}: {kind}, wanted a plain file; remove it; remove {path.parent} and run again"
    assert refusal(lambda: store.get(made.key)).endswith(sentence)
    assert store.has(made.key)  # it is not computed over it
    for words in (["check"], ["list"], ["gc", "--keep", "2", "--scale", "smoke"], ["show", made.key]):
        code, output = kit("store", *words)
        assert (code, sentence in output.replace("\n", "")) == (0 if words[0] in ("list", "gc") else 1, True)


@odd_files
def test_a_job(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job):
    path = store.root / "jobs" / f"{made.key}.json"
    target = place(path, plant, tmp_path)
    code, output = kit("job", made.key)
    assert code == 1
    assert f"{path}: not a job ({path}: {kind}, wanted a plain file; remove it)" in output.replace("\n", "")
    if plant is not folder:
        store.plan(made)  # what is planned is known: the odd file is replaced, what it leads to is not written to
        assert store.job(made.key) == made
    assert target.read_text() == "precious\n"


@odd_files
def test_a_format(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job):
    path = store.root / "format"
    target = place(path, plant, tmp_path)
    for look in (Store.open, Store.existing):
        with pytest.raises(RequestError) as error:
            look(store.root)
        assert f"format can't be read: {path}: {kind}, wanted a plain file" in str(error.value)
    for words in (["store", "list"], ["store", "check"], ["store", "gc"], ["job", made.key], ["plan", "2"]):
        code, output = kit(*words)
        assert (code, output.startswith("error: store ")) == (2, True)
    assert target.read_text() == "precious\n"


@odd_files
def test_a_failure(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, made: Job):
    path = store.root / "failed" / f"{made.key}.json"
    target = place(path, plant, tmp_path)
    assert refusal(lambda: store.failure(made.key)).startswith(f"{path}: can't be read ({path}: {kind}, wanted")
    store.record_failure(made, "no luck")
    assert target.read_text() == "precious\n"
    if plant is not folder:
        assert store.failure(made.key) == "no luck"


@odd_files
def test_a_row_file(plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job):
    # `check` hashed what a link led to, and passed over a pipe; `show --rows` read either
    path = store.root / "artifacts" / made.key / "rows.jsonl"
    place(path, plant, tmp_path)
    (fault,) = store.check(made.key)
    assert fault == ("rows.jsonl: missing" if plant is folder else f"rows.jsonl: {kind}; an artifact holds plain files")
    assert fault in refusal(lambda: store.input_folder(made.key))
    code, output = kit("store", "show", made.key, "--rows", "1")
    assert code == 1
    assert f"{path}: {kind}, wanted a plain file" in output.replace("\n", "")
    assert "precious" not in output


@pytest.mark.parametrize("name", ["artifacts", "jobs", "tmp", "locks", "logs", "failed"])
@pytest.mark.parametrize("plant, kind", [(link, "a link"), (pipe, "a pipe"), (listener, "a socket")])
def test_a_whole_folder(
    plant: Callable[[Path, Path], None], kind: str, name: str, store: Store, tmp_path: Path, kit: Kit, made: Job
):
    path = store.root / name
    path.rename(tmp_path / "elsewhere")
    plant(path, tmp_path / "elsewhere")
    for look in (Store.open, Store.existing):
        with pytest.raises(RequestError) as error:
            look(store.root)
        assert str(error.value) == f"store {path}: {kind}, wanted a folder; remove it, or name another --store"
    code, output = kit("store", "gc")
    assert (code, f"{path}: {kind}, wanted a folder" in output.replace("\n", "")) == (2, True)


@pytest.mark.parametrize("plant, kind", [(link, "a link"), (dangling, "a link"), (pipe, "a pipe")])
def test_the_folder_of_an_artifact(
    plant: Callable[[Path, Path], None], kind: str, store: Store, tmp_path: Path, kit: Kit, made: Job
):
    path = store.root / "artifacts" / made.key
    path.rename(tmp_path / "victim")
    plant(path, tmp_path / "victim")
    assert f"{path}: {kind}, wanted a folder" in refusal(lambda: store.get(made.key))
    assert f"{path}: {kind}, wanted a folder" in refusal(lambda: store.remove(made.key))
    code, output = kit("store", "check")
    assert (code, f"{path}: {kind}, wanted a folder" in output.replace("\n", "")) == (1, True)
    assert (tmp_path / "victim" / "rows.jsonl").is_file()


def test_a_file_with_a_second_name_is_not_written_to(store: Store, tmp_path: Path, made: Job):
    target = tmp_path / "victim"
    target.write_text("precious\n")
    log = store.log_path(made.key)
    log.unlink(missing_ok=True)
    os.link(target, log)
    assert refusal(lambda: store.append_log(made.key, "a line\n")).startswith(f"{log}: a second name of a file")
    assert refusal(lambda: store.check_ready(made.key)).startswith(f"{log}: a second name of a file")
    assert target.read_text() == "precious\n"


def test_a_file_with_a_second_name_is_not_stored(store: Store, tmp_path: Path, new_job: Callable[..., Job]):
    # its mode was set to 0644, that of the other name with it
    target = tmp_path / "victim"
    target.write_text("precious\n")
    target.chmod(0o600)
    job = new_job("two")
    with store.scratch(job.key) as out:
        os.link(target, out / "a")
        assert "a second name of a file" in refusal(lambda: store.commit(job, out, rows=0, facts={}, provenance={}))
    assert oct(target.stat().st_mode & 0o777) == "0o600"


def test_a_file_that_is_replaced_after_the_check_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Job
):
    target = tmp_path / "victim"
    target.write_text("precious\n")
    store.check_ready(made.key)
    lock = store.root / "locks" / made.key
    real = os.open

    def swap(name: object, *rest: object, **named: object) -> int:
        if name == made.key and not lock.is_symlink():
            lock.unlink()
            lock.symlink_to(target)
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", swap)

    def hold() -> None:
        with store.lock(made.key):
            pass

    assert refusal(hold) == f"{lock}: a link, wanted a plain file; remove it"
    assert target.read_text() == "precious\n"


@ROOT_ONLY
@pytest.mark.parametrize("mode, taken", [(0o755, False), (0o2775, True), (0o1777, False), (0o777, False)])
@pytest.mark.parametrize("where", ["locks", "jobs", "artifacts", "logs"])
def test_files_of_other_users_are_refused(where: str, mode: int, taken: bool, store: Store, made: Job):
    # in a folder that a group writes anybody's, whom the group let in; in one that all write no stranger's
    store.append_log(made.key, "")
    name = {"jobs": f"{made.key}.json", "logs": f"{made.key}.log"}.get(where, made.key)
    (store.root / where).chmod(mode)
    os.chown(store.root / where / name, STRANGER, STRANGER)
    if where == "artifacts":
        for path in (store.root / where / made.key).rglob("*"):
            os.chown(path, STRANGER, STRANGER)

    def use() -> None:
        store.get(made.key)
        store.job(made.key)
        store.append_log(made.key, "a line\n")
        with store.lock(made.key):
            pass

    if taken:
        use()
        assert store.check(made.key) == []
    else:
        assert f"belongs to user {STRANGER}" in refusal(use)


@ROOT_ONLY
def test_another_user_can_use_a_groups_store_but_not_a_world_writable_one():
    key = "f" * 64
    with tempfile.TemporaryDirectory() as folder:  # pytest's own lets no other user in
        Path(folder).chmod(0o755)
        store = Store.open(Path(folder) / "store")
        for path in (store.root, *(path for path in store.root.rglob("*") if path.is_dir())):
            os.chown(path, 0, STRANGER)
            path.chmod(0o2775)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(STRANGER)
                os.setuid(STRANGER)
                with store.lock(key):
                    store.append_log(key, "mine\n")
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with store.lock(key):  # the stranger's own, in a folder of the group
            store.append_log(key, "ours\n")
        assert store.log_path(key).read_text() == "mine\nours\n"
        assert oct((store.root / "locks" / key).stat().st_mode & 0o777) == "0o660"
        (store.root / "locks").chmod(0o1777)
        wanted = rf"belongs to user {STRANGER}, and everybody may write its folder"
        with pytest.raises(KitError, match=wanted), store.lock(key):
            pass


def test_a_new_lock_file_can_not_be_locked_by_other_users(store: Store):
    # any user could open it to read, and hold it for ever
    with store.lock("f" * 64):
        assert oct((store.root / "locks" / ("f" * 64)).stat().st_mode & 0o777) == "0o600"
