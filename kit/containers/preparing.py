"""Checks before the first container starts: runtime, images, driver, GPUs and folders are there."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from kit.catalogue import ROOT, lock_hash
from kit.containers import MIRROR, RUNTIMES, SITE_PACKAGES, Containers, Image, image_name
from kit.containers.client import engine_environment
from kit.errors import RequestError
from kit.machine.cgroups import CGROUPS
from kit.machine.locks import WEIGHT_PACKAGES
from kit.store import Job, sha256_file
from kit.workers import kind_of

DRIVER = 580
"""Major version of the first NVIDIA driver that runs CUDA 13."""
CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))


def prepare(runtime: str, jobs: Iterable[Job], mirror: Path | None = None) -> Containers | None:
    """Find everything that the jobs' containers need, before the first one starts; return None for ``local``.

    Args:
        runtime: the place where the jobs run, one of :data:`kit.containers.RUNTIMES`.
        jobs: the jobs that the store lacks.
        mirror: absolute path of the folder with copies of pinned files.

    Raises:
        RequestError: the runtime, an image, the driver or a GPU is missing; the message has the cure.
    """
    if runtime not in RUNTIMES:
        raise RequestError(f"--runtime {runtime}: known: {', '.join(RUNTIMES)}")
    if runtime == "local":
        return None
    check_runtime(runtime)
    jobs = list(jobs)
    locks = {job.environment: job.lock for job in jobs if not kind_of(job).fetches}
    images = {environment: find_image(runtime, environment) for environment in sorted(locks)}
    for environment, lock in locks.items():
        check_image(environment, images[environment], lock)
    fetcher = find_fetcher(runtime, images) if any(kind_of(job).fetches for job in jobs) else None
    if "cuda" in locks:
        check_gpus(runtime)
    if runtime == "apptainer" and any(kind_of(job).untrusted for job in jobs):
        check_delegation(CGROUPS)
    return Containers(
        runtime=runtime,
        images=images,
        fetcher=fetcher,
        mounts=(*source_mounts(jobs), *(mirror_mounts(jobs, mirror) if mirror else ()), *weight_mounts()),
        rootless=runtime == "docker" and "name=rootless" in (docker_facts().get("SecurityOptions") or ()),
    )


def find_fetcher(runtime: str, images: Mapping[str, Image]) -> Image:
    """Return the image for fetch jobs: one that other jobs need too, else one that is built.

    Raises:
        RequestError: neither ``cpu`` nor ``cuda`` is built, or it was built from another lock or other code.
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
    """Check that the runtime is installed and answers.

    Raises:
        RequestError: it is not installed, or it does not answer.
    """
    if shutil.which(runtime) is None:
        others = [name for name in RUNTIMES[1:] if shutil.which(name)]
        instead = f"--runtime {others[0]} (make: RUNTIME={others[0]})" if others else "--runtime local"
        raise RequestError(f"--runtime {runtime}: it is not installed; install {runtime}, or take {instead}")
    if runtime == "docker":
        docker_facts()
    if runtime == "podman":
        result = subprocess.run(
            ["podman", "info"], env=engine_environment(), text=True, capture_output=True, check=False
        )
        if result.returncode != 0:
            raise RequestError(
                f"--runtime podman: it doesn't work here: {_last_line(result.stderr)}; "
                "what it needs is said by: podman info"
            )


def docker_facts() -> dict[str, Any]:
    """Return the facts that ``docker info`` prints about the engine.

    Raises:
        RequestError: no engine answers, or it refuses this user.
    """
    command = ["docker", "info", "--format", "{{json .}}"]
    result = subprocess.run(command, text=True, capture_output=True, check=False)
    try:
        facts: dict[str, Any] = json.loads(result.stdout)
    except ValueError:
        facts = {}
    if result.returncode == 0 and facts.get("ServerVersion"):
        return facts
    reason = _last_line("\n".join([*(facts.get("ServerErrors") or ()), result.stderr]))
    if "permission denied" in reason.lower():
        cure = "sudo usermod -aG docker $USER, then log in again; or take --runtime podman"
    else:
        cure = "systemctl start docker"
    raise RequestError(f"docker: the client is here, no engine answers ({reason}); mend it with: {cure}")


