"""How alike two rows are: the guards first, then the similarity of what their texts say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmx.semantic.embedding import Embedding, similarity
from llmx.semantic.guards import Reading, difference
from llmx.semantic.reading import Token

__all__ = ["grounded", "likeness", "spoken"]


def likeness(
    row: Mapping[str, Any], said: Reading, other: Mapping[str, Any], other_said: Reading, embedding: Embedding
) -> float | None:
    """The similarity of two rows, 0 to 1: that of the column that is the least alike. None where a guard finds a difference."""
    if difference(row, said, other, other_said, embedding.known):
        return None
    texts = [(spoken(tokens), spoken(other_said[name] or ())) for name, tokens in said.items() if tokens]
    unlike = [pair for pair in texts if pair[0] != pair[1]]
    if not unlike:
        return 1.0
    vectors = embedding.of([text for pair in unlike for text in pair])
    return min(similarity(*vectors[place : place + 2]) for place in range(0, len(vectors), 2))


def spoken(tokens: Sequence[Token]) -> str:
    """What a text says, as the text that is embedded: a greeting or a comma more makes it no other."""
    return " ".join(token.text for token in tokens)


def grounded(answer: Any, row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether all texts of another row's answer that are words of that row are words of this one, too.

    Args:
        answer: JSON.
        row: the one that it would be given to.
        other: the one that it was given for.
    """
    mine, theirs = (
        "\x1e".join(value for value in some.values() if isinstance(value, str)) for some in (row, other)
    )
    return all(text in mine for text in _texts(answer) if text in theirs)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
