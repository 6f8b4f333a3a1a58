"""Texts as normalised words, which case, punctuation, markup and typography do not change."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from kit.overlap import GRAM

Gram: TypeAlias = tuple[bytes, ...]
"""Words that stand side by side."""
_PLAIN = bytes(code if chr(code).isdigit() or chr(code).islower() else 32 for code in range(128))
_ASCII = bytes(ord(chr(code).lower()) if chr(code).isupper() else _PLAIN[code] for code in range(128)) + b" " * 128
"""Table of ASCII: letters in small, digits as they are, all else a blank."""
_SIGNS = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without blanks between words: each sign of Chinese and Japanese is a word."""
_WORD = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+")


def words(text: str) -> list[bytes]:
    """Return the words of a text in UTF-8: runs of letters and digits in small letters, or single Chinese signs.

    Marks, white space and underscores part words and are left out; forms of one character (full-width letters,
    ligatures) are one. Numbers stay: the same exercise with other numbers is another exercise.
    """
    if text.isascii():
        return text.encode("ascii").translate(_ASCII).split()
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(plain)]


def texts_of(record: Mapping[str, Any]) -> list[str]:
    """Return the texts of a training record, whatever its format: every text in it, at any depth.

    An Alpaca record's instruction and input are one text, as they are asked together; grams run over no other bound.
    """
    rest = dict(record)
    asked = [rest.pop(name) for name in ("instruction", "input") if isinstance(rest.get(name), str)]
    return list(filter(None, ["\n".join(filter(None, asked)), *_inner(rest)]))


def excerpt(texts: Sequence[str], item: str, longest: int) -> str:
    """Return what is shown of a row that repeats an item: all, or the part where it begins to repeat it.

    Args:
        texts: the texts of the row.
        item: the item's text.
        longest: characters of what is shown whole.
    """
    if sum(map(len, texts)) + len(texts) - 1 <= longest:
        return "\n".join(texts)
    own = _grams_at(words(item))
    found = max(texts, key=lambda text: (len(own.keys() & _grams_at(words(text)).keys()), words(text) == words(item)))
    if len(found) <= longest:
        return found
    there = _grams_at(words(found))
    first = min((there[gram] for gram in own.keys() & there.keys()), default=0)
    start = next((match.start() for match in islice(_WORD.finditer(found), first, None)), 0)
    return f"...{found[start : start + longest]}" if start else found


def each_gram(found: Sequence[bytes]) -> Iterator[Gram]:
    """Return the grams of a text's words, one after the other."""
    return zip(*(islice(found, place, None) for place in range(GRAM)), strict=False)


def _grams_at(found: Sequence[bytes]) -> dict[Gram, int]:
    """Return the grams of a text's words, each with its first place."""
    at: dict[Gram, int] = {}
    for place, gram in enumerate(each_gram(found)):
        at.setdefault(gram, place)
    return at


def _inner(value: Any) -> Iterator[str]:
    """Yield the texts in a decoded JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _inner(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _inner(inner)
