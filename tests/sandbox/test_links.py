"""A link beside the standard library's files opens nothing that lies elsewhere."""

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from kit.sandbox import lock

LINKS = {
    "a file elsewhere": ("stolen.py", "../private/key"),
    "a folder elsewhere": ("stolen", "../private"),
    "by the whole path": ("whole", "<ROOT>/private"),
    "a link to a link": ("chain", "../other/link"),
    "the folder above": ("above", ".."),
    "the root": ("root", "/"),
    "a package that is closed": ("opened", "site-packages/closed"),
    "all packages": ("packages", "site-packages"),
    "the folder itself": ("itself", "."),
    "a folder of the library, and out again": ("out", "json/../../private"),
    "through a link of the library": ("through", "stolen/key"),
    "nothing": ("nothing", "nowhere"),
    "round in a circle": ("circle", "circle"),
}
"""Name of a link and where it leads; none of them may be followed."""
TRIED = """
import json, os, sys
from kit.sandbox import lock
import sysconfig
root = sys.argv[1]
sysconfig.get_path = lambda name: root + "/lib"
lock.prctl(lock.PR_SET_NO_NEW_PRIVS, 1)
lock.restrict_files(lock.landlock_abi())
def opens(path):
    try:
        os.close(os.open(os.path.join(root, path), os.O_RDONLY))
        return True
    except OSError:
        return False
print(json.dumps({path: opens(path) for path in sys.argv[2:]}))
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder like the standard library's, with every link of the table, and things worth reading beside it."""
    for folder in ("lib/json", "lib/site-packages/closed", "private", "other", "real"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("lib/os.py", "lib/json/decoder.py", "lib/site-packages/closed/key", "private/key", "real/late.py"):
        (tmp_path / file).write_text("x")
    (tmp_path / "other/link").symlink_to("../private")
    for name, target in LINKS.values():
        (tmp_path / "lib" / name).symlink_to(target.replace("<ROOT>", str(tmp_path)))
    (tmp_path / "lib/_sysconfigdata_linux.py").symlink_to("os.py")
    (tmp_path / "lib/simplejson").symlink_to("json")
    return tmp_path


def test_what_lies_in_the_library_gets_a_rule_and_no_link_out_of_it(library: Path) -> None:
    lib = library / "lib"
    found = {str(path.relative_to(lib)) for path, _ in lock.entries(lib, ("site-packages",))}
    assert found == {"os.py", "json"}


@pytest.mark.skipif(not lock.landlock_abi(), reason="this kernel has no Landlock")
def test_no_link_opens_its_target(library: Path) -> None:
    # The rule was made for what a link leads to: a link to a home folder opened all of it.
    allowed = ["lib/os.py", "lib/json/decoder.py", "lib/_sysconfigdata_linux.py", "lib/simplejson/decoder.py"]
    listed = ("itself", "packages", "opened")  # the names in the library's own folders may be read
    refused = [f"lib/{name}" for name, _ in LINKS.values() if name not in listed]
    refused += [
        "private",
        "private/key",
        "lib/stolen/key",
        "lib/site-packages/closed/key",
        "lib/opened/key",
        "lib/packages/closed/key",
        "lib/itself/packages/closed/key",
        "real/late.py",
    ]
    done = subprocess.run(
        [sys.executable, "-c", TRIED, str(library), *allowed, *refused], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)


def test_a_library_that_is_reached_through_a_link_is_read(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (library / "linked").symlink_to("lib")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(library / "linked"))
    assert lock.stdlib_folders() == [library.resolve() / "lib"]
    readable = dict(lock.readable())
    assert readable[library.resolve() / "lib"] == lock.READ_DIR
    assert readable[library.resolve() / "lib/json"] == lock.READ_FILE | lock.READ_DIR


def test_local_libraries_too(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = library / "local"
    local.mkdir()
    (local / "libreal.so.1").write_text("x")
    (local / "libreal.so").symlink_to("libreal.so.1")
    (local / "libstolen.so").symlink_to("../private/key")
    (local / "libfolder.so").symlink_to("../private")
    monkeypatch.setattr(lock, "LOCAL_LIBRARIES", local)
    inside = {path for path, _ in lock.readable() if path.is_relative_to(library)}
    assert inside == {local / "libreal.so.1"}


def test_every_module_of_this_interpreter_has_its_rule() -> None:
    """Nothing of the real standard library is left out but links out of it, such as Debian's sitecustomize.py."""
    for folder in lock.stdlib_folders():
        ruled = {path for path, _ in lock.entries(folder, ("site-packages", "dist-packages"))}
        left = [entry for entry in folder.iterdir() if entry.resolve() not in ruled]
        assert [entry.name for entry in left if not entry.is_symlink() and "packages" not in entry.name] == []
