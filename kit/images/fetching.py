"""What an image is built of, fetched and checked before the build: the lock's wheels, Debian packages, the base.

What is to be fetched stands in ``tree``, the commit's own files: a change that is not committed has no say.
"""

import functools
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError
from kit.images.builders import has_image, run_inside
from kit.images.running import CACHE, output, run, say, succeeds
from kit.machine.debian import is_debian_12
from kit.store import sha256_file

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where torch's CPU build is, unless the user's own index has it; the hash is the lock's."""
STAND_IN_PACKAGES = "python3,python3-venv,ca-certificates"
"""What Debian's own packages need to stand in for the base image: its Python 3.11 is of the same minor version."""


PROBE_S = 8
"""How long a registry may take to answer at all, where a stand-in for its image is here already."""
PROBE = """
import sys, urllib.error, urllib.request
try:
    urllib.request.urlopen(sys.argv[1], timeout=5)
except urllib.error.HTTPError:  # it wants to know who asks: it is there
    pass
"""


def read_toml(tree: Path, name: str) -> dict[str, Any]:
    """A file of ``docker/``."""
    return tomllib.loads((tree / "docker" / name).read_text(encoding="utf-8"))


def lock_of(tree: Path, target: str) -> Path:
    """The lock of an image."""
    return tree / "requirements" / f"{target}.txt"


def fetch_wheels(tree: Path, target: str) -> Path:
    """Every file of a target's lock, hash-checked by pip, in one folder; nothing is fetched twice.

    Raises:
        KitError: pip could not fetch one, or a hash differs.
    """
    folder = CACHE / f"wheels-{target}"
    stamp, lock = folder / ".whole", sha256_file(lock_of(tree, target))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == lock:
        return folder
    say(f"{target}: fetching requirements/{target}.txt, hashes checked")
    folder.mkdir(parents=True, exist_ok=True)
    left_out = read_toml(tree, "images.toml")["left_out"].get(target, [])
    blocks = {name: text for name, text in lock_blocks(tree, target).items() if name not in left_out}
    if "setuptools" not in blocks:  # what builds the few source packages
        blocks["setuptools"] = lock_blocks(tree, "cpu")["setuptools"]
    torch = blocks.pop("torch", None)
    keep = download(folder, "".join(blocks.values()))
    if torch:
        try:
            keep |= download(folder, torch)
        except KitError:
            keep |= download(folder, torch, "--extra-index-url", TORCH_INDEX)
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    stamp.write_text(lock, encoding="utf-8")
    return folder


def lock_blocks(tree: Path, target: str) -> dict[str, str]:
    """Name -> its lines of a lock, hashes and all."""
    text = lock_of(tree, target).read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==[^\n]*\n(?:[ ][^\n]*\n)*", text, flags=re.MULTILINE)
    blocks = re.findall(r"^[\w.-]+==[^\n]*\n(?:[ ][^\n]*\n)*", text, flags=re.MULTILINE)
    return dict(zip(found, blocks, strict=True))


