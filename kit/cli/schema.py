"""``kit schema``: the JSON Schema of a manifest, by which editors complete and check it."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import app, say
from kit.cli.completing import completer
from kit.errors import RequestError, did_you_mean, shown

if TYPE_CHECKING:
    from pydantic.json_schema import GenerateJsonSchema

    from kit.reading.documents import Strict

KINDS = (
    "manifest",
    "models",
    "datasets",
    "scale",
    "experiments",
    "table",
    "paper",
    "scalars",
    "hardware",
    "deviations",
    "margins",
    "claims",
    "counts",
)
"""Kinds of manifests, in the order of :func:`types`; the user's own manifest comes first."""


@app.command()
def schema(
    kind: Annotated[
        str,
        typer.Argument(
            help="manifest (a manifest of your own), or a file of manifests/: " + ", ".join(KINDS[1:]),
            autocompletion=completer(lambda: KINDS),
        ),
    ] = KINDS[0],
    write: Annotated[
        bool, typer.Option("--write", help="Write the schemas of all kinds into manifests/schema, which editors read")
    ] = False,
) -> None:
    """Print the JSON Schema (draft 2020-12) of a manifest."""
    if not write:
        typer.echo(schema_text(kind), nl=False)
        return
    check_kind(kind)
    from kit.catalogue import manifests_folder

    for path in write_schemas(manifests_folder() / "schema"):
        say(f"wrote {path}")


def types() -> "dict[str, type[Strict]]":
    """Return the type of each kind of manifest."""
    from kit.audit.facts import CountsFile
    from kit.catalogue.claims import ClaimsFile
    from kit.catalogue.entries import DatasetsFile, ModelsFile
    from kit.catalogue.experiments import ExperimentsFile
    from kit.catalogue.manifest import UserManifest, ViewFile
    from kit.catalogue.margins import MarginsFile
    from kit.catalogue.paper import PaperTable, ScalarsFile
    from kit.catalogue.scales import Scale
    from kit.check.settings import DeviationsFile
    from kit.plan.estimate import MachinesFile

    models = (
        UserManifest,
        ModelsFile,
        DatasetsFile,
        Scale,
        ExperimentsFile,
        ViewFile,
        PaperTable,
        ScalarsFile,
        MachinesFile,
        DeviationsFile,
        MarginsFile,
        ClaimsFile,
        CountsFile,
    )
    return dict(zip(KINDS, models, strict=True))


def check_kind(kind: str) -> None:
    """Check that there is a kind of manifest of this name.

    Raises:
        RequestError: there is none.
    """
    if kind not in KINDS:
        raise RequestError(f"no kind of manifest named {shown(kind)}{did_you_mean(kind, KINDS)}")


def schema_text(kind: str) -> str:
    """Return the JSON Schema of a kind of manifest, as a file of ``manifests/schema`` holds it.

    Raises:
        RequestError: there is no such kind.
    """
    check_kind(kind)
    return json.dumps(schema_of(types()[kind], kind), indent=1, ensure_ascii=False) + "\n"


def schema_of(model: "type[Strict]", title: str) -> dict[str, Any]:
    """Return the JSON Schema of a type; each docstring of a class or a field is the description there."""
    from kit.reading.documents import SCHEMA

    generator = schema_generator()
    found: dict[str, Any] = _tidy(model.model_json_schema(schema_generator=generator))
    found["properties"]["schema"] |= {"const": SCHEMA, "description": "The version of this format."}
    return {"$schema": generator.schema_dialect, **found, "title": title}


def schema_generator() -> "type[GenerateJsonSchema]":
    """Return pydantic's generator, with docstrings, without null, which TOML lacks, and titles that repeat a key."""
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
    from pydantic_core.core_schema import ModelSchema, NullableSchema

    class Generator(GenerateJsonSchema):
        def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
            return self.generate_inner(schema["schema"])

        def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
            found = super().model_schema(schema)
            for name, text in field_docstrings(schema["cls"]).items():
                found["properties"][name].setdefault("description", text)
            return found

        def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic's own
            return False

    return Generator


def field_docstrings(model: type[Any]) -> dict[str, str]:
    """Return the docstring under each field of a type, by the field's name in a manifest.

    Pydantic can collect them while it makes the type, which takes an eighth of a second of every command.
    """
    from kit.catalogue.axes import MADE_FROM
    from kit.reading.documents import Strict

    found: dict[str, str] = {}
    for kind in (MADE_FROM.get(kind, kind) for kind in reversed(model.__mro__)):
        for name, text in _docstrings(kind) if issubclass(kind, Strict) else ():
            if name in model.model_fields:
                found[model.model_fields[name].alias or name] = text
    return found


def _docstrings(kind: type[Any]) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of what a class declares."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    for declared, after in pairwise(body.body):
        if (
            isinstance(declared, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            yield ast.unparse(declared.target), inspect.cleandoc(str(after.value.value))


def _tidy(node: Any) -> Any:
    """Return the schema with docstrings as plain text, and without the default null."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidied = {name: _tidy(item) for name, item in node.items() if item is not None}
    if isinstance(text := tidied.get("description"), str):
        tidied["description"] = re.sub(r"(:\w+:)?(`+)", "`", " ".join(text.split()))
    return tidied


def write_schemas(folder: Path) -> list[Path]:
    """Write the schema of every kind into a folder, and return the files."""
    folder.mkdir(exist_ok=True)
    paths = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        path.write_text(schema_text(kind), encoding="utf-8")
        paths.append(path)
    return paths
