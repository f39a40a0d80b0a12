"""What may lower the accuracy of a schema's answers: the rules run over it, without those that are switched off.

`llmx schema check` shows it. Nothing in a run of `llmx extract` imports it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from llmx.errors import UsageError
from llmx.schemas.advice.checks import CHECKS, WHOLE, Found
from llmx.schemas.advice.places import places_of
from llmx.schemas.advice.rules import RULES, Severity, rule_named
from llmx.schemas.advice.suppressed import suppressed_in
from llmx.schemas.lint import lint
from llmx.schemas.schema import Schema
from llmx.text import nearest

__all__ = ["Advice", "advise", "codes_of"]


class Advice(Struct, frozen=True):
    """One thing that a rule found.

    Args:
        code: of the rule.
        path: the place in the answer, such as `items[].price`; "" is the whole.
        fix: what to do about it.
    """

    code: str
    rule: str
    severity: Severity
    path: str
    message: str
    fix: str


def advise(schema: Schema, *, ignore: Collection[str] = ()) -> tuple[Advice, ...]:
    """Everything the rules find, in the order of the answer's fields, what concerns the whole first.

    Args:
        ignore: codes of rules that are not to be told.
    """
    places = places_of(schema)
    found = [one for check in WHOLE for one in check(places)]
    found += [one for place in places for check in CHECKS for one in check(place)]
    found += [Found(one.code, one.path, one.message, one.hint) for one in lint(schema)]
    order = {place.path: number for number, place in enumerate(places, 1)}
    off = suppressed_in(schema.model)
    told = [one for one in dict.fromkeys(found) if one.code not in ignore and not off.has(one.code, one.path)]
    return tuple(_advice(one) for one in sorted(told, key=lambda one: (order.get(one.path, 0), one.code)))


def _advice(found: Found) -> Advice:
    rule = next(rule for rule in RULES if rule.code == found.code)
    severity = found.severity or rule.severity
    return Advice(found.code, rule.name, severity, found.path, found.message, found.fix or rule.fix)


def codes_of(names: Collection[str]) -> frozenset[str]:
    """The codes of rules that are given by code or name.

    Raises:
        UsageError: there is no such rule.
    """
    codes = set()
    for name in names:
        rule = rule_named(name)
        if rule is None:
            close = nearest(name, [known for rule in RULES for known in (rule.code, rule.name)])
            guess = f"did you mean {close!r}? " if close else ""
            raise UsageError(f"there is no rule {name!r}", hint=f"{guess}llmx schema rules lists them")
        codes.add(rule.code)
    return frozenset(codes)
