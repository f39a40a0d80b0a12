"""Values to spans: whether a value occurs in a text, for a value that a model gave no quote for.

Beside `aligner`, which finds texts; numbers and dates are found here in their usual spellings. It proves only that the
value is written there, not that it is the field's: 12 may be the age or the number of the house. A truth value is
written nowhere, and has no evidence of this kind.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from llmx.evidence.aligner import Aligner
from llmx.evidence.normal import NormalForm, normal
from llmx.evidence.spans import Alignment

__all__ = ["supported"]

# A letter or digit of a script that puts spaces between words; those of Chinese, Japanese and Korean stand next to numbers.
_LETTER = r"[^\W\u1100-\u11ff\u2e80-\U0003ffff]"

# Groups of three digits (two in India) apart by a comma, point, space or apostrophe, or digits alone; then a fraction.
# The look-behind keeps a part of a longer number, of a version and of a word from being a number.
_NUMBER = re.compile(
    rf"(?<!{_LETTER})(?<![.,\u0300-\u036f])(?<![^\W\d]-)(?<![\u0300-\u036f]-)(?P<sign>(?:(?<![)])-)?)(?P<digits>\d{{1,3}}(?:(?P<group>[,.' ])\d{{2,3}}(?:(?P=group)\d{{2,3}})*)?(?!\d)|\d+)"
    r"(?:(?P<mark>[.,])(?P<fraction>\d+))?(?![.,]?\d)(?: ?(?P<scale>[%万萬亿億]|[^\W\d_]+\b))?"
)

_SCALES = {
    "%": Decimal("0.01"),
    **dict.fromkeys(("k", "thousand", "tausend", "tsd", "mille", "mil", "тыс", "الف"), Decimal(1_000)),
    **dict.fromkeys(("m", "mm", "mio", "million", "millions", "millionen", "millones"), Decimal(1_000_000)),
    **dict.fromkeys(
        ("b", "bn", "mrd", "billion", "billions", "milliarden", "milliards"), Decimal(1_000_000_000)
    ),
    **dict.fromkeys(("万", "萬"), Decimal(10_000)),
    **dict.fromkeys(("亿", "億"), Decimal(100_000_000)),
}
"""What is written instead of zeros."""

_LONGEST_NUMBER = 40
"""Characters of a number that are read: no quantity has more digits."""

# English, German, French, Spanish, Italian, Portuguese, Dutch, Arabic (as in Egypt and as in the Levant), Russian. Any
# beginning of three letters or more is an abbreviation.
_MONTHS = (
    "january januar janner janvier enero gennaio janeiro januari يناير января январь",
    "february februar fevrier febrero febbraio fevereiro februari فبراير شباط февраля февраль",
    "march marz maerz mrz mars marzo marco maart مارس آذار марта март",
    "april avril abril aprile ابريل نيسان апреля апрель",
    "may mai mayo maggio maio mei مايو أيار мая май",
    "june juni juin junio giugno junho يونيو حزيران июня июнь",
    "july juli juillet julio luglio julho يوليو تموز июля июль",
    "august aout agosto augustus اغسطس آب августа август",
    "september septembre septiembre settembre setembro سبتمبر أيلول сентября сентябрь",
    "october oktober octobre octubre ottobre outubro اكتوبر октября октябрь",
    "november novembre noviembre novembro نوفمبر ноября ноябрь",
    "december dezember decembre diciembre dicembre dezembro ديسمبر декабря декабрь",
)
_MARKS = re.compile("[\u0300-\u036f\u0653-\u0655]")
_AFTER_A_LETTER = "[\u0300-\u036f\u0653-\u0655]*"
"""Accents, and the hamza: marks of their own in the normal form, and left out as often as not."""

_YEAR, _MONTH, _DAY = (normal(sign) for sign in "년월일")

_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?", re.ASCII)
_SPLIT_WORD = re.compile("[\\dA-Za-z\u00c0-\u024f]{2}")
_SPLIT_NUMBER = re.compile(r"\d[.,]\d")
_PLAIN_NUMBER = re.compile(r"-?\d{1,40}(?:\.\d{1,40})?", re.ASCII)


def supported(value: Any, text: str | Aligner) -> Alignment | None:
    """Where a value is written in a text.

    Args:
        value: A string, number, date, or list of them, as in JSON or in Python; strings that are a date in ISO 8601 or a
            plain number are looked for as those, too.
        text: A row's text, or its aligner, which prepares it once for several values.

    Returns:
        The span; for a list, from its first to its last element, all of which have to be there. None for truth values,
        None, objects, empty values, and for what is not there.
    """
    aligner = Aligner(text) if isinstance(text, str) else text
    if isinstance(value, list | tuple):
        return _all_supported(value, aligner)
    if isinstance(value, str):
        return _text(value, aligner)
    if isinstance(value, datetime.date):
        return _date(value, aligner)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return _number(Decimal(str(value)), aligner)


def _all_supported(values: list[Any] | tuple[Any, ...], aligner: Aligner) -> Alignment | None:
    """From the first element to the last one; the match is as good as the worst of theirs."""
    found = [supported(value, aligner) for value in values]
    spans = [span for span in found if span is not None]
    if not spans or len(spans) < len(values):
        return None
    worst = max((span.match for span in spans), key=("exact", "normalized", "fuzzy").index)
    return Alignment(min(span.start for span in spans), max(span.end for span in spans), worst)


def _text(value: str, aligner: Aligner) -> Alignment | None:
    """A string as it is, or what it says: a date, a number."""
    found = aligner.find(value)
    if found is not None and not (_splits(aligner.text, found.start) or _splits(aligner.text, found.end)):
        return found
    if _ISO_DATE.fullmatch(value):
        return _iso_date(value, aligner)
    return _number(Decimal(value), aligner) if _PLAIN_NUMBER.fullmatch(value) else None


def _splits(text: str, offset: int) -> bool:
    """Whether an offset is inside a word or a number: a 12 in 2012, an "art" in "party".

    Of Latin letters alone: Arabic, Korean and others write particles together with their words.
    """
    return bool(
        _SPLIT_WORD.fullmatch(text, max(0, offset - 1), offset + 1)
        or _SPLIT_NUMBER.search(text, max(0, offset - 2), offset + 2)
    )


def _iso_date(value: str, aligner: Aligner) -> Alignment | None:
    try:
        return _date(datetime.date.fromisoformat(value[:10]), aligner)
    except ValueError:  # 2024-13-45
        return None


def _number(value: Decimal, aligner: Aligner) -> Alignment | None:
    """A number in any usual spelling; NaN and infinity are none."""
    if not value.is_finite():
        return None
    form = aligner.form
    for match in _NUMBER.finditer(form.text):
        if len(match["digits"]) <= _LONGEST_NUMBER and (end := _end_of(value, match)) is not None:
            return _spelled(form, aligner.text, match.start(), end, format(value, "f"))
    return None


def _end_of(value: Decimal, match: re.Match[str]) -> int | None:
    """Where the number ends that has this value, its scale or per cent included or not; None if it has another."""
    readings = set(_readings(match))
    if value in readings:
        return match.end("fraction") if match["fraction"] else match.end("digits")
    scale = _SCALES.get(match["scale"] or "")
    if scale is not None and value in {reading * scale for reading in readings}:
        return match.end()
    return None


def _readings(match: re.Match[str]) -> Iterator[Decimal]:
    """What a number's spelling may mean: 1,234 is 1234 in English, and 1.234 in German."""
    digits, group, fraction = match["digits"], match["group"], match["fraction"]
    whole = digits.replace(group, "") if group else digits
    if _is_grouped(digits, group) and (group is None or match["mark"] != group):
        yield _decimal(match["sign"], whole, fraction)
    if group in (",", ".") and digits.count(group) == 1 and not fraction:
        yield _decimal(match["sign"], *digits.split(group))


