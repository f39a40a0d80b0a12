"""JSON Lines, and `.json` files that hold one array of objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, BinaryIO

import orjson

from llmx.errors import UnreadableRow, UsageError
from llmx.records.compression import MAX_EXPANSION
from llmx.records.integers import SUSPECT, exact, loads
from llmx.records.lines import Fault, as_text, split_lines
from llmx.records.names import NameTwice, check_names, lossy_elements
from llmx.records.reader import Row
from llmx.records.streams import byte_chunks
from llmx.records.values import to_json

__all__ = ["JsonlReader"]

_PEEK_ROWS = 100
_PEEK_CHARACTERS = 2**20


class JsonlReader:
    """One object a line; blank lines are skipped, a line that is no object is an unreadable row.

    An object with one name twice is unreadable too: of its values only the last would be left.

    `_error` is dropped, so that a file of error rows is input again. Where `_error` is all there is (a line
    that could not be read), the row is read from its `raw`: it is mended by editing that text.

    Args:
        stream: where the bytes come from.
        origin: the file's name for messages.
        limit: longest line in bytes.
        live: somebody may still be writing: `columns` waits for one row only.
        array: the text may be one array of objects instead; it is then held in memory, up to `limit` bytes.
        expansion: see `decompressed`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        origin: str,
        limit: int,
        *,
        live: bool = False,
        array: bool = False,
        expansion: float = MAX_EXPANSION,
    ) -> None:
        self._origin = origin
        self._peek = 1 if live else _PEEK_ROWS
        chunks = byte_chunks(stream, expansion)
        self._rows = _array_or_lines(chunks, origin, limit) if array else _line_rows(chunks, origin, limit)

    def columns(self) -> list[str]:
        """The union of the first rows' keys, in the order they come: of 100 rows, or one when live."""
        names: dict[str, None] = {}
        seen: list[Row] = []
        budget, wanted = _PEEK_CHARACTERS, self._peek
        for row in self._rows:
            seen.append(row)
            data = row[1]
            if isinstance(data, dict):
                names |= dict.fromkeys(data)
                wanted -= 1
                budget -= sum(len(value) for value in data.values() if isinstance(value, str))
            if wanted <= 0 or budget <= 0 or len(seen) >= _PEEK_ROWS:
                break
        self._rows = chain(seen, self._rows)
        return list(names)

    def rows(self) -> Iterator[Row]:
        """The rows with their line numbers; elements of an array have none."""
        return self._rows


def _line_rows(chunks: Iterator[bytes], origin: str, limit: int, first: int = 1) -> Iterator[Row]:
    parse, harmless = orjson.loads, SUSPECT.isdisjoint
    for number, line in enumerate(split_lines(chunks, limit), first):
        if not line:  # the commonest line that is no row, and exceptions are dear
            continue
        try:
            data = parse(line)  # type: ignore[arg-type]  # a Fault is refused like any line that is not JSON
            if type(data) is dict:
                if not harmless(map(type, data.values())):
                    data = exact(line, data)  # type: ignore[arg-type]  # parsed: bytes
                if line.count(b":") != len(data):  # type: ignore[union-attr]  # parsed: bytes
                    check_names(line, data)  # type: ignore[arg-type]  # parsed: bytes
        except orjson.JSONDecodeError as error:
            if isinstance(line, Fault) or line.strip():
                yield number, _unreadable(line, f"{origin}:{number}", error)
            continue
        if type(data) is dict and "_error" not in data:
            yield number, data
        else:
            yield number, _row_of(data, as_text(line), f"{origin}:{number}")  # type: ignore[arg-type]  # parsed: bytes


def _array_or_lines(chunks: Iterator[bytes], origin: str, limit: int) -> Iterator[Row]:
    """Look at the first character that is not blank: `[` begins an array."""
    head, first = b"", 1
    for chunk in chunks:
        head += chunk
        begins = len(head) - len(head.lstrip())
        line = head.rfind(b"\n", 0, begins) + 1
        first += head.count(b"\n", 0, line)  # blank lines are counted, not held
        head = head[line:]
        if begins > line + limit or head.strip():
            break
    if head.lstrip().startswith(b"["):
        yield from _array_rows(head, chunks, origin, limit, first)
    else:
        yield from _line_rows(chain([head], chunks), origin, limit, first)


def _array_rows(head: bytes, chunks: Iterator[bytes], origin: str, limit: int, first: int) -> Iterator[Row]:
    whole = _whole(chain([head], chunks), origin, limit)
    try:
        elements = exact(whole, orjson.loads(whole))
    except orjson.JSONDecodeError:  # lines that are arrays, or an array with a fault: its lines show where
        yield from _line_rows(iter([bytes(whole)]), origin, limit, first)
        return
    lossy = lossy_elements(whole, elements)
    del whole
    for index, element in enumerate(elements):
        where = f"{origin}[{index}]"
        if index in lossy:
            error, raw = lossy[index]
            yield None, _unreadable(raw.encode(), where, error)
        else:
            yield None, _row_of(element, to_json(element).decode(), where)


def _whole(chunks: Iterator[bytes], origin: str, limit: int) -> bytearray:
    whole = bytearray()
    for chunk in chunks:
        whole += chunk
        if len(whole) > limit:
            raise UsageError(
                f"the JSON array in {origin!r} is longer than {limit} bytes",
                hint="make it one object a line: jq -c '.[]' FILE > rows.jsonl",
            )
    return whole


def _row_of(value: Any, raw: str, where: str) -> dict[str, Any] | UnreadableRow:
    """The row that a JSON value is: an object, without `_error`, or the line that `_error` kept."""
    if not isinstance(value, dict):
        kind = {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
        hint = "jq -c '.[]' makes one object a line" if kind == "array" else ""
        return UnreadableRow(f"{where}: a JSON {kind}, not an object", hint=hint, raw=raw)
    error = value.pop("_error", None)
    if value or not isinstance(error, dict) or not isinstance(error.get("raw"), str):
        return value
    line = error["raw"].encode()
    try:
        again = loads(line)
        check_names(line, again)
    except orjson.JSONDecodeError as problem:
        return _unreadable(line, where, problem)
    if isinstance(again, dict):
        again.pop("_error", None)
    return _row_of(again, error["raw"], where)


def _unreadable(line: bytes | Fault, where: str, error: orjson.JSONDecodeError | None) -> UnreadableRow:
    if isinstance(line, Fault):
        return UnreadableRow(f"{where}: {line.message}", raw=as_text(line.prefix))
    try:
        line.decode()
    except UnicodeDecodeError as bad:
        return UnreadableRow(f"{where}: invalid UTF-8 at byte {bad.start + 1}", raw=as_text(line))
    if isinstance(error, NameTwice):
        return UnreadableRow(f"{where}: {_reason(error)}", raw=as_text(line))
    place = f" at column {error.colno}" if error else ""
    return UnreadableRow(f"{where}: not JSON: {_reason(error)}{place}", raw=as_text(line))


def _reason(error: orjson.JSONDecodeError | None) -> str:
    return error.msg.split(": line ")[0] if error else "unreadable"
