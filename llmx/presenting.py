"""From outcomes to output rows: between a row's answer and its being counted.

A row whose output cannot be made is a failed row, so this comes before anybody counts it. Nothing is
written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from llmx.errors import RowError
from llmx.records import Shape
from llmx.schemas import Schema
from llmx.types import Outcome, Record

__all__ = ["FlatRows", "NoRows", "Presenter"]


class Presenter(Protocol):
    """What is made of outcomes."""

    def check(self, record: Record) -> None:
        """Raise a RowError for a row of which nothing can be made: before its call, so nothing is spent."""
        ...

    def present(self, outcome: Outcome) -> Outcome:
        """The good outcome with its rows, or a failed one with the same costs."""
        ...


class FlatRows:
    """Flat output rows, input columns and extracted fields side by side.

    Args:
        list_fields: the schema's lists, each with the fields of its elements.
        taken: further names that no column which comes late may have: parts of fields, in a flat file.
    """

    def __init__(
        self,
        shape: Shape,
        schema: Schema,
        list_fields: Mapping[str, Iterable[str]],
        taken: Iterable[str] = (),
    ) -> None:
        self._shape = shape
        self._schema = schema
        self._check = shape.row_check(schema.fields, list_fields, taken)

    def check(self, record: Record) -> None:
        """See `Presenter.check`: a late column that a field would overwrite."""
        self._check(record.data)

    def present(self, outcome: Outcome) -> Outcome:
        """See `Presenter.present`."""
        assert isinstance(outcome.record, Record)
        try:
            extracted = self._schema.dump(outcome.value)
            meta = _provenance(outcome) if self._shape.meta else None
            rows = self._shape.rows(outcome.record.data, extracted, meta)
        except RowError as error:
            return replace(outcome, value=None, error=error, raw=error.raw)
        return outcome.presented(rows)


class NoRows:
    """A library's caller wants values, not rows."""

    def check(self, record: Record) -> None:
        """See `Presenter.check`."""

    def present(self, outcome: Outcome) -> Outcome:
        """See `Presenter.present`."""
        return outcome


def _provenance(outcome: Outcome) -> dict[str, Any]:
    cost = outcome.all_cost
    return {
        "model": outcome.model,
        "source": outcome.source,
        "attempts": outcome.all_attempts,
        "cost": None if cost is None else float(cost),
    }
