"""Data sets of several files: one artifact, each file checked by its own hash, wherever they come from."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kit.catalogue.entries import Dataset
from kit.errors import KitError, RequestError
from kit.plan.sources import BUNDLED, data_source, prompts_source
from kit.run.worker import JobContext
from kit.stages import Summary, data_path, fetch

BYTES = {"a.json": b"[1]\n", "b.json": b"[2]\n"}
FILES = {name: hashlib.sha256(content).hexdigest() for name, content in BYTES.items()}


def silent(kind: str, **fields: Any) -> None:
    """Ignore the worker's events, which these tests do not check."""


def context(mirror: Path | None = None) -> JobContext:
    return JobContext(rank=0, world=1, mirror=mirror, unsafe_exec=False, emit=silent)


def dataset(**fields: Any) -> Dataset:
    return Dataset(format="followbench", licence="mine", **fields)


ONLINE = {"url": "https://a.example/c/{file}", "mirror": "m", "files": FILES}


def get(data: Dataset, out: Path, where: JobContext, folder: Path | None = None) -> Summary:
    """Run the fetch job of a data set, as a plan has it."""
    params, where.source = data_source(data, folder)
    out.mkdir(exist_ok=True)
    return fetch.run(params, {}, out, where)


def filled(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in BYTES.items():
        (folder / name).write_bytes(content)
    return folder


def test_files_of_a_mirror_become_one_artifact(tmp_path: Path) -> None:
    filled(tmp_path / "mirror" / "m")
    summary = get(dataset(**ONLINE), tmp_path / "out", context(tmp_path / "mirror"))
    assert summary == Summary(rows=2, facts={"from": "https://a.example/c/{file}"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == BYTES


def test_a_folder_of_the_users_own_has_the_key_of_the_same_files_elsewhere(tmp_path: Path) -> None:
    folder = filled(tmp_path / "mine")
    own = dataset(file="mine")
    assert data_source(own, tmp_path) == ({"kind": "files", "files": FILES}, {"path": str(folder)})
    assert data_source(own, tmp_path)[0] == data_source(dataset(**ONLINE), None)[0]
    get(own, tmp_path / "out", context(), tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == BYTES


def test_one_changed_file_is_refused(tmp_path: Path) -> None:
    filled(tmp_path / "mirror" / "m")
    (tmp_path / "mirror" / "m" / "b.json").write_bytes(b"[3]\n")
    with pytest.raises(KitError) as error:
        get(dataset(**ONLINE), tmp_path / "out", context(tmp_path / "mirror"))
    found = hashlib.sha256(b"[3]\n").hexdigest()
    assert str(error.value) == (
        f"b.json from mirror:m/b.json: sha256 is {found}, the manifest pins {FILES['b.json']}; the file is damaged "
        "or is not the pinned revision"
    )


def test_a_changed_bundled_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    pinned = {path.name: "0" * 64 for path in (BUNDLED / "mini-followbench").iterdir()}
    first = BUNDLED / "mini-followbench" / min(pinned)
    found = hashlib.sha256(first.read_bytes()).hexdigest()
    with pytest.raises(RequestError) as error:
        data_source(dataset(bundled="mini-followbench", files=pinned), tmp_path)
    assert str(error.value) == f"{first}: sha256 is {found}, the manifest says {'0' * 64}; another file?"


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(RequestError) as error:
        data_source(dataset(file="mine"), tmp_path)
    assert str(error.value) == f"{tmp_path / 'mine'}: a folder without files; wanted a data file, or the folder of some"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param(
            {**ONLINE, "sha256": "0" * 64},
            "sha256 is that of one file, and 'files' names 2; leave one of them out",
            id="one hash for two files",
        ),
        pytest.param(
            {"file": "mine", "files": FILES},
            "file is that of one file, and 'files' names 2; leave one of them out",
            id="a file of one's own beside them",
        ),
        pytest.param(
            {**ONLINE, "url": "https://a.example/c/a.json"},
            "'files' names 2, and url ends in none; wanted '/{file}' at its end",
            id="an address without a place for a name",
        ),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        dataset(**fields)
    assert [found["msg"] for found in error.value.errors()] == [f"Value error, {message}"]


def test_an_artifact_of_one_file_is_read_as_the_file_and_of_several_as_the_folder(tmp_path: Path) -> None:
    (tmp_path / "artifact.json").write_text("{}", encoding="utf-8")
    with pytest.raises(KitError) as error:
        data_path(tmp_path)
    assert str(error.value) == f"{tmp_path.name[:12]}: wanted one file, found none"
    (tmp_path / "a.json").write_bytes(b"[]")
    assert data_path(tmp_path) == tmp_path / "a.json"
    (tmp_path / "b.json").write_bytes(b"[]")
    assert data_path(tmp_path) == tmp_path


def test_a_prompt_file_without_a_hash_is_taken_from_its_own_address_alone(tmp_path: Path) -> None:
    found = prompts_source("followbench")
    assert found is not None
    params, source = found
    assert params["files"] == {"code/gpt4_based_evaluation.py": None}
    assert params["url"] == source["url"]  # the key has the address, since it has no hash
    where = context(tmp_path)
    where.source = {**source, "url": "https://b.example/{file}"}
    with pytest.raises(KitError) as error:
        fetch.run(params, {}, tmp_path / "out", where)
    assert str(error.value) == (
        "'https://b.example/{file}': no hash is pinned, and its place is another address than its job names"
    )
    (tmp_path / source["mirror"] / "code").mkdir(parents=True)
    (tmp_path / source["mirror"] / "code" / "gpt4_based_evaluation.py").write_text("x = 1\n", encoding="utf-8")
    where.source = source
    fetch.run(params, {}, tmp_path / "out", where)
    assert (tmp_path / "out" / "code" / "gpt4_based_evaluation.py").read_text(encoding="utf-8") == "x = 1\n"


@pytest.mark.parametrize("pack", ["kit", "opencompass"])
def test_packs_that_are_shipped_fetch_nothing(pack: str) -> None:
    assert prompts_source(pack) is None
