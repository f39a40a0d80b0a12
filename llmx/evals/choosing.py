"""How a field is compared where the user does not say: by the types of its right values.

In a file whose cells are all text, the predictions' types say what is meant, and where these are text, too, what all
right values can be read as.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from llmx.evals.dates import is_iso_date
from llmx.evals.joining import Column
from llmx.evals.matching import Comparison, Means
from llmx.evals.values import Kind, as_boolean, as_list, as_number, kind_of

__all__ = ["Choice", "choose"]

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
"""As JSON writes it: 02139 is a code."""

_MEANT: Mapping[str, Means] = {"list": "set", "number": "number", "boolean": "boolean"}


class Choice(Struct, frozen=True):
    """How a field is compared, and by what that was chosen.

    Args:
        expected, predicted: how often each kind of value is there, of gold and of the predictions.
    """

    comparison: Comparison
    expected: Counter[Kind]
    predicted: Counter[Kind]


def choose(
    column: Column, given: Comparison | None, *, gold_texts: bool = False, predicted_texts: bool = False
) -> Choice:
    """How to compare a field.

    Args:
        given: what the user says, None for the default.
        gold_texts, predicted_texts: that side's file has nothing but text, whatever it means.
    """
    expected, predicted = _kinds(column.expected), _kinds(column.predicted)
    if given is None:
        typed = Counter[Kind]() if predicted_texts else predicted
        means = _means(column, expected, typed, gold_texts=gold_texts)
        given = Comparison(means)
    return Choice(given, expected, predicted)


def _kinds(values: Iterable[Any]) -> Counter[Kind]:
    return Counter(kind_of(value) for value in values if value is not None)


def _means(column: Column, expected: Counter[Kind], predicted: Counter[Kind], *, gold_texts: bool) -> Means:
    right = [value for value in column.expected if value is not None]
    if not right:  # nothing is right but nothing
        made_up = [value for value in column.predicted if value is not None]
        return _MEANT.get(_only(predicted)) or (not predicted and _looks_like(made_up)) or "exact"
    kind = _only(expected)
    if kind == "text":
        meant = _only(_usual(predicted) if gold_texts else predicted)
        if meant in _MEANT and _all_read(right, meant):
            return _MEANT[meant]
        if gold_texts and not predicted and (read := _looks_like(right)):
            return read
        return "date" if all(map(is_iso_date, right)) else "exact"
    return _MEANT.get(kind, "exact")


def _usual(kinds: Counter[Kind]) -> Counter[Kind]:
    """Without texts where they are the fewer: of a model's numbers, a few may have come in words."""
    typed: Counter[Kind] = Counter({kind: count for kind, count in kinds.items() if kind != "text"})
    return typed if typed.total() > kinds["text"] else kinds


def _only(kinds: Counter[Kind]) -> Kind | str:
    return next(iter(kinds)) if len(kinds) == 1 else ""


def _all_read(texts: Sequence[Any], meant: str) -> bool:
    read = {"number": as_number, "boolean": as_boolean, "list": as_list}[meant]
    return all(read(text) is not None for text in texts)


def _looks_like(texts: Sequence[str]) -> Means | None:
    """What all texts of a flat file are, if they are one thing that is not text."""
    if all(map(_PLAIN_NUMBER.fullmatch, texts)):
        return "number"
    if all(text.strip().lower() in ("true", "false") for text in texts):
        return "boolean"
    return "set" if all(as_list(text) is not None for text in texts) else None
