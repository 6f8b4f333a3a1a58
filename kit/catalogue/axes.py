"""Axes are the fields of a setting that may have several values in an experiment; here are the types for them.

A setting has one value in each field. Two more types are made from its type: one in which each field may hold a list
(for an experiment), and one in which each field may be left out (for the fields that an experiment changes together
with one value of an axis). So a field that is added to the setting is an axis at once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    create_model,
)

from kit.errors import one_line, shown
from kit.reading.documents import LIST, ONE, Strict
from kit.reading.values import MOST_NAMES

_VALUE_TYPES = (str, int, float, bool)
MADE_FROM: dict[type[Strict], type[Strict]] = {}
"""A type that was made here -> the type that it was made from, whose docstrings describe the fields of both."""


def _check_value(value: Any, _: Any) -> Any:
    """Return a value of an axis after a check that it is a text, a number or a truth value."""
    if type(value) not in _VALUE_TYPES:
        raise ValueError("wanted a text or a number")
    return value


def _check_names(values: Any) -> Any:
    """Return a table of axes after a check that no axis holds a table: its name has a dot and no quotation marks."""
    for axis, inner in values.items() if isinstance(values, dict) else ():
        if isinstance(inner, dict) and inner:
            raise ValueError(quotation_marks(f"{axis}.{next(iter(inner))}"))
    return values


NamedByAxis = BeforeValidator(_check_names)
"""Check of a table whose keys are axes."""
_VALUE_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]}
Value: TypeAlias = Annotated[str | float, WrapValidator(_check_value), WithJsonSchema(_VALUE_SCHEMA)]
"""One value of an axis: a text, a number or a truth value."""
Coordinates = Mapping[str, str | float]
"""axis -> value, for some axes."""


def one_or_list(annotation: Any) -> Any:
    """Return the type of a field that may hold one value or a list of values."""
    several = Annotated[list[annotation], Field(min_length=1, max_length=MOST_NAMES)]
    return Annotated[Annotated[annotation, Tag(ONE)] | Annotated[several, Tag(LIST)], Discriminator(one_or_list_tag)]


def one_or_list_tag(value: Any) -> str:
    """Return the name of the type that a field's value has: one value, or a list."""
    return LIST if isinstance(value, list) else ONE


def _check_one_table(value: Any) -> Any:
    """Return the value of a field that holds a table after a check that it is no list of tables."""
    if isinstance(value, list):
        raise ValueError("wanted one table; the lists stand in its fields")
    return value


def with_lists(setting: type[Strict], name: str) -> type[Strict]:
    """Return a type with the setting's fields, in which each field may hold a list."""
    fields: dict[str, Any] = {}
    for field, annotation, info in _fields(setting):
        table = _table_in(annotation)
        wider = with_lists(table, f"{name}.{field}") if table else one_or_list(_with_bounds(annotation, info))
        if table:
            wider = wider | None if type(None) in get_args(annotation) else wider
            wider = Annotated[wider, BeforeValidator(_check_one_table)]
        fields[field] = (wider, _default(info))
    return _make_type(setting, name, fields)


def with_optional_fields(setting: type[Strict], name: str) -> type[Strict]:
    """Return a type with the setting's fields, in which each field may be left out."""
    fields: dict[str, Any] = {}
    for field, annotation, info in _fields(setting):
        table = _table_in(annotation)
        inner = with_optional_fields(table, f"{name}.{field}") if table else _with_bounds(annotation, info)
        fields[field] = (inner, None)
    return _make_type(setting, name, fields)


def axis_paths(setting: type[Strict]) -> dict[str, tuple[str, ...]]:
    """Return the path of each axis in the setting, by the axis's name, which is its field's name.

    Where two fields have the same name (``temperature`` of ``evolve`` and of ``respond``), the second axis is named by
    its whole path: ``respond.temperature``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path, _ in sorted(_leaves(setting), key=lambda leaf: len(leaf[0]) > 1):  # fields outside tables come first
        found[".".join(path) if path[-1] in found else path[-1]] = path
    return found


def axis_types(setting: type[Strict]) -> dict[str, TypeAdapter[Any]]:
    """Return, for each axis, the type that checks its values."""
    annotations = dict(_leaves(setting))
    return {axis: TypeAdapter(annotations[path], config=None) for axis, path in axis_paths(setting).items()}


def value_at(document: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path of nested tables; None where one of the tables is absent."""
    for part in path:
        document = None if document is None else getattr(document, part)
    return document


def set_value(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set the value at a path of nested tables, and make the tables that are absent."""
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def merge(document: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Write the fields of ``changes`` into a document; fields of nested tables are written one by one."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            merge(document[name], value)
        else:
            document[name] = value


def value_paths(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value in nested tables."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from value_paths(value, (*path, name))
        else:
            yield (*path, name)


def value_text(value: Any) -> str:
    """Return a value as text without quotation marks, for tables and for messages; truth values as TOML has them."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def quotation_marks(name: str) -> str:
    """Return a sentence on a name that TOML has read as several keys, since no quotation marks stand around it."""
    return f'a name with a dot stands in quotation marks, "{one_line(name, 60)}"'


def coordinates_text(at: Coordinates) -> str:
    """Return coordinates as a text for messages: ``evolver = a, round = 2``."""
    return ", ".join(f"{axis} = {value_text(value)}" for axis, value in at.items())


def checked_value(types: Mapping[str, TypeAdapter[Any]], axis: str, value: Any) -> Any:
    """Return a value in the type of its axis: 0 becomes 0.0 where the axis takes fractions.

    Raises:
        ValueError: the axis takes no such value.
    """
    try:
        return types[axis].validate_python(value, strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(message[0].lower() + message[1:]) from error


def check_no_repeats(lists: Mapping[str, Sequence[object]]) -> None:
    """Check that no list holds a value twice, since the second would replace the first in silence.

    Args:
        lists: name of a field -> its values.

    Raises:
        ValueError: a value stands twice.
    """
    for field, values in lists.items():
        if repeated := [value for value, count in Counter(values).items() if count > 1]:
            raise ValueError(f"{field}: {shown(repeated[0])} stands twice")


def _fields(setting: type[Strict]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, annotation and pydantic's description of each field."""
    for name, info in setting.model_fields.items():
        yield name, info.annotation, info


def _leaves(setting: type[Strict], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the type of each field that is no table, at any depth."""
    for name, annotation, info in _fields(setting):
        if table := _table_in(annotation):
            yield from _leaves(table, (*path, name))
        else:
            yield (*path, name), _with_bounds(annotation, info)


def _table_in(annotation: Any) -> type[Strict] | None:
    """Return the type of the table that a field holds, or None if the field holds a value."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, Strict):
            return inner
    return None


def _with_bounds(annotation: Any, info: Any) -> Any:
    """Return an annotation together with the field's bounds, which pydantic keeps apart from it."""
    for bound in info.metadata:
        annotation = Annotated[annotation, bound]
    return annotation


def _default(info: Any) -> Any:
    """Return a field description that has a field's default and none of its bounds."""
    return Field() if info.is_required() else Field(default=info.default)


def _make_type(setting: type[Strict], name: str, fields: dict[str, Any]) -> type[Strict]:
    """Return a new type with these fields and with the docstring of the setting's type."""
    made = create_model(name, __base__=Strict, __doc__=setting.__doc__, **fields)
    MADE_FROM[made] = setting
    return made
