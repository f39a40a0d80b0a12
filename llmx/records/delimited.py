"""CSV and TSV (RFC 4180, quotes checked strictly): a header, then rows of as many cells."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from llmx.errors import UnreadableRow, UsageError
from llmx.records.compression import MAX_EXPANSION
from llmx.records.lines import Fault, as_text, split_lines
from llmx.records.reader import Row
from llmx.records.streams import byte_chunks

__all__ = ["DELIMITERS", "DelimitedReader"]

DELIMITERS = {"csv": ",", "tsv": "\t"}
"""Format -> what stands between two cells."""

_BLANK = " \t\r\n\v\f"  # what bytes.strip takes away, so that all formats agree on what a blank line is

_MAX_LINES = 2**20
"""Lines that a row may have: each takes 40 bytes beside its own, and a quote that is never closed takes them all."""

_READ_AGAIN = 8
"""Times the input that may be read again after wrong quotes. Lines such as `a","` leave a quote open
wherever reading begins, and every one of them would take in all the others."""

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
        expansion: see `decompressed`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        origin: str,
        limit: int,
        *,
        delimiter: str,
        expansion: float = MAX_EXPANSION,
    ) -> None:
        # A setting of the whole process: it may only grow, and a C long, which it must fit, has 32 bits on Windows.
        csv.field_size_limit(max(csv.field_size_limit(), min(limit, 2**31 - 1)))
        self._origin = origin
        self._feed = _Feed(split_lines(byte_chunks(stream, expansion), limit), limit)
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
        return self._unreadable(_reason(error))

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
                hint = "tr '\\r' '\\n' < FILE > NEW" if "carriage return" in _reason(error) else ""
                raise UsageError(f"{self._rejected(error)} in the header", hint=hint) from error
        self._check_text(cells)
        names = [name or f"column_{position}" for position, name in enumerate(cells, 1)]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(
                f"{self._origin}: two columns are called {twice[0]!r}", hint="rename one in the header"
            )
        return names

    def _check_text(self, header: list[str]) -> None:
        """Refuse a header that is no text: not UTF-8, or UTF-16 without its mark, which is full of NULs."""
        where = f"{self._origin}:{self._feed.start}"
        if self._feed.invalid:
            hint = "iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
            raise UsageError(f"{where}: {self._feed.invalid} in the header", hint=hint)
        if any("\0" in name for name in header):
            hint = "if it is UTF-16: iconv -f UTF-16LE -t UTF-8 FILE > NEW"
            raise UsageError(f"{where}: a NUL in the header", hint=hint)


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
        self._work = 0  # bytes of all rows so far, those that were given up included
        self._again_work = 0
        self._row: list[bytes | Fault] = []
        self.start = 1
        self.invalid = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._next_again() if self._again else next(self._lines)
        if not line and not self._row and not self._again:
            line = self._past_blank_lines()
        self._number += 1
        self._row.append(line)
        if isinstance(line, Fault):
            raise _BrokenLine(line.message)
        self._size += len(line) + 1
        if self._size > self._limit + 1 or len(self._row) > _MAX_LINES:
            raise _BrokenLine("a quote is opened and never closed, or the row is too long")
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError as error:
            self.invalid = self.invalid or f"invalid UTF-8 at byte {error.start + 1} of line {self._number}"
            return line.decode("utf-8", "backslashreplace") + "\n"

    def _next_again(self) -> bytes | Fault:
        """A line that was given back; as the second of a row only as long as that has not been done too often."""
        read = self._work + self._size - self._again_work
        if self._row and self._again_work > _READ_AGAIN * read + 2**20:
            raise _BrokenLine(
                "a quote is opened, and there have been too many to look for where it is closed"
            )
        line = self._again.popleft()
        if not isinstance(line, Fault):
            self._again_work += len(line) + 1
        return line

    def _past_blank_lines(self) -> bytes | Fault:
        """The row's first line; the csv module would make rows of the blank ones, of which there may be millions."""
        blank = 1
        for line in self._lines:
            if line:
                break
            blank += 1
        else:
            raise StopIteration
        self._number += blank
        self.start += blank
        return line

    def begin(self) -> None:
        """A new row starts with the next line."""
        self._work += self._size
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


def _reason(error: csv.Error | _BrokenLine) -> str:
    if isinstance(error, _BrokenLine):
        return error.message
    known = (ours for theirs, ours in _REASONS.items() if str(error).startswith(theirs))
    return next(known, "text after a closing quote")


def _is_error(name: str) -> bool:
    return name == "_error" or name.startswith("_error.")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
