"""Compare two stores: they must have the same keys and the same files, byte for byte.

    .venv/bin/python tests/containers/compare_stores.py STORE OTHER

Provenance is not compared. Prints the differences and ends with 1, or prints the count and ends with 0.
"""

import sys
from pathlib import Path

from kit.store import Store


def contents(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the job's id for each key, and the sha256 for each key and file; end with an error if a check fails."""
    store = Store.existing(root)
    ids, files = {}, {}
    for artifact in store.artifacts():
        if faults := store.check(artifact.key):
            sys.exit(f"{root}: {artifact.job.id}: {'; '.join(faults)}")
        ids[artifact.key] = artifact.job.id
        files |= {f"{artifact.key}/{name}": facts["sha256"] for name, facts in artifact.files.items()}
    return ids, files


def main() -> int:
    """Compare two stores; return 0 if both have the same artifacts, and at least one."""
    left, right = map(Path, sys.argv[1:])
    (ids, files), (other_ids, other_files) = contents(left), contents(right)
    for key in sorted(ids.keys() ^ other_ids.keys()):
        print(f"{(ids | other_ids)[key]}: {key[:12]} is in {left if key in ids else right} alone")
    for path in sorted(files.keys() | other_files.keys()):
        key, _, name = path.partition("/")
        if key in ids and key in other_ids and files.get(path) != other_files.get(path):
            print(f"{ids[key]}: {name} differs")
    if not ids:
        print(f"{left}: no artifact in it")
    same = bool(ids) and (ids, files) == (other_ids, other_files)
    if same:
        print(f"{len(ids)} artifacts, {len(files)} files, the same in both")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
