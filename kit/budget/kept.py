"""The order of a study, kept in the store when its first job may begin, so that a later call goes the same path.

Jobs that are done cost nothing, so that an order made anew after some results would be another one: a choice between
orders made after seeing results is no fair bet any more.
"""

from collections.abc import Sequence

from kit.budget.order import Block
from kit.errors import KitError, RequestError, shown
from kit.reading.jsonfiles import parse_json
from kit.store import Store, canonical

FOLDER = "budgets"
"""Folder of a store that holds the orders, one file for each claim and scale."""
SCHEMA = 1
MOST_BYTES = 10_000_000
"""Largest file that is read."""


def file_name(claim: str, scale: str) -> str:
    """Return the name of the file with the order of a claim at a scale."""
    return f"{claim}.{scale}.json"


def read_order(store: Store, claim: str, scale: str) -> list[list[str]]:
    """Return the ids of the steps of each block that an earlier call kept; none where there was none.

    Raises:
        KitError: the file holds something else, or is no plain file of this store.
    """
    name = file_name(claim, scale)
    path = store.root / FOLDER / name
    try:
        with store.inside(FOLDER) as folder:
            data = folder.read(name, MOST_BYTES)
        document = parse_json(data.decode("utf-8"), name)
    except FileNotFoundError:
        return []
    except (KitError, RequestError, OSError, UnicodeDecodeError) as error:
        raise KitError(f"{path}: an earlier order can't be read: {error}; remove it to begin anew") from error
    blocks = document.get("blocks") if isinstance(document, dict) and document.get("schema") == SCHEMA else None
    if not (isinstance(blocks, list) and all(isinstance(block, list) for block in blocks)):
        raise KitError(f"{path}: found {shown(document)}, wanted the order of an earlier call; remove it to begin anew")
    return [[str(id) for id in block] for block in blocks]


def keep_order(store: Store, claim: str, scale: str, blocks: Sequence[Block]) -> None:
    """Write the order of a claim's blocks into the store; a longer one that begins with them stays.

    Fewer training seeds give fewer blocks: a later call with more of them goes on in the order of the first.

    Raises:
        KitError: it can't be written, or what is there can't be read.
    """
    ids = [[step.id for step in block.steps] for block in blocks]
    if ids and read_order(store, claim, scale)[: len(ids)] == ids:
        return
    document = {"schema": SCHEMA, "blocks": ids}
    try:
        (store.root / FOLDER).mkdir(exist_ok=True)
        with store.inside(FOLDER) as folder:
            folder.write(file_name(claim, scale), canonical(document) + b"\n")
    except OSError as error:
        raise KitError(
            f"{store.root / FOLDER}: {error.strerror}: the order of the blocks can't be kept there, and without it a "
            "later call could not go on; make the folder writable"
        ) from error
