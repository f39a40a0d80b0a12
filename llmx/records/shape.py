"""What an output row looks like: which columns stay, where the extracted fields go, what is added.

Nothing is added but what the user asks for. All names that are known are checked against each other before
the first call, those of each row when it comes, so that no column is ever overwritten by a field.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from llmx.errors import LlmxError, UnreadableRow, UsageError
from llmx.records.reader import Unreadable
from llmx.records.values import to_json
from llmx.text import nearest
from llmx.types import Record

__all__ = ["CONFIDENCE", "EVIDENCE", "Shape", "error_row"]

_POSITION = "_item"
_META = "_llmx"
EVIDENCE = "_evidence"
CONFIDENCE = "_confidence"

Path = tuple[str | int, ...]
_TWICE_HINT = "leave out --explode, or rename one in the schema"


class Shape(Struct, frozen=True):
    """How a row and what was extracted from it become output rows.

    Args:
        keep: the input columns that stay: "all", "none", or their names.
        prefix: put before the name of every extracted field; not together with `into`.
        into: the one field that holds the extracted object; None spreads its fields over the row.
        explode: a list field: one output row per element, with `_item`, the element's position from 0. An
            element that is an object gives its fields, any other stands under the field's name. An empty
            or absent list gives no row; a value that is no list, as a union allows, is one element.
        meta: add `_llmx`, which says where the answer came from.
        evidence: add `_evidence`: for each value, by its dotted path in the output, the words of the row.
        confidence: add `_confidence`: the same with numbers from 0 to 1.
    """

    keep: Literal["all", "none"] | Sequence[str] = "all"
    prefix: str = ""
    into: str | None = None
    explode: str | None = None
    meta: bool = False
    evidence: bool = False
    confidence: bool = False

    def check(
        self, columns: Sequence[str], fields: Iterable[str], list_fields: Mapping[str, Iterable[str]]
    ) -> None:
        """Make sure before the first call that every name stands for one thing.

        Args:
            columns: of the input, as far as they are known.
            fields: of the schema, at its top level.
            list_fields: those that are lists, each with the fields that its elements have.

        Raises:
            UsageError: a kept column would be overwritten, a column of `keep` or the field of `explode` does
                not exist, or two options exclude each other.
        """
        if self.prefix and self.into is not None:
            raise UsageError(
                "--prefix and --into exclude each other", hint="--into alone keeps the names apart"
            )
        for name in self.keep if not isinstance(self.keep, str) else ():
            if columns and name not in columns:  # no columns: no rows, which is no fault of the option
                raise _unknown("--keep", "column", name, columns)
        if self.explode is not None and self.explode not in fields:
            raise _unknown("--explode", "field", self.explode, list(fields))
        if self.explode is not None and self.explode not in list_fields:
            hint = f"the lists are {', '.join(list_fields)}" if list_fields else "the schema has no list"
            raise UsageError(f"--explode {self.explode!r}: that field is not a list", hint=hint)
        self._check_names(columns, fields, list_fields)

    def columns(
        self,
        columns: Sequence[str],
        fields: Mapping[str, Sequence[str]],
        list_fields: Mapping[str, Mapping[str, Sequence[str]]],
    ) -> dict[str, bool]:
        """The columns of a flat file in order, each with whether it is one cell whatever it holds.

        Those of the input may hold objects, of which the first row will tell.

        Args:
            columns: of the input, as far as they are known.
            fields: of the schema, at its top level, each with its columns, as `written_fields` tells them.
            list_fields: those that are lists, each with the fields that its elements have, with their columns.
        """
        kept = self._kept(columns)
        inner = list_fields.get(self.explode or "", {})
        leaves = {
            name: inner.get(name) or fields.get(name) or [name] for name in self._fields(fields, list_fields)
        }
        placed = _spread(self._groups(leaves), kept)
        beside = {name: name in (EVIDENCE, CONFIDENCE) for name in self._beside()}
        return dict.fromkeys(kept, False) | dict.fromkeys(placed, True) | beside

    def row_check(
        self,
        fields: Iterable[str],
        list_fields: Mapping[str, Iterable[str]],
        taken: Iterable[str] = (),
    ) -> Callable[[Mapping[str, Any]], None]:
        """A function that raises UnreadableRow for a row with a column that would be overwritten.

        It is for columns that come after those that `check` has seen, and for the moment before the row's
        call: nothing is spent on it then. The first arguments are those of `check`.

        Args:
            taken: the names of parts of fields, which a flat file has as columns.
        """
        names = (*self._added(fields, list_fields), *taken)
        added = frozenset(names if self.keep == "all" else ())

        def check_row(data: Mapping[str, Any]) -> None:
            if not added.isdisjoint(data):
                raise self._taken(next(name for name in data if name in added))

        return check_row

    def rows(
        self,
        data: Mapping[str, Any],
        extracted: Mapping[str, Any],
        meta: Mapping[str, Any] | None = None,
        known: Mapping[str, Mapping[Path, Any]] = {},
    ) -> list[dict[str, Any]]:
        """The output rows of one record: one, or with `explode` as many as the list has elements.

        Args:
            data: the input row.
            extracted: the schema's fields, as JSON-like values.
            meta: model, source, attempts and cost, for `meta`.
            known: for `evidence` and `confidence`, by column: of each value, by its path in `extracted`.

        Raises:
            UnreadableRow: a column would be overwritten: one that came late, or by a field that the schema
                allows without naming it. Its `raw` is what was extracted.
        """
        kept = self._keep(data)
        given = {_META: dict(meta)} if self.meta and meta is not None else {}
        try:
            if self.explode is None:
                return [self._joined(kept, self._placed(extracted), given, self._about(known, None))]
            return [
                self._joined(kept, self._placed(fields), added, given, self._about(known, position))
                for position, (fields, added) in enumerate(self._parts(extracted, self.explode))
            ]
        except UnreadableRow as error:
            error.raw = to_json(extracted).decode()
            raise

    def _joined(self, *parts: Mapping[str, Any]) -> dict[str, Any]:
        """All parts as one row."""
        row: dict[str, Any] = {}
        size = 0
        for part in parts:
            row |= part
            size += len(part)
        if len(row) < size:
            names = [name for part in parts for name in part]
            raise self._taken(next(name for place, name in enumerate(names) if name in names[:place]))
        return row

    def _taken(self, name: str) -> UnreadableRow:
        hint = self._way_out(name)
        return UnreadableRow(f"the column {name!r} of this row is also {self._what(name)}; {hint}", hint=hint)

    def _check_names(
        self, columns: Sequence[str], fields: Iterable[str], list_fields: Mapping[str, Iterable[str]]
    ) -> None:
        inner = self._fields(fields, list_fields)
        if twice := sorted({name for name in inner if inner.count(name) > 1}):
            raise UsageError(self._twice(twice[0]), hint=_TWICE_HINT)
        kept, added = self._kept(columns), self._added(fields, list_fields)
        if twice := [name for name in added if added.count(name) > 1]:
            raise UsageError(
                f"{twice[0]!r} is a field of the schema and a column that an option adds",
                hint="rename the field, or leave out the option",
            )
        for name in added:
            if name in kept:
                message = f"the input column {name!r} is also {self._what(name)}"
                raise UsageError(message, hint=self._way_out(name))

    def _twice(self, name: str) -> str:
        return f"{name!r} is a field both of the row and of the elements of {self.explode!r}"

    def _what(self, name: str) -> str:
        return "a field of the schema" if self.into is None and name[:1] != "_" else "a column of the output"

    def _way_out(self, name: str) -> str:
        if name in (_POSITION, _META, EVIDENCE, CONFIDENCE):
            return "--keep COLS without it"
        return f"--prefix llm_ or --into {'result' if name != 'result' else 'llm'}, or --keep COLS without {name!r}"

    def _kept(self, columns: Sequence[str]) -> list[str]:
        if isinstance(self.keep, str):
            return list(columns) if self.keep == "all" else []
        return list(self.keep)

    def _keep(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        if isinstance(self.keep, str):
            return data if self.keep == "all" else {}
        return {name: data.get(name) for name in self.keep}

    def extracted(self, fields: Iterable[str], list_fields: Mapping[str, Iterable[str]]) -> list[str]:
        """The names of what is extracted, before prefix and `into`; arguments as in `check`."""
        return self._fields(fields, list_fields)

    def _fields(self, fields: Iterable[str], list_fields: Mapping[str, Iterable[str]]) -> list[str]:
        """The extracted names before prefix and `into`."""
        if self.explode is None:
            return list(fields)
        inner = list_fields.get(self.explode) or (self.explode,)
        return [*(name for name in fields if name != self.explode), *inner]

    def _added(self, fields: Iterable[str], list_fields: Mapping[str, Iterable[str]]) -> list[str]:
        names = self._fields(fields, list_fields)
        placed = [self.into] if self.into is not None else [self.prefix + name for name in names]
        return [*placed, *self._beside()]

    def _beside(self) -> list[str]:
        """What is added beside the extracted fields."""
        columns = {
            _POSITION: self.explode is not None,
            _META: self.meta,
            EVIDENCE: self.evidence,
            CONFIDENCE: self.confidence,
        }
        return [name for name, wanted in columns.items() if wanted]

    def _about(self, known: Mapping[str, Mapping[Path, Any]], position: int | None) -> dict[str, Any]:
        """What is known of the values of one output row, by their dotted paths in it."""
        return {
            column: {
                ".".join(map(str, placed)): about
                for path, about in values.items()
                if (placed := self._placed_path(path, position)) is not None
            }
            for column, values in known.items()
        }

    def _placed_path(self, path: Path, position: int | None) -> Path | None:
        """Where a value is in the output row, None where it is in another one."""
        if position is not None and path[:1] == (self.explode,):
            if path[1:2] != (position,):
                return None
            path = path[2:] or path[:1]
        if self.into is not None:
            return (self.into, *path)
        return (f"{self.prefix}{path[0]}", *path[1:]) if path else path

    def _groups(self, leaves: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Per column of a row that holds extracted fields: the columns of a flat file for it."""
        if self.into is not None:
            return {self.into: [f"{self.into}.{leaf}" for below in leaves.values() for leaf in below]}
        return {self.prefix + name: [self.prefix + leaf for leaf in below] for name, below in leaves.items()}

    def _placed(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.into is not None:
            return {self.into: dict(fields)}
        return {self.prefix + name: value for name, value in fields.items()} if self.prefix else fields

    def _parts(
        self, extracted: Mapping[str, Any], explode: str
    ) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
        """Per output row: the extracted fields, and what is beside them."""
        others = {name: value for name, value in extracted.items() if name != explode}
        value = extracted.get(explode)
        elements = value if isinstance(value, list) else [] if value is None else [value]
        return [
            (self._with_element(others, element), {_POSITION: position})
            for position, element in enumerate(elements)
        ]

    def _with_element(self, others: Mapping[str, Any], element: Any) -> dict[str, Any]:
        inner: Mapping[str, Any] = element if isinstance(element, Mapping) else {str(self.explode): element}
        if twice := [name for name in inner if name in others]:
            raise UnreadableRow(self._twice(twice[0]), hint=_TWICE_HINT)
        return {**others, **inner}


def error_row(
    record: Record | Unreadable,
    error: LlmxError,
    *,
    raw: str | None = None,
    attempts: int = 0,
    cost: Decimal | None = None,
) -> dict[str, Any]:
    """The row for the errors file: the input row and `_error`; it is valid input, which drops `_error` again.

    Args:
        record: the record, or what stands in its place; of the latter only its text is known, as `raw`.
        error: what ended it.
        raw: the last answer's text, None when there was none.
        attempts: calls made for it.
        cost: US dollars spent on it, None when unknown; nothing was spent on an unreadable row.
    """
    details = {
        "type": error.type,
        "message": str(error),
        "line": record.line,
        "raw": record.raw if isinstance(record, Unreadable) else raw,
        "attempts": attempts,
        "cost": None if cost is None else float(cost),
    }
    return {**(record.data if isinstance(record, Record) else {}), "_error": details}


def _spread(groups: Mapping[str, Sequence[str]], kept: Sequence[str]) -> list[str]:
    """The columns of all groups; the group itself is one where a name would stand twice."""
    below = [leaf for name, leaves in groups.items() for leaf in leaves if leaf != name]
    times = Counter([*kept, *groups, *below])
    clash = {name for name, leaves in groups.items() if any(times[leaf] > 1 for leaf in leaves)}
    return [leaf for name, leaves in groups.items() for leaf in ([name] if name in clash else leaves)]


def _unknown(option: str, noun: str, name: str, known: Sequence[str]) -> UsageError:
    like = nearest(name, known)
    there = f"the {noun}s are {', '.join(known)}" if known else f"there are no {noun}s"
    return UsageError(
        f"{option}: no {noun} {name!r}", hint=f"did you mean {like!r}? {there}" if like else there
    )
