"""What has been seen at one place of many rows: kinds of values, ranges, the first examples, how often there was none.

It is the middle of `llmx schema infer`: rows go in, `llmx.schemas.inference.decide` makes types of it. Its size is
bounded by the constants here whatever the number of rows. `merge` is associative and commutative, and seeing rows
one after another is the same as merging what was seen of parts of them. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count as counter
from typing import Any

from msgspec import Struct, field

from llmx.schemas.inference.forms import ANY_FORM, forms_of

__all__ = [
    "MAX_CHOICES",
    "MAX_DEPTH",
    "MAX_KEYS",
    "MAX_ROOT_KEYS",
    "Lists",
    "Objects",
    "Range",
    "Seen",
    "Texts",
    "merge",
    "see",
    "see_row",
]

MAX_CHOICES = 100
"""Different texts that are counted at one place; with more, none is."""
LONGEST_CHOICE = 60
"""Characters; a longer text is no choice, and none of its place is."""
LONGEST_EXAMPLE = 32
EXAMPLES = 3
MAX_KEYS = 256
"""Different keys of objects at one place; with more, only what their values have in common is kept."""
MAX_ROOT_KEYS = 2_000
MAX_DEPTH = 8
"""Levels below the row that are looked at; below, a value is only counted."""

Rank = tuple[int, int]
"""A row's number, and how many-th of its values: what came first has the smallest."""
_LAST: Rank = (2**63, 0)


class Range(Struct):
    """Numbers: how many, and the least and greatest."""

    count: int
    low: int | float
    high: int | float


class Texts(Struct):
    """Texts at one place.

    Args:
        forms: bits of the forms (see `llmx.schemas.inference.forms`) that all of them have.
        choices: how often each came; None once there were more than MAX_CHOICES, or a long one.
        examples: the first short ones, each with its rank, in order.
    """

    count: int = 0
    shortest: int = 2**63
    longest: int = 0
    forms: int = ANY_FORM
    choices: dict[str, int] | None = field(default_factory=dict)
    examples: list[tuple[Rank, str]] = field(default_factory=list)


class Lists(Struct):
    """Lists at one place, and what their elements were."""

    count: int
    longest: int
    elements: Seen


class Objects(Struct):
    """Objects at one place.

    Args:
        most: keys beyond which they are data rather than fields.
        fields: what was seen under each key; None once there were more than `most`.
        values: what was seen under all keys together, from then on.
    """

    most: int
    count: int = 0
    fields: dict[str, Seen] | None = field(default_factory=dict)
    values: Seen | None = None


class Seen(Struct):
    """All values at one place.

    Args:
        first: where the first one was.
        deep: values below MAX_DEPTH, which were not looked at.
    """

    count: int = 0
    first: Rank = _LAST
    nulls: int = 0
    bools: int = 0
    deep: int = 0
    integers: Range | None = None
    fractions: Range | None = None
    texts: Texts | None = None
    lists: Lists | None = None
    objects: Objects | None = None


def see_row(seen: Seen, row: Mapping[str, Any], index: int) -> None:
    """Add one row, an object of values as JSON has them, which is the `index`-th."""
    if seen.objects is None:
        seen.objects = Objects(MAX_ROOT_KEYS)
    see(seen, row, index, counter(), 0)


def see(seen: Seen, value: Any, row: int, positions: Iterator[int], depth: int) -> None:
    """Add one value.

    Args:
        row: the number of its row.
        positions: how many-th of the row's values the next one is.
        depth: levels below the row.
    """
    seen.count += 1
    rank = (row, next(positions))
    seen.first = min(seen.first, rank)
    if value is None:
        seen.nulls += 1
    elif isinstance(value, bool):
        seen.bools += 1
    elif isinstance(value, int):
        seen.integers = _joined(seen.integers, Range(1, value, value))
    elif isinstance(value, float):
        seen.fractions = _joined(seen.fractions, Range(1, value, value))
    elif isinstance(value, str):
        _see_text(seen, value, rank)
    elif depth >= MAX_DEPTH or not isinstance(value, list | Mapping):
        seen.deep += 1
    elif isinstance(value, list):
        _see_list(seen, value, row, positions, depth)
    else:
        _see_object(seen, value, row, positions, depth)


def _see_text(seen: Seen, text: str, rank: Rank) -> None:
    choices = {text: 1} if len(text) <= LONGEST_CHOICE and text.isprintable() else None
    short = 0 < len(text) <= LONGEST_EXAMPLE and text.isprintable()
    one = Texts(1, len(text), len(text), forms_of(text), choices, [(rank, text)] if short else [])
    seen.texts = one if seen.texts is None else _with_text(seen.texts, one)


