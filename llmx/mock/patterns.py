"""Strings that match a regular expression, for the `pattern` of a schema.

The expression is parsed by the standard library and walked; lookarounds and word boundaries are
passed over, so a result is a candidate that the caller checks.
"""

from __future__ import annotations

import importlib
import re
import string
from collections.abc import Callable
from random import Random
from typing import Any

__all__ = ["Pattern"]

# The parser has no public name since `sre_parse` was deprecated in 3.11 (python/cpython#91308).
_parse: Callable[[str], Any] = importlib.import_module("re._parser").parse

_LETTERS = string.ascii_lowercase
_PRINTABLE = string.ascii_letters + string.digits + " .,-_"
_CATEGORIES = {
    "CATEGORY_DIGIT": string.digits,
    "CATEGORY_NOT_DIGIT": _LETTERS,
    "CATEGORY_WORD": string.ascii_letters + string.digits,
    "CATEGORY_NOT_WORD": " -.",
    "CATEGORY_SPACE": " ",
    "CATEGORY_NOT_SPACE": string.ascii_letters + string.digits,
}
_USUAL_REPEAT = 4


class Pattern:
    """A compiled expression.

    Args:
        expression: as in JSON Schema, unanchored unless it says otherwise.

    Raises:
        ValueError: it is not one that Python understands.
    """

    def __init__(self, expression: str) -> None:
        try:
            self._regex = re.compile(expression)
            self._tree = _parse(expression)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {expression!r} ({error})") from error

    def draw(self, rng: Random, least: int, most: int | None) -> str | None:
        """A string that matches and has `least` to `most` characters; None if 40 candidates do not."""
        for trial in range(40):
            text = _Walk(rng, _USUAL_REPEAT + trial * max(1, least // 8)).sequence(self._tree)
            if len(text) < least and self._regex.search(padded := text.ljust(least, "a")):
                text = padded  # open at its end
            if least <= len(text) and (most is None or len(text) <= most) and self._regex.search(text):
                return text
        return None


class _Walk:
    """One pass over a parsed expression; `reach` is how far beyond its minimum a repeat may go."""

    def __init__(self, rng: Random, reach: int) -> None:
        self._rng = rng
        self._reach = reach
        self._groups: dict[int, str] = {}

    def sequence(self, tree: Any) -> str:
        return "".join(self._one(str(op), argument) for op, argument in tree)

    def _one(self, op: str, argument: Any) -> str:
        step = getattr(self, f"_{op.lower()}", None)
        return "" if step is None else step(argument)

    def _literal(self, code: int) -> str:
        return chr(code)

    def _not_literal(self, code: int) -> str:
        return self._rng.choice([c for c in _PRINTABLE if ord(c) != code])

    def _any(self, _: None) -> str:
        return self._rng.choice(_PRINTABLE)

    def _in(self, members: Any) -> str:
        negated = str(members[0][0]) == "NEGATE"
        allowed = "".join(_member(str(op), argument) for op, argument in members)
        if negated:
            allowed = "".join(c for c in _PRINTABLE if c not in allowed)
        return self._rng.choice(allowed) if allowed else ""

    def _branch(self, argument: Any) -> str:
        return self.sequence(self._rng.choice(argument[1]))

    def _subpattern(self, argument: Any) -> str:
        group, text = argument[0], self.sequence(argument[-1])
        if group is not None:
            self._groups[group] = text
        return text

    def _atomic_group(self, argument: Any) -> str:
        return self.sequence(argument)

    def _groupref(self, group: int) -> str:
        return self._groups.get(group, "")

    def _max_repeat(self, argument: Any) -> str:
        least, most, tree = argument
        times = self._rng.randint(least, min(int(most), least + self._reach))
        return "".join(self.sequence(tree) for _ in range(times))

    _min_repeat = _possessive_repeat = _max_repeat


def _member(op: str, argument: Any) -> str:
    if op == "LITERAL":
        return chr(argument)
    if op == "RANGE":
        first, last = argument
        return "".join(chr(code) for code in range(first, min(last, first + 255) + 1))
    if op == "CATEGORY":
        return _CATEGORIES.get(str(argument), "")
    return ""
