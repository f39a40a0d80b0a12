"""A field's description out of what was seen of it: words, ranges, forms, a few short examples. Never a long text."""

from __future__ import annotations

from llmx.schemas.inference.forms import DATE, DATETIME, EMAIL, MEASURE, URL, forms_of
from llmx.schemas.inference.seen import Range, Seen, Texts
from llmx.schemas.inference.types import Choices, Either, ListOf, Model, Pairs, Plain, Type
from llmx.schemas.inference.words import in_words, speaks_of_fact, speaks_of_reasoning
from llmx.text import plural

__all__ = ["described", "span"]

_FORMS = {
    EMAIL: "an email address",
    URL: "a URL",
    MEASURE: "a number with its unit, as written",
    DATETIME: "date and time in ISO 8601",
    DATE: "as YYYY-MM-DD",
}
_REASONED = "what in the text leads to the answer that follows"
_MOST_LISTED = 12
_LONG = 200
"""Characters: where some texts are longer, a short one is nobody's example."""
_PRIVATE_DIGITS = 6


def described(key: str, seen: Seen, found: Type, *, optional: bool, examples: bool = True) -> str:
    """What a model is told about a field.

    Args:
        optional: it may be absent, which is said, as is of facts that it never was.
        examples: short texts out of the rows may be shown.
    """
    what = _REASONED if speaks_of_reasoning(key) else _what(seen, found, examples)
    parts = [in_words(key), what]
    if optional:
        parts.append("null if not stated")
    elif speaks_of_fact(key) or found in (Plain("datetime.date"), Plain("datetime.datetime")):
        parts.append("always stated")
    return "; ".join(filter(None, parts))


def _what(seen: Seen, found: Type, examples: bool) -> str:
    match found:
        case Choices(_, values):
            return (
                f"one of: {', '.join(values)}" if len(values) <= _MOST_LISTED else "the choice that fits best"
            )
        case Either():
            few = _examples(seen.texts) if examples else ""
            return ", ".join(filter(None, ["in the form that the text has", few]))
        case ListOf(inside):
            return _list(seen, inside, examples)
        case Pairs():
            return "each name and its value, an empty list if there are none"
        case Model():
            return ""
        case _:
            return _plain(seen, examples)


def _list(seen: Seen, inside: Type, examples: bool) -> str:
    assert seen.lists is not None
    elements = seen.lists.elements
    few = _what(elements, inside, examples) if elements.count and isinstance(inside, Plain | Choices) else ""
    return ", ".join(filter(None, ["all of them", few]))


def _plain(seen: Seen, examples: bool) -> str:
    if seen.texts is None:
        return span(seen).lstrip(", ")
    form = next((words for bit, words in _FORMS.items() if seen.texts.forms & bit), "")
    if seen.texts.forms & (DATE | DATETIME):
        return form
    few = _examples(seen.texts) if examples else ""
    return ", ".join(filter(None, [form, few])) or _length(seen.texts)


def _length(texts: Texts) -> str:
    if texts.shortest == texts.longest:
        return f"text of {plural(texts.longest, 'character')}"
    return f"text of {texts.shortest:,} to {plural(texts.longest, 'character')}"


def _examples(texts: Texts | None) -> str:
    """The first short ones, unless some are long, or all are addresses; digits of long numbers are not shown."""
    if texts is None or texts.longest > _LONG or texts.forms & (EMAIL | URL):
        return ""
    shown = dict.fromkeys(_shape(text) for _, text in texts.examples)
    return f"such as {', '.join(shown)}" if shown else ""


def _shape(text: str) -> str:
    """A number that may be somebody's, of an account or a telephone, as its form alone."""
    digits = sum(letter.isdigit() for letter in text)
    if digits < _PRIVATE_DIGITS or forms_of(text) & (DATE | DATETIME):
        return text
    return "".join("9" if letter.isdigit() else letter for letter in text)


def span(seen: Seen) -> str:
    """Between what numbers lie, behind a comma; "" of other values."""
    ranges = [one for one in (seen.integers, seen.fractions) if one is not None]
    if not ranges:
        return ""
    whole = Range(0, min(one.low for one in ranges), max(one.high for one in ranges))
    if whole.low == whole.high:
        return f", {_digits(whole.low)} in the examples"
    return f", {_digits(whole.low)} to {_digits(whole.high)} in the examples"


def _digits(number: int | float) -> str:
    if isinstance(number, int) and abs(number) >= 10**15:  # of any length, where a float would overflow
        return f"{'-' if number < 0 else ''}10^{int(number.bit_length() * 0.30103)}"
    return f"{number:.6g}" if isinstance(number, float) else str(number)
