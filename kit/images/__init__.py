"""Build the container images: fetch and check everything first, then build with no network.

    python -m kit.images [cpu] [grade] [cuda] [--twice] [--builder docker|podman|buildah]

Takes docker, podman or buildah, whichever is there. What is built is the last commit, so that a commit has one digest;
wheels and Debian packages stay in ``.cache/images`` for the next time.
"""

import argparse
import contextlib
import io
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kit.catalogue import ROOT
from kit.containers import image_name
from kit.errors import KitError, RequestError
from kit.images.archives import unpack
from kit.images.bill import write_bill
from kit.images.builders import build_image, digest, find_builder, image_id, remove_if_nameless, runtime_of
from kit.images.comparing import differences
from kit.images.fetching import fetch_debs, fetch_wheels, find_base, lock_of
from kit.images.running import output, output_bytes, run, say
from kit.store import sha256_file

TARGETS = ("cpu", "cuda", "grade")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The commit that the images are built from."""

    revision: str
    epoch: str
    """Its time, seconds: the only time that gets into an image."""
    base_epoch: str
    """Time of the last change of docker/images.toml: that of a base made here, so that not every commit makes one
    anew."""
    tree: Path
    """Its files with git's own modes: no umask, no stray file, no change gets into an image, nor onto its label."""


def main(arguments: list[str] | None = None) -> int:
    """Build what is named, print one line an image; exit 2 if the request was wrong."""
    parser = argparse.ArgumentParser(prog="python -m kit.images", description=__doc__)
    parser.add_argument("targets", nargs="*", help="cpu, cuda, grade; cpu and grade by default")
    parser.add_argument("--twice", action="store_true", help="build each a second time and compare")
    parser.add_argument("--builder", help="docker, podman or buildah; by default the first that is there")
    parser.add_argument(
        "--base", help="a base image instead of docker/images.toml's; for docker one that a registry serves"
    )
    options = parser.parse_args(arguments)
    targets = options.targets or ("cpu", "grade")
    try:
        for target in targets:
            if target not in TARGETS:
                raise RequestError(f"no image named {target!r}; there are {', '.join(TARGETS)}")
        builder = find_builder(options.builder)
        check_base(builder, options.base)
        say(f"building with {builder}; run jobs in them with RUNTIME={runtime_of(builder)}")
        with last_commit() as commit:
            for target in targets:
                make(builder, target, commit, base=options.base, twice=options.twice)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def check_base(builder: str, base: str | None) -> None:
    """Check that a base of the user's own can be had where the image is built.

    Raises:
        RequestError: it is one of this machine, and docker's BuildKit, in a container of its own, sees none of them.
    """
    if builder == "docker" and base and base.startswith("localhost/"):
        raise RequestError(
            f"--base {base}: docker builds in a container that sees no image of this machine; push it to a registry "
            "and name it there, or build with podman: --builder podman (make: BUILDER=podman)"
        )


def make(builder: str, target: str, commit: Commit, *, base: str | None, twice: bool) -> None:
    """Fetch, build, print the digest, write the bill of materials; with ``twice`` build again and compare.

    Raises:
        KitError: a step failed, or two builds differ; the message names the first files that do.
    """
    base = base or find_base(builder, commit.tree, target, commit.base_epoch)
    wheels, debs = fetch_wheels(commit.tree, target), fetch_debs(builder, commit.tree, target, base)
    name = image_name(target)
    before = image_id(builder, name)
    found = build(builder, target, commit, base=base, wheels=wheels, debs=debs, name=name)
    if before:
        remove_if_nameless(builder, before)
    say(f"{name}  {found}")
    if twice:
        again = build(builder, target, commit, base=base, wheels=wheels, debs=debs, name=f"{name}-again")
        say(f"{name}  {again}  (built a second time)")
        if again != found:
            raise KitError(f"{name}: two builds differ: {'; '.join(differences(builder, name, f'{name}-again'))}")
        run([builder, "rmi", f"{name}-again"])
    say(f"{name}  bill of materials: {write_bill(builder, target, found).relative_to(ROOT)}")


@contextlib.contextmanager
def last_commit() -> Iterator[Commit]:
    """The checkout's last commit, its files in a folder; says so if there are changes that it does not hold.

    Raises:
        RequestError: this is no git checkout.
    """
    git = ["git", "-C", str(ROOT)]
    try:
        revision, epoch = output([*git, "log", "-1", "--format=%H %ct"]).split()
        base_epoch = output([*git, "log", "-1", "--format=%ct", "--", "docker/images.toml"]).strip()
        changed = output([*git, "status", "--porcelain", "--untracked-files=no"])
        archive = output_bytes([*git, "-c", "tar.umask=0022", "archive", "--format=tar", revision])
    except KitError as error:
        raise RequestError(f"{ROOT} is no git checkout: an image is built from a commit ({error})") from error
    if changed:
        say(f"building commit {revision[:12]}; {len(changed.splitlines())} changed files are not in it")
    with tempfile.TemporaryDirectory(prefix="kit-context-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            unpack(tar, Path(folder))
        yield Commit(revision=revision, epoch=epoch, base_epoch=base_epoch or epoch, tree=Path(folder))


def build(builder: str, target: str, commit: Commit, *, base: str, wheels: Path, debs: Path, name: str) -> str:
    """Build one image from the commit's files; returns its digest.

    Raises:
        KitError: it could not be built; with the last lines of the log.
    """
    values = {
        "BASE_IMAGE": base,
        "BASE_DIGEST": base_digest(builder, base),
        "SOURCE_DATE_EPOCH": commit.epoch,
        "REVISION": commit.revision,
        "LOCK_SHA256": sha256_file(lock_of(commit.tree, target)),
    }
    options = [word for item in values.items() for word in ("--build-arg", "=".join(item))]
    options += ["--build-context", f"wheels={wheels}", "--build-context", f"debs={debs}"]
    options += ["--file", f"docker/{target}.Dockerfile"]
    build_image(builder, options, epoch=commit.epoch, name=name, context=commit.tree)
    return digest(builder, name)


def base_digest(builder: str, base: str) -> str:
    """The digest in a base's name, or of the image where it is; ``unknown`` for a tag that docker's BuildKit pulls.

    Raises:
        KitError: there is no such image.
    """
    named = base.partition("@")[2]
    if named or builder == "docker":
        return named or "unknown"
    return digest(builder, base)
