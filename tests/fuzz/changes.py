"""Changes to files that somebody else may have written: values, bytes, and what kind of file it is.

A change is a list of JSON values, so that a failing one is a small file that can be played back:

    ["set", ["job", "params"], 7]       a value of a JSON document, by its path
    ["delete", ["rows"]]                a key, or an item of a list
    ["add", ["files"], "x", {}]         a key that was not there
    ["cut", 0.5]                        the first half of the bytes
    ["insert", 0.5, "ff00"]             bytes, in hex, in the middle
    ["become", "fifo"]                  another kind of file in its place
"""

import copy
import json
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

RAW = {
    "infinity": "Infinity",
    "minus-infinity": "-Infinity",
    "nan": "NaN",
    "beyond-float": "1e999",
    "digits": "9" * 5_000,
    "deep-list": "[" * 50_000 + "]" * 50_000,
    "deep-object": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "nested": "[" * 90 + "]" * 90,
    "long": '"' + "x" * 200_000 + '"',
    "many": "[" + "1," * 50_000 + "1]",
}
"""Name -> JSON text that no Python value stands for, or that would fill a played-back file; written ``"@@nan@@"``."""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e-300, 1e300),
    *("", " ", "x", "1", "null", "true", "cpu", "\x00", "a\x00b", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\r\n\t"),
    *("../../outside/victim", "/etc/passwd", "/dev/zero", "..", ".", "a/b", "C:\\x", "\ud800", "\u202egpj", "\u200b"),
    *("\x85", "\u2028", "\ufeff", "\N{COMBINING ACUTE ACCENT}" * 40, "file:///etc/passwd", "http://127.0.0.1:9/x"),
    *([], [1], [None], [[]], ["x", 1], {}, {"a": 1}, {"": None}, {"x": {"y": []}}),
    *(f"@@{name}@@" for name in RAW),
)
"""Values that are put where others stood."""
NAMES = ("x", "", "rows", "key", "auto_map", "__class__", "\x1b[2J", "../x", "\ud800", "a" * 300)
"""Names of keys that are added."""
BYTES = ("00", "ff", "fe80", "1b5b324a", "c0af", "eda080", "7b", "5d", "22", "2c", "0a", "0d0a", "efbbbf")
"""Bytes that are put in, in hex: NUL, no UTF-8, a terminal escape, an overlong slash, half a character, brackets."""
KINDS = (
    "fifo",
    "folder",
    "link-zero",
    "link-file",
    "link-self",
    "link-nowhere",
    "socket",
    "empty",
    "missing",
    "random",
)
"""Kinds of thing that a file may become."""


def as_written(value: Any) -> Any:
    """Return the text that a file holds where the name of a long text of :data:`RAW` stands; all else as it is."""
    return json.loads(RAW["long"]) if value == "@@long@@" else value


def dumped(value: Any) -> bytes:
    """Return the JSON text of a value, with the pieces of :data:`RAW` in place of their names."""
    text = json.dumps(value, indent=1)
    return re.sub(r'"@@([a-z-]+)@@"', lambda match: RAW.get(match[1], match[0]), text).encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value inside a JSON value, its own (empty) first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*path, name))


def value_change(rng: Random, value: Any) -> list[Any]:
    """Return one change to a JSON document."""
    paths = list(places(value))
    path = list(rng.choice(paths[1:] or paths))
    kind = rng.choice(("set", "set", "set", "delete", "add")) if path else "set"
    if kind == "delete":
        return ["delete", path]
    if kind == "add":
        tables = [list(one) for one in paths if isinstance(at(value, one), dict)]
        return ["add", rng.choice(tables or [[]]), rng.choice(NAMES), rng.choice(VALUES)]
    found = at(value, path)
    near = [found + 1, found - 1, -found, str(found)] if type(found) in (int, float) else []
    near += [f"{found} ", found.upper(), found[:-1], [found], {"x": found}] if isinstance(found, str) else []
    return ["set", path, rng.choice(near) if near and rng.random() < 0.3 else rng.choice(VALUES)]


def byte_change(rng: Random) -> list[Any]:
    """Return one change to the bytes of a file."""
    if rng.random() < 0.4:
        return ["cut", round(rng.random(), 4)]
    return ["insert", round(rng.random(), 4), rng.choice(BYTES) * rng.choice((1, 1, 3))]


def any_change(rng: Random, value: Any) -> list[Any]:
    """Return one change to a JSON file: mostly of a value, else of its bytes or of its kind."""
    pick = rng.random()
    if pick < 0.7:
        return value_change(rng, value)
    return byte_change(rng) if pick < 0.85 else ["become", rng.choice(KINDS)]


def at(value: Any, path: Any) -> Any:
    """Return the value at a path."""
    for part in path:
        value = value[part]
    return value


def changed(value: Any, change: list[Any]) -> Any:
    """Return a JSON document after a change of values.

    Raises:
        LookupError: the document has no such place; the one that the change was made for was another.
    """
    value = copy.deepcopy(value)
    kind, path, *rest = change
    if kind == "add":
        at(value, path)[rest[0]] = rest[1]
        return value
    if not path:
        return rest[0] if rest else None
    inner = at(value, path[:-1])
    if kind == "delete":
        del inner[path[-1]]
    else:
        inner[path[-1]] = rest[0]
    return value


def change_file(path: Path, change: list[Any], render: Callable[[Any], bytes] = dumped) -> bool:
    """Change a file on the disk; return whether it is another file now than before, byte for byte.

    Args:
        path: a JSON file, or one that ``render`` writes.
        change: see the head of this file.
        render: a JSON value -> the file's bytes.
    """
    before = path.read_bytes()
    if change[0] == "become":
        become(path, change[1])
        return change[1] != "empty" or bool(before)
    if change[0] in ("cut", "insert"):
        cut = int(len(before) * change[1])
        after = before[:cut] + (bytes.fromhex(change[2]) + before[cut:] if change[0] == "insert" else b"")
    else:
        after = render(changed(json.loads(before), change))
    path.write_bytes(after)
    return after != before


def become(path: Path, kind: str) -> None:
    """Put another kind of file in the place of one."""
    data = path.read_bytes()
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link-file":  # to the same bytes elsewhere: nothing is wrong with them but where they are
        other = path.with_name(f"{path.name}.elsewhere")
        other.write_bytes(data)
        path.symlink_to(other)
    elif kind.startswith("link-"):
        path.symlink_to({"link-zero": "/dev/zero", "link-self": path.name, "link-nowhere": "/no/such/file"}[kind])
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            here = os.open(path.parent, os.O_RDONLY)  # a socket's address may have 107 bytes, a path more
            try:
                one.bind(f"/proc/self/fd/{here}/{path.name}")
            finally:
                os.close(here)
    elif kind == "random":
        path.write_bytes(Random(0).randbytes(4_096))
    elif kind == "empty":
        path.write_bytes(b"")


def tree(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: path -> its kind and the head of its bytes; no link is followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = f"{path.stat().st_mode:o} {path.read_bytes()[:4_096]!r}"
        else:
            found[name] = f"{path.lstat().st_mode:o}"
    return found


def fresh(folder: Path) -> Path:
    """Return an empty folder, whatever was there before."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
