"""Commands that are run while images are built: what they print goes to ``.cache/images/build.log``."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.catalogue import ROOT
from kit.containers.client import engine_environment
from kit.errors import KitError, RequestError

CACHE = ROOT / ".cache" / "images"


def say(text: str) -> None:
    """Print a line on standard output."""
    print(f"images: {text}", flush=True)


def run(words: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, its output in the log.

    Raises:
        KitError: it failed; with the last lines it printed.
        RequestError: it is not installed.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "build.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(words)}\n")
        file.flush()
        began = file.tell()
        try:
            code = subprocess.run(
                words, cwd=cwd, env={**engine_environment(), **(env or {})}, stdout=file, stderr=file, check=False
            ).returncode
        except FileNotFoundError as error:
            raise _missing(words[0]) from error
    if code:
        with log.open(encoding="utf-8", errors="replace") as file:
            file.seek(began)
            last = [line.strip() for line in file if line.strip()][-3:]
        raise KitError(f"{words[0]} ended with {code}: {' / '.join(last)} (log: {log})")


def output(words: Sequence[str], *, check: bool = True) -> str:
    """Run a command, and return what it prints as text.

    Raises:
        KitError: it failed.
        RequestError: it is not installed.
    """
    return output_bytes(words, check=check).decode("utf-8", errors="replace")


def output_bytes(words: Sequence[str], *, check: bool = True) -> bytes:
    """Run a command, and return what it prints, byte by byte.

    Raises:
        KitError: it failed.
        RequestError: it is not installed.
    """
    try:
        found = subprocess.run(words, env=engine_environment(), capture_output=True, check=False)
    except FileNotFoundError as error:
        raise _missing(words[0]) from error
    if check and found.returncode:
        reason = found.stderr.decode("utf-8", errors="replace").strip()
        raise KitError(f"{words[0]} ended with {found.returncode}: {reason}")
    return found.stdout


def succeeds(words: Sequence[str], timeout_s: float = 60.0) -> bool:
    """Return whether a command ends well, and in time."""
    try:
        found = subprocess.run(words, env=engine_environment(), capture_output=True, check=False, timeout=timeout_s)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return found.returncode == 0


def _missing(program: str) -> RequestError:
    return RequestError(f"{program} is not installed here; install it (Debian: apt-get install -y {program})")
