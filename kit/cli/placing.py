"""Output files and folders of ``--out``: checked before the work, and there afterwards whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from kit.errors import KitError, RequestError, one_line


def copy_tuned(artifact: Path, out: Path, base_name: str) -> None:
    """Copy a tuned model or an adapter out of the store, where the base is named by a key that nobody else knows."""
    from kit.models.adapters import name_base

    shutil.copytree(artifact, out, ignore=shutil.ignore_patterns("artifact.json"))
    for path in sorted(out.rglob("adapter_config.json")):
        name_base(path.parent, base_name)


def check_out(out: Path, read: Sequence[Path] = ()) -> None:
    """Check that ``--out`` names a file or folder that is not there yet and can be made.

    Args:
        out: the file or folder.
        read: files that the command reads, none of which is to be removed for it.

    Raises:
        RequestError: it is there already, or can't be made.
    """
    name = one_line(str(out))
    if any(is_same(out, path) for path in read):
        raise RequestError(f"--out {name}: is the very file that is read; name another")
    if os.path.lexists(out):  # Path.exists raises on a name that is too long
        raise RequestError(f"--out {name}: is there already; name another, or remove it")
    try:
        folder = out.resolve().parent
        if not folder.is_dir():
            raise RequestError(f"--out {name}: no folder {one_line(str(folder))}")
        partial(out).touch(exist_ok=False)
        partial(out)
    except RuntimeError as error:
        raise RequestError(f"--out {name}: its links lead in a circle; name the folder itself") from error
    except OSError as error:
        raise RequestError(f"--out {name}: {error.strerror}; name one that can be written") from error


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file that is there."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def partial(out: Path) -> Path:
    """Return the path at which ``out`` is written before it is renamed, with a killed run's leftovers removed."""
    path = out.with_name(f".{out.name}.partial")
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path


def place(out: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``out`` and rename, so that it is there whole or not at all.

    Raises:
        KitError: the disk is full, a permission is gone, or ``out`` was made meanwhile; then the result stays under the
            other name.
    """
    name = one_line(str(out))
    try:
        path = partial(out)
        write(path)
        if os.path.lexists(out):
            raise KitError(
                f"--out {name}: came to be there while the command ran, and was left alone; what was computed is in "
                f"{one_line(str(path))}"
            )
        path.rename(out)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial(out)
        raise KitError(f"--out {name}: {error.strerror or error}; nothing was written there") from error
