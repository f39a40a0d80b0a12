"""How sure a model was of each value of its answer, by the log-probabilities of the tokens that it wrote it with.

A value's probability is that of its tokens together, each given all before it: the product over the tokens that hold a
character of the value between its quotes (chain rule). It is the model's own, unlike a number that a model is asked to
write about itself. Formats: OpenAI's `choices[0].logprobs.content`, as most compatible servers give it
(https://platform.openai.com/docs/api-reference/chat/object).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from typing import Any

from llmx.quality.leaves import Path

__all__ = ["confidence_of", "value_spans"]

_decoder = JSONDecoder(strict=False)

_BLANKS = " \t\r\n"

_LEAST = -9999.0
"""What OpenAI writes for a token that is not among the likeliest
(https://platform.openai.com/docs/api-reference/chat/object)."""


def confidence_of(body: Mapping[str, Any], text: str, *, below: Path = ()) -> dict[Path, float] | None:
    """The probability of each value of an answer, from 0 to 1.

    Args:
        body: the provider's response.
        text: the answer's JSON text, as it stands in the response.
        below: the part of the answer that is looked at; paths begin there.

    Returns:
        None where the response tells no log-probabilities, or those of another text.
    """
    tokens = _tokens(body)
    if not tokens:
        return None
    whole, answer = b"".join(token for token, _ in tokens), text.encode()
    if (start := whole.find(answer)) < 0:
        return None
    ends = list(accumulate(len(token) for token, _ in tokens))
    logs = [0.0, *accumulate(log for _, log in tokens)]
    return {
        path[len(below) :]: _probability(logs, ends, start + first, start + last)
        for path, first, last in _in_bytes(text, value_spans(text))
        if path[: len(below)] == below
    }


def _tokens(body: Mapping[str, Any]) -> list[tuple[bytes, float]]:
    try:
        content = body["choices"][0]["logprobs"]["content"] or []
        return [(_bytes_of(token), _log_of(token)) for token in content]
    except (LookupError, TypeError, ValueError):
        return []


def _log_of(token: Mapping[str, Any]) -> float:
    """A token's log-probability; of one that was never to come, as some servers say, the least that servers write."""
    log = float(token["logprob"])
    if math.isnan(log):
        raise ValueError("a log-probability that is no number")
    return max(log, _LEAST)


def _bytes_of(token: Mapping[str, Any]) -> bytes:
    """A token's bytes: its text alone cannot say which part of a character it is."""
    given = token.get("bytes")
    return bytes(given) if given is not None else str(token["token"]).encode()


def _probability(logs: Sequence[float], ends: Sequence[int], first: int, last: int) -> float:
    """Of the tokens that hold a byte from `first` up to `last`, by what all up to each come to together."""
    begin, end = bisect_right(ends, first), bisect_left(ends, last) + 1
    return math.exp(min(0.0, logs[min(end, len(ends))] - logs[begin]))


def _in_bytes(text: str, spans: Iterator[tuple[Path, int, int]]) -> Iterator[tuple[Path, int, int]]:
    """Spans of characters as spans of UTF-8; those of most answers are the same."""
    if text.isascii():
        yield from spans
        return
    places = [0, *accumulate(len(character.encode()) for character in text)]
    for path, first, last in spans:
        yield path, places[first], places[last]


def value_spans(text: str) -> Iterator[tuple[Path, int, int]]:
    """Where each value that is no object and no list stands in a JSON text.

    Of a string that is from behind its first quote to behind its last, which says that it ends there. Of names that
    stand twice in an object, the last one comes last. What is behind a fault is left out.
    """
    try:
        yield from _spans(text, _skipped(text, 0), ())
    except (JSONDecodeError, IndexError, RecursionError):
        return


Spans = Generator[tuple[Path, int, int], None, int]
"""Spans, and where what they are of ends."""


def _spans(text: str, place: int, path: Path) -> Spans:
    if text[place] in "{[":
        return (yield from _spans_inside(text, place, path))
    _, end = _decoder.raw_decode(text, place)
    yield path, place + (text[place] == '"'), end
    return end


def _spans_inside(text: str, place: int, path: Path) -> Spans:
    """Of what is in an object or a list, whose bracket is at `place`."""
    named, closing, count = text[place] == "{", "}" if text[place] == "{" else "]", 0
    place = _skipped(text, place + 1)
    while text[place] != closing:
        step: str | int = count
        if named:
            step, place = _decoder.raw_decode(text, place)
            place = _skipped(text, _skipped(text, place) + 1)
        place = _skipped(text, (yield from _spans(text, place, (*path, step))))
        place = _skipped(text, place + 1) if text[place] == "," else place
        count += 1
    return place + 1


def _skipped(text: str, place: int) -> int:
    """The next place that is no blank."""
    while place < len(text) and text[place] in _BLANKS:
        place += 1
    return place
