"""The gradings and scorings of a run: those of a store, of a plan, or one that is named by its key or its id."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from kit.errors import KitError, RequestError, listed, one_line
from kit.plan import Plan
from kit.store import Artifact, Job, Store

MEASURING = ("grade", "score")
"""Stages whose artifacts hold a score for each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One grading of a benchmark, or one scoring of an instruction set, in a store."""

    id: str
    """Id of its job, by which it is found in the other run."""
    artifact: Artifact
    store: Store

    @property
    def key(self) -> str:
        """The key of the job that made it."""
        return self.artifact.key

    @property
    def plugin(self) -> str:
        """Name of the benchmark or of the metric; empty where its parameters name none."""
        return str(self.artifact.job.params.get("benchmark") or self.artifact.job.params.get("metric") or "")

    @property
    def rows_file(self) -> str:
        """Name of the file with a line for each row."""
        return "grades.jsonl" if self.artifact.job.stage == "grade" else "scores.jsonl"


@dataclass(slots=True, kw_only=True)
class Run:
    """The gradings of one side of a comparison, by the ids of their jobs."""

    name: str
    """Name of the side in messages: a folder, a manifest, a key."""
    found: dict[str, Measured] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """A sentence for each grading whose head can't be read."""
    damaged: set[str] = field(default_factory=set)
    """Ids of those gradings, as far as they are known."""
    older: int = 0
    """Gradings that are left out because a later one has the same id."""
    missing: list[str] = field(default_factory=list)
    """Ids of gradings that the side's plan wants and that are not done."""
    named: bool = False
    """Whether the side is one grading that was named, which is compared with the other side's whatever its id."""

    def add(self, one: Measured, wanted: Collection[str] = ()) -> None:
        """Add a grading; of two with one id the wanted one stays, or else the later one.

        Args:
            one: the grading.
            wanted: keys that a plan names.
        """
        known = self.found.get(one.id)
        if known is None:
            self.found[one.id] = one
            return
        self.older += 1
        if _rank(one, wanted) > _rank(known, wanted):
            self.found[one.id] = one


def _rank(one: Measured, wanted: Collection[str]) -> tuple[bool, str, str]:
    """Return a sort key that puts wanted gradings last, then later ones; equal times go by key."""
    return one.key in wanted, str(one.artifact.provenance.get("started_at", "")), one.key


def run_of_store(store: Store, name: str, plan: Plan | None = None) -> Run:
    """Return the gradings of a store, all of them or those of some tables.

    A store that another version of the kit wrote, or that ran with another seed, has other keys for the same cells: a
    table's gradings are known by their ids.

    Args:
        store: the store.
        name: its name in messages.
        plan: a plan of the tables; all gradings that are there by default.
    """
    run = Run(name=name)
    wanted = measured_jobs(plan) if plan else {}
    ids = {job.id for job in wanted.values()}
    for key in store.committed():
        try:
            artifact = store.get(key)
        except KitError as error:
            job = _planned(store, key)
            if job is None or (job.stage in MEASURING and (plan is None or job.id in ids)):
                run.faults.append(str(error))
                run.damaged |= {job.id} if job else set()
            continue
        if artifact.job.stage in MEASURING and (plan is None or artifact.job.id in ids):
            run.add(Measured(id=artifact.job.id, artifact=artifact, store=store), wanted)
    return run


def run_of_plan(plan: Plan, store: Store, name: str) -> Run:
    """Return the gradings of a plan that a store has."""
    run = Run(name=name)
    for key, job in measured_jobs(plan).items():
        if not store.has(key):
            run.missing.append(job.id)
            continue
        try:
            run.add(Measured(id=job.id, artifact=store.get(key), store=store))
        except KitError as error:
            run.faults.append(str(error))
            run.damaged.add(job.id)
    return run


def _planned(store: Store, key: str) -> Job | None:
    """Return the job that was planned under a key; None where the store does not know it."""
    try:
        return store.job(key)
    except KitError:
        return None


def measured_jobs(plan: Plan) -> dict[str, Job]:
    """Return the jobs that give the cells of a plan's tables, by key."""
    return {key: plan.jobs[key] for cells in plan.cells.values() for address in cells for key in address.keys}


def run_of_key(store: Store, text: str) -> Run:
    """Return one grading of a store, named by its key, the start of its key, or the id of its job.

    Raises:
        RequestError: there is no such grading, or several; or it is a job of another stage.
    """
    if text.startswith(tuple(f"{stage}/" for stage in MEASURING)):
        found = list(_with_id(store, text))
        if not found:
            raise RequestError(f"store {store.root}: no grading {one_line(text, 200)!r}; `kit store list` names them")
        if len(found) > 1:
            keys = listed(one.key[:10] for one in found)
            raise RequestError(f"store {store.root}: {len(found)} gradings are called {text}; name one by key: {keys}")
        return Run(name=text, found={found[0].id: found[0]}, named=True)
    key = store.find(text)
    artifact = store.get(key)
    if artifact.job.stage not in MEASURING:
        raise RequestError(
            f"{key[:10]}: {artifact.job.id} holds no scores; wanted the key of a job of stage {' or '.join(MEASURING)}"
        )
    one = Measured(id=artifact.job.id, artifact=artifact, store=store)
    return Run(name=key[:10], found={one.id: one}, named=True)


def _with_id(store: Store, id: str) -> Iterator[Measured]:
    """Yield the gradings of a store whose job has this id; heads that can't be read are passed over."""
    for key in store.committed():
        try:
            artifact = store.get(key)
        except KitError:
            continue
        if artifact.job.id == id:
            yield Measured(id=id, artifact=artifact, store=store)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The gradings that both sides have, and those that one side has alone."""

    both: list[tuple[Measured, Measured]]
    only_before: list[str]
    only_after: list[str]


def pair(before: Run, after: Run) -> Pairing:
    """Return the gradings of two runs by pairs of one id; two that were named are one pair.

    Raises:
        RequestError: two that were named are of other benchmarks, or no id stands on both sides.
    """
    if before.named and after.named:
        (one,), (other,) = before.found.values(), after.found.values()
        if one.plugin != other.plugin:
            raise RequestError(
                f"{one_line(before.name, 200)} is of {one.plugin}, {one_line(after.name, 200)} of {other.plugin}; "
                "wanted two gradings of one benchmark"
            )
        return Pairing(both=[(one, other)], only_before=[], only_after=[])
    ids = [id for id in before.found if id in after.found]
    if not ids:
        raise RequestError(
            f"nothing to compare: {_side(before)}; {_side(after)}; wanted at least "
            "one of one id in both; two gradings of other ids are compared by their keys"
        )
    return Pairing(
        both=[(before.found[id], after.found[id]) for id in sorted(ids)],
        only_before=sorted(set(before.found) - set(ids) - after.damaged),
        only_after=sorted(set(after.found) - set(ids) - before.damaged),
    )


def _side(run: Run) -> str:
    """Return a phrase on the gradings that one side has."""
    unread = f"; {len(run.faults)} of its heads can't be read" if run.faults else ""
    if not run.found:
        missing = f" of {len(run.missing)}" if run.missing else ""
        return f"{one_line(run.name)} has no grading{missing}{unread}"
    return f"{one_line(run.name)} has {listed(sorted(run.found), 3)}{unread}"
