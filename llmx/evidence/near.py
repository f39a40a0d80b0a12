"""Near matches: the place of a text that a quote with small differences was taken from.

Below `aligner`, beside `normal`, whose forms it compares. Pieces of the quote are looked for first, and only the few
places where several of them stand in the right order are compared letter by letter, so that the time is linear in the
text. It does not map offsets back, and does not accept a place that states something else (`facts`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from llmx.evidence.facts import same_facts
from llmx.evidence.normal import is_unspaced

__all__ = ["CUTOFF", "LONGEST", "near"]

CUTOFF = 90.0
"""How alike a quote and its place are at least, of 100: twice what they share, of the letters of both (Indel ratio,
https://rapidfuzz.github.io/RapidFuzz/Usage/fuzz.html#ratio)."""

LONGEST = 4_000
"""Letters of the longest quote that is compared: the comparison's time is quadratic in them, and in them alone."""

_SHORTEST, _SHORTEST_UNSPACED = 12, 6
"""Letters of the shortest quote: in a shorter one, one letter is a word of its own."""

_SEED, _SEED_UNSPACED = 5, 2
"""Letters of a piece: with every tenth letter changed, some pieces are whole."""

_SEEDS, _HITS, _PLACES = 48, 64, 3
"""Pieces of a quote, hits of each in the text, places compared."""

_HEAD = 96
"""Letters at each end of a quote that its ends are found by."""

_EDGES, _REACH = 12, 60
"""Ends of words tried about each end of a place, and how many letters away from it they are at most."""

# Marks, decomposed as they are in a normal form, are parts of words, which \w does not know. The ranges of scripts that
# write their vowels as marks (Indic, Thai and its neighbours) hold little else than words.
_WORD = (
    r"\w\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f"
    r"\u0900-\u0963\u0966-\u109f\u1780-\u17ff\u3099\u309a"
)
_WORD_END = re.compile(rf"(?<=[{_WORD}])(?![{_WORD}])|(?<=[^{_WORD}\s])")
_WORD_START = re.compile(rf"(?<![{_WORD}])(?=[{_WORD}])|(?=[^{_WORD}\s])")


def near(quote: str, text: str) -> tuple[int, int] | None:
    """The span of a text that a quote was most likely taken from, cut between words.

    Args:
        quote: A quote's normal form.
        text: A text's.

    Returns:
        Positions in the text, of a span that is at least 90 of 100 alike and names the same numbers and negations;
        None if there is none, or the quote is shorter than 12 letters (6 in Chinese and Japanese).
    """
    if not _is_long_enough(quote) or len(quote) > min(LONGEST, 2 * len(text)):
        return None
    best, best_score = None, 0.0
    for place in _places(quote, text):
        found = _span(quote, text, place)
        if found is not None and found[2] > best_score and same_facts(quote, text[found[0] : found[1]]):
            best, best_score = found[:2], found[2]
    return best


def _is_long_enough(quote: str) -> bool:
    """Whether a near match of a quote, in normal form, says anything."""
    return len(quote) >= (_SHORTEST_UNSPACED if is_unspaced(quote) else _SHORTEST)


def _places(quote: str, text: str) -> Iterator[int]:
    """Where the quote would begin, by where its pieces are: the likeliest first. Less than 0: before the text."""
    size = _SEED_UNSPACED if is_unspaced(quote) else _SEED
    step = max(size // 2, 1, (len(quote) - size) // _SEEDS)
    width = max(8, len(quote) // 4)
    votes: defaultdict[int, float] = defaultdict(float)
    for start in range(0, len(quote) - size + 1, step):
        # One vote for each place, however often a piece repeats there, and shared among the places that it has.
        slots = {(hit - start) // width for hit in _hits(quote[start : start + size], text)}
        for slot in slots:
            votes[slot] += 1 / len(slots)
    # A place on the line between two counts for both.
    joined = {slot: votes[slot] + votes.get(slot + 1, 0) for slot in votes}
    for slot, _ in sorted(joined.items(), key=lambda pair: (-pair[1], pair[0]))[:_PLACES]:
        yield slot * width


def _hits(piece: str, text: str) -> Iterator[int]:
    """The first places of a piece; of one that is everywhere, 64."""
    start = text.find(piece)
    for _ in range(_HITS):
        if start < 0:
            return
        yield start
        start = text.find(piece, start + 1)


def _span(quote: str, text: str, place: int) -> tuple[int, int, float] | None:
    """The span near a place that is most like the quote, and how alike they are."""
    from rapidfuzz import fuzz

    margin = max(8, len(quote) // 4) * 2 + 8
    low, high = max(0, place - margin // 2), min(len(text), place + len(quote) + margin)
    start, end = _ends(quote, text, low, high)
    if start >= end:
        return None
    # The end first: a span that is cut short on the right says less about where its beginning is best.
    ends = _nearest(_WORD_END, text, end, start + 1, min(high + margin, len(text)))
    end = max(ends, key=lambda edge: (fuzz.ratio(quote, text[start:edge]), edge), default=end)
    starts = _nearest(_WORD_START, text, start, max(low - margin, 0), end - 1)
    start = max(starts, key=lambda edge: (fuzz.ratio(quote, text[edge:end]), -edge), default=start)
    score = fuzz.ratio(quote, text[start:end], score_cutoff=CUTOFF)
    return (start, end, score) if score else None


def _ends(quote: str, text: str, low: int, high: int) -> tuple[int, int]:
    """About where a quote begins and ends within a window: by its first and last letters, if it is long."""
    from rapidfuzz import fuzz

    if len(quote) <= 2 * _HEAD:
        whole = fuzz.partial_ratio_alignment(quote, text[low:high])
        return (low + whole.dest_start, low + whole.dest_end) if whole else (0, 0)
    reach = 2 * _HEAD + (high - low - len(quote))
    head = fuzz.partial_ratio_alignment(quote[:_HEAD], text[low : low + reach])
    tail_low = max(low, high - reach)
    tail = fuzz.partial_ratio_alignment(quote[-_HEAD:], text[tail_low:high])
    return (low + head.dest_start, tail_low + tail.dest_end) if head and tail else (0, 0)


def _nearest(pattern: re.Pattern[str], text: str, offset: int, low: int, high: int) -> list[int]:
    """The ends of words nearest to an offset, itself among them if the text has no words apart."""
    around = max(low, offset - _REACH), min(high, offset + _REACH)
    found = [match.start() for match in pattern.finditer(text, *around)]
    if is_unspaced(text[max(0, offset - 1) : offset + 1]) or not found:
        found += range(max(low, offset - _EDGES // 2), min(high, offset + _EDGES // 2) + 1)
    return sorted(set(found), key=lambda edge: abs(edge - offset))[:_EDGES]
