"""Commands that are run while images are built: what they print goes to ``.cache/images/build.log``."""

import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.catalogue import ROOT
from kit.containers import engine_environment
from kit.errors import KitError

CACHE = ROOT / ".cache" / "images"


def read_toml(name: str) -> dict[str, Any]:
    """A file of ``docker/``."""
    return tomllib.loads((ROOT / "docker" / name).read_text(encoding="utf-8"))


def runtime_of(builder: str) -> str:
    """What runs what was built: buildah and podman share their images."""
    return "docker" if builder == "docker" else "podman"


def say(text: str) -> None:
    """A line on standard output."""
    print(f"images: {text}", flush=True)


def run(words: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, its output in the log.

    Raises:
        KitError: it failed; with the last lines it printed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "build.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(words)}\n")
        file.flush()
        began = file.tell()
        code = subprocess.run(
            words, cwd=cwd, env={**engine_environment(), **(env or {})}, stdout=file, stderr=file, check=False
        ).returncode
    if code:
        with log.open(encoding="utf-8", errors="replace") as file:
            file.seek(began)
            last = [line.strip() for line in file if line.strip()][-3:]
        raise KitError(f"{words[0]} ended with {code}: {' / '.join(last)} (log: {log})")


def output(words: Sequence[str], *, check: bool = True) -> str:
    """What a command prints.

    Raises:
        KitError: it failed.
    """
    found = subprocess.run(words, env=engine_environment(), text=True, capture_output=True, check=False)
    if check and found.returncode:
        raise KitError(f"{words[0]} ended with {found.returncode}: {found.stderr.strip()}")
    return found.stdout


def succeeds(words: Sequence[str], timeout_s: float = 60.0) -> bool:
    """Whether a command ends well."""
    try:
        found = subprocess.run(words, env=engine_environment(), capture_output=True, check=False, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return found.returncode == 0