def _last_line(text: str) -> str:
    """Return the last line of a text that is not blank."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it says nothing")


def check_delegation(cgroups: Path) -> None:
    """Check that apptainer can limit a container: root can, and a user to whom control groups are delegated.

    Raises:
        RequestError: this user can't limit memory or processes.
    """
    uid = os.geteuid()
    if uid == 0:
        return
    session = cgroups / f"user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers"
    try:
        delegated = set(session.read_text(encoding="ascii").split())
    except OSError:
        delegated = set()
    if missing := [name for name in ("memory", "pids") if name not in delegated]:
        raise RequestError(
            f"--runtime apptainer: this user can't cap {' and '.join(missing)} of a container, and model-written code "
            "has to be capped; as root, with control groups v2: mkdir -p /etc/systemd/system/user@.service.d && "
            "printf '[Service]\\nDelegate=cpu memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && "
            "systemctl daemon-reload, then log in again"
        )


def find_image(runtime: str, environment: str) -> Image:
    """Return the image that is built for an environment.

    Raises:
        RequestError: no image is built for it.
    """
    name = image_name(environment)
    option = "" if environment in ("cpu", "grade") else f" IMAGES={environment}"
    if runtime == "apptainer":
        return sif_image(environment)
    result = subprocess.run(
        [runtime, "image", "inspect", name], env=engine_environment(), text=True, capture_output=True, check=False
    )
    if result.returncode != 0:
        raise RequestError(f"--runtime {runtime}: no image {name}; build it with: make images{option}")
    facts = json.loads(result.stdout)[0]
    labels = facts.get("Labels") or facts.get("Config", {}).get("Labels") or {}
    return Image(
        name=name,
        digest=facts.get("Digest") or facts["Id"],
        revision=labels.get("org.opencontainers.image.revision", ""),
        lock=labels.get("org.evolkit.lock", ""),
        id=facts["Id"],
    )


def sif_image(environment: str) -> Image:
    """Return apptainer's image, ``images/<environment>.sif`` beside the manifests, with its labels.

    Raises:
        RequestError: there is no such file, or apptainer can't read it.
    """
    path = ROOT / "images" / f"{environment}.sif"
    if not path.exists():
        raise RequestError(
            f"--runtime apptainer: no {path}; make it from the image that another machine built: "
            f"podman save {image_name(environment)} -o kit.tar && mkdir -p {path.parent} && "
            f"apptainer build {path} docker-archive:kit.tar"
        )
    command = ["apptainer", "inspect", "--json", str(path)]
    result = subprocess.run(command, text=True, capture_output=True, check=False)
    try:
        labels = json.loads(result.stdout)["data"]["attributes"]["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"--runtime apptainer: {path} can't be read ({_last_line(result.stderr)}); remove it and make it again"
        ) from error
    return Image(
        name=str(path),
        digest=f"sha256:{sha256_file(path)}",
        revision=labels.get("org.opencontainers.image.revision", ""),
        lock=labels.get("org.evolkit.lock", ""),
    )


def check_image(environment: str, image: Image, lock: str) -> None:
    """Check that an image was built from the plan's lock and this checkout's code: a key stands for both.

    Raises:
        RequestError: it was built from another lock or other code.
    """
    rebuild = "make images" if environment in ("cpu", "grade") else f"make images IMAGES={environment}"
    if image.lock != lock:
        raise RequestError(
            f"{image.name}: built from another lock ({image.lock[:12] or 'none'}) than "
            f"requirements/{environment}.txt ({lock[:12]}); build it again with: {rebuild}"
        )
    if (ROOT / ".git").exists() and image.revision:
        check_code(image, rebuild)


def check_code(image: Image, rebuild: str) -> None:
    """Check that an image has the code of this checkout.

    Args:
        image: the image, with the commit that it was built from.
        rebuild: command that builds it again.

    Raises:
        RequestError: the code differs, or git can't say so.
    """
    result = _git("diff", "--quiet", image.revision, "--", "kit", "manifests")
    if result.returncode == 0:  # a file that git does not know is in no image; of a plug-in, a job would miss it
        result = _git("ls-files", "--others", "--exclude-standard", "--", "kit")
    built = f"{image.name}: built from commit {image.revision[:12]}"
    if result.returncode == 1:
        raise RequestError(
            f"{built}, and kit/ or manifests/ differ here; commit what is to run and build it again with: {rebuild}"
        )
    if result.returncode != 0:
        if "dubious ownership" in result.stderr:
            cure = f"git config --global --add safe.directory {ROOT}"
        else:
            cure = f"git fetch --all, or build it again with: {rebuild}"
        raise RequestError(
            f"{image.name}: git can't compare its commit {image.revision[:12]} with this checkout "
            f"({_last_line(result.stderr)}); {cure}"
        )
    if added := result.stdout.split("\n")[0]:
        raise RequestError(f"{built}, which lacks {added}; commit it and build it again with: {rebuild}")


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in this checkout, and return its exit status and output."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], text=True, capture_output=True, check=False)


def check_gpus(runtime: str) -> None:
    """Check for a GPU, a driver that is new enough, and the toolkit by which the runtime gives GPUs to containers.

    Raises:
        RequestError: one of them is missing.
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
    """Return whether a CDI spec in one of the folders names ``nvidia.com/gpu``."""
    specs = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    return any(
        path.suffix in (".yaml", ".json") and "nvidia.com/gpu" in path.read_text(encoding="utf-8") for path in specs
    )


