"""Hide what differs from docker to podman to buildah: how each builds, names, runs, saves and removes an image."""

import json
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

from kit.containers.client import outside_hybrid_cgroups
from kit.containers.preparing import docker_facts
from kit.errors import RequestError
from kit.images.archives import unpack
from kit.images.running import output, run, succeeds

BUILDERS = ("docker", "buildah", "podman")
BUILDX = "kit"
"""The BuildKit that docker builds with: the engine's own can't rewrite a layer's times and load it (buildx #2733)."""


def find_builder(wanted: str | None = None) -> str:
    """Find the builder: the one that is named, or ``docker`` if its engine answers, else ``buildah``, else ``podman``.

    Raises:
        RequestError: there is none, or not the one that is named.
    """
    if wanted not in (None, *BUILDERS):
        raise RequestError(f"no builder named {wanted!r}; there are {', '.join(BUILDERS)}")
    for name in (wanted,) if wanted else BUILDERS:
        if not shutil.which(name):
            continue
        if name != "docker":
            return name
        try:
            docker_facts()
            return name
        except RequestError:
            if wanted:
                raise
    if wanted:
        raise RequestError(f"{wanted} is not installed here; install it (Debian: apt-get install -y {wanted})")
    raise RequestError(
        "nothing here builds images; install podman (Debian: apt-get install -y podman buildah) or docker and start it"
    )


def runtime_of(builder: str) -> str:
    """Return the runtime that finds the built image: buildah and podman share theirs."""
    return "docker" if builder == "docker" else "podman"


def engine(words: Sequence[str]) -> list[str]:
    """Return the words that start a container with a builder, as this machine's control groups want them."""
    return list(words) if words[0] == "docker" else outside_hybrid_cgroups(words)


def build_image(builder: str, options: Sequence[str], *, epoch: str, name: str, context: Path) -> None:
    """Build one image without a network.

    Args:
        builder: docker, podman or buildah.
        options: what all three understand alike.
        epoch: the time that everything inside gets, seconds.
        name: its tag.
        context: the folder it is made from.

    Raises:
        KitError: it could not be built; with the last lines of the log.
        RequestError: docker has no buildx.
    """
    if builder == "docker":
        ensure_buildx()
        words = ["docker", "buildx", "build", "--builder", BUILDX, "--no-cache", "--provenance=false", "--sbom=false"]
        words += [*options, "--network", "none", "--output", f"type=docker,name={name},rewrite-timestamp=true", "."]
    else:
        words = [builder, "build", "--quiet", "--pull=never", "--no-cache", "--format", "oci", "--network", "none"]
        words += ["--isolation", "oci", "--timestamp", epoch, *options, "--tag", name, "."]
    run(engine(words), cwd=context)


def ensure_buildx() -> None:
    """A BuildKit in a container, made once: it knows the registries, and none of the engine's own images.

    Raises:
        KitError: it could not be made.
        RequestError: docker has no buildx.
    """
    if not succeeds(["docker", "buildx", "version"]):
        raise RequestError(
            "docker: its plugin buildx is not installed; install docker-buildx-plugin (Ubuntu's own docker: "
            "docker-buildx), or build with podman: --builder podman (make: BUILDER=podman)"
        )
    if not succeeds(["docker", "buildx", "inspect", BUILDX]):
        run(["docker", "buildx", "create", "--driver", "docker-container", "--name", BUILDX])


def digest(builder: str, name: str) -> str:
    """Return an image's digest where it was built; a registry that packs layers in another way gives it another one.

    Raises:
        KitError: there is no such image.
    """
    if builder == "buildah":
        return output(["buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", name]).strip()
    facts = json.loads(output([builder, "image", "inspect", name]))[0]
    return str(facts.get("Digest") or facts["Id"])


def has_image(builder: str, name: str) -> bool:
    """Return whether an image is on this machine already."""
    inspect = ["buildah", "inspect", "--type", "image"] if builder == "buildah" else [builder, "image", "inspect"]
    return succeeds([*inspect, name])


def image_id(builder: str, name: str) -> str:
    """Return the id of a name's image; empty if there is none."""
    return output([builder, "images", "--quiet", "--no-trunc", name], check=False).strip()


def remove_if_nameless(builder: str, found: str) -> None:
    """Remove an image by its id, if no name is left to it and no container needs it."""
    nameless = output([builder, "images", "--filter", "dangling=true", "--quiet", "--no-trunc"], check=False).split()
    if found in nameless:
        succeeds([builder, "rmi", found])


def run_inside(builder: str, image: str, words: Sequence[str], *, folder: Path | None = None) -> str:
    """Run a command in a container, and return what it prints.

    The container is closed; with ``folder`` it is open to the network and to that folder, ``/debs``.

    Raises:
        KitError: it failed.
    """
    closed = folder is None
    volume = [] if closed else [f"--volume={folder}:/debs:rw", "--workingdir=/debs"]
    if builder != "buildah":
        options = ["--pull=never", "--network=none", "--read-only", "--cap-drop=all"] if closed else []
        options += [option.replace("--workingdir", "--workdir") for option in volume]
        start = [builder, "run", "--rm", "--security-opt=label=disable", *options, f"--entrypoint={words[0]}"]
        return output(engine([*start, image, *words[1:]]))
    container = output(["buildah", "from", "--pull=never", "--security-opt=label=disable", image]).strip()
    try:
        network = ["--network=none"] if closed else []
        return output(engine(["buildah", "run", "--isolation=oci", *network, *volume, container, "--", *words]))
    finally:
        succeeds(["buildah", "rm", container])


def save(builder: str, name: str, folder: Path) -> None:
    """Lay an image out as files: manifest, configuration, layers.

    Raises:
        KitError: it could not be saved.
    """
    if builder != "docker":
        run([builder, "push", "--quiet", name, f"dir:{folder}"])
        return
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    run(["docker", "save", "--output", str(archive), name])
    with tarfile.open(archive) as tar:
        unpack(tar, folder)
    archive.unlink()
