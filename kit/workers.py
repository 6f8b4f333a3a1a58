"""The kinds of worker, each told once: what a process of that kind may use, and what it is held to.

A stage's file names its kind (``WORKER = "text"``, or a function of a job's parameters), a job records it beside its
key, and whatever starts, closes or orders workers asks the kind. No name of a stage or of a kind decides anything.
A further kind is a row of :data:`KINDS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit import registry
from kit.errors import RequestError, shown
from kit.store import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of worker; jobs of one kind may share a process."""

    name: str
    """Name by which a stage's file chooses it."""
    accelerated: bool = False
    """Whether a model is at work in it: it starts under ``accelerate launch`` and sees the GPUs."""
    network: bool = False
    """Whether it has a network; a container of any other kind has none."""
    fetches: bool = False
    """Whether it copies pinned bytes and computes nothing: it sees the mirror folder and the user's own files, gets the
    hub's token and the proxies from this process's environment, and the keys of its jobs hold no lock."""
    asks: bool = False
    """Whether it asks a model that a server answers for: it gets that server's key from this process's environment,
    which no other worker does, and a folder for the replies that outlives its jobs."""
    parts: bool = False
    """Whether its jobs may keep parts of their rows, or checkpoints: its container may write the folder of them, which
    outlives it."""
    untrusted: bool = False
    """Whether it runs code that a model wrote: its container is capped in memory, processes and time, and its output is
    copied, so that nothing it still holds open reaches what was committed."""
    environment: str = ""
    """The environment that it always runs in; empty where the scale decides."""
    starting: str = ""
    """Thing that its jobs start before they can count anything; the live line names it."""


_IN_ORDER = (
    Kind(name="fetch", network=True, fetches=True, environment="grade"),
    Kind(name="convert"),
    Kind(name="cpu", parts=True, environment="grade"),
    Kind(name="text", accelerated=True, parts=True),
    Kind(name="train", accelerated=True, parts=True, starting="the trainer"),
    Kind(name="ask", network=True, asks=True),
    Kind(name="sandbox", untrusted=True, environment="grade"),
)
KINDS = {kind.name: kind for kind in _IN_ORDER}
"""Name -> kind, in the order in which workers start where jobs of several kinds could begin."""


def find_kind(name: object, where: str) -> Kind:
    """Return the kind of a name.

    Args:
        name: as a stage's file has it; None where the file has none.
        where: what has it, for the message.

    Raises:
        RequestError: there is none.
    """
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    raise RequestError(f"{where}: found {shown(name)}, wanted a kind of worker: {', '.join(KINDS)}")


def kind_of_stage(stage: str) -> Kind:
    """Return the kind of worker that a stage's file names.

    Raises:
        RequestError: there is no such stage, its file names no kind, or one that is not known.
    """
    return find_kind(getattr(registry.load("stages", stage), "WORKER", None), f"stages/{stage}.py: WORKER")


def kind_for(stage: str, params: Mapping[str, Any]) -> Kind:
    """Return the kind of worker that runs a stage's job with these parameters.

    Raises:
        RequestError: as :func:`kind_of_stage`; or the stage has a kind for each job, and none for such parameters.
    """
    choose = getattr(registry.load("stages", stage), "worker", None)
    return kind_of_stage(stage) if choose is None else find_kind(choose(params), f"stages/{stage}.py: worker")


def kind_of(job: Job) -> Kind:
    """Return the kind of worker that a job runs in, which its stage's file decides.

    A job's own record may come from a file that somebody else wrote: it can't open what the stage's kind closes.

    Raises:
        RequestError: the stage is not known, or its kind, or the job records another kind.
    """
    kind = kind_for(job.stage, job.params)
    if job.worker not in ("", kind.name):
        raise RequestError(
            f"job {job.key[:12]}: worker: found {shown(job.worker)}, wanted {kind.name!r} as stages/{job.stage}.py has "
            "it; plan it again: kit plan TABLE --write"
        )
    return kind
