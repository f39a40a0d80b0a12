"""Values of a row on their way out: as JSON, as flat cells."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Container, Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

import orjson
from pydantic import TypeAdapter

__all__ = ["flatten", "plain", "to_json"]


def to_json(value: Any, *, sort_keys: bool = False) -> bytes:
    """Compact JSON in UTF-8.

    Beyond JSON's own types: dates, times, UUIDs, enums and dataclasses as orjson writes them, NaN as null,
    decimals as strings (a float would lose digits), bytes as text or else base64, sets as arrays, pydantic
    models as objects. Integers beyond 64 bits and lone surrogates go through the standard library.

    Raises:
        TypeError: a value of any other type.
    """
    try:
        return orjson.dumps(value, default=plain, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except orjson.JSONEncodeError:
        return _by_the_standard_library(value, sort_keys=sort_keys)


def flatten(
    row: Mapping[str, Any], whole: Container[str] = (), prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """The leaves of nested objects under their dotted names; a list, an empty object or one of `whole` is a leaf."""
    for name, value in row.items():
        path = prefix + name
        if isinstance(value, Mapping) and value and path not in whole:
            yield from flatten(value, whole, f"{path}.")
        else:
            yield path, value


def plain(value: Any) -> Any:
    """For orjson, a value of JSON's types for one that it does not know. Raises TypeError: there is none."""
    if isinstance(value, timedelta):
        return TypeAdapter(timedelta).dump_python(value, mode="json")  # as ISO 8601, like a model's
    if isinstance(value, Decimal | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _text_of(bytes(value))
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"no JSON for a value of type {type(value).__name__}")


def _by_the_standard_library(value: Any, *, sort_keys: bool) -> bytes:
    try:
        return _encoded(value, sort_keys=sort_keys, ensure_ascii=False)
    except UnicodeEncodeError:  # a lone surrogate: JSON can only spell it as an escape
        return _encoded(value, sort_keys=sort_keys, ensure_ascii=True)


def _encoded(value: Any, **options: bool) -> bytes:
    encode = json.JSONEncoder(
        default=_plain_or_date, separators=(",", ":"), allow_nan=False, **options
    ).encode
    try:
        text = encode(value)
    except ValueError:  # NaN or an infinity, for which it has no null
        text = encode(_without_nan(value))
    return text.encode()


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _without_nan(inner) for name, inner in value.items()}
    return [_without_nan(inner) for inner in value] if isinstance(value, list | tuple) else value


def _plain_or_date(value: Any) -> Any:
    """For the standard library, which knows none of the types that orjson knows beyond JSON's own."""
    try:
        return orjson.loads(orjson.dumps(value, default=plain))
    except orjson.JSONEncodeError:
        return plain(value)


def _text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64.b64encode(data).decode()
