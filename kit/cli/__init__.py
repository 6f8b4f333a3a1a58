"""The command line: reads arguments, prints results; the work of the commands is done in other rooms."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli.completing import (
    complete_model,
    complete_runtime,
    complete_scale,
    complete_table,
    leave_rich_out,
    shell_asks,
)
from kit.cli.repeats import CommandGroup
from kit.errors import KitError, RequestError

if TYPE_CHECKING:
    from kit.store import Store

app = typer.Typer(
    name="kit",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A reproducible benchmark of instruction evolution (arXiv 2412.11231).",
)

Tables = Annotated[
    list[str],
    typer.Argument(
        help="Tables by number: 2; all of them: all; or the path of a manifest of your own",
        autocompletion=complete_table,
    ),
]
ScaleName = Annotated[
    str,
    typer.Option(
        "--scale",
        help="smoke, mini, one-gpu, one-80gb, paper; auto takes what fits this machine",
        autocompletion=complete_scale,
    ),
]


def own_path(value: str | Path, noun: str = "file or folder") -> Path:
    """Return a path as it was written, but with the home folder for ``~``.

    The shell leaves ``~`` alone in ``--out=~/x`` and in a variable.

    Args:
        value: the path.
        noun: the kind of file that is wanted, for messages.

    Raises:
        typer.BadParameter: the path is empty, or ``~name`` has no home folder.
    """
    if value == "":
        raise typer.BadParameter(f"the path is empty; name a {noun}")
    expanded = os.path.expanduser(value)  # noqa: PTH111  # a Path has forgotten the ./ of ./~
    if expanded.startswith("~"):
        raise typer.BadParameter(f"{value}: no such user; a {noun} of that name is ./{value}")
    return Path(expanded)


def own_model(value: str) -> str:
    """Return a model's name, or the path of its folder as :func:`own_path` has it."""
    return str(own_path(value)) if value.startswith("~") else value


def path_option(name: str, about: str) -> Any:
    """Return an option that takes the path of a file or folder of the user's own."""
    return typer.Option(name, help=about, parser=own_path, metavar="PATH")


def model_option(name: str, about: str = "A name of manifests/models.toml, or a model folder") -> Any:
    """Return an option that takes a model's name or the path of its folder."""
    return typer.Option(name, help=about, parser=own_model, metavar="MODEL", autocompletion=complete_model)


def absolute_folder(value: str | Path) -> Path:
    """Return a folder's absolute path: ``~`` is the home folder, ``..`` and links are followed.

    Everything behind the command line gets this one path: workers start elsewhere, and a container runtime takes a
    relative path for the name of a volume.

    Raises:
        typer.BadParameter: the path is empty, ``~name`` has no home folder, or links lead in a circle.
    """
    try:
        return own_path(value, "folder").resolve()
    except RuntimeError as error:
        raise typer.BadParameter(f"{value}: its links lead in a circle; name the folder itself") from error


StoreDir = Annotated[
    Path,
    typer.Option("--store", help="Folder of the artifacts", envvar="KIT_STORE", parser=absolute_folder, metavar="DIR"),
]
MirrorDir = Annotated[
    Path | None,
    typer.Option("--mirror", help="Folder with copies of the pinned data files", parser=absolute_folder, metavar="DIR"),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output")]
UnsafeExec = Annotated[
    bool, typer.Option("--unsafe-exec", help="Run model-written code with no sandbox where none is to be had")
]
RuntimeName = Annotated[
    str,
    typer.Option(
        "--runtime",
        help="Where jobs run: local, docker, podman, apptainer (images by `make images`)",
        autocompletion=complete_runtime,
    ),
]
DEFAULT_STORE = Path("store")
STOPPED = "stopped; what is committed stays, and the same command goes on from there"


def _print_version(given: bool) -> None:
    """Print the kit's version and end, if ``--version`` is given."""
    from kit import __version__

    if given:
        typer.echo(f"kit {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command; exit 0 if it is done, 1 if a job or a check failed, 2 if the request was wrong.

    A check of ``kit verify``, or a ``kit diff``, that can't tell exits with 3.
    """
    from kit.cli import (  # noqa: F401  # they add their commands to the app
        auditing,
        claims,
        clustering,
        diffing,
        exporting,
        files,
        grading,
        jobs,
        new,
        overlaps,
        plotting,
        running,
        schema,
        scoring,
        selecting,
        selftesting,
        status,
        stores,
        tables,
        transferring,
    )

    if shell_asks():
        leave_rich_out()
    try:
        app(prog_name="kit")
    except KitError as error:
        say_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say_error(STOPPED)
        sys.exit(130)
    except SystemExit as end:
        if end.code == 130:  # typer turns a KeyboardInterrupt into this code
            say_error(STOPPED)
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:  # a full disk, a lost permission
        cure = "what is committed stays, and the same command goes on from there"
        say_error(f"{error.filename or 'disk'}: {error.strerror}; {cure}")
        sys.exit(1)


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the kit's version, and end")
    ] = False,
) -> None:
    """A reproducible benchmark of instruction evolution (arXiv 2412.11231)."""


def check_mirror(mirror: Path | None) -> None:
    """Check that a mirror folder that somebody named is there.

    Raises:
        RequestError: there is no such folder.
    """
    if mirror is not None and not mirror.is_dir():
        raise RequestError(f"--mirror {mirror}: no such folder")


def store_to_read(path: Path) -> "Store":
    """Return the store at ``path``, for reading; a default store that is missing counts as empty.

    Raises:
        RequestError: there is no store at a path that somebody named.
    """
    from kit.store import Store

    return Store(path) if path == DEFAULT_STORE.resolve() and not path.exists() else Store.existing(path)


def store_to_plan(path: Path) -> "Store":
    """Return the store at ``path``, which may not be there yet, without making it.

    Raises:
        RequestError: ``path`` is something else than a store or an empty folder.
    """
    from kit.store import Store
    from kit.store.layout import check_place

    check_place(path)
    return Store.existing(path) if os.path.lexists(path / "artifacts") else Store(path)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text without the terminal escapes that a store, a file or a model may have put into it."""
    from kit.report.escapes import plain

    typer.echo(plain(text), err=err, nl=nl)


def say_json(document: Any, indent: int | None = 1) -> None:
    """Print one JSON document, with its control characters escaped as in JSON."""
    from kit.report.escapes import plain_json

    typer.echo(plain_json(document, indent))


def say_error(text: str) -> None:
    """Print a message on standard error, as plain text."""
    from rich.console import Console
    from rich.text import Text

    from kit.report.escapes import plain

    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), plain(text)), soft_wrap=True)
