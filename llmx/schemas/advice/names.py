"""What names of fields speak of: quantities, dates, facts, explanations. Word lists of the rules, no decisions."""

from __future__ import annotations

import re

__all__ = [
    "contradiction",
    "explains",
    "has_unit",
    "is_fact",
    "is_vague",
    "names_confidence",
    "names_date",
    "names_measure",
    "names_quantity",
    "negates",
    "spelled_alike",
    "words_of",
]

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_EXPLAINS = frozenset(
    [
        "reasoning",
        "rationale",
        "explanation",
        "explanations",
        "justification",
        "thinking",
        "thoughts",
        "thought",
        "analysis",
        "cot",
        "chain_of_thought",
        "reasoning_steps",
        "step_by_step",
    ]
)
_VAGUE = frozenset(
    [
        "data",
        "value",
        "values",
        "info",
        "information",
        "field",
        "flag",
        "item",
        "thing",
        "result",
        "results",
        "output",
        "misc",
        "var",
        "variable",
        "param",
        "attribute",
        "attr",
        "object",
        "obj",
        "x",
        "y",
        "z",
        "foo",
        "bar",
        "temp",
        "tmp",
        "stuff",
        "details",
        "entry",
        "element",
    ]
)
_NUMBERED = re.compile(
    r"(field|value|column|col|attr|attribute|param|var|flag|data|item|prop|property|key)_?\d+"
)
_QUANTITIES = frozenset(
    [
        "price",
        "amount",
        "total",
        "subtotal",
        "quantity",
        "qty",
        "count",
        "age",
        "score",
        "rating",
        "percentage",
        "percent",
        "weight",
        "height",
        "width",
        "cost",
        "salary",
        "revenue",
        "budget",
        "temperature",
        "distance",
        "duration",
    ]
)
_MEASURES = frozenset(
    [
        "price",
        "amount",
        "total",
        "subtotal",
        "cost",
        "salary",
        "revenue",
        "budget",
        "weight",
        "height",
        "width",
        "length",
        "depth",
        "distance",
        "duration",
        "temperature",
        "speed",
        "area",
        "volume",
    ]
)
_UNIT = re.compile(
    r"(?:^|[\s_(\d])(?:kg|kilo\w*|g|grams?|mg|lbs?|pounds?|oz|cm|mm|km|m|met(?:er|re)s?|miles?|feet|foot|inch(?:es)?|"
    r"seconds?|secs?|ms|minutes?|mins?|hours?|days?|weeks?|months?|years?|percent|%|eur|euros?|usd|gbp|dollars?|"
    r"cents?|currency|units?|celsius|fahrenheit|kelvin|degrees?|pixels?|bytes?|kb|mb|gb|lit(?:er|re)s?|ml|words?|"
    r"characters?|times|points?|stars)(?:$|[\s_).,;:])",
    re.IGNORECASE,
)
_DATES = frozenset(["date", "datetime", "deadline", "birthday", "birthdate", "dob", "timestamp"])
_FACTS = frozenset(
    [
        "email",
        "phone",
        "fax",
        "address",
        "street",
        "city",
        "country",
        "region",
        "zip",
        "postcode",
        "price",
        "currency",
        "url",
        "website",
        "author",
        "company",
        "brand",
        "age",
        "isbn",
        "iban",
        "sku",
    ]
)
_NEGATIONS = frozenset(["no", "not", "non", "never", "without", "cannot", "isnt", "hasnt"])
_CONFIDENCE = frozenset(["confidence", "certainty", "probability", "likelihood"])
_OPPOSITES = (
    *(("start", "end"), ("first", "last"), ("min", "max"), ("minimum", "maximum"), ("buyer", "seller")),
    *(("sender", "recipient"), ("positive", "negative"), ("before", "after"), ("gross", "net")),
    *(("oldest", "newest"), ("lowest", "highest"), ("include", "exclude"), ("open", "closed")),
)


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return re.findall(r"[^\W_]+", _HUMP.sub(" ", name).lower())


def explains(name: str, description: str) -> bool:
    """Whether a field holds how the answer was found; a `reason` only where its description speaks of the answer."""
    joined = "_".join(words_of(name))
    if joined in ("reason", "why"):
        about = re.search(r"\b(explain|why|justif|your (answer|choice)|step)", description, re.IGNORECASE)
        return about is not None
    return joined in _EXPLAINS


def is_vague(name: str, siblings: tuple[str, ...]) -> bool:
    """Whether a name says nothing. A value beside a name is one half of a pair."""
    joined = "_".join(words_of(name))
    if joined in ("value", "values") and {"name", "key", "attribute"} & {one.lower() for one in siblings}:
        return False
    return joined in _VAGUE or len(joined) == 1 or _NUMBERED.fullmatch(joined) is not None


def names_quantity(name: str) -> bool:
    """Whether a name is that of a number."""
    words = words_of(name)
    return bool(words) and (words[-1] in _QUANTITIES or words[:2] in (["number", "of"], ["num", "of"]))


def names_measure(name: str) -> bool:
    """Whether a name is that of a number with a unit."""
    return bool(_MEASURES & set(words_of(name)))


def has_unit(text: str) -> bool:
    """Whether a name or description says a unit."""
    return _UNIT.search(text) is not None or any(sign in text for sign in "€$£%°")


def names_date(name: str) -> bool:
    """Whether a name is that of a day or a moment."""
    words = words_of(name)
    return bool(words) and (
        words[-1] in _DATES or (len(words) > 1 and words[-1] == "at") or words[0] in _DATES
    )


def is_fact(name: str) -> bool:
    """Whether a name is that of something that a text often leaves out."""
    return bool(_FACTS & set(words_of(name))) or names_date(name)


def negates(name: str) -> bool:
    """Whether true would stand for something that is not so."""
    return bool(_NEGATIONS & set(words_of(name)))


def names_confidence(name: str) -> bool:
    """Whether a name asks the model how sure it is."""
    words = set(words_of(name))
    return bool(_CONFIDENCE & words) and words <= _CONFIDENCE | {
        "score",
        "level",
        "of",
        "answer",
        "model",
        "own",
    }


def contradiction(name: str, description: str) -> tuple[str, str] | None:
    """A word of the name whose opposite, and not itself, is in the description; None where there is none."""
    words, told = set(words_of(name)), set(words_of(description))
    for pair in _OPPOSITES:
        for one, other in (pair, pair[::-1]):
            if one in words and other not in words and other in told and one not in told:
                return one, other
    return None


def spelled_alike(choice: str) -> str:
    """What choices have in common that differ in case, punctuation or plural only."""
    plain = re.sub(r"[\W_]+", "", choice).casefold()
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") else plain
