"""JSON text into values, with every integer as it is.

orjson is many times faster than the standard library, but reads integers beyond 64 bits as floats, and so
loses their digits. What it gives is looked at, and only a text that may hold such a number is read again.
A number with a fraction or an exponent is a 64-bit float in both.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

__all__ = ["SUSPECT", "exact", "loads", "loads_object"]

SUSPECT = frozenset({float, dict, list})
"""Types of values with which a rounded integer may have come: it is a float. A row without them needs no `exact`."""

_SAFE_DEPTH = 200
"""Brackets that may be open at once in whatever can be written; orjson writes 254 levels."""

# 64 bits hold every integer of 18 digits. Searching in a translation is ten times as fast as a regex here.
_RUN = b"0" * 19
_DIGITS = bytes({".": ord(".")}.get(chr(byte), ord("0" if 48 <= byte < 58 else " ")) for byte in range(256))


def loads(text: bytes) -> Any:
    """The value. Raises orjson.JSONDecodeError for what is no JSON: NaN, a lone surrogate, too deep nesting."""
    return exact(text, orjson.loads(text))


def loads_object(line: bytes) -> dict[str, Any] | None:
    """One line of JSON Lines as an object; None when it is none."""
    try:
        try:
            value = loads(line)
        except ValueError:  # a lone surrogate, which only the standard library takes
            value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def exact(text: bytes | bytearray, value: Any) -> Any:
    """What `text` says, where `value` is what orjson has made of it.

    Raises:
        orjson.JSONDecodeError: it is nested more deeply than it could be written again.
    """
    if text.count(b"{") + text.count(b"[") > _SAFE_DEPTH:
        _check_depth(value)
    if not _has_long_integer(text.translate(_DIGITS)):
        return value
    try:
        return json.loads(text.decode())  # orjson has refused what is no JSON: NaN passes here
    except RecursionError as error:
        raise orjson.JSONDecodeError("nested too deeply for an integer beyond 64 bits", "", 0) from error


def _check_depth(value: Any) -> None:
    try:
        orjson.dumps(value)  # which goes less deep than its reader
    except TypeError as error:
        raise orjson.JSONDecodeError("nested too deeply", "", 0) from error


def _has_long_integer(digits: bytes | bytearray) -> bool:
    """Whether a run of digits is long and begins a number: floats have long fractions."""
    start = digits.find(_RUN)
    while start >= 0:
        if digits[start - 1 : start] not in (b".", b"0"):
            return True
        start = digits.find(_RUN, start + len(_RUN))
    return False
