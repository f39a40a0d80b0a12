"""Plain text: a file is a row, or on stdin a line is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from llmx.errors import UnreadableRow
from llmx.records.compression import MAX_EXPANSION
from llmx.records.lines import Damaged, Fault, as_text, split_lines
from llmx.records.reader import Row
from llmx.records.streams import byte_chunks

__all__ = ["TextFileReader", "TextLinesReader"]


class TextFileReader:
    """One row, `{"path", "text"}`, for the whole file; a file longer than `limit` bytes is an unreadable row."""

    def __init__(
        self, stream: BinaryIO, origin: str, limit: int, *, expansion: float = MAX_EXPANSION
    ) -> None:
        self._chunks = byte_chunks(stream, expansion)
        self._origin = origin
        self._limit = limit

    def columns(self) -> list[str]:
        """Always the same two."""
        return ["path", "text"]

    def rows(self) -> Iterator[Row]:
        """The one row; it has no line number, unless a line is what is wrong with it."""
        whole = bytearray()
        try:
            for chunk in self._chunks:
                whole += chunk
                if len(whole) > self._limit:
                    raise Damaged(f"longer than {self._limit} bytes")
            yield None, {"path": self._origin, "text": whole.decode()}
        except Damaged as error:
            raw = as_text(bytes(whole[:4096]))
            yield None, UnreadableRow(f"{self._origin}: {error}", hint=error.hint, raw=raw)
        except UnicodeDecodeError as error:
            line = whole.count(b"\n", 0, error.start) + 1
            raw = as_text(bytes(whole))
            yield (
                line,
                UnreadableRow(f"{self._origin}:{line}: invalid UTF-8 at byte {error.start + 1}", raw=raw),
            )


class TextLinesReader:
    """A row `{"text"}` for every line of a stream that is not blank."""

    def __init__(
        self, stream: BinaryIO, origin: str, limit: int, *, expansion: float = MAX_EXPANSION
    ) -> None:
        self._origin = origin
        self._lines = split_lines(byte_chunks(stream, expansion), limit)

    def columns(self) -> list[str]:
        """Always the same one."""
        return ["text"]

    def rows(self) -> Iterator[Row]:
        """The rows with their line numbers."""
        for number, line in enumerate(self._lines, 1):
            where = f"{self._origin}:{number}"
            if isinstance(line, Fault):
                yield number, UnreadableRow(f"{where}: {line.message}", raw=as_text(line.prefix))
                continue
            try:
                text = line.decode().removesuffix("\r")
            except UnicodeDecodeError as error:
                message = f"{where}: invalid UTF-8 at byte {error.start + 1}"
                yield number, UnreadableRow(message, raw=as_text(line))
                continue
            if text.strip():
                yield number, {"text": text}
