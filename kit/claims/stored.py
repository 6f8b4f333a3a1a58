"""Tables of a store that claims can be judged by, and the names of tables that claims are about."""

from collections.abc import Sequence

from kit.catalogue.claims import Claim
from kit.errors import RequestError, listed, shown
from kit.report import Grid, make_grid
from kit.store import Store


def stored_grids(claims: Sequence[Claim], store: Store, scale: str) -> tuple[str, list[Grid]]:
    """Return the scale, and each table that claims read and the store has a number of.

    Args:
        claims: the claims.
        store: the store.
        scale: name of a scale; ``auto`` is the largest that this machine holds.

    Returns:
        The scale, and the tables; none where the store has no number of any.

    Raises:
        RequestError: there is no such scale.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.planning import plan_tables, table_order

    known = Catalogue(manifests_folder()).names("tables")
    wanted = {name for claim in claims for name in claim.tables()}
    plan = plan_tables(sorted(wanted & set(known), key=table_order), scale)
    some = [
        name for name, cells in plan.cells.items() if any(store.has(key) for address in cells for key in address.keys)
    ]
    return plan.scale, [make_grid(name, plan, store) for name in some]


def without_numbers(store: Store, scale: str) -> str:
    """Return a sentence on a store that has no number of any claim's table at a scale, with the cure."""
    return f"store {store.root}: no number at scale {scale} of a table that a claim is about; name the run's --scale"


def table_names(names: Sequence[str], claims: Sequence[Claim]) -> list[str]:
    """Return the full names of tables that are named by number or name: ``2`` and ``table-2`` -> ``table-2``.

    Raises:
        RequestError: no claim is about one of them.
    """
    known = sorted({name for claim in claims for name in claim.tables()}, key=_order)
    found = [f"table-{name}" if name.isdigit() else name for name in names]
    for given, name in zip(names, found, strict=True):
        if name not in known:
            raise RequestError(
                f"no claim is about a table named {shown(given)}; there are claims about {listed(known)}"
            )
    return found


def _order(name: str) -> tuple[str, int, str]:
    """Return a sort key that puts numbered tables in the order of their numbers."""
    kind, _, number = name.rpartition("-")
    return kind or "~", int(number) if number.isdigit() else 0, name
