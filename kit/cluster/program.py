"""Snakemake as a program: where it is, which profile it gets, and how it is started, watched and ended."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.catalogue import ROOT
from kit.errors import RequestError, one_line

MAJOR = 9
"""The major version of Snakemake that Snakefile and profiles are written for."""
OWN_ENVIRONMENT = ".venv-cluster"
INSTALL = "sh requirements/cluster.sh"
LOG = "snakemake.log"
END_S = 60.0
"""Seconds that Snakemake gets to end after it was told to; jobs that it has started on a cluster go on."""
TAIL_LINES = 5
PLUGINS = {"slurm": "slurm", "kubernetes": "kubernetes"}
"""Scheduler -> the executor plugin that it takes."""
_NAMES = ("config.yaml", "config.v9+.yaml", "profile.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snakemake:
    """Snakemake and the profile that it is started with."""

    program: Path
    scheduler: str
    """One of :data:`kit.cluster.SCHEDULERS`: the kit's own profile, which the lab's completes."""
    profile: Path | None = None
    """The lab's profile: what it says goes before what the kit's says."""

    def command(self, *more: str) -> list[str]:
        """Return the command line that runs a folder of :mod:`kit.cluster.folder`, in that folder."""
        line = [str(self.program), "--profile", f"profiles/{self.scheduler}"]
        return [*line, "--workflow-profile", str(self.profile) if self.profile else "none", *more]

    def start(self, folder: Path) -> subprocess.Popen[bytes]:
        """Start Snakemake in a folder, where it writes its log; it ends when this process is killed."""
        with (folder / LOG).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "kit.cluster.tied", str(os.getpid()), *self.command()],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def end(process: subprocess.Popen[bytes]) -> None:
    """Tell Snakemake to stop, as Ctrl-C does, and kill it if it does not; jobs that stay in a queue are found there."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)


def find_snakemake(scheduler: str, profile: str, environment: Mapping[str, str]) -> Snakemake:
    """Return Snakemake with a profile, after a check that it can start jobs in the way that is asked for.

    Args:
        scheduler: one of :data:`kit.cluster.SCHEDULERS`.
        profile: value of ``--profile``; empty without one.
        environment: variables of this process; ``KIT_SNAKEMAKE`` names another program than the one of set-up.

    Raises:
        RequestError: there is no such profile, or no Snakemake of the right version with its plugin.
    """
    lab = find_profile(profile, environment) if profile else None
    program = find_program(environment)
    check_version(program)
    check_plugin(program, scheduler)
    return Snakemake(program=program, scheduler=scheduler, profile=lab)


def find_profile(name: str, environment: Mapping[str, str]) -> Path:
    """Return the folder of a profile: a path, or a name in a folder where Snakemake looks for profiles.

    Raises:
        RequestError: there is none.
    """
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
    places = [Path(name), *(folder / "snakemake" / name for folder in (home, Path("/etc/xdg")))]
    for place in places:
        if any((place / file).is_file() for file in _NAMES):
            return place.absolute()
    looked = ", ".join(one_line(str(place)) for place in places)
    raise RequestError(
        f"--profile {one_line(name)}: no profile of Snakemake; wanted a folder with a config.yaml, looked for {looked}"
    )


def find_program(environment: Mapping[str, str]) -> Path:
    """Return the program: the one that is named, the one of set-up, or the first on the search path.

    Raises:
        RequestError: there is none.
    """
    if named := environment.get("KIT_SNAKEMAKE"):
        if not os.access(named, os.X_OK):
            raise RequestError(f"KIT_SNAKEMAKE={one_line(named)}: no program there; name Snakemake's, or unset it")
        return Path(named).absolute()
    own = ROOT / OWN_ENVIRONMENT / "bin" / "snakemake"
    found = own if own.exists() else shutil.which("snakemake", path=environment.get("PATH"))
    if not found:
        raise RequestError(f"--cluster: no snakemake on this machine; install Snakemake {MAJOR} for the kit: {INSTALL}")
    return Path(found)


def check_version(program: Path) -> None:
    """Check that a program is Snakemake of the version that Snakefile and profiles are written for.

    Raises:
        RequestError: it can't be run, or is of another version.
    """
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RequestError(f"{program}: can't be run: {error}; install Snakemake {MAJOR}: {INSTALL}") from error
    found = done.stdout.strip()
    if not re.match(rf"{MAJOR}\.\d", found):
        shown = one_line(found or done.stderr.strip() or f"exit code {done.returncode}", 100)
        raise RequestError(f"{program}: found version {shown}, wanted Snakemake {MAJOR}; install it: {INSTALL}")


def check_plugin(program: Path, scheduler: str) -> None:
    """Check that the plugin by which Snakemake reaches a scheduler is installed beside it.

    Raises:
        RequestError: it is not.
    """
    if scheduler not in PLUGINS:
        return
    name = f"snakemake_executor_plugin_{PLUGINS[scheduler]}"
    libraries = program.parent.parent / "lib"
    if libraries.is_dir() and not any(libraries.glob(f"python3*/site-packages/{name}/__init__.py")):
        package = name.replace("_", "-")
        raise RequestError(
            f"--cluster {scheduler}: {program} has no plugin {package}; install it beside: "
            f"{program.parent / 'python'} -m pip install {package}"
        )


def last_lines(path: Path) -> str:
    """Return the last lines of a log on one line, without blank ones."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    return " | ".join([line.strip() for line in lines if line.strip()][-TAIL_LINES:]) or "an empty log"
