"""Checkpoints of a training job, from which a killed one goes on bit for bit, as if it had never ended.

parts/<key>-<inputs>-checkpoint-<step>-<rank>-<sha256>.safetensors   weights, optimiser and random numbers of one rank
parts/<key>-<inputs>-checkpoint-<step>-<sha256>.json                 what makes them one: the step, the files, the log

The last is written when all others are on the disk; without it they are nothing, and are removed. ``<inputs>`` stands
for the bytes of pairs and base (:func:`kit.store.kept.inputs_hash`). Tensors are read
without unpickling: a store may be shared. The order of the examples is drawn before the first step and the rate follows
from the step, so that neither is kept. Where ranks hold whole models, rank 0 writes its own for all; under FSDP each
writes its shards.
"""

import hashlib
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError
from kit.files.parts import Parts
from kit.machine.ranks import gathered
from kit.reading.jsonfiles import parse_json
from kit.records import dump_line
from kit.store.opening import Folder, open_root

VARIABLE = "KIT_CHECKPOINT_MINUTES"
"""Environment variable with the minutes between two checkpoints; in no key, as it changes no byte."""
MINUTES = 15.0
"""Minutes between two checkpoints where nobody says otherwise."""
WRITING_SHARE = 20
"""Times as long as the last checkpoint took to write, training goes on before the next: they take 5 % at most."""
INDEX = re.compile(r".*-checkpoint-(\d{8})-([0-9a-f]{64})\.json")
TENSORS = re.compile(r".*-checkpoint-(\d{8})-(\d{4})-([0-9a-f]{64})\.safetensors")
MAX_BYTES = 1 << 30
"""Most bytes of an index, which holds the log so far."""
DEEPEST = 8
"""Most levels of brackets in an index."""


