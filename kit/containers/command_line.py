"""The command line of a container: everything is closed to it but its output folder."""

import os

from kit.containers import FETCH_VARIABLES, UID, Request, processes_cap
from kit.containers.client import outside_hybrid_cgroups


def command(runtime: str, request: Request) -> list[str]:
    """Return the command line that runs one container.

    Args:
        runtime: docker, podman or apptainer.
        request: the container to start.
    """
    if runtime == "apptainer":
        return _apptainer(request)
    line = [runtime, "run", "--rm", "--interactive", "--pull=never", "--read-only", "--cap-drop=all"]
    line += ["--security-opt=no-new-privileges", "--tmpfs=/tmp:rw,nosuid,nodev,exec,mode=1777", "--shm-size=2g"]
    line += ["--security-opt=label=disable"]  # SELinux would want every folder of the store relabelled
    line += _user_options(runtime, rootless=request.rootless)
    line += [f"--name={request.name}"] if request.name else []
    line += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    line += ["--http-proxy=false"] if runtime == "podman" else []  # it would hand each container the host's, in full
    if not request.kind.network:
        line += ["--network=none"]
    elif request.host_network:
        line += ["--network=host"]
    if request.kind.untrusted:
        line += [
            f"--memory={request.memory_cap}",
            f"--memory-swap={request.memory_cap}",
            f"--pids-limit={processes_cap()}",
        ]
    if request.gpu:
        line += ["--gpus=all"] if runtime == "docker" else ["--device=nvidia.com/gpu=all"]
    line += [f"--volume={host}:{inside}:ro" for host, inside in request.readable]
    line += [f"--volume={host}:{inside}:rw" for host, inside in request.writable]
    line += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    variables = FETCH_VARIABLES if request.kind.fetches else request.variables
    line += [f"--env={name}" for name in variables if name in os.environ]
    line += [*request.extra, f"--entrypoint={request.command[0]}"]
    line += [request.image.id or request.image.name, *request.command[1:]]
    return outside_hybrid_cgroups(line) if runtime == "podman" else line


def _user_options(runtime: str, *, rootless: bool = False) -> list[str]:
    """Return the options for the container's user: the images' plain user where root starts it, else the caller."""
    if rootless:
        return ["--user=0:0"]
    uid = os.geteuid()
    if uid == 0:
        return [f"--user={UID}:{UID}"]
    keep = ["--userns=keep-id"] if runtime == "podman" else []
    return [*keep, f"--user={uid}:{os.getegid()}"]


def _apptainer(request: Request) -> list[str]:
    """Return apptainer's command line for a request; its images are read-only, and it runs as the caller."""
    line = ["apptainer", "exec", "--containall", "--no-home", "--no-privs", "--cleanenv", "--no-init"]
    if not (request.kind.network or request.host_network):
        line += ["--net", "--network=none"]
    if request.kind.untrusted:
        line += [f"--memory={request.memory_cap.upper()}", f"--pids-limit={processes_cap()}"]
    line += [f"--workdir={request.workdir}"] if request.workdir else []
    line += ["--nv"] if request.gpu else []
    line += [f"--bind={host}:{inside}:ro" for host, inside in request.readable]
    line += [f"--bind={host}:{inside}" for host, inside in request.writable]
    line += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    return [*line, request.image.name, *request.command]
