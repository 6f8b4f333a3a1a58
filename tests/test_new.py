"""The manifest that `kit new` writes: it fits this machine, can be planned as it is, and replaces no file."""

import re
import shlex
from pathlib import Path

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.manifest import UserManifest
from kit.cli import new
from kit.errors import RequestError
from kit.plan.planning import Machine, plan_manifest
from kit.reading.documents import parse
from tests.conftest import Kit

CATALOGUE = Catalogue(manifests_folder())
NO_GPU = Machine(gpus=0, gpu_memory_gib=0, memory_gib=16)


@pytest.fixture
def kit(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run the command line in an empty folder, on a machine without a GPU."""
    monkeypatch.setattr("kit.plan.planning.this_machine", lambda: NO_GPU)
    return kit


def test_the_printed_commands_accept_the_new_manifest(kit: Kit, tmp_path: Path):
    code, out, err = kit("new", "mine.toml")
    assert (code, err) == (0, "")
    first, *commands = out.splitlines()
    assert first == "wrote mine.toml, for scale smoke; edit it, then:"
    printed = [shlex.split(line)[:3] for line in commands]
    assert printed == [["kit", name, "mine.toml"] for name in ("plan", "run", "report")]
    code, out, err = kit(*printed[0][1:])
    assert (code, err) == (0, "")
    assert re.search(r"^21 jobs: .*2 evolve, 2 respond, 2 sft, 4 answer, 4 grade; ", out, flags=re.M)
    code, out, err = kit(*printed[1][1:], "--dry-run")
    assert (code, err, out.count("to do")) == (0, "", 21)
    code, out, err = kit(*printed[2][1:])
    assert (code, err, "My experiment" in out) == (0, "", True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@pytest.mark.parametrize("scale", CATALOGUE.names("scales"))
def test_the_new_manifest_of_every_scale_can_be_planned(scale: str, kit: Kit, tmp_path: Path):
    assert kit("new", "mine.toml", "--scale", scale)[0] == 0
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert "$" not in text
    assert max(map(len, text.splitlines()[1:])) <= 120
    plan = plan_manifest(tmp_path / "mine.toml")
    cast = CATALOGUE.scale(scale).cast
    assert plan.scale == scale
    assert set(plan.cast) <= set(cast.values())  # by their own names: nobody plays another's role
    assert sum(job.stage == "sft" for job in plan.jobs.values()) == 2


@pytest.mark.parametrize(
    ("machine", "scale"),
    [
        (NO_GPU, "smoke"),
        (Machine(gpus=1, gpu_memory_gib=24, memory_gib=64), "one-gpu"),
        (Machine(gpus=8, gpu_memory_gib=80, memory_gib=1000), "paper"),
    ],
)
def test_the_scale_is_what_the_machine_holds(
    machine: Machine, scale: str, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.plan.planning.this_machine", lambda: machine)
    assert kit("new", "mine.toml")[0] == 0
    assert f'\nscale = "{scale}" ' in (tmp_path / "mine.toml").read_text(encoding="utf-8")


def test_the_fields_in_comments_are_accepted_too(kit: Kit, tmp_path: Path):
    # an example in a comment that is out of date is worse than none
    kit("new", "mine.toml")
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    tables = re.findall(r"^# \[.*\n(?:# \w+ = .*\n)+", text, flags=re.M)
    assert len(tables) == 2
    for table in tables:
        text = text.replace(table, re.sub(r"^# ", "", table, flags=re.M))
    text = text.replace('dataset = "mini-alpaca"', 'dataset = "my-file"').replace('"smollm2-36l"', '"my-model"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    (tmp_path / "my-seeds.json").write_text('[{"instruction": "Name a river."}]')
    own = parse(UserManifest, text, "mine.toml")
    assert (list(own.datasets), list(own.models)) == (["my-file"], ["my-model"])
    (tmp_path / "my-model").mkdir()
    with pytest.raises(RequestError, match=r"my-model.*config\.json"):  # all that is missing is the model itself
        plan_manifest(tmp_path / "mine.toml")


REFUSED = {
    "a name without .toml": ("mine", "mine: wanted a name that ends in .toml, by which `kit plan` knows a manifest"),
    "the name of a table": (
        "table-2.toml",
        "table-2.toml: its table would be 'table-2', as the kit's own; rename the file",
    ),
    "no such folder": (
        "a/mine.toml",
        "a/mine.toml: No such file or directory; name a file in a folder where you can write",
    ),
    "line breaks": (
        "a\nb.toml",
        r"a\nb.toml: its table is named as the file is; wanted 100 characters at most, and none that can't be seen",
    ),
}


@pytest.mark.parametrize(("file", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_file_that_no_command_would_accept_is_not_written(file: str, message: str, kit: Kit, tmp_path: Path):
    assert kit("new", file) == (2, "", f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_no_such_scale(kit: Kit, tmp_path: Path):
    assert kit("new", "mine.toml", "--scale", "smok") == (
        2,
        "",
        "error: no scale named 'smok'; did you mean 'smoke'?\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(kit: Kit, tmp_path: Path):
    (tmp_path / "mine.toml").write_text("mine")
    (tmp_path / "link.toml").symlink_to("nowhere.toml")
    (tmp_path / "folder.toml").mkdir()
    for name in ("mine.toml", "link.toml", "folder.toml"):
        printed = f"error: {name}: is there already, and nothing is overwritten; name another file\n"
        assert kit("new", name) == (2, "", printed)
    assert (tmp_path / "mine.toml").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml", "link.toml", "folder.toml"}


def test_a_file_name_with_a_space_is_printed_quoted(kit: Kit, tmp_path: Path):
    code, out, _ = kit("new", "my own.toml")
    assert code == 0
    assert shlex.split(out.splitlines()[1])[:3] == ["kit", "plan", "my own.toml"]
    assert "\n# kit plan 'my own.toml' " in (tmp_path / "my own.toml").read_text(encoding="utf-8")


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path: Path):
    class Full(type(tmp_path)):  # type: ignore[misc]
        """A path whose file can not be written to."""

        def open(self, *words: str, **options: str):
            file = super().open(*words, **options)
            file.write = lambda text: (_ for _ in ()).throw(OSError(28, "No space left on device"))
            return file

    with pytest.raises(OSError, match="No space left"):
        new.write_new(Full(tmp_path / "mine.toml"), "text")
    assert list(tmp_path.iterdir()) == []


def test_the_first_line_is_the_schema_that_editors_read(kit: Kit, tmp_path: Path):
    kit("new", "mine.toml")
    first = (tmp_path / "mine.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"#:schema {(manifests_folder() / 'schema' / 'manifest.json').as_uri()}"
