"""The bill of materials of an image, CycloneDX 1.6."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.containers import PYTHON, image_name
from kit.images.builders import run_inside
from kit.images.running import CACHE

SCRIPT = """
import importlib.metadata, json, subprocess
form = "${Package} ${Version} ${Architecture}\\n"
debs = subprocess.run(["dpkg-query", "-W", "-f", form], text=True, capture_output=True, check=True).stdout
wheels = {(found.name, found.version) for found in importlib.metadata.distributions()}
print(json.dumps([sorted(wheels), sorted(line.split() for line in debs.splitlines())]))
"""
"""Asks an image's own Python and its own dpkg."""


def write_bill(builder: str, target: str, found: str) -> Path:
    """Ask a container without network what is in its image, and write it down.

    Raises:
        KitError: the container could not be started, or its Python failed.
    """
    wheels, debs = json.loads(run_inside(builder, image_name(target), [PYTHON, "-c", SCRIPT]))
    path = CACHE / f"{target}.cdx.json"
    path.write_text(json.dumps(bill(target, found, wheels, debs), indent=1) + "\n", encoding="utf-8")
    return path


def bill(target: str, digest: str, wheels: Sequence[Sequence[str]], debs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return the bill of materials of one image.

    Args:
        target: the image's name.
        digest: its digest.
        wheels: (name, version) of each Python distribution.
        debs: (name, version, architecture) of each Debian package.
    """
    components = []
    for name, version in wheels:
        url = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version.replace('+', '%2B')}"
        components.append({"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url})
    for name, version, architecture in debs:
        pinned = version.replace("+", "%2B").replace(":", "%3A").replace("~", "%7E")
        url = f"pkg:deb/debian/{name.replace('+', '%2B')}@{pinned}?arch={architecture}"
        components.append({"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url})
    image = {"type": "container", "bom-ref": f"image:{target}", "name": image_name(target), "version": digest}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": image},
        "components": components,
    }
