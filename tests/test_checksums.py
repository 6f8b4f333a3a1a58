"""Hashes of files, against values that git and sha256sum print."""

from pathlib import Path

import pytest

from kit.files.checksums import Difference, FileHashes, difference, file_hashes

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# `printf ... | git hash-object --stdin`; the third is the Pro Git book's own example.
BLOBS = {
    "nothing": (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"),
    "a line": (b"hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"),
    "no line break": (b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37"),
    "a zero byte": (b"\0", "f76dd238ade08917e6712764a16a22005a50573d"),
    "CRLF counts": (b"hello\r\n", "ef0493b275aa2080237f676d2ef6559246f56636"),
}


@pytest.mark.parametrize("content, blob", BLOBS.values(), ids=list(BLOBS))
def test_git_blob(content: bytes, blob: str, tmp_path: Path):
    (path := tmp_path / "f").write_bytes(content)
    assert file_hashes(path).git_blob == blob


def test_a_file_of_more_than_one_block(tmp_path: Path):
    # 3 MiB of zeros: `head -c 3145728 /dev/zero | git hash-object --stdin`, `... | sha256sum`
    (path := tmp_path / "f").write_bytes(bytes(3 << 20))
    assert file_hashes(path) == FileHashes(
        sha256="bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5",
        git_blob="b7f1f882873aaf18ecf6104b88fd1a7bfee58d7b",
    )


DIFFERENCES = {
    "nothing is known": (None, None, None),
    "both agree": (EMPTY, BLOBS["nothing"][1], None),
    "the sha256 differs": ("0" * 64, BLOBS["nothing"][1], Difference("sha256", EMPTY, "0" * 64)),
    "the blob alone differs": (EMPTY, "1" * 40, Difference("git blob id", BLOBS["nothing"][1], "1" * 40)),
    "the blob alone is known": (None, "1" * 40, Difference("git blob id", BLOBS["nothing"][1], "1" * 40)),
    "both differ": ("0" * 64, "1" * 40, Difference("sha256", EMPTY, "0" * 64)),
}


@pytest.mark.parametrize("sha256, git_blob, wanted", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_the_hash_that_differs_is_named(
    sha256: str | None, git_blob: str | None, wanted: Difference | None, tmp_path: Path
):
    (path := tmp_path / "f").write_bytes(b"")
    assert difference(path, sha256=sha256, git_blob=git_blob) == wanted
