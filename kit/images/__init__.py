"""Build the container images: fetch and check everything first, then build with no network.

    python -m kit.images [cpu] [grade] [cuda] [--twice]

Takes docker, podman or buildah, whichever is there. What is built is the last commit, so that a commit has one digest;
wheels and Debian packages stay in ``.cache/images`` for the next time.
"""

import argparse
import contextlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.catalogue import ROOT, lock_hash
from kit.containers import image_name, outside_hybrid_cgroups
from kit.errors import KitError, RequestError
from kit.images.bill import write_bill
from kit.images.comparing import differences
from kit.images.fetching import fetch_debs, fetch_wheels, find_base
from kit.images.running import output, run, runtime_of, say

TARGETS = ("cpu", "cuda", "grade")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What is built."""

    revision: str
    epoch: str
    """Its time, seconds: the only time that gets into an image."""
    base_epoch: str
    """When docker/images.toml last changed: the time of a base made here, so that not every commit makes one anew."""


def main(arguments: list[str] | None = None) -> int:
    """Build what is named, print one line an image; exit 2 if the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m kit.images", description=__doc__)
    parser.add_argument("targets", nargs="*", help="cpu, cuda, grade; cpu and grade by default")
    parser.add_argument("--twice", action="store_true", help="build each a second time and compare")
    parser.add_argument("--base", help="a base image of one's own instead of docker/images.toml's")
    options = parser.parse_args(arguments)
    try:
        for target in options.targets or ("cpu", "grade"):
            if target not in TARGETS:
                raise RequestError(f"no image named {target!r}; there are {', '.join(TARGETS)}")
        builder, commit = find_builder(), last_commit()
        for target in options.targets or ("cpu", "grade"):
            make(builder, target, commit, base=options.base, twice=options.twice)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def make(builder: str, target: str, commit: Commit, *, base: str | None, twice: bool) -> None:
    """Fetch, build, print the digest, write the bill of materials; with ``twice`` build again and compare.

    Raises:
        KitError: a step failed, or two builds differ; the message names the first files that do.
    """
    wheels, debs = fetch_wheels(target), fetch_debs(builder, target)
    base = base or find_base(builder, target, commit.base_epoch)
    name = image_name(target)
    found = build(builder, target, commit, base=base, wheels=wheels, debs=debs, name=name)
    say(f"{name}  {found}")
    if twice:
        again = build(builder, target, commit, base=base, wheels=wheels, debs=debs, name=f"{name}-again")
        say(f"{name}  {again}  (built a second time)")
        if again != found:
            raise KitError(f"{name}: two builds differ: {'; '.join(differences(name, f'{name}-again'))}")
        run(
            [runtime_of(builder), "rmi", f"{name}-again"]
            if builder != "buildah"
            else ["buildah", "rmi", f"{name}-again"]
        )
    say(f"{name}  bill of materials: {write_bill(builder, target, found).relative_to(ROOT)}")


def find_builder() -> str:
    """``docker`` if its engine answers, else ``buildah``, else ``podman``.

    Raises:
        RequestError: there is none.
    """
    if shutil.which("docker") and "Server Version" in output(["docker", "info"], check=False):
        return "docker"
    for name in ("buildah", "podman"):
        if shutil.which(name):
            return name
    raise RequestError(
        "nothing here builds images; install podman (Debian: apt-get install -y podman buildah) or docker and start it"
    )


def last_commit() -> Commit:
    """The checkout's last commit; says so if there are changes that it does not hold.

    Raises:
        RequestError: this is no git checkout.
    """
    try:
        revision, epoch = output(["git", "-C", str(ROOT), "log", "-1", "--format=%H %ct"]).split()
        base_epoch = output(["git", "-C", str(ROOT), "log", "-1", "--format=%ct", "--", "docker/images.toml"]).strip()
        changed = output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    except (KitError, OSError) as error:
        raise RequestError(f"{ROOT} is no git checkout: an image is built from a commit") from error
    if changed:
        say(f"building commit {revision[:12]}; {len(changed.splitlines())} changed files are not in it")
    return Commit(revision=revision, epoch=epoch, base_epoch=base_epoch or epoch)


def build(builder: str, target: str, commit: Commit, *, base: str, wheels: Path, debs: Path, name: str) -> str:
    """Build one image from the commit's files; returns its digest."""
    values = {
        "BASE_IMAGE": base,
        "SOURCE_DATE_EPOCH": commit.epoch,
        "REVISION": commit.revision,
        "LOCK_SHA256": lock_hash(target),
    }
    options = [word for item in values.items() for word in ("--build-arg", "=".join(item))]
    options += ["--build-context", f"wheels={wheels}", "--build-context", f"debs={debs}", "--network", "none"]
    options += ["--tag", name, "--file", f"docker/{target}.Dockerfile"]
    if builder == "docker":
        words = ["docker", "buildx", "build", "--no-cache", "--provenance=false", "--sbom=false"]
        words += [*options, "--output", f"type=docker,name={name},rewrite-timestamp=true", "."]
    else:
        words = [builder, "build", "--quiet", "--pull=never", "--no-cache", "--format", "oci"]
        words += ["--isolation", "oci", "--timestamp", commit.epoch, *options, "."]
    with committed_files(commit) as context:
        run(outside_hybrid_cgroups(words) if builder != "docker" else words, cwd=context)
    return digest(builder, name)


@contextlib.contextmanager
def committed_files(commit: Commit) -> Iterator[Path]:
    """The commit's files in a folder, with git's own modes: no umask, no stray file, no change gets into an image."""
    words = ["git", "-C", str(ROOT), "-c", "tar.umask=0022", "archive", "--format=tar", commit.revision]
    archive = subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory(prefix="kit-context-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="tar")
        yield Path(folder)


def digest(builder: str, name: str) -> str:
    """An image's digest where it was built; a registry that packs layers in another way gives it another one."""
    if builder == "buildah":
        return output(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name]).strip()
    facts = json.loads(output([builder, "image", "inspect", name]))[0]
    return str(facts.get("Digest") or facts["Id"])
