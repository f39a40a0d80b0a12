"""Whether two rows say the same, where similarity cannot tell: numbers, dates, negations, names, order, and all words.

Two texts pass when what they say is the same token for token, but for misspellings of ordinary words and the order of
sentences that stand alone. Whatever is not sure is a difference: it costs a call, and the other mistake a wrong answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from llmx.records.values import to_json
from llmx.semantic.reading import LONGEST, Token, is_relative, read, same_case
from llmx.semantic.words import CONFUSABLE, KINDS, LINKING

__all__ = ["Reading", "difference", "key_of", "reading_of"]

SHORT = 4
"""Words from which on a cell is a text; anything shorter has to be the same to the letter."""

TYPO_LENGTH = 6
"""Letters from which on a word may be misspelt."""

SENTENCE = 3
"""Words that a sentence has at least; anything shorter is a heading, or a part of one."""

FOREIGN = 0.1
"""Share of letters beyond the Latin ones up to which a text is read: the guards know nothing of other scripts."""

Known = Callable[[str], bool]
"""Whether a word, in small letters, is one of the language."""

Reading = Mapping[str, "tuple[Token, ...] | None"]
"""A row: of each column that holds a text what it says, None of those that are compared to the letter."""


def reading_of(row: Mapping[str, Any]) -> Reading | None:
    """What a row says; None where it is not to be compared by its meaning.

    That is a row without a text, with one that is too long or in a script that the guards cannot read, or one that
    speaks of now: its answer is another one at another time.
    """
    said: dict[str, tuple[Token, ...] | None] = {}
    for name, value in row.items():
        if not isinstance(value, str):
            said[name] = None
            continue
        if len(value) > LONGEST or not _is_latin(value):
            return None
        tokens = read(value)
        if is_relative(tokens):
            return None
        said[name] = tokens if len(value.split()) >= SHORT and tokens else None
    return said if any(tokens is not None for tokens in said.values()) else None


def _is_latin(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    foreign = sum(letter > "\u024f" for letter in letters)
    return foreign <= FOREIGN * len(letters)


def key_of(row: Mapping[str, Any], said: Reading) -> bytes:
    """The same 16 bytes for all rows that may pass for each other: where to look for them.

    Misspelt words and moved sentences leave it as it is; nothing else does.
    """
    parts: list[Any] = []
    for name in sorted(row):
        tokens = said[name]
        texts: Any = row[name] if tokens is None else sorted(map(_outline, tokens))
        parts.append([name, tokens is not None, texts])
    return blake2b(to_json(parts, sort_keys=True), digest_size=16).digest()


def _outline(token: Token) -> str:
    """What misspelling leaves of a token."""
    return f"{token.text[0]}~{token.text[-2:]}" if _may_be_misspelt(token.text) else token.text


def _may_be_misspelt(word: str) -> bool:
    return len(word) >= TYPO_LENGTH and word.isalpha() and word not in KINDS


def difference(
    row: Mapping[str, Any], said: Reading, other: Mapping[str, Any], other_said: Reading, known: Known
) -> str:
    """The kind of the first difference between two rows; "" where there is none.

    Args:
        said, other_said: the rows' readings.
        known: tells words from misspellings.
    """
    if row.keys() != other.keys():
        return "columns"
    for name, tokens in said.items():
        theirs = other_said[name]
        if tokens is None or theirs is None:
            if to_json(row[name]) != to_json(other[name]):
                return "cell"
        elif kind := _between(tokens, theirs, known, moved=not _has_parts(row[name], other[name])):
            return kind
    return ""


def _has_parts(*texts: str) -> bool:
    """Whether a text has lines or headings, whose order says what belongs together."""
    return any("\n" in text.strip() or ":" in text for text in texts)


def _between(one: Sequence[Token], other: Sequence[Token], known: Known, *, moved: bool) -> str:
    """The kind of the first difference between two texts.

    Args:
        moved: sentences may stand in another order.
    """
    kind = _in_turn(one, other, known if _is_english(one) else _all_known)
    return "" if kind and moved and _same_sentences(one, other) else kind


_ENGLISH = frozenset(
    [
        "the",
        "a",
        "an",
        "and",
        "of",
        "to",
        "is",
        "was",
        "are",
        "in",
        "it",
        "i",
        "my",
        "for",
        "with",
        "not",
        "on",
        "have",
        "had",
        "that",
        "this",
        "we",
        "at",
        "has",
        "you",
    ]
)


def _is_english(tokens: Sequence[Token]) -> bool:
    """Whether enough of a text's words are the commonest of English: of other languages we know no misspellings."""
    return 7 * sum(token.text in _ENGLISH for token in tokens) >= len(tokens)


