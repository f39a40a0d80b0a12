"""Values are found in the spellings that texts write them in."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from llmx.evidence import Aligner, Alignment, supported

DAY = datetime.date(2024, 3, 5)


def span(value: Any, text: str) -> str | None:
    found = supported(value, text)
    return found and text[found.start : found.end]


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (1234.5, "paid 1,234.50 EUR", "1,234.50"),
        (1234.5, "gezahlt: 1.234,50 €", "1.234,50"),
        (1234.5, "payé 1 234,50 €", "1 234,50"),
        (1234, "1’234 Fr.", "1’234"),
        (1234, "exactly 1\xa0234 kg", "1\xa0234"),
        (1234567, "Rs 12,34,567", "12,34,567"),
        (1000, "1.000 Stück", "1.000"),
        (Decimal("1.5"), "1,5 l", "1,5"),
        (5_000_000, "some $5M of it", "5M"),
        (2_500_000, "2,5 Millionen", "2,5 Millionen"),
        (30_000, "有3万人", "3万"),
        (0.25, "a quarter, 25 %, of it", "25 %"),
        (25, "a quarter, 25 %, of it", "25"),
        (-5, "at −5 °C", "−5"),
        (5, "3-5 days", "5"),
        (2024, "in 2024.", "2024"),
        (2024, "سنة ٢٠٢٤", "٢٠٢٤"),
        (3, "(3)", "3"),
        (12.0, "12 of them", "12"),
        (5, "5kg", "5"),
        ("1234.50", "1,234.50", "1,234.50"),
    ],
)
def test_numbers(value: Any, text: str, expected: str):
    """Groups and fractions as in English, German, French, Swiss and Indian texts, scales and per cent."""
    assert expected == span(value, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "v1.12.3"),
        (12, "a12 é12 é-12"),
        (12, "12.5 and 12,5"),
        (1234, "1,234.50"),
        (234, "1,234"),
        (100, "100,200"),
        (-5, "2019-5"),
        (5, "-5"),
        (19, "COVID-19"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (0, "1" * 5_000),
        ("2024-13-45", "13/45/2024"),
    ],
)
def test_other_numbers(value: Any, text: str):
    """Parts of numbers, versions, names and dates are not the number."""
    assert supported(value, text) is None


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-05", "2024/03/05", "5/3/2024", "3/5/2024", "3/5/24", "05.03.2024", "5. 3. 2024", "20240305",
        "5-Mar-2024", "5 March 2024", "March 5th, 2024", "5th of March, 2024", "Mar. 5, 2024", "2024 Mar 5",
        "5. März 2024", "5 mars 2024", "5 de marzo de 2024", "5 março 2024", "5 marzo 2024", "5 maart 2024",
        "5 марта 2024", "5 مَارِس ٢٠٢٤", "2024年3月5日", "2024년 3월 5일",
    ],
)  # fmt: skip
def test_dates(text: str):
    """A date in figures of any order, and with a month's name in ten languages."""
    assert text == span(DAY, f"on {text}, they said")
    assert text == span("2024-03-05", f"on {text}, they said")


@pytest.mark.parametrize("month", range(1, 13))
def test_months(month: int):
    """Every month is found by its name and its abbreviation, and is no other month."""
    day = datetime.date(2023, month, 21)
    for form in ("%d %B %Y", "%b %d, %Y"):
        found = [
            other for other in range(1, 13) if supported(datetime.date(2023, other, 21), day.strftime(form))
        ]
        assert [month] == found


@pytest.mark.parametrize(
    "text",
    ["15/3/2024", "5/3/20245", "March 5", "Martin 5, 2024", "5 mai 2024", "5 мая 2024", "2024-03-15", ""],
)
def test_other_dates(text: str):
    """Another day, month or year, or no year at all."""
    assert supported(DAY, text) is None


def test_a_day_of_a_time():
    """Of a time, the day is looked for."""
    moment = datetime.datetime(2024, 3, 5, 10, 30, tzinfo=datetime.UTC)
    assert Alignment(3, 13, "exact") == supported(moment, "at 2024-03-05T10:30Z")
    assert "5 March 2024" == span("2024-03-05T10:30:00Z", "half past ten on 5 March 2024")


def test_a_date_within_chinese():
    """Chinese and Japanese put no spaces around a date."""
    assert "2024年3月5日" == span(DAY, "公司于2024年3月5日在北京开会")


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        ("art", "a party", None),
        ("art", "a party of art", "art"),
        ("12", "in 2012, 1.12 and 12,5", None),
        ("2024-03-05", "2024-03-051", None),
        ("회사", "회사가 말했다", "회사"),
        ("كتاب", "قرأت الكتاب", "كتاب"),
        ("北京", "公司在北京开会", "北京"),
    ],
)
def test_words_are_no_parts_of_words(value: str, text: str, expected: str | None):
    """A string is not found inside a Latin word or a number; other scripts write particles with their words."""
    assert expected == span(value, text)


def test_strings_and_lists():
    """A string is aligned, a list needs all of its elements; its match is the worst of theirs."""
    aligner = Aligner("Anna, BOB and 3 others")
    assert Alignment(0, 4, "exact") == supported("Anna", aligner)
    assert Alignment(0, 15, "normalized") == supported(["Anna", "bob", 3], aligner)
    assert Alignment(0, 15, "exact") == supported([3, ["Anna"]], aligner)
    assert supported(["Anna", "Carl"], aligner) is None


@pytest.mark.parametrize("value", [True, False, None, "", [], {}, {"a": "Anna"}, object()])
def test_nothing_to_look_for(value: Any):
    """Truth values, nothing, and objects are written nowhere."""
    assert supported(value, "True False None Anna {} 1 0") is None
