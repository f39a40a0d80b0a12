"""Reading Parquet, batch by batch (optional, by pyarrow)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from llmx.errors import UnreadableRow, UsageError
from llmx.records.compression import MAX_EXPANSION, decompressed
from llmx.records.lines import MAX_ROW_BYTES, Damaged
from llmx.records.reader import Row
from llmx.records.streams import raw_chunks
from llmx.records.values import to_json

__all__ = ["BATCH", "ParquetReader", "parquet_rows", "require_pyarrow", "seekable"]

BATCH = 1_000
"""Rows that are held in memory at a time, at most."""

_BATCH_BYTES = 2**26
"""Of rows that are long, by what the file's footer says, fewer are held."""


def require_pyarrow() -> Any:
    """pyarrow with its Parquet module; imported here since it takes 100 ms and most runs do without it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError("Parquet needs the package pyarrow", hint="pip install pyarrow") from error
    return pyarrow


def parquet_rows(path: Path) -> int | None:
    """The number of rows that the file's footer names; None when it has none."""
    pyarrow = require_pyarrow()
    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowException):
        return None


class ParquetReader:
    """Rows as JSON-like values: times and decimals become text as `to_json` writes them.

    A row that holds text which is not UTF-8, an infinity, or more than `limit` bytes is an unreadable row.

    Args:
        stream: a file that can be sought in; see `seekable`.
        origin: the file's name for messages.
        limit: longest row in bytes, as JSON.
    """

    def __init__(self, stream: BinaryIO, origin: str, limit: int = MAX_ROW_BYTES) -> None:
        self._pyarrow = require_pyarrow()
        self._origin = origin
        self._limit = limit
        try:
            self._file = self._pyarrow.parquet.ParquetFile(stream)
        except (self._pyarrow.ArrowException, OSError) as error:
            raise UsageError(f"{origin}: not a Parquet file: {_first_line(error)}") from error

    def columns(self) -> list[str]:
        """The schema's names. Raises UsageError when two columns, or two fields of an object, have one name."""
        schema = self._file.schema_arrow
        if twice := _twice(schema):
            raise UsageError(f"{self._origin}: two columns are called {twice!r}")
        return [name for name in schema.names if name != "_error"]

    def rows(self) -> Iterator[Row]:
        """The rows; they have no line numbers."""
        names = self.columns()
        start = 1
        try:
            for batch in self._file.iter_batches(batch_size=self._batch_size(), columns=names):
                yield from ((None, row) for row in self._of_batch(batch, start))
                start += len(batch)
        except (self._pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            raise Damaged(f"cannot read on: {_first_line(error)}") from error

    def _batch_size(self) -> int:
        footer = self._file.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        longest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
        return max(1, min(BATCH, _BATCH_BYTES // max(1, longest)))

    def _of_batch(self, batch: Any, start: int) -> list[dict[str, Any] | UnreadableRow]:
        """The rows of a batch, one by one where something is wrong with one of them."""
        if len(batch) == 1:
            return [self._alone(batch, start)]
        if batch.nbytes <= self._limit and not _has_infinity(self._pyarrow, batch):
            with suppress(UnicodeDecodeError):
                return [*self._plain(batch)]
        places = range(len(batch))
        return [row for place in places for row in self._of_batch(batch.slice(place, 1), start + place)]

    def _alone(self, batch: Any, number: int) -> dict[str, Any] | UnreadableRow:
        """The row of a batch of one."""
        where = f"{self._origin}: row {number}"
        if _has_infinity(self._pyarrow, batch):
            return UnreadableRow(f"{where}: an infinity, for which JSON has no number", raw="")
        try:
            row = self._plain(batch)[0]
        except UnicodeDecodeError as error:
            return UnreadableRow(f"{where}: invalid UTF-8 at byte {error.start + 1} of a text", raw="")
        if batch.nbytes > self._limit and (size := len(to_json(row))) > self._limit:
            return UnreadableRow(f"{where}: longer than {self._limit} bytes ({size})", raw="")
        return row

    def _plain(self, batch: Any) -> list[dict[str, Any]]:
        if all(_is_json(self._pyarrow, field.type) for field in batch.schema):
            rows: list[dict[str, Any]] = batch.to_pylist()
            return rows
        return [orjson.loads(to_json(row)) for row in self._values(batch)]

    def _values(self, batch: Any) -> list[dict[str, Any]]:
        """The rows of a batch; a time that Python's types have no room for as text, and so its row's others."""
        try:
            return list(_cast(self._pyarrow, batch, self._to_microseconds).to_pylist())
        except UnicodeDecodeError:
            raise
        except (ValueError, OverflowError):  # of Arrow's and of Python's times
            if len(batch) == 1:
                return list(_cast(self._pyarrow, batch, self._to_text, safe=False).to_pylist())
        return [row for place in range(len(batch)) for row in self._values(batch.take([place]))]

    def _to_microseconds(self, type: Any) -> Any:
        """The type that Python's times have: with pandas installed, pyarrow would give its own for nanoseconds."""
        if getattr(type, "unit", "") != "ns":
            return type
        arrow = self._pyarrow
        if arrow.types.is_timestamp(type):
            return arrow.timestamp("us", type.tz)
        return arrow.duration("us") if arrow.types.is_duration(type) else arrow.time64("us")

    def _to_text(self, type: Any) -> Any:
        """Of a duration Arrow's text would lack the unit; what it is beyond a microsecond is given up."""
        if self._pyarrow.types.is_duration(type):
            return self._to_microseconds(type)
        return self._pyarrow.string() if self._pyarrow.types.is_temporal(type) else type


def seekable(stream: BinaryIO, origin: str, expansion: float = MAX_EXPANSION) -> BinaryIO:
    """The stream itself if Parquet can be read from it, else its (unpacked) bytes in a temporary file.

    Raises:
        UsageError: the bytes cannot be read to their end.
    """
    if stream.seekable():
        magic = stream.read(4)
        stream.seek(0)
        if magic == b"PAR1":
            return stream
    spool: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # the caller's to close
    try:
        for chunk in decompressed(raw_chunks(stream), expansion):
            spool.write(chunk)
    except Damaged as error:
        spool.close()
        raise UsageError(f"{origin}: {error}", hint=error.hint) from error
    spool.seek(0)
    return spool


def _cast(pyarrow: Any, batch: Any, leaf: Callable[[Any], Any], *, safe: bool = True) -> Any:
    """The batch with every type that `leaf` replaces, at any depth."""

    def mapped(type: Any) -> Any:
        if pyarrow.types.is_list(type):
            return pyarrow.list_(mapped(type.value_type))
        if pyarrow.types.is_large_list(type):
            return pyarrow.large_list(mapped(type.value_type))
        if pyarrow.types.is_struct(type):
            return pyarrow.struct([field.with_type(mapped(field.type)) for field in type])
        return leaf(type)

    fields = [field.with_type(mapped(field.type)) for field in batch.schema]
    return batch.cast(pyarrow.schema(fields), safe=safe)


def _twice(fields: Any) -> str | None:
    """A name that two of the fields have, or two below one of them."""
    fields = list(fields)
    names = [field.name for field in fields]
    if twice := [name for name in names if names.count(name) > 1]:
        return str(twice[0])
    below = ([field.type.field(place) for place in range(field.type.num_fields)] for field in fields)
    return next((found for found in map(_twice, below) if found is not None), None)


def _has_infinity(pyarrow: Any, batch: Any) -> bool:
    """Whether one of the floats of a batch is infinite, at any depth."""
    import pyarrow.compute as compute

    leaves = list(batch.columns)
    while leaves:
        leaf = leaves.pop()
        if pyarrow.types.is_floating(leaf.type):
            if compute.any(compute.is_inf(leaf)).as_py():
                return True
        elif pyarrow.types.is_struct(leaf.type):
            leaves += leaf.flatten()
        elif hasattr(leaf, "flatten"):
            leaves.append(leaf.flatten())
    return False


def _is_json(pyarrow: Any, type: Any) -> bool:
    """Whether values of this Arrow type come as JSON's own types."""
    types = pyarrow.types
    if types.is_list(type) or types.is_large_list(type):
        return _is_json(pyarrow, type.value_type)
    if types.is_struct(type):
        return all(_is_json(pyarrow, field.type) for field in type)
    plain = (
        types.is_string,
        types.is_large_string,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_null,
    )
    return any(test(type) for test in plain)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
