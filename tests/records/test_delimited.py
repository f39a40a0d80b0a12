"""CSV and TSV."""

from __future__ import annotations

import io

import pytest

from llmx.errors import UnreadableRow, UsageError
from llmx.records.delimited import DelimitedReader


def reader(content: bytes, delimiter: str = ",", limit: int = 10**6) -> DelimitedReader:
    return DelimitedReader(io.BytesIO(content), "rows.csv", limit, delimiter=delimiter)


def told(content: bytes, limit: int = 10**6) -> list[object]:
    """The rows; an unreadable one as its message and raw text."""
    return [
        (str(row), row.raw) if isinstance(row, UnreadableRow) else row
        for _, row in reader(content, limit=limit).rows()
    ]


def test_values_stay_text() -> None:
    """Whether 007 is a number is not ours to say."""
    assert list(reader(b"a,b\n007,\n").rows()) == [(2, {"a": "007", "b": ""})]


def test_tabs_may_stand_between_cells() -> None:
    """TSV with the same quotes."""
    assert list(reader(b'a\tb\n"x\ty"\t\n\t\n', "\t").rows()) == [
        (2, {"a": "x\ty", "b": ""}),
        (3, {"a": "", "b": ""}),
    ]


def test_a_row_begins_where_its_first_line_is() -> None:
    """Quoted line ends, CRLF and blank lines are counted."""
    content = b'\xef\xbb\xbfa,b\r\n\r\n"one\r\ntwo\n",x\r\n   \r\ny,z'

    assert list(reader(content).rows()) == [(3, {"a": "one\r\ntwo\n", "b": "x"}), (7, {"a": "y", "b": "z"})]


def test_one_empty_cell_is_a_row_where_one_cell_is_a_row() -> None:
    """If it is quoted, as writers do."""
    assert list(reader(b'a\n""\n\n \n').rows()) == [(2, {"a": ""}), (4, {"a": " "})]


def test_odd_characters_are_text() -> None:
    """NUL, U+2028, form feed and quotes inside a cell that is not quoted."""
    content = 'a,b\n\x00,5" \u2028\x0c\n'.encode()

    assert list(reader(content).rows()) == [(2, {"a": "\x00", "b": '5" \u2028\x0c'})]


def test_a_cell_may_be_longer_than_the_csv_modules_limit() -> None:
    """131,072 characters is its default."""
    cell = "x" * 200_000

    assert list(reader(f"a\n{cell}\n".encode()).rows()) == [(2, {"a": cell})]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n", b"a,b"])
def test_without_rows_there_are_none(content: bytes) -> None:
    """An empty file or a header only."""
    assert list(reader(content).rows()) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'a,b\n""\n2,3\n', ("rows.csv:2: 1 cell, but the header has 2", '""')),
        (b"a,b\n1\n2,3\n", ("rows.csv:2: 1 cell, but the header has 2", "1")),
        (b"a,b\n1,2,3\n2,3\n", ("rows.csv:2: 3 cells, but the header has 2", "1,2,3")),
        (b"a,b\n\xff,1\n2,3\n", ("rows.csv:2: invalid UTF-8 at byte 1 of line 2", r"\xff,1")),
        (b'a,b\n"x\n\xff",1\n2,3\n', ("rows.csv:2: invalid UTF-8 at byte 1 of line 3", '"x\n\\xff",1')),
        (b'a,b\n"x"y,1\n2,3\n', ("rows.csv:2: text after a closing quote", '"x"y,1')),
        (b"a,b\nx\ry,1\n2,3\n", ("rows.csv:2: a carriage return outside quotes", "x\ry,1")),
        (b'a,b\n1,"2\n2,3\n', ("rows.csv:2: a quote is opened and never closed", '1,"2')),
    ],
)
def test_a_row_that_does_not_fit_is_unreadable_and_the_next_is_read(
    content: bytes, expected: tuple[str, str]
) -> None:
    """With the line where it starts."""
    assert told(content) == [expected, {"a": "2", "b": "3"}]


