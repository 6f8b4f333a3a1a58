"""The programs docker and podman: the environment that they need on this machine, and how containers are ended."""

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
from kit.errors import KitError
from kit.machine.cgroups import hybrid_cgroups
from kit.store import Store

STORE_LABEL, KEY_LABEL = "org.evolkit.store", "org.evolkit.key"
"""Labels of every container: the store's id, and the key of the job whose lock its run holds as long as it lives."""
SYS_RESOURCE = 1 << 24
"""The capability to raise limits (capability.h)."""


def engine_environment() -> dict[str, str]:
    """Return this process's environment, with a configuration that keeps podman within this machine's limits."""
    path = _configuration_file()
    return dict(os.environ) | ({"CONTAINERS_CONF": path} if path else {})


def client_environment(runtime: str, variables: Sequence[str]) -> dict[str, str]:
    """Return the environment for the runtime's own process; apptainer passes the named ones on to the container."""
    if runtime != "apptainer":
        return engine_environment()
    passed_on = {f"APPTAINERENV_{name}": os.environ[name] for name in variables if name in os.environ}
    return engine_environment() | passed_on


def outside_hybrid_cgroups(command: Sequence[str]) -> list[str]:
    """Return the command, run in a mount namespace without the second control-group tree where there are two.

    crun refuses to start while both trees are mounted ("cgroups in hybrid mode not supported"); the machine's own
    mounts stay as they are.
    """
    if not hybrid_cgroups():
        return list(command)
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command]


def end_container(runtime: str, name: str) -> None:
    """Kill and remove a container if it is there; a container of apptainer is a process of this run, ended as one."""
    if runtime == "apptainer":
        return
    for arguments in (["kill", name], ["rm", "--force", name]):
        _output_lines(runtime, *arguments)


def end_leftover_containers(runtime: str, store: Store) -> list[str]:
    """Kill the containers that dead runs left on this store; a live run holds the lock of its container's first job.

    Returns:
        Names of the killed containers.
    """
    if runtime == "apptainer":
        return []
    label_filter = f"--filter=label={STORE_LABEL}={store_id(store)}"
    ended = []
    for name in _output_lines(runtime, "ps", "--all", label_filter, "--format={{.Names}}"):
        for facts in json.loads("\n".join(_output_lines(runtime, "container", "inspect", name)) or "[]"):
            # busy: a run is alive; else a label that the kit did not write, or a lock that is none
            with contextlib.suppress(KitError), store.lock(facts["Config"]["Labels"][KEY_LABEL]):
                end_container(runtime, name)
                ended.append(name)
    return ended


def store_id(store: Store) -> str:
    """Return the label's value that names a store: the same for the same folder under the same path."""
    root = store.root.resolve()
    return hashlib.sha256(f"{root.stat().st_ino} {root}".encode()).hexdigest()[:20]


def _output_lines(runtime: str, *arguments: str) -> list[str]:
    """Run a command of the runtime, and return the lines that it prints."""
    command = [runtime, *arguments]
    command = outside_hybrid_cgroups(command) if runtime == "podman" else command
    result = subprocess.run(command, env=engine_environment(), text=True, capture_output=True, check=False)
    return result.stdout.splitlines()


@functools.lru_cache(maxsize=1)
def _configuration_file() -> str:
    """Write a configuration file for podman and buildah and return its path; empty where they need none."""
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
    """Return podman's configuration: limits no higher than this process's, and a runtime for two control-group trees.

    Args:
        status: text of ``/proc/self/status``.
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
