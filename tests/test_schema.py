"""The JSON Schemas: up to date with the types, named by every manifest, accepted by a standard validator."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from kit.catalogue.manifest import UserManifest
from kit.cli import main, schema
from kit.errors import RequestError
from kit.reading.documents import Strict

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "manifests" / "schema"
RECORDED = {*(ROOT / "manifests" / "expected").rglob("*.toml")}
WITHOUT = {ROOT / "manifests" / "ifeval.toml", ROOT / "manifests" / "prompts.toml", *RECORDED}
"""Files of ``manifests/`` that nobody writes by hand as the kit's types have it: pins of files, recorded numbers."""
NAMED = sorted({*(ROOT / "manifests").rglob("*.toml")} - WITHOUT)
NAMED += sorted((ROOT / "examples").glob("*.toml"))
OWN = [ROOT / "examples" / "two-evolvers.toml", *sorted((ROOT / "tests" / "data").glob("*.toml"))]
FOLDERS = {"scales": "scale", "tables": "table", "experiments": "experiments", "paper": "paper", "examples": "manifest"}


def kind_of(path: Path) -> str:
    """Return the kind of a manifest, by its folder or its name."""
    return path.stem if path.stem == "scalars" else FOLDERS.get(path.parent.name, path.stem)


def validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8")))


def faults(kind: str, document: Any) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in validator(kind).iter_errors(document)]


def document(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", schema.KINDS)
def test_the_schema_file_is_up_to_date_with_the_types(kind: str):
    # `kit schema --write` writes them all again
    assert (FOLDER / f"{kind}.json").read_text(encoding="utf-8") == schema.schema_text(kind)


def test_there_are_no_other_schema_files():
    assert {path.name for path in FOLDER.iterdir()} == {f"{kind}.json" for kind in schema.KINDS}


@pytest.mark.parametrize("kind", schema.KINDS)
def test_the_schema_is_valid_for_its_draft(kind: str):
    found = validator(kind).schema
    Draft202012Validator.check_schema(found)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["description"]
    assert "null" not in json.dumps(found).replace("null while", "").replace("null where", "")  # TOML has none


@pytest.mark.parametrize("path", NAMED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_manifest_names_its_schema_in_the_first_line_and_is_accepted(path: Path):
    words = path.read_text(encoding="utf-8").splitlines()[0].split()
    assert words[:-1] == ["#:schema"]
    assert (path.parent / words[-1]).resolve() == FOLDER / f"{kind_of(path)}.json"
    assert faults(kind_of(path), document(path)) == []


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_a_manifest_of_ones_own_is_accepted(path: Path):
    assert faults("manifest", document(path)) == []


MISSPELT: dict[str, tuple[str, Callable[[Any], dict[str, Any]], str, str]] = {
    "a field of tuning": ("examples/two-evolvers.toml", lambda own: own["experiment"][0]["sft"], "epochs", "epoch"),
    "an axis": ("examples/two-evolvers.toml", lambda own: own["experiment"][0], "evolver", "evolvers"),
    "the first table": ("examples/two-evolvers.toml", lambda own: own, "datasets", "dataset"),
    "a model": ("manifests/models.toml", lambda file: file["models"]["smollm2-36l"], "licence", "license"),
    "a data set": ("manifests/datasets.toml", lambda file: file["datasets"]["mini-alpaca"], "bundled", "bundle"),
    "a scale": ("manifests/scales/smoke.toml", lambda file: file["engine"], "dtype", "type"),
    "a table": ("manifests/tables/table-2.toml", lambda file: file, "title", "titel"),
    "an experiment": (
        "manifests/experiments/evol_instruct.toml",
        lambda file: file["experiment"][0],
        "seeds",
        "seed_set",
    ),
    "a printed number": ("manifests/paper/table-2.toml", lambda file: file["row"][0], "evolver", "evolves"),
    "a finding": ("manifests/claims.toml", lambda file: file["claim"][0], "says", "say"),
    "a machine": ("manifests/hardware.toml", lambda file: file["machines"]["rtx-4090"], "batch", "batches"),
}


@pytest.mark.parametrize(("name", "place", "right", "wrong"), MISSPELT.values(), ids=list(MISSPELT))
def test_a_misspelt_field_is_refused(name: str, place: Callable[[Any], dict[str, Any]], right: str, wrong: str):
    found = document(ROOT / name)
    place(found)[wrong] = place(found).pop(right)
    refused = faults(kind_of(ROOT / name), found)
    assert any(f"{wrong!r} was unexpected" in fault for fault in refused), refused


AXES_OF: dict[str, tuple[str, Callable[[Any], dict[str, Any]], str, str]] = {
    "by": (
        "manifests/experiments/evol_instruct.toml",
        lambda file: file["experiment"][0]["by"],
        "$.experiment[0].by",
        "seeds",
    ),
    "rows": ("manifests/tables/table-2.toml", lambda file: file["rows"], "$.rows", "base"),
    "columns": ("manifests/tables/table-2.toml", lambda file: file["columns"][0]["at"], "$.columns[0].at", "seeds"),
}


@pytest.mark.parametrize(("name", "place", "key", "axis"), AXES_OF.values(), ids=list(AXES_OF))
def test_a_misspelt_axis_is_refused(name: str, place: Callable[[Any], dict[str, Any]], key: str, axis: str):
    # the schema took any name there, and an editor that checks a manifest by it was content
    found = document(ROOT / name)
    place(found)["rond"] = place(found).pop(axis)
    (refused,) = faults(kind_of(ROOT / name), found)
    assert refused.startswith(f"{key}: 'rond' is not one of ['scenario', 'seeds', ")


def test_rows_may_have_truth_values():
    # `kit run` took them, and an editor called them wrong
    found = document(ROOT / "examples" / "two-evolvers.toml")
    rows = {"breadth": [True, False], "round": [1], "temperature": [0.5], "evolver": ["a"]}
    found["view"] = [{"rows": rows, "columns": [{"at": {"merge": True}, "measures": ["ifeval"]}]}]
    assert faults("manifest", found) == []
    assert UserManifest.model_validate(found).view[0].rows == rows


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("schema = 2", "$.schema: 1 was expected"),
        ("scale = 3", "$.scale: 3 is not valid under any of the given schemas"),
        ("experiment = []", "$.experiment: [] should be non-empty"),
    ],
)
def test_a_wrong_value_is_refused(line: str, wanted: str):
    found = document(ROOT / "examples" / "two-evolvers.toml") | tomllib.loads(line)
    assert faults("manifest", found) == [wanted]


