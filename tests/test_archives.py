import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.reading import archives
from kit.reading.archives import kind_of_archive, read_members


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """The bytes of a tar archive, whatever its headers say."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def plain(name: str, data: bytes, kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    return info, data


def zipped(*files: tuple[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return sink.getvalue()


def sized(data: bytes, size: bytes) -> bytes:
    """A tar archive whose first header states another size, with the right checksum."""
    header = bytearray(data[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def test_reads_what_is_wanted_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x"
    link = plain("c.csv", b"", tarfile.SYMTYPE, "/etc/passwd")
    path.write_bytes(tar(plain("b.csv", b"b"), plain("a.csv", b"a"), plain("a.txt", b""), link))
    assert [(one.name, one.data) for one in read_members(path, lambda name: name.endswith(".csv"))] == [
        ("a.csv", b"a"),
        ("b.csv", b"b"),
    ]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (tar(plain("a", b"")), "tar"),
        (zipped(("a", b"")), "zip"),
        (b'{"a": 1}', ""),
        (b"", ""),
        (gzip.compress(b""), ""),
        (gzip.compress(b'{"a": 1}')[:9], ""),
    ],
    ids=["tar", "zip", "json", "empty", "gzip", "gzip-cut-off"],
)
def test_kinds(data: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    assert kind_of_archive(tmp_path / "x") == kind


def test_a_packed_tar_is_named(tmp_path: Path) -> None:
    # was told to unpack it and to name the folder, which no benchmark of an archive reads
    (tmp_path / "x").write_bytes(gzip.compress(tar(plain("a", b"x"))))
    with pytest.raises(RequestError) as error:
        kind_of_archive(tmp_path / "x")
    message = "a tar archive packed by gzip; unpack it with gunzip, and name the .tar file"
    assert str(error.value) == f"{tmp_path / 'x'}: {message}"


def test_a_zip_that_states_less_than_it_holds_is_read_no_further(tmp_path: Path) -> None:
    # its files were unpacked whole, 1,000 times the archive's size, before the check sum told
    data = bytearray(zipped(("a", b"\0" * (32 << 20))))
    for place in (22, data.rfind(b"PK\x01\x02") + 24):
        data[place : place + 4] = (100).to_bytes(4, "little")
    (tmp_path / "x").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(RequestError, match="cannot be unpacked"):
            read_members(tmp_path / "x", lambda _: True)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


BIG = b"\x80" + b"\0" * 3 + b"\x7f" * 8
"""A size of tar in base 256: more than any disk holds."""
BACK = b"\xff" * 10 + b"\xfc\x00"
"""A size below 0, which leads back to the header: Python's own loop over such an archive had no end."""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            lambda: tar(plain("a", b"x"), plain("a", b"y")),
            "/a: the path stands twice in the archive; which of the two counts?",
            id="twice",
        ),
        pytest.param(
            lambda: zipped(("a", b"\0" * (archives.MOST_BYTES + 1))),
            "/a: 16,777,217 bytes; no set of questions has so many, is it another set?",
            id="bomb",
        ),
        pytest.param(
            lambda: sized(tar(plain("a", b"x")), BIG),
            "/a: 9,187,201,950,435,737,471 bytes; no set of questions has so many, is it another set?",
            id="huge-header",
        ),
        pytest.param(
            lambda: tar(plain("a", b"x" * 2000))[:1024],
            ": cannot be unpacked (unexpected end of data); is it cut off?",
            id="cut-off",
        ),
        pytest.param(
            lambda: zipped(("a", b"x" * 2000))[:40],
            ": cannot be unpacked (File is not a zip file); is it cut off?",
            id="zip-cut-off",
        ),
        pytest.param(
            lambda: zipped(*((str(number), b"") for number in range(11))),
            ": more than 10 files, which no such archive has",
            id="many-in-a-zip",
        ),
        pytest.param(
            lambda: tar(*(plain(str(number), b"") for number in range(11))),
            ": more than 10 files, which no such archive has",
            id="many-in-a-tar",
        ),
    ],
)
def test_archives_made_to_mislead_are_refused(
    make: Callable[[], bytes], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 10)
    path = tmp_path / "x"
    path.write_bytes(make())
    with pytest.raises(RequestError) as error:
        read_members(path, lambda _: True)
    assert str(error.value) == f"{path}{message}"


def test_a_huge_archive_is_refused_before_it_is_read(tmp_path: Path) -> None:
    # one header of it could take four times as much memory
    path = tmp_path / "x"
    path.write_bytes(tar(plain("a", b"x")))
    with path.open("r+b") as file:
        file.truncate(archives.MOST_PACKED + 1)
    with pytest.raises(RequestError) as error:
        read_members(path, lambda _: True)
    message = "536,870,913 bytes; no set of questions has so many, is it another archive?"
    assert str(error.value) == f"{path}: {message}"


def test_a_size_below_zero_ends(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(sized(tar(plain("a", b"x")), BACK))
    with pytest.raises(RequestError, match=r"is it cut off|begins inside another"):
        read_members(path, lambda _: True)
