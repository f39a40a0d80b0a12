"""From what was seen to a model: which type each place has, what may be absent, and the reason for both.

It stands between `llmx.schemas.inference.seen` and `written`. A type accepts every value that was seen: where kinds
mix it is a union, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from llmx.schemas.advice.names import spelled_alike
from llmx.schemas.inference.describe import described, span
from llmx.schemas.inference.forms import BOOLEAN, DATE, DATETIME, FRACTION, INTEGER
from llmx.schemas.inference.seen import MAX_DEPTH, MAX_KEYS, Objects, Seen, Texts, merge
from llmx.schemas.inference.types import (
    Choices,
    Either,
    Field,
    ListOf,
    Maybe,
    Model,
    Pairs,
    Plain,
    Type,
    spelled,
)
from llmx.schemas.inference.words import Names, attributes, in_words, speaks_of_reasoning
from llmx.text import plural

__all__ = ["Note", "Proposal", "decide"]

MAX_FIELDS = 40
"""Fields of an object most of whose keys are rare; the commonest stay."""
FEW = 10
"""Texts of digits, up to which they may be labels, such as 1 to 5 stars; more are numbers that somebody wrote."""
LONGEST_TYPE = 56
"""Characters of a type: what mixes in more ways than that has none."""
SPARSE = 0.1
"""Under this share of keys present on average, the keys of an object are data."""
_CODES = frozenset(
    [
        "zip",
        "postal",
        "postcode",
        "phone",
        "fax",
        "tel",
        "code",
        "id",
        "sku",
        "isbn",
        "iban",
        "account",
        "card",
        "vat",
    ]
)
"""Words of columns whose digits are no number."""


class Note(Struct, frozen=True):
    """What was decided at one place, and why.

    Args:
        path: such as `items[].price`; "" is the whole row.
        left_out: there is no field for it.
    """

    path: str
    text: str
    left_out: bool = False


class Proposal(Struct, frozen=True):
    """A model, and the reasons for it in the order of its fields."""

    model: Model
    notes: tuple[Note, ...]


def decide(
    seen: Seen, name: str, docstring: str, *, as_text: bool = False, examples: bool = True
) -> Proposal:
    """Propose a model that accepts every row that was seen.

    Args:
        seen: of rows, by `see_row`.
        name: of its class.
        docstring: of its class: what the model is told about the whole.
        as_text: the rows come of a format that has only texts, so that a text of digits is a number.
        examples: short texts out of the rows may stand in descriptions.
    """
    assert seen.objects is not None
    deciding = _Deciding(as_text, examples, Names([name, *_all_attributes(seen)]))
    fields = tuple(deciding.fields(seen.objects, ""))
    return Proposal(Model(name, fields, docstring), tuple(deciding.notes))


def _all_attributes(seen: Seen | None) -> Iterator[str]:
    """Every key at any depth: a class that was named like a field could not be named below it."""
    if seen is None:
        return
    fields = (seen.objects and seen.objects.fields) or {}
    yield from fields
    yield from attributes(filter(_encodes, fields), ()).values()
    for inner in fields.values():
        yield from _all_attributes(inner)
    yield from _all_attributes(seen.objects.values if seen.objects else None)
    yield from _all_attributes(seen.lists.elements if seen.lists else None)


class _Deciding:
    def __init__(self, as_text: bool, examples: bool, names: Names) -> None:
        self.notes: list[Note] = []
        self._as_text = as_text
        self._examples = examples
        self._names = names

    def fields(self, objects: Objects, path: str) -> Iterator[Field]:
        """Fields in the order in which they came, but what reasons before what it leads to."""
        kept = self._kept(objects, path)
        ordered = sorted(kept, key=lambda key: (not speaks_of_reasoning(key), kept[key].first, key))
        names = attributes(ordered, (objects.fields or {}).keys() - kept.keys())
        for key in ordered:
            place = f"{path}.{key}" if path else key
            if (found := self._field(key, names[key], kept[key], objects, place)) is not None:
                yield found

    def _kept(self, objects: Objects, path: str) -> dict[str, Seen]:
        """Without what no file can name, and without the rare ones of an object that has too many keys."""
        fields = objects.fields or {}
        unnamable = [key for key in fields if not _encodes(key)]
        for key in unnamable:
            self._leave_out(path, f"{key!a}: not UTF-8")
        kept = {key: inner for key, inner in fields.items() if key not in unnamable}
        if not _sparse(objects):
            return kept
        common = sorted(kept, key=lambda key: (-kept[key].count, key))[:MAX_FIELDS]
        rest = len(kept) - len(common)
        self._leave_out(path, f"{rest:,} of {len(kept):,} keys, the rarest: data rather than names of fields")
        return {key: kept[key] for key in common}

    def _field(self, key: str, attribute: str, seen: Seen, objects: Objects, path: str) -> Field | None:
        before = len(self.notes)
        found = self._type(seen, key, path)
        if found is None:
            return None
        absent = objects.count - seen.count + seen.nulls
        optional = absent > 0
        share = f"in {objects.count - absent:,} of {objects.count:,}, so it may be absent" if optional else ""
        self.notes.insert(before, Note(path, "; ".join(filter(None, [self._reason(seen, found), share]))))
        told = described(key, seen, found, optional=optional, examples=self._examples)
        return Field(key, attribute, found, optional, told)

    def _leave_out(self, path: str, why: str) -> None:
        self.notes.append(Note(path, why, left_out=True))

    def _type(self, seen: Seen, key: str, path: str, *, one: bool = False) -> Type | None:
        """The type of what is at a place, None where nothing is."""
        if seen.count == seen.nulls:
            self._leave_out(path, "never has a value")
            return None
        before = len(self.notes)
        kinds = list(self._kinds(seen, key, path, one=one))
        if not kinds:
            self._leave_out(path, "objects without a key")
            return None
        found = kinds[0] if len(kinds) == 1 else Either(tuple(kinds))
        if len(spelled(found)) <= LONGEST_TYPE:
            return found
        del self.notes[before:]
        return Plain("Any")

    def _kinds(self, seen: Seen, key: str, path: str, *, one: bool) -> Iterator[Type]:
        if seen.deep:
            yield Plain("Any")
            return
        mixed = sum(
            bool(kind) for kind in (seen.bools, seen.integers or seen.fractions, seen.lists, seen.objects)
        )
        if seen.bools:
            yield Plain("bool")
        if seen.integers or seen.fractions:
            yield Plain("float" if seen.fractions else "int")
        if seen.texts:
            yield Plain("str") if mixed else self._of_texts(seen.texts, key, one=one)
        # An empty object has nothing to make a field of, unless it must be told from what else is there.
        else_there = mixed > 1 or bool(seen.texts)
        if seen.lists:
            found = tuple(self._of_lists(seen.lists.elements, key, path))
            yield from found or ((Plain("list[Any]"),) if else_there else ())
        if seen.objects:
            found = tuple(self._of_objects(seen.objects, key, path, one=one))
            yield from found or ((Plain("dict[str, Any]"),) if else_there else ())

    def _of_texts(self, texts: Texts, key: str, *, one: bool) -> Type:
        if texts.forms & DATE:
            return Plain("datetime.date")
        if texts.forms & DATETIME:
            return Plain("datetime.datetime")
        if self._as_text and (number := _number(texts, key)):
            return Plain(number)
        if not speaks_of_reasoning(key) and (values := _choices(texts)):
            return Choices(self._names.new(key, one=one), values)
        return Plain("str")

    def _of_lists(self, elements: Seen, key: str, path: str) -> Iterator[Type]:
        if not elements.count or elements.count == elements.nulls:
            yield ListOf(Maybe(Plain("str")) if elements.nulls else Plain("str"))
            return
        before = len(self.notes)
        inside = self._type(elements, key, f"{path}[]", one=True)
        if inside is None:
            del self.notes[before:]
            return
        yield ListOf(Maybe(inside) if elements.nulls else inside)

    def _of_objects(self, objects: Objects, key: str, path: str, *, one: bool) -> Iterator[Type]:
        if objects.fields is None or (_sparse(objects) and objects.fields):
            values = merge(objects.values or Seen(), *(objects.fields or {}).values())
            name = self._names.new(key, one=one)
            pair = self._names.new(f"{name[:20]} pair")
            inside = self._type(values, f"{key} value", f"{path}.*") or Plain("str")
            yield Pairs(name, pair, Maybe(inside) if values.nulls else inside)
            return
        name = self._names.new(key, one=one)
        fields = tuple(self.fields(objects, path))
        if fields:
            yield Model(name, fields, f"{'One' if one else 'The'} {in_words(name if one else key)}.")

    def _reason(self, seen: Seen, found: Type) -> str:
        if seen.deep:
            return f"stands more than {MAX_DEPTH} levels deep, and is not looked at"
        match found:
            case Choices(_, values):
                times = seen.texts.count if seen.texts else 0
                few = ", ".join(values[:4]) + (", …" if len(values) > 4 else "")
                return f"{plural(len(values), 'choice')} in {times:,} values: {few}"
            case Either(types):
                return f"mixed: {' or '.join(_shown(one) for one in types)}"
            case ListOf(inside):
                longest = seen.lists.longest if seen.lists else 0
                return (
                    f"list of {_shown(inside)}, at most {longest:,} long" if longest else "list, always empty"
                )
            case Pairs():
                keys = len(seen.objects.fields or ()) if seen.objects else 0
                many = f"{keys:,} keys" if keys else f"over {MAX_KEYS} keys"
                return f"{many}, so they are data: asked for as a list of names and values"
        return f"{_shown(found)}{span(seen)}"


def _encodes(key: str) -> bool:
    """Whether a text can be one of a file: not empty, and no half of a surrogate pair."""
    try:
        return bool(key.encode())
    except UnicodeEncodeError:
        return False


def _sparse(objects: Objects) -> bool:
    """Whether an object has many keys of which each is rare."""
    if objects.fields is None or len(objects.fields) <= MAX_FIELDS:
        return False
    present = sum(inner.count for inner in objects.fields.values())
    return present < SPARSE * len(objects.fields) * objects.count


def _number(texts: Texts, key: str) -> str | None:
    """The type of texts that are all numbers or all truth values; a column of codes has none."""
    if texts.forms & BOOLEAN:
        return "bool"
    if _CODES & set(in_words(key).lower().split()):
        return None
    if texts.forms & INTEGER:
        return "int"
    return "float" if texts.forms & FRACTION else None


def _choices(texts: Texts) -> tuple[str, ...]:
    """The texts, commonest first, where few come again and again; else nothing."""
    counts = texts.choices or {}
    enough = texts.count >= max(6, 2 * len(counts))
    once = sum(times == 1 for times in counts.values())
    named = all(text.strip() == text and text and _encodes(text) for text in counts)
    copied = len({spelled_alike(text) for text in counts}) < len(counts)  # North and NORTH are no labels
    numbers = len(counts) > FEW and texts.forms & FRACTION
    if len(counts) < 2 or not enough or not named or copied or numbers or once > len(counts) / 3:
        return ()
    return tuple(sorted(counts, key=lambda text: (-counts[text], text)))


def _shown(found: Type) -> str:
    match found:
        case Plain(name):
            words = {
                "str": "text",
                "int": "whole number",
                "float": "number",
                "bool": "true or false",
                "Any": "kinds that have no type in common",
            }
            return words.get(name, name.removeprefix("datetime."))
        case Choices(_, values):
            return plural(len(values), "choice")
        case ListOf(inside):
            return f"list of {_shown(inside)}"
        case Maybe(inside):
            return f"{_shown(inside)} or null"
        case Either(types):
            return " or ".join(_shown(one) for one in types)
        case Pairs(name) | Model(name):
            return name
