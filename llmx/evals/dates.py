"""Dates as people and machines write them, into one form.

ISO 8601, numbers between dots, slashes or dashes, and English names of months. What can be read two ways is not
read: 03/05/2024 is in March for some and in May for others, unless somebody says which.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Any, Literal

__all__ = ["Order", "is_ambiguous", "is_iso_date", "same_form"]

Order = Literal["dmy", "mdy", ""]
"""How 03/05/2024 is meant: day first, month first, or nobody knows."""

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAMES = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "sept",
]

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d.*)?|\d{8}(?:T\d.*)?")
_YEAR_FIRST = re.compile(r"(\d{4})[/.\-](\d{1,2})[/.\-](\d{1,2})")
_DOTS = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})")
_SLASHES = re.compile(r"(\d{1,2})[/\-](\d{1,2})[/\-](\d{4})")
_DAY_MONTH = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ \-](?:of )?([a-z]+)\.?,?[ \-](\d{4})")
_MONTH_DAY = re.compile(r"([a-z]+)\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_WEEKDAY = re.compile(r"(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,? ")

_LONGEST = 60
"""Characters of a text that may be a date."""


def is_iso_date(text: str) -> bool:
    """Whether the text is a date, or a date and a time, in ISO 8601 with dashes."""
    return "-" in text and _iso(text.strip()) is not None


def is_ambiguous(value: Any) -> bool:
    """Whether a text is a date that can be read two ways."""
    match = _SLASHES.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST else None
    return match is not None and match[1] != match[2] and max(int(match[1]), int(match[2])) <= 12


def same_form(value: Any, order: Order = "") -> str | None:
    """One form for all ways to write a date, None for what is none.

    A date is `2024-03-05`, and so is its midnight where no time zone is told. A time with a zone is in UTC.

    Args:
        order: how to read numbers between slashes or dashes that can be read two ways; they are no date without.
    """
    if isinstance(value, datetime):
        return _written(value)
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    text = " ".join(value.split())
    found = _iso(text) or _numbers(text, order) or _named(_WEEKDAY.sub("", text.lower(), count=1))
    return None if found is None else _written(found)


def _written(moment: datetime) -> str:
    if moment.tzinfo is not None:
        try:
            return moment.astimezone(UTC).isoformat()
        except OverflowError:  # the first and the last day of the calendar
            return moment.isoformat()
    return moment.date().isoformat() if moment.time() == time() else moment.isoformat()


def _iso(text: str) -> datetime | None:
    if not _ISO.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _numbers(text: str, order: Order) -> datetime | None:
    if match := _YEAR_FIRST.fullmatch(text):
        return _day(match[1], match[2], match[3])
    if match := _DOTS.fullmatch(text):
        return _day(match[3], match[2], match[1])
    match = _SLASHES.fullmatch(text)
    if match is None or (is_ambiguous(text) and not order):
        return None
    first, second, year = match.groups()
    month_first = order == "mdy" if is_ambiguous(text) else int(second) > 12
    return _day(year, first, second) if month_first else _day(year, second, first)


def _named(text: str) -> datetime | None:
    if match := _DAY_MONTH.fullmatch(text):
        day, name, year = match.groups()
    elif match := _MONTH_DAY.fullmatch(text):
        name, day, year = match.groups()
    else:
        return None
    known = name in _MONTHS or name in _NAMES
    return _day(year, _MONTHS.index(name[:3]) + 1, day) if known else None


def _day(year: str, month: str | int, day: str) -> datetime | None:
    try:
        return datetime(int(year), int(month), int(day))
    except ValueError:
        return None
