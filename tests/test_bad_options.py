"""Options that are given twice, and paths that begin with ``~`` or name no file: told before anything runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.plan.planning import Machine
from tests.test_bad_inputs import STARTS, folder, kit, refused, with_option

__all__ = ["folder", "kit"]  # the fixtures: a folder with good files, and the command line

Kit = Callable[[str], tuple[int, str]]
GIVEN_TWICE = {
    # the last was taken: a model was tuned on half of the data, and one of two evolvers was asked
    "files": ("sft", "--pairs more.json", "--pairs: given 2 times, and it takes one value; leave the others out"),
    "models": (
        "evolve",
        "--evolver base",
        "--evolver is given 2 times and --out 1 time; wanted a file for each evolver, in the same order",
    ),
    "with an equals sign": (
        "respond",
        "--out=o.json",
        "--out: given 2 times, and it takes one value; leave the others out",
    ),
    "seeds": (
        "respond",
        "--seed 1 --seed 2 --seed 3",
        "--seed: given 3 times, and it takes one value; leave the others out",
    ),
}


@pytest.mark.parametrize("command, option, message", GIVEN_TWICE.values(), ids=list(GIVEN_TWICE))
def test_an_option_given_twice(command: str, option: str, message: str, folder: Path, kit: Kit):
    assert refused(kit, f"{STARTS[command]} {option}") == message


@pytest.mark.parametrize("words", ["plan 2 --scale smoke --scale smoke", "store list --store a --store b"])
def test_an_option_of_another_command_given_twice(words: str, folder: Path, kit: Kit):
    assert "given 2 times, and it takes one value" in refused(kit, words)


def test_what_may_be_said_twice(folder: Path, kit: Kit):
    assert kit("plan 2 --scale smoke --json --json") == (0, "")
    assert refused(kit, "store gc --keep 1 --keep 2 --store nowhere").endswith(
        "the folder that a run wrote with --store"
    )


@pytest.mark.parametrize("command", ["evolve", "respond", "answer", "sft"])
def test_a_scale_that_this_machine_lacks_the_gpus_for(
    command: str, folder: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    # the data were fetched, and the engine was started, before anything said so
    pairs = [{"instruction": "a", "output": "b"}]
    (folder / "seeds.json").write_text(json.dumps(pairs), encoding="utf-8")
    monkeypatch.setattr("kit.plan.planning.this_machine", lambda: Machine(gpus=0, gpu_memory_gib=0, memory_gib=24))
    text = refused(kit, f"{STARTS[command]} --scale one-gpu")
    assert text.startswith("scale one-gpu wants 1 GPU of 24 GB, this machine has none that nvidia-smi names; ")


AT_HOME = {
    "pairs": ("sft", "--pairs=~/x.json", "{home}/x.json: No such file or directory"),
    "completions": ("grade", "--completions=~/x.json", "{home}/x.json: No such file or directory"),
    "output": ("respond", "--out=~/x/o.json", "--out {home}/x/o.json: no folder {home}/x"),
    "a model": (
        "answer",
        "--model=~/x",
        "'{home}/x': no such folder; wanted a model's, or a name of manifests/models.toml",
    ),
}


@pytest.mark.parametrize("command, option, message", AT_HOME.values(), ids=list(AT_HOME))
def test_files_at_home(
    command: str,
    option: str,
    message: str,
    folder: Path,
    kit: Kit,
    monkeypatch: pytest.MonkeyPatch,
):
    # no shell replaces the ~ of --pairs=~/x.json: "~/x.json: No such file or directory"
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert refused(kit, with_option(STARTS[command], option.replace("=", " "))) == message.format(home=home)


def test_paths_that_name_no_file(folder: Path, kit: Kit):
    # an empty path was taken for the folder "."
    assert "Invalid value for '--pairs': the path is empty; name a file or folder" in refused(
        kit, "sft --pairs= --base smollm2-29l --out tuned"
    )
    assert "Invalid value for '--out': ~nobody9/x: no such user; a file or folder of that name is ./~nobody9/x" in (
        refused(kit, "sft --pairs seeds.json --base smollm2-29l --out=~nobody9/x")
    )
