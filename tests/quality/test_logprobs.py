"""How sure a model was, by its log-probabilities."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.quality.leaves import at, leaves
from llmx.quality.logprobs import confidence_of, value_spans

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


def _body(*tokens: tuple[str | bytes, float]) -> dict[str, Any]:
    content = [
        {
            "token": token.decode("utf-8", "replace") if isinstance(token, bytes) else token,
            "bytes": list(token if isinstance(token, bytes) else token.encode()),
            "logprob": math.log(chance),
        }
        for token, chance in tokens
    ]
    return {"choices": [{"logprobs": {"content": content}}]}


def test_a_value_is_as_likely_as_its_tokens_together() -> None:
    """Names and brackets do not count; the quote that ends a text does."""
    body = _body(('{"', 0.1), ("tone", 0.2), ('":"', 0.9), ("go", 0.5), ("od", 0.5), ('"', 0.8), ("}", 0.3))
    found = confidence_of(body, '{"tone":"good"}')
    assert found is not None
    assert math.isclose(0.2, found[("tone",)])


def test_an_empty_text_is_as_likely_as_its_end() -> None:
    """There is nothing else to it."""
    found = confidence_of(_body(('{"a":"', 1.0), ('"}', 0.25)), '{"a":""}')
    assert {("a",): 0.25} == found


def test_tokens_may_cut_characters() -> None:
    """Their bytes say what they are."""
    whole = '{"a":"é","b":1}'.encode()
    cut = whole.index(b"\xa9")
    found = confidence_of(_body((whole[:cut], 0.5), (whole[cut:], 0.5)), whole.decode())
    assert found == {("a",): 0.25, ("b",): 0.5}


def test_the_answer_may_have_text_around_it() -> None:
    """As one in a code fence has."""
    body = _body(("```json\n", 0.1), ('{"a":1}', 0.5), ("\n```", 0.1))
    assert pytest.approx({("a",): 0.5}) == confidence_of(body, '{"a":1}')


def test_only_what_is_below_a_place_is_told() -> None:
    """By paths that begin there."""
    body = _body(('{"evidence":{"a":"x"},"answer":{"a":', 0.9), ("7", 0.5), ("}}", 1.0))
    text = '{"evidence":{"a":"x"},"answer":{"a":7}}'
    assert pytest.approx({("a",): 0.5}) == confidence_of(body, text, below=("answer",))


@pytest.mark.parametrize(
    ("log", "found"), [(-math.inf, {("a",): 0.0}), (0.1, {("a",): 1.0}), (math.nan, None)]
)
def test_log_probabilities_that_are_none(log: float, found: Any) -> None:
    """Of a token that was never to come it is 0, and never more than 1; what is no number tells nothing."""
    tokens = [('{"a":', 0.0), ("1", log), ("}", -math.inf)]
    content = [{"token": token, "logprob": each} for token, each in tokens]
    assert found == confidence_of({"choices": [{"logprobs": {"content": content}}]}, '{"a":1}')


def test_nothing_is_known_without_log_probabilities() -> None:
    """Nor by those of another text, or in a form that nobody knows."""
    assert confidence_of({}, "{}") is None
    assert confidence_of({"choices": [{"logprobs": None}]}, '{"a":1}') is None
    assert confidence_of(_body(("else", 0.5)), '{"a":1}') is None
    assert confidence_of({"choices": [{"logprobs": {"content": [{"logprob": "?"}]}}]}, '{"a":1}') is None


@given(values, st.sampled_from([None, 1]), st.booleans())
def test_spans_are_those_of_the_values(value: Any, indent: int | None, ascii_only: bool) -> None:
    """Each value is read from its own span, and none is left out."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = {path: text[first:last] for path, first, last in value_spans(text)}
    whole = {path: leaf for path, leaf in leaves(value) if leaf not in ([], {})}
    assert whole.keys() == found.keys()
    for path, said in found.items():
        leaf = at(value, path)
        assert leaf == json.loads('"' + said if isinstance(leaf, str) else said)


@given(values, st.integers(0, 60))
def test_a_cut_text_has_the_spans_before_the_cut(value: Any, cut: int) -> None:
    """And is no error."""
    list(value_spans(json.dumps(value)[:cut]))