def _with_text(texts: Texts, one: Texts) -> Texts:
    """`_joined_texts` for the case of every row: one more text, in place."""
    texts.count += 1
    texts.shortest, texts.longest = min(texts.shortest, one.shortest), max(texts.longest, one.longest)
    texts.forms &= one.forms
    texts.choices = _counted(texts.choices, one.choices)
    if one.examples and (len(texts.examples) < EXAMPLES or one.examples[0] < texts.examples[-1]):
        texts.examples = _earliest(texts.examples, one.examples)
    return texts


def _counted(counts: dict[str, int] | None, more: dict[str, int] | None) -> dict[str, int] | None:
    """The first with the second added to it, in place."""
    if counts is None or more is None:
        return None
    for text, times in more.items():
        counts[text] = counts.get(text, 0) + times
    return counts if len(counts) <= MAX_CHOICES else None


def _see_list(seen: Seen, values: list[Any], row: int, positions: Iterator[int], depth: int) -> None:
    if seen.lists is None:
        seen.lists = Lists(0, 0, Seen())
    seen.lists.count += 1
    seen.lists.longest = max(seen.lists.longest, len(values))
    for value in values:
        see(seen.lists.elements, value, row, positions, depth + 1)


def _see_object(seen: Seen, value: Mapping[str, Any], row: int, positions: Iterator[int], depth: int) -> None:
    if seen.objects is None:
        seen.objects = Objects(MAX_KEYS)
    objects = seen.objects
    objects.count += 1
    for key, inner in value.items():
        if objects.fields is None:
            assert objects.values is not None
            see(objects.values, inner, row, positions, depth + 1)
            continue
        see(objects.fields.setdefault(key, Seen()), inner, row, positions, depth + 1)
        _bound(objects)


def _bound(objects: Objects) -> None:
    """Keep only what the values have in common once there are too many keys."""
    if objects.fields is not None and len(objects.fields) > objects.most:
        objects.values = merge(objects.values or Seen(), *objects.fields.values())
        objects.fields = None


def merge(*parts: Seen) -> Seen:
    """What was seen in all of the parts; the parts stay as they are."""
    whole = Seen()
    for part in parts:
        whole = Seen(
            count=whole.count + part.count,
            first=min(whole.first, part.first),
            nulls=whole.nulls + part.nulls,
            bools=whole.bools + part.bools,
            deep=whole.deep + part.deep,
            integers=_joined(whole.integers, part.integers),
            fractions=_joined(whole.fractions, part.fractions),
            texts=_joined_texts(whole.texts, part.texts),
            lists=_joined_lists(whole.lists, part.lists),
            objects=_joined_objects(whole.objects, part.objects),
        )
    return whole


def _joined(one: Range | None, other: Range | None) -> Range | None:
    if one is None or other is None:
        return one or other
    return Range(one.count + other.count, min(one.low, other.low), max(one.high, other.high))


def _joined_texts(one: Texts | None, other: Texts | None) -> Texts | None:
    if one is None or other is None:
        return one or other
    return Texts(
        one.count + other.count,
        min(one.shortest, other.shortest),
        max(one.longest, other.longest),
        one.forms & other.forms,
        _counted(dict(one.choices) if one.choices is not None else None, other.choices),
        _earliest(one.examples, other.examples),
    )


def _earliest(one: Iterable[tuple[Rank, str]], other: Iterable[tuple[Rank, str]]) -> list[tuple[Rank, str]]:
    """The different ones that came first, each at its first place."""
    first: dict[str, Rank] = {}
    for rank, text in (*one, *other):
        first[text] = min(rank, first.get(text, rank))
    return sorted((rank, text) for text, rank in first.items())[:EXAMPLES]


def _joined_lists(one: Lists | None, other: Lists | None) -> Lists | None:
    if one is None or other is None:
        return one or other
    return Lists(
        one.count + other.count, max(one.longest, other.longest), merge(one.elements, other.elements)
    )


def _joined_objects(one: Objects | None, other: Objects | None) -> Objects | None:
    if one is None or other is None:
        return one or other
    joined = Objects(max(one.most, other.most), one.count + other.count)
    if one.fields is None or other.fields is None:
        joined.values = merge(*(_values(part) for part in (one, other)))
        joined.fields = None
        return joined
    joined.fields = {
        key: merge(*(part.fields[key] for part in (one, other) if part.fields and key in part.fields))
        for key in {**one.fields, **other.fields}
    }
    _bound(joined)
    return joined


def _values(objects: Objects) -> Seen:
    return merge(objects.values or Seen(), *(objects.fields or {}).values())
