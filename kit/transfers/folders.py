"""Stores that are folders of this host, as places where artifacts come from and go to."""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from kit.errors import KitError
from kit.store import HEAD, Artifact, Store
from kit.store.adopting import THERE, adopt
from kit.store.job import MARK
from kit.store.layout import COPY
from kit.store.opening import SAFE
from kit.store.releasing import reading
from kit.store.walking import remove
from kit.transfers import Move, Source, reason_of, together_or_alone

BLOCK_BYTES = 16 << 20


class FolderSource:
    """A store on this host that artifacts come from."""

    def __init__(self, store: Store, tell: Callable[[str], None]) -> None:
        self.store = store
        self.tell = tell
        """Takes a sentence for each head that can't be read."""

    def heads(self) -> dict[str, Artifact]:
        """Return the head of every artifact whose head can be read."""
        return heads_of(self.store, self.tell)

    @contextmanager
    def held(self, artifacts: list[Artifact]) -> Iterator[dict[str, str]]:
        """Keep the files of some artifacts from being given back; yield a sentence for each that gave them back."""
        keys = [artifact.key for artifact in artifacts]
        with reading(self.store, keys):
            yield {key: self.store.released_text(key) for key in keys if self.store.is_released(key)}

    def bring(self, artifacts: list[Artifact], into: Path) -> None:
        """Copy the files of some artifacts; nobody gives them back meanwhile."""
        with self.held(artifacts):
            for artifact in artifacts:
                for name in artifact.files:
                    path = into / artifact.key / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)  # a link, or a second name of a file, is not written through
                    with os.fdopen(self.store.open_file(artifact, name), "rb") as file, _new(path) as copy:
                        shutil.copyfileobj(file, copy, BLOCK_BYTES)


def _new(path: Path) -> IO[bytes]:
    """Open a file to write that was not there."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o600), "wb")


class FolderTarget:
    """A store on this host that artifacts go to."""

    def __init__(self, store: Store, rule: str, tell: Callable[[str], None]) -> None:
        self.store = store
        self.rule = rule
        """Value of ``--files``, which the mark of an artifact without files has."""
        self.tell = tell

    def heads(self) -> dict[str, Artifact]:
        """Return the head of every artifact whose head can be read."""
        return heads_of(self.store, self.tell)

    def free_bytes(self) -> int:
        """Return the bytes that are free on its disk."""
        return shutil.disk_usage(self.store.root).free

    def take(self, moves: list[Move], source: Source) -> Iterator[tuple[Move, str]]:
        """Copy a batch into a folder of its own, then take each artifact whose bytes have the hashes of its head.

        What was copied of a batch that was interrupted stays until the next attempt, which goes on with it.
        """
        with ExitStack() as stack:
            mine = list[Move]()
            for move in moves:
                try:
                    stack.enter_context(self.store.lock(move.artifact.key))
                except KitError as error:
                    yield move, str(error)
                    continue
                if self._has(move):
                    yield move, THERE
                else:
                    mine.append(move)
            if not mine:
                return
            folder, reasons = self._copied(mine, source)
            for move in mine:
                yield move, reasons.get(move.artifact.key) or self._adopt(move, folder / move.artifact.key)
            if not reasons:
                self.store.remove_scratch(folder)

    def _has(self, move: Move) -> bool:
        """Return whether another process made an artifact, or put it here, since the heads were compared."""
        key = move.artifact.key
        return self.store.has(key) if move.bare else self.store.holds(key)

    def _copied(self, moves: list[Move], source: Source) -> tuple[Path, dict[str, str]]:
        """Copy a batch's files; return its folder, and key -> reason for each move whose files could not be copied."""
        folder = self.store.root / "tmp" / f"{moves[0].artifact.key}{COPY}"

        def bring(some: list[Move]) -> dict[str, str]:
            source.bring([move.artifact for move in some if not move.bare], folder)
            return {}

        try:
            folder = self._batch(folder.name)
        except (KitError, OSError) as error:
            return folder, {move.artifact.key: reason_of(error) for move in moves}
        return folder, together_or_alone(moves, bring)

    def _batch(self, name: str) -> Path:
        """Make a batch's folder, or find that of an interrupted attempt; only this user may have written there."""
        with self.store.inside("tmp") as tmp:
            try:
                os.mkdir(name, 0o700, dir_fd=tmp.descriptor)
            except FileExistsError:
                found = tmp.stat(name)
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                    name = f"{name.removesuffix(COPY)}.{secrets.token_hex(4)}{COPY}"
                    os.mkdir(name, 0o700, dir_fd=tmp.descriptor)
        return self.store.root / "tmp" / name

    def _adopt(self, move: Move, folder: Path) -> str:
        """Take one artifact; return the reason why it was not taken, or an empty text."""
        try:
            if move.bare:
                self._remove(folder)
            folder.mkdir(exist_ok=True)
            for name in (HEAD, MARK):  # of an interrupted attempt
                (folder / name).unlink(missing_ok=True)
            self.store.plan(move.artifact.job)
            adopt(self.store, move.artifact, folder, mark=move.mark(self.rule))
        except (KitError, OSError) as error:
            self._remove(folder)  # wrong bytes would come back with the next attempt
            return reason_of(error)
        return ""

    def _remove(self, folder: Path) -> None:
        """Remove an artifact's folder from its batch, as far as permissions go."""
        with suppress(OSError, KitError), self.store.inside("tmp", folder.parent.name) as batch:
            remove(batch, folder.name)


def heads_of(store: Store, tell: Callable[[str], None]) -> dict[str, Artifact]:
    """Return the heads of a store by key; a sentence is told for each that can't be read."""
    found = dict[str, Artifact]()
    if not (store.root / "artifacts").is_dir():  # a dry run makes no store
        return found
    for key in store.committed():
        try:
            found[key] = store.get(key)
        except KitError as error:
            tell(f"{key[:10]}  damaged: {error}")
    return found
