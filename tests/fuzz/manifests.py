"""Damaged manifests: a user's own, and those of the tree, from TOML that is none to numbers of thirty digits.

A change is refused with a sentence, or it is seen: in the plan of a user's manifest, in the documents of the tree's.
What is accepted and seen nowhere was accepted in silence.
"""

import functools
import json
import math
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from kit.catalogue import Catalogue, manifests_folder
from kit.plan.planner import make_plan
from kit.plan.planning import locks, plan_manifest
from tests.fuzz import changes, outcomes
from tests.fuzz.outcomes import FaultError
from tests.fuzz.watching import ROOT

NAME = "manifests"
CPU_S = 20.0
ASLEEP_S = 20.0
IN_A_ROW = 30
STACKED = """
[models.my-stack]
stack = { model = "smollm2-135m-instruct", layers = ["0-27", "2-9"] }
parameters = 162826560
layers = 36
hidden = 576
intermediate = 1536
heads = 9
kv_heads = 3
vocab = 49152
context = 8192
tied_embeddings = true
licence = "Apache-2.0"
"""
"""A model of a user's own, which the last of the bases below trains."""
USERS = ("tests/data/mine.toml", "tests/data/tiny.toml", "examples/two-evolvers.toml", "stacked")
TREES = ("models.toml", "datasets.toml", "experiments/evol_instruct.toml", "scales/smoke.toml", "tables/table-2.toml")
SEEDS = json.dumps([{"instruction": "Name a colour."}, {"instruction": "Name a river."}])
PAIR = re.compile(r"""([\w-]+|"[\w.-]+")[ ]*=[ ]*("[^"\n]*"|\[[^\]\n]*\]|[-+\w.]+)""")
"""A key and its value, in a line or an inline table."""
LITERALS = (
    *(
        "0",
        "-1",
        "1",
        "3",
        "true",
        "false",
        "0.0",
        "-0.5",
        "1.5",
        "1e-9",
        "1e400",
        "inf",
        "-inf",
        "nan",
        '""',
        '"x"',
        '" "',
        "[]",
        "{}",
    ),
    *(
        "9223372036854775807",
        "9223372036854775808",
        str(10**30),
        "-" + str(10**30),
        "9" * 5_000,
        "0x7fffffff",
        "1_000_000_000_000",
    ),
    *(
        '["x"]',
        "[[]]",
        "[1]",
        '["x", "x"]',
        "{ a = 1 }",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "[" * 400 + "]" * 400,
    ),
    *(
        '"\\u0000"',
        '"a\\u0000b"',
        '"\\u001b[31mred"',
        '"\\u202e"',
        '"../../etc/passwd"',
        '"/dev/zero"',
        '"/dev/stdin"',
        '"pipe.json"',
        '"."',
    ),
    *(
        '"file:///etc/passwd"',
        '"http://192.0.2.1/x"',
        '"ftp://x/y"',
        '"https://"',
        '"https://user:word@h/x"',
        '"https://h/\\u0000"',
    ),
    *(
        '"' + "x" * 100_000 + '"',
        '["0-9999999999"]',
        '["9-0"]',
        '["0-1", "0-1"]',
        '["-1"]',
        '["0-1-2"]',
        '["٣"]',
        '["0"]',
        '"my-stack"',
        '["my-stack"]',
    ),
    *(
        '"smollm2-135m"',
        '["smollm2-31l"]',
        '"paper"',
        '"kit"',
        '"smoke"',
        '"mini"',
        '["gsm8k", "gsm8k"]',
        '"{{ 1 / 0 }}"',
        "'''\n'''",
        '""',
    ),
)
LINES = (
    *(
        "zzz = 1",
        "[zzz]",
        "[[zzz]]",
        "[experiment]",
        "[datasets.mine]",
        "[seeds]",
        "schema = 1",
        "[models.x]",
        "[scale]",
        "= 1",
        "x =",
        "]",
        '"" = 1',
    ),
    *(
        ".".join(["a"] * 2_000) + " = 1",
        "[" + ".".join(["a"] * 2_000) + "]",
        "x = " + "{ a = " * 400 + "1" + " }" * 400,
        "\x00",
        "\x1b[2J = 1",
        "# \x07",
    ),
    *(
        "trust_remote_code = true",
        "auto_map = {}",
        "[experiment.sft.lora]",
        "cast.x = 'y'",
        "__class__ = 1",
        "seeds.mine.rows = 2",
        "round = 1000000",
    ),
)
BENIGN = {"licence", "note", "title", "paper", "id"}
"""Keys of words for readers; the plan does not hold all of them."""


