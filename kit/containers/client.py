"""Processes of docker and podman themselves: the environment that they need here, and how containers are ended."""

import contextlib
import functools
import hashlib
import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.catalogue import ROOT
from kit.containers import FETCH_VARIABLES
from kit.errors import KitError
from kit.machine.cgroups import hybrid_cgroups
from kit.store import Store
from kit.workers import Kind

STORE_LABEL, KEY_LABEL = "org.evolkit.store", "org.evolkit.key"
"""Labels of every container: its store, and the job whose lock its run holds while the run lives."""
SYS_RESOURCE = 1 << 24
"""The capability to raise limits (capability.h)."""


def engine_environment() -> dict[str, str]:
    """Return this process's environment, with a configuration that keeps podman within the limits here."""
    conf = _limits()
    return dict(os.environ) | ({"CONTAINERS_CONF": conf} if conf else {})


def client_environment(runtime: str, kind: Kind) -> dict[str, str]:
    """Return the environment of the runtime's own process, with what apptainer passes on to a fetching container."""
    if runtime != "apptainer" or not kind.fetches:
        return engine_environment()
    lent = {f"APPTAINERENV_{name}": os.environ[name] for name in FETCH_VARIABLES if name in os.environ}
    return engine_environment() | lent


def outside_hybrid_cgroups(words: Sequence[str]) -> list[str]:
    """Return the command, run in a mount namespace without the second control-group tree where there are two.

    crun refuses to start while both trees are mounted ("cgroups in hybrid mode not supported"); the machine's own
    mounts stay as they are.
    """
    if not hybrid_cgroups():
        return list(words)
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


def end_container(runtime: str, name: str) -> None:
    """Kill and remove a container, if it is there; apptainer's containers are processes of ours and not ended here."""
    if runtime == "apptainer":
        return
    for words in (["kill", name], ["rm", "--force", name]):
        _ask(runtime, *words)


def end_left_over(runtime: str, store: Store) -> list[str]:
    """Kill the containers that dead runs left on this store; a live run holds the lock of its container's first job.

    Returns:
        Their names.
    """
    if runtime == "apptainer":
        return []
    form = "{{.Names}}"
    ended = []
    for name in _ask(runtime, "ps", "--all", f"--filter=label={STORE_LABEL}={store_mark(store)}", f"--format={form}"):
        for facts in json.loads("\n".join(_ask(runtime, "container", "inspect", name)) or "[]"):
            # busy: a run is alive; else a label that the kit did not write, or a lock that is none
            with contextlib.suppress(KitError), store.lock(facts["Config"]["Labels"][KEY_LABEL]):
                end_container(runtime, name)
                ended.append(name)
    return ended


def store_mark(store: Store) -> str:
    """Return a label's value that names a store: the same for the same folder under the same path."""
    root = store.root.resolve()
    return hashlib.sha256(f"{root.stat().st_ino} {root}".encode()).hexdigest()[:20]


def _ask(runtime: str, *words: str) -> list[str]:
    """Run a command of the runtime and return the lines that it prints."""
    line = outside_hybrid_cgroups([runtime, *words]) if runtime == "podman" else [runtime, *words]
    asked = subprocess.run(line, env=engine_environment(), text=True, capture_output=True, check=False)
    return asked.stdout.splitlines()


@functools.lru_cache(maxsize=1)
def _limits() -> str:
    """Write a configuration file for podman and buildah where they need one here, and return its path; else nothing."""
    if os.geteuid() != 0:
        return ""
    conf = configuration(Path("/proc/self/status").read_text(encoding="ascii"), hybrid=hybrid_cgroups())
    if not conf:
        return ""
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    path = folder / "containers.conf"
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".containers.", delete=False, encoding="utf-8") as file:
        file.write(_toml(conf))
    Path(file.name).replace(path)  # another run may be reading it
    return str(path)


def configuration(status: str, *, hybrid: bool) -> dict[str, dict[str, Any]]:
    """Return podman's configuration: limits no higher than ours, and a runtime for two control-group trees.

    Args:
        status: what ``/proc/self/status`` says.
        hybrid: whether both control-group trees are mounted.
    """
    conf: dict[str, dict[str, Any]] = {}
    capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    if not int(capabilities.split()[1], 16) & SYS_RESOURCE:
        files, processes = (resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC))
        pids = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
        processes = pids if processes == resource.RLIM_INFINITY else min(processes, pids)
        files = 1 << 20 if files == resource.RLIM_INFINITY else files
        conf["containers"] = {"default_ulimits": [f"nofile={files}:{files}", f"nproc={processes}:{processes}"]}
    if hybrid:
        conf["engine"] = {"runtime": "crun", "cgroup_manager": "cgroupfs"}
    return conf and {**conf, "engine": {**conf.get("engine", {}), "events_logger": "none"}}


def _toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    """Return tables of strings and lists of strings as TOML."""
    sections = []
    for title, values in document.items():
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        sections.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(sections) + "\n"
