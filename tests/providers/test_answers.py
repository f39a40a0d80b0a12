"""Responses that are no completions, in every shape they come in."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.providers.answers import Answer, answer_of, retry_after


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 60.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after(headers, expected):
    """Milliseconds, seconds or a date; nonsense is ignored."""
    assert expected == retry_after(headers, now=60.0)


def test_a_date_is_read_by_the_servers_own_clock():
    """Ours may be an hour off; a `date` that is none leaves it to ours."""
    headers = {"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT", "date": "Thu, 01 Jan 1970 00:01:55 GMT"}
    assert retry_after(headers, now=3600.0) == 5
    assert retry_after({**headers, "date": "now"}, now=60.0) == 60


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=40)))
def test_retry_after_takes_any_text(headers):
    """Whatever a server sends, the answer is None or a positive finite time."""
    found = retry_after(headers, now=0.0)
    assert found is None or 0 < found < float("inf")


@given(st.integers(min_value=1, max_value=10**8))
def test_retry_after_of_a_date_is_the_time_until_then(seconds):
    """HTTP dates are in whole seconds, so the time until one is exact."""
    date = format_datetime(datetime.fromtimestamp(10**9 + seconds, tz=UTC), usegmt=True)
    assert float(seconds) == retry_after({"retry-after": date}, now=10.0**9)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, ("why", "", "")),
        ("plain words", ("plain words", "", "")),
        (b"\xff", ("why", "", "")),
        ([], ("why", "", "")),
        ({"error": None}, ("why", "", "")),
        ({"error": []}, ("why", "", "")),
        ({"detail": "d"}, ("d", "", "")),
        ({"error": {"message": "m", "code": "c", "type": "t", "param": "p"}}, ("m", "c t", "p")),
        ('{"error": {"message": "m"}}', ("m", "", "")),
        (
            "<!DOCTYPE HTML>\n<html><title>Error\nresponse</title>",
            ("an HTML page ('Error response')", "", ""),
        ),
        ("<html><p>x</p>", ("an HTML page", "", "")),
    ],
)
def test_an_error_is_found_wherever_it_is(body, expected):
    """Error bodies come in every shape, and none makes the reading fail."""
    message, code, param = expected
    assert answer_of(500, {"A": 1}, body, fallback="why") == Answer(500, {"a": "1"}, message, code, param)
