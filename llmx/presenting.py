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
from llmx.records.shape import CONFIDENCE, EVIDENCE
from llmx.schemas import Schema
from llmx.types import Outcome, Quality, Quote, Record

__all__ = ["FlatRows", "NoRows", "Presenter"]

Path = tuple[str | int, ...]

CONFIDENCE_DIGITS = 6


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
            known = {} if outcome.quality is None else self._known(outcome.value, outcome.quality)
            rows = self._shape.rows(outcome.record.data, extracted, meta, known)
        except RowError as error:
            return replace(outcome, value=None, error=error, raw=error.raw)
        return outcome.presented(rows)

    def _known(self, value: Any, quality: Quality) -> dict[str, dict[Path, Any]]:
        """What is asked for of an answer's quality, by column and by the values' paths in the output."""
        from llmx.quality.leaves import written_paths

        known: dict[str, Mapping[Path, Any]] = {}
        if self._shape.evidence:
            known[EVIDENCE] = {path: _as_cell(quote) for path, quote in (quality.evidence or {}).items()}
        if self._shape.confidence:
            sure = quality.confidence or {}
            known[CONFIDENCE] = {path: round(share, CONFIDENCE_DIGITS) for path, share in sure.items()}
        return {
            column: {written_paths(value, path): about for path, about in values.items()}
            for column, values in known.items()
        }


def _as_cell(quote: Quote | None) -> dict[str, Any] | None:
    if quote is None:
        return None
    return {
        "quote": quote.text,
        "column": quote.column,
        "start": quote.start,
        "end": quote.end,
        "match": quote.match,
    }


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
        **({"similarity": min(like.similarity for like in outcome.likenesses)} if outcome.likenesses else {}),
    }