@functools.cache
def base(name: str) -> str:
    """Return the text of a manifest before it is changed."""
    if name == "stacked":
        text = base("tests/data/tiny.toml").replace('base = ["smollm2-29l"]', 'base = ["my-stack"]')
        return text + STACKED
    path = ROOT / name if name in USERS else manifests_folder() / name
    return path.read_text(encoding="utf-8")


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one case, drawn at random."""
    name = rng.choice((*USERS, *USERS, *TREES))
    text = base(name)
    pairs, lines = len(list(_pairs(text))), text.count("\n")
    made = []
    for _ in range(rng.choice((1, 1, 1, 2))):
        pick = rng.random()
        if pick < 0.55:
            made.append(["value", rng.randrange(pairs), rng.choice(LITERALS)])
        elif pick < 0.65:
            made.append(
                ["rename", rng.randrange(pairs), rng.choice(("x", "", '"\\u0000"', "rows", "schema", "a.b", "'a b'"))]
            )
        elif pick < 0.73:
            made.append(["drop", rng.randrange(lines)])
        elif pick < 0.78:
            made.append(["twice", rng.randrange(lines)])
        elif pick < 0.90:
            made.append(["line", rng.randrange(lines), rng.choice(LINES)])
        else:
            made.append(changes.byte_change(rng) if rng.random() < 0.7 else ["become", rng.choice(changes.KINDS)])
    return {"manifest": name, "changes": made, "command": rng.choice(("", "", "", "plan", "run"))}


def group(case: dict[str, Any]) -> str:
    """Return what a case is counted under."""
    return "manifests: a user's" if case["manifest"] in USERS else "manifests: the tree's"


def _pairs(text: str) -> Iterator[re.Match[str]]:
    """The keys and values of a manifest, outside comments."""
    for match in PAIR.finditer(text):
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
        if "#" not in line:
            yield match


def changed(text: str, change: list[Any]) -> str:
    """Return a manifest's text after one change of it."""
    kind, place, *rest = change
    if kind in ("value", "rename"):
        found = list(_pairs(text))
        if place >= len(found):
            return text
        start, end = found[place].span(2 if kind == "value" else 1)
        return text[:start] + rest[0] + text[end:]
    lines = text.splitlines(keepends=True)
    here = min(place, len(lines))
    new = {"drop": [], "twice": lines[here : here + 1] * 2}.get(
        kind, [*(f"{one}\n" for one in rest), *lines[here : here + 1]]
    )
    return "".join([*lines[:here], *new, *lines[here + 1 :]])


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Change the manifest, and plan by it.

    Raises:
        FaultError: anything but a plan or a sentence; a change that is seen nowhere.
    """
    name = case["manifest"]
    path = _laid_out(folder, name)
    for change in case["changes"]:
        if change[0] in ("value", "rename", "drop", "twice", "line"):
            if path.is_file():
                path.write_text(changed(path.read_text("utf-8", "surrogateescape"), change), "utf-8", "surrogateescape")
        elif path.is_file() and not path.is_symlink():
            changes.change_file(path, change)
    if case["command"] and name in USERS:
        words = [
            case["command"],
            str(path),
            "--store",
            str(folder / "store"),
            *["--dry-run"] * (case["command"] == "run"),
        ]
        ended = outcomes.command(words)
        if (folder / "store").exists():
            raise FaultError("made a store", ended.output[:500])
    ended = outcomes.call(lambda: _seen(name, path, folder))
    if ended.refused:
        return {"end": outcomes.REFUSED}
    before, after = _data(base(name).encode()), _data(path.read_bytes())
    if after is None:
        raise FaultError("silent acceptance", "planned by what is no TOML")
    if wrong := list(_impossible(after)):
        raise FaultError("silent acceptance", f"planned with {wrong[:3]}"[:500])
    differs = list(differences(before, after))
    if not differs:
        return {"end": outcomes.EQUAL}
    # What was left out has a default, which may be what stood there.
    unseen = [one for one in differs if not _benign(one) and _stands(after, one)]
    if ended.value == _original(name) and unseen:
        raise FaultError("silent acceptance", f"seen nowhere: {unseen[:5]}"[:500])
    return {"end": outcomes.ACCEPTED}


def _laid_out(folder: Path, name: str) -> Path:
    """Put the manifest where the kit looks for it, with what it names beside it."""
    if name in TREES:
        shutil.copytree(manifests_folder(), folder / "manifests")
        return folder / "manifests" / name
    path = folder / "my.toml"
    path.write_text(base(name), encoding="utf-8")
    for seeds in ("seeds.json", "my-seeds.json"):
        (folder / seeds).write_text(SEEDS, encoding="utf-8")
    (folder / "pipe.json").write_text(SEEDS, encoding="utf-8")
    changes.become(folder / "pipe.json", "fifo")
    return path


@functools.cache
def _original(name: str) -> str:
    """Return what is seen of a manifest before it is changed."""
    folder = changes.fresh(Path.cwd().parent / "case")
    return _seen(name, _laid_out(folder, name), folder)


def _seen(name: str, path: Path, folder: Path) -> str:
    """Everything that the kit knows from a manifest, as text: the plan, or the tree's documents and Table 2's plan."""
    if name in USERS:
        plan = plan_manifest(path)
        documents: list[Any] = []
    else:
        tree = Catalogue(folder / "manifests")
        tables = {one: tree.table(one) for one in tree.names("tables")}
        scales = {one: tree.scale(one) for one in tree.names("scales")}
        plan = make_plan(tree, {"table-2": tables["table-2"]}, scales["smoke"], "smoke", locks())
        documents = [tree.models, tree.datasets, tree.experiments, tables, scales]
    jobs = [asdict(job) for job in plan.jobs.values()]
    parts = [jobs, plan.tables, plan.cast, plan.models, plan.hardware, plan.notes, plan.cells, documents]
    return repr(parts).replace(str(folder), "FOLDER")


def _data(text: bytes) -> Any:
    """The values of a TOML text; None if it is none."""
    try:
        return tomllib.loads(text.decode().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def differences(before: Any, after: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value that two documents do not share."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(set(before) | set(after)):
            if name not in before or name not in after:
                yield (*path, name)
            else:
                yield from differences(before[name], after[name], (*path, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, (*path, index))
    elif type(before) is not type(after) or before != after:
        yield path


def _stands(value: Any, path: tuple[Any, ...]) -> bool:
    """Return whether a document has a value at a path."""
    try:
        changes.at(value, path)
    except LookupError:
        return False
    return True


def _benign(path: tuple[Any, ...]) -> bool:
    """Return whether a change there need not be seen in a plan: words for readers, and what no experiment names."""
    unused = path[0] in ("cast", "seeds", "datasets", "models") and len(path) == 2
    return bool(BENIGN & set(path)) or unused or path[-1:] == ("rows",) or path[0] in ("cast", "datasets")


def _impossible(value: Any) -> Iterator[Any]:
    """The values of a manifest with which nothing can be planned."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if (
                name == "url"
                and isinstance(inner, str)
                and not inner.startswith(("https://", "http://localhost", "http://127."))
            ):
                yield inner
            if (
                name in ("file", "bundled", "folder")
                and isinstance(inner, str)
                and ("\x00" in inner or inner.startswith("/dev"))
            ):
                yield inner
            yield from _impossible(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _impossible(inner)
    elif (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, int) and abs(value) >= 2**63):
        yield value
