"""Questions with four options, written as each kind of file that MMLU and C-Eval come as."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Table = Sequence[Sequence[str]]
DEV: Table = [[f"Example {n}?", "w", "x", "y", "z", "ABCDA"[n]] for n in range(5)]
ROW = {"subject": "anatomy", "question": "Q?", "choices": ["a", "b", "c", "d"], "answer": 1}


def as_csv(rows: Table, columns: Sequence[str] = ()) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([columns, *rows] if columns else rows)
    return text.getvalue().encode()


def as_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


def as_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


TESTS: Mapping[str, Table] = {
    "virology": [["A, quoted question?", "one", "two\nlines", "three", "4", "C"]],
    "anatomy": [["First?", "a", "b", "c", "d", "B"], ["Second?", "a", "b", "c", "d", "D"]],
}


def mmlu_files() -> dict[str, bytes]:
    """The files of MMLU's ``data.tar``, beside some that are not read."""
    files = {f"data/test/{name}_test.csv": as_csv(rows) for name, rows in TESTS.items()}
    files |= {f"data/dev/{name}_dev.csv": as_csv(DEV) for name in TESTS}
    others = (
        "data/README.txt",
        "data/auxiliary_train/race.csv",
        "data/val/anatomy_val.csv",
        "data/test/._anatomy_test.csv",
    )
    return files | dict.fromkeys(others, b"\xff\x00 nothing that is read")


def mmlu_rows() -> list[dict[str, Any]]:
    """The same as rows of the hub."""
    return [
        {"subject": name, "split": split, "question": q, "choices": c, "answer": "ABCD".index(a)}
        for name in TESTS
        for split, rows in (("test", TESTS[name]), ("dev", DEV))
        for q, *c, a in rows
    ]


def made(kind: str, folder: Path) -> Path:
    """The same questions as a file of another kind."""
    rows = mmlu_rows()
    if kind == "jsonl":
        return as_jsonl(folder / "x.jsonl", rows)
    if kind == "parquet":
        path = folder / "x.parquet"
        path.write_bytes(as_parquet(rows))
        return path
    if kind == "zip of parquet":
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            parts.setdefault(f"{row['subject']}/{row['split']}-00000-of-00001.parquet", []).append(row)
        return as_zip(folder / "x.zip", {name: as_parquet(some) for name, some in parts.items()})
    return (as_tar if kind == "tar" else as_zip)(folder / f"data.{kind}", mmlu_files())
