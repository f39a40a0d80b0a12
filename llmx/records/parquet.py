"""Reading Parquet, batch by batch (optional, by pyarrow)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from llmx.errors import UnreadableRow, UsageError
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
                for row in batch.to_pylist():
                    yield None, row if plain else orjson.loads(to_json(row))
        except (self._pyarrow.ArrowException, OSError, ValueError) as error:
            yield None, UnreadableRow(f"{self._origin}: cannot read on: {_first_line(error)}", raw="")


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
