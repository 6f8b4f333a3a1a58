"""Artifacts copied between stores: whole and by their hashes, or as heads alone; what is refused says why."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.store import Store
from kit.transfers import Place, place_of
from tests.stores.conftest import make_job, put
from tests.transfers.conftest import MODEL, Kit, contents, stand_in_for_ssh

pytestmark = pytest.mark.timeout(120)


def test_a_store_goes_there_and_comes_back_as_it_was(there: str, store: Store, kit: Kit, tmp_path: Path):
    code, output = kit("store", "push", there, "--dry-run")
    assert (code, output.splitlines()[-1]) == (0, "would push 3 artifacts, 38 bytes; 0 were there already, 0 faults")
    assert not (tmp_path / "other").exists()
    code, output = kit("store", "push", there)
    assert (code, output.splitlines()[-1]) == (0, "pushed 3 artifacts, 38 bytes; 0 were there already, 0 faults")
    assert contents(tmp_path / "other") == contents(store.root)
    assert [Store(tmp_path / "other").check(key) for key in store.committed()] == [[], [], []]
    assert kit("store", "push", there) == (0, "pushed 0 artifacts, 0 bytes; 3 were there already, 0 faults\n")
    code, output = kit("store", "pull", there, "--store", "third")
    assert (code, output.splitlines()[-1]) == (0, "pulled 3 artifacts, 38 bytes; 0 were there already, 0 faults")
    assert contents(tmp_path / "third") == contents(store.root)
    assert [list((tmp_path / name / "tmp").iterdir()) for name in ("store", "other", "third")] == [[], [], []]


def test_models_may_stay_behind_and_come_later(there: str, store: Store, kit: Kit, tmp_path: Path):
    code, output = kit("store", "push", there, "--files", "results")
    model = make_job("model", **MODEL).key
    assert (code, f"pushed {model[:10]}  its head alone  convert/model\n" in output) == (0, True)
    assert output.endswith("pushed 3 artifacts, 19 bytes; 0 were there already, 0 faults\n")
    other = Store(tmp_path / "other")
    assert [artifact.job.id for artifact in other.artifacts() if not artifact.released] == ["fetch/one"]
    marks = {artifact.job.id: artifact.released.rule for artifact in other.artifacts() if artifact.released}
    assert marks == {"convert/model": "--files results", "convert/gone": "--keep results"}
    assert kit("store", "push", there, model[:12])[1].endswith(
        "pushed 1 artifacts, 19 bytes; 0 were there already, 0 faults\n"
    )
    assert (other.holds(model), other.check(model)) == (True, [])
    assert kit("store", "push", there, "--files", "results")[1].startswith("pushed 0 artifacts")
    assert other.holds(model)  # what is there stays


def test_damaged_bytes_are_not_taken(there: str, store: Store, kit: Kit, tmp_path: Path):
    key = make_job().key
    (store.root / "artifacts" / key / "rows.jsonl").write_text("{}\n" * 6)
    code, output = kit("store", "push", there, key)
    assert (code, Store(tmp_path / "other").committed()) == (1, [])
    assert f"{key[:10]}  fetch/one was not taken: " in output
    assert "the bytes that came are not those of its head; " in output
    assert output.startswith("pushed 0 artifacts, 0 bytes; 0 were there already, 1 faults\n")
    put_again(store, key)
    assert kit("store", "push", there, key)[0] == 0
    assert Store(tmp_path / "other").check(key) == []


def put_again(store: Store, key: str) -> None:
    store.remove(key)
    put(store, make_job())


def test_two_results_of_one_key_are_told_and_left(there: str, store: Store, kit: Kit, tmp_path: Path):
    key = make_job().key
    other = Store.open(tmp_path / "other")
    with other.lock(key), other.scratch(key) as out:
        (out / "rows.jsonl").write_text("otherwise")
        other.commit(make_job(), out, rows=1, facts={}, provenance={})
    before = contents(tmp_path / "other")
    code, output = kit("store", "push", there, key)
    assert (code, contents(tmp_path / "other")) == (1, before)
    assert output == (
        f"pushed 0 artifacts, 0 bytes; 0 were there already, 1 faults\n{key[:10]}  fetch/one: another result of this "
        "key is there, which differs in deep/b.txt, rows.jsonl; neither was changed: remove one, or compare them with "
        "`kit diff`\n"
    )


def test_a_job_that_a_run_works_on_is_left_to_it(there: str, store: Store, kit: Kit, tmp_path: Path):
    key = make_job().key
    other = Store.open(tmp_path / "other")
    with other.lock(key):
        code, output = kit("store", "push", there, key)
    if "host" in there and shutil.which("flock") is None:
        pytest.skip("needs flock, which is not here")
    assert (code, other.committed(), "fetch/one was not taken: " in output) == (1, [], True)
    assert kit("store", "push", there, key)[0] == 0


def test_a_damaged_head_is_one_fault_among_others(there: str, store: Store, kit: Kit, tmp_path: Path):
    kit("store", "push", there)
    (tmp_path / "other" / "artifacts" / make_job().key / "artifact.json").write_text("{}")
    code, output = kit("store", "pull", there, "--store", "third")
    assert (code, f"{make_job().key[:10]}  damaged" in output) == (0, True)
    assert "pulled 2 artifacts, 19 bytes; 0 were there already, 0 faults\n" in output


REFUSED = {
    "no store": ("pull nowhere", "store HERE/nowhere: no store there; name the folder that a run wrote with --store"),
    "the same store": ("push ./store/", "store HERE/store: both stores are this folder; name another one"),
    "something else": (
        "push full",
        "store HERE/full: something else is there; name a store, or a new folder, with --store",
    ),
    "a rule that is none": (
        "push other --files tables",
        "--files 'tables': wanted results, weights, all",
    ),
    "an address of the web": (
        "push https://host/x",
        "'https://host/x': wanted ssh://[user@]host[:port]/folder, [user@]host:folder or a folder",
    ),
    "an option as a host": (
        "pull -- -oProxyCommand=x:/y",
        "'-oProxyCommand=x:/y': wanted [user@]host:folder; a folder whose name has a colon is ./-oProxyCommand=x:/y",
    ),
    "keys and tables": ("push other 04 --table 2", "--table 2: goes without keys; name tables or keys"),
    "a scale of no table": (
        "push other --scale smoke",
        "--scale 'smoke': goes with --table; without, every artifact of any scale is copied",
    ),
    "a key that is not there": ("push other 77", "'77': no artifact there has this key; `kit store list` prints them"),
    "a start of all": ("push other ''", "'': is the start of 3 keys; give more of it; `kit store list` prints them"),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_requests_that_are_refused(words: str, message: str, store: Store, kit: Kit, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    code, output = kit("store", *(word.replace("''", "") for word in words.split()))
    assert (code, output) == (2, f"error: {message}\n")


def test_a_host_that_can_not_be_reached(store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stand_in_for_ssh(tmp_path, monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    code, output = kit("store", "push", "nobody:/x")
    assert (code, output) == (1, "error: nobody:/x: ssh: connect to host nobody port 22: Connection refused\n")
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "rsync" else name)
    code, output = kit("store", "push", "host:/x")
    assert (code, output) == (
        2,
        "error: host:/x: a store on another host is reached by rsync, which is not here; install it, or mount the "
        "store and name its folder\n",
    )


ANSWERS = {
    "nothing there": ("pull", "ssh://host{here}/nowhere", "no store there; name the folder that a run wrote"),
    "something else": ("push", "ssh://host{here}/full", "something else is there; name a store, or a new folder"),
    "another layout": ("push", "ssh://host{here}/later", "laid out as format 9, this kit reads 1"),
    "nothing that can be written": (
        "push",
        "host:/proc/store",
        "it can't be written there: no permission, or its disk is read-only",
    ),
}


@pytest.mark.parametrize("verb, place, message", ANSWERS.values(), ids=list(ANSWERS))
def test_stores_of_other_hosts_that_are_refused(
    verb: str, place: str, message: str, store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stand_in_for_ssh(tmp_path, monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    Store.open(tmp_path / "later").root.joinpath("format").write_text("9\n")
    code, output = kit("store", verb, place.format(here=tmp_path))
    assert (code, output.rpartition(f": {message}\n")[1:]) == (2, (f": {message}\n", ""))


def test_too_little_disk_is_told_before_the_first_byte(store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 37}))
    code, output = kit("store", "pull", "store", "--store", "third")
    assert (code, Store(Path("third")).committed()) == (2, [])
    assert output == (
        "error: store here: the artifacts to copy take 0.0 GB, 0.0 GB are free there; make room, name fewer, or leave "
        "models out with --files results\n"
    )


PLACES = {
    "a folder": ("/data/store", Place("/data/store")),
    "a folder with a colon": ("./a:b", Place("./a:b")),
    "a host": ("host:store", Place("store", "host")),
    "a user at a host": ("me@host.example:/data/my store", Place("/data/my store", "me@host.example")),
    "an address": ("ssh://me@host:2222/data", Place("/data", "me@host", 2222)),
    "IPv6": ("ssh://[::1]/data", Place("/data", "[::1]")),
}


@pytest.mark.parametrize("text, place", PLACES.values(), ids=list(PLACES))
def test_places(text: str, place: Place):
    assert place_of(text) == place


@pytest.mark.parametrize("text", ["", "a b:/x", "-l:/x", "ssh://-l/x", "ssh://host", "ssh://host:0/x", "host:a\nb"])
def test_places_that_are_none(text: str):
    with pytest.raises(RequestError):
        place_of(text)


def test_an_interrupted_copy_goes_on(store: Store, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from kit.transfers import folders

    real: Any = folders.FolderTarget._adopt

    def stop(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(folders.FolderTarget, "_adopt", stop)
    code, _ = kit("store", "push", "other")
    assert (code, Store(tmp_path / "other").committed(), len(list((tmp_path / "other" / "tmp").iterdir()))) == (
        130,
        [],
        1,
    )
    monkeypatch.setattr(folders.FolderTarget, "_adopt", real)
    assert kit("store", "push", "other")[0] == 0
    assert contents(tmp_path / "other") == contents(store.root)
    assert list((tmp_path / "other" / "tmp").iterdir()) == []
