"""What this machine's own apt says of Debian 12, which the images' bases are; apt checks its archive's signature."""

import re
import shutil
import subprocess
from pathlib import Path

from kit.errors import KitError

RELEASE = Path("/etc/os-release")


def is_debian_12() -> bool:
    """Whether this machine's apt knows the packages of ``docker/debs.toml``."""
    try:
        text = RELEASE.read_text(encoding="utf-8")
    except OSError:
        return False
    return "VERSION_CODENAME=bookworm" in text and shutil.which("apt-get") is not None


def newest(name: str) -> str:
    """Version and sha256 of the newest build of a package.

    Raises:
        KitError: this is no Debian 12, or its apt knows no such package.
    """
    if not is_debian_12():
        raise KitError(f"Debian package {name}: its successors are known to Debian 12's own apt; run `kit pin` there")
    words = ["apt-cache", "show", "--no-all-versions", name]
    found = subprocess.run(words, text=True, capture_output=True, check=False)
    fields = dict(re.findall(r"^(Version|SHA256): (\S+)$", found.stdout, flags=re.MULTILINE))
    if found.returncode != 0 or len(fields) != 2:
        raise KitError(f"Debian package {name}: apt knows none of that name; is its list fresh? apt-get update")
    return f"{fields['Version']} {fields['SHA256']}"
