"""Axes: fields of a setting that an experiment may give several values, and the types that say so.

A setting has one value in each field. From its type two more are made: one in which a field may hold a list (an
experiment), and one in which every field may be left out (what one value of an axis brings along). A field that is new
in the setting is therefore an axis at once.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import Discriminator, Field, Tag, TypeAdapter, ValidationError, WrapValidator, create_model

from kit.reading.documents import LIST, ONE, Strict
from kit.reading.values import MOST_NAMES

_KINDS = (str, int, float, bool)
MADE_FROM: dict[type[Strict], type[Strict]] = {}
"""A type that was made -> the setting's type that it was made from, whose docstrings are its fields' too."""


def _plain(value: Any, _: Any) -> Any:
    """Check that a value of an axis is a text, a number or a truth value."""
    if type(value) not in _KINDS:
        raise ValueError("wanted a text or a number")
    return value


Value: TypeAlias = Annotated[str | float, WrapValidator(_plain)]
"""One value of an axis: a name, a number, or true and false."""
Coordinates = Mapping[str, str | float]
"""axis -> value."""


def one_or_list(annotation: Any) -> Any:
    """Return the type of a field that holds one value, or a list of such values."""
    several = Annotated[list[annotation], Field(min_length=1, max_length=MOST_NAMES)]
    return Annotated[Annotated[annotation, Tag(ONE)] | Annotated[several, Tag(LIST)], Discriminator(one_or_list_tag)]


def one_or_list_tag(value: Any) -> str:
    """Return which of the two a value is."""
    return LIST if isinstance(value, list) else ONE


def with_lists(setting: type[Strict], name: str) -> type[Strict]:
    """Return the type with the setting's fields, each of which may hold a list."""
    fields: dict[str, Any] = {}
    for field, kind, info in _fields(setting):
        table = _table_in(kind)
        wider = with_lists(table, f"{name}.{field}") if table else one_or_list(_whole(kind, info))
        fields[field] = (wider | None if table and type(None) in get_args(kind) else wider, _bare(info))
    return _made(setting, name, fields)


def with_gaps(setting: type[Strict], name: str) -> type[Strict]:
    """Return the type with the setting's fields, each of which may be left out."""
    fields: dict[str, Any] = {}
    for field, kind, info in _fields(setting):
        table = _table_in(kind)
        narrow = with_gaps(table, f"{name}.{field}") if table else _whole(kind, info)
        fields[field] = (narrow, None)
    return _made(setting, name, fields)


def axis_paths(setting: type[Strict]) -> dict[str, tuple[str, ...]]:
    """Return where each axis stands in the setting; an axis is called by its field.

    Of two fields with one name (``temperature`` of ``evolve`` and of ``respond``) the second is called by its whole
    path: ``respond.temperature``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path, _ in sorted(_leaves(setting), key=lambda leaf: len(leaf[0]) > 1):  # the fields of the top come first
        found[".".join(path) if path[-1] in found else path[-1]] = path
    return found


def axis_types(setting: type[Strict]) -> dict[str, TypeAdapter[Any]]:
    """Return what checks a value of each axis."""
    kinds = dict(_leaves(setting))
    return {axis: TypeAdapter(kinds[path], config=None) for axis, path in axis_paths(setting).items()}


def value_at(document: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of tables; None where one of them is absent."""
    for part in path:
        document = None if document is None else getattr(document, part)
    return document


def place(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value at a path of tables."""
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def merge(document: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Write the fields of ``more`` into a document, table by table."""
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(document.get(name), dict):
            merge(document[name], value)
        else:
            document[name] = value


def paths_in(document: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value that stands in tables."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from paths_in(value, (*path, name))
        else:
            yield (*path, name)


def value_text(value: Any) -> str:
    """Return a value as TOML writes it, without quotation marks: how keys of ``by``, tables and messages name it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def coordinates_text(at: Coordinates) -> str:
    """Return ``evolver = a, round = 2``."""
    return ", ".join(f"{axis} = {value_text(value)}" for axis, value in at.items())


def checked_value(types: Mapping[str, TypeAdapter[Any]], axis: str, value: Any) -> Any:
    """Return a value in the axis's own type: 0 as 0.0 where numbers may have a fraction.

    Raises:
        ValueError: the axis takes no such value.
    """
    try:
        return types[axis].validate_python(value, strict=True)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(message[0].lower() + message[1:]) from error


def _fields(setting: type[Strict]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, annotation and description of each field."""
    for name, info in setting.model_fields.items():
        yield name, info.annotation, info


def _leaves(setting: type[Strict], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the type of each field that is no table."""
    for name, kind, info in _fields(setting):
        if table := _table_in(kind):
            yield from _leaves(table, (*path, name))
        else:
            yield (*path, name), _whole(kind, info)


def _table_in(kind: Any) -> type[Strict] | None:
    """Return the table of ``X`` or ``X | None``; None where the field holds a value."""
    for inner in (kind, *get_args(kind)):
        if isinstance(inner, type) and issubclass(inner, Strict):
            return inner
    return None


def _whole(kind: Any, info: Any) -> Any:
    """Return an annotation with the bounds that pydantic keeps beside it."""
    for bound in info.metadata:
        kind = Annotated[kind, bound]
    return kind


def _bare(info: Any) -> Any:
    """Return a field's default, without its bounds."""
    return Field() if info.is_required() else Field(default=info.default)


def _made(setting: type[Strict], name: str, fields: dict[str, Any]) -> type[Strict]:
    """Make a type of other fields, which says of itself what the setting's type says."""
    made = create_model(name, __base__=Strict, __doc__=setting.__doc__, **fields)
    MADE_FROM[made] = setting
    return made