WHOLE = "A whole document with one part."


class Part(Strict):
    """A part of a document: see :class:`kit.plan.Plan`."""

    size: int | None = None
    """Its size in ``bytes``,
    counted."""


class Whole(Strict):
    """A whole document with one part."""

    schema_: int = Field(alias="schema")
    part: Part
    title: str = "x"


def test_docstrings_are_the_descriptions():
    found = schema.schema_of(Whole, "whole")
    assert (found["title"], found["description"], found["required"]) == ("whole", WHOLE, ["schema", "part"])
    part = found["$defs"]["Part"]
    assert part["description"] == "A part of a document: see `kit.plan.Plan`."
    assert part["properties"] == {"size": {"description": "Its size in `bytes`, counted.", "type": "integer"}}
    assert found["properties"]["title"] == {"default": "x", "type": "string"}
    assert part["additionalProperties"] is False


# the command


def kit(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["kit", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("words", "kind"), [([], "manifest"), (["models"], "models"), (["table"], "table")])
def test_the_command_prints_it(
    words: list[str], kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert kit(["schema", *words], monkeypatch) == 0
    assert capsys.readouterr() == ((FOLDER / f"{kind}.json").read_text(encoding="utf-8"), "")


def test_no_such_kind(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(schema, "write_schemas", lambda _: pytest.fail("they were written again"))
    for words in (["tabel"], ["tabel", "--write"]):  # with --write, any name was taken
        assert kit(["schema", *words], monkeypatch) == 2
        assert capsys.readouterr() == ("", "error: no kind of manifest named 'tabel'; did you mean 'table'?\n")
    with pytest.raises(RequestError, match="no kind of manifest"):
        schema.schema_text("")


def test_the_command_writes_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("kit.catalogue.manifests_folder", lambda: tmp_path)
    assert kit(["schema", "--write"], monkeypatch) == 0
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "schema").iterdir()}
    assert written == {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert capsys.readouterr().out.count("wrote ") == len(schema.KINDS)
