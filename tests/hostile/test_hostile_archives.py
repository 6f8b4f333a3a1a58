"""Archives and folders of completions that are made to fill a disk or memory: each is refused in a sentence."""

import gzip
import zipfile
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.files.completions import read_completions
from kit.records import Problem
from tests.hostile.test_hostile_files import message


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_archives_nested_too_deep_are_refused(tmp_path: Path):
    """An archive that contains itself was unpacked without end."""
    inner = zipped(tmp_path / "a.zip", {"c.jsonl": b"{}"}).read_bytes()
    middle = zipped(tmp_path / "b.zip", {"a.zip": inner}).read_bytes()
    outer = zipped(tmp_path / "c.zip", {"b.zip": middle})
    assert message(outer) == f"{outer}/b.zip/a.zip: an archive in an archive in an archive; unpack it first"


def test_a_file_numbered_by_five_thousand_digits(tmp_path: Path):
    """Such a file name ended in a ValueError; files are still sorted by their numbers."""
    from kit.files.completions.opening import natural

    path = zipped(tmp_path / "c.zip", {f"c_{5000 * '9'}.json": b"[", "c_10.json": b"[", "c_9.json": b"["})
    assert message(path).startswith(f"{path}/c_9.json: not JSON: ")
    assert sorted(["x_10", "x_2", "x_", "x_002", "x_11y1", "x_11y"], key=natural) == [
        *("x_", "x_2", "x_002", "x_10", "x_11y", "x_11y1")
    ]


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.files.completions.opening.MOST_FILES", 2)
    path = zipped(tmp_path / "c.zip", {f"{n}.json": b"" for n in range(3)})
    assert message(path) == f"{path}: more than 2 files; pack the run's own folder"
    for n in range(2):
        (tmp_path / f"{n}.json").touch()
    assert message(tmp_path) == f"{tmp_path}: more than 2 files; name the run's own folder"


def test_any_damage_of_an_archive_is_reported_in_a_sentence(tmp_path: Path):
    """Damage at some bytes raised the library's errors: zlib.error, NotImplementedError, UnicodeDecodeError."""
    good = zipped(tmp_path / "c.zip", {"c\u00e9.jsonl": b'{"id": "0", "text": "2"}' * 3}).read_bytes()
    problems = [Problem(id="0", data={"question": "1 + 1?"})]
    for place in range(len(good)):
        for flip in (0x01, 0x80, 0xFF):
            data = bytearray(good)
            data[place] ^= flip
            (tmp_path / "c.zip").write_bytes(bytes(data))
            with pytest.raises(RequestError):
                read_completions(tmp_path / "c.zip", problems)


def test_a_packed_file_that_unpacks_to_a_thousand_times_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Four GiB were unpacked before such a file was refused."""
    monkeypatch.setattr("kit.reading.textfiles.BOMB_BYTES", 2**21)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(4 * 2**20 * b"\0", 9))
    size = (tmp_path / "c.jsonl.gz").stat().st_size
    assert message(tmp_path / "c.jsonl.gz") == (
        f"{tmp_path}/c.jsonl.gz: unpacks to more than 500 times its {size:,} bytes; no rows do"
    )
