"""What stands in each field of many rows: how often it is missing, its values or how they are spread, in bounded memory.

Folded from rows one by one; what becomes of the figures is the page's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmx.pages.numbers import NumberBins

__all__ = ["FieldFigures", "Fields", "general"]

MOST_FIELDS = 200
"""Paths that are followed; objects whose names are data would have any number of them."""

MOST_VALUES = 1_000
"""Different values of a field that are counted; where there are more it is no choice."""

LONGEST_VALUE = 120
"""Code points of a value that may be one of a choice."""

SHOWN = 12
"""Values that are shown."""

CHOICES = 40
"""A field with at most so many different values, each of which comes thrice on average, is a choice."""

NUMBERS_AS_CHOICES = 12
"""The same for numbers."""

_ELEMENT = re.compile(r"\.\d+(?=\.|$)")
_TYPES = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", dict: "object"}


def general(path: str) -> str:
    """The field that a path into one row belongs to: `items.0.name` is one of `items[].name`."""
    return _ELEMENT.sub("[]", path)


class FieldFigures:
    """One field.

    Attributes:
        present: values that are not null.
    """

    def __init__(self, path: str, column: str) -> None:
        self.path, self.column = path, column
        self.present = self.null = self.empty = self.wrong = 0
        self._types: dict[str, int] = {}
        self._values: dict[Any, int] = {}
        self._many = False
        self._numbers, self._lengths = NumberBins(), NumberBins()
        self._texts_are_numbers = True
        self._evidence: dict[str, int] = {}
        self._confidence = [0] * 10
        self._confident = 0.0

    def add(self, value: Any) -> None:
        """Count one value."""
        if value is None:
            self.null += 1
            return
        self.present += 1
        kind = _TYPES.get(type(value), "other")
        self._types[kind] = self._types.get(kind, 0) + 1
        if kind == "number":
            self._numbers.add(value)
            self._tally(value)
        elif kind == "text":
            self._text(value)
        elif kind == "boolean":
            self._tally(value)
        elif kind == "list":
            self.empty += not value
            self._lengths.add(len(value))

    def _text(self, value: str) -> None:
        self.empty += not value
        self._lengths.add(len(value))
        self._tally(value)
        if self._texts_are_numbers and value:
            try:
                self._numbers.add(float(_number(value)))
            except ValueError:
                self._texts_are_numbers = False

    def _tally(self, value: Any) -> None:
        if isinstance(value, str) and len(value) > LONGEST_VALUE:
            self._many = True
            return
        key = (type(value) is bool, value)  # True is 1 to a dictionary
        if key in self._values:
            self._values[key] += 1
        elif len(self._values) < MOST_VALUES:
            self._values[key] = 1
        else:
            self._many = True

    def cite(self, match: str) -> None:
        """Count how a value's quote was found in its row: "exact", "normalized", "fuzzy", or "none"."""
        self._evidence[match] = self._evidence.get(match, 0) + 1

    def trust(self, confidence: float) -> None:
        """Count one confidence, 0 to 1."""
        self._confidence[min(9, int(confidence * 10))] += 1
        self._confident += confidence

    @property
    def kind(self) -> str:
        """ "choice", "number", "text", "list", "object", "mixed", or "empty" where all is null."""
        kinds = set(self._types)
        if not kinds:
            return "empty"
        if kinds in ({"list"}, {"object"}):
            return kinds.pop()
        if len(kinds) > 1 or kinds == {"other"}:
            return "mixed"
        if kinds == {"number"} or (kinds == {"text"} and self._texts_are_numbers and self._numbers.count):
            return "choice" if self._is_choice(NUMBERS_AS_CHOICES) else "number"
        return "choice" if kinds == {"boolean"} or self._is_choice(CHOICES) else "text"

    def _is_choice(self, most: int) -> bool:
        return not self._many and len(self._values) <= most and self.present >= 3 * len(self._values)

    def as_json(self) -> dict[str, Any]:
        """What there is to show."""
        kind = self.kind
        said = {"path": self.path, "column": self.column, "kind": kind, "present": self.present}
        said |= {"null": self.null, "empty": self.empty, "types": self._types, "wrong": self.wrong}
        if kind in ("choice", "text", "mixed"):
            said |= self._top(ordered=kind == "choice")
        if kind == "number":
            said["numbers"] = self._numbers.as_json()
        if kind in ("text", "list", "mixed"):
            said["lengths"] = self._lengths.as_json()
        if self._evidence:
            said["evidence"] = self._evidence
        if trusted := sum(self._confidence):
            said["confidence"] = {"bins": self._confidence, "mean": self._confident / trusted}
        return said

    def _top(self, *, ordered: bool) -> dict[str, Any]:
        """The commonest values; of a choice all that there is room for, numbers in their order."""
        counted = [(value, count) for (_, value), count in self._values.items()]
        counted.sort(key=lambda pair: -pair[1])
        top = counted[:SHOWN] if ordered else [pair for pair in counted[:8] if pair[1] > 1]
        if self._many and not ordered:
            top = []  # counts of values that came late would be too low
        if ordered and not any(isinstance(value, str) for value, _ in top):
            top.sort(key=lambda pair: pair[0])
        others = sum(count for _, count in counted) - sum(count for _, count in top)
        distinct = None if self._many else len(counted)
        return {"values": [list(pair) for pair in top], "distinct": distinct, "others": others}


def _number(text: str) -> str:
    """A text that stands for a number. Raises ValueError: of "007" and " 7" the digits are no quantity."""
    if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text, re.ASCII) is None:
        raise ValueError(text)
    return text


class Fields:
    """All fields of some rows.

    Attributes:
        rows: how many were added.
        left_out: values whose paths are beyond the `MOST_FIELDS` that are followed.
    """

    def __init__(self) -> None:
        self.rows = self.left_out = 0
        self._figures: dict[str, FieldFigures] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count the fields of one row, without what is said about them."""
        self.rows += 1
        for column, value in row.items():
            self._walk(column, column, value, 0)

    def _walk(self, path: str, column: str, value: Any, depth: int) -> None:
        figures = self._of(path, column)
        if figures is None:
            return
        figures.add(value)
        if depth >= 6:
            return
        if isinstance(value, dict):
            for name, inner in value.items():
                self._walk(f"{path}.{name}", column, inner, depth + 1)
        elif isinstance(value, list):
            for inner in value:
                self._walk(f"{path}[]", column, inner, depth + 1)

    def _of(self, path: str, column: str) -> FieldFigures | None:
        figures = self._figures.get(path)
        if figures is None:
            if len(self._figures) >= MOST_FIELDS:
                self.left_out += 1
                return None
            figures = self._figures[path] = FieldFigures(path, column)
        return figures

    def about(self, path: str) -> FieldFigures | None:
        """The figures of the field that a path into one row belongs to; None of one that was not met."""
        return self._figures.get(path) or self._figures.get(general(path))

    def as_json(self) -> list[dict[str, Any]]:
        """Those that hold values; of objects their fields are enough."""
        return [figures.as_json() | {"rows": self._most(path)} for path, figures in self._figures.items()]

    def _most(self, path: str) -> int:
        """How many values of a field there could be: one for each row, or each element of its list."""
        head, bracket, _ = path.rpartition("[]")
        if not bracket:
            return self.rows
        figures = self._figures[path]
        own = figures.present + figures.null
        elements = self._figures.get(f"{head}[]")
        return own if elements is None or path.endswith("[]") else elements.present
