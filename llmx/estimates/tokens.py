"""Tokens of prompts and answers: counted in bytes of text, and made tokens by what is known of the model.

A prompt's text is what the model reads: messages and schema, without the JSON around them. How many tokens a byte is comes
from answers that tell both, if there are any; else it is the first guess of the limiter. Nothing here calls anybody.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from llmx.layers.estimate import BYTES_PER_TOKEN
from llmx.records import to_json

__all__ = [
    "Answered",
    "Interval",
    "Measured",
    "OutputSource",
    "input_rate",
    "interval",
    "measured_output",
    "schema_bytes",
    "text_bytes",
    "tokens_of",
]

OutputSource = Literal["probe", "journal", "cache", "examples", "schema"]
"""Where it is known from how long answers are, the best first."""

_TALK = frozenset(
    {"messages", "system", "contents", "system_instruction", "preamble", "message", "chat_history"}
)
"""Names, in bodies of providers, of what the model is told."""

_LABELS = frozenset({"role", "type", "name", "id"})


def text_bytes(body: Mapping[str, Any]) -> int:
    """Bytes in UTF-8 of all that a body tells the model in words; not of a schema beside the messages."""
    return sum(_bytes_in(value) for name, value in body.items() if name in _TALK)


def _bytes_in(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, Mapping):
        return sum(_bytes_in(part) for name, part in value.items() if name not in _LABELS)
    return sum(map(_bytes_in, value)) if isinstance(value, list | tuple) else 0


def tokens_of(size: float) -> float:
    """Tokens of so many bytes, where nothing is known of the model: four bytes each."""
    return size / BYTES_PER_TOKEN


class Answered(Struct, frozen=True):
    """A stored answer to a request of this very plan.

    Args:
        size: bytes of text of the prompt.
        input, output: tokens as the provider has counted them; None of an answer of which only the text is kept.
        text: bytes of the answer.
    """

    size: int
    input: int | None
    output: int | None
    text: int


class Measured(Struct, frozen=True):
    """Tokens of answers.

    Args:
        low, mean: of a short one (the tenth percentile), and on average.
        source: where it is known from.
        answers: how many were looked at.
    """

    low: float
    mean: float
    source: OutputSource
    answers: int


class Interval(Struct, frozen=True):
    """A mean, and the 95 % interval around it; None where one value alone tells none."""

    mean: float
    low: float | None
    high: float | None


def input_rate(answered: Sequence[Answered]) -> float | None:
    """Tokens for a byte of prompt, as providers have counted them; None where none has."""
    counted = [(each.input, each.size) for each in answered if each.input and each.size]
    return sum(tokens for tokens, _ in counted) / sum(size for _, size in counted) if counted else None


def measured_output(tokens: Sequence[float], source: OutputSource) -> Measured | None:
    """What some answers come to, None when there are none."""
    if not tokens:
        return None
    low = sorted(tokens)[len(tokens) // 10]
    return Measured(low, statistics.fmean(tokens), source, len(tokens))


_STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""The 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom
(https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm)."""


def interval(values: Sequence[float]) -> Interval:
    """The mean of some values, at least one, and its 95 % interval by Student's t.

    Beyond 10 degrees of freedom the quantile is approximated from above by 1.96 + 2.8 / degrees.
    """
    mean, degrees = statistics.fmean(values), len(values) - 1
    if not degrees:
        return Interval(mean, None, None)
    quantile = _STUDENT[degrees - 1] if degrees <= len(_STUDENT) else 1.96 + 2.8 / degrees
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, max(0.0, mean - half), mean + half)


def schema_bytes(schema: Mapping[str, Any]) -> int:
    """Bytes of a schema that is sent beside the messages."""
    return len(to_json(schema))
