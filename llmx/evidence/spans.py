"""Spans of a text: what an alignment is, and where a text may be cut.

The bottom of `llmx.evidence`. A text may be cut between graphemes only: never before a combining mark, inside an emoji
that is joined from several, a flag, or a Hangul syllable that is written as its letters. It does not look for anything.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

import msgspec

__all__ = ["Alignment", "Match", "is_boundary", "snapped"]

Match = Literal["exact", "normalized", "fuzzy"]
"""How a quote was found: as it stands, in normal form, or with small differences."""

_JOINER = "\u200d"

# A grapheme has no upper bound, and a text of marks alone would make every cut a walk through all of it. Normal text has
# at most 30 marks on a letter: https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
_LONGEST = 64

_MOST_INDICATORS = 64
"""Letters of flags in a row that are counted; behind them, a flag cannot be told from the halves of two."""


class Alignment(msgspec.Struct, frozen=True):
    """Where a quote stands in a text.

    Args:
        start: Offset of its first code point, from 0.
        end: Offset behind its last code point, so that `text[start:end]` is the span.
        match: How it was found.
    """

    start: int
    end: int
    match: Match


def is_boundary(text: str, offset: int) -> bool:
    """Whether a text may be cut at an offset: not inside what a reader sees as one character.

    A simplified form of https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundaries, without the tables of Indic
    conjuncts: those may be cut between their consonants, as most editors do.
    """
    if not 0 < offset < len(text):
        return True
    before, here = text[offset - 1], text[offset]
    if here < "\u0300":
        return not (before == "\r" and here == "\n")
    if before == _JOINER or _extends(here):
        return before == "\n"
    if _is_indicator(here) and _is_indicator(before):
        count = _indicators_before(text, offset)
        return count % 2 == 0 and count < _MOST_INDICATORS
    return not _same_syllable(before, here)


def snapped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span, widened to where its text may be cut; by at most 64 code points to either side."""
    lowest, highest = max(0, start - _LONGEST), min(len(text), end + _LONGEST)
    while start > lowest and not is_boundary(text, start):
        start -= 1
    while end < highest and not is_boundary(text, end):
        end += 1
    return start, end


def _extends(character: str) -> bool:
    """Whether it belongs to the character before it: marks, variation selectors, skin tones, tags, joiners."""
    if "\U0001f3fb" <= character <= "\U0001f3ff" or "\U000e0020" <= character <= "\U000e007f":
        return True
    return character in "\u200c\u200d\uff9e\uff9f" or unicodedata.category(character) in ("Mn", "Mc", "Me")


def _is_indicator(character: str) -> bool:
    """Whether it is one of the two letters of a flag."""
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _indicators_before(text: str, offset: int) -> int:
    """How many letters of flags stand right before an offset, counted up to a limit."""
    start = offset
    while start > max(0, offset - _MOST_INDICATORS) and _is_indicator(text[start - 1]):
        start -= 1
    return offset - start


def _same_syllable(before: str, here: str) -> bool:
    """Whether two Hangul letters are of one syllable: a leading consonant, a vowel, a trailing consonant."""
    if "\u1160" <= here <= "\u11a7":
        return "\u1100" <= before <= "\u11a7" or _is_open_syllable(before)
    if "\u11a8" <= here <= "\u11ff":
        return "\u1160" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    return "\u1100" <= here <= "\u115f" and "\u1100" <= before <= "\u115f"


def _is_open_syllable(character: str) -> bool:
    """Whether it is a composed Hangul syllable without a trailing consonant: every 28th is."""
    return "\uac00" <= character <= "\ud7a3" and (ord(character) - 0xAC00) % 28 == 0
