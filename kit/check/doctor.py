"""``kit doctor``: what this machine can run, and for what is missing the command that installs it.

Nothing heavy is imported: packages are read from their metadata, libraries are opened and closed, the sandbox is tried.
"""

import contextlib
import ctypes
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Literal

from kit.catalogue import Catalogue, manifests_folder
from kit.containers import RUNTIMES as KNOWN_RUNTIMES
from kit.containers.preparing import DRIVER, check_runtime, find_image
from kit.errors import KitError, RequestError
from kit.machine import locks
from kit.machine.cgroups import memory_bytes
from kit.plan.planning import largest_scale, plan_tables, this_machine

PUNKT = "llama_index/core/_static/nltk_cache/tokenizers/punkt_tab/english/collocations.tab"
RUNTIMES = ("docker", "podman", "apptainer", "singularity")
REINSTALL = "rm -rf .venv* && make setup"
IMAGE = "KIT_IMAGE"
"""The variable by which a container knows its image: ``cpu``, ``cuda`` or ``grade``."""
SYSTEM_PACKAGES = "apt-get install -y libnuma1 libseccomp2   (Fedora: dnf install -y numactl-libs libseccomp)"
Status = Literal["ok", "missing", "warn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Result of one check of this machine."""

    name: str
    status: Status
    """``missing``: the smoke scale, or in an image its jobs, can't run without it; ``warn``: something else can't."""
    found: str
    wanted: str
    cure: str = ""
    """The command that mends it, empty if nothing is to be mended."""


def main(as_json: bool) -> int:
    """Print every check; 0 if the smoke scale, or in an image what the image is for, can run here, else 1."""
    checks = examine()
    ready = all(check.status != "missing" for check in checks)
    if as_json:
        print(json.dumps({"schema": 1, "smoke": ready, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        show(checks)
    return 0 if ready else 1


def examine() -> list[Check]:
    """Run every check, in the order in which a machine is set up."""
    environment = os.environ.get(IMAGE) or locks.installed_environment()
    checks: tuple[Callable[[], list[Check]], ...] = (
        system,
        processor,
        room,
        lambda: packages(environment),
        lambda: libraries(environment),
        sandbox,
        carried_files,
        gpus,
        containers,
        scale,
    )
    return [check for run in checks for check in run()]


def reinstall() -> str:
    """Return the command that installs the locked packages again: here, or in the image that this is."""
    image = os.environ.get(IMAGE)
    return f"outside: make images IMAGES={image}" if image else REINSTALL


def show(checks: list[Check]) -> None:
    """Show a table of all checks, then the commands that mend what is not right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "missing": "bold red", "warn": "yellow"}
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "found", "wanted"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        words = (check.name, check.found, check.wanted)
        table.add_row(Text(check.status, style=styles[check.status]), *(Text(word) for word in words))
    console = Console()
    console.print(table)
    cures = dict.fromkeys(check.cure for check in checks if check.cure and check.status != "ok")
    if cures:
        console.print("\nto mend it:")
        for cure in cures:
            console.print(Text(f"  {cure}"), soft_wrap=True)


def system() -> list[Check]:
    """Check the operating system and Python."""
    here = f"{platform.system()} {platform.machine()}"
    python = platform.python_version()
    return [
        Check(
            name="system",
            status="ok" if here == "Linux x86_64" else "missing",
            found=f"{here}, {platform.release()}",
            wanted="Linux x86_64",
            cure="" if here == "Linux x86_64" else "use the container: docker/cpu.Dockerfile",
        ),
        Check(
            name="Python",
            status="ok" if sys.version_info[:2] == (3, 11) else "missing",
            found=f"{python} ({sys.executable})",
            wanted="3.11",
            cure="" if sys.version_info[:2] == (3, 11) else reinstall(),
        ),
    ]


def processor() -> list[Check]:
    """Check the cores, and the vector units that engines and trainer use."""
    return [
        Check(
            name="cores", status="ok", found=str(len(os.sched_getaffinity(0))), wanted="2 or more for the stated times"
        ),
        vector_units(cpu_flags(Path("/proc/cpuinfo"))),
    ]


def cpu_flags(cpuinfo: Path) -> set[str]:
    """Return the first processor's flags, as the kernel lists them."""
    try:
        found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError:
        return set()
    return set(found.group(1).split()) if found else set()


def vector_units(flags: set[str]) -> Check:
    """AVX2 is the least the CPU engine takes; bfloat16 pays only with AMX: training without is 20 times slower."""
    units = [name for name in ("avx2", "avx512f", "amx_bf16") if name in flags]
    dtype = "bfloat16" if "amx_bf16" in flags else "float32"
    return Check(
        name="vector units",
        status="ok" if "avx2" in flags else "missing",
        found=f"{' '.join(units) or 'none'}; fastest in {dtype}",
        wanted="avx2 (avx512f is faster)",
        cure="" if "avx2" in flags else "a processor of 2013 or later; in a virtual machine: its CPU type 'host'",
    )


def room() -> list[Check]:
    """Check the memory, and the disk where the store is."""
    smoke = Catalogue(manifests_folder()).scale("smoke")
    jobs = plan_tables(["2"], "smoke").jobs.values()
    disk = sum(int(job.resources.get("disk_bytes", 0)) for job in jobs) / 1e9
    store = Path(os.environ.get("KIT_STORE") or "store").expanduser().resolve()
    there = next(folder for folder in (store, *store.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    memory = memory_bytes() / 2**30
    return [
        Check(
            name="memory",
            status="ok" if memory >= smoke.hardware.memory_gib else "warn",
            found=f"{memory:.0f} GiB",
            wanted=f"{smoke.hardware.memory_gib} GiB (smoke)",
            cure="" if memory >= smoke.hardware.memory_gib else "end other programs, or give the container more memory",
        ),
        Check(
            name="disk",
            status="ok" if free >= disk else "missing",
            found=f"{free:,.0f} GB free at {there}",
            wanted=f"{disk:,.0f} GB (table 2, smoke)",
            cure="" if free >= disk else "kit store gc, or another --store (make: STORE=)",
        ),
    ]


def packages(environment: str) -> list[Check]:
    """Compare the lock with what is installed; torch and the engine by name, where the environment has them.

    An image leaves out the packages that carry weights: its jobs get them from the machine.
    """
    differences = locks.differences(environment)
    if os.environ.get(IMAGE):
        differences = [line for line in differences if line.partition(":")[0] not in locks.WEIGHT_PACKAGES]
    head = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
    checks = [
        Check(
            name="packages",
            status="missing" if differences else "ok",
            found=f"{len(differences)} not as locked: {head}" if differences else "as locked",
            wanted=f"requirements/{environment}.txt",
            cure=reinstall() if differences else "",
        )
    ]
    if os.environ.get(IMAGE) == "grade":  # it has neither, and needs none
        return checks
    for name, choices in (("torch", ("torch",)), ("engine", tuple(locks.ENGINES))):
        found = next((f"{choice} {version}" for choice in choices if (version := locks.installed_version(choice))), "")
        wanted = " or ".join(choices)
        checks.append(
            Check(
                name=name,
                status="ok" if found else "missing",
                found=found or "not installed",
                wanted=wanted,
                cure="" if found else reinstall(),
            )
        )
    return checks


def libraries(environment: str) -> list[Check]:
    """Check the system libraries that pip can't bring."""
    checks = []
    if environment == "cpu":
        checks.append(library("libnuma1", "libnuma.so.1", "vllm on a CPU"))
    return [*checks, library("libseccomp2", "libseccomp.so.2", "the sandbox")]


def library(package: str, soname: str, needed_by: str) -> Check:
    """Return whether the loader finds a library."""
    try:
        ctypes.CDLL(soname)
    except OSError:
        return Check(
            name=package, status="missing", found="not there", wanted=f"{soname}, for {needed_by}", cure=SYSTEM_PACKAGES
        )
    return Check(name=package, status="ok", found=soname, wanted=f"for {needed_by}")


def sandbox() -> list[Check]:
    """Check which tier of the sandbox holds here, by trying attacks."""
    from kit.sandbox import open_sandbox

    wanted = "landlock + seccomp, or seccomp"
    try:
        with open_sandbox(workers=1) as opened:
            return [Check(name="sandbox", status="ok", found=opened.tier, wanted=wanted)]
    except KitError as error:
        cure = "as it says; or --unsafe-exec, if the machine is one to throw away"
        return [Check(name="sandbox", status="missing", found=str(error), wanted=wanted, cure=cure)]


def carried_files() -> list[Check]:
    """Check the files that graders and prompts take from installed wheels."""
    return [
        carried("nltk punkt_tab", "llama-index-core", PUNKT, "IFEval's sentence counts", "missing"),
        carried("OpenCompass prompts", "opencompass", "opencompass/configs", "the paper's prompts", "warn"),
    ]


def carried(name: str, package: str, path: str, needed_by: str, otherwise: Status) -> Check:
    """Return whether a wheel is there with the file that it is installed for."""
    wanted = f"{package}, for {needed_by}"
    version = locks.installed_version(package)
    if version and Path(str(distribution(package).locate_file(path))).exists():
        return Check(name=name, status="ok", found=f"{package} {version}", wanted=wanted)
    found = f"{package} {version} without {path}" if version else "not installed"
    return Check(name=name, status=otherwise, found=found, wanted=wanted, cure=reinstall())


def gpus() -> list[Check]:
    """Check the GPUs and their driver."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        printed = subprocess.run(query, text=True, capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        printed = ""
    return [gpu_check(printed)]


def gpu_check(printed: str) -> Check:
    """Return the check on what ``nvidia-smi`` prints, one line ``name, MiB, driver`` a GPU."""
    wanted = f"for the scales one-gpu, one-80gb and paper: driver {DRIVER} or newer"
    rows = [[word.strip() for word in line.split(",")] for line in printed.splitlines() if line.count(",") == 2]
    if not rows:
        return Check(name="GPUs", status="ok", found="none", wanted=wanted)
    driver = rows[0][2]
    new_enough = int(driver.partition(".")[0]) >= DRIVER if driver.partition(".")[0].isdigit() else False
    found = ", ".join(f"{name} ({int(mib) / 1024:.0f} GiB)" if mib.isdigit() else name for name, mib, _ in rows)
    return Check(
        name="GPUs",
        status="ok" if new_enough else "warn",
        found=f"{found}, driver {driver}",
        wanted=wanted,
        cure="" if new_enough else f"a newer NVIDIA driver: apt-get install -y nvidia-driver-{DRIVER}-server",
    )


def containers() -> list[Check]:
    """Check the container runtimes and the images that they have; none is needed on one machine."""
    found, cures = [], []
    for name in RUNTIMES:
        if not shutil.which(name):
            continue
        try:
            if name in KNOWN_RUNTIMES:
                check_runtime(name)
            found.append(name + images(name))
        except RequestError as error:
            found.append(f"{name} (does not work)")
            cures.append(str(error))
    return [
        Check(
            name="containers",
            status="warn" if cures and len(cures) == len(found) else "ok",
            found=", ".join(found) or "none",
            wanted="optional: docker, podman or apptainer; images by `make images`",
            cure="; ".join(cures),
        )
    ]


def images(runtime: str) -> str:
    """`` (cpu, grade)``: the images that a runtime has."""
    built = []
    for environment in ("cpu", "cuda", "grade"):
        with contextlib.suppress(KitError, OSError, ValueError):
            find_image(runtime, environment)
            built.append(environment)
    return f" ({', '.join(built)})" if built else ""


def scale() -> list[Check]:
    """Name the scale that ``--scale auto`` takes here."""
    found = largest_scale(Catalogue(manifests_folder()), this_machine())
    return [Check(name="scale", status="ok", found=found, wanted="what auto takes here")]
