"""JSON Lines, and arrays."""

from __future__ import annotations

import gzip
import io
from typing import Any

import orjson
import pytest

from llmx.errors import UnreadableRow, UsageError
from llmx.records.jsonl import JsonlReader
from llmx.records.lines import Damaged


def reader(content: bytes, **options: Any) -> JsonlReader:
    return JsonlReader(io.BytesIO(content), "rows.jsonl", options.pop("limit", 1000), **options)


def bad(content: bytes, **options: Any) -> tuple[int | None, str, str | None]:
    """The line, message and raw text of the one unreadable row."""
    ((line, error),) = list(reader(content, **options).rows())
    assert isinstance(error, UnreadableRow)
    return line, str(error), error.raw


def test_a_line_is_a_row_and_blank_lines_are_none() -> None:
    """Line numbers count them; CRLF, spaces and a missing last line end do not matter."""
    content = b'{"a": 1}\r\n\n \t\r\n  {"a": "\xe2\x80\xa8"}  \n{"a":3}'

    assert list(reader(content).rows()) == [(1, {"a": 1}), (4, {"a": "\u2028"}), (5, {"a": 3})]


def test_a_byte_order_mark_is_skipped() -> None:
    """At the beginning of the file only."""
    assert list(reader(b'\xef\xbb\xbf{"a":1}').rows()) == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "rows.jsonl:1: not JSON: unexpected end of data at column 8"),
        (b'{"a": NaN}', "rows.jsonl:1: not JSON: unexpected character, expected a JSON value at column 7"),
        (b'{"a": "\xff"}', "rows.jsonl:1: invalid UTF-8 at byte 8"),
        (b"[1]", "rows.jsonl:1: a JSON array, not an object"),
        (b'"a"', "rows.jsonl:1: a JSON string, not an object"),
        (b"1.5", "rows.jsonl:1: a JSON number, not an object"),
        (b"null", "rows.jsonl:1: a JSON null, not an object"),
        (b"true", "rows.jsonl:1: a JSON boolean, not an object"),
    ],
)
def test_a_line_that_is_no_object_is_unreadable(line: bytes, message: str) -> None:
    """The message says where and why, the raw text is kept."""
    assert bad(line) == (1, message, line.decode("utf-8", "backslashreplace"))


def test_the_lines_after_a_bad_one_are_read() -> None:
    """One bad line is one bad row."""
    rows = list(reader(b'{"a":1}\noops\n{"a":3}\n').rows())

    assert [(line, isinstance(row, dict)) for line, row in rows] == [(1, True), (2, False), (3, True)]


def test_deep_nesting_is_unreadable_and_no_crash() -> None:
    """Deeper than the parser goes."""
    line, message, _ = bad(b'{"a":' * 5000 + b"1" + b"}" * 5000, limit=10**6)

    assert line == 1
    assert message.startswith("rows.jsonl:1: not JSON:")


def test_a_line_that_is_too_long_is_unreadable() -> None:
    """Its beginning is kept."""
    assert bad(b'{"a":"xxxxxxxxxxxx"}\n', limit=10) == (
        1,
        "rows.jsonl:1: longer than 10 bytes (20)",
        '{"a":"xxxxxxxxxxxx"}',
    )


def test_a_cut_archive_never_ends_in_silence() -> None:
    """Its whole lines are rows, and then it is told."""
    rows = reader(gzip.compress(b'{"a":1}\n{"a":2}\n' * 9, mtime=0)[:-9], limit=10**6).rows()

    assert next(rows) == (1, {"a": 1})
    with pytest.raises(Damaged, match="the file is cut"):
        list(rows)


def test_error_is_dropped_from_an_error_row() -> None:
    """A file of error rows is input again."""
    assert list(reader(b'{"a": 1, "_error": {"type": "refusal", "raw": "{}"}}').rows()) == [(1, {"a": 1})]


def test_an_error_row_of_an_unreadable_line_is_read_from_its_text() -> None:
    """Somebody may have mended it there."""
    content = (
        b'{"_error": {"raw": "{\\"a\\": 1, \\"_error\\": 2}"}}\n{"_error": {"raw": "{oops"}}\n'
        b'{"_error": {"raw": "[1]"}}\n{"_error": {"raw": null}}\n'
    )
    (first, second, third, fourth) = [row for _, row in reader(content).rows()]

    assert first == {"a": 1}
    assert isinstance(second, UnreadableRow)
    assert second.raw == "{oops"
    assert isinstance(third, UnreadableRow)
    assert third.raw == "[1]"
    assert fourth == {}


def test_columns_are_those_of_the_first_rows_and_no_row_is_lost() -> None:
    """Unreadable rows have none."""
    source = reader(b'oops\n{"b":1,"_error":1}\n{"a":2,"b":3}\n')

    assert source.columns() == ["b", "a"]
    assert [line for line, _ in source.rows()] == [1, 2, 3]


def test_columns_of_a_long_file_take_a_hundred_rows() -> None:
    """More would be reading it."""
    content = b'{"a":1}\n' * 99 + b'{"b":1}\n{"c":1}\n'

    assert reader(content).columns() == ["a", "b"]


