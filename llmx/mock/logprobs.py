"""Log-probabilities of an answer's tokens: a value's own stands on its first word, all else is certain.

The probability of a value is therefore the product of its tokens' probabilities, however a reader puts them
together. Tokens are words, marks and white space; joined they are the answer's text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmx.mock.leaves import Steps
from llmx.records import to_json

__all__ = ["Belief", "Token", "openai_logprobs", "tokens_of"]

_TOKEN = re.compile(r"\w{1,8}|\s+|[^\w\s]")
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Belief:
    """How sure the model is of a value.

    Args:
        probability: 0 to 1.
        instead: what it would have said otherwise.
    """

    probability: float
    instead: Any = None


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text, its probability, and the likeliest other piece, if it is not certain."""

    text: str
    probability: float = 1.0
    instead: str | None = None


def tokens_of(value: Any, beliefs: Mapping[Steps, Belief]) -> list[Token]:
    """The tokens of an answer's JSON.

    Args:
        value: the answer.
        beliefs: about its values, by their place; one that is not named is certain.
    """
    tokens: list[Token] = []
    for text, steps in _spelled(value, ()):
        belief = None if steps is None else beliefs.get(steps)
        tokens += _plain(text) if belief is None else _believed(text, belief)
    return tokens


def openai_logprobs(text: str, tokens: list[Token] | None, top: int) -> dict[str, Any]:
    """OpenAI's `logprobs` of one choice.

    Args:
        text: the choice's content: the tokens are cut where it ends.
        tokens: None for a text of which nothing is known.
        top: how many of the likeliest tokens are named at every place.
    """
    content, room = [], len(text)
    for token in _plain(text) if tokens is None else tokens:
        if room <= 0:
            break
        content.append(_entry(token, token.text[:room], top))
        room -= len(token.text)
    return {"content": content, "refusal": None}


def _entry(token: Token, text: str, top: int) -> dict[str, Any]:
    own = _scored(text, token.probability)
    likeliest = [own]
    if token.instead is not None:
        likeliest.append(_scored(token.instead, 1 - token.probability))
    likeliest.sort(key=lambda scored: -scored["logprob"])
    return {**own, "top_logprobs": likeliest[:top]}


def _scored(text: str, probability: float) -> dict[str, Any]:
    return {"token": text, "logprob": math.log(max(probability, _LEAST)), "bytes": list(text.encode())}


def _plain(text: str) -> list[Token]:
    return [Token(found[0]) for found in _TOKEN.finditer(text)]


def _believed(text: str, belief: Belief) -> list[Token]:
    """The first word carries the probability; a text of marks alone has it on the first of them."""
    tokens = _plain(text)
    first = next((i for i, token in enumerate(tokens) if token.text[0].isalnum()), 0)
    tokens[first] = Token(tokens[first].text, belief.probability, _first_word(belief.instead))
    return tokens


def _first_word(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value).decode()
    found = _TOKEN.search(text)
    return found[0] if found else '"'


def _spelled(value: Any, steps: Steps) -> Iterator[tuple[str, Steps | None]]:
    """Compact JSON in pieces, each value with its place."""
    if isinstance(value, dict) and value:
        for number, (name, inner) in enumerate(value.items()):
            yield ("," if number else "{") + to_json(name).decode() + ":", None
            yield from _spelled(inner, (*steps, name))
        yield "}", None
    elif isinstance(value, list) and value:
        for number, inner in enumerate(value):
            yield "," if number else "[", None
            yield from _spelled(inner, (*steps, number))
        yield "]", None
    else:
        yield to_json(value).decode(), steps
