"""Names that stand twice in a JSON object.

JSON allows them and says nothing of what they mean (RFC 8259, section 4); every parser here keeps the last
value and drops the others in silence. They are found by counting: an object of n values whose text has n
colons cannot have lost any. Only where that does not settle it is the text read once more.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

__all__ = ["NameTwice", "check_names", "lossy_elements"]

_CONTAINERS = frozenset({dict, list})

# The end of a name; within a text it is rare, though a text that holds JSON is full of it.
_NAME_END = re.compile(rb'"[ \t\r\n]*:')


class NameTwice(orjson.JSONDecodeError):
    """An object has two values under one name.

    Args:
        name: the name, as it is meant: without escapes.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} stands twice in one object", "", 0)


def check_names(text: bytes, value: Any) -> None:
    """Make sure that `value`, which `exact` has made of `text`, has lost nothing. Raises NameTwice."""
    if not _all_there(text, value) and (name := _first(_READER.decode(text.decode()))) is not None:
        raise NameTwice(name)


def lossy_elements(text: bytes | bytearray, elements: list[Any]) -> dict[int, tuple[NameTwice, str]]:
    """The elements of an array that have lost something: by their index, why, and their own text.

    Args:
        text: of the array.
        elements: what `exact` has made of it.
    """
    if _all_there(text, elements):
        return {}
    again = enumerate(_elements(text.decode()))
    return {
        index: (NameTwice(name), raw) for index, (value, raw) in again if (name := _first(value)) is not None
    }


def _elements(text: str) -> Iterator[tuple[Any, str]]:
    """The values of an array that is known to be one, each with its text."""
    place = _next(text, text.index("[") + 1)
    while text[place] != "]":
        value, end = _READER.raw_decode(text, place)
        yield value, text[place:end]
        place = _next(text, end)


def _next(text: str, place: int) -> int:
    found = _BETWEEN.match(text, place)
    return found.end() if found else place


def _all_there(text: bytes | bytearray, value: Any) -> bool:
    """Whether the text has no more names than the value; False also where that is not sure."""
    names = _count(value) if type(value) in _CONTAINERS else 0
    if text.count(b":") == names:
        return True
    return len(_NAME_END.findall(text)) == names


def _count(value: dict[str, Any] | list[Any]) -> int:
    own, inner = (len(value), value.values()) if isinstance(value, dict) else (0, value)
    if _CONTAINERS.isdisjoint(map(type, inner)):
        return own
    return own + sum(_count(below) for below in inner if type(below) in _CONTAINERS)


class _Twice(str):
    """Stands where an object has this name twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    return _Twice(Counter(name for name, _ in pairs).most_common(1)[0][0])


# Numbers are not looked at: of the longest ones the standard library refuses to make integers.
_READER = json.JSONDecoder(object_pairs_hook=_object, parse_int=len, parse_float=len, parse_constant=len)
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def _first(value: Any) -> str | None:
    if isinstance(value, _Twice):
        return str(value)
    if not isinstance(value, dict | list):
        return None
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return next((found for found in map(_first, inner) if found is not None), None)
