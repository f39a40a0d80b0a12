"""How a field is compared where the user does not say: by the types of its right values.

In a file whose cells are all text, the predictions' types say what is meant, and where these are text, too, what all
right values can be read as. What is doubtful is said: types that differ between the files or within gold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from llmx.evals.dates import is_ambiguous, is_iso_date
from llmx.evals.joining import Column
from llmx.evals.matching import Comparison
from llmx.evals.values import Kind, as_boolean, as_list, as_number, kind_of
from llmx.text import plural

__all__ = ["Choice", "choose", "remarks"]

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
"""As JSON writes it: 02139 is a code."""

_PLURALS: dict[Kind, str] = {
    "text": "text",
    "number": "numbers",
    "boolean": "true or false",
    "list": "lists",
    "object": "objects",
}


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


def _means(column: Column, expected: Counter[Kind], predicted: Counter[Kind], *, gold_texts: bool) -> Any:
    right = [value for value in column.expected if value is not None]
    if not right:  # nothing is right but nothing
        return {"list": "set", "number": "number", "boolean": "boolean"}.get(_only(predicted), "exact")
    kind = _only(expected)
    if kind == "text":
        meant = _only(_usual(predicted) if gold_texts else predicted)
        if meant in ("number", "boolean", "list") and _all_read(right, meant):
            return "set" if meant == "list" else meant
        if gold_texts and not predicted and (read := _looks_like(right)):
            return read
        return "date" if all(map(is_iso_date, right)) else "exact"
    return {"list": "set", "number": "number", "boolean": "boolean"}.get(kind, "exact")


def _usual(kinds: Counter[Kind]) -> Counter[Kind]:
    """Without texts where they are the fewer: of a model's numbers, a few may have come in words."""
    typed: Counter[Kind] = Counter({kind: count for kind, count in kinds.items() if kind != "text"})
    return typed if typed.total() > kinds["text"] else kinds


def _only(kinds: Counter[Kind]) -> Kind | str:
    return next(iter(kinds)) if len(kinds) == 1 else ""


def _all_read(texts: Sequence[Any], meant: str) -> bool:
    read = {"number": as_number, "boolean": as_boolean, "list": as_list}[meant]
    return all(read(text) is not None for text in texts)


def _looks_like(texts: Sequence[str]) -> str:
    """What all texts of a flat file are, if they are one thing that is not text."""
    if all(map(_PLAIN_NUMBER.fullmatch, texts)):
        return "number"
    if all(text.strip().lower() in ("true", "false") for text in texts):
        return "boolean"
    return "set" if all(as_list(text) is not None for text in texts) else ""


def remarks(
    path: str, column: Column, choice: Choice, keys: Sequence[str], texts: tuple[bool, bool]
) -> list[str]:
    """What the user should know of a field's values, each a line.

    Args:
        keys: of the rows, to name one where something was seen.
        texts: whether gold's and the predictions' files have nothing but text.
    """
    found = []
    how = f"compared by {choice.comparison}"
    if len(choice.expected) > 1:
        found.append(f"{path!r}: gold has {_listed(choice.expected)}; {how}")
    elif (
        choice.expected
        and choice.predicted
        and not any(texts)
        and set(choice.predicted) - set(choice.expected)
    ):
        kind = next(iter(set(choice.predicted) - set(choice.expected)))
        key = next(
            keys[row]
            for row, value in zip(column.rows, column.predicted, strict=True)
            if value is not None and kind_of(value) == kind
        )
        found.append(
            f"{path!r}: gold has {_PLURALS[next(iter(choice.expected))]}, the predictions have "
            f"{_listed(choice.predicted)}, as the row {key!r}; {how}"
        )
    elif texts[0] and _doubtful(choice):
        text = next(value for value in column.expected if value is not None)
        found.append(
            f"{path!r}: gold has text such as {str(text)[:40]!r}, the predictions have {_listed(choice.predicted)}; {how}"
        )
    if choice.comparison == Comparison("date"):
        found += _ambiguous(path, column)
    if choice.comparison.lists and texts[0] and (text := _no_list(column)):
        found.append(f'{path!r}: gold has text such as {text[:40]!r} that is no list; write ["a", "b"]')
    return found


def _doubtful(choice: Choice) -> bool:
    """Whether predictions for gold that is text in any case are of several kinds, or no text where texts are meant."""
    means_text = choice.comparison.means == "exact" and bool(set(choice.predicted) - {"text"})
    return means_text or len(choice.predicted) > 1


def _listed(kinds: Counter[Kind]) -> str:
    return " and ".join(f"{_PLURALS[kind]} in {plural(count, 'row')}" for kind, count in kinds.most_common())


def _ambiguous(path: str, column: Column) -> list[str]:
    unclear = [value for value in (*column.expected, *column.predicted) if is_ambiguous(value)]
    if not unclear:
        return []
    how = f"--compare {path}=date:dmy, or date:mdy, says which"
    return [f"{path!r}: {plural(len(unclear), 'date')} such as {unclear[0]!r} can be read two ways; {how}"]


def _no_list(column: Column) -> str:
    return next((one for one in column.expected if isinstance(one, str) and as_list(one) is None), "")
