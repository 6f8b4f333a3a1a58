"""In what two images differ."""

import hashlib
import json
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from kit.images.running import run


def differences(left: str, right: str, limit: int = 5) -> list[str]:
    """The first things in which two images differ: their configuration, then files by path."""
    with tempfile.TemporaryDirectory(prefix="kit-compare-") as scratch:
        folders = []
        for index, name in enumerate((left, right)):
            folder = Path(scratch) / str(index)
            run(["skopeo", "copy", "--quiet", f"containers-storage:{name}", f"dir:{folder}"])
            folders.append(folder)
        return compare(*folders)[:limit]


def compare(left: Path, right: Path) -> list[str]:
    """Every difference of two images that ``skopeo copy`` unpacked into folders."""
    manifests = [json.loads((folder / "manifest.json").read_text(encoding="utf-8")) for folder in (left, right)]
    configs = [
        json.loads((folder / manifest["config"]["digest"].partition(":")[2]).read_text(encoding="utf-8"))
        for folder, manifest in zip((left, right), manifests, strict=True)
    ]
    found = [
        f"configuration: {key}"
        for key in sorted(set(configs[0]) | set(configs[1]))
        if key not in ("history", "rootfs") and configs[0].get(key) != configs[1].get(key)
    ]
    layers = [[layer["digest"].partition(":")[2] for layer in manifest["layers"]] for manifest in manifests]
    for number, (one, other) in enumerate(zip(*layers, strict=False)):
        if one != other:
            files, others = members(left / one), members(right / other)
            names = [name for name in sorted(set(files) | set(others)) if files.get(name) != others.get(name)]
            found += [f"layer {number}: {name}" for name in names] or [f"layer {number}: order of files"]
    if len(layers[0]) != len(layers[1]):
        found.append(f"layers: {len(layers[0])} and {len(layers[1])}")
    return found


def members(layer: Path) -> dict[str, tuple[Any, ...]]:
    """Path -> kind, mode, owner, time and content's hash, of a layer's files."""
    found = {}
    with tarfile.open(layer) as tar:
        for member in tar:
            file = tar.extractfile(member)
            content = hashlib.file_digest(file, "sha256").hexdigest() if file else member.linkname  # type: ignore[arg-type]
            found[member.name] = (member.type, member.mode, member.uid, member.gid, member.mtime, content)
    return found
