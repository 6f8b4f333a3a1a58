"""Replies, each kept in a file under the hash of what was asked, in a folder that outlives the jobs.

replies/
  <sha256>.json             what was asked, and the reply
  <sha256>.unanswered.json  what was asked, and the reason why no reply could be read; remove it to ask again
  spent-<hash>.jsonl        what one server has cost (:mod:`kit.judges.budget`)
  lock                      held (flock) while a process asks

The hash is of the model's name, the chat and the sampling: of nothing that says where the server is. A file is written
beside its place, put on the disk, and renamed: it is there whole or not at all.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.engines import Request, Sampling
from kit.errors import KitError, RequestError, one_line
from kit.store import canonical
from kit.store.opening import Folder, open_root

FORMAT = 1
"""Version of the files."""
MAX_BYTES = 32 << 20
"""Most bytes of a file; a reply from a server has 8 MiB at most."""
FIELDS = {"text": str, "model": str, "prompt_tokens": int, "tokens": int, "finish_reason": str, "reason": str}
"""Fields of a kept reply, with their types."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question as any server is asked it."""

    content: Mapping[str, Any]
    """Model, turns and sampling, JSON values."""
    sha256: str
    """sha256 of the content's canonical JSON."""

    @classmethod
    def of(cls, request: Request, model: str, sampling: Sampling) -> "Question":
        """Return the question that a request asks.

        Raises:
            RequestError: its last turn is not the user's, or a text is not Unicode.
        """
        if not request.turns or request.turns[-1].role != "user":
            found = request.turns[-1].role if request.turns else "no turn"
            raise RequestError(
                f"request {one_line(request.id)}: last turn: found {found}, wanted user; a server begins a new reply "
                "and continues none"
            )
        chosen = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
        if sampling.temperature > 0:  # a seed changes no reply of a greedy model
            chosen["seed"] = request.seed
        turns = [{"role": turn.role, "content": turn.content} for turn in request.turns]
        content = {"model": model, "turns": turns, "sampling": chosen}
        try:
            digest = hashlib.sha256(canonical(content)).hexdigest()
        except UnicodeEncodeError as error:
            raise RequestError(
                f"request {one_line(request.id)}: its text has half a character (a lone surrogate), which no server "
                "takes; mend the file that it comes from"
            ) from error
        return cls(content=content, sha256=digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A reply as it is kept."""

    text: str
    model: str
    prompt_tokens: int
    tokens: int
    finish_reason: str
    reason: str = ""
    """Reason why the question is unanswered; empty where it is answered."""
    reservation: str = ""
    """Id of what was set aside for it (:mod:`kit.judges.budget`)."""


class Replies:
    """The folder of replies, open and locked; threads may share it."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def find(self, question: Question) -> Kept | None:
        """Return the reply to a question; None if it was not asked yet.

        Raises:
            KitError: its file is damaged, or no plain file of this user's.
        """
        for name in _names(question.sha256):
            try:
                data = self.folder.read(name, MAX_BYTES)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise KitError(f"{self.folder.path / name}: {error.strerror}") from error
            return self._parse(name, data, question)
        return None

    def keep(self, question: Question, kept: Kept) -> None:
        """Write a reply; when this returns it is on the disk.

        Raises:
            KitError: the disk is full, or a permission is missing.
        """
        fields = {name: getattr(kept, name) for name in (*FIELDS, "reservation")}
        value = {"format": FORMAT, "asked": question.content, "reply": fields}
        name = _names(question.sha256)[bool(kept.reason)]
        try:
            self.folder.write(name, json.dumps(value, sort_keys=True).encode())
            os.fsync(self.folder.descriptor)
        except OSError as error:
            raise KitError(f"{self.folder.path / name}: the reply can't be kept: {error.strerror}") from error

    def _parse(self, name: str, data: bytes, question: Question) -> Kept:
        """Return the reply that a file holds."""
        try:
            value = json.loads(data)
            reply = value["reply"]
            sound = value["format"] == FORMAT and value["asked"] == question.content
            sound = sound and all(type(reply[field]) is kind for field, kind in FIELDS.items())
        except (ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise KitError(
                f"{self.folder.path / name}: damaged, or not the reply to what its name says; remove it, and it is "
                "asked again"
            )
        return Kept(**{field: reply[field] for field in FIELDS}, reservation=str(reply.get("reservation", "")))


def _names(sha256: str) -> tuple[str, str]:
    """Return the names of a question's file, answered and unanswered."""
    return f"{sha256}.json", f"{sha256}.unanswered.json"


@contextmanager
def open_replies(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[Replies]:
    """Open a folder of replies, made if it is not there, and hold its lock: no two processes ask the same question.

    Args:
        path: the folder.
        waiting: is called once if another process holds the lock, before that one is waited for.

    Raises:
        KitError: it can't be made, opened or locked.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with open_root(path.absolute()) as folder:
            held = folder.open_or_make("lock", os.O_RDWR)
            try:
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    waiting()
                    fcntl.flock(held, fcntl.LOCK_EX)
                yield Replies(folder)
            finally:
                os.close(held)
    except OSError as error:
        raise KitError(f"replies {path}: {error.strerror}; name a folder that may be written") from error
