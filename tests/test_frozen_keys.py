"""No job of Tables 1 and 2 gets another key by accident: the keys of every scale stand in tests/data/keys.

A change that has to move keys writes them anew, and its commit says which moved and why:

    python tests/test_frozen_keys.py
"""

import sys
from pathlib import Path

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.plan import planning
from kit.plan.planner import make_plan

FOLDER = Path(__file__).resolve().parent / "data" / "keys"
LOCKS = {name: character * 64 for name, character in zip(planning.LOCKS, "abc", strict=True)}
"""Constants in the place of the locks' hashes: an upgrade of a package moves every key, and rightly so."""
CATALOGUE = Catalogue(manifests_folder())
PLANS = [(table, scale) for table in ("table-1", "table-2") for scale in CATALOGUE.names("scales")]
SHOWN = 16
"""Digits of a key that stand in the files."""


def planned(table: str, scale: str) -> str:
    """Return a line for each job, in the order of their ids: the start of its key, and its id."""
    plan = make_plan(CATALOGUE, {table: CATALOGUE.table(table)}, CATALOGUE.scale(scale), scale, LOCKS)
    return "".join(f"{key[:SHOWN]} {job.id}\n" for key, job in sorted(plan.jobs.items(), key=lambda item: item[1].id))


@pytest.mark.parametrize("table, scale", PLANS)
def test_every_key_is_as_it_was(table: str, scale: str):
    frozen = (FOLDER / f"{table}.{scale}.txt").read_text(encoding="utf-8").splitlines()
    found = planned(table, scale).splitlines()
    moved = sorted(set(found) - set(frozen))
    assert found == frozen, f"{len(moved)} of {len(found)} jobs have other keys, among them {moved[:3]}"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for one in PLANS:
        (FOLDER / f"{'.'.join(one)}.txt").write_text(planned(*one), encoding="utf-8")
    print(f"wrote {len(PLANS)} files to {FOLDER}", file=sys.stderr)
