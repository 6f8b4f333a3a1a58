"""Artifacts on their way from one store to another: a folder, or a host that ssh and rsync reach."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kit.errors import KitError, RequestError, one_line, shown
from kit.store import Artifact, Job, Store
from kit.store.faults import cure_of
from kit.store.job import readable_json
from kit.store.releasing import mark_bytes

MOST_IN_BATCH = 100
"""Most artifacts that move together."""
BATCH_BYTES = 1 << 30
"""Bytes after which a batch is closed; an artifact that is larger moves alone."""
HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])")
ADDRESS = re.compile(rf"ssh://(?P<host>{HOST.pattern})(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/.*)")
SHORT = re.compile(rf"(?P<host>{HOST.pattern}):(?P<path>.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """A store's folder, on this host or on another."""

    path: str
    host: str = ""
    """``host`` or ``user@host``; empty on this host."""
    port: int | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.path}" if self.host else self.path


def place_of(text: str) -> Place:
    """Return the place that somebody named: a folder, ``[user@]host:folder`` or ``ssh://[user@]host[:port]/folder``.

    A name with a slash before its first colon is a folder, as rsync has it.

    Raises:
        RequestError: it is empty, or no name of a folder or host.
    """
    if "://" in text:
        if not (found := ADDRESS.fullmatch(text)) or not 0 < int(found["port"] or 22) < 65536:
            raise RequestError(f"{shown(text)}: wanted ssh://[user@]host[:port]/folder, [user@]host:folder or a folder")
        return Place(found["path"], found["host"], int(found["port"]) if found["port"] else None)
    head, colon, _ = text.partition(":")
    if colon and "/" not in head:
        if not (found := SHORT.fullmatch(text)) or not found["path"].isprintable():
            raise RequestError(
                f"{shown(text)}: wanted [user@]host:folder; a folder whose name has a colon is ./{one_line(text)}"
            )
        return Place(found["path"], found["host"])
    if not text:
        raise RequestError("the other store's place is empty; wanted a folder or [user@]host:folder")
    return Place(text)


class LostError(KitError):
    """Nothing more can be copied: the connection is gone, or a disk is full."""


class Source(Protocol):
    """Interface of a store that artifacts come from."""

    def heads(self) -> dict[str, Artifact]:
        """Return the head of every artifact that is there; one that can't be read is left out and told."""
        ...

    def held(self, artifacts: list[Artifact]) -> AbstractContextManager[dict[str, str]]:
        """Keep the files of some artifacts from being given back; key -> a sentence for each that gave them back."""
        ...

    def bring(self, artifacts: list[Artifact], into: Path) -> None:
        """Copy the files of some artifacts into ``into/<key>``, where some may be already.

        Raises:
            LostError: the connection is gone.
            KitError: a file can't be read.
            OSError: the disk is full, or a permission is missing.
        """
        ...


class Target(Protocol):
    """Interface of a store that artifacts go to."""

    def heads(self) -> dict[str, Artifact]:
        """Return the head of every artifact that is there."""
        ...

    def free_bytes(self) -> int:
        """Return the bytes that are free on its disk."""
        ...

    def take(self, moves: "list[Move]", source: Source) -> Iterator[tuple["Move", str]]:
        """Take a batch of artifacts; yield each with the reason why it was not taken, empty where it was."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One artifact that moves, with its files or as a head alone."""

    artifact: Artifact
    bare: bool
    """Whether its head moves alone: its files were given back, or the rule leaves them out."""

    @property
    def size_bytes(self) -> int:
        """Return the bytes of the files that move."""
        return 0 if self.bare else self.artifact.size_bytes

    def mark(self, rule: str) -> bytes | None:
        """Return the mark of an artifact whose head moves alone; the one that it has already, if it has one.

        Args:
            rule: value of ``--files``.
        """
        if not self.bare:
            return None
        released = self.artifact.released
        return readable_json(released.to_json()) if released else mark_bytes(f"--files {rule}")


def moves(
    source: Mapping[str, Artifact], target: Mapping[str, Artifact], goes: Callable[[Job], bool]
) -> tuple[list[Move], list[str]]:
    """Return the artifacts that a target lacks, and a sentence for each of which it has another result.

    Args:
        source: key -> head.
        target: key -> head.
        goes: tells whether a job's files are left out.
    """
    found, faults = list[Move](), list[str]()
    for key, artifact in source.items():
        there, bare = target.get(key), artifact.released is not None or goes(artifact.job)
        if there is None:
            found.append(Move(artifact=artifact, bare=bare))
        elif names := other_files(artifact, there):
            faults.append(
                f"{key[:10]}  {artifact.job.id}: another result of this key is there, which differs in "
                f"{', '.join(names[:3])}; neither was changed: remove one, or compare them with `kit diff`"
            )
        elif there.released and not bare:
            found.append(Move(artifact=artifact, bare=False))
    return found, faults


def other_files(one: Artifact, other: Artifact) -> list[str]:
    """Return the names of the files that are not the same in two heads, sorted."""

    def hashes(artifact: Artifact) -> dict[str, str]:
        return {name: str(file["sha256"]) for name, file in artifact.files.items()}

    first, second = hashes(one), hashes(other)
    return sorted(name for name in first.keys() | second if first.get(name) != second.get(name))


def batches(found: Iterable[Move]) -> Iterator[list[Move]]:
    """Yield moves in groups of a few that are large or many that are small."""
    batch, size = list[Move](), 0
    for move in found:
        if batch and (len(batch) == MOST_IN_BATCH or size + move.size_bytes > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(move)
        size += move.size_bytes
    if batch:
        yield batch


def check_room(found: Iterable[Move], target: Target, where: object) -> None:
    """Check that a target's disk has room, before the first byte moves.

    Raises:
        RequestError: it has less than the files take.
    """
    need, free = sum(move.size_bytes for move in found), target.free_bytes()
    if need > free:
        raise RequestError(
            f"store {where}: the artifacts to copy take {need / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free there; "
            "make room, name fewer, or leave models out with --files results"
        )


def check_both(source: Store, target: Store) -> None:
    """Check that two stores on this host are not one.

    Raises:
        RequestError: they are.
    """
    both_there = source.root.exists() and target.root.exists()
    if source.root == target.root or (both_there and source.root.samefile(target.root)):
        raise RequestError(f"store {target.root}: both stores are this folder; name another one")


def reason_of(error: Exception) -> str:
    """Return the sentence of an error for one artifact's line."""
    return f"{error.strerror or error}; {cure_of(error)}" if isinstance(error, OSError) else str(error)


def together_or_alone(found: list[Move], attempt: Callable[[list[Move]], Mapping[str, str]]) -> dict[str, str]:
    """Try some moves together, and each alone where that fails, so that one can't keep the others back.

    Args:
        found: the moves.
        attempt: tries some of them; returns key -> reason, empty where a move went well.

    Returns:
        key -> reason, for each that was tried or could not be.
    """
    reasons: dict[str, str] = {}
    groups = [found]
    while groups:
        group = groups.pop(0)
        try:
            reasons |= attempt(group)
        except (KitError, OSError) as error:
            if len(group) > 1 and not isinstance(error, LostError):
                groups = [[move] for move in group]
                continue
            if isinstance(error, LostError):
                group, groups = [*group, *(move for rest in groups for move in rest)], []
            reasons |= {move.artifact.key: reason_of(error) for move in group}
    return reasons
