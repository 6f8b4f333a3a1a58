"""List the pins and those still missing, and ask the network for the rest: ``kit pin`` and ``kit doctor --pins``.

Nothing is guessed: a pin is written only after the hub, the registry or the file itself has said it.
"""

import http.client
import re
import shutil
import subprocess
import tempfile
import urllib.error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kit.catalogue import ROOT, Catalogue
from kit.errors import KitError, RequestError, shown
from kit.files.checksums import FileHashes, file_hashes
from kit.files.network import copy_answer, open_address
from kit.machine import debian
from kit.reading.documents import read_table

TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One thing that a manifest pins, or should."""

    kind: str
    """``model``, ``data set``, ``image`` or ``Debian package``."""
    name: str
    """Its own; a Debian package's with the image it is for: ``cpu/libnuma1``."""
    source: str
    """Repository, address, image with its tag, or package."""
    file: Path
    """Path of the manifest."""
    key: str
    """``hub.revision``, ``sha256``, the image's or the package's own key."""
    found: str | None
    """The value that stands there; None if there is none. For a Debian package ``<version> <sha256>``."""
    git_blob: str | None = None
    """A data set's git blob id, where its manifest has one: it is checked before a sha256 is written."""


class Network(Protocol):
    """Questions that a networked machine can answer."""

    def revision(self, repo: str) -> str:
        """Return the commit at the head of a hub repository."""
        ...

    def hashes(self, url: str) -> FileHashes:
        """Return both hashes of the bytes at an address."""
        ...

    def digest(self, image: str) -> str:
        """Return the digest of an image tag as ``sha256:<64 hex digits>``."""
        ...

    def package(self, name: str) -> str:
        """Return the version and sha256 of the newest build of a Debian package."""
        ...


def pins(root: Path = ROOT) -> list[Pin]:
    """Return every pin of the tree, in the manifests' order."""
    manifests = root / "manifests"
    catalogue = Catalogue(manifests)
    found = [
        Pin(
            kind="model",
            name=name,
            source=model.hub.repo,
            file=manifests / "models.toml",
            key="hub.revision",
            found=model.hub.revision,
        )
        for name, model in catalogue.models.items()
        if model.hub
    ]
    found += [
        Pin(
            kind="data set",
            name=name,
            source=dataset.url,
            file=manifests / "datasets.toml",
            key="sha256",
            found=dataset.sha256,
            git_blob=dataset.git_blob,
        )
        for name, dataset in catalogue.datasets.items()
        if dataset.url and not dataset.files
    ]
    found += [
        Pin(
            kind="data set",
            name=f"{name}/{file}",
            source=dataset.url.replace("{file}", file),
            file=manifests / "datasets.toml",
            key=f"files.{file}",
            found=sha256,
        )
        for name, dataset in catalogue.datasets.items()
        if dataset.url
        for file, sha256 in dataset.files.items()
    ]
    images = root / "docker" / "images.toml"
    for name, base in _entries(images, "base").items():
        tag, _, digest = str(base).partition("@")
        found.append(Pin(kind="image", name=name, source=tag, file=images, key=name, found=digest or None))
    debs = root / "docker" / "debs.toml"
    for image, packages in read_table(debs).items():
        if isinstance(packages, Mapping):
            found += [_package_pin(debs, image, name, pin) for name, pin in packages.items()]
    return found


def _entries(path: Path, table: str) -> Mapping[str, Any]:
    """Return one table of a TOML file.

    Raises:
        RequestError: the file has none of this name.
    """
    found = read_table(path).get(table)
    if not isinstance(found, Mapping):
        raise RequestError(f"{path.name}: {table}: found {shown(found)}, wanted a table")
    return found


def _package_pin(path: Path, image: str, name: str, pin: Any) -> Pin:
    """Return the pin of a Debian package.

    Raises:
        RequestError: its entry lacks the version or the sha256.
    """
    if not isinstance(pin, Mapping) or not all(isinstance(pin.get(key), str) for key in ("version", "sha256")):
        raise RequestError(f"{path.name}: {image}.{name}: found {shown(pin)}, wanted its version and its sha256")
    found = f"{pin['version']} {pin['sha256']}"
    return Pin(kind="Debian package", name=f"{image}/{name}", source=name, file=path, key=name, found=found)


def unpinned(root: Path = ROOT) -> list[Pin]:
    """List the pins that have no value yet."""
    return [pin for pin in pins(root) if pin.found is None]


def describe(pin: Pin) -> str:
    """``model judge-7b: no hub.revision (owner/repo)``; for a data set that its git blob id checks, that it does."""
    checked = f"; its git blob id {pin.git_blob} is checked instead" if pin.git_blob else ""
    return f"{pin.kind} {pin.name}: no {pin.key} ({pin.source}){checked}"


def refresh(network: Network, *, move: bool, root: Path = ROOT) -> Iterable[str]:
    """Ask the network about every pin; fill the empty ones, and yield a line for each that is filled or has moved.

    Args:
        network: who is asked.
        move: write what has moved too; without, it is said and left. A data set's hash never moves: another hash at
            a pinned address means other bytes, and that is an error.
        root: the tree.

    Raises:
        KitError: something could not be asked; what was found before it is written.
    """
    for pin in pins(root):
        now = ask(network, pin)
        if now == pin.found:
            continue
        if pin.found is None:
            write(pin, now)
            yield f"{pin.kind} {pin.name}: {pin.key} is {now}"
        elif pin.kind == "data set":
            raise KitError(f"data set {pin.name}: {pin.source} has sha256 {now}, the manifest pins {pin.found}")
        else:
            if move:
                write(pin, now)
            yield f"{pin.kind} {pin.name}: moved from {pin.found} to {now}{'' if move else '; left as it is (--move)'}"


