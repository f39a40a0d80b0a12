"""Limits out of response headers: both families of names, durations and moments, and whatever else servers send."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmx.mock.limit_headers import anthropic_limit_headers, openai_limit_headers
from llmx.mock.limits import LimitState as MockState
from llmx.providers.rate_headers import limit_states, parse_duration, parse_moment
from llmx.types import LimitState

OPENAI = {
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-reset-requests": "20ms",
    "x-ratelimit-limit-tokens": "600000",
    "x-ratelimit-remaining-tokens": "599000",
    "x-ratelimit-reset-tokens": "6m0s",
}

ANTHROPIC = {
    "date": "Sat, 31 Jan 2026 12:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-01-31T12:00:02Z",
    "anthropic-ratelimit-tokens-limit": "40000",
    "anthropic-ratelimit-tokens-remaining": "39000",
    "anthropic-ratelimit-tokens-reset": "2026-01-31T12:00:30Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "0",
    "anthropic-ratelimit-input-tokens-reset": "2026-01-31T12:01:00Z",
    "anthropic-ratelimit-output-tokens-limit": "10000",
    "anthropic-ratelimit-output-tokens-remaining": "9000",
    "anthropic-ratelimit-output-tokens-reset": "2026-01-31T11:59:00Z",
}


def test_openais_names():
    """Requests and tokens, with resets that are durations."""
    assert limit_states(OPENAI) == [
        LimitState("requests", 3000, 2999, 0.02),
        LimitState("tokens", 600_000, 599_000, 360),
    ]


def test_anthropics_names():
    """Four limits, with resets that are moments on the server's own clock; what is past is now."""
    assert limit_states(ANTHROPIC) == [
        LimitState("requests", 50, 49, 2),
        LimitState("tokens", 40_000, 39_000, 30),
        LimitState("input_tokens", 30_000, 0, 60),
        LimitState("output_tokens", 10_000, 9000, 0),
    ]


