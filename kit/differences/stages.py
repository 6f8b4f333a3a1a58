"""The first stage whose inputs differ between two runs: their jobs are walked from the seeds to the scores.

A job's key is made of its stage, version, lock, parameters and inputs. Where two jobs have other keys, either one of
these differs, and the job is named with it, or an input's key does, and the jobs that made that input are compared.
Where two jobs have one key, their bytes should be the same; where they are not, the job is named as well.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import Any

from kit.differences.runs import Measured
from kit.differences.texts import common_start
from kit.errors import KitError, one_line, shown
from kit.store import Artifact, Job, Store

SOURCES = ("fetch", "convert")
"""Stages that bring a model or a file in: where one run has another of them, the job that takes it is named."""
RAN_ON = ("commit", "image", "machine", "packages", "python")
"""Parts of an artifact's provenance that may tell why a job wrote other bytes."""
MOST_RAN_ON = 4
"""Most differences in provenance that are shown."""
LONGEST = 80
"""Characters of a value that a change shows."""
MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something by which two jobs differ."""

    what: str
    """``params.seed``, ``version``, ``lock``, ``inputs.model``, or the file whose bytes differ."""
    before: str
    after: str
    by_bytes: bool = False
    """Whether the jobs are the same and wrote other bytes."""

    def text(self) -> str:
        """Return the change as a phrase: ``params.seed 42 -> 43``."""
        if self.by_bytes:
            return f"the same job wrote other bytes: {self.what} {self.after}"
        return f"{self.what} {self.before} -> {self.after}"


@dataclass(slots=True, kw_only=True)
class StageDifference:
    """A stage by which two runs differ of itself, with its jobs that differ in the same way."""

    stage: str
    changes: tuple[Change, ...]
    is_first: bool
    """Whether nothing that one of its jobs is made from differs."""
    depth: int
    """The longest way from a job without inputs to one of its jobs."""
    jobs: list[str] = field(default_factory=list)
    """Ids of the first run's jobs, in order."""
    same_bytes: int = 0
    """Number of its jobs that wrote the same bytes all the same."""
    made: int = 0
    """Number of its jobs whose artifacts both runs have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """Two jobs, and whether anything that they are made from differs."""

    depth: int
    changes: tuple[Change, ...] = ()
    below: bool = False
    """Whether a job that they are made from differs."""
    same_bytes: bool | None = None
    """Whether both wrote the same bytes; None where one artifact is not there."""

    @property
    def differs(self) -> bool:
        """Whether the jobs, or what they are made from, differ."""
        return bool(self.changes) or self.below


def first_differences(pairs: Sequence[tuple[Measured, Measured]]) -> list[StageDifference]:
    """Return the stages by which the jobs behind two runs' gradings differ, in the order of the pipeline.

    Args:
        pairs: gradings of both runs; all of one side are in one store.
    """
    if not pairs:
        return []
    walk = _Walk(pairs[0][0].store, pairs[0][1].store)
    for before, after in pairs:
        walk.compare(before.key, after.key)
    found: dict[tuple[Any, ...], StageDifference] = {}
    for (key, _), node in walk.nodes.items():
        if not node.changes:
            continue
        job = walk.before.job(key)
        group = (job.stage if job else "", node.changes, not node.below)
        one = found.setdefault(
            group, StageDifference(stage=group[0], changes=node.changes, is_first=not node.below, depth=node.depth)
        )
        one.depth = min(one.depth, node.depth)
        one.jobs.append(job.id if job else key[:10])
        one.made += node.same_bytes is not None
        one.same_bytes += node.same_bytes is True
    for one in found.values():
        one.jobs.sort()
    return sorted(found.values(), key=lambda one: (one.depth, one.stage, one.jobs))


class _Jobs:
    """Jobs and artifacts of a store by key, each read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[str, tuple[Job | None, Artifact | None]] = {}

    def job(self, key: str) -> Job | None:
        """Return the job of a key; None where the store knows it no more, or can't read it."""
        return self._look_up(key)[0]

    def artifact(self, key: str) -> Artifact | None:
        """Return the artifact of a key; None where the store has none that can be read."""
        return self._look_up(key)[1]

    def _look_up(self, key: str) -> tuple[Job | None, Artifact | None]:
        if key not in self._known:
            job, artifact = None, None
            try:
                artifact = self.store.get(key)
                job = artifact.job
            except KitError:
                try:
                    job = self.store.job(key)
                except KitError:
                    job = None
            self._known[key] = job, artifact
        return self._known[key]


