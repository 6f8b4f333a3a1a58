"""Resolve pyproject.toml's extras into complete, hashed locks: one file per environment, no index address in any.

    python requirements/lock.py [--keep] [--find-links DIR] [NAME ...]

Needs uv. torch's CPU build is on no ordinary index: it comes from PyTorch's own page, or from a folder that
``--find-links`` (or ``UV_FIND_LINKS``) names. The ``files-*`` extras are wheels installed for the files they carry;
they are resolved without their requirements. With ``--keep`` no package that a lock has moves to another version; what
is new in pyproject.toml comes to it, or the resolution fails. Prints which packages moved.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {"extras": ("cpu", "grade"), "files": ("files-grade", "files-cpu")},
    "grade": {"extras": ("grade",), "files": ("files-grade",), "pinned_by": ("cpu",)},
    "dev": {
        "extras": ("cpu", "grade", "dev"),
        "files": ("files-grade", "files-cpu", "files-dev"),
        "pinned_by": ("cpu",),
    },
    "cuda": {"extras": ("cuda", "grade"), "files": ("files-grade",), "pinned_by": ()},
    "cluster": {"extras": ("cluster",), "files": (), "pinned_by": ()},
    "readers": {"extras": ("readers",), "files": (), "pinned_by": ()},
}
TORCH_PAGE = "https://download.pytorch.org/whl/cpu/torch/"
"""Lists torch's CPU builds and nothing else, so that every other package still comes from the user's own index."""
HEADER = """\
# {name}: the complete environment for Python 3.11 on Linux x86_64; install with --no-deps --require-hashes.
# Written by requirements/lock.py; do not edit.
"""


def compile_extras(extras: tuple[str, ...], *options: str) -> list[str]:
    """The requirement blocks (name==version with its hashes) that uv resolves for the extras."""
    command = [find_uv(), "pip", "compile", "--quiet", "--python-version", "3.11", "--generate-hashes", "--no-header"]
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


def find_uv() -> str:
    """The user's uv, this Python's, or the one that requirements/setup.sh fetched.

    Raises:
        FileNotFoundError: there is none; the message has the cure.
    """
    fetched = HERE.parent / ".cache" / "uv"
    for path in (None, Path(sys.executable).parent, fetched / "bin"):
        if found := shutil.which("uv", path=path):
            return found
    cure = f"python3 -m pip install --require-hashes --no-deps --target {fetched} -r {HERE / 'uv.txt'}"
    raise FileNotFoundError(f"uv is not installed here; install it: {cure}")


def torch_places(find_links: list[str]) -> list[str]:
    """The folders that are named, and PyTorch's page if none of them has torch's CPU build."""
    named = [*find_links, *filter(None, map(str.strip, os.environ.get("UV_FIND_LINKS", "").split(",")))]
    return named if any(list(Path(folder).glob("torch-*+cpu-*.whl")) for folder in named) else [*named, TORCH_PAGE]


def hashed(block: str, places: list[str]) -> str:
    """A requirement with the hash that uv leaves out where a wheel comes from a folder or a page.

    Raises:
        LookupError: no place has the wheel.
    """
    if "--hash=" in block:
        return block
    name, _, version = block.strip().partition("==")
    wheel = f"{name}-{version}-cp311-cp311-manylinux_2_28_x86_64.whl"
    for place in places:
        if found := wheel_hash(place, wheel):
            return f"{name}=={version} \\\n    --hash=sha256:{found}\n"
    raise LookupError(f"{name}=={version}: no sha256 of {wheel} in {' or '.join(places)}")


def wheel_hash(place: str, wheel: str) -> str | None:
    """sha256 of a wheel in a folder, or what a page says of it."""
    if "://" not in place:
        path = Path(place) / wheel
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None
    with urllib.request.urlopen(place, timeout=60) as page:
        listed = urllib.parse.unquote(page.read().decode("utf-8"))
    found = re.search(rf"{re.escape(wheel)}#sha256=([0-9a-f]{{64}})", listed)
    return found[1] if found else None


def versions(text: str) -> dict[str, str]:
    """Name -> version of a lock's packages."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def moves(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """``numpy 2.3.4 -> 2.3.5``: a line for each package that moved, came (from none) or went (to none)."""
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old != new:
            yield f"{name} {old or 'none'} -> {new or 'none'}"


def write(name: str, find_links: list[str], *, keep: bool = False) -> None:
    """Resolve one lock, replace its file, and print what moved in it.

    Raises:
        FileNotFoundError: there is no uv.
        LookupError: no place has a wheel's hash.
        subprocess.CalledProcessError: uv could not resolve it.
    """
    spec, path = LOCKS[name], HERE / f"{name}.txt"
    options, places = [], []
    if name == "readers":
        options = [f"--override={HERE / 'overrides-readers.txt'}"]
    elif name not in ("cuda", "cluster"):  # the one takes torch's CUDA build, from any index, the other has none
        places = torch_places(find_links)
        options = [f"--override={HERE / 'overrides.txt'}", *(f"--find-links={place}" for place in places)]
    options += [f"--constraint={HERE / pin}.txt" for pin in spec.get("pinned_by", ())]
    if keep:
        options.append(f"--constraint={path}")
    blocks = compile_extras(spec["extras"], *options)
    have = {block.partition("==")[0] for block in blocks}
    carried = compile_extras(spec["files"], "--no-deps")
    blocks += [block for block in carried if block.partition("==")[0] not in have]
    blocks = [hashed(block, places) for block in blocks]
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    after = HEADER.format(name=name) + "".join(sorted(blocks))
    path.write_text(after, encoding="utf-8")
    moved = list(moves(versions(before), versions(after)))
    hashes = "; other hashes" if before != after and not moved else ""
    print(f"requirements/{name}.txt: {len(blocks)} packages, {len(moved)} moved{hashes}")
    print("".join(f"  {line}\n" for line in moved), end="")


def main() -> int:
    """Write the named locks, or all; 2 if the request was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(LOCKS))
    parser.add_argument("--find-links", action="append", default=[])
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    try:
        for name in arguments.names:
            if name not in LOCKS:
                print(f"error: no lock named {name!r}; there are {', '.join(LOCKS)}", file=sys.stderr)
                return 2
        for name in arguments.names:
            write(name, arguments.find_links, keep=arguments.keep)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (LookupError, OSError) as error:
        print(f"error: {name}: {error}; its lock is as it was", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError:
        print(f"error: {name}: uv could not resolve it, for the reason above; its lock is as it was", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
