"""Where a row says a value: the words to quote as evidence for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

__all__ = ["quote"]

_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*")


def quote(texts: Iterable[str], value: Any) -> str | None:
    """The row's own words that hold the value, whole words; None where the row does not have them.

    Args:
        texts: of the row's columns.
        value: text is looked for whatever its case, a number as any of the row's numbers that is equal.
    """
    find = _number_in if isinstance(value, int | float) else _words_in
    if value is None or isinstance(value, bool) or value == "":
        return None
    return next((found for text in texts if (found := find(text, value)) is not None), None)


def _words_in(text: str, value: Any) -> str | None:
    pattern = r"\s+".join(map(re.escape, str(value).split()))
    found = re.search(rf"\w*{pattern}\w*", text, re.IGNORECASE) if pattern else None
    return found[0] if found else None


def _number_in(text: str, value: float) -> str | None:
    return next((found[0] for found in _NUMBER.finditer(text) if _reads(found[0], value)), None)


def _reads(digits: str, value: float) -> bool:
    """Whether digits may mean the number, their commas being thousands or decimals."""
    return any(_float(form) == value for form in (digits.replace(",", ""), digits.replace(",", ".")))


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
