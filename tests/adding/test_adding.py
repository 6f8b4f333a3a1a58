"""README's table "Adding to it": one part of each kind is added to a copy of the tree, as files and entries alone.

The added files stand in tests/adding/tree as they would stand in the tree; none of them is in it. Entries of
models.toml and datasets.toml are appended, a scale and a table are copies under a new name.
"""

import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kit import benchmarks, engines, scenarios, stages

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ADDED = sorted(path.relative_to(HERE / "tree") for path in (HERE / "tree").rglob("*") if path.is_file())
CAPITALS = [("Lima", "Lima"), ("Peru", "Lima"), ("Quito", "Quito")]
"""Questions with their answers; the parrot is right where the question contains the answer."""
PROTOCOLS = {
    "benchmark": (benchmarks.Benchmark, "benchmarks/capitals.py"),
    "scenario": (scenarios.Scenario, "scenarios/twice.py"),
    "engine": (engines.Opener, "engines/parrot.py"),
    "stage": (stages.Stage, "stages/count.py"),
}
KINDS = {*PROTOCOLS, "model", "data set", "scale", "table"}


def readme_rows() -> dict[str, str]:
    """README's table: kind -> what is to be written."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Adding to it\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {kind: write for kind, write, _ in rows[2:]}


def members(protocol: type) -> set[str]:
    """The names that an interface asks for."""
    functions = {name for name, _ in inspect.getmembers(protocol, inspect.isfunction) if not name.startswith("_")}
    return functions | set(protocol.__annotations__)


def python(tree: Path, *words: str | Path) -> str:
    """Run Python on the copy's own kit; what it prints."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tree.parent,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def kit(tree: Path, *words: str) -> str:
    """Run the copy's command line; what it prints."""
    return python(tree, "-c", "from kit.cli import main; main()", *words)


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Replace the first place of each text, which must be there."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with one part of each kind added."""
    root = tmp_path_factory.mktemp("adding") / "tree"
    for name in ("kit", "manifests", "requirements"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(HERE / "tree", root, dirs_exist_ok=True)
    data = root.parent / "mirror" / "capitals" / "capitals.jsonl"
    data.parent.mkdir(parents=True)
    data.write_text("".join(json.dumps({"country": c, "capital": a}) + "\n" for c, a in CAPITALS), encoding="utf-8")
    manifests = root / "manifests"
    entries = {"SHA256": hashlib.sha256(data.read_bytes()).hexdigest()}
    for name in ("models.toml", "datasets.toml"):
        entry = re.sub("SHA256", lambda found: entries[found[0]], (HERE / name).read_text(encoding="utf-8"))
        with (manifests / name).open("a", encoding="utf-8") as file:
            file.write(entry)
    capitals = '{ dataset = "capitals-test", protocol = "default", prompts = "kit", max_tokens = 16 }'
    smoke = (manifests / "scales" / "smoke.toml").read_text(encoding="utf-8")
    own = replaced(
        smoke, ('name = "vllm"', 'name = "parrot"'), ("[benchmarks]", f"[benchmarks]\ncapitals = {capitals}")
    )
    (manifests / "scales" / "own.toml").write_text(own, encoding="utf-8")
    shutil.copy(manifests / "tables" / "table-2.toml", manifests / "tables" / "table-16.toml")
    return root


def test_no_added_file_is_in_the_tree():
    assert [path for path in ADDED if (ROOT / path).exists()] == []
    assert {path.parts[0] for path in ADDED} == {"kit"}


def test_readme_has_the_kinds_that_are_added_here():
    assert set(readme_rows()) == KINDS


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_readme_names_all_that_a_file_must_define(kind: str):
    protocol, path = PROTOCOLS[kind]
    place, _, listed = readme_rows()[kind].partition(":")
    named = set(re.findall(r"`(\w+)`", listed))
    assert place == f"`kit/{path.partition('/')[0]}/x.py`"
    assert members(protocol) <= named
    module = ModuleType(kind)
    exec(compile((HERE / "tree" / "kit" / path).read_text(encoding="utf-8"), path, "exec"), vars(module))
    assert [name for name in sorted(named) if not hasattr(module, name)] == []


def test_every_added_part_takes_part_in_a_run(tree: Path):
    shutil.copy(HERE / "own.toml", tree.parent)
    store, mirror = tree.parent / "store", tree.parent / "mirror"
    out = python(tree, HERE / "run_added.py", tree.parent / "own.toml", store, mirror)
    found = json.loads(out.splitlines()[-1])
    assert found["kit"] == str(tree / "kit")
    # the added scenario and engine are in the keys of what they wrote, the added benchmark's two versions in theirs
    assert found["versions"]["evolve"] == "evolve-1.parrot-1.twice-3"
    assert {"capitals-4", "parrot-1"} <= set(found["versions"]["answer"].split("."))
    assert "capitals-5" in found["versions"]["grade"].split(".")
    assert found["revisions"] == ["0123456789abcdef0123456789abcdef01234567"]
    first = "Name two animals that sleep through the winter."
    assert found["evolved"][0] == f"{first} {first}"
    assert found["engine"] == {"engine": "parrot"}
    (result,) = found["results"]
    assert (result["metric"], result["value"], result["n"]) == ("capitals", pytest.approx(2 / 3), 3)
    assert (found["count"], "count" in found["stages"]) == (f"{len(found['evolved'])}\n", True)


def test_an_added_table_is_planned_as_the_one_it_copies(tree: Path):
    store = str(tree.parent / "none")
    plans = [json.loads(kit(tree, "plan", name, "--scale", "own", "--store", store, "--json")) for name in ("2", "16")]
    assert [list(plan["tables"]) for plan in plans] == [["table-2"], ["table-16"]]
    assert plans[0]["digest"] == plans[1]["digest"]
    assert all(job["params"]["engine"]["name"] == "parrot" for job in plans[0]["jobs"] if job["stage"] == "answer")


def test_an_added_engine_takes_the_contract_test_of_all(tree: Path):
    contract = tree / "tests" / "engines" / "contract.py"
    contract.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "engines" / "contract.py", contract)
    seen = json.loads(python(tree, contract, "parrot", "no-model").splitlines()[-1])
    assert seen["fingerprint"] == {"engine": "parrot"}
    assert [row["id"] for row in seen["greedy"]] == [f"row/{number}" for number in range(8)]
    assert seen["too_long"][1]["finish_reason"] == "too_long"


def test_an_unknown_part_is_named_with_what_is_there(tree: Path):
    manifest = replaced((HERE / "own.toml").read_text(encoding="utf-8"), ('scenario = "twice"', 'scenario = "twise"'))
    (tree.parent / "wrong.toml").write_text(manifest, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", "from kit.cli import main; main()", "plan", "wrong.toml"],
        cwd=tree.parent,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: wrong.toml: experiment[0].scenario: no scenario named 'twise'; did you mean 'twice'?\n",
    )
