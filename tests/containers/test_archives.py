"""Archives are unpacked alike on every Python 3.11, and nothing leads out of the folder."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from kit.errors import KitError
from kit.images.archives import unpack


def archive(*members: tuple[str, str, str]) -> tarfile.TarFile:
    """Return an archive with these members: (kind, name, content or target)."""
    kinds = {
        "file": tarfile.REGTYPE,
        "folder": tarfile.DIRTYPE,
        "link": tarfile.SYMTYPE,
        "same": tarfile.LNKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "device": tarfile.CHRTYPE,
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for kind, name, text in members:
            member = tarfile.TarInfo(name)
            member.type, member.mtime = kinds[kind], 7
            member.mode = 0o4755 if name.endswith(".sh") or kind == "folder" else 0o640
            if kind == "file":
                member.size = len(text.encode())
            else:
                member.linkname = text
            tar.addfile(member, io.BytesIO(text.encode()) if kind == "file" else None)
    data.seek(0)
    return tarfile.open(fileobj=data)


def test_files_folders_and_links_come_out_with_their_modes_and_times(tmp_path: Path) -> None:
    # `extractall(filter=...)` is an error before Python 3.11.4: `make images` ended in a traceback on Debian 12.
    before = os.umask(0o077)
    try:
        with archive(
            ("folder", "a", ""),
            ("file", "a/run.sh", "#!/bin/sh\n"),
            ("file", "a/./b/../text", "naïve"),
            ("file", "deep/er/text", "no folder of its own"),
            ("link", "a/link", "run.sh"),
            ("link", "deep/up", "../a/text"),
            ("same", "a/twice", "a/text"),
            ("file", "empty", ""),
        ) as tar:
            unpack(tar, tmp_path)
    finally:
        os.umask(before)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()) == [
        "a/link", "a/run.sh", "a/text", "a/twice", "deep/er/text", "deep/up", "empty",
    ]  # fmt: skip
    assert (tmp_path / "deep" / "up").read_text(encoding="utf-8") == "naïve"
    assert (tmp_path / "a" / "link").readlink() == Path("run.sh")
    assert (tmp_path / "a" / "twice").stat().st_ino == (tmp_path / "a" / "text").stat().st_ino
    found = {name: (tmp_path / name).stat() for name in ("a", "a/run.sh", "a/text")}
    assert {name: (oct(stat.st_mode & 0o7777), int(stat.st_mtime)) for name, stat in found.items()} == {
        "a": ("0o755", 7),
        "a/run.sh": ("0o755", 7),
        "a/text": ("0o640", 7),
    }


OUTSIDE = {
    "up": ((("file", "../x", ""),), "archive: ../x leads out of its folder (../x)"),
    "down and up": ((("file", "a/../../x", ""),), "archive: a/../../x leads out of its folder (a/../../x)"),
    "absolute": ((("file", "/x", ""),), "archive: /x leads out of its folder (/x)"),
    "an absolute link": ((("link", "x", "/etc"),), "archive: x leads out of its folder (/etc)"),
    "a link up": ((("link", "a/x", "../../etc"),), "archive: a/x leads out of its folder (a/../../etc)"),
    "a second name of a file outside": ((("same", "x", "../y"),), "archive: x leads out of its folder (../y)"),
    "a pipe": ((("pipe", "x", ""),), "archive: x is neither a file nor a folder nor a link"),
    "a device": ((("device", "x", ""),), "archive: x is neither a file nor a folder nor a link"),
}


@pytest.mark.parametrize(("members", "message"), OUTSIDE.values(), ids=list(OUTSIDE))
def test_links_and_names_that_lead_out_of_the_folder_are_refused(
    members: tuple[tuple[str, str, str], ...], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with archive(*members) as tar, pytest.raises(KitError) as caught:
        unpack(tar, folder)
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == [folder]


def test_a_chain_of_links_that_leads_out_is_refused(tmp_path: Path) -> None:
    """Refuse two links that stay inside by their own paths, but lead out one through the other."""
    folder = tmp_path / "folder"
    folder.mkdir()
    members = (("folder", "a", ""), ("link", "b", "a"), ("link", "b/up", ".."), ("link", "c", "b/up/.."))
    with archive(*members, ("file", "c/x", "")) as tar, pytest.raises(KitError, match="leads out of its folder"):
        unpack(tar, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    with (
        archive(("file", "x", "1"), ("file", "x", "2")) as tar,
        pytest.raises(KitError, match=r"^archive: x is in it twice$"),
    ):
        unpack(tar, tmp_path)
    assert (tmp_path / "x").read_text() == "1"
