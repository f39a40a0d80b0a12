"""Limits are told in each family's own words."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import pytest

from llmx.mock.limit_headers import (
    anthropic_limit_headers,
    duration,
    openai_limit_headers,
    retry_after_header,
)
from llmx.mock.limits import LimitState

STATES = {"requests": LimitState(5, 3, 0.02), "input-tokens": LimitState(100, 60, 30.0)}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.02, "20ms"),
        (1.5, "1.5s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3600, "1h0m0s"),
        (90.25, "1m30.25s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Resets are written as OpenAI writes them."""
    assert text == duration(seconds)


def test_openai_headers() -> None:
    """OpenAI has no limit on input tokens alone."""
    expected = (
        "x-ratelimit-limit-requests: 5\r\nx-ratelimit-remaining-requests: 3\r\n"
        "x-ratelimit-reset-requests: 20ms\r\n"
    )
    assert expected == openai_limit_headers(STATES)


def test_anthropic_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anthropic's resets are instants."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.5)
    lines = anthropic_limit_headers(STATES).splitlines()
    assert "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:21Z" in lines
    assert "anthropic-ratelimit-input-tokens-remaining: 60" in lines


def test_retry_after_in_seconds_is_rounded_up() -> None:
    """A wait that is told is never too short."""
    assert retry_after_header("seconds", 2.1) == "retry-after: 3\r\n"


def test_retry_after_in_milliseconds() -> None:
    """The form that OpenAI adds."""
    assert retry_after_header("ms", 2.0501) == "retry-after-ms: 2051\r\n"


def test_no_retry_after() -> None:
    """Some providers name no wait."""
    assert retry_after_header("none", 2.1) == ""


def test_retry_after_as_a_date() -> None:
    """The form of RFC 9110."""
    date = parsedate_to_datetime(retry_after_header("date", 2.1).partition(": ")[2].strip())
    assert 2.0 <= date.timestamp() - time.time() <= 3.2
