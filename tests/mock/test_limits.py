"""The windows are exact: never over the limit in any 60 s, never a second too late."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.mock.limits import LimitState, RateLimits, Window

GAPS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 50)), max_size=60)


@given(GAPS, st.integers(1, 5), st.integers(50, 150))
def test_no_window_is_ever_over(arrivals: list[tuple[float, int]], rpm: int, tpm: int) -> None:
    """Whatever arrives, what was admitted in any 60 s is within both limits."""
    limits, now, admitted = RateLimits(rpm, tpm), 0.0, []
    for gap, tokens in arrivals:
        now += gap
        if limits.admit(now, tokens, 0) is None:
            admitted.append((now, tokens))
    for end, _ in admitted:
        window = [tokens for at, tokens in admitted if end - 60 < at <= end]
        assert len(window) <= rpm
        assert sum(window) <= tpm


@given(GAPS, st.integers(1, 5), st.integers(50, 150))
def test_a_wait_is_exact(arrivals: list[tuple[float, int]], rpm: int, tpm: int) -> None:
    """Who waits as long as told is admitted; half a second less and they are not."""
    limits, now = RateLimits(rpm, tpm), 0.0
    for gap, tokens in arrivals:
        now += gap
        overrun = limits.admit(now, tokens, 0)
        if overrun is not None and overrun.wait < math.inf:
            early = now + max(0.0, overrun.wait - 0.5)
            if early < now + overrun.wait:
                assert limits.admit(early, tokens, 0) is not None
            now += overrun.wait + 1e-6
            assert limits.admit(now, tokens, 0) is None


def test_a_request_larger_than_the_limit_never_fits() -> None:
    """Its wait is infinite, even in an empty window."""
    overrun = RateLimits(None, 100).admit(0.0, 60, 41)
    assert overrun is not None
    assert ("tokens", math.inf) == (overrun.kind, overrun.wait)


def test_the_longer_of_two_waits_is_told() -> None:
    """With both limits exhausted, waiting for one of them would end in another 429."""
    limits = RateLimits(1, 100)
    limits.admit(0.0, 100, 0)
    overrun = limits.admit(10.0, 100, 0)
    assert overrun is not None
    assert overrun.wait == 50.0


def test_states_tell_what_is_left() -> None:
    """Input and output tokens are told apart, under the one limit that is set."""
    limits = RateLimits(10, 1000)
    limits.admit(0.0, 300, 100)
    limits.admit(20.0, 0, 50)
    expected = {
        "requests": LimitState(10, 8, 50.0),
        "tokens": LimitState(1000, 550, 50.0),
        "input-tokens": LimitState(1000, 700, 50.0),
        "output-tokens": LimitState(1000, 850, 50.0),
    }
    assert expected == limits.states(30.0)


@pytest.mark.parametrize("amounts", [[], [3], [3, 4, 5]])
def test_the_peak_is_of_one_window(amounts: list[int]) -> None:
    """Amounts further apart than the span are never added up."""
    window = Window(1.0)
    for second, amount in enumerate(amounts):
        window.add(float(second), amount)
    assert max(amounts, default=0) == window.peak
