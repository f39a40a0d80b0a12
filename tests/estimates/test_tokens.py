"""Bytes of prompts, and what they are in tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llmx.estimates.tokens import Answered, input_rate, interval, measured_output, text_bytes


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m", "messages": [{"role": "system", "content": "ab"}, {"role": "user", "content": "é"}]},
        {"system": "ab", "messages": [{"role": "user", "content": [{"type": "text", "text": "é"}]}]},
        {"contents": [{"role": "user", "parts": [{"text": "abé"}]}], "tools": [{"name": "long name"}]},
    ],
    ids=["openai", "anthropic", "google"],
)
def test_the_words_of_a_body(body: dict[str, object]) -> None:
    """What the model is told counts, in UTF-8; roles, names and the schema beside it do not."""
    assert text_bytes(body) == 4


def test_the_rate_of_tokens() -> None:
    """Answers that were counted tell it, the others nothing."""
    assert input_rate([]) is None
    assert input_rate([Answered(100, None, None, 5)]) is None
    assert input_rate([Answered(100, 30, 4, 5), Answered(300, 70, 4, 5), Answered(9, None, 4, 5)]) == 0.25


def test_answers_that_were_measured() -> None:
    """The tenth percentile and the mean; nothing of none."""
    assert measured_output([], "probe") is None
    found = measured_output(list(range(1, 21)), "probe")
    assert found is not None
    assert (found.low, found.mean, found.answers) == (3, 10.5, 20)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60))
def test_the_interval_is_students(values: list[float]) -> None:
    """At 95 %, never narrower than scipy's, and hardly wider."""
    found = interval(values)
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.mean >= half * 0.998 - 1e-6
    assert found.high - found.mean <= half * 1.03 + 1e-6
    assert found.low >= 0


def test_one_value_has_no_interval() -> None:
    """Only itself."""
    assert (interval([3]).mean, interval([3]).low, interval([3]).high) == (3, None, None)
