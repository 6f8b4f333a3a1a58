"""Resolve pyproject.toml's extras into complete, hashed locks: one file per environment, no index address in any.

    python requirements/lock.py [--find-links DIR] [NAME ...]

Needs uv. ``--find-links`` names a folder with the CPU wheel of torch where the index does not carry it. The ``files-*``
extras are wheels installed for the files they carry; they are resolved without their requirements.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {"extras": ("cpu", "grade"), "files": ("files-grade", "files-cpu")},
    "grade": {"extras": ("grade",), "files": ("files-grade",), "pinned_by": ("cpu",)},
    "dev": {"extras": ("cpu", "grade", "dev"), "files": ("files-grade", "files-cpu"), "pinned_by": ("cpu",)},
    "cuda": {"extras": ("cuda", "grade"), "files": ("files-grade",), "pinned_by": ()},
}
HEADER = """\
# {name}: the complete environment for Python 3.11 on Linux x86_64; install with --no-deps --require-hashes.
# Written by requirements/lock.py; do not edit.
"""


def compile_extras(extras: tuple[str, ...], *options: str) -> list[str]:
    """The requirement blocks (name==version with its hashes) that uv resolves for the extras."""
    command = ["uv", "pip", "compile", "--quiet", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    command += ["--no-annotate", "--python-platform", "x86_64-manylinux_2_28", *options]
    command += [word for extra in extras for word in ("--extra", extra)]
    text = subprocess.run(
        [*command, str(HERE.parent / "pyproject.toml")], check=True, text=True, stdout=subprocess.PIPE
    ).stdout
    blocks: list[str] = []
    for line in text.splitlines(keepends=True):
        if line.startswith(("#", "-")) or not line.strip():
            continue
        if line[0].isspace():
            blocks[-1] += line
        else:
            blocks.append(line)
    return blocks


def write(name: str, find_links: list[str]) -> None:
    """Resolve one lock and replace its file."""
    spec = LOCKS[name]
    options = [f"--override={HERE / 'overrides.txt'}"] if name != "cuda" else []
    options += [f"--find-links={folder}" for folder in find_links if name != "cuda"]
    options += [f"--constraint={HERE / pin}.txt" for pin in spec.get("pinned_by", ())]
    blocks = compile_extras(spec["extras"], *options)
    have = {block.partition("==")[0] for block in blocks}
    carried = compile_extras(spec["files"], "--no-deps")
    blocks += [block for block in carried if block.partition("==")[0] not in have]
    (HERE / f"{name}.txt").write_text(HEADER.format(name=name) + "".join(sorted(blocks)), encoding="utf-8")
    print(f"requirements/{name}.txt: {len(blocks)} packages")


def main() -> int:
    """Write the named locks, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(LOCKS))
    parser.add_argument("--find-links", action="append", default=[])
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in LOCKS:
            print(f"no lock named {name!r}; there are {', '.join(LOCKS)}", file=sys.stderr)
            return 2
        write(name, arguments.find_links)
    return 0


if __name__ == "__main__":
    sys.exit(main())