def _is_grouped(digits: str, group: str | None) -> bool:
    """Whether the last group has three digits, as it has everywhere."""
    return group is None or len(digits.rsplit(group, 1)[1]) == 3


def _decimal(sign: str, whole: str, fraction: str | None) -> Decimal:
    try:
        return Decimal(f"{sign}{whole}.{fraction or 0}")
    except InvalidOperation:  # pragma: no cover - digits are all that the pattern lets through
        return Decimal("NaN")


def _date(value: datetime.date, aligner: Aligner) -> Alignment | None:
    """A date with its day, month and year; a time of day is not looked for."""
    form = aligner.form
    match = re.search(_date_pattern(value), form.text)
    if match is None:
        return None
    return _spelled(form, aligner.text, match.start(), match.end(), value.isoformat()[:10])


def _date_pattern(value: datetime.date) -> str:
    """The usual spellings of a date: figures in the orders of ISO 8601, Europe and America, and months by name."""
    year, day, month = rf"(?:{value.year:04}|'?{value.year % 100:02})", f"0?{value.day}", f"0?{value.month}"
    full = f"{value.year:04}"
    name = rf"(?:{_month_pattern(value.month)}){_AFTER_A_LETTER}\.?"
    nth = rf"{day}(?:st|nd|rd|th|er|\.|º|ª|o|a)?"
    spellings = [
        *(rf"{full}{mark}{month}{mark}{day}" for mark in ("-", "/", r"\.", r"\. ")),
        *(rf"{day}{mark}{month}{mark}{year}" for mark in ("-", "/", r"\.", r"\. ", " ")),
        *(rf"{month}{mark}{day}{mark}{year}" for mark in ("-", "/")),
        rf"{value:%Y%m%d}" if value.year >= 1000 else rf"{full}{value.month:02}{value.day:02}",
        rf"{nth}[ -](?:of |de |d')?{name}[, -]+(?:de |del )?{year}",
        rf"{name}[ -](?:the )?{nth},? {year}",
        rf"{full}[, -]+{name}[ -]{nth}",
        rf"{full}年{month}月{day}[日号號]",
        rf"{full}{_YEAR} ?{month}{_MONTH} ?{day}{_DAY}",
    ]
    return rf"(?<!{_LETTER})(?<![.,\u0300-\u036f-])(?<!\d/)(?:{'|'.join(spellings)})(?:(?=t\d)|(?!{_LETTER}))(?![/.,-]\d)"


@lru_cache(maxsize=12)
def _month_pattern(month: int) -> str:
    """A month's names and their beginnings, the longest first."""
    names = [_MARKS.sub("", normal(name)) for name in _MONTHS[month - 1].split(" ")]
    beginnings = {name[:end] for name in names for end in range(min(3, len(name)), len(name) + 1)}
    ordered = sorted(beginnings, key=lambda name: (-len(name), name))
    return "|".join(_AFTER_A_LETTER.join(map(re.escape, name)) for name in ordered)


def _spelled(form: NormalForm, text: str, start: int, end: int, usual: str) -> Alignment:
    """A span of the normal form: exact where the value is written as JSON has it."""
    first, last = form.span(start, end)
    return Alignment(first, last, "exact" if text[first:last] == usual else "normalized")
