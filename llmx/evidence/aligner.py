"""Quotes to spans: where in a row's text a quote by a model stands.

The top of `llmx.evidence`. A quote is looked for as it stands, then in normal form, then, if it is long enough, with
small differences, and with parts left out for an ellipsis. What is found is always a place of the text itself; what is
not found is None, never a guess. It does not ask whether the quote supports the value (`support` does for a value that
has no quote).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cached_property

from llmx.evidence.facts import same_facts
from llmx.evidence.near import near
from llmx.evidence.normal import NormalForm, is_unspaced, normal
from llmx.evidence.spans import Alignment, Match, is_boundary

__all__ = ["Aligner", "align"]

_ELLIPSIS = re.compile(r" ?(?:\[ ?\.\.\. ?\]|\( ?\.\.\. ?\)|\.{3,}) ?")
"""What a model writes for what it leaves out, in normal form."""

_WRAPPING = " '\"`.,;:!?()[]-。、!?،؛؟*_"
"""What a model adds to, or drops from, the ends of a quote."""

_INSIDE_A_NUMBER = re.compile(r"\d[.,]\d")

_MOST_PARTS, _WIDEST_GAP, _TRIES = 6, 1_000, 8
"""Parts of a shortened quote, letters between two of them, and places of the first part that are tried."""

_OCCURRENCES = 256
"""Places of one quote that are looked at for one between words; after that, the first is as good."""


def align(quote: str, text: str) -> Alignment | None:
    """Where a quote stands in a text; for several quotes of one text, `Aligner` prepares it once.

    Args:
        quote: What is said to stand in the text.
        text: The text.

    Returns:
        The span, in code points of the text as it is; None if the quote is not there, or empty.
    """
    return Aligner(text).find(quote)


class Aligner:
    """A text, prepared for several quotes."""

    def __init__(self, text: str) -> None:
        """Args: text: a row's text."""
        self.text = text
        self._claimed: dict[str, int] = {}

    @cached_property
    def form(self) -> NormalForm:
        """Made when the first quote does not stand there as it is."""
        return NormalForm(self.text)

    def find(self, quote: str, *, after: int = 0) -> Alignment | None:
        """The first place of a quote, exact before normalized before fuzzy, between words before inside one.

        Args:
            quote: What is said to stand in the text.
            after: The offset to look from; a quote that is not behind it is looked for in all of the text.

        Returns:
            The span, or None. Its normal form is the quote's unless it is fuzzy.
        """
        if not quote or quote.isspace():
            return None
        form = normal(quote)
        for start in (after, 0) if after > 0 else (0,):
            found = self._exact(quote, start) or (self._normalized(form, start) if form else None)
            if found is not None:
                return found
        return self._fuzzy(form) if form else None

    def claim(self, quote: str) -> Alignment | None:
        """The place of a quote that no earlier claim of it has had, else its first: for a quote of several fields."""
        key = quote.casefold()
        found = self.find(quote, after=self._claimed.get(key, 0))
        if found is not None:
            self._claimed[key] = found.end
        return found

    def _exact(self, quote: str, after: int) -> Alignment | None:
        """A place where the quote stands as it is, and can be cut out."""
        spans = (
            (start, end)
            for start, end in _occurrences(quote, self.text, after)
            if is_boundary(self.text, start) and is_boundary(self.text, end)
        )
        return _chosen(self.text, spans, "exact")

    def _normalized(self, quote: str, after: int) -> Alignment | None:
        """A place whose normal form is the quote's."""
        return _chosen(self.text, self._normal_spans(quote, self._position(after)), "normalized")

    def _normal_spans(self, quote: str, position: int) -> Iterator[tuple[int, int]]:
        """The spans with a normal form. To be cut out, one may have to be wider, and is then something else."""
        for start, end in _occurrences(quote, self.form.text, position):
            span = self.form.span(start, end)
            if normal(self.text[slice(*span)]) == quote:
                yield span

    def _position(self, offset: int) -> int:
        """The first position of the normal form that comes from an offset or from behind it."""
        low, high = 0, len(self.form.text) if offset else 0
        while low < high:
            middle = (low + high) // 2
            if self.form.offset(middle) < offset:
                low = middle + 1
            else:
                high = middle
        return low

    def _fuzzy(self, quote: str) -> Alignment | None:
        """A place that is like the quote, or where the parts of a shortened one stand."""
        if (shortened := self._shortened(quote)) is not None:
            return shortened
        return self._bare(quote) or self._near(quote)

    def _bare(self, quote: str) -> Alignment | None:
        """A place of a quote without the marks at its ends; a minus is none of those, and half a number no place."""
        bare = quote.strip(_WRAPPING)
        if not bare or bare == quote or not same_facts(bare, quote):
            return None
        found = self._normalized(bare, 0)
        return Alignment(found.start, found.end, "fuzzy") if found and self._is_whole(found) else None

    def _is_whole(self, found: Alignment) -> bool:
        """Whether a span begins and ends between words."""
        return _is_apart(self.text, found.start) and _is_apart(self.text, found.end)

    def _near(self, quote: str) -> Alignment | None:
        """A place that is like the quote."""
        positions = near(quote, self.form.text)
        if positions is None:
            return None
        return Alignment(*self.form.span(*positions), "fuzzy")

    def _shortened(self, quote: str) -> Alignment | None:
        """From the first part of a quote with an ellipsis to its last, if they follow each other closely."""
        parts = [part for part in _ELLIPSIS.split(quote) if part]
        if not 1 < len(parts) <= _MOST_PARTS or not all(_says_something(part) for part in parts):
            return None
        after = 0
        for _ in range(_TRIES):
            first = self._part(parts[0], after)
            if first is None:
                return None
            end = self._rest(parts[1:], first.end)
            if end is not None:
                return Alignment(first.start, end, "fuzzy")
            after = first.end
        return None

    def _rest(self, parts: list[str], end: int) -> int | None:
        """Where the last of the parts ends, each of them at most 1,000 letters behind the one before."""
        for part in parts:
            found = self._part(part, end)
            if found is None or found.start - end > _WIDEST_GAP:
                return None
            end = found.end
        return end

    def _part(self, part: str, after: int) -> Alignment | None:
        """A part at or behind an offset."""
        found = self._normalized(part, after) or self._near(part)
        return found if found and found.start >= after and self._is_whole(found) else None