def download(folder: Path, lock: str, *options: str) -> set[str]:
    """Fetch the lines of a lock into a folder; returns the names of their files.

    Raises:
        KitError: pip could not, or a hash differs.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        path = Path(scratch) / "lock.txt"
        path.write_text(lock, encoding="utf-8")
        words = [sys.executable, "-m", "pip", "download", "--no-input", "--progress-bar", "off", "--no-deps"]
        words += ["--no-build-isolation", "--require-hashes", "--find-links", str(folder), "--dest", scratch]
        run([*words, *options, "-r", str(path)])
        names = {file.name for file in Path(scratch).iterdir()} - {path.name}
        for name in names:
            (Path(scratch) / name).replace(folder / name)
    return names


def fetch_debs(builder: str, tree: Path, target: str, base: str) -> Path:
    """The Debian packages of ``docker/debs.toml``, checked, in one folder: by this machine's apt, or the base image's.

    Raises:
        KitError: one can't be had, or is not the pinned one.
    """
    pins: Mapping[str, Mapping[str, str]] = read_toml(tree, "debs.toml")[target]
    folder = CACHE / f"debs-{target}"
    if folder.is_dir() and {sha256_file(path) for path in folder.iterdir()} == {pin["sha256"] for pin in pins.values()}:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = [f"{name}={pin['version']}" for name, pin in pins.items()]
    say(f"{target}: fetching {len(wanted)} Debian packages, hashes checked")
    get = 'apt-get download -qq "$@"'
    words = ["sh", "-c", f"{get} 2>/dev/null || {{ apt-get update -qq && {get}; }}", "sh", *wanted]
    try:
        if is_debian_12():
            run(words, cwd=folder)
        else:
            run_inside(builder, base, words, folder=folder)
    except KitError as error:
        raise KitError(f"docker/debs.toml: {target}: {error}; if the archive has newer ones: kit pin --move") from error
    found = {sha256_file(path): path.name for path in folder.iterdir()}
    missing = [f"{name} {pin['version']}" for name, pin in pins.items() if pin["sha256"] not in found]
    if missing or len(found) != len(pins):
        raise KitError(f"docker/debs.toml: {target}: sha256 differs from the pinned one: {', '.join(missing)}")
    return folder


def find_base(builder: str, tree: Path, target: str, base_epoch: str) -> str:
    """The pinned base image; one made of Debian's packages where no registry answers, and that is said aloud.

    Raises:
        RequestError: neither is to be had.
        KitError: the one of Debian's packages could not be made.
    """
    pinned = str(read_toml(tree, "images.toml")["base"][target])
    if builder == "docker":
        return pinned  # its BuildKit pulls it while it builds
    stand_in = f"localhost/kit-base:{base_epoch}"
    made = has_image(builder, stand_in)
    if has_image(builder, pinned) or pull(builder, pinned, patient=not made):
        return pinned
    why = f"{target}: {pinned.partition('@')[0]} can't be pulled here"
    if made:
        say(f"{why}; base is {stand_in}, made here of Debian's packages")
        return stand_in
    if not (shutil.which("buildah") and shutil.which("mmdebstrap")):
        raise RequestError(
            f"{pinned}: can't be pulled here; name a copy with --base, or let one be made of Debian's packages: "
            "apt-get install -y buildah mmdebstrap"
        )
    say(f"{why}; making {stand_in} of Debian's packages instead")
    make_stand_in(stand_in, base_epoch)
    return stand_in


@functools.cache
def pull(builder: str, image: str, *, patient: bool) -> bool:
    """Whether an image could be pulled; asked once a run. Without patience a silent registry is given up in seconds."""
    if not patient:
        host = image.partition("/")[0].replace("docker.io", "registry-1.docker.io")
        if not succeeds([sys.executable, "-c", PROBE, f"https://{host}/v2/"], timeout_s=PROBE_S):
            return False
    return succeeds([builder, "pull", "--quiet", image], timeout_s=600)


def make_stand_in(name: str, epoch: str) -> None:
    """Debian 12 with its own Python 3.11 as an image whose times are all ``epoch``.

    Raises:
        KitError: a step failed.
    """
    drop = ("doc/*", "man/*", "locale/*")
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{what}" for what in drop]
    keep = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    with tempfile.TemporaryDirectory(prefix="kit-base-") as scratch:
        tar = Path(scratch) / "base.tar"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={STAND_IN_PACKAGES}", *excludes, keep]
        run([*words, "bookworm", str(tar)], env={"SOURCE_DATE_EPOCH": epoch})
        container = output(["buildah", "from", "scratch"]).strip()
        try:
            run(["buildah", "add", "--quiet", container, str(tar), "/"])
            run(["buildah", "commit", "--quiet", "--timestamp", epoch, container, name])
        finally:
            succeeds(["buildah", "rm", container])
