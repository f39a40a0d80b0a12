"""Reading Parquet, batch by batch (optional, by pyarrow)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from llmx.errors import UsageError
from llmx.records.compression import decompressed
from llmx.records.lines import Damaged
from llmx.records.reader import Row
from llmx.records.streams import raw_chunks
from llmx.records.values import to_json

__all__ = ["BATCH", "ParquetReader", "parquet_rows", "require_pyarrow", "seekable"]

BATCH = 1_000
"""Rows that are held in memory at a time."""


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

    Args:
        stream: a file that can be sought in; see `seekable`.
        origin: the file's name for messages.
    """

    def __init__(self, stream: BinaryIO, origin: str) -> None:
        self._pyarrow = require_pyarrow()
        self._origin = origin
        try:
            self._file = self._pyarrow.parquet.ParquetFile(stream)
        except (self._pyarrow.ArrowException, OSError) as error:
            raise UsageError(f"{origin}: not a Parquet file: {_first_line(error)}") from error

    def columns(self) -> list[str]:
        """The schema's names. Raises UsageError when two columns have one name."""
        names: list[str] = self._file.schema_arrow.names
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"{self._origin}: two columns are called {twice[0]!r}")
        return [name for name in names if name != "_error"]

    def rows(self) -> Iterator[Row]:
        """The rows; they have no line numbers."""
        names = self.columns()
        types = {self._file.schema_arrow.field(name).type for name in names}
        plain = all(_is_json(self._pyarrow, type) for type in types)
        try:
            for batch in self._file.iter_batches(batch_size=BATCH, columns=names):
                for row in batch.to_pylist() if plain else self._values(batch):
                    yield None, row if plain else orjson.loads(to_json(row))
        except (self._pyarrow.ArrowException, OSError, ValueError) as error:
            raise Damaged(f"cannot read on: {_first_line(error)}") from error

    def _values(self, batch: Any) -> list[dict[str, Any]]:
        """The rows of a batch; a time that Python's types have no room for as text, and so its row's others."""
        try:
            return list(_cast(self._pyarrow, batch, self._to_microseconds).to_pylist())
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


def seekable(stream: BinaryIO, origin: str) -> BinaryIO:
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
        for chunk in decompressed(raw_chunks(stream)):
            spool.write(chunk)
    except Damaged as error:
        spool.close()
        raise UsageError(f"{origin}: {error}") from error
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
