"""The forms that a text may have: a number, a date, an address. Data for `llmx.schemas.inference`, no decisions."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

__all__ = [
    "ANY_FORM",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "EMAIL",
    "FRACTION",
    "INTEGER",
    "MEASURE",
    "URL",
    "forms_of",
]

INTEGER, FRACTION, BOOLEAN, DATE, DATETIME, EMAIL, URL, MEASURE = (1 << bit for bit in range(8))
ANY_FORM = (1 << 8) - 1
"""All of them: what is true of no text at all."""

# No leading zeros, which are a code's, and no more digits than a float keeps.
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?(?:Z|[+-][0-2][0-9]:[0-5][0-9])?"
)
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_URL = re.compile(r"https?://\S+")
_MEASURE = re.compile(r"[-+]?[0-9]+(?:[.,][0-9]+)*\s?[^\W\d_]{1,12}|[$€£¥]\s?[0-9]+(?:[.,][0-9]+)*", re.ASCII)
_BOOLEANS = frozenset({"true", "false", "yes", "no"})
_LONGEST = 100  # characters: a longer text has none of these forms, and is not looked at


def _valid(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except ValueError:
        return False
    return True


def forms_of(text: str) -> int:
    """Bits of all the forms that a text has."""
    if len(text) > _LONGEST:
        return URL if _URL.fullmatch(text) else 0
    first = text[:1]
    if first.isalpha():
        return _worded(text)
    forms = 0
    if _FRACTION.fullmatch(text):
        forms = FRACTION | (INTEGER if _INTEGER.fullmatch(text) else 0)
    elif _DATE.fullmatch(text) and _valid(datetime.date.fromisoformat, text):
        forms = DATE
    elif _DATETIME.fullmatch(text) and _valid(datetime.datetime.fromisoformat, text):
        forms = DATETIME
    elif _MEASURE.fullmatch(text):
        forms = MEASURE
    return forms | (EMAIL if "@" in text and _EMAIL.fullmatch(text) else 0)


def _worded(text: str) -> int:
    if text.lower() in _BOOLEANS:
        return BOOLEAN
    if "@" in text and _EMAIL.fullmatch(text):
        return EMAIL
    return URL if _URL.fullmatch(text) else 0
