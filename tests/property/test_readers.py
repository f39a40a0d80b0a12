"""Laws of readers and writers, for any rows and any bytes."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from fuzz.targets import TARGETS, Target
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.environment import Environment
from llmx.errors import UnreadableRow, UsageError
from llmx.records import Unreadable, error_row, open_sink, open_source
from llmx.records.delimited import DelimitedReader
from llmx.records.jsonl import JsonlReader
from llmx.records.lines import Damaged, split_lines
from llmx.records.text import TextFileReader, TextLinesReader

LIMIT = 10_000

law = settings(deadline=None)  # machines pause, and files are written here

characters = st.one_of(
    st.characters(codec="utf-8"), st.sampled_from('",;\t\r\n\0\u2028\u2029\x85\x0b\x0c\ufeff=+-@')
)
text = st.text(characters, max_size=20)
names = text.filter(lambda name: name != "_error" and not name.startswith("_error."))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
rows = st.lists(st.dictionaries(names, values, max_size=4), max_size=5)
pieces = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\r\n",
            b'"',
            b",",
            b"a",
            b'{"a":1}',
            b"[",
            b"{",
            b"\xff",
            b"\0",
            b" ",
            b"\xef\xbb\xbf",
            b"\x1f\x8b",
        ]
    )
    | st.binary(max_size=4),
    max_size=25,
)


class Chopped:
    """A stream that gives chunks of its own choosing."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]

    def read(self, size: int) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


def chopped(content: bytes, cuts: list[int]) -> BinaryIO:
    ends = sorted(cut % (len(content) + 1) for cut in cuts)
    starts = [0, *ends]
    return cast(BinaryIO, Chopped([content[a:b] for a, b in zip(starts, [*ends, len(content)], strict=True)]))


def told(rows: Iterator[tuple[int | None, Any]]) -> list[Any]:
    """What is comparable of rows; a header that is none and damage end them."""
    found: list[Any] = []
    try:
        for line, row in rows:
            found.append((line, (str(row), row.raw) if isinstance(row, UnreadableRow) else row))
    except (Damaged, UsageError) as error:
        found.append(str(error))
    return found


def round_trip(name: str, written: list[dict[str, Any]], **options: Any) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        env = Environment(stdin=io.BytesIO(), stdout=io.BytesIO(), variables={}, cwd=Path(folder))
        sink = open_sink(name, env=env, **options)
        for row in written:
            sink.write(row)
        sink.close()
        return list(open_source([name], env=env))


@law
@given(rows)
def test_rows_survive_json_lines(written: list[dict[str, Any]]) -> None:
    """Every row comes back as it was, in a line of its own."""
    read = round_trip("rows.jsonl", written)

    assert [(row.line, row.data) for row in read] == list(enumerate(written, 1))


@law
@given(
    st.lists(names.filter(lambda name: name and "\0" not in name), min_size=1, max_size=4, unique=True),
    st.data(),
    st.sampled_from(["csv", "tsv"]),
)
def test_texts_survive_csv(header: list[str], data: st.DataObject, format: str) -> None:
    """Whatever quotes, line ends and odd characters they hold."""
    if header[0].startswith("\ufeff"):
        header[0] = "x" + header[0]  # at the beginning of a file it is a byte order mark
    written = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(header, text)), max_size=5))
    read = round_trip(f"rows.{format}", written, columns=dict.fromkeys(header, False))

    assert [row.data for row in read] == written


@law
@given(rows.filter(bool))
def test_any_rows_make_a_good_csv_file(written: list[dict[str, Any]]) -> None:
    """Nested, empty, or not alike: as many rows come back as were written, all readable."""
    written[0]["id"] = 1
    try:
        read = round_trip("rows.csv", written)
    except UsageError:  # names that are empty or flatten to the same are no header
        return

    assert not any(isinstance(row, Unreadable) for row in read)
    assert len(read) == len(written)


@law
@given(st.text(st.characters(codec=None), max_size=10), st.sampled_from(["rows.jsonl", "rows.csv"]))
def test_half_surrogate_pairs_break_no_writer(value: str, name: str) -> None:
    """They have no bytes in UTF-8; the row is written all the same."""
    assert len(round_trip(name, [{"id": 1, "value": value}])) == 1


@law
@given(rows)
def test_error_rows_are_the_input_again(written: list[dict[str, Any]]) -> None:
    """What failed can be run again from its error row."""
    source = open_source(
        ["-"],
        env=Environment(stdin=io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in written))),
    )
    failed = [error_row(record, UnreadableRow("no")) for record in source]

    assert [row.data for row in round_trip("rows.errors.jsonl", failed)] == written


