"""Writing Parquet (optional, by pyarrow).

A Parquet file can be read only once it is complete, and its columns' types are fixed with its first rows. So
the rows go as JSON Lines into `PATH.partial`, readable at any time, and become Parquet when all are there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from llmx.records.growing import Growing
from llmx.records.parquet import BATCH, require_pyarrow
from llmx.records.partials import building_of
from llmx.records.targets import FileTarget, Target, failed
from llmx.records.values import to_json
from llmx.system import system

__all__ = ["ParquetSink"]

COPIED = 2**16
"""Bytes that are handed to a stream at a time."""


class ParquetSink:
    """Rows to a Parquet file, one `BATCH` in memory at a time.

    One pass over the rows finds the types, one writes. A column whose values have no type in common (numbers
    and text, say) becomes text, with the values that are none as JSON.

    Args:
        place: where the file will be; not looked at when there is a stream.
        stream: stdout, a pipe or a device, whose rows wait in a temporary file; None for a file.
        shown: the output's name for messages.
        whole: columns that are text, objects in them as JSON: their names differ from row to row, so that a type for all
            would have every name in every row, and nobody could tell a null from a name that is not there.
    """

    def __init__(
        self, place: Path | None, stream: Target | None, shown: str, whole: Collection[str] = ()
    ) -> None:
        self._pyarrow = require_pyarrow()
        self._stream = stream
        self._shown = shown
        self._whole = whole
        self._ended = False
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if stream is not None or place is None:
            self._folder = tempfile.TemporaryDirectory(prefix="llmx-")
            place = Path(self._folder.name, "rows.parquet")
        self._rows = FileTarget(place, shown)
        self.warnings: list[str] = []

    @property
    def rows_left(self) -> Path | None:
        """See `Sink.rows_left`."""
        return None if self._folder is not None else self._rows.rows_left

    @property
    def growing(self) -> Growing | None:
        """See `Sink.growing`: the file is no rows."""
        return None

    def write(self, *rows: Mapping[str, Any]) -> None:
        """See `Sink.write`."""
        for row in rows:
            self._rows.write(to_json(dict(row)) + b"\n")

    @property
    def taken(self) -> bool:
        """See `Sink.taken`: rows wait in a file until all are there."""
        return self._stream is None or self._stream.taken

    async def drained(self) -> None:
        """See `Sink.drained`."""
        if self._stream is not None:
            await self._stream.drained()

    def ending(self) -> Iterator[None]:
        """See `Sink.ending`: the file is made of the rows, and handed to a stream bit by bit."""
        if self._ended:
            return
        self._ended = True
        self._complete()
        if self._folder is not None and self._stream is not None:
            with self._folder, self._rows.path.open("rb") as file:
                while chunk := file.read(COPIED):
                    self._stream.write(chunk)
                    yield

    def close(self) -> None:
        """See `Sink.close`."""
        for _ in self.ending():
            pass
        if self._stream is not None:
            self._stream.close()

    def _complete(self) -> None:
        built = building_of(self._rows.path)
        try:
            self._rows.begin()
            texts = self._build(self._rows.partial, built)
            with built.open("rb") as file:
                system().sync(file.fileno())
        except OSError as error:
            built.unlink(missing_ok=True)
            self._rows.abandon()
            raise failed(self._shown, error) from error
        self._rows.close_as(built)
        if texts:
            names = ", ".join(map(repr, texts))
            self.warnings.append(f"columns that hold values of several types were written as text: {names}")

    def abandon(self) -> None:
        """See `Sink.abandon`; for a stream nothing is written, unless that has begun."""
        if not self._ended:
            self._rows.abandon()
        if self._folder is not None and self._stream is not None:
            self._folder.cleanup()
            self._stream.abandon()

    def _build(self, rows: Path, built: Path) -> list[str]:
        """Write all rows to `built`; returns the columns that had to become text."""
        types = _column_types(self._pyarrow, rows)
        types |= dict.fromkeys((name for name in types if name in self._whole), None)
        while True:  # once more for every column whose values turn out not to fit: too large integers
            try:
                self._write_all(types, rows, built)
            except _Misfit as misfit:
                types[misfit.column] = None
            else:
                return [name for name, type in types.items() if type is None and name not in self._whole]

    def _write_all(self, types: Mapping[str, Any], rows: Path, built: Path) -> None:
        pyarrow = self._pyarrow
        fields = [(name, pyarrow.string() if type is None else type) for name, type in types.items()]
        schema = pyarrow.schema(fields)
        with pyarrow.parquet.ParquetWriter(built, schema) as writer:
            for batch in _batches(rows):
                columns = [_column(pyarrow, name, type, batch) for name, type in types.items()]
                writer.write_batch(pyarrow.record_batch(columns, schema=schema))


class _Misfit(Exception):
    """A column's values do not fit the type that was found for it."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def _batches(rows: Path) -> Iterator[list[dict[str, Any]]]:
    with rows.open("rb") as file:
        # The standard library's parser, since orjson's turns integers beyond 64 bits into floats.
        while batch := [json.loads(line) for line in islice(file, BATCH)]:
            yield batch


def _column_types(pyarrow: Any, rows: Path) -> dict[str, Any]:
    """Column -> its Arrow type, None for text since nothing else fits; in the order in which they come."""
    types: dict[str, Any] = {}
    for batch in _batches(rows):
        for name in dict.fromkeys(name for row in batch for name in row):
            found = _type_of(pyarrow, [row.get(name) for row in batch])
            types[name] = _widened(pyarrow, types[name], found) if name in types else found
    return {
        name: None if type is None or _has_empty_struct(pyarrow, type) else type
        for name, type in types.items()
    }


def _type_of(pyarrow: Any, values: list[Any]) -> Any:
    try:
        return pyarrow.infer_type(values)
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError):
        return None


def _widened(pyarrow: Any, one: Any, other: Any) -> Any:
    """The narrowest type for the values of both, None when there is none but text."""
    if one is None or other is None or one == other:
        return one if one == other else None
    schemas = [pyarrow.schema([("column", type)]) for type in (one, other)]
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pyarrow.ArrowException:
        return None


def _has_empty_struct(pyarrow: Any, type: Any) -> bool:
    """Parquet cannot hold an object without fields."""
    if pyarrow.types.is_struct(type):
        return type.num_fields == 0 or any(_has_empty_struct(pyarrow, field.type) for field in type)
    return pyarrow.types.is_list(type) and _has_empty_struct(pyarrow, type.value_type)


def _column(pyarrow: Any, name: str, type: Any, batch: list[dict[str, Any]]) -> Any:
    values = [row.get(name) for row in batch]
    if type is None:
        return pyarrow.array([_text(value) for value in values], type=pyarrow.string())
    try:
        return pyarrow.array(values, type=type)
    except (pyarrow.ArrowException, OverflowError, ValueError, TypeError) as error:
        raise _Misfit(name) from error


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else to_json(value).decode()
