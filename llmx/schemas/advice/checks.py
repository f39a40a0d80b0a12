"""The rules, applied: what each finds in one place of a schema, or in all of it.

Each check takes what it looks at and yields what it finds; `llmx.schemas.advice.advise` runs them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from msgspec import Struct

from llmx.schemas.advice import names
from llmx.schemas.advice.places import Place
from llmx.schemas.advice.rules import Severity
from llmx.text import plural

__all__ = ["CHECKS", "WHOLE", "Found"]

WIDE, TOO_WIDE = 30, 60
DEEP, TOO_DEEP = 3, 5
MANY_CHOICES, ENOUGH_FOR_A_REST = 8, 5
ALIKE = 92.0
"""Percent of rapidfuzz's ratio: increase and decrease have 75, colour and colours 92."""
_MOST_COMPARED = 300  # choices: pairs are compared one by one

_REST = frozenset(
    [
        "other",
        "others",
        "unknown",
        "none",
        "na",
        "notapplicable",
        "unclear",
        "unspecified",
        "undefined",
        "mixed",
        "neither",
        "misc",
        "miscellaneous",
        "else",
        "notstated",
        "notgiven",
        "noneofthese",
        "noneoftheabove",
        "cannottell",
        "cantsay",
        "undecided",
        "various",
        "general",
    ]
)
_AS_WRITTEN = re.compile(
    r"as (it is )?(written|stated|printed|given|named)|verbatim|word for word|with (the|its) unit", re.I
)
_SOMETIMES = re.compile(
    r"\bif (any|stated|given|known|there|available|mentioned|present|named)|\bmay be (missing|absent)|optional",
    re.I,
)
_ALWAYS = re.compile(r"\balways\b", re.I)
_WORKED_OUT = re.compile(
    r"\b(calculat|comput|deduc|work(ed)? out|solv(e|ing)|add(ed)? up|sum of|step by step)", re.I
)


class Found(Struct, frozen=True):
    """What a check says of a place.

    Args:
        severity: where it is not the rule's own.
    """

    code: str
    path: str
    message: str
    fix: str = ""
    severity: Severity | None = None


def _order(place: Place) -> Iterator[Found]:
    if not names.explains(place.name, place.description) or not place.types <= {"string", "array"}:
        return
    before = [
        one for one in place.siblings[: place.siblings.index(place.name)] if not names.explains(one, "")
    ]
    answers = [one for one in before if not {"id", "key"} & set(names.words_of(one))]
    if answers:
        yield Found("R01", place.path, f"explains what was answered before it: {_few(answers)}")


def _vague(place: Place) -> Iterator[Found]:
    if names.is_vague(place.name, place.siblings):
        said = place.described and len(place.description.split()) > 3
        yield Found("R02", place.path, "the name says nothing", severity="note" if said else None)


def _invention(place: Place) -> Iterator[Found]:
    if not place.required or place.choices or not place.types & {"string", "number", "integer"}:
        return
    doubted = _SOMETIMES.search(place.description) is not None
    fact = not place.listed and names.is_fact(place.name)
    if doubted or (fact and not _ALWAYS.search(place.description)):
        why = "its description says it may be missing" if doubted else "a text may not state it"
        yield Found("R03", place.path, f"is required, but {why}: a model then invents one")


def _codes(place: Place) -> Iterator[Found]:
    told = place.description.casefold()
    untold = [choice for choice in place.choices if choice.casefold() not in told]
    if len(place.choices) < 3 or len(untold) <= len(place.choices) / 2:
        return
    if all(len(choice) <= 3 and (choice.isupper() or choice.isdigit()) for choice in place.choices):
        yield Found("R06", place.path, f"nothing says what the codes mean: {_few(untold)}")
    elif len(place.choices) > MANY_CHOICES:
        message = f"{plural(len(untold), 'choice')} of {len(place.choices)} are explained nowhere"
        yield Found("R06", place.path, message, severity="note")


def _alike(place: Place) -> Iterator[Found]:
    first: dict[str, str] = {}
    for choice in place.choices:
        plain = names.spelled_alike(choice)
        if plain in first:
            yield Found("R07", place.path, f"{first[plain]!r} and {choice!r} are written differently only")
        first.setdefault(plain, choice)
    yield from _nearly_alike(place, list(first.values()))


