"""The rows of an output and its failed rows as objects, whatever the format; what a line of text cannot say is restored.

It streams; what becomes of a row is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmx.environment import Environment
from llmx.errors import InputFailed
from llmx.pages.found import Output
from llmx.records import open_source
from llmx.records.integers import loads_object
from llmx.records.lines import Damaged, split_lines
from llmx.records.streams import byte_chunks
from llmx.types import Record

__all__ = ["Row", "columns_in", "columns_of", "failed_rows", "restored", "rows_of"]

Row = dict[str, Any]

_RESERVED = ("_evidence", "_confidence", "_llmx")
"""Columns that hold an object about the row's fields; in CSV, one cell of JSON or a column for each part."""


def rows_of(output: Output, env: Environment) -> Iterator[Row | None]:
    """The rows in their order; None for a line that is no row. Raises UsageError and InputFailed as any reader."""
    if output.path is None:
        return
    if not output.is_whole and output.format == "jsonl":
        yield from _rows_so_far(output.path)
        return
    source = open_source([str(output.path)], env=env)
    mend: Callable[[Mapping[str, Any]], Row] = restored if output.format in ("csv", "tsv") else dict
    try:
        for row in source:
            yield mend(row.data) if isinstance(row, Record) else None
    finally:
        source.close()


def _rows_so_far(path: Path) -> Iterator[Row | None]:
    """Those of a file that is being written: if it is an archive, it has no end yet, which is no fault of it."""
    with suppress(InputFailed):
        yield from failed_rows(path)


def columns_of(paths: list[str], env: Environment, format: str | None = None) -> list[str]:
    """The names of the columns of some inputs, as far as their first rows tell. Raises UsageError."""
    source = open_source(paths, env=env, format=format)
    source.close()
    return list(source.columns)


def columns_in(output: Output, env: Environment) -> list[str]:
    """The columns of an output, as far as its first rows tell; none where it has no row yet. Raises UsageError."""
    if output.path is None:
        return []
    if output.is_whole:
        return columns_of([str(output.path)], env)
    return list(next((row for row in rows_of(output, env) if row is not None), {}))


def failed_rows(path: Path | None) -> Iterator[Row | None]:
    """The rows of a file of failed rows with their `_error`; None for a line that is none of ours.

    Raises:
        InputFailed: it is an archive that is cut or damaged.
    """
    if path is None:
        return
    try:
        with path.open("rb") as file:
            for line in split_lines(byte_chunks(file)):
                if not isinstance(line, bytes) or line.strip():
                    yield loads_object(line) if isinstance(line, bytes) else None
    except Damaged as error:
        raise InputFailed(f"{str(path)!r}: {error}", hint=error.hint) from error


def restored(row: Mapping[str, Any]) -> Row:
    """A row of CSV as it was before it became text: empty cells are null, cells of JSON are lists and objects.

    Numbers stay text: whether "007" is one is for the whole column to say, see `fields`.
    """
    plain = {name: _cell(value) for name, value in row.items()}
    return _nested(plain) if any(name.startswith(_RESERVED) for name in plain) else plain


def _cell(value: Any) -> Any:
    if value == "":
        return None
    if not isinstance(value, str) or value[0] not in "[{":
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, dict | list) else value


def _nested(row: Row) -> Row:
    """The same, with `_llmx.cost` within `_llmx`, and `_evidence.a.b.quote` within `a.b` of `_evidence`."""
    whole: Row = {}
    for name, value in row.items():
        head, _, rest = name.partition(".")
        if head not in _RESERVED or not rest:
            whole[name] = value
            continue
        inner = whole.setdefault(head, {})
        path, _, part = rest.rpartition(".")
        if head == "_evidence" and path:
            inner.setdefault(path, {})[part] = value
        else:
            inner[rest] = value
    return whole