def test_a_quote_that_swallows_rows_costs_one_row_only() -> None:
    """The lines after it are read again, with their own numbers."""
    rows = list(reader(b'a,b\n1,"2\n3,4\n"5",6\n7,8\n').rows())

    assert [line for line, _ in rows] == [2, 3, 4, 5]
    assert [row for _, row in rows[1:]] == [{"a": "3", "b": "4"}, {"a": "5", "b": "6"}, {"a": "7", "b": "8"}]


def test_a_row_that_is_too_long_gives_up_its_first_line() -> None:
    """An open quote cannot make us hold the whole file."""
    content = b'a,b\n1,"' + b"x\n" * 10 + b"2,3\n"

    first, *others, last = told(content, limit=12)

    assert first == ("rows.csv:2: a quote is opened and never closed, or the row is too long", '1,"x')
    assert others == [(f"rows.csv:{line}: 1 cell, but the header has 2", "x") for line in range(3, 12)]
    assert last == {"a": "2", "b": "3"}


def test_a_line_that_is_too_long_is_unreadable() -> None:
    """Its beginning is kept."""
    assert told(b"a,b\n" + b"x" * 20 + b"\n1,2\n", limit=10) == [
        ("rows.csv:2: longer than 10 bytes (20)", "x" * 20),
        {"a": "1", "b": "2"},
    ]


def test_empty_names_in_the_header_are_numbered() -> None:
    """Spreadsheets leave them."""
    assert reader(b"a,,b,\n").columns() == ["a", "column_2", "b", "column_4"]


def test_a_row_of_commas_is_not_the_header() -> None:
    """Nor are blank lines."""
    assert list(reader(b"\n,\na,b\n1,2\n").rows()) == [(4, {"a": "1", "b": "2"})]


def test_two_columns_of_one_name_are_refused() -> None:
    """One would overwrite the other in every row."""
    with pytest.raises(UsageError, match=r"rows\.csv: two columns are called 'a'"):
        reader(b"a,b,a\n").columns()


@pytest.mark.parametrize("header", [b"caf\xe9,b\n1,2\n", b'"a,b\n1,2\n', b'"a"b,c\n'])
def test_a_header_that_cannot_be_read_is_refused(header: bytes) -> None:
    """Without it there are no rows."""
    with pytest.raises(UsageError, match=r"rows\.csv:1: .* in the header"):
        reader(header).columns()


def test_error_columns_are_dropped() -> None:
    """Whole or flattened, as our own error rows have them."""
    content = b"a,_error,_error.type,b\n1,x,y,2\n"

    assert reader(content).columns() == ["a", "b"]
    assert list(reader(content).rows()) == [(2, {"a": "1", "b": "2"})]


def test_an_error_row_with_nothing_else_stays_unreadable() -> None:
    """An empty row would be paid for."""
    assert told(b'a,_error.type,_error.raw\n,unreadable_row,"1,2"\n') == [
        ("rows.csv:2: an error row that holds nothing but its error", "1,2")
    ]


def test_a_nul_in_the_header_is_refused() -> None:
    """It is UTF-16 without a mark, whose every cell would be paid for."""
    with pytest.raises(UsageError, match=r"rows\.csv:1: a NUL in the header") as caught:
        reader("a,b\n1,2\n".encode("utf-16-le")).columns()

    assert "UTF-16LE" in caught.value.hint


def test_a_quote_open_on_every_line_is_not_looked_for_for_ever() -> None:
    """Each line begins a row that takes in all the others: after some, a row has one line. None is lost."""
    count = 20_000
    rows = list(reader(b"a,b\n" + b'a","\n' * count + b"1,2\n").rows())

    assert [line for line, _ in rows] == list(range(2, count + 3))
    assert rows[-1][1] == {"a": "1", "b": "2"}


def test_a_quote_takes_in_no_more_than_a_million_lines() -> None:
    """Each costs memory beside its bytes."""
    rows = reader(b'a,b\n"x' + b"\n" * (2**20 + 1) + b"1,2\n", limit=2**22).rows()

    assert [line for line, _ in rows] == [2, 2**20 + 3]


def test_lone_carriage_returns_are_told_with_a_way_out() -> None:
    """Old Macs and some spreadsheets end lines so."""
    with pytest.raises(UsageError, match="a carriage return outside quotes in the header") as caught:
        reader(b"a,b\r1,2\r").columns()

    assert caught.value.hint.startswith("tr ")