def _nearly_alike(place: Place, choices: list[str]) -> Iterator[Found]:
    from rapidfuzz.fuzz import ratio

    if len(choices) > _MOST_COMPARED:
        return
    for one, other in combinations(choices, 2):
        long = min(len(one), len(other)) >= 6 and not re.search(r"\d", one + other)
        if long and ratio(one.casefold(), other.casefold(), score_cutoff=ALIKE):
            yield Found("R07", place.path, f"{one!r} and {other!r} are nearly the same", severity="note")


def _no_rest(place: Place) -> Iterator[Found]:
    if len(place.choices) < ENOUGH_FOR_A_REST or not place.required or "array" in place.types:
        return
    if not any(re.sub(r"[\W_]+", "", choice).casefold() in _REST for choice in place.choices):
        yield Found("R08", place.path, f"none of the {len(place.choices)} choices is for what fits none")


def _negated(place: Place) -> Iterator[Found]:
    if place.types == {"boolean"} and names.negates(place.name):
        yield Found("R09", place.path, "true stands for something that is not so")


def _text_for_number(place: Place) -> Iterator[Found]:
    if place.is_text and names.names_quantity(place.name) and not _AS_WRITTEN.search(place.description):
        yield Found("R10", place.path, "a quantity is asked for as text")


def _text_for_date(place: Place) -> Iterator[Found]:
    if place.is_text and names.names_date(place.name) and not _AS_WRITTEN.search(place.description):
        yield Found("R15", place.path, "a date is asked for as text")


def _steps(place: Place) -> Iterator[Found]:
    if not place.types & {"number", "integer"} or not _WORKED_OUT.search(place.description):
        return
    if not any(names.explains(one, "") for one in place.siblings):
        yield Found("R16", place.path, "has to be worked out, and there is no field for the steps")


def _contradicts(place: Place) -> Iterator[Found]:
    if found := names.contradiction(place.name, place.description):
        yield Found("R17", place.path, f"the name says {found[0]!r}, the description {found[1]!r}")


def _confidence(place: Place) -> Iterator[Found]:
    if names.names_confidence(place.name):
        yield Found("R18", place.path, "a model cannot tell how sure it is of its own answer")


def _size(places: Sequence[Place]) -> Iterator[Found]:
    leaves = [place for place in places if not place.node.get("properties")]
    if len(leaves) > WIDE:
        yield Found(
            "R04", "", f"asks for {len(leaves)} fields", severity=None if len(leaves) > TOO_WIDE else "note"
        )
    deepest = max(places, key=lambda place: place.depth, default=None)
    if deepest is not None and deepest.depth > DEEP:
        severity: Severity | None = None if deepest.depth > TOO_DEEP else "note"
        yield Found("R05", deepest.path, f"stands {deepest.depth} levels deep", severity=severity)


def _units(places: Sequence[Place]) -> Iterator[Found]:
    """Amounts are in a currency that some field tells, so a schema with one needs no unit for them."""
    if any({"currency", "unit"} & set(names.words_of(place.name)) for place in places):
        return
    for place in places:
        number = place.types and place.types <= {"number", "integer"}
        if number and names.names_measure(place.name) and not _says_unit(place):
            yield Found("R11", place.path, "a measure without a unit")


def _says_unit(place: Place) -> bool:
    return names.has_unit(place.name) or names.has_unit(place.description)


def _undescribed(places: Sequence[Place]) -> Iterator[Found]:
    without = [place.path for place in places if not place.described]
    if without:
        yield Found("R12", without[0] if len(without) == 1 else "", f"no description: {_few(without)}")


CHECKS: tuple[Callable[[Place], Iterator[Found]], ...] = (
    *(
        _order,
        _vague,
        _invention,
        _codes,
        _alike,
        _no_rest,
        _negated,
        _text_for_number,
        _text_for_date,
        _steps,
    ),
    *(_contradicts, _confidence),
)
"""Of one place."""
WHOLE: tuple[Callable[[Sequence[Place]], Iterator[Found]], ...] = (_size, _units, _undescribed)
"""Of all places together."""


def _few(found: Sequence[str]) -> str:
    return ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
