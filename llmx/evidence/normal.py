"""The normal form of a text, with the way back to the text's own offsets.

Above `spans`, below `aligner`. Two spellings that a reader takes for the same have the same normal form: letter case,
kinds of white space, quotation marks and dashes, composed and decomposed letters, full-width and presentation forms,
characters that are not seen, hyphens at the ends of lines. Accents stay, and so does the value of every digit. It does
not decide what is evidence: it only compares spellings.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from itertools import accumulate, groupby

from llmx.evidence.spans import snapped

__all__ = ["NormalForm", "is_unspaced", "normal"]

_SINGLE = "'‘’‚‛‹›′ʼ´`＇"
_DOUBLE = '"“”„‟«»″「」『』＂〝〞'
_DASHES = "-‐‑‒–—―−⁃﹘﹣－"
_BREAKS = "\n\r\x0b\x0c\x85\u2028\u2029"

# The marks that tell how an Arabic word is pronounced, most often left out; hamza and madda are letters and stay.
_TASHKEEL = re.compile(
    "[\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)

# Format characters (Cf) that are seen: the signs that stand before Arabic and Syriac numbers.
_SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2"

# Scripts written without spaces, where those of a text are only its line breaks: Han, kana and their punctuation.
_UNSPACED = "\u2e80-\u2fdf\u3000-\u30ff\u31c0-\u31ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")

# A hyphen that ends a line inside a word; white space; dashes in a row. The shorter pattern leaves single spaces alone,
# which are most of the matches, where none of them can go. Possessive, so that no long run is walked through twice.
_HYPHEN = r"(?<=[^\W\d_])[-\xad] *+\n[ \n\xad]*+(?=[^\W\d_])"
_EDITS = re.compile(rf"{_HYPHEN}|[ \n\xad]{{2,}}|[\n\xad]|--+")
_EDITS_UNSPACED = re.compile(rf"{_HYPHEN}|[ \n\xad]+|--+")


def is_unspaced(text: str) -> bool:
    """Whether a text has characters of a script that puts no spaces between words (Chinese, Japanese)."""
    return _HAS_UNSPACED.search(text) is not None


def normal(text: str) -> str:
    """The normal form of a text, without white space at its ends."""
    return NormalForm(text).text.strip(" ")


class NormalForm:
    """A text's normal form, and where each character of it comes from.

    Time and memory are linear in the text. What changes the length of a text is kept as breaks, not as one number for
    each character, so that a plain text costs little more than its lower case.
    """

    def __init__(self, source: str) -> None:
        """Args: source: the text."""
        self._source = source
        folded, self._starts = _fold(source)
        self.text, self._positions, self._origins = _edited(folded)

    def offset(self, position: int) -> int:
        """The source's offset of the character that the one at a position of the normal form comes from."""
        index = bisect_right(self._positions, position) - 1
        folded = self._origins[index] + position - self._positions[index]
        return folded if self._starts is None else bisect_right(self._starts, folded) - 1

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The source's span, cut between graphemes, of a span of the normal form that is not empty."""
        return snapped(self._source, self.offset(start), self.offset(end - 1) + 1)


class _Folding(dict[str, str]):
    """What each character becomes by itself, found once for each."""

    def __missing__(self, character: str) -> str:
        self[character] = folded = _folded(character)
        return folded


def _folded(character: str) -> str:
    """One character's normal form.

    Compatibility decomposition (NFKD), since unlike composition it goes character by character, around the full case
    folding: https://www.unicode.org/versions/latest/core-spec/chapter-3/#G53253 (D146).
    """
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    category = unicodedata.category(character)
    if category in ("Cf", "Cc") and not character.isspace() and character not in _SEEN:
        return "\xad" if character == "\xad" else ""
    if "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef":
        return ""
    decomposed = unicodedata.normalize("NFKD", character)
    if character.isnumeric() and decomposed != character and any(map(str.isdecimal, decomposed)):
        return character  # 10² is not 102, and 1½ is not 11/2
    return _TASHKEEL.sub("", unicodedata.normalize("NFKD", decomposed.casefold()))


_FOLDING = _Folding(
    dict.fromkeys(_SINGLE, "'")
    | dict.fromkeys(_DOUBLE, '"')
    | dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_BREAKS, "\n")
    | dict.fromkeys(" \t\x1c\x1d\x1e\x1f\xa0\u1680\u202f\u205f\u3000", " ")
    | {chr(code): " " for code in range(0x2000, 0x200B)}
)
"""Grows to at most one entry for each character of Unicode, and holds some hundreds."""


def _fold(source: str) -> tuple[str, list[int] | None]:
    """Every character folded, and where each one's begins; None where each became exactly one."""
    parts = list(map(_FOLDING.__getitem__, source))
    folded = "".join(parts)
    if source.isascii() and len(folded) == len(source):
        return folded, None  # lengths can only shrink: equal sums are equal parts
    starts = list(accumulate(map(len, parts), initial=0))
    del starts[-1]
    if not unicodedata.is_normalized("NFD", folded):
        folded = _reordered(folded)
    return folded, starts


def _reordered(folded: str) -> str:
    """The combining marks of each letter in canonical order. They keep their places as a group."""
    groups = groupby(folded, key=lambda character: unicodedata.combining(character) > 0)
    return "".join(
        "".join(sorted(group, key=unicodedata.combining) if marks else group) for marks, group in groups
    )


def _edited(folded: str) -> tuple[str, list[int], list[int]]:
    """White space and hyphens made equal: the text, and the pairs (position, what it was before) behind each edit."""
    parts: list[str] = []
    positions, origins = [0], [0]
    length = done = 0
    pattern = _EDITS_UNSPACED if is_unspaced(folded) else _EDITS
    for match in pattern.finditer(folded):
        start, end = match.span()
        replacement = _replacement(folded, start, end)
        parts += (folded[done:start], replacement)
        length += start - done + len(replacement)
        done = end
        if end - start != len(replacement):
            positions.append(length)
            origins.append(end)
    parts.append(folded[done:])
    return "".join(parts), positions, origins


def _replacement(folded: str, start: int, end: int) -> str:
    """What a run of white space, of dashes, or a hyphen with its line break becomes."""
    first = folded[start]
    if first == "-":
        return "-" if folded[end - 1] == "-" else ""
    run = folded[start:end].replace("\xad", "")
    if not run or (first == "\xad" and _is_inside_a_word(folded, start, end)):
        return ""
    beside = folded[start - 1 : start] + folded[end : end + 1]
    return "" if is_unspaced(beside) else " "


def _is_inside_a_word(folded: str, start: int, end: int) -> bool:
    """Whether letters stand on both sides: a soft hyphen that ended a line."""
    return (
        "\n" in folded[start:end] and folded[start - 1 : start].isalpha() and folded[end : end + 1].isalpha()
    )