class _Walk:
    """Compares jobs of two stores after the jobs that they are made from; each two once."""

    def __init__(self, before: Store, after: Store) -> None:
        self.before, self.after = _Jobs(before), _Jobs(after)
        self.nodes: dict[tuple[str, str], _Node] = {}

    def compare(self, before: str, after: str) -> None:
        """Compare two jobs and all that they are made from; without recursion, for chains of any length."""
        waiting = [(before, after)]
        while waiting:
            pair = waiting[-1]
            if pair in self.nodes:
                waiting.pop()
                continue
            inner = [keys for _, keys in self._inputs(*pair) if keys not in self.nodes]
            if inner:
                waiting += inner
                continue
            self.nodes[pair] = self._node(*pair)
            waiting.pop()

    def _inputs(self, before: str, after: str) -> Iterator[tuple[str, tuple[str, str]]]:
        """Yield the roles that both jobs have, each with the keys of the jobs to compare."""
        one, other = self.before.job(before), self.after.job(after)
        if one and other and one.stage == other.stage:
            for role in sorted(one.inputs.keys() & other.inputs.keys()):
                keys = one.inputs[role], other.inputs[role]
                if not self._is_other_source(*keys):
                    yield role, keys

    def _is_other_source(self, before: str, after: str) -> bool:
        """Return whether two inputs are other models or files, or jobs of other stages: their jobs tell no more."""
        one, other = self.before.job(before), self.after.job(after)
        if one is None or other is None:
            return False
        return one.stage != other.stage or (one.stage in SOURCES and one.id != other.id)

    def _node(self, before: str, after: str) -> _Node:
        """Compare two jobs whose inputs are compared."""
        one, other = self.before.job(before), self.after.job(after)
        made, remade = self.before.artifact(before), self.after.artifact(after)
        inner = [self.nodes[keys] for _, keys in self._inputs(before, after)]
        depth, below = max((node.depth + 1 for node in inner), default=0), any(node.differs for node in inner)
        same = _hashes(made) == _hashes(remade) if made and remade else None
        if before == after:
            changes = tuple(self._other_bytes(made, remade)) if made and remade and not same else ()
        elif one is None or other is None:
            side = "A" if one is None else "B"
            changes = (
                Change(what=f"its job, which store {side} knows no more:", before=before[:10], after=after[:10]),
            )
        else:
            changes = tuple(self._own_changes(one, other))
        return _Node(depth=depth, changes=changes, below=below, same_bytes=same)

    def _own_changes(self, one: Job, other: Job) -> Iterator[Change]:
        """Yield all by which two jobs differ of themselves: not by an input whose jobs are compared."""
        for name in ("stage", "version", "lock"):
            values = getattr(one, name), getattr(other, name)
            if values[0] != values[1]:
                what = f"lock of {one.environment}" if name == "lock" else name
                yield Change(what=what, before=_short(values[0]), after=_short(values[1]))
        if one.stage != other.stage:
            return
        yield from changed(one.params, other.params, "params.")
        for role in sorted(one.inputs.keys() | other.inputs.keys()):
            keys = one.inputs.get(role), other.inputs.get(role)
            if keys[0] is None or keys[1] is None or self._is_other_source(keys[0], keys[1]):
                names = [
                    jobs.job(key) if key else None for jobs, key in zip((self.before, self.after), keys, strict=True)
                ]
                texts = [
                    one_line(job.id, LONGEST) if job else (key or "none")[:10]
                    for job, key in zip(names, keys, strict=True)
                ]
                yield Change(what=f"inputs.{role}", before=texts[0], after=texts[1])

    def _other_bytes(self, made: Artifact, remade: Artifact) -> Iterator[Change]:
        """Yield the files in which two artifacts of one key differ."""
        hashes = _hashes(made), _hashes(remade)
        for name in sorted(hashes[0].keys() | hashes[1].keys()):
            if hashes[0].get(name) != hashes[1].get(name):
                how = self._rows_that_differ(made, remade, name)
                yield Change(what=name, before="", after=how, by_bytes=True)
        ran, reran = ({name: one.provenance.get(name) for name in RAN_ON} for one in (made, remade))
        yield from islice(changed(ran, reran, "it ran with "), MOST_RAN_ON)

    def _rows_that_differ(self, made: Artifact, remade: Artifact, name: str) -> str:
        """Return in how many rows a file differs; of files without rows, that it does."""
        if name not in made.files or name not in remade.files:
            return f"is in {'A' if name in made.files else 'B'} alone"
        if not name.endswith(".jsonl"):
            return "differs"
        try:
            count, differing = 0, 0
            with (
                os.fdopen(self.before.store.open_file(made, name), "rb") as one,
                os.fdopen(self.after.store.open_file(remade, name), "rb") as other,
            ):
                for line, remade_line in zip_longest(one, other):
                    count += 1
                    differing += line != remade_line
        except (KitError, OSError) as error:
            return f"differs, and can't be read: {error}"
        return f"in {differing:,} of {count:,} rows"


def _hashes(artifact: Artifact | None) -> dict[str, str]:
    """Return the sha256 of each file of an artifact."""
    return {name: str(facts["sha256"]) for name, facts in artifact.files.items()} if artifact else {}


def changed(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str) -> Iterator[Change]:
    """Yield each parameter that differs, with those of the tables that it stands in: ``params.sampling.top_p``."""
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name, MISSING), after.get(name, MISSING)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from changed(one, other, f"{prefix}{name}.")
        elif type(one) is not type(other) or one != other:
            first, last = _parted(one, other)
            yield Change(what=f"{prefix}{one_line(name, LONGEST)}", before=first, after=last)


def _parted(before: Any, after: Any) -> tuple[str, str]:
    """Return two values as a change shows them, long texts from where they part."""
    texts = _short(before), _short(after)
    if texts[0] != texts[1] or not (isinstance(before, str) and isinstance(after, str)):
        return texts
    same = common_start(before, after)
    return f"(after {same:,} characters) {_short(before[same:])}", _short(after[same:])


def _short(value: Any) -> str:
    """Return a value as a change shows it."""
    if value is MISSING:
        return "none"
    text = value if isinstance(value, str) and value.isprintable() and value else shown(value)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return text[:10]
    return one_line(text, LONGEST)
