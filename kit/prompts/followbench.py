"""FollowBench's wording for its judge, read from its own file at the pinned commit; nothing of it is in this tree.

The file builds a prompt in a function for each kind of constraints, from the instructions of an item, level 0 first,
and an answer. The functions are read and not run: :class:`PathSource` knows the few statements that they are made of.
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import TypeAlias

from kit.prompts import paper, pins
from kit.prompts.literals import Source
from kit.records import Turn

Value: TypeAlias = str | int | Sequence[str]
"""The value of a name in such a function: a text, a number, or the instructions of an item."""

MOST_ROUNDS = 100
"""The most rounds of a function's loops together; five levels need four."""
MOST_CHARACTERS = 100_000
"""The most characters of a text that a function builds; the longest prompt has some 1,000 beside what it is given."""


def read(folder: Path) -> Mapping[str, tuple[Turn, ...]]:
    """Return the prompt of each kind of constraints and each level: ``followbench.style.2`` -> one user turn.

    Args:
        folder: holds the file by its path in the repository (``code/gpt4_based_evaluation.py``).

    Raises:
        RequestError: the file is missing, or a prompt reads otherwise than pinned.
    """
    pinned = pins.read("followbench")
    sources = {file: PathSource(pinned.text(folder / file, file), str(folder / file)) for file in pinned.files}
    return {pin.id: (Turn(role="user", content=template(sources[pin.file], pin)),) for pin in pinned.prompts}


def template(source: "PathSource", pin: pins.Pin) -> str:
    """Return one prompt with its ``{placeholders}``, ``{instruction_0}`` to ``{answer}``.

    Raises:
        RequestError: its function does more than build a text, or the text does not have the pinned sha256.
    """
    *instructions, answer = pin.markers()
    return paper.checked(source, pin, source.built(pin.function, instructions, answer))


class PathSource(Source):
    """A parsed file with functions that build a text from a list of instructions and an answer."""

    def built(self, name: str, instructions: Sequence[str], answer: str) -> str:
        """Return the text that a function builds, without running it.

        Raises:
            RequestError: it does anything else, or takes other arguments.
        """
        function = self.function(name)
        parameters = [parameter.arg for parameter in function.args.args]
        if len(parameters) != 2:
            raise self._unreadable(function)
        names: dict[str, Value] = {parameters[0]: instructions, parameters[1]: answer}
        *body, last = function.body
        self.rounds = 0
        self._follow(body, names)
        if not isinstance(last, ast.Return) or last.value is None:
            raise self._unreadable(last)
        return self._text_of(last.value, names)

    def _follow(self, statements: Sequence[ast.stmt], names: dict[str, Value]) -> None:
        """Follow assignments, ``+=``, ``if a == b`` and ``for i in range(a, b)``; ``names`` gets what they assign."""
        for statement in statements:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = self._value(value, names)
                case ast.AugAssign(target=ast.Name(id=name) as target, op=ast.Add(), value=value):
                    both = ast.BinOp(left=target, op=ast.Add(), right=value)
                    names[name] = self._value(ast.copy_location(both, statement), names)
                case ast.If(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]), body=yes, orelse=no):
                    self._follow(yes if self._value(left, names) == self._value(right, names) else no, names)
                case ast.For(
                    target=ast.Name(id=name),
                    iter=ast.Call(func=ast.Name(id="range"), args=[first, end], keywords=[]),
                    body=body,
                    orelse=[],
                ):
                    numbers = range(self._number(first, names), self._number(end, names))
                    for number in numbers:
                        self.rounds += 1
                        if self.rounds > MOST_ROUNDS:
                            raise self._unreadable(statement)
                        names[name] = number
                        self._follow(body, names)
                case _:
                    raise self._unreadable(statement)

    def _value(self, node: ast.expr, names: Mapping[str, Value]) -> Value:
        """Return the value of an expression."""
        found: Value
        match node:
            case ast.Constant(value=str() | int() as value) if not isinstance(value, bool):
                found = value
            case ast.Name(id=name) if name in names:
                found = names[name]
            case ast.Call(func=ast.Name(id="len"), args=[inner], keywords=[]):
                found = len(self._items(inner, names))
            case ast.Subscript(value=inner, slice=index):
                found = self._item(inner, index, names)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                found = self._number(left, names) - self._number(right, names)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                if isinstance(self._value(left, names), int):
                    found = self._number(left, names) + self._number(right, names)
                else:
                    found = self._text_of(left, names) + self._text_of(right, names)
            case ast.Call(func=ast.Attribute(value=inner, attr="format"), args=args, keywords=keywords):
                named = {keyword.arg or "": self._value(keyword.value, names) for keyword in keywords}
                given = [self._value(arg, names) for arg in args]
                found = self._filled(node, self._text_of(inner, names), given, named)
            case _:
                raise self._unreadable(node)
        if isinstance(found, str) and len(found) > MOST_CHARACTERS:
            raise self._unreadable(node)
        return found

    def _filled(self, node: ast.expr, text: str, given: Sequence[Value], named: Mapping[str, Value]) -> str:
        """Return ``text.format(...)`` where its fields are names alone: a width such as 9999999 fills the memory."""
        try:
            fields = [(name or "", spec or "", conversion) for _, name, spec, conversion in Formatter().parse(text)]
            if all(
                not spec and not conversion and (not name or name.isidentifier() or name.isdigit())
                for name, spec, conversion in fields
            ):
                return text.format(*given, **named)
        except (ValueError, KeyError, IndexError) as error:
            raise self._unreadable(node) from error
        raise self._unreadable(node)

    def _text_of(self, node: ast.expr, names: Mapping[str, Value]) -> str:
        """Return the value of an expression that is a text."""
        found = self._value(node, names)
        if not isinstance(found, str):
            raise self._unreadable(node)
        return found

    def _number(self, node: ast.expr, names: Mapping[str, Value]) -> int:
        """Return the value of an expression that is a number."""
        found = self._value(node, names)
        if not isinstance(found, int):
            raise self._unreadable(node)
        return found

    def _items(self, node: ast.expr, names: Mapping[str, Value]) -> Sequence[str]:
        """Return the value of an expression that is the list of instructions."""
        found = self._value(node, names)
        if isinstance(found, str | int):
            raise self._unreadable(node)
        return found

    def _item(self, node: ast.expr, index: ast.expr, names: Mapping[str, Value]) -> str:
        """Return the instruction at an index of the list."""
        items, number = self._items(node, names), self._number(index, names)
        if not 0 <= number < len(items):
            raise self._unreadable(node)
        return items[number]
