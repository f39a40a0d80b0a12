"""What is fuzzed: one function per target, from any bytes to nothing.

A target ends well for every input, or raises AssertionError or whatever should never have come out. The
property tests run them on what hypothesis draws, `run.py` on what coverage leads atheris to.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import orjson

from llmx.errors import LlmxError, UnreadableRow, UsageError
from llmx.journal import Journal
from llmx.journal.lines import encode
from llmx.records import to_json
from llmx.records.compression import decompressed
from llmx.records.delimited import DelimitedReader
from llmx.records.integers import loads
from llmx.records.jsonl import JsonlReader
from llmx.records.lines import Damaged
from llmx.records.reader import Reader
from llmx.records.text import TextFileReader, TextLinesReader
from llmx.schemas import parse_inline
from llmx.types import Completion, Request, Usage

__all__ = ["TARGETS", "Target"]

Target = Callable[[bytes], None]

LIMIT = 10_000
"""Longest row in bytes: short enough to be passed."""


def jsonl(data: bytes) -> None:
    """Every line that is not blank is a record or an unreadable row, in order, under its number."""
    rows = _read(JsonlReader(io.BytesIO(data), "rows", LIMIT))
    if rows is not None and _is_plain(data):
        assert [line for line, _ in rows] == _lines(data.removeprefix(b"\xef\xbb\xbf"))
    for _, row in rows or ():
        _check_row(row)


def json_array(data: bytes) -> None:
    """An array's rows have no number, and are as many as it has elements; else it is lines."""
    rows = _read(JsonlReader(io.BytesIO(data), "rows", LIMIT, array=True))
    for _, row in rows or ():
        _check_row(row)
    if rows is None or not _is_plain(data):
        return
    text = data.removeprefix(b"\xef\xbb\xbf")
    if rows and rows[0][0] is None:
        assert len(rows) == len(orjson.loads(text))
    elif rows:
        assert [line for line, _ in rows] == _lines(text)


def csv(data: bytes) -> None:
    """No line is read twice or lost: rows begin in order, and where the first one should."""
    rows = _read(DelimitedReader(io.BytesIO(data), "rows", LIMIT, delimiter=","))
    starts = [cast(int, line) for line, _ in rows or ()]
    assert starts == sorted(set(starts))
    for _, row in rows or ():
        _check_row(row)


def csv_rows(data: bytes) -> None:
    """Of rows of which none fits its header, the texts are the file."""
    header = b"a,b,c,d,e,f,g,h,i,j,k,l\n"
    body = data.replace(b",", b"")
    rows = _read(DelimitedReader(io.BytesIO(header + body), "rows", LIMIT, delimiter=","))
    assert rows is not None
    kept = [row.raw or "" if isinstance(row, UnreadableRow) else "?" for _, row in rows]
    assert _texts("\n".join(kept)) == _texts(body.decode("utf-8", "backslashreplace")) or len(body) > LIMIT


def text(data: bytes) -> None:
    """A file is one row; a line that is not blank is one."""
    whole = _read(TextFileReader(io.BytesIO(data), "rows", LIMIT))
    assert whole is not None
    assert len(whole) == 1
    lines = _read(TextLinesReader(io.BytesIO(data), "rows", LIMIT))
    for _, row in [*whole, *(lines or ())]:
        _check_row(row)


def archive(data: bytes) -> None:
    """However its bytes are cut, it unpacks to the same or is damaged; how much comes before the damage may differ."""
    for magic in (b"", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", b"\x28\xb5\x2f\xfd"):
        packed = magic + data
        pieces = (packed[place : place + 1] for place in range(len(packed)))
        (one, damaged), (other, also) = _unpacked(iter([packed])), _unpacked(pieces)
        assert damaged == also
        assert one == other or (damaged and (one.startswith(other) or other.startswith(one)))


def schemas(data: bytes) -> None:
    """Any text is a schema or a UsageError."""
    with contextlib.suppress(UsageError):
        parse_inline(data.decode("utf-8", "surrogateescape"))


def journal(data: bytes) -> None:
    """Any file opens as a journal, gives an answer only to the request it says, and goes on taking lines."""
    for content in (data, _sealed(data)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "journal.jsonl")
            path.write_bytes(content)
            with contextlib.suppress(UsageError):  # by a later version
                _use(path, content)


def _use(path: Path, content: bytes) -> None:
    failures: list[LlmxError] = []
    journal = Journal(path, on_failure=failures.append)
    for name in (*re.findall(rb'"fp":"([0-9a-f]{64})"', content), b"0" * 64):
        found = journal.answer(_asked(name.decode()))
        assert found is None or found.source == "journal"
    journal.begin("c")
    journal.keep(_asked("f" * 64), Completion(text="new", usage=Usage(), model="m"))
    kept = journal.answer(_asked("f" * 64))
    assert kept is not None
    assert kept.text == "new"
    journal.close()
    assert failures == []


def _asked(fingerprint: str) -> Request:
    return Request("e", "m", {}, fingerprint)


def _sealed(data: bytes) -> bytes:
    """Its lines, as far as they are objects, with checksums that fit: what they say is then believed."""
    lines = []
    for line in data.split(b"\n"):
        with contextlib.suppress(orjson.JSONDecodeError):
            entry = loads(line)
            if isinstance(entry, dict):
                lines.append(encode(entry))
    return b"".join(lines)


TARGETS: dict[str, dict[str, Target]] = {
    "readers": {
        "jsonl": jsonl,
        "json_array": json_array,
        "csv": csv,
        "csv_rows": csv_rows,
        "text": text,
        "archive": archive,
    },
    "schemas": {"schemas": schemas},
    "journals": {"journal": journal},
}
"""What `run.py` is asked for -> its targets by name."""


def _read(reader: Reader) -> list[tuple[int | None, Any]] | None:
    """All rows, none lost by looking at the columns; None for damage and for a header that is none."""
    try:
        reader.columns()
        return list(reader.rows())
    except (Damaged, UsageError):
        return None


def _check_row(row: dict[str, Any] | UnreadableRow) -> None:
    """A record can be written and is then the same; a row that is none says so in one line and keeps its text."""
    if isinstance(row, UnreadableRow):
        assert str(row).startswith("rows")
        assert row.raw is not None
    else:
        written = to_json({"row": row})
        assert [(1, {"row": row})] == list(JsonlReader(io.BytesIO(written), "rows", 10 * LIMIT).rows())


def _is_plain(data: bytes) -> bool:
    """Whether it is neither an archive nor what is refused by its first bytes."""
    return list(_pieces(data)) == [data]


def _pieces(data: bytes) -> Iterator[bytes]:
    with contextlib.suppress(Damaged):
        yield from decompressed(iter([data]))


def _unpacked(chunks: Iterator[bytes]) -> tuple[bytes, bool]:
    out = bytearray()
    try:
        for chunk in decompressed(chunks):
            out += chunk
    except Damaged as error:
        return bytes(out), bool(str(error))
    return bytes(out), False


def _lines(data: bytes) -> list[int]:
    return [number for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]


def _texts(joined: str) -> list[str]:
    return [line.strip() for line in joined.split("\n") if line.strip()]
