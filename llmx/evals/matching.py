"""How the values of a field are compared: what is read of each, and which two of them are the same.

A comparison is chosen by the user, `--compare FIELD=KIND[:OPTION]`, or follows the values (`llmx.evals.choosing`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from decimal import Decimal
from typing import Any, Literal, get_args

from msgspec import Struct

from llmx.errors import UsageError
from llmx.evals.dates import same_form
from llmx.evals.values import as_boolean, as_list, as_number, as_text, is_blank, normalized
from llmx.text import nearest

__all__ = ["Comparison", "Means", "Reading", "labels_of", "parse_comparison", "reader", "same"]

Means = Literal["exact", "normalized", "number", "boolean", "date", "set", "list", "fuzzy"]
"""By what two values are the same; see docs/evaluation.md."""

Reading = Hashable
"""What was read of a value: a text, a number, a truth; of lists a tuple of texts. None where nothing is there."""

_CLOSE = 1e-9
"""Relative difference of two floats that are the same number: 0.1 + 0.2 and 0.3."""


class Comparison(Struct, frozen=True):
    """By what two values of a field are the same.

    Args:
        option: of a number the tolerance, `0.5` or `5%` of the right value; of a date `dmy` or `mdy`; of a set or
            list `normalized`; of fuzzy the least similarity, from 0 to 1. "" where there is none.
    """

    means: Means
    option: str = ""

    def __str__(self) -> str:
        return f"{self.means}:{self.option}" if self.option else self.means

    @property
    def lists(self) -> bool:
        """Whether a value is several elements."""
        return self.means in ("set", "list")


def parse_comparison(text: str) -> Comparison:
    """`number:0.01` as a comparison.

    Raises:
        UsageError: there is no such kind, or its option makes no sense.
    """
    name, _, option = text.partition(":")
    known = get_args(Means)
    if name not in known:
        close = nearest(name, known)
        hint = f"did you mean {close}? " if close else ""
        raise UsageError(f"--compare: no comparison {name!r}", hint=f"{hint}one of {', '.join(known)}")
    comparison = Comparison(name, option or ("0.9" if name == "fuzzy" else ""))  # type: ignore[arg-type]  # known
    if not _is_option(comparison):
        raise UsageError(
            f"--compare: {text!r} has a wrong option {option!r}", hint=_OPTIONS[comparison.means]
        )
    return comparison


_OPTIONS: dict[str, str] = {
    "number": "number:0.5 (at most so far off), number:5% (of the right value)",
    "date": "date, date:dmy or date:mdy",
    "set": "set or set:normalized",
    "list": "list or list:normalized",
    "fuzzy": "fuzzy:0.9, from 0 to 1",
    **dict.fromkeys(("exact", "normalized", "boolean"), "it takes none"),
}


def _is_option(comparison: Comparison) -> bool:
    option = comparison.option
    match comparison.means:
        case "number":
            tolerance = as_number(option.removesuffix("%"))
            return not option or (tolerance is not None and 0 <= tolerance < math.inf)
        case "fuzzy":
            least = as_number(option)
            return least is not None and 0 < least <= 1
        case "date":
            return option in ("", "dmy", "mdy")
        case "set" | "list":
            return option in ("", "normalized")
        case _:
            return not option


def reader(comparison: Comparison) -> Callable[[Any], Reading]:
    """What reads a value for comparison: one that is not blank, or None, which is nothing.

    A text that is not what the field should be stays a text.
    """
    read = _READERS[comparison.means](comparison)
    return lambda value: None if value is None else read(value)


def _number(value: Any) -> Reading:
    number = as_number(value)
    return as_text(value) if number is None else number


def _boolean(value: Any) -> Reading:
    truth = as_boolean(value)
    return as_text(value) if truth is None else truth


def _date_reader(comparison: Comparison) -> Callable[[Any], Reading]:
    order: Any = comparison.option
    return lambda value: same_form(value, order) or as_text(value).strip()


def _elements_reader(comparison: Comparison) -> Callable[[Any], Reading]:
    element = _normal if comparison.option else as_text
    ordered = comparison.means == "list"

    def read(value: Any) -> Reading:
        elements = as_list(value)
        texts = [element(one) for one in ([value] if elements is None else elements) if not is_blank(one)]
        return (tuple(texts) if ordered else tuple(sorted(set(texts)))) or None

    return read


def _normal(value: Any) -> str:
    return normalized(as_text(value))


_READERS: dict[str, Callable[[Comparison], Callable[[Any], Reading]]] = {
    "exact": lambda _: as_text,
    "normalized": lambda _: _normal,
    "fuzzy": lambda _: _normal,
    "number": lambda _: _number,
    "boolean": lambda _: _boolean,
    "date": _date_reader,
    "set": _elements_reader,
    "list": _elements_reader,
}


def same(comparison: Comparison) -> Callable[[Any, Any], bool]:
    """What tells whether two readings, neither of which is None, are the same: the right one, and the other."""
    match comparison.means:
        case "number":
            return _close(comparison.option)
        case "fuzzy":
            return _alike(float(comparison.option))
        case _:
            return lambda expected, predicted: bool(expected == predicted)


def _close(option: str) -> Callable[[Any, Any], bool]:
    share = option.endswith("%")
    tolerance = Decimal(option.removesuffix("%").strip() or "0") / (100 if share else 1)

    def close(expected: Any, predicted: Any) -> bool:
        if isinstance(expected, str) or isinstance(predicted, str):
            return bool(expected == predicted)
        if expected == predicted or _is_close(expected, predicted):
            return True
        if not tolerance or math.inf in (abs(expected), abs(predicted)):
            return False
        # In decimals, for a tolerance of 0.1 is meant to hold 1.1 and 1.0, which floats do not.
        wanted, given = Decimal(repr(expected)), Decimal(repr(predicted))
        return abs(wanted - given) <= tolerance * (abs(wanted) if share else 1)

    return close


def _is_close(expected: float, predicted: float) -> bool:
    if isinstance(expected, int) and isinstance(predicted, int):
        return False
    try:
        return math.isclose(expected, predicted, rel_tol=_CLOSE)
    except OverflowError:  # an integer that no float can hold
        return False


def _alike(least: float) -> Callable[[Any, Any], bool]:
    """Normalised indel similarity: https://rapidfuzz.github.io/RapidFuzz/Usage/fuzz.html#ratio."""
    from rapidfuzz import fuzz

    ratio = fuzz.ratio
    # Below the cutoff it stops early, and says 0: long texts that are unlike cost little.
    return lambda expected, predicted: ratio(expected, predicted, score_cutoff=100 * least) > 0


def labels_of(reading: Any) -> tuple[Hashable, ...]:
    """What precision and recall count: the elements of a list, else the one value; none where there is nothing."""
    if reading is None:
        return ()
    return reading if isinstance(reading, tuple) else (reading,)
