"""The three commands of ``kit export`` that write results: what is written, what is refused, the same bytes."""

from pathlib import Path

import pytest

from tests.conftest import Kit
from tests.exports.conftest import Exported

FORMATS = ("lm-eval", "inspect", "ro-crate")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words(exported: Exported, format: str, out: Path) -> list[str]:
    manifest = next(exported.folder.glob("*.toml"))
    return ["export", format, str(manifest), "--store", str(exported.store.root), "--out", str(out)]


@pytest.mark.parametrize("format", FORMATS)
def test_a_command_writes_the_same_bytes_again(format: str, kit: Kit, exported: Exported, tmp_path: Path):
    for name in ("one", "two"):
        code, out, err = kit(*words(exported, format, tmp_path / name))
        assert (code, err) == (0, "")
        assert f"{len(contents(tmp_path / name)):,} files" in out
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_with_something_in_it_is_refused(format: str, kit: Kit, exported: Exported, tmp_path: Path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine").write_text("mine")
    code, out, err = kit(*words(exported, format, tmp_path / "kept"))
    assert (code, out) == (2, "")
    assert "the folder is not empty; name a new one, or empty it" in " ".join(err.split())
    assert contents(tmp_path / "kept") == {"mine": b"mine"}


@pytest.mark.parametrize("format", FORMATS)
def test_jobs_that_are_not_done_are_told_with_the_command_that_does_them(
    format: str, kit: Kit, exported: Exported, tmp_path: Path
):
    from kit.store import Store

    Store.open(tmp_path / "new")
    given = words(exported, format, tmp_path / "out")
    given[given.index("--store") + 1] = str(tmp_path / "new")
    code, out, err = kit(*given)
    assert (code, out) == (1, "")
    said = " ".join(err.split())
    assert "are not done, the first is " in said
    assert "run: kit reproduce " in said
    assert not (tmp_path / "out").exists()
