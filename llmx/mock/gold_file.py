"""The gold file: rows and their right answers, read whole when the simulated provider starts.

It knows of no schema: what of a row is an answer, where there is no column `gold`, is settled when a request
says which fields it asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from msgspec import structs

from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.mock.gold_settings import GoldSettings
from llmx.records import Unreadable, open_source, to_json
from llmx.text import nearest
from llmx.types import Record

__all__ = ["GOLD", "GoldRow", "fields_of", "plain_text", "read_gold"]

GOLD = "gold"
"""The column that holds a whole answer."""

_USUAL_KEY = "id"
_FLAT = frozenset({".csv", ".tsv"})


@dataclass(frozen=True, slots=True, eq=False)
class GoldRow:
    """One row of the gold file.

    Args:
        key: what the truth names it by.
        key_column: the column that the key is in, None where it is the row's number.
        columns: what a model may be shown, as text; the answers too, where they are columns.
        answer: the column `gold`, parsed where it is JSON text; None where the file has no such column.
        cells: all of the row's columns.
    """

    key: str
    key_column: str | None
    columns: Mapping[str, str]
    answer: Any
    cells: Mapping[str, Any]

    @property
    def is_whole(self) -> bool:
        """Whether the answer is in a column of its own, so that no other column is part of it."""
        return GOLD in self.cells


def read_gold(settings: GoldSettings, env: Environment) -> list[GoldRow]:
    """All rows of the gold file, with the columns of the rows' own file where there is one.

    Raises:
        UsageError: a file is not there or empty, a line is no row, a key is missing or comes twice, or the two
            files have no key in common.
    """
    records = _records(settings.path, env)
    key = _key_column(settings, records)
    keys = _keys(records, key, settings.path)
    shown: Mapping[str, Mapping[str, Any]] = {}
    if settings.rows is not None:
        shown = _rows_by_key(settings, key, set(keys), env)
    return [_gold_row(record, name, key, shown) for name, record in zip(keys, records, strict=True)]


def fields_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as an object: those with dots in their names are nested, as a flat file has them."""
    fields: dict[str, Any] = {}
    for name, value in cells.items():
        *above, last = name.split(".")
        inner = fields
        for step in above:
            below = inner.setdefault(step, {})
            if not isinstance(below, dict):  # columns `a` and `a.b`: the second is no part of the first
                break
            inner = below
        else:
            inner[last] = value
    return fields | dict(cells)


def plain_text(value: Any) -> str:
    """A value as a row's text has it, the same whether it comes from CSV or JSON; null is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _records(path: Path, env: Environment) -> list[Record]:
    source = open_source([str(path)], env=env)
    records = []
    for record in source:
        if isinstance(record, Unreadable):
            raise UsageError(str(record.error), hint=f"correct {path}, or leave that line out")
        records.append(record)
    if not _FLAT.isdisjoint(path.suffixes):
        records = [_with_nulls(record) for record in records]
    if not records:
        raise UsageError(f"{path}: no rows", hint="a gold file has rows with their right answers")
    return records


def _with_nulls(record: Record) -> Record:
    """An empty cell is no value: flat files have no other null."""
    cells = {name: None if value == "" else value for name, value in record.data.items()}
    return structs.replace(record, data=cells)


def _key_column(settings: GoldSettings, records: Iterable[Record]) -> str | None:
    columns = list(dict.fromkeys(name for record in records for name in record.data))
    if settings.key is None:
        if _USUAL_KEY in columns:
            return _USUAL_KEY
        if settings.rows is not None:
            raise UsageError(
                f"{settings.path}: no column {_USUAL_KEY!r} to find its rows in {settings.rows} by",
                hint="name the column that both files have: --gold-key COL",
            )
        return None
    if settings.key not in columns:
        near = nearest(settings.key, columns)
        raise UsageError(
            f"{settings.path}: no column {settings.key!r} among {', '.join(columns)}",
            hint=f"--gold-key {near}" if near else "name one of them with --gold-key",
        )
    return settings.key


def _keys(records: list[Record], column: str | None, path: Path) -> list[str]:
    """Each row's key; no two are the same."""
    if column is None:
        return [str(number) for number in range(1, len(records) + 1)]
    places: dict[str, Record] = {}
    for record in records:
        key = plain_text(record.data.get(column))
        if not key:
            raise UsageError(
                f"{_place(record, path)}: no value in the key column {column!r}",
                hint="give every row a key, or name another column with --gold-key",
            )
        if key in places:
            raise UsageError(
                f"{_place(record, path)}: {column} {key!r} is that of {_place(places[key], path)} already",
                hint="a gold file has one row for each key; name another column with --gold-key",
            )
        places[key] = record
    return list(places)


def _place(record: Record, path: Path) -> str:
    return f"{path}:{record.line}" if record.line is not None else f"{path}, row {record.index + 1}"


def _rows_by_key(
    settings: GoldSettings, key: str | None, wanted: set[str], env: Environment
) -> dict[str, Mapping[str, Any]]:
    assert key is not None, "_key_column refuses a file of rows without a key"
    assert settings.rows is not None
    found: dict[str, Mapping[str, Any]] = {}
    for record in _records(settings.rows, env):
        name = plain_text(record.data.get(key))
        if name in wanted:
            found.setdefault(name, record.data)
    if not found:
        raise UsageError(
            f"{settings.rows}: no row has a {key!r} that {settings.path} has",
            hint="name the column that both files have: --gold-key COL",
        )
    return found


def _gold_row(record: Record, name: str, key: str | None, shown: Mapping[str, Mapping[str, Any]]) -> GoldRow:
    cells = {column.strip(): value for column, value in record.data.items()}
    columns = shown.get(name, {}) if shown else record.data
    return GoldRow(
        key=name,
        key_column=key,
        columns={
            column: plain_text(value)
            for column, value in columns.items()
            if column.strip() != GOLD and not column.strip().startswith("_")
        },
        answer=_parsed(cells.get(GOLD)),
        cells=cells,
    )


def _parsed(answer: Any) -> Any:
    """A flat file has an answer as JSON text."""
    if isinstance(answer, str) and answer.lstrip().startswith("{"):
        try:
            return orjson.loads(answer)
        except orjson.JSONDecodeError:
            return answer
    return answer
