"""What an image is built of, fetched and checked before the build: the lock's wheels, Debian packages, the base."""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kit.catalogue import ROOT, lock_hash
from kit.errors import KitError, RequestError
from kit.images.running import CACHE, output, read_toml, run, runtime_of, say, succeeds
from kit.store import sha256_file

TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
"""Where torch's CPU build is, unless the user's own index has it; the hash is the lock's."""
STAND_IN_PACKAGES = "python3,python3-venv,ca-certificates"
"""What Debian's own packages need to stand in for the base image: its Python 3.11 is of the same minor version."""


def fetch_wheels(target: str) -> Path:
    """Every file of a target's lock, hash-checked by pip, in one folder; nothing is fetched twice."""
    folder = CACHE / f"wheels-{target}"
    stamp = folder / ".whole"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == lock_hash(target):
        return folder
    say(f"{target}: fetching requirements/{target}.txt, hashes checked")
    folder.mkdir(parents=True, exist_ok=True)
    left_out = read_toml("images.toml")["left_out"].get(target, [])
    blocks = {name: text for name, text in lock_blocks(target).items() if name not in left_out}
    if "setuptools" not in blocks:  # what builds the few source packages
        blocks["setuptools"] = lock_blocks("cpu")["setuptools"]
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
    stamp.write_text(lock_hash(target), encoding="utf-8")
    return folder


def lock_blocks(target: str) -> dict[str, str]:
    """Name -> its lines of a lock, hashes and all."""
    text = (ROOT / "requirements" / f"{target}.txt").read_text(encoding="utf-8")
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


def fetch_debs(builder: str, target: str) -> Path:
    """The Debian packages of ``docker/debs.toml``, checked, in one folder.

    Raises:
        KitError: one can't be had, or is not the pinned one.
    """
    pins: Mapping[str, Mapping[str, str]] = read_toml("debs.toml")[target]
    folder = CACHE / f"debs-{target}"
    if folder.is_dir() and {sha256_file(path) for path in folder.iterdir()} == {pin["sha256"] for pin in pins.values()}:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wanted = [f"{name}={pin['version']}" for name, pin in pins.items()]
    say(f"{target}: fetching {len(wanted)} Debian packages, hashes checked")
    script = [
        "sh",
        "-c",
        'apt-get download -qq "$@" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$@"; }',
    ]
    if is_debian_12():
        run([*script, "sh", *wanted], cwd=folder)
    else:
        base = read_toml("images.toml")["base"][target]
        words = [runtime_of(builder), "run", "--rm", f"--volume={folder}:/debs:rw", "--workdir=/debs", base]
        run([*words, *script, "sh", *wanted])
    found = {sha256_file(path): path.name for path in folder.iterdir()}
    missing = [f"{name} {pin['version']}" for name, pin in pins.items() if pin["sha256"] not in found]
    if missing or len(found) != len(pins):
        raise KitError(f"docker/debs.toml: {target}: sha256 differs from the pinned one: {', '.join(missing)}")
    return folder


def is_debian_12() -> bool:
    """Whether this machine's apt knows the packages of ``docker/debs.toml``."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return False
    return "VERSION_CODENAME=bookworm" in text and shutil.which("apt-get") is not None


def find_base(builder: str, target: str, base_epoch: str) -> str:
    """The pinned base image; one made of Debian's packages where no registry answers, and that is said aloud.

    Raises:
        RequestError: neither is to be had.
    """
    pinned = str(read_toml("images.toml")["base"][target])
    if builder == "docker":
        return pinned  # its engine pulls it while it builds
    inspect = ["buildah", "inspect", "--type", "image"] if builder == "buildah" else ["podman", "image", "inspect"]
    if succeeds([*inspect, pinned]):
        return pinned
    stand_in = f"localhost/kit-base:{base_epoch}"
    if succeeds([*inspect, stand_in]):
        say(f"{target}: base is {stand_in}, made here of Debian's packages in place of {pinned}")
        return stand_in
    if succeeds([builder, "pull", "--quiet", pinned], timeout_s=600):
        return pinned
    if builder != "buildah" or not shutil.which("mmdebstrap"):
        raise RequestError(
            f"{pinned}: can't be pulled here; name a copy with --base, or let one be made of Debian's packages: "
            "apt-get install -y buildah mmdebstrap"
        )
    say(f"{target}: {pinned.partition('@')[0]} can't be pulled here; making {stand_in} of Debian's packages instead")
    make_stand_in(stand_in, base_epoch)
    return stand_in


def make_stand_in(name: str, epoch: str) -> None:
    """Debian 12 with its own Python 3.11 as an image whose times are all ``epoch``."""
    drop = ("doc/*", "man/*", "locale/*")
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{what}" for what in drop]
    keep = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    with tempfile.TemporaryDirectory(prefix="kit-base-") as scratch:
        tar = Path(scratch) / "base.tar"
        words = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={STAND_IN_PACKAGES}", *excludes, keep]
        run([*words, "bookworm", str(tar)], env={"SOURCE_DATE_EPOCH": epoch})
        container = output(["buildah", "from", "scratch"]).strip()
        run(["buildah", "add", "--quiet", container, str(tar), "/"])
        run(["buildah", "commit", "--quiet", "--timestamp", epoch, container, name])
        run(["buildah", "rm", container])