def _occurrences(quote: str, text: str, after: int) -> Iterator[tuple[int, int]]:
    """Where a text has a quote, from an offset on, in order; at most 256 places, for what repeats without end."""
    start = text.find(quote, after)
    for _ in range(_OCCURRENCES):
        if start < 0:
            return
        yield start, start + len(quote)
        start = text.find(quote, start + max(1, len(quote)))


def _chosen(text: str, spans: Iterator[tuple[int, int]], match: Match) -> Alignment | None:
    """The first span that begins and ends between words, else the first."""
    first: tuple[int, int] | None = None
    for span in spans:
        if _is_apart(text, span[0]) and _is_apart(text, span[1]):
            return Alignment(*span, match)
        first = first or span
    return Alignment(*first, match) if first else None


def _is_apart(text: str, offset: int) -> bool:
    """Whether an offset is not inside a word or a number; every place is one, where words are not written apart."""
    beside = text[max(0, offset - 1) : offset + 1]
    if len(beside) < 2 or is_unspaced(beside):
        return True
    within = all(character.isalnum() or unicodedata.category(character)[0] == "M" for character in beside)
    return not within and _INSIDE_A_NUMBER.search(text, max(0, offset - 2), offset + 2) is None


def _says_something(part: str) -> bool:
    """Whether a part of a quote is more than a letter or two."""
    return sum(map(str.isalnum, part)) >= (2 if is_unspaced(part) else 3)
