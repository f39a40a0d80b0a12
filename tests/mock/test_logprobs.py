"""Tokens and their log-probabilities."""

from __future__ import annotations

import math
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.logprobs import Belief, openai_logprobs, tokens_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 30))
def test_tokens_are_the_answers_text(value: Any, cut: int) -> None:
    """Joined they are its JSON, or as much of it as there is room for; `bytes` say the same."""
    text = orjson.dumps(value).decode()[: cut or None]
    content = openai_logprobs(text, tokens_of(value, {}), 0)["content"]
    assert text == "".join(entry["token"] for entry in content)
    assert text.encode() == bytes(byte for entry in content for byte in entry["bytes"])


@given(st.text(max_size=8) | st.integers() | st.none() | st.booleans(), st.floats(0.01, 1))
def test_a_values_probability_is_the_product_of_its_tokens(value: Any, probability: float) -> None:
    """All other tokens are certain."""
    tokens = tokens_of({"a": value, "b": "certain"}, {("a",): Belief(probability)})
    assert math.isclose(probability, math.prod(token.probability for token in tokens))


def test_the_likeliest_tokens() -> None:
    """What would have been said otherwise is named where there is room, the likelier first."""
    tokens = tokens_of({"tone": "good"}, {("tone",): Belief(0.25, "bad")})
    text = '{"tone":"good"}'
    (entry,) = [e for e in openai_logprobs(text, tokens, 2)["content"] if e["token"] == "good"]
    assert ["bad", "good"] == [other["token"] for other in entry["top_logprobs"]]
    assert [math.log(0.75), math.log(0.25)] == [other["logprob"] for other in entry["top_logprobs"]]
    assert openai_logprobs(text, tokens, 0)["content"][0]["top_logprobs"] == []
