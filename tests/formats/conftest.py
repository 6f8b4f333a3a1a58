"""Writing of the files that the tests of formats read."""

from pathlib import Path


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path
