"""Lines of CSV."""

from __future__ import annotations

import csv
import datetime
import decimal
from collections.abc import Iterable
from typing import Any

import pytest

from llmx.records.cells import DelimitedEncoder


def lines(
    *rows: dict[str, Any], columns: Iterable[str] = (), whole: Iterable[str] = (), safe: bool = False
) -> list[str]:
    known = dict.fromkeys(columns, False) | dict.fromkeys(whole, True)
    encoder = DelimitedEncoder(",", known, safe=safe)
    return [encoder.header(rows[0]).decode(), *(encoder.encode(row).decode() for row in rows)]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (float("nan"), ""),
        (float("-inf"), ""),
        (True, "true"),
        (-5, "-5"),
        (1e16, "1e+16"),
        ("a\rb", '"a\rb"'),
        ('a"b', '"a""b"'),
        ([1, {"a": None}], '"[1,{""a"":null}]"'),
        ([], "[]"),
        ({}, "{}"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (decimal.Decimal("1.10"), "1.10"),
    ],
)
def test_a_value_has_one_cell(value: Any, cell: str) -> None:
    """Text as it is, the rest as JSON writes it."""
    assert lines({"x": 1, "v": value})[1] == f"1,{cell}\n"


def test_a_single_empty_cell_is_no_blank_line() -> None:
    """It would be skipped by every reader."""
    assert lines({"a": None}) == ["a\n", '""\n']


def test_the_header_is_the_known_names_and_the_first_rows() -> None:
    """In this order; a known object gives place to its leaves."""
    header, row = lines({"a": 1, "o": {"x": 2, "y": 3}, "new": 4}, columns=["o", "b", "a"])

    assert (header, row) == ("o.x,o.y,b,a,new\n", "2,3,,1,4\n")


def test_an_object_stays_whole_where_its_name_is_in_the_header() -> None:
    """The first row had none, so its leaves were not known."""
    assert lines({"o": None}, {"o": {"x": 1}}, columns=["o"])[2] == '"{""x"":1}"\n'


@pytest.mark.parametrize("first", [{"o": None}, {"o": {}}, {"o": {"p": None}}, {}, {"o": {"y": 2}}])
def test_known_leaves_stand_whatever_the_first_row_holds(first: dict[str, Any]) -> None:
    """A column of its own for the object would be empty for ever."""
    known = ["o.p.x", "o.y"]
    header, _, row = lines(first, {"o": {"p": {"x": [1]}, "y": {"z": 2}}}, whole=known)
    assert (header, row) == ("o.p.x,o.y\n", '[1],"{""z"":2}"\n')


def test_a_known_column_keeps_its_place_though_its_first_value_is_null() -> None:
    """Another column may be called like a part of it."""
    rows = [{"place": None, "place.lat": 1}, {"place": "Rome", "place.lat": 2}]
    assert lines(*rows, columns=["place", "place.lat"]) == ["place,place.lat\n", ",1\n", "Rome,2\n"]


def test_what_is_no_object_keeps_its_column_beside_the_parts_of_one() -> None:
    """Rows of JSON Lines may hold anything."""
    assert lines({"o": 0}, {"o": False, "o.x": 2}, columns=["o.x"]) == ["o.x,o\n", ",0\n", "2,false\n"]


@pytest.mark.parametrize("row", [{"o.x": 1, "o": {"x": 2}}, {"o": {"x": 2}, "o.x": 1}], ids=["first", "last"])
def test_an_object_stays_whole_where_a_parts_name_is_taken(row: dict[str, Any]) -> None:
    """Of two values under one name, one would be lost."""
    header, line = lines(row, columns=row)[:2]
    assert dict(zip(*csv.reader([header, line]), strict=True)) == {"o.x": "1", "o": '{"x":2}'}


def test_columns_that_the_header_lacks_are_counted_once() -> None:
    """Nothing is lost in silence."""
    encoder = DelimitedEncoder(",", {"a": False}, safe=False)
    encoder.header({})
    for row in ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": None}):
        assert encoder.encode(row) == b"1\n"

    assert encoder.warnings() == [
        "columns that the header lacks were left out of 2 rows: 'b', 'c'; JSON Lines keeps them"
    ]


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-a", "@x", "\tx", "\rx", "-5+cmd|' /C calc'!A0"])
def test_safe_cells_do_not_run(text: str) -> None:
    """A spreadsheet shows the apostrophe to nobody and the formula as text."""
    assert lines({"x": 1, "v": text}, safe=True)[1].split(",", 1)[1].strip('"\n').startswith("'" + text[0])
    assert "'" + text[0] not in lines({"x": 1, "v": text})[1]


@pytest.mark.parametrize("value", [-5, "-5", "+1.5", "-1e-7", "a=b", ""])
def test_numbers_and_plain_text_stay_as_they_are(value: Any) -> None:
    """Even when they begin with a sign."""
    assert lines({"x": 1, "v": value}, safe=True)[1] == f"1,{value}\n"


def test_safe_headers_do_not_run_either() -> None:
    """Their names come from data too."""
    assert lines({"=x": 1}, safe=True)[0] == "'=x\n"


def test_half_a_surrogate_pair_is_escaped_and_told() -> None:
    """UTF-8 has no bytes for it."""
    encoder = DelimitedEncoder(",", {"a": False}, safe=False)
    encoder.header({})

    assert encoder.encode({"a": "\ud800"}) == b"\\ud800\n"
    assert len(encoder.warnings()) == 1
