"""From rows to a proposed schema file: which columns are looked at, and what is made of them.

It reads each row once and keeps what `llmx.schemas.inference.seen` keeps of it. It opens and writes no files.
"""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from llmx.errors import UsageError
from llmx.schemas.inference.decide import Note, decide
from llmx.schemas.inference.seen import Seen, see_row
from llmx.schemas.inference.written import written
from llmx.text import nearest, plural
from llmx.types import Record, Unreadable

__all__ = ["Inferred", "infer"]

GOLD = "gold"
_KEYS = frozenset({"id", "key", "uuid", "index"})
_LONG_TEXT = 200
"""Characters: a column with longer texts is what a model reads, not what it is to answer."""
_INPUTS = frozenset({"text", "body", "content", "document", "message"})
_WHOLE = "What one row says, field by field; nothing is guessed."


class Inferred(Struct, frozen=True):
    """A proposed schema file.

    Args:
        source: the file's text.
        notes: what was decided and why, in the order of the fields, then what was left out.
        rows: how many rows it was made from.
        skipped: rows that could not be read, or had no gold answer.
        gold: the column whose objects were looked at, None where columns were.
    """

    source: str
    notes: tuple[Note, ...]
    rows: int
    skipped: int
    gold: str | None


def infer(
    rows: Iterable[Record | Unreadable],
    *,
    columns: Sequence[str] = (),
    gold: str | None = None,
    name: str = "Row",
    as_text: bool = False,
    examples: bool = True,
) -> Inferred:
    """Propose a Pydantic model that accepts the answers in these rows.

    Args:
        rows: read once; memory does not grow with them.
        columns: those that are fields. None given: the `gold` column where the first row has one, else all but
            those that begin with "_", keys, and what looks like the text that a model reads.
        gold: the column that holds objects with the fields.
        name: of the class.
        as_text: the rows come of a format that has only texts (CSV): a text of digits is a number, an empty one
            no value.
        examples: short texts out of the rows may stand in descriptions.

    Raises:
        UsageError: no row has what is asked for, a gold answer is no object, or `name` cannot be a class's.
    """
    _check_name(name)
    reading = _Reading(tuple(columns), gold, as_text)
    for row in rows:
        reading.add(row)
    seen = reading.seen()
    proposal = decide(seen, name, _WHOLE, as_text=as_text, examples=examples)
    if not proposal.model.fields:
        raise UsageError("no column has a value to make a field of", hint="name some with --columns")
    title = f"Proposed by `llmx schema infer` from {plural(reading.rows, 'row')}; the descriptions are what a model reads."
    notes = (*proposal.notes, *reading.left_out())
    ordered = tuple(sorted(notes, key=lambda note: note.left_out))
    return Inferred(written(proposal.model, title), ordered, reading.rows, reading.skipped, reading.gold)


def _check_name(name: str) -> None:
    if not (name.isidentifier() and name.isascii()) or keyword.iskeyword(name) or name.startswith("_"):
        raise UsageError(f"--name {name!r} cannot be the name of a class", hint="--name Invoice")
    if name in ("BaseModel", "Field", "Literal", "Annotated", "Any", "datetime", "ConfigDict"):
        raise UsageError(f"--name {name!r} is taken by what the file imports", hint="--name Invoice")


