"""A store's own folders and the version of its layout, looked at before anything in it is."""

import errno
import os
from pathlib import Path

from kit.errors import KitError, RequestError
from kit.store.contents import reason
from kit.store.faults import CURES
from kit.store.job import FORMAT, KEY
from kit.store.opening import Folder, open_root

FOLDERS = ("artifacts", "jobs", "tmp", "locks", "logs", "failed", "replies", "parts", "runs", "cluster")
COPY = ".copy"
"""End of the name of a folder of ``tmp`` that artifacts are copied into."""


def check_place(root: Path) -> None:
    """Refuse a folder that holds something else than a store, and a store of another version, before it is written to.

    Raises:
        RequestError: it is one, or no folder.
    """
    try:
        names = {path.name for path in root.iterdir()} if os.path.lexists(root) else set()
    except NotADirectoryError:
        names = {""}
    except OSError as error:
        raise RequestError(f"store {root}: {error.strerror}; name another --store") from error
    if "artifacts" not in names and names - {*FOLDERS, "format", "lost+found"}:
        raise RequestError(f"store {root}: something else is there; name a store, or a new folder, with --store")
    if "format" in names:
        with open_root(root) as folder:
            check_format(folder)


def check_folders(store: Folder) -> None:
    """Refuse a store whose folders, those that are there, are not its own.

    Raises:
        RequestError: one is a link, no folder, or a stranger's, or can't be opened.
    """
    for name in FOLDERS:
        try:
            with store.folder(name):
                pass
        except FileNotFoundError:
            continue
        except KitError as error:
            raise RequestError(f"store {error}, or name another --store") from error
        except OSError as error:
            raise RequestError(f"store {store.path}: {name}: {error.strerror}; name another --store") from error


def check_writable(store: Folder) -> None:
    """Refuse a store that can't be written: its disk is read-only, or a permission is missing.

    Raises:
        RequestError: it can't be.
    """
    with store.folder("tmp") as tmp:
        if os.statvfs(tmp.descriptor).f_flag & os.ST_RDONLY:
            raise RequestError(f"store {store.path}: its disk is mounted read-only; {CURES[errno.EROFS]}")
    if not os.access("tmp", os.W_OK, dir_fd=store.descriptor):
        raise RequestError(f"store {store.path}: no permission to write; {CURES[errno.EACCES]}")


def check_format(store: Folder) -> None:
    """Refuse a store of another layout than this kit writes; one without a mark was never written to.

    Raises:
        RequestError: it is of another version, or what should say so is no plain file.
    """
    try:
        found = store.read("format", 1000).decode(errors="backslashreplace").strip()
    except FileNotFoundError:
        return
    except (OSError, KitError) as error:
        raise RequestError(
            f"store {store.path}: format can't be read: {reason(error)}; remove it, or name another --store"
        ) from error
    if found != str(FORMAT):
        raise RequestError(
            f"store {store.path}: laid out as format {found[:100]}, this kit reads {FORMAT}; name another --store"
        )


def key_in(where: str, name: str) -> str:
    """Return the key in a name of ``artifacts`` or ``tmp``; nothing where the kit gives no such name."""
    key, dot, _ = name.partition(".")
    fits = KEY.fullmatch(key) and bool(dot) == (where == "tmp")
    return key if fits else ""