def _all_known(word: str) -> bool:
    return True


def _in_turn(one: Sequence[Token], other: Sequence[Token], known: Known) -> str:
    typos = 0
    for mine, theirs in zip(one, other, strict=False):
        if mine.text == theirs.text:
            if not same_case(mine, theirs):
                return "name"
        elif _is_misspelt(mine, theirs, known):
            typos += 1
        else:
            return _kind_of(mine, theirs)
    if len(one) != len(other):
        longer = one if len(one) > len(other) else other
        return _kind_of(longer[min(len(one), len(other))])
    return "word" if typos > max(1, len(one) // 10) else ""


def _kind_of(*tokens: Token) -> str:
    """What a difference is about: the most telling of its tokens."""
    return min((token.kind for token in tokens), key=lambda kind: (kind == "word", kind == "tense"))


def _is_misspelt(one: Token, other: Token, known: Known) -> bool:
    """Whether one of two words is the other with two letters swapped, or a letter doubled that is single or the reverse.

    Only ordinary words, in small letters, within which that is: their first letter and their last two are right, so that
    no prefix, plural or tense is taken for it; and exactly one of them is a word that is known.
    """
    first, second = one.text, other.text
    if not (_may_be_misspelt(first) and _may_be_misspelt(second)):
        return False
    if {one.case, other.case} != {"l"} or first in CONFUSABLE or second in CONFUSABLE:
        return False
    if first[0] != second[0] or first[-2:] != second[-2:] or known(first) == known(second):
        return False
    return _one_slip(first, second)


_INFLECTED = ("ing", "ed", "er", "ers")


def _one_slip(first: str, second: str) -> bool:
    start = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))
    if len(first) == len(second):
        return (
            first[start + 2 :] == second[start + 2 :]
            and first[start : start + 2] == second[start : start + 2][::-1]
        )
    longer, shorter = (first, second) if len(first) > len(second) else (second, first)
    doubled = longer[start - 1] == longer[start] and longer[:start] + longer[start + 1 :] == shorter
    # "hopping" is no slip of "hoping", nor "planned" of "planed".
    return doubled and longer[start + 1 :] not in _INFLECTED


def _same_sentences(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Whether two texts have the same sentences in another order, none of which leans on another."""
    mine, theirs = _sentences(one), _sentences(other)
    if len(mine) != len(theirs) or len(mine) < 2 or sorted(mine) != sorted(theirs):
        return False
    return all(map(_stands_alone, mine))


def _stands_alone(sentence: Sequence[tuple[str, str]]) -> bool:
    """Whether a sentence is a whole one that leans on no other."""
    words = [word for word, _ in sentence]
    whole = len(words) >= SENTENCE and any(KINDS.get(word) in ("tense", "modality") for word in words)
    return whole and "?" not in words and not any(word in LINKING for word in words)


def _sentences(tokens: Sequence[Token]) -> list[list[tuple[str, str]]]:
    found: dict[int, list[tuple[str, str]]] = {}
    for token in tokens:
        found.setdefault(token.sentence, []).append((token.text, token.case))
    return list(found.values())
