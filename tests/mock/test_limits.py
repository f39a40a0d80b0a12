"""The windows are exact: never over the limit in any of them, never a second too late."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmx.mock.limits import LimitState, RateLimits, Window
from llmx.mock.schedules import LimitsChange

SPANS = st.sampled_from([0.1, 1.0, 7.5, 30.0, 60.0, 120.0])
CHANGES = st.builds(LimitsChange, st.floats(0, 600), st.integers(1, 5), st.none() | st.integers(50, 150))
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
        window = [tokens for at, tokens in admitted if at <= end < at + 60]
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


def admitted(limits: RateLimits, arrivals: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """When and with how many input tokens requests were admitted."""
    now, found = 0.0, []
    for gap, tokens in arrivals:
        now += gap
        if limits.admit(now, tokens, 0) is None:
            found.append((now, tokens))
    return found


@given(GAPS, st.integers(1, 300), st.integers(50, 3000), SPANS)
@example([(0.1927928934932233, 1), (1.0, 1)], 1, 50, 1.0)
def test_no_short_window_is_ever_over(
    arrivals: list[tuple[float, int]], rpm: int, tpm: int, span: float
) -> None:
    """In any window there is its share of both limits at most, or one request that is larger than it."""
    requests, tokens = (max(1, math.floor(limit * span / 60 + 1e-9)) for limit in (rpm, tpm))
    found = admitted(RateLimits(rpm, tpm, window=span), arrivals)
    for end, _ in found:
        window = [amount for at, amount in found if at <= end < at + span]
        assert len(window) <= requests
        assert sum(window) <= tokens or len(window) == 1


@given(GAPS, st.integers(1, 300), st.integers(50, 3000), SPANS)
def test_a_wait_for_a_short_window_is_exact(
    arrivals: list[tuple[float, int]], rpm: int, tpm: int, span: float
) -> None:
    """Who waits as long as told is admitted, whatever the window; a little less and they are not."""
    limits, now = RateLimits(rpm, tpm, window=span), 0.0
    for gap, tokens in arrivals:
        now += gap
        overrun = limits.admit(now, tokens, 0)
        if overrun is not None:
            assert overrun.wait <= span + 1e-9
            if overrun.wait > 1e-3:
                assert limits.admit(now + overrun.wait - 1e-3, tokens, 0) is not None
            now += overrun.wait + 1e-6
            assert limits.admit(now, tokens, 0) is None


@given(GAPS, st.lists(CHANGES, max_size=4))
def test_changed_limits_hold_from_their_time_on(
    arrivals: list[tuple[float, int]], changes: list[LimitsChange]
) -> None:
    """Whoever is admitted fits under the limits of that time, with all that was counted before."""
    found = admitted(RateLimits(None, None, changes=changes), arrivals)
    for end, _ in found:
        due = [change for change in sorted(changes, key=lambda change: change.at) if change.at <= end]
        window = [tokens for at, tokens in found if at <= end < at + 60]
        assert len(window) <= next((c.rpm for c in reversed(due) if c.rpm), len(window))
        assert sum(window) <= next((c.tpm for c in reversed(due) if c.tpm), sum(window))


@given(GAPS, st.integers(20, 100), st.integers(20, 100))
def test_input_and_output_have_limits_of_their_own(
    arrivals: list[tuple[float, int]], itpm: int, otpm: int
) -> None:
    """Neither is ever over its own in any 60 s, and no request is refused that fits under both."""
    limits, now, found = RateLimits(None, None, itpm=itpm, otpm=otpm), 0.0, []
    for gap, tokens in arrivals:
        now += gap
        window = [amounts for at, *amounts in found if now < at + 60]
        used = [sum(amounts) for amounts in zip(*window, strict=True)] or [0, 0]
        fits = used[0] + tokens <= itpm and used[1] + tokens // 2 <= otpm
        assert fits == (limits.admit(now, tokens, tokens // 2) is None)
        if fits:
            found.append((now, tokens, tokens // 2))


def test_a_request_larger_than_its_windows_share_waits_for_an_empty_one() -> None:
    """Only what exceeds the minute's limit is too large."""
    limits = RateLimits(None, 600, window=1.0)
    assert limits.admit(0.0, 10, 0) is None
    overrun = limits.admit(0.5, 300, 0)
    assert overrun is not None
    assert (overrun.limit, overrun.used, overrun.wait) == (600, 10, 0.5)
    assert limits.admit(1.0, 300, 0) is None
    too_large = limits.admit(10.0, 601, 0)
    assert too_large is not None
    assert too_large.wait == math.inf


def test_states_are_of_the_minute_whatever_the_window() -> None:
    """A window that is empty again leaves the minute's count as it is."""
    limits = RateLimits(120, None, window=1.0)
    assert [limits.admit(float(second), 1, 0) for second in range(5)] == [None] * 5
    assert limits.states(10.0) == {"requests": LimitState(120, 115, 54.0)}


def test_states_tell_a_change() -> None:
    """What was counted before the change is taken from the new limit, to no less than nothing."""
    limits = RateLimits(10, None, changes=[LimitsChange(30.0, 2, 1000)])
    for _ in range(3):
        limits.admit(0.0, 100, 0)
    assert limits.states(29.9)["requests"] == LimitState(10, 7, pytest.approx(30.1))
    states = limits.states(30.0)
    assert states["requests"] == LimitState(2, 0, 30.0)
    assert states["tokens"] == LimitState(1000, 700, 30.0)


def test_states_of_separate_limits() -> None:
    """They stand in the place of what the limit of all tokens would tell."""
    limits = RateLimits(None, 1000, itpm=400)
    limits.admit(0.0, 300, 100)
    expected = {
        "tokens": LimitState(1000, 600, 60.0),
        "input-tokens": LimitState(400, 100, 60.0),
        "output-tokens": LimitState(1000, 900, 60.0),
    }
    assert expected == limits.states(0.0)