def minutes_between(environment: Mapping[str, str]) -> float:
    """Return the minutes between two checkpoints; 0: none is kept.

    Raises:
        RequestError: the variable holds no such number.
    """
    found = environment.get(VARIABLE, "")
    if not found:
        return MINUTES
    with suppress(ValueError):
        if 0 <= (minutes := float(found)) < float("inf"):
            return minutes
    raise RequestError(
        f"{VARIABLE}: found {found[:40]!r}, wanted the minutes between two checkpoints of a training job, such as 15; "
        "0 keeps none"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that is whole, as its index describes it."""

    step: int
    """Number of the last step that it holds, from 1."""
    files: Sequence[str]
    """Name of each rank's file."""
    lines: Sequence[Mapping[str, Any]]
    """Lines of the training log up to that step."""
    seconds: float
    """Seconds of training that it holds."""


class Checkpoints:
    """The checkpoints of one training job, as one of its ranks reads and writes them; all ranks call each method."""

    def __init__(self, parts: Parts, *, rank: int, world: int, sharded: bool) -> None:
        self.parts = parts
        self.rank = rank
        self.world = world
        self.sharded = sharded
        """Whether each rank holds a part of the weights."""

    # reading

    def newest(self, steps: int) -> Checkpoint | None:
        """Return the newest checkpoint that every rank finds whole; None where there is none.

        Args:
            steps: number of steps of the job.
        """
        for name in _from_first(self._index_names(), self.world):
            found = self._read_index(name, steps)
            if all(gathered(found is not None, self.world)):
                self.parts.went_on()
                return found
        return None

    def _index_names(self) -> list[str]:
        """Return the names of the job's indices, the newest first; none where nothing is kept."""
        with suppress(OSError), self._folder() as folder:
            return [name for name in reversed(self._names(folder)) if INDEX.fullmatch(name)]
        return []

    def _read_index(self, name: str, steps: int) -> Checkpoint | None:
        """Return a checkpoint, if it and those of its files that this rank reads are whole."""
        match = INDEX.fullmatch(name)
        with suppress(OSError, KitError, ValueError, KeyError, TypeError), self._folder() as folder:
            data = folder.read(name, MAX_BYTES)
            if match is None or hashlib.sha256(data).hexdigest() != match[2]:
                return None
            value = parse_json(data.decode(), name, deepest=DEEPEST)
            found = Checkpoint(
                step=int(match[1]),
                files=[str(file) for file in value["files"]],
                lines=[dict(line) for line in value["lines"]],
                seconds=float(value["seconds"]),
            )
            whole = len(found.files) == self.world and len(found.lines) == found.step < steps
            if whole and all(_is_whole(folder, file) for file in {found.files[0], found.files[self.rank]}):
                return found
        return None

    def restore(self, checkpoint: Checkpoint, optimizer: Any, scheduler: Any) -> None:
        """Put weights, optimiser and schedule back to where they were after the checkpoint's step.

        Raises:
            KitError: the checkpoint is not of this model.
        """
        import torch

        with torch.no_grad(), self._tensors(checkpoint.files[self.rank if self.sharded else 0]) as file:
            names = set(file.keys())
            for number, weight in enumerate(_weights(optimizer)):
                _fill(weight, file, f"{number:05}.weight")
                for name in sorted(name for name in names if name.startswith(f"{number:05}.optimizer.")):
                    field = name.split(".")[2]
                    state = optimizer.state[weight]
                    if file.get_slice(name).get_shape():
                        state[field] = torch.zeros_like(weight)
                        _fill(state[field], file, name)
                    else:  # the count of steps
                        state[field] = file.get_tensor(name).to(weight.device)
        scheduler.last_epoch, scheduler._step_count = checkpoint.step, checkpoint.step + 1
        rates = [
            base * rate(checkpoint.step) for base, rate in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
        ]
        scheduler._last_lr = rates
        for group, value in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = value

    def restore_random(self, checkpoint: Checkpoint) -> None:
        """Put this rank's generators of random numbers back to where they were after the checkpoint's step."""
        import torch

        with self._tensors(checkpoint.files[self.rank]) as file:
            torch.set_rng_state(file.get_tensor("random.cpu"))
            if "random.cuda" in set(file.keys()):
                torch.cuda.set_rng_state(file.get_tensor("random.cuda"))

    @contextmanager
    def _tensors(self, name: str) -> Iterator[Any]:
        """Open a file of tensors of the folder, through a descriptor: what is read is the file that was looked at."""
        from safetensors import SafetensorError, safe_open

        try:
            with self._folder() as folder:
                descriptor = folder.open(name)
            try:
                with safe_open(f"/proc/self/fd/{descriptor}", framework="pt") as file:
                    yield file
            finally:
                os.close(descriptor)
        except (OSError, SafetensorError, RuntimeError) as error:
            path = (self.parts.path or Path()) / name
            raise KitError(f"{path}: no checkpoint of this job: {error}; remove it and run again") from error

    # writing

    def keep(self, step: int, optimizer: Any, lines: Sequence[Mapping[str, Any]], seconds: float) -> None:
        """Write a checkpoint, then remove the one before; where it can't be written, say so and go on.

        Args:
            step: number of the step that has just ended, from 1.
            optimizer: holds the weights that are trained, and its own state of each.
            lines: the training log so far, a line a step.
            seconds: seconds of training so far.
        """
        files = gathered(self._written(step, optimizer), self.world)
        if self.rank:
            return
        try:
            with self._folder() as folder:
                index = self._indexed(folder, step, files, lines, seconds) if all(files) else ""
                names = self._names(folder)
                left = {index, *files} if index else {name for name in names if f"-checkpoint-{step:08}-" not in name}
                for name in names:
                    if name not in left:
                        with suppress(OSError):
                            os.unlink(name, dir_fd=folder.descriptor)
        except OSError as error:
            if all(files):  # else it was said
                _say(step, error)

    def _indexed(
        self, folder: Folder, step: int, files: Sequence[str], lines: Sequence[Mapping[str, Any]], seconds: float
    ) -> str:
        """Write the index that makes the ranks' files a checkpoint, and return its name; nothing where it can't be."""
        text = dump_line({"files": files, "lines": list(lines), "seconds": seconds})
        name = f"{self.parts.key}-checkpoint-{step:08}-{hashlib.sha256(text.encode()).hexdigest()}.json"
        try:
            folder.write(name, text.encode())
            os.fsync(folder.descriptor)
        except OSError as error:
            _say(step, error)
            return ""
        return name

    def _written(self, step: int, optimizer: Any) -> str:
        """Write this rank's file and return its name; nothing where it could not be written."""
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        draft = f".{self.parts.key}-checkpoint-{self.rank:04}.{secrets.token_hex(4)}"
        try:
            (self.parts.path or Path()).mkdir(parents=True, exist_ok=True)
            with self._folder() as folder:
                try:
                    save_file(self._state(optimizer), folder.path / draft)
                    descriptor = folder.open(draft, os.O_RDWR)
                    with os.fdopen(descriptor, "rb") as file:
                        os.fchmod(descriptor, 0o644)
                        os.fsync(descriptor)
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    name = f"{self.parts.key}-checkpoint-{step:08}-{self.rank:04}-{digest}.safetensors"
                    os.replace(draft, name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
                except BaseException:
                    with suppress(OSError):
                        os.unlink(draft, dir_fd=folder.descriptor)
                    raise
        except (OSError, SafetensorError) as error:
            _say(step, error)
            return ""
        return name

    def _state(self, optimizer: Any) -> dict[str, Any]:
        """Return all that this rank keeps: its random numbers, and the weights and their state if they are its own."""
        import torch

        found = {"random.cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            found["random.cuda"] = torch.cuda.get_rng_state()
        if self.rank and not self.sharded:
            return found
        for number, weight in enumerate(_weights(optimizer)):
            found[f"{number:05}.weight"] = _own(weight)
            for field, value in optimizer.state[weight].items():
                found[f"{number:05}.optimizer.{field}"] = _own(value)
        return found

    def _names(self, folder: Folder) -> list[str]:
        """Return the names of the job's checkpoints, sorted, what a killed process left of one among them."""
        start = f"{self.parts.key}-checkpoint-"
        return [name for name in folder.names() if name.lstrip(".").startswith(start)]

    @contextmanager
    def _folder(self) -> Iterator[Folder]:
        """Open the folder that outlives the job.

        Raises:
            OSError: there is none.
        """
        if self.parts.path is None:
            raise FileNotFoundError
        with open_root(self.parts.path.absolute()) as folder:
            yield folder


def _weights(optimizer: Any) -> list[Any]:
    """Return the weights that an optimiser trains, in its order."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _own(tensor: Any) -> Any:
    """Return this rank's part of a tensor, on the CPU."""
    whole = tensor.detach()
    return (whole.to_local() if hasattr(whole, "to_local") else whole).cpu().contiguous()


def _fill(tensor: Any, file: Any, name: str) -> None:
    """Copy a kept tensor into this rank's part of another.

    Raises:
        RuntimeError: it is not there, or not of that shape and type.
    """
    target = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    if name not in set(file.keys()):
        raise RuntimeError(f"{name} is missing")
    kept = file.get_tensor(name)
    if (kept.shape, kept.dtype) != (target.shape, target.dtype):
        raise RuntimeError(f"{name} is {kept.dtype} {list(kept.shape)}, not {target.dtype} {list(target.shape)}")
    target.copy_(kept)


def _is_whole(folder: Folder, name: str) -> bool:
    """Return whether a file of tensors has the bytes that its name says."""
    match = TENSORS.fullmatch(name)
    if match is None:
        return False
    with os.fdopen(folder.open(name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == match[3]


def _from_first(value: list[str], world: int) -> list[str]:
    """Return rank 0's value on every rank."""
    if world == 1:
        return value
    from accelerate.utils import broadcast_object_list

    return list(broadcast_object_list([value])[0])


def _say(step: int, error: Exception) -> None:
    """Say in the job's log why there is no checkpoint of a step."""
    reason = getattr(error, "strerror", None) or str(error)
    print(f"sft: no checkpoint of step {step}: {reason}; training goes on", file=sys.stderr, flush=True)


def make_keeper(
    checkpoints: Checkpoints, start: Checkpoint | None, lines: Sequence[Mapping[str, Any]], minutes: float
) -> Any:
    """Return a Trainer's callback that goes on from a checkpoint and keeps further ones.

    Args:
        checkpoints: the job's.
        start: the one to go on from; None: from the first step.
        lines: the training log, which grows while it trains.
        minutes: minutes between two checkpoints; 0: none is kept.
    """
    from transformers import TrainerCallback

    class Keeper(TrainerCallback):  # type: ignore[misc]
        """Puts the state of a checkpoint in place before the first step, and keeps the state after some steps."""

        def __init__(self) -> None:
            self.began = self.kept = time.monotonic()
            self.wait = minutes * 60
            self.random = start
            """Checkpoint whose random numbers are still to be put in place."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            """Put weights, optimiser, schedule and the count of steps in place."""
            self.began = self.kept = time.monotonic()
            if start is not None:
                checkpoints.restore(start, parts["optimizer"], parts["lr_scheduler"])
                state.global_step = start.step

        def on_step_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            """Put random numbers in place: making ready for the first step drew some."""
            if self.random is not None:
                checkpoints.restore_random(self.random)
                self.random = None

        def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:  # noqa: ARG002
            """Keep a checkpoint if it is time; not after the last step, whose model is written next."""
            if not minutes or state.global_step >= state.max_steps:
                return
            now = time.monotonic()
            due = _from_first([*["due"] * (now - self.kept >= self.wait)], checkpoints.world)
            if due:
                seconds = (start.seconds if start else 0.0) + now - self.began
                checkpoints.keep(state.global_step, parts["optimizer"], lines, seconds)
                self.kept = time.monotonic()
                self.wait = max(minutes * 60, WRITING_SHARE * (self.kept - now))

    return Keeper()
