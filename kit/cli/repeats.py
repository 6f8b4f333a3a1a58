"""Commands refuse an option that is given twice: the parser would take the last value and drop the first in silence."""

from collections import Counter
from typing import Any

import typer
from typer.core import TyperGroup

from kit.errors import RequestError


class CommandGroup(TyperGroup):
    """A group of commands that take each option once, but for those that gather several values."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return a command's name, the command and its arguments, after a check of its options.

        Raises:
            RequestError: an option is given twice.
        """
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not ctx.resilient_parsing:  # a shell asks while the line is still being typed
            check_given_once(command, typer.Context(command, info_name=name, parent=ctx), rest)
        return name, command, rest


def check_given_once(command: Any, context: typer.Context, args: list[str]) -> None:
    """Check that no option with a value is given twice; ``--yes --yes`` says the same as ``--yes``.

    Raises:
        RequestError: one is; the message has its name.
    """
    _, _, order = command.make_parser(context).parse_args(args=list(args))
    counts = Counter(max(one.opts, key=len) for one in order if takes_one_value(one))
    for name, count in counts.items():
        if count > 1:
            raise RequestError(f"{name}: given {count} times, and it takes one value; leave the others out")


def takes_one_value(parameter: Any) -> bool:
    """Return whether a parameter is an option that takes a value, and takes it once."""
    return parameter.param_type_name == "option" and not parameter.multiple and not parameter.is_flag
