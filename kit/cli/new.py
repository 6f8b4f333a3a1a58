"""``kit new``: writes a commented manifest of the user's own, which this machine can run."""

import json
import shlex
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated

import typer

from kit import registry
from kit.cli import app, say
from kit.cli.completing import complete_scale
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.catalogue import Catalogue
    from kit.catalogue.scales import Scale

TEMPLATE = registry.PACKAGE / "bundled" / "manifest.toml"
EVOLVERS = ("qwen-2-7b-instruct", "qwen-2-72b-instruct")
"""Models of the paper whose players evolve: those of Table 2."""
RESPONDER = "qwen-2.5-72b-instruct"
BASE = "llama-3.2-3b"
SEEDS = "alpaca"
"""The seed set whose rows are taken."""


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="The manifest to write: a name that ends in .toml", metavar="FILE.toml")],
    scale: Annotated[
        str,
        typer.Option(
            "--scale",
            help="Whose models and data it names; auto takes what fits this machine",
            autocompletion=complete_scale,
        ),
    ] = "auto",
) -> None:
    """Write a commented manifest of your own that this machine can run."""
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.planning import largest_scale, this_machine

    catalogue = Catalogue(manifests_folder())
    name = largest_scale(catalogue, this_machine()) if scale == "auto" else scale
    text = manifest_text(catalogue, name, file)
    check_new(file, text)
    write_new(file, text)
    shown = shlex.quote(str(file))
    say(f"wrote {shown}, for scale {name}; edit it, then:")
    for command, about in (
        ("plan", "the jobs, and what they cost"),
        ("run", "computes them, and prints the table"),
        ("report", "prints the table again"),
    ):
        say(f"    kit {command + ' ' + shown:{len(shown) + 7}}     {about}")


def manifest_text(catalogue: "Catalogue", scale_name: str, file: Path) -> str:
    """Return the template with the models, the data and the limits of one scale.

    Raises:
        RequestError: there is no such scale.
    """
    scale = catalogue.scale(scale_name)
    seeds = scale.seeds[SEEDS]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        schema=(catalogue.folder / "schema" / "manifest.json").as_uri(),
        file=one_line(shlex.quote(file.name)),
        scale=scale_name,
        dataset=seeds.dataset,
        rows=seeds.rows or catalogue.dataset(seeds.dataset, f"{scale_name}.toml: seeds.{SEEDS}").rows,
        evolvers=json.dumps([scale.cast[role] for role in EVOLVERS]),
        responder=scale.cast[RESPONDER],
        base=scale.cast[BASE],
        limits=limits_text(scale, scale_name),
    )


def limits_text(scale: "Scale", name: str) -> str:
    """Return a sentence, for the manifest's comment, on the numbers that a small scale lowers."""
    limits = scale.limits.model_dump(exclude_none=True)
    if not limits:
        return f"Scale {name} takes all numbers as they stand."
    listed = ", ".join(f"{field} = {value}" for field, value in limits.items())
    return f"Scale {name} lowers larger numbers to its limits:\n# {listed}."


def check_new(file: Path, text: str) -> None:
    """Check that the other commands will accept the manifest by its file name.

    Raises:
        RequestError: it does not end in .toml, or its table would have the same name as one of the kit's.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.catalogue.manifest import UserManifest
    from kit.plan.planning import check_own_name
    from kit.reading.documents import parse

    name = one_line(str(file))
    if file.suffix != ".toml":
        raise RequestError(f"{name}: wanted a name that ends in .toml, by which `kit plan` knows a manifest")
    user = parse(UserManifest, text, name)
    check_own_name(Catalogue(manifests_folder(), user, file.parent, name), file, user)


def write_new(file: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all.

    Raises:
        RequestError: something is there already, or the file can't be written.
    """
    name = one_line(str(file))
    try:
        opened = file.open("x", encoding="utf-8")
    except FileExistsError as error:
        raise RequestError(f"{name}: is there already, and nothing is overwritten; name another file") from error
    except OSError as error:
        raise RequestError(f"{name}: {error.strerror}; name a file in a folder where you can write") from error
    try:
        with opened:
            opened.write(text)
    except OSError:
        file.unlink()
        raise
