"""One worker -> one container: which image, what it sees, what it is held to.

A worker in a container reads ``/store`` (artifacts and jobs, read-only), writes to ``/out``, and has a ``/tmp`` of its
own in memory. It commits nothing: :mod:`kit.run.handover` says how the host does.

``preparing`` looks everything up before the first container starts, ``command_line`` writes what closes it, ``client``
talks to docker and podman.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.machine.cgroups import memory_bytes, memory_for

RUNTIMES = ("local", "docker", "podman", "apptainer")
PYTHON = "/opt/venv/bin/python"
SITE_PACKAGES = "/opt/venv/lib/python3.11/site-packages"
MIRROR = "/mirror"
"""Where a fetching container sees the folder with copies of pinned files."""
UID = 10001
"""The images' plain user."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
FETCH_VARIABLES = ("HF_TOKEN", "HF_ENDPOINT", *PROXIES, *(name.lower() for name in PROXIES))
"""What a fetching container takes from this process's environment, by name: no value stands on a command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A built image."""

    name: str
    """How the runtime finds it: ``localhost/kit-cpu``, or a .sif file."""
    digest: str
    """Recorded with everything that runs in it."""
    revision: str
    """The commit it was built from."""
    lock: str
    """sha256 of the lock it was built from."""
    id: str = ""
    """What starts it: a tag may mean another image by then; empty: the name."""


def memory_cap(cores: int | None = None) -> str:
    """Of a ``grade`` container: room for what a program on each core may hold, and for the kit, if the machine has it.

    Args:
        cores: programs at a time; this process's if left out.
    """
    wanted = math.ceil(memory_for(cores or len(os.sched_getaffinity(0))) / 2**30)
    return f"{max(1, min(wanted, memory_bytes() >> 30))}g"


def processes_cap() -> int:
    """Of a ``grade`` container: two processes and a thread for each core's program, and room."""
    return max(512, 8 * (os.cpu_count() or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Where this run's workers run."""

    runtime: str
    images: Mapping[str, Image]
    """Environment -> its image."""
    fetcher: Image | None = None
    """The image that fetches, the one with a network: it has the hub's client, which ``grade`` lacks."""
    mounts: tuple[tuple[str, str], ...] = ()
    """More folders and files to see, read-only: (here, in the container)."""
    memory_cap: str = field(default_factory=memory_cap)
    """Of ``grade``."""
    rootless: bool = False
    """Whether a docker engine runs as the user who starts this: its root is that user, and nobody else may write."""

    def image(self, group: str, environment: str) -> Image:
        """The image of one worker."""
        return self.fetcher if group == "fetch" and self.fetcher else self.images[environment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one container is started for."""

    group: str
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
    """By which it can be ended."""
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    """Where apptainer puts ``/tmp``, which else is 64 MB in memory."""
    rootless: bool = False
    """See :class:`Containers`."""
    extra: Sequence[str] = ()
    """More options of the runtime."""


def image_name(environment: str) -> str:
    """``localhost/kit-cpu``."""
    return f"localhost/kit-{environment}"
