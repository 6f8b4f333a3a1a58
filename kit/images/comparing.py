"""Compare two images: their configuration, then their files."""

import filecmp
import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from kit.images.builders import save


def differences(builder: str, left: str, right: str, limit: int = 5) -> list[str]:
    """Return the first things in which two of a builder's images differ: their configuration, then files by path.

    Raises:
        KitError: an image could not be read.
    """
    with tempfile.TemporaryDirectory(prefix="kit-compare-") as scratch:
        folders = [Path(scratch) / str(index) for index in range(2)]
        for name, folder in zip((left, right), folders, strict=True):
            save(builder, name, folder)
        return compare(*folders)[:limit]


def compare(left: Path, right: Path) -> list[str]:
    """Return every difference of two images that :func:`kit.images.builders.save` laid out."""
    (config, layers), (other_config, other_layers) = read(left), read(right)
    found = [
        f"configuration: {key}"
        for key in sorted(set(config) | set(other_config))
        if key not in ("history", "rootfs") and config.get(key) != other_config.get(key)
    ]
    for number, (one, other) in enumerate(zip(layers, other_layers, strict=False)):
        if not filecmp.cmp(one, other, shallow=False):
            files, others = members(one), members(other)
            names = [name for name in sorted(set(files) | set(others)) if files.get(name) != others.get(name)]
            found += [f"layer {number}: {name}" for name in names] or [f"layer {number}: order of files"]
    if len(layers) != len(other_layers):
        found.append(f"layers: {len(layers)} and {len(other_layers)}")
    return found


def read(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Configuration and layers of an image, from ``push dir:`` or from ``docker save``."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if isinstance(manifest, list):  # docker's archive: paths
        names, config = manifest[0]["Layers"], manifest[0]["Config"]
    else:
        names = [layer["digest"].partition(":")[2] for layer in manifest["layers"]]
        config = manifest["config"]["digest"].partition(":")[2]
    return json.loads((folder / config).read_text(encoding="utf-8")), [folder / name for name in names]


def members(layer: Path) -> dict[str, tuple[Any, ...]]:
    """Path -> kind, mode, owner, time and content's hash, of a layer's files."""
    found = {}
    with tarfile.open(layer) as tar:
        for member in tar:
            file = tar.extractfile(member)
            content = hashlib.file_digest(file, "sha256").hexdigest() if file else member.linkname  # type: ignore[arg-type]
            found[member.name] = (member.type, member.mode, member.uid, member.gid, member.mtime, content)
    return found
