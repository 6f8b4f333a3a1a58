"""The escapes, fakes and promises once more as a plain user, and as root without a single capability."""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_escapes.py", "test_fakes.py", "test_limits.py", "test_sandbox.py", "test_values.py")
PR_CAPBSET_DROP, LAST_CAPABILITY = 24, 40
NOBODY = 10001

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def run_as(python: str, folder: Path, **how: Callable[[], None] | int | list[int]) -> None:
    env = {
        "PATH": os.defpath,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), sysconfig.get_path("purelib")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(folder),
    }
    options = ["-q", "-x", "-p", "no:cacheprovider", f"--basetemp={folder / 'pytest'}", f"--confcutdir={HERE}"]
    files = [str(HERE / name) for name in FILES]
    done = subprocess.run(
        [python, "-m", "pytest", *options, *files],
        env=env, cwd=HERE.parents[1], capture_output=True, text=True, check=False, **how,
    )  # type: ignore[call-overload]  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def python_for_all() -> str:
    """An interpreter of this version that any user can run: one under /root is root's alone."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, shutil.which(version, path="/usr/bin"), shutil.which(version, path="/usr/local/bin")):
        if path and subprocess.run(["/usr/bin/env", path, "-c", ""], user=NOBODY, check=False, cwd="/").returncode == 0:
            return path
    pytest.skip(f"no {version} that a plain user can run")


def test_as_a_plain_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        os.chown(folder, NOBODY, NOBODY)
        run_as(python_for_all(), folder, user=NOBODY, group=NOBODY, extra_groups=[])
    finally:
        shutil.rmtree(folder)


def test_as_root_without_capabilities(tmp_path: Path) -> None:
    def drop() -> None:
        for capability in range(LAST_CAPABILITY + 1):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)

    run_as(sys.executable, tmp_path, preexec_fn=drop)
