"""What one value of a field is: nothing, a text, a number, a truth, a list; and what a text may stand for.

Files differ in what they can say: a cell of CSV is text whatever it means, JSON tells types apart. All reading of
one as the other is here. Nothing here knows of two sides to compare.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

import orjson

from llmx.records.values import to_json

__all__ = ["Kind", "as_boolean", "as_list", "as_number", "as_text", "is_blank", "kind_of", "normalized"]

Kind = Literal["text", "number", "boolean", "list", "object"]
"""What JSON tells apart, null aside."""

_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?")

_LONGEST_NUMBER = 400
"""Characters of a text that is read as a number; CPython refuses to make integers of over 4,300 digits."""


def is_blank(value: Any) -> bool:
    """Whether nothing is there: null, NaN, a text of blanks, an empty list or object; all are the same here.

    A cell of CSV cannot tell null from an empty text, nor an absent list from an empty one.
    """
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, (list, dict, tuple)) and not value  # a union takes twice as long


def kind_of(value: Any) -> Kind:
    """Of a value that is not blank; dates and whatever else is no type of JSON are text."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, list | tuple) else "text"


def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON: objects with sorted names and without what is blank, 3.0 as `3`."""
    if isinstance(value, str):
        return value
    written = to_json(_canonical(value), sort_keys=True).decode()
    return written[1:-1] if not isinstance(value, list | tuple) and written[:1] == '"' else written


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _canonical(inner) for name, inner in value.items() if not is_blank(inner)}
    if isinstance(value, list | tuple):
        return [_canonical(inner) for inner in value]
    return _whole(value) if isinstance(value, float) else value


def _whole(number: float) -> int | float:
    """An integer where the number is one: 3 for 3.0, as CSV and some columns of Parquet have it."""
    return int(number) if number.is_integer() else number


def as_number(value: Any) -> int | float | None:
    """The number that a value is, or that a text writes out in digits; None for others.

    Thousands separators and units are not read: `1,234` is 1.234 in half of the world.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return _whole(value)
    if not isinstance(value, str) or len(value) > _LONGEST_NUMBER:
        return None
    text = value.strip()
    if not text.isascii() or not _NUMBER.fullmatch(text):
        return None
    digits = text.lstrip("+-")
    return int(text) if digits.isdecimal() else _whole(float(text))


def as_boolean(value: Any) -> bool | None:
    """The truth that a value is; of text and numbers true, yes and 1, false, no and 0; None for others."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    return _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else None


def as_list(value: Any) -> list[Any] | None:
    """The list that a value is, or that a text writes out as JSON; None for others."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return None
    try:
        read = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, list) else None


def normalized(text: str) -> str:
    """The text for comparison whatever its case, white space and Unicode form.

    Compatibility caseless matching: The Unicode Standard, section 3.13, definition D146,
    https://www.unicode.org/versions/latest/core-spec/chapter-3/#G34145; then blanks are one space, or none at
    the ends.
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())
