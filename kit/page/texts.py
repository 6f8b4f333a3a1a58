"""Texts of models and files for a page: control characters, and marks that turn the writing around, are written out."""

from typing import Any

from kit.report.escapes import NOT_ASCII, escaped, shows


def clean(text: str) -> str:
    r"""Return a text that shows what is in it: ``\u202e`` for a mark, a line break and a tab as they are.

    Lone halves of characters, which no UTF-8 has, are written out too, so that every text can be encoded.
    """
    return NOT_ASCII.sub(lambda found: found[0] if found[0] == "\t" or shows(found[0]) else escaped(found[0]), text)


def clean_all(value: Any) -> Any:
    """Return a JSON value in which every text, also each key, is clean."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): clean_all(one) for key, one in value.items()}
    return [clean_all(one) for one in value] if isinstance(value, list | tuple) else value