def test_columns_of_large_rows_take_few() -> None:
    """A mebibyte is enough to look at."""
    content = b'{"a":"%s"}\n{"b":1}\n' % (b"x" * 2**20)

    assert reader(content, limit=2**21).columns() == ["a"]


def test_columns_of_a_live_stream_take_one_row() -> None:
    """The second may not come before the first is answered."""
    assert reader(b'{"a":1}\n{"b":1}\n', live=True).columns() == ["a"]


def test_an_array_is_its_elements() -> None:
    """Without line numbers, and with a bad element as a bad row."""
    rows = list(reader(b' \n[{"a": 1},\n 2, {"a": 3, "_error": {}}]', array=True).rows())

    assert rows[0] == (None, {"a": 1})
    assert str(rows[1][1]) == "rows.jsonl[1]: a JSON number, not an object"
    assert rows[2] == (None, {"a": 3})


def test_a_json_file_may_hold_lines_too() -> None:
    """Many do."""
    assert list(reader(b'\n{"a":1}\n{"a":2}', array=True).rows()) == [(2, {"a": 1}), (3, {"a": 2})]


def test_an_array_with_a_fault_shows_its_lines() -> None:
    """They tell where to look."""
    rows = list(reader(b'[{"a": 1},\n{"a": }]', array=True).rows())

    assert [line for line, _ in rows] == [1, 2]


def test_an_array_that_is_too_long_is_refused_with_a_way_out() -> None:
    """It would have to be held in memory."""
    with pytest.raises(UsageError, match="longer than 10 bytes") as caught:
        list(reader(b'[{"a": "xxxxxxxxxxxxx"}]', array=True, limit=10).rows())

    assert "jq" in caught.value.hint


@pytest.mark.parametrize("content", [b"[1, 2, 3]", b"\n\n"])
def test_a_cut_archive_of_an_array_has_no_rows(content: bytes) -> None:
    """Wherever it is cut."""
    with pytest.raises(Damaged, match="the file is cut"):
        next(reader(gzip.compress(content)[:-4], array=True).rows())


@pytest.mark.parametrize(
    ("content", "array"),
    [
        (b'{"a": %s}', False),
        (b'{"a": %s}', True),
        (b'[{"a": %s}]', True),
        (b'{"_error": {"raw": "{\\"a\\": %s}"}}', False),
    ],
)
def test_an_integer_keeps_its_digits(content: bytes, array: bool) -> None:
    """In lines, in arrays, and in what an error row has kept."""
    digits = b"123456789012345678901234567890"
    ((_, row),) = reader(content % digits, array=array).rows()

    assert row == {"a": int(digits)}


def test_a_large_integer_is_kept_in_what_could_not_be_read() -> None:
    """An element of an array that is no row is written down as it was."""
    _, _, raw = bad(b"[[123456789012345678901]]", array=True)

    assert raw == "[123456789012345678901]"


def test_a_large_integer_opens_no_back_door() -> None:
    """What is no JSON is refused beside one too."""
    _, message, _ = bad(b'{"n": 123456789012345678901, "x": NaN}')

    assert message.startswith("rows.jsonl:1: not JSON: unexpected character")


@pytest.mark.parametrize(
    "line",
    [b'{"a":1,"a":2}', b'{"a":{"b":1,"b" :1}}', b'{"a":1,"\\u0061":{"x:":":"}}', b'{"_error":1,"_error":2}'],
)
def test_a_name_that_stands_twice_makes_a_row_unreadable(line: bytes) -> None:
    """One of its values would be lost; its text is kept, and is as unreadable when it is read again."""
    _, message, raw = bad(line)
    ((_, again),) = reader(orjson.dumps({"_error": {"raw": raw}})).rows()

    assert "stands twice in one object" in message
    assert raw == line.decode()
    assert isinstance(again, UnreadableRow)


def test_an_element_with_a_name_twice_keeps_its_text() -> None:
    """The others are rows."""
    rows = [row for _, row in reader(b'[{"a":1},{"a":1, "a":2},{"b":3}]', array=True).rows()]

    assert (rows[0], rows[2]) == ({"a": 1}, {"b": 3})
    assert isinstance(rows[1], UnreadableRow)
    assert (str(rows[1]), rows[1].raw) == (
        "rows.jsonl[1]: the name 'a' stands twice in one object",
        '{"a":1, "a":2}',
    )


@pytest.mark.parametrize("blank", [b"\n" * 10, b" \n" * 10, b"\r\n" * 10])
def test_blank_lines_before_an_array_or_lines_are_counted_and_not_held(blank: bytes) -> None:
    """However many there are, in however many chunks."""
    content = gzip.compress(blank * 100_000 + b'{"a":1}\n')

    assert list(reader(content, array=True).rows()) == [(1_000_001, {"a": 1})]
    assert list(reader(gzip.compress(blank * 100_000 + b"[{}]"), array=True).rows()) == [(None, {})]


def test_blanks_without_an_end_are_a_line_that_is_too_long() -> None:
    """They are not held either."""
    assert bad(gzip.compress(b" " * 10**6), array=True, limit=1000)[1].endswith(
        "longer than 1000 bytes (1000000)"
    )