class _Reading:
    """Rows as they are read: what is looked at, and how many had it."""

    def __init__(self, columns: tuple[str, ...], gold: str | None, as_text: bool) -> None:
        self.gold = gold
        self.rows = self.skipped = 0
        self._columns, self._as_text = columns, as_text
        self._seen = Seen()
        self._known: dict[str, None] = {}
        self._first = True
        self._unreadable = ""
        self._why: list[Note] = []

    def add(self, row: Record | Unreadable) -> None:
        if isinstance(row, Unreadable):
            self.skipped += 1
            self._unreadable = self._unreadable or str(row.error)
            return
        if self._first:
            self._begin(row.data)
        answer = self._answer(row)
        if answer is None:
            self.skipped += 1
            return
        see_row(self._seen, answer, row.index)
        self.rows += 1

    def _begin(self, data: Mapping[str, Any]) -> None:
        self._first = False
        if self.gold is None and not self._columns and GOLD in data:
            self.gold = GOLD

    def _answer(self, row: Record) -> Mapping[str, Any] | None:
        """What of a row is looked at; None where there is nothing."""
        if len(self._known) < 100:  # names for a hint
            self._known |= dict.fromkeys(row.data)
        if self.gold is not None:
            return self._of_gold(row)
        if self._columns:
            return {name: self._value(row.data[name]) for name in self._columns if self._has(row.data, name)}
        wanted = (name for name in row.data if not name.startswith("_") and name.lower() not in _KEYS)
        return {name: self._value(row.data[name]) for name in wanted if self._has(row.data, name)}

    def _has(self, data: Mapping[str, Any], name: str) -> bool:
        return name in data and not (self._as_text and data[name] == "")

    def _value(self, value: Any) -> Any:
        """A cell that is a list or object written as JSON, as CSV has them, as what it is."""
        if not self._as_text or not isinstance(value, str) or value[:1] not in "[{":
            return value
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value

    def _of_gold(self, row: Record) -> Mapping[str, Any] | None:
        value = row.data.get(str(self.gold))
        if isinstance(value, str) and value.startswith("{"):
            value = _read(value)
        if value is None or value == "":
            return None
        if not isinstance(value, Mapping):
            where = f"{row.origin}:{row.line}" if row.line else row.origin
            shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
            raise UsageError(
                f"{where}: {self.gold!r} is {shown}, not an object with the fields",
                hint=f"--columns {self.gold} makes the column itself a field",
            )
        return value

    def seen(self) -> Seen:
        """What was seen, without columns that are no answers. Raises UsageError where nothing was."""
        if not self.rows:
            if self._unreadable and not self._known:
                raise UsageError(f"there is no row that can be read: {self._unreadable}", hint=self._hint())
            what = f"a value in {self.gold!r}" if self.gold and self.skipped else "a row"
            raise UsageError(
                f"there is no row with {what}" if self.gold else "there is no row", hint=self._hint()
            )
        objects = self._seen.objects
        if objects is None or objects.fields is None:
            raise UsageError(
                "the rows have more different keys than a schema has fields: they are data, not names",
                hint="choose some with --columns",
            )
        self._check_columns(objects.fields)
        if self.gold is None and not self._columns:
            for name in [name for name, inner in objects.fields.items() if _is_input(name, inner)]:
                del objects.fields[name]
                self._why.append(
                    Note(
                        name, f"looks like the text to read; --columns {name} makes it a field", left_out=True
                    )
                )
        return self._seen

    def _check_columns(self, found: Mapping[str, Seen]) -> None:
        for name in self._columns:
            if name not in self._known and name not in found:
                close = nearest(name, self._known)
                meant = f"did you mean {close!r}? " if close else ""
                raise UsageError(f"no row has a column {name!r}", hint=f"{meant}columns: {self._names()}")

    def _names(self) -> str:
        names = list(self._known)
        return ", ".join(names[:12]) + (", …" if len(names) > 12 else "")

    def _hint(self) -> str:
        return (
            f"columns: {self._names()}; choose with --columns or --gold"
            if self._known
            else "give a file with rows"
        )

    def left_out(self) -> list[Note]:
        """Columns that were not looked at, for a run that was told none."""
        if self.gold is not None or self._columns:
            return self._why
        keys = [name for name in self._known if name.lower() in _KEYS]
        return [*self._why, *(Note(name, "tells rows apart", left_out=True) for name in keys)]


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_input(name: str, seen: Seen) -> bool:
    if seen.texts is None:
        return False
    return seen.texts.longest > _LONG_TEXT or name.lower() in _INPUTS
