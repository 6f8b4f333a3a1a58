"""The container of one worker: its image, the folders that it sees, its limits.

A worker in a container reads ``/store`` (artifacts and jobs, read-only), writes to ``/out``, and has a ``/tmp`` of its
own in memory. It commits nothing: :mod:`kit.run.handover` says how the host does.

``preparing`` looks everything up before the first container starts, ``command_line`` writes the options that close a
container, ``client`` talks to docker and podman.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.machine.cgroups import memory_bytes, memory_for
from kit.workers import Kind

RUNTIMES = ("local", "docker", "podman", "apptainer")
PYTHON = "/opt/venv/bin/python"
SITE_PACKAGES = "/opt/venv/lib/python3.11/site-packages"
MIRROR = "/mirror"
"""The folder with copies of pinned files, as a fetching container sees it."""
UID = 10001
"""User id of the images' plain user."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FETCH_VARIABLES = ("HF_TOKEN", "HF_ENDPOINT", *PROXIES, *(name.lower() for name in PROXIES))
"""Variables that a fetching container takes from this process, by name: no value stands on a command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image."""

    name: str
    """Its name for the runtime: ``localhost/kit-cpu``, or a .sif file."""
    digest: str
    """Recorded with everything that runs in it."""
    revision: str
    """The commit it was built from."""
    lock: str
    """sha256 of the lock it was built from."""
    id: str = ""
    """Its id, by which it is started: a tag may mean another image by then; empty: the name is used."""


def memory_cap(cores: int | None = None) -> str:
    """Return the memory limit of a container that runs model-written code, as runtimes write it: ``4g``.

    There is room for what a program on each core may hold, and for the kit, if the machine has it.

    Args:
        cores: programs at a time; this process's if left out.
    """
    wanted = math.ceil(memory_for(cores or len(os.sched_getaffinity(0))) / 2**30)
    return f"{max(1, min(wanted, memory_bytes() >> 30))}g"


def processes_cap() -> int:
    """Return how many processes and threads a container that runs model-written code may have."""
    return max(512, 8 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """The runtime and the images that a run's workers run in."""

    runtime: str
    images: Mapping[str, Image]
    """Environment -> its image."""
    fetcher: Image | None = None
    """The image that fetches: it has the hub's client, which the image ``grade`` lacks."""
    mounts: tuple[tuple[str, str], ...] = ()
    """More folders and files to see, read-only: (here, in the container)."""
    memory_cap: str = field(default_factory=memory_cap)
    """Of workers that run model-written code."""
    rootless: bool = False
    """Whether a docker engine runs as the user who starts this: its root is that user, and nobody else may write."""

    def image(self, kind: Kind, environment: str) -> Image:
        """Return the image that a worker of this kind runs in."""
        return self.fetcher if kind.fetches and self.fetcher else self.images[environment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One container to be started."""

    kind: Kind
    """The kind of worker: what it is closed off from, and whether it is capped."""
    image: Image
    words: Sequence[str]
    """The command inside."""
    readable: Sequence[tuple[str, str]]
    """(here, in the container), read-only."""
    writable: Sequence[tuple[str, str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    gpu: bool = False
    memory_cap: str = field(default_factory=memory_cap)
    name: str = ""
    """The container's name, by which it can be ended."""
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    """The folder that apptainer uses for ``/tmp``, which else is 64 MB in memory."""
    rootless: bool = False
    """See :class:`Containers`."""
    extra: Sequence[str] = ()
    """More options of the runtime."""


def image_name(environment: str) -> str:
    """Return the name of an environment's image: ``localhost/kit-cpu``."""
    return f"localhost/kit-{environment}"
