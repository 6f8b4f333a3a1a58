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
REPLIES = "/replies"
"""The folder of servers' replies, as a container that asks one sees it."""
PARTS = "/parts"
"""The folder of parts of jobs, as a container whose jobs may keep some sees it."""
UID = 10001
"""User id of the images' plain user."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PROXY_VARIABLES = (*PROXIES, *(name.lower() for name in PROXIES))
FETCH_VARIABLES = ("HF_TOKEN", "HF_ENDPOINT", *PROXY_VARIABLES)
"""Variables that a fetching container takes from this process, by name: no value stands on a command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that was built for the kit, as its runtime describes it."""

    name: str
    """Name of the image for the runtime: ``localhost/kit-cpu``, or a .sif file."""
    digest: str
    """Digest of the image, recorded with everything that runs in it."""
    revision: str
    """The commit it was built from."""
    lock: str
    """sha256 of the lock it was built from."""
    id: str = ""
    """Id by which the image is started, as its tag may be given to another image; empty: started by name."""


def memory_cap(cores: int | None = None) -> str:
    """Return the memory limit of a container that runs model-written code, as runtimes write it: ``4g``.

    It leaves room for one program a core and for the kit, if the machine has that much.

    Args:
        cores: number of programs that run at a time; by default the cores of this process.
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
    """Environment -> the image built for it."""
    fetcher: Image | None = None
    """The image for fetch jobs: it has the hub's client, which the image ``grade`` lacks."""
    mounts: tuple[tuple[str, str], ...] = ()
    """Further folders and files that fetch jobs read: (path on the host, path in the container)."""
    memory_cap: str = field(default_factory=memory_cap)
    """Memory limit of workers that run model-written code."""
    rootless: bool = False
    """Whether docker's engine runs as the calling user: root in a container is that user, and no other may write."""

    def image(self, kind: Kind, environment: str) -> Image:
        """Return the image that a worker of this kind runs in."""
        return self.fetcher if kind.fetches and self.fetcher else self.images[environment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One container to start: its image, command, mounts and limits."""

    kind: Kind
    """The kind of worker, which decides on network and limits."""
    image: Image
    command: Sequence[str]
    """The command that runs in the container."""
    readable: Sequence[tuple[str, str]]
    """Read-only mounts: (path on the host, path in the container)."""
    writable: Sequence[tuple[str, str]]
    """Mounts that the container may write to."""
    environment: Mapping[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    """Variables that it takes from this process by name, in addition to those of a fetching container."""
    host_network: bool = False
    """Whether it is in this machine's network: to ask a server there, or to meet its ranks on other nodes."""
    gpu: bool = False
    memory_cap: str = field(default_factory=memory_cap)
    name: str = ""
    """Name of the container, by which it can be ended."""
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    """The folder that apptainer uses for ``/tmp``, which else is 64 MB in memory."""
    rootless: bool = False
    """See :class:`Containers`."""
    extra: Sequence[str] = ()
    """Further options for the runtime."""


def image_name(environment: str) -> str:
    """Return the name of an environment's image: ``localhost/kit-cpu``."""
    return f"localhost/kit-{environment}"