@law
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 20))
def test_lines_do_not_depend_on_chunks(content: bytes, cuts: list[int], limit: int) -> None:
    """Nor does what is too long."""
    stream = chopped(content, cuts)
    chunks = iter(lambda: stream.read(1), b"")

    assert list(split_lines(chunks, limit)) == list(split_lines(iter([content]), limit))


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "lines", "file"])
@law
@given(pieces, st.lists(st.integers(0, 200), max_size=6))
def test_rows_do_not_depend_on_chunks(kind: str, parts: list[bytes], cuts: list[int]) -> None:
    """Marks, archives, quotes and line ends may lie across any boundary, and nothing but rows comes out."""
    content = b"".join(parts)

    assert told(reader(kind, chopped(content, cuts)).rows()) == told(reader(kind, io.BytesIO(content)).rows())


@law
@given(pieces)
def test_every_line_of_json_lines_is_accounted_for(parts: list[bytes]) -> None:
    """One row for each line that is not blank, under its number."""
    content = b"x" + b"".join(parts)  # no mark, no archive
    lines = [line for line, _ in reader("jsonl", io.BytesIO(content)).rows()]

    assert lines == [number for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]


@law
@given(pieces)
def test_every_line_of_csv_is_accounted_for(parts: list[bytes]) -> None:
    """The rows' lines, each from where it starts to where the next one does, are all lines that are not blank."""
    content = b"a,b\n" + b"".join(parts)
    lines = content.split(b"\n")
    starts = [line for line, _ in reader("csv", io.BytesIO(content)).rows()]
    blank = {number for number, line in enumerate(lines, 1) if not line.strip()}

    assert starts == sorted(set(starts))
    first_row = next((number for number in range(2, len(lines) + 1) if number not in blank), None)
    assert (starts[0] if starts else None) == first_row or first_row is None
    assert not blank & set(starts) or any(b"\r" in line for line in lines)


@law
@given(pieces)
def test_every_byte_of_a_bad_csv_file_is_kept(parts: list[bytes]) -> None:
    """With a header of two and rows of none that fit, the raw texts are the file."""
    content = b"a,b,c,d,e,f,g,h,i,j,k,l\n" + b"".join(part.replace(b",", b"") for part in parts)
    found = [row for _, row in reader("csv", io.BytesIO(content)).rows()]
    kept = "\n".join(row.raw or "" for row in found if isinstance(row, UnreadableRow))
    text = content.split(b"\n", 1)[1].decode("utf-8", "backslashreplace")

    assert all(isinstance(row, UnreadableRow) for row in found)
    assert [line.strip() for line in kept.split("\n") if line.strip()] == [
        line.strip() for line in text.split("\n") if line.strip()
    ]


@pytest.mark.parametrize("target", TARGETS["readers"].values(), ids=TARGETS["readers"])
@law
@given(pieces.map(b"".join) | st.binary(max_size=200))
def test_no_bytes_break_a_reader(target: Target, content: bytes) -> None:
    """What is fuzzed holds for what hypothesis draws."""
    target(content)


names_and_values = st.lists(st.tuples(st.sampled_from(["a", "b", "\\", '"', ":", '":']), values), max_size=4)


@law
@given(names_and_values, st.sampled_from(["", " ", "\t", "\r"]), st.booleans(), st.booleans())
def test_no_value_is_lost_under_a_name_that_stands_twice(
    pairs: list[tuple[str, Any]], blank: str, escaped: bool, array: bool
) -> None:
    """Such an object is an unreadable row, any other is a record, however it is written."""
    written = ",".join(
        f"{_spelt(name, escaped)}{blank}:{json.dumps(value, ensure_ascii=escaped)}" for name, value in pairs
    )
    lone = "{" + written + "}"
    content = f"[{lone}]" if array else lone
    ((_, row),) = reader("json", io.BytesIO(content.encode())).rows()
    twice = len({name for name, _ in pairs}) < len(pairs)

    assert isinstance(row, UnreadableRow) == twice
    assert row.raw == lone if isinstance(row, UnreadableRow) else row == dict(pairs)


def _spelt(name: str, escaped: bool) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in name) + '"' if escaped else json.dumps(name)


def reader(kind: str, stream: BinaryIO) -> Any:
    if kind == "csv":
        return DelimitedReader(stream, "rows", LIMIT, delimiter=",")
    if kind == "lines":
        return TextLinesReader(stream, "rows", LIMIT)
    if kind == "file":
        return TextFileReader(stream, "rows", LIMIT)
    return JsonlReader(stream, "rows", LIMIT, array=kind == "json")