def ask(network: Network, pin: Pin) -> str:
    """Ask the network for the value of one pin.

    Raises:
        KitError: it could not be asked; or other bytes than the pinned git blob's are at a data set's address.
    """
    asked = {
        "model": network.revision,
        "data set": lambda url: _data_sha256(network.hashes(url), pin),
        "image": network.digest,
        "Debian package": network.package,
    }
    return asked[pin.kind](pin.source)


def _data_sha256(found: FileHashes, pin: Pin) -> str:
    """Return the sha256 of a data set's bytes, after their git blob id was compared with the pinned one."""
    if pin.git_blob not in (None, found.git_blob):
        raise KitError(
            f"data set {pin.name}: {pin.source} has git blob id {found.git_blob}, the manifest pins {pin.git_blob}"
        )
    return found.sha256


def write(pin: Pin, value: str) -> None:
    """Put a value into its manifest; every other byte stays.

    Raises:
        KitError: the manifest has no place for it.
    """
    text = pin.file.read_text(encoding="utf-8")
    if pin.kind == "Debian package":
        image = pin.name.partition("/")[0]
        version, _, sha256 = value.partition(" ")
        before, mark, rest = text.partition(f"\n[{image}]\n")
        line = f'"{pin.key}" = {{ version = "{version}", sha256 = "{sha256}" }}'
        changed = before + mark + re.sub(rf'^"{re.escape(pin.key)}" = .*$', line, rest, count=1, flags=re.MULTILINE)
    elif pin.kind == "image":
        changed = re.sub(rf'^({pin.key} = "[^"@]*)(@[^"]*)?"', rf'\1@{value}"', text, count=1, flags=re.MULTILINE)
        for recipe in (pin.file.parent / f"{pin.name}.Dockerfile",):
            words = recipe.read_text(encoding="utf-8")
            pattern = r"^(ARG BASE_IMAGE=[^@\n]*)(@\S*)?$"
            recipe.write_text(re.sub(pattern, rf"\1@{value}", words, flags=re.MULTILINE), encoding="utf-8")
    else:
        table = "models" if pin.kind == "model" else "datasets"
        head = re.search(rf'^\[{table}\."?{re.escape(pin.name)}"?\]\n', text, flags=re.MULTILINE)
        if head is None:
            raise KitError(f"{pin.file.name}: no table of {pin.name}; write {pin.key} = {value!r} by hand")
        end = text.find("\n[", head.end())
        body = text[head.end() : end if end >= 0 else len(text)]
        line = f'{pin.key} = "{value}"'
        if re.search(rf"^{re.escape(pin.key)} *=", body, flags=re.MULTILINE):
            new = re.sub(rf"^{re.escape(pin.key)} *=[^\n]*", line, body, count=1, flags=re.MULTILINE)
        else:
            after = "hub.repo" if pin.kind == "model" else "url"
            new = re.sub(rf"^({re.escape(after)} *=[^\n]*)$", rf"\1\n{line}", body, count=1, flags=re.MULTILINE)
        changed = text[: head.end()] + new + text[head.end() + len(body) :]
    if changed == text:
        raise KitError(f"{pin.file.name}: no place for {pin.key} of {pin.name}; write {value!r} by hand")
    pin.file.write_text(changed, encoding="utf-8")


class Online:
    """The hub, the data sets' addresses and the images' registry, over the network; Debian's packages, by apt."""

    def revision(self, repo: str) -> str:
        """Return the commit at the head of a hub repository."""
        from huggingface_hub import HfApi

        try:
            return str(HfApi().model_info(repo, timeout=TIMEOUT_S).sha)
        except Exception as error:  # the client raises its own, httpx's and the system's
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise KitError(f"{repo}: the hub could not be asked ({reason}); {NETWORK}") from error

    def hashes(self, url: str) -> FileHashes:
        """Return both hashes of the bytes at an address."""
        try:
            with (
                open_address(url, timeout=TIMEOUT_S) as answer,
                tempfile.NamedTemporaryFile() as file,  # a git blob id begins with the size
            ):
                copy_answer(answer, file)
                file.flush()
                return file_hashes(Path(file.name))
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise KitError(f"{url}: could not be read ({getattr(error, 'reason', error)}); {NETWORK}") from error

    def digest(self, image: str) -> str:
        """Return the digest of an image tag as ``sha256:<64 hex digits>``."""
        if shutil.which("skopeo"):
            words = ["skopeo", "inspect", "--format", "{{.Digest}}", f"docker://{image}"]
        else:
            words = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", image]
        try:
            found = subprocess.run(words, text=True, capture_output=True, check=False, timeout=TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KitError(f"{image}: the registry could not be asked; install skopeo; {NETWORK}") from error
        digest = found.stdout.strip()
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            reason = (found.stderr.strip() or "no digest").splitlines()[-1]
            raise KitError(f"{image}: the registry could not be asked ({reason}); {NETWORK}")
        return digest

    def package(self, name: str) -> str:
        """Return the version and sha256 of the newest build of a Debian package."""
        return debian.newest(name)


NETWORK = "`kit pin` wants a machine with a network; what it had found before this is written"
