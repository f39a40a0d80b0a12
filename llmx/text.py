"""Small text tools that several layers share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from decimal import Decimal

__all__ = ["dollars", "escaped", "harmless", "nearest", "paired", "plural"]

# C0 and C1 controls and DEL, which drive terminals, and the bidirectional controls, which reorder what is
# read (Trojan Source, CVE-2021-42574). Tab stays.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_UNFIT = re.compile(f"{_CONTROLS.pattern}|[\ud800-\udfff]+")


def dollars(cost: Decimal) -> str:
    """US dollars to the cent from one dollar up, to four digits below, never 0 for something."""
    if cost == 0:
        return "$0"
    if cost < Decimal("0.0001"):
        return "<$0.0001"
    return f"${cost:,.2f}" if cost >= 1 else f"${cost:.4f}"


def escaped(text: str) -> str:
    """The same with what a terminal would obey, and what no UTF-8 can say, written as `\\uXXXX`."""
    return _UNFIT.sub(lambda found: "".join(f"\\u{ord(one):04x}" for one in found[0]), text)


def harmless(text: str) -> str:
    """The text on one line without what a terminal would obey."""
    return _CONTROLS.sub(" ", text)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, None when none is like it."""
    matches = difflib.get_close_matches(name, list(candidates), n=3, cutoff=0.5)
    # The commonest slip is two letters swapped, which difflib's ratio counts as two errors.
    swapped = [match for match in matches if sorted(match) == sorted(name)]
    return next(iter(swapped or matches), None)


def paired(text: str) -> str:
    """The text with letters whole whose halves, a surrogate each, came one by one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def plural(count: int, noun: str) -> str:
    """`1 call`, `2 calls`, `3 retries`, `2 refusals by 429`."""
    if count == 1:
        return f"1 {noun}"
    head, _, tail = noun.partition(" ")
    head = head[:-1] + "ies" if head.endswith("y") else head + "s"
    return f"{count:,} {head}{' ' + tail if tail else ''}"