@pytest.mark.parametrize("date", [None, "yesterday", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"])
def test_without_a_date_our_own_clock_serves(date: str | None):
    """As it does where the date cannot be read, or is none that there could be."""
    soon = datetime.fromtimestamp(time.time() + 30, UTC).isoformat()
    headers = {**ANTHROPIC, "anthropic-ratelimit-requests-reset": soon, "date": date}
    told = limit_states({name: value for name, value in headers.items() if value is not None})
    assert told[0].reset == pytest.approx(30, abs=5)


@pytest.mark.parametrize("headers", [{}, {"content-type": "application/json", "retry-after": "3"}])
def test_most_servers_tell_nothing(headers: dict[str, str]):
    """No such headers are no limits."""
    assert limit_states(headers) == ()


@pytest.mark.parametrize("which", ["requests", "tokens"])
def test_one_limit_alone_is_told_alone(which: str):
    """The other is not made up."""
    for headers in (OPENAI, ANTHROPIC):
        some = {name: value for name, value in headers.items() if which in name and "put" not in name}
        assert [state.kind for state in limit_states(some)] == [which]


@pytest.mark.parametrize("value", ["-1", "", "none", "inf", "nan", "1e999", "9" * 400, "0", "60 per minute"])
def test_a_limit_that_is_no_count_is_none(value: str):
    """Some servers write -1, or words, for no limit; a limit of 0 would never let anything through."""
    assert [state.kind for state in limit_states({**OPENAI, "x-ratelimit-limit-requests": value})] == [
        "tokens"
    ]


def test_what_is_missing_or_nonsense():
    """A limit without what remains is not told; one without a readable reset is, without it."""
    told = dict(OPENAI)
    del told["x-ratelimit-remaining-requests"]
    told["x-ratelimit-reset-tokens"] = "soon"
    assert limit_states(told) == [LimitState("tokens", 600_000, 599_000, None)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("120ms", 0.12),
        ("6m0s", 360),
        ("2m59.56s", 179.56),
        ("1d2h", 93_600),
        ("1d2h3m4.5s", 93_784.5),
        ("1h", 3600),
        ("10m", 600),
        ("0s", 0),
        ("1s500ms", 1.5),
        ("7", 7),
        ("7.66", 7.66),
        ("0", 0),
        ("1e3", 1000),
    ],
)
def test_durations(text: str, seconds: float):
    """Units in falling order, fractions of seconds, and a bare number of seconds."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", [None, "", " ", "s", "soon", "-1s", "-5", "1s1m", "1.5h", "nan", "inf", "1w", "1s "]
)
def test_no_durations(text: str | None):
    """Nonsense and negative ones are no time at all."""
    assert parse_duration(text) is None


@pytest.mark.parametrize("text", ["9" * 400 + "s", "9" * 400, "9" * 400 + "d1s", "1e400"])
def test_a_duration_beyond_all_numbers_is_none(text: str):
    """It would be infinite, and nobody waits for that."""
    assert parse_duration(text) is None


def test_a_long_duration_is_told_as_it_is():
    """Whoever waits decides how long; some limits are per day."""
    assert parse_duration("365d") == 365 * 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T12:00:30Z", 30),
        ("2026-01-31T12:00:30.25Z", 30.25),
        ("2026-01-31T13:01:00+01:00", 60),
        ("2026-01-31T11:00:00Z", 0),
        ("soon", None),
        ("12", None),
        ("", None),
        (None, None),
    ],
)
def test_moments(text: str | None, seconds: float | None):
    """Seconds from the server's now, never before it."""
    now = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    assert parse_moment(text, now) == (None if seconds is None else pytest.approx(seconds))


@given(limit=st.integers(1, 10**9), remaining=st.integers(0, 10**9), reset=st.floats(0, 86_400))
def test_the_mocks_headers_are_read_back(limit: int, remaining: int, reset: float):
    """What a server writes in either family is what is read, resets rounded up."""
    states = {name: MockState(limit, remaining, reset) for name in ("requests", "tokens")}
    for write, rounding in ((openai_limit_headers, 0.0011), (anthropic_limit_headers, 3.0)):
        lines = dict(line.split(": ", 1) for line in write(states).strip().split("\r\n"))
        told = limit_states(lines)
        assert [(state.kind, state.limit, state.remaining) for state in told] == [
            ("requests", limit, remaining),
            ("tokens", limit, remaining),
        ]
        assert all(state.reset is not None and reset - 2 <= state.reset <= reset + rounding for state in told)


@given(reset=st.integers(0, 10_000), skew=st.integers(-100_000, 100_000))
def test_a_wrong_clock_does_not_matter(reset: int, skew: int):
    """Resets count from the `date` of the same response, whatever our own clock says."""
    server = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=skew)
    headers = {
        **ANTHROPIC,
        "date": format_datetime(server, usegmt=True),
        "anthropic-ratelimit-requests-reset": (server + timedelta(seconds=reset)).isoformat(),
    }
    assert limit_states(headers)[0].reset == reset


NAMES = [*OPENAI, *ANTHROPIC]
texts = st.one_of(
    st.text(max_size=30),
    st.text("0123456789.dhms-+:TZe ", max_size=30),
    st.from_regex(r"\d{1,25}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", fullmatch=True),
    st.from_regex(r"[A-Z][a-z]{2}, \d\d? Jan \d{1,25} \d\d:\d\d:\d\d (GMT|[+-]\d{1,25})", fullmatch=True),
    st.sampled_from(list(OPENAI.values()) + list(ANTHROPIC.values())),
)


@given(headers=st.dictionaries(st.sampled_from(NAMES), texts))
@example(headers={**ANTHROPIC, "date": "Mon, 01 Jan 2026 00:00:00 +99999999999999"})
@example(headers={**ANTHROPIC, "anthropic-ratelimit-requests-reset": "0001-01-01T00:00:00"})
def test_no_header_is_an_error(headers: dict[str, str]):
    """Whatever servers send, what is told of limits is finite and not negative."""
    for state in limit_states(headers):
        assert 0 < state.limit < math.inf
        assert 0 <= state.remaining < math.inf
        assert state.reset is None or 0 <= state.reset < math.inf


@given(text=st.one_of(st.none(), texts))
def test_no_text_is_an_error(text: str | None):
    """A duration and a moment are a time that can be waited for, or none."""
    for seconds in (parse_duration(text), parse_moment(text, 0.0)):
        assert seconds is None or 0 <= seconds < math.inf
