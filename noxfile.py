"""Every check that CI runs; ``nox -l`` lists them. They run in the checkout's ``.venv``, which ``make test`` sets up.

Arguments after ``--`` go to the tool: ``nox -s tests -- -k store -x``. Any nox will do, the ``.venv``'s or one's own.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
SHELL_SCRIPTS = (
    "requirements/setup.sh",
    "requirements/beside.sh",
    "requirements/cluster.sh",
    "requirements/readers.sh",
    ".ci/run",
)
REMOTE_SCRIPTS = sorted(str(path) for path in (ROOT / "kit" / "transfers" / "scripts").glob("*.sh"))

nox.options.default_venv_backend = "none"


def run(session: nox.Session, tool: str, *arguments: str, venv: str = ".venv") -> None:
    """Run a tool of the checkout's own environment, whoever's nox this is."""
    session.run(str(program_of(session, tool, venv)), *arguments, external=True)


def program_of(session: nox.Session, tool: str, venv: str) -> Path:
    """Return a tool of one of the checkout's environments, or end the session with the way to set it up."""
    program = ROOT / venv / "bin" / tool
    if not program.exists():
        cure = "make setup" if tool == "kit" else "sh requirements/setup.sh --dev"
        if venv != ".venv" and (ROOT / venv).exists():
            cure = f"{venv}/bin/pip install {tool}"
        session.error(f"no {program.relative_to(ROOT)} in this checkout; set it up with: {cure}")
    return program


def environment_with_kit() -> str:
    """The first environment that set-up made here; on a machine with GPUs that can be ``.venv-cuda`` alone."""
    found = [venv for venv in (".venv", ".venv-cuda") if (ROOT / venv / "bin" / "kit").exists()]
    return next(iter(found), ".venv")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests but those marked slow, network or images, file by file in a process for each core, 4 at most."""
    run(session, "pytest", "--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and format, the layers' contracts, shell scripts, container recipes and workflows."""
    run(session, "ruff", "check", *session.posargs)
    run(session, "ruff", "format", "--check")
    run(session, "lint-imports")
    run(session, "shellcheck", *SHELL_SCRIPTS)
    run(session, "shellcheck", "--shell=sh", *REMOTE_SCRIPTS)
    run(session, "hadolint", *map(str, sorted(ROOT.glob("docker/*.Dockerfile"))))
    run(session, "actionlint", *map(str, sorted(ROOT.glob(".github/workflows/*.yml"))))


@nox.session
def types(session: nox.Session) -> None:
    """Strict mypy."""
    run(session, "mypy", *session.posargs)


@nox.session(default=False)
def verify(session: nox.Session) -> None:
    """Check the tables that the store has, a verdict for each cell; ends with kit's own exit code (docs/verify.md)."""
    program = program_of(session, "kit", environment_with_kit())
    code = subprocess.run([program, "verify", *session.posargs], check=False).returncode
    if code == 1:
        session.error("kit verify says no")
    if code:
        sys.exit(code)  # nox ends with 1 whatever failed, and 3 says that it can't be told


@nox.session(default=False)
def smoke(session: nox.Session) -> None:
    """Table 2 at smoke scale into a new store, twice: the second run must find every job cached (12 minutes)."""
    with tempfile.TemporaryDirectory(prefix="kit-smoke-") as store:
        words = ("reproduce", "2", "--scale", "smoke", "--store", store, *session.posargs)
        run(session, "kit", *words)
        before = _artifacts(Path(store))
        run(session, "kit", *words)
        if _artifacts(Path(store)) != before:
            session.error("the second run computed something again")
        run(session, "kit", "verify", "2", "--scale", "smoke", "--store", store)


@nox.session(default=False)
def slow(session: nox.Session) -> None:
    """The tests that take minutes."""
    run(session, "pytest", "-m", "slow", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Hostile texts, stores, manifests, models and files: ten minutes, or ``-- --minutes 60 --seed 7``; with counts."""
    run(session, "python", "-m", "tests.fuzz", *session.posargs)


@nox.session(default=False)
def images(session: nox.Session) -> None:
    """The tests that run jobs in the images that `make images` built; skipped aloud where there are none.

    The cuda image is built first where it is not there and 40 GB of disk and half an hour are
    (``KIT_TEST_DEADLINE`` says until when, in seconds since 1970); else what it would show is skipped, aloud too.
    """
    run(session, "pytest", "-m", "images", *session.posargs)


@nox.session(default=False)
def gpu(session: nox.Session) -> None:
    """Measure and check one NVIDIA card: curves, training, memory, engines (without one: ``-- --device cpu``)."""
    venv = ".venv-cuda" if (ROOT / ".venv-cuda").exists() else ".venv"
    run(session, "python", "perf/gpu.py", *session.posargs, venv=venv)


@nox.session(default=False)
def perf(session: nox.Session) -> None:
    """Our speed beside the peers': every script of perf/, and README's table of ratios at the end (15 minutes)."""
    run(session, "python", "perf", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Resolve pyproject.toml into requirements/*.txt again; needs uv."""
    run(session, "python", "requirements/lock.py", *session.posargs)


def _artifacts(store: Path) -> dict[str, int]:
    """Key -> when its head was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("artifacts/*/artifact.json")}
