"""Files that people have by mistake or by other tools' habits: read as meant, or refused with the likely cure."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.files.seeds import read_training

A, B = '{"instruction": "a", "output": "b"}', '{"instruction": "c", "output": "d"}'


def write(folder: Path, text: str | bytes, name: str = "c") -> Path:
    """Write a file without a known ending of its name."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def workbook() -> bytes:
    """Return the beginning of an Excel workbook."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    return packed.getvalue()


# Each of these was "not JSON: ...; is the file cut off?" or "not UTF-8"; pages and pointers were read as lines of
# instructions where the ending of their name did not say JSON.
OTHER_FILES: dict[str, tuple[str | bytes, str]] = {
    "objects on one line": (
        f"{A} {B}",
        ":1: not JSON: Extra data: column 37; wanted each object on a line of its own, or one JSON list",
    ),
    "objects over several lines": (
        f"{A}\n{B}".replace("{", "{\n"),
        ":1: not JSON: Expecting property name enclosed in double quotes: column 2; does it go on in the next line? "
        "Wanted each object whole on a line of its own, or one JSON list",
    ),
    "commas between lines": (
        f"{A},\n{B},\n",
        ":1: not JSON: Extra data: column 36; leave out the commas between the lines, or put all into one JSON list",
    ),
    "a list without commas": (
        f"[\n{A}\n{B}\n]",
        ": not JSON: Expecting ',' delimiter: line 3 column 1; is a comma lacking before it?",
    ),
    "two lists": (
        f"[{A}]\n[{B}]",
        ": not JSON: Extra data: line 2 column 1; wanted each object on a line of its own, or one JSON list",
    ),
    "Python's quotes": (
        "{'instruction': 'a'}",
        ":1: not JSON: Expecting property name enclosed in double quotes: column 2; wanted names and texts in double "
        "quotes, as json.dumps writes them",
    ),
    "a pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        ": a pointer of Git LFS in the place of the file; fetch the file itself (git lfs pull)",
    ),
    "a page": (
        "\n<!DOCTYPE html>\n<html>404</html>",
        ": a web page or XML, as a server may send it for a file; download the file itself",
    ),
    "a workbook": (workbook(), ": an Excel workbook or another Office file; save it as CSV in UTF-8"),
    "an old workbook": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        ": an old Excel or Word file; save it as CSV in UTF-8",
    ),
    "Arrow": (b"ARROW1\0\0\xff\xff", ": an Arrow file; write its rows as JSONL or Parquet"),
    "bytes behind gzip": (
        gzip.compress(A.encode()) + b"more",
        ": other bytes follow the packed text; unpack it, and pack it anew",
    ),
}


@pytest.mark.parametrize(("text", "message"), OTHER_FILES.values(), ids=list(OTHER_FILES))
def test_other_files(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RequestError) as error:
        read_training(path)
    assert str(error.value) == f"{path}{message}"


def test_a_comma_at_the_end_is_told(tmp_path: Path) -> None:
    # Python 3.11 points behind the comma, 3.13 at it
    path = write(tmp_path, f"[{A},]")
    with pytest.raises(RequestError, match=r"not JSON: .*; leave out the comma before it$"):
        read_training(path)
