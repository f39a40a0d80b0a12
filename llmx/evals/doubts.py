"""What the user should know before a figure is trusted: rows, fields and types that do not fit, and figures of 0 and 1
that may not mean what they seem to. Each is a line; what is wrong beyond doubt is an error elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from llmx.evals.choosing import Choice
from llmx.evals.counts import FieldCounts
from llmx.evals.dates import is_ambiguous
from llmx.evals.joining import Column, Joined
from llmx.evals.values import Kind, as_list, as_text, kind_of
from llmx.text import plural

__all__ = ["Field", "is_input", "of_field", "of_files", "of_input", "of_perfect", "of_silent"]

_SHOWN = 40
"""Characters of a value that a line shows."""

_NAMED = 8
"""Fields that a line names."""

_MANY = 5
"""Values of which not one is right that look like a mistake in the comparison, not in the values."""

_LONG = 30
"""Characters, on average, of a text that no field has word for word in every row."""

_PLURALS: Mapping[Kind, str] = {
    "text": "text",
    "number": "numbers",
    "boolean": "true or false",
    "list": "lists",
    "object": "objects",
}


class Field(Struct, frozen=True):
    """One field as it was compared.

    Args:
        keys: of the rows, to name one where something was seen.
        texts: whether gold's and the predictions' files have nothing but text.
    """

    path: str
    column: Column
    choice: Choice
    counts: FieldCounts
    keys: Sequence[str]
    texts: tuple[bool, bool]


def of_files(joined: Joined) -> list[str]:
    """What one of the two files lacks."""
    missing, matched = len(joined.missing), joined.matched
    said = []
    if missing:
        said.append(
            f"{missing:,} of {missing + matched:,} labelled rows have no prediction: the figures are over the others; "
            "llmx eval --min coverage=1 forbids it"
        )
    if joined.extra:
        said.append(f"{plural(joined.extra, 'prediction')} without a row in gold: not compared")
    if joined.unlabelled:
        said.append(f"{plural(joined.unlabelled, 'prediction')} whose row in gold says nothing: not compared")
    if joined.only_in_gold:
        names = _names(joined.only_in_gold)
        said.append(
            f"in gold and in no prediction, so not compared: {names}; --fields compares it all the same"
        )
    return said


def is_input(path: str, choice: Choice, counts: FieldCounts) -> bool:
    """Whether a column of a gold file without `gold` is what was read, not what was to be found: `id`, a long text."""
    if counts.wrong or counts.empty:
        return False
    if path == "id" or set(choice.expected) != {"text"}:
        return path == "id"
    lengths = [len(str(cell.expected[0])) * times for cell, times in counts.cells.items()]
    return sum(lengths) >= _LONG * counts.n and len(counts.cells) > counts.n / 2


def of_input(path: str) -> str:
    """Of a column that `is_input`."""
    return (
        f"{path!r} is the same in both files in every row, and looks like an input column: not compared; "
        "--fields names what is"
    )


def of_perfect(paths: Sequence[str], rows: int) -> list[str]:
    """Of columns of a gold file without `gold` that are right everywhere: they may have been given, not found."""
    if not paths or rows < _MANY:
        return []
    return [
        f"the same in both files in every row: {_names(paths)}; if one is an input column that was kept, --fields names "
        "what to compare"
    ]


def of_silent(paths: Sequence[str]) -> list[str]:
    """Of fields that have no value on either side: of sparse objects they may be many, so in one line."""
    if not paths:
        return []
    whose = "its" if len(paths) == 1 else "their"
    return [
        f"{_names(paths)}: neither gold nor a prediction has a value in any row, so {whose} accuracy says nothing"
    ]


def _names(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(repr, paths[:_NAMED])) + more


def of_field(field: Field) -> list[str]:
    """What is odd about a field's values."""
    return [*_types(field), *_dates(field), *_lists(field), *_nothing_right(field)]


def _types(field: Field) -> Iterator[str]:
    expected, predicted = field.choice.expected, field.choice.predicted
    how = f"compared by {field.choice.comparison}"
    if len(expected) > 1:
        yield f"{field.path!r}: gold has {_listed(expected)}; {how}"
    elif not expected or not set(predicted) - set(expected):
        return
    elif not any(field.texts):
        gold = _PLURALS[next(iter(expected))]
        row = f"as the row {_key_of_other_type(field)!r}"
        yield f"{field.path!r}: gold has {gold}, the predictions have {_listed(predicted)}, {row}; {how}"
    elif field.texts[0] and (field.choice.comparison.means == "exact" or len(predicted) > 1):
        gold = f"text such as {_first(field.column.expected)!r}"
        yield f"{field.path!r}: gold has {gold}, the predictions have {_listed(predicted)}; {how}"


def _listed(kinds: Counter[Kind]) -> str:
    return " and ".join(f"{_PLURALS[kind]} in {plural(count, 'row')}" for kind, count in kinds.most_common())


def _key_of_other_type(field: Field) -> str:
    values = zip(field.column.rows, field.column.predicted, strict=True)
    return next(
        field.keys[row]
        for row, value in values
        if value is not None and kind_of(value) not in field.choice.expected
    )


def _first(values: Sequence[Any]) -> str:
    return as_text(next(value for value in values if value is not None))[:_SHOWN]


def _dates(field: Field) -> Iterator[str]:
    comparison = field.choice.comparison
    if comparison.means != "date" or comparison.option:
        return
    unclear = [one for one in (*field.column.expected, *field.column.predicted) if is_ambiguous(one)]
    if unclear:
        how = f"--compare {field.path}=date:dmy, or date:mdy, says which"
        dates = f"{plural(len(unclear), 'date')} such as {unclear[0]!r}"
        yield f"{field.path!r}: {dates} can be read two ways; {how}"


def _lists(field: Field) -> Iterator[str]:
    if not field.choice.comparison.lists or not field.texts[0]:
        return
    odd = [one for one in field.column.expected if isinstance(one, str) and as_list(one) is None]
    if odd:
        yield f'{field.path!r}: gold has text such as {odd[0][:_SHOWN]!r} that is no list; write ["a", "b"]'


def _nothing_right(field: Field) -> Iterator[str]:
    verdicts, column = field.counts.verdicts(), field.column
    if verdicts["correct"] or verdicts["wrong"] < _MANY:
        return
    row, place = next(
        (row, place)
        for row, place in field.counts.wrong.items()
        if column.expected[place] is not None and column.predicted[place] is not None
    )
    gold, predicted = (as_text(side[place])[:_SHOWN] for side in (column.expected, column.predicted))
    yield (
        f"{field.path!r}: not one value is right; in the row {field.keys[row]!r} gold has {gold!r}, the prediction is "
        f"{predicted!r}; --compare {field.path}=HOW says how to compare them"
    )