def source_mounts(jobs: Iterable[Job]) -> list[tuple[str, str]]:
    """Return mounts for the host's files and folders that fetch jobs read; their path in the container is the same."""
    mounts: set[tuple[str, str]] = set()
    for job in jobs:
        path = str(job.resources.get("source", {}).get("path", ""))
        if path and kind_of(job).fetches:
            mounts |= {(path, path), *link_targets(Path(path), path, job.params.get("files", ()))}
    return sorted(mounts)


def mirror_mounts(jobs: Iterable[Job], mirror: Path) -> list[tuple[str, str]]:
    """Return mounts for the targets of the mirror folder's links, as far as fetch jobs may read them."""
    mounts: set[tuple[str, str]] = set()
    for job in jobs:
        name = str(job.resources.get("source", {}).get("mirror") or "")
        if name and kind_of(job).fetches:
            names = [f"{name}/{file}" for file in job.params["files"]] if "files" in job.params else [name]
            mounts |= set(link_targets(mirror, MIRROR, names))
    return sorted(mounts)


def link_targets(folder: Path, inside: str, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield a mount for the target of each link that leads out of a folder: (host path, path in the container).

    A hub's snapshot folder holds nothing but links (``../../blobs/...``), and a mirror may: in a container that saw the
    folder alone they led nowhere.

    Args:
        folder: path of the folder on the host.
        inside: path of the folder in the container.
        names: the files that are wanted, relative to the folder.
    """
    for name in names:
        path = folder
        for part in Path(name).parts:
            path /= part
            if path.is_symlink():
                start = Path(inside, path.relative_to(folder)).parent
                target = os.path.normpath(start / path.readlink())
                if path.exists() and not Path(target).is_relative_to(inside):
                    yield str(path.resolve()), target
                break


def weight_mounts() -> list[tuple[str, str]]:
    """Return mounts for the installed packages that hold weights, into the image's site-packages."""
    mounts = []
    for name in WEIGHT_PACKAGES:
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue
        folders = {file.parts[0] for file in package.files or ()} - {".."}
        mounts += [(str(package.locate_file(folder)), f"{SITE_PACKAGES}/{folder}") for folder in sorted(folders)]
    return mounts
