"""jinja2's immutable sandbox, in which no number of a row can use up the machine.

The sandbox keeps templates from Python's insides and from changing a row. It does not keep `"-" * count`, with a count out of
a row, from filling the memory, nor `n ** n` from running for days; and since a template runs between two
calls, Ctrl-C would wait for it. What a template's own text asks for (loops in loops) is its author's business.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import MAX_RANGE, ImmutableSandboxedEnvironment

__all__ = ["Sandbox"]

LONGEST = 1_000_000
"""Elements, characters or bits that one operation may make of less."""

_GROWING = ("batch", "center", "format", "indent", "slice", "tojson")
"""Filters whose result is as large as a number says."""

_WIDE_PERCENT = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(?:\*|[0-9]{6,}|[0-9]*\.(?:\*|[0-9]{6,}))")
_WIDE_BRACES = re.compile(r"\{[^{}]*:[^{}]*(?:\{|[0-9]{6,})")
"""A width or a precision above 99,999, or one that stands among the values: of the operator %, of `str.format`."""


class Sandbox(ImmutableSandboxedEnvironment):
    """For prompts: plain text for a model, so nothing is escaped; and an undefined name is an error."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False)
        for name in _GROWING:
            self.filters[name] = _bounded(self.filters[name])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """See jinja2."""
        if operator == "%":
            _check_percent(left)
        elif _size(operator, left, right) > LONGEST:
            raise SecurityError(f"the result of {operator} would be too large")
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:
        """See jinja2. Methods of text (`ljust`, `zfill`, …) take widths."""
        if isinstance(getattr(function, "__self__", None), str):
            _check_numbers(*args, *named.values())
        return super().call(context, function, *args, **named)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """See jinja2: what a template gets for the `format` of a text."""
        formatting = super().wrap_str_format(value)
        if formatting is not None:
            _check_wide(_WIDE_BRACES, value.__self__)
        return formatting


def _size(operator: str, left: Any, right: Any) -> int:
    """What an operation comes to, at least: elements or characters, and for integers bits."""
    for many, times in ((left, right), (right, left)):
        if operator == "*" and isinstance(many, str | list | tuple) and isinstance(times, int):
            return len(many) * times if times > 1 else 0
    if not (isinstance(left, int) and isinstance(right, int)):
        return 0
    bits = left.bit_length()
    return bits * max(right, 0) if operator == "**" else bits + right.bit_length()


def _bounded(filter_: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(filter_)  # jinja2's marks, such as that it takes the environment, among the rest
    def bounded(*args: Any, **named: Any) -> Any:
        if filter_.__name__ == "do_format":
            _check_percent(args[0])
        else:
            _check_numbers(*args, *named.values())
        return filter_(*args, **named)

    return bounded


def _check_percent(text: Any) -> None:
    _check_wide(_WIDE_PERCENT, text.replace("%%", "") if isinstance(text, str) else "")


def _check_wide(wide: re.Pattern[str], text: str) -> None:
    if wide.search(text):
        raise SecurityError("a format with a width that is too large, or that is given among its values")


def _check_numbers(*values: Any) -> None:
    if any(isinstance(value, int) and abs(value) > MAX_RANGE for value in values):
        raise SecurityError(f"a number above {MAX_RANGE:,} for a width or a count")
