"""The command line of a container: everything is closed but its output folder."""

import os

from kit.containers import FETCH_VARIABLES, UID, Request, processes_cap
from kit.containers.client import outside_hybrid_cgroups


def command(runtime: str, request: Request) -> list[str]:
    """Return the command line that runs one container.

    Args:
        runtime: docker, podman or apptainer.
        request: what to run.
    """
    if runtime == "apptainer":
        return _apptainer(request)
    words = [runtime, "run", "--rm", "--interactive", "--pull=never", "--read-only", "--cap-drop=all"]
    words += ["--security-opt=no-new-privileges", "--tmpfs=/tmp:rw,nosuid,nodev,exec,mode=1777", "--shm-size=2g"]
    words += ["--security-opt=label=disable"]  # SELinux would want every folder of the store relabelled
    words += _user(runtime, rootless=request.rootless)
    words += [f"--name={request.name}"] if request.name else []
    words += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    words += ["--http-proxy=false"] if runtime == "podman" else []  # it would hand each container the host's, in full
    if not request.kind.network:
        words += ["--network=none"]
    if request.kind.untrusted:
        words += [
            f"--memory={request.memory_cap}",
            f"--memory-swap={request.memory_cap}",
            f"--pids-limit={processes_cap()}",
        ]
    if request.gpu:
        words += ["--gpus=all"] if runtime == "docker" else ["--device=nvidia.com/gpu=all"]
    words += [f"--volume={here}:{there}:ro" for here, there in request.readable]
    words += [f"--volume={here}:{there}:rw" for here, there in request.writable]
    words += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    if request.kind.fetches:
        words += [f"--env={name}" for name in FETCH_VARIABLES if name in os.environ]
    words += [*request.extra, f"--entrypoint={request.words[0]}"]
    words += [request.image.id or request.image.name, *request.words[1:]]
    return outside_hybrid_cgroups(words) if runtime == "podman" else words


def _user(runtime: str, *, rootless: bool = False) -> list[str]:
    """Return the options that choose the container's user: the images' own where root starts it, else the caller."""
    if rootless:
        return ["--user=0:0"]
    mine = os.geteuid()
    if mine == 0:
        return [f"--user={UID}:{UID}"]
    keep = ["--userns=keep-id"] if runtime == "podman" else []
    return [*keep, f"--user={mine}:{os.getegid()}"]


def _apptainer(request: Request) -> list[str]:
    """Return apptainer's command line for the same; its images are read-only, and it runs as the caller."""
    words = ["apptainer", "exec", "--containall", "--no-home", "--no-privs", "--cleanenv", "--no-init"]
    if not request.kind.network:
        words += ["--net", "--network=none"]
    if request.kind.untrusted:
        words += [f"--memory={request.memory_cap.upper()}", f"--pids-limit={processes_cap()}"]
    words += [f"--workdir={request.workdir}"] if request.workdir else []
    words += ["--nv"] if request.gpu else []
    words += [f"--bind={here}:{there}:ro" for here, there in request.readable]
    words += [f"--bind={here}:{there}" for here, there in request.writable]
    words += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    return [*words, request.image.name, *request.words]
