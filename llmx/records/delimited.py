"""CSV and TSV (RFC 4180, quotes checked strictly): a header, then rows of as many cells."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from llmx.errors import UnreadableRow, UsageError
from llmx.records.lines import Fault, as_text, split_lines
from llmx.records.reader import Row
from llmx.records.streams import byte_chunks

__all__ = ["DELIMITERS", "DelimitedReader"]

DELIMITERS = {"csv": ",", "tsv": "\t"}
"""Format -> what stands between two cells."""

_BLANK = " \t\r\n\v\f"  # what bytes.strip takes away, so that all formats agree on what a blank line is

_REASONS = {  # the csv module's words -> what the user can act on
    "unexpected end of data": "a quote is opened and never closed",
    "new-line character seen": "a carriage return outside quotes",
    "field larger than field limit": "a cell is too long",
}


class DelimitedReader:
    """Rows as text cells under the header's names.

    A row with too many or too few cells, a misplaced quote or bytes that are not UTF-8 is an unreadable row;
    its line is where it starts. Where a quote is wrong, only the first line of what it swallowed is given up
    and the lines after it are read again as rows of their own. Columns called `_error` (or, as our own CSV
    error rows have them, `_error.…`) are dropped; a row that has only those stays unreadable.

    Args:
        stream: where the bytes come from.
        origin: the file's name for messages.
        limit: longest row in bytes.
        delimiter: what stands between two cells.
    """

    def __init__(self, stream: BinaryIO, origin: str, limit: int, *, delimiter: str) -> None:
        # A setting of the whole process: it may only grow, and 64 MiB fits a C long everywhere.
        csv.field_size_limit(max(csv.field_size_limit(), limit))
        self._origin = origin
        self._feed = _Feed(split_lines(byte_chunks(stream), limit), limit)
        self._cells = csv.reader(self._feed, delimiter=delimiter, strict=True)
        self._header: list[str] | None = None

    def columns(self) -> list[str]:
        """The header's names, an empty one as `column_N`. Raises UsageError where the header is no header."""
        return [name for name in self._names() if not _is_error(name)]

    def rows(self) -> Iterator[Row]:
        """The rows with the line they start at."""
        names, feed = self._names(), self._feed
        width = len(names)
        dropped = [name for name in names if _is_error(name)]
        while True:
            feed.begin()
            try:
                cells = next(self._cells)
            except StopIteration:
                return
            except (csv.Error, _BrokenLine) as error:
                yield feed.start, self._rejected(error)
                continue
            if len(cells) == width and not feed.invalid and not dropped:
                yield feed.start, dict(zip(names, cells, strict=True))
            elif feed.invalid or not self._is_blank(cells, width):
                yield feed.start, self._checked(names, cells, dropped)

    def _checked(
        self, names: list[str], cells: list[str], dropped: list[str]
    ) -> dict[str, str] | UnreadableRow:
        if self._feed.invalid:
            return self._unreadable(self._feed.invalid)
        if len(cells) != len(names):
            return self._unreadable(f"{_counted(len(cells), 'cell')}, but the header has {len(names)}")
        row = dict(zip(names, cells, strict=True))
        errors = {name: row.pop(name) for name in dropped}
        if any(errors.values()) and not any(row.values()):
            raw = errors.get("_error.raw") or ""
            where = f"{self._origin}:{self._feed.start}"
            return UnreadableRow(f"{where}: an error row that holds nothing but its error", raw=raw)
        return row

    def _is_blank(self, cells: list[str], width: int) -> bool:
        """An empty line has no cells; one of spaces is no row either, unless one cell is all that a row has."""
        return not cells or (width > 1 and len(cells) == 1 and not self._feed.text().strip(_BLANK))

    def _rejected(self, error: csv.Error | _BrokenLine) -> UnreadableRow:
        """Give up the first line of the row that began, and have the others read again."""
        self._feed.keep_first()
        if isinstance(error, _BrokenLine):
            return self._unreadable(error.message)
        known = (ours for theirs, ours in _REASONS.items() if str(error).startswith(theirs))
        return self._unreadable(next(known, "text after a closing quote"))

    def _unreadable(self, message: str) -> UnreadableRow:
        return UnreadableRow(f"{self._origin}:{self._feed.start}: {message}", raw=self._feed.text())

    def _names(self) -> list[str]:
        if self._header is None:
            self._header = self._read_header()
        return self._header

    def _read_header(self) -> list[str]:
        cells: list[str] = []
        while not any(cells):
            self._feed.begin()
            try:
                cells = next(self._cells)
            except StopIteration:
                return []
            except (csv.Error, _BrokenLine) as error:
                raise UsageError(f"{self._rejected(error)} in the header") from error
        if self._feed.invalid:
            hint = "iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
            raise UsageError(
                f"{self._origin}:{self._feed.start}: {self._feed.invalid} in the header", hint=hint
            )
        names = [name or f"column_{position}" for position, name in enumerate(cells, 1)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(
                f"{self._origin}: two columns are called {twice[0]!r}", hint="rename one in the header"
            )
        return names


class _BrokenLine(Exception):
    """The line that the csv module asked for cannot be had."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class _Feed:
    """The text lines that the csv module asks for, remembering those of the row at hand.

    An iterator and no generator, since it must go on after it has raised.
    """

    def __init__(self, lines: Iterator[bytes | Fault], limit: int) -> None:
        self._lines = lines
        self._limit = limit
        self._again: deque[bytes | Fault] = deque()
        self._number = 0
        self._size = 0
        self._row: list[bytes | Fault] = []
        self.start = 1
        self.invalid = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._number += 1
        self._row.append(line)
        if isinstance(line, Fault):
            raise _BrokenLine(line.message)
        self._size += len(line) + 1
        if self._size > self._limit + 1:
            raise _BrokenLine("a quote is opened and never closed, or the row is too long")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self.invalid = self.invalid or f"invalid UTF-8 at byte {error.start + 1} of line {self._number}"
            return line.decode("utf-8", "backslashreplace") + "\n"

    def begin(self) -> None:
        """A new row starts with the next line."""
        self._row = []
        self._size = 0
        self.start = self._number + 1
        self.invalid = ""

    def keep_first(self) -> None:
        """Hand all lines of this row but the first out again."""
        rest = self._row[1:]
        del self._row[1:]
        self._again.extendleft(reversed(rest))
        self._number -= len(rest)

    def text(self) -> str:
        """The row's own text, as far as it is known."""
        return "\n".join(as_text(line.prefix if isinstance(line, Fault) else line) for line in self._row)


def _is_error(name: str) -> bool:
    return name == "_error" or name.startswith("_error.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
