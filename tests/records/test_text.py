"""Text files and lines."""

from __future__ import annotations

import gzip
import io

from llmx.errors import UnreadableRow
from llmx.records.text import TextFileReader, TextLinesReader


def test_a_file_is_one_row() -> None:
    """With its name; line ends stay as they are."""
    reader = TextFileReader(io.BytesIO(b"\xef\xbb\xbfone\r\ntwo\n"), "a.txt", 100)

    assert reader.columns() == ["path", "text"]
    assert list(reader.rows()) == [(None, {"path": "a.txt", "text": "one\r\ntwo\n"})]


def test_an_empty_file_is_a_row() -> None:
    """Every file is answered for."""
    assert list(TextFileReader(io.BytesIO(b""), "a.txt", 100).rows()) == [
        (None, {"path": "a.txt", "text": ""})
    ]


def test_a_file_that_is_not_utf_8_is_unreadable() -> None:
    """At the line where it is wrong."""
    ((line, error),) = list(TextFileReader(io.BytesIO(b"one\ncaf\xe9\n"), "a.txt", 100).rows())

    assert line == 2
    assert str(error) == "a.txt:2: invalid UTF-8 at byte 8"


def test_a_file_that_is_too_long_is_unreadable() -> None:
    """It is one row, and a row has a bound."""
    ((line, error),) = list(TextFileReader(io.BytesIO(b"x" * 101), "a.txt", 100).rows())

    assert (line, str(error)) == (None, "a.txt: longer than 100 bytes")


def test_a_cut_archive_is_unreadable() -> None:
    """Half a text is another text."""
    ((_, error),) = list(TextFileReader(io.BytesIO(gzip.compress(b"text")[:-3]), "a.txt.gz", 100).rows())

    assert isinstance(error, UnreadableRow)


def test_a_line_of_a_stream_is_a_row() -> None:
    """Blank ones are none; bad ones are unreadable."""
    reader = TextLinesReader(io.BytesIO(b"one\r\n\n  \n\xff\nxxxxxxxxxx\n two"), "-", 9)

    assert reader.columns() == ["text"]
    assert [(line, str(row) if isinstance(row, UnreadableRow) else row) for line, row in reader.rows()] == [
        (1, {"text": "one"}),
        (4, "-:4: invalid UTF-8 at byte 1"),
        (5, "-:5: longer than 9 bytes (10)"),
        (6, {"text": " two"}),
    ]
