"""The budget of a server, and its costs so far: set aside before a request is sent, counted after it.

``spent-<hash>.jsonl`` has a line for what is set aside and one for what it came to, each on the disk before the next
step. What a process that was killed had set aside counts in full, unless its reply was kept: the server may have
answered, and charges for that. So does what was sent and came to nothing that can be read.
"""

import errno
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from kit.catalogue.served import Served
from kit.errors import KitError
from kit.judges.pacing import EndedError
from kit.store.opening import Folder

MAX_BYTES = 256 << 20
"""Most bytes of the file: a million requests; it is written anew, as one line, whenever it is opened."""
MILLION = 1_000_000


class BudgetError(KitError):
    """The budget does not allow one more request."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens and money; money is 0 where no prices are known."""

    tokens: int = 0
    money: Decimal = Decimal(0)

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.tokens - other.tokens, self.money - other.money)


def cost(entry: Served, prompt_tokens: int, tokens: int) -> Cost:
    """Return what a question and a reply of some tokens cost at a server."""
    prices = (Decimal(str(entry.price_in or 0)), Decimal(str(entry.price_out or 0)))
    return Cost(prompt_tokens + tokens, (prompt_tokens * prices[0] + tokens * prices[1]) / MILLION)


class Budget:
    """The costs of one server in one folder, and their limit; threads share it, one process at a time has it.

    Args:
        folder: the folder of replies, whose lock is held.
        name: name of the server in manifests.
        entry: the server, with its prices and its budget.
        kept_cost: returns what a reply cost that was kept, by the hash of its question and the id of what was set
            aside; None if it was not kept.

    Raises:
        KitError: the file is damaged, or can't be written.
    """

    def __init__(
        self, folder: Folder, name: str, entry: Served, kept_cost: Callable[[str, str], Cost | None] = lambda *_: None
    ) -> None:
        self.folder = folder
        self.file = f"spent-{hashlib.sha256(name.encode()).hexdigest()[:16]}.jsonl"
        self.name = name
        self.entry = entry
        self._open: dict[str, Cost] = {}
        """id -> what is set aside for a request in flight."""
        self._change = threading.Condition()
        try:
            self.spent = self._read(kept_cost)
            self.folder.write(self.file, _line({"server": name, **_json(self.spent)}).encode())
        except OSError as error:
            raise KitError(f"{folder.path / self.file}: {error.strerror}") from error

    def fault(self, more: Cost) -> str | None:
        """Return why the budget does not allow for further costs, in words; None if it does."""
        total, entry = self._committed() + more, self.entry
        if entry.budget_tokens is not None and total.tokens > entry.budget_tokens:
            left = max(0, entry.budget_tokens - self._committed().tokens)
            return f"{more.tokens:,} tokens at most, and of budget_tokens = {entry.budget_tokens:,} are {left:,} left"
        if entry.budget_money is not None and total.money > (limit := Decimal(str(entry.budget_money))):
            left_money = max(Decimal(0), limit - self._committed().money)
            return f"{_money(more.money)} at most, and of budget_money = {limit:,} are {_money(left_money)} left"
        return None

    def set_aside(self, asked: str, most: Cost, ended: threading.Event) -> str:
        """Set aside the most that a request can cost, and return an id; waits for others in flight where that may help.

        Raises:
            BudgetError: it does not fit, and nothing in flight may leave room.
            EndedError: the job has ended.
        """
        with self._change:
            while fault := self.fault(most):
                if not self._open:
                    raise BudgetError(f"served.{self.name}: the budget is reached: one more question costs {fault}")
                self._change.wait(1.0)
                if ended.is_set():
                    raise EndedError
            id = secrets.token_hex(8)
            self._append({"id": id, "asked": asked, **_json(most)})
            self._open[id] = most
            return id

    def settle(self, id: str, came_to: Cost) -> None:
        """Count what a request came to, in place of what was set aside for it."""
        with self._change:
            del self._open[id]
            self.spent += came_to
            self._append({"id": id, "came_to": _json(came_to)})
            self._change.notify_all()

    def _committed(self) -> Cost:
        """Return what was spent, and what is set aside for requests in flight."""
        return sum(self._open.values(), self.spent)

    def _append(self, value: dict[str, Any]) -> None:
        """Write a line; when this returns it is on the disk."""
        try:
            descriptor = self.folder.open(self.file, os.O_WRONLY | os.O_APPEND, alone=True)
            try:
                _write_whole(descriptor, _line(value).encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise KitError(f"{self.folder.path / self.file}: {error.strerror}") from error

    def _read(self, kept_cost: Callable[[str, str], Cost | None]) -> Cost:
        """Return what was spent so far, by the lines of the file; its last may be cut off, and nothing followed it."""
        try:
            lines = self.folder.read(self.file, MAX_BYTES).decode(errors="replace").split("\n")
        except FileNotFoundError:
            return Cost()
        spent, left = Cost(), dict[str, tuple[str, Cost]]()
        for number, line in enumerate(lines[:-1], 1):
            try:
                value = json.loads(line)
                if "came_to" in value:
                    del left[value["id"]]
                    spent += _cost(value["came_to"])
                elif "id" in value:
                    left[value["id"]] = (value["asked"], _cost(value))
                else:
                    spent += _cost(value)
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                raise KitError(
                    f"{self.folder.path / self.file}: line {number}: no line that the kit wrote; it holds what was "
                    f"spent at served.{self.name}: put it right, or remove it and lower the budget by what was spent"
                ) from error
        for id, (asked, most) in left.items():
            came_to = kept_cost(asked, id)
            spent += most if came_to is None else came_to
        return spent


def _money(amount: Decimal) -> str:
    """Return an amount for a message: of less than one, three digits that say something."""
    return f"{amount:,.2f}" if amount >= 1 or not amount else f"{amount:.3g}"


def _write_whole(descriptor: int, data: bytes) -> None:
    """Append data whole, or not at all: a part of a line on a full disk would spoil the line after it.

    Raises:
        OSError: there is no room.
    """
    size = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, data)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True) + "\n"


def _json(amount: Cost) -> dict[str, Any]:
    return {"tokens": amount.tokens, "money": str(amount.money)}


def _cost(value: dict[str, Any]) -> Cost:
    """Return the cost that a line has.

    Raises:
        ValueError: it is none that the kit writes.
    """
    found = Cost(value["tokens"], Decimal(value["money"]))
    if type(found.tokens) is not int or found.tokens < 0 or not found.money.is_finite() or found.money < 0:
        raise ValueError("no cost")
    return found
