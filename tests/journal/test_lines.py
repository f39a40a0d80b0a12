"""The journal's lines: a checksum that finds what is not as it was written, in what any tool reads as JSON."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.journal import lines
from llmx.journal.lines import Line, decode, encode, scan

ENTRY = {"t": "answer", "fp": "00ff", "text": "Ω\u2028 🙂\n"}
ROW = {"t": "row", "id": "1"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4)


def scanned(data: bytes, start: int = 0) -> list[Line]:
    return list(scan(io.BytesIO(data), start))


def said(data: bytes) -> list[dict[str, Any] | None]:
    return [line.entry for line in scanned(data)]


def with_checksum(rest: bytes) -> bytes:
    return b'{"crc":"%08x",%s\n' % (zlib.crc32(rest), rest)


def test_a_line_is_json_whatever_the_tool():
    """The checksum is a key like any other, the first; nothing else is added."""
    line = encode(ENTRY)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert line.startswith(b'{"crc":"')
    assert json.loads(line) == {"crc": line[8:16].decode(), **ENTRY}


def test_the_checksum_is_that_of_the_rest():
    """CRC-32 over what stands behind it, so that a script can check it."""
    line = encode(ROW)
    assert line[8:16] == b"%08x" % zlib.crc32(b'"t":"row","id":"1"}')


@settings(max_examples=50, deadline=None)
@given(ENTRIES)
def test_what_was_written_is_read(entry: dict[str, Any]):
    """With its newline or without."""
    line = encode(entry)
    assert decode(line) == entry
    assert decode(line[:-1]) == entry


def test_a_lone_surrogate_is_read_as_it_was():
    """A model may answer with half a character; the answer was paid for all the same."""
    assert decode(encode({"text": "\ud800"})) == {"text": "\ud800"}


@settings(max_examples=50, deadline=None)
@given(ENTRIES, st.data())
def test_no_flipped_bit_passes(entry: dict[str, Any], data: st.DataObject):
    """Whichever byte it is in, the checksum's own included, but for the quote and the comma behind that."""
    line = bytearray(encode(entry)[:-1])
    where = st.integers(0, len(line) - 1).filter(lambda at: at not in (16, 17))
    line[data.draw(where)] ^= 1 << data.draw(st.integers(0, 7))
    assert decode(bytes(line)) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b'{"t":"row"}\n',
        b'{"crc":"\n',
        b'{"crc":"00000000"}\n',
        with_checksum(b"not json}"),
        with_checksum(b'"a":1}]'),
        with_checksum(b'"a":NaN'),
    ],
)
def test_what_is_no_line_of_ours_is_nothing(line: bytes):
    """Not even where somebody has made a checksum that fits."""
    assert decode(line) is None


def test_scan_says_where_lines_are():
    """In bytes, the newline included, so that a line can be read alone."""
    first, second = encode(ENTRY), encode(ROW)
    assert scanned(first + second) == [Line(0, len(first), ENTRY), Line(len(first), len(second), ROW)]


def test_scan_begins_where_it_is_told():
    """What is known already is not read again."""
    first, second = encode(ENTRY), encode(ROW)
    assert scanned(first + second, len(first)) == [Line(len(first), len(second), ROW)]


def test_scan_of_nothing():
    """There are no lines in an empty file, or behind its end."""
    assert scanned(b"") == []
    assert scanned(encode(ROW), 1_000) == []


def test_a_torn_tail_is_no_line():
    """What was being written when the process was killed has no newline."""
    assert said(encode(ROW) + encode(ENTRY)[:-1]) == [ROW]


@pytest.mark.parametrize("damage", [b"\n", b"\0" * 40 + b"\n", b"{}\n", b"\xff\xfe\n", b'{"crc":"0"}\n'])
def test_a_damaged_line_is_given_as_such(damage: bytes):
    """It is counted, and the lines around it are read."""
    assert said(encode(ROW) + damage + encode(ENTRY)) == [ROW, None, ENTRY]


def test_a_damaged_newline_costs_no_line():
    """Two lines that have run together are told apart by the second one's beginning."""
    first, second = encode(ROW), encode(ENTRY)
    found = scanned(first[:-1] + b"\0" + second)
    assert found == [Line(0, len(first), None), Line(len(first), len(second), ENTRY)]


def test_a_lost_newline_costs_no_line():
    """So are those between which there is nothing."""
    first, second = encode(ROW)[:-1], encode(ENTRY)
    assert scanned(first + second) == [Line(0, len(first), None), Line(len(first), len(second), ENTRY)]


def test_text_that_looks_like_a_line_is_left_in_its_own():
    """An answer that quotes the beginning of a line is one line as long as it is whole."""
    entry = {"t": "answer", "text": '{"crc":"', "usage": {"crc": "1"}}
    assert said(encode(entry) + encode(ROW)) == [entry, ROW]


def test_scan_leaves_bodies_out():
    """They are most of a journal, and nothing that is looked up is in them; the checksum covers them all the same."""
    line = encode({"t": "answer", "text": ',"body":', "body": {"a": [1, {"body": 2}]}})
    assert said(line) == [{"t": "answer", "text": ',"body":'}]
    assert said(line.replace(b"2", b"3")) == [None]


def test_a_body_is_decoded_unless_it_is_not_wanted():
    """A replay has the whole answer."""
    line = encode({"t": "answer", "body": {"a": 1}})
    assert decode(line) == {"t": "answer", "body": {"a": 1}}
    assert decode(line, body=False) == {"t": "answer"}


def test_the_lines_of_a_scan_cover_the_file():
    """Whatever is damaged, no byte up to the last newline is left out or given twice."""
    data = encode(ROW)[:-1] + encode(ENTRY) + b"\n\xff\n" + encode(ROW) + b"torn"
    found = scanned(data)
    ends = [line.at + line.size for line in found]
    assert [line.at for line in found] == [0, *ends[:-1]]
    assert ends[-1] == len(data) - 4


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    """It is given in pieces, as damage; what comes behind it is read."""
    monkeypatch.setattr(lines, "LONGEST", 64)
    data = b"x" * 100 + b"\n" + encode(ROW)
    assert scanned(data) == [
        Line(0, 64, None),
        Line(64, 37, None),
        Line(101, len(data) - 101, ROW),
    ]
