"""The law of pacing: whatever arrives when, no minute ever holds more than the limit."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from fakes import Log, LoopClock, a_request, an_answer, simulate
from hypothesis import given, settings
from hypothesis import strategies as st

from llmx.layers.limit import Health, Limiter, RequestBucket, TokenBucket, rate_limited
from llmx.layers.stop import Stop
from llmx.types import Completion, Request

MINUTE = 60.0
BURST = 0.25

FEW = settings(max_examples=40, deadline=None)


@dataclass(frozen=True)
class Arrival:
    """A request of `tokens` tokens that comes `after` seconds after the one before."""

    after: float
    tokens: int = 256


@dataclass(frozen=True)
class Departure:
    """A request that was sent, its place among the arrivals, and its size."""

    at: float
    index: int
    tokens: int


def sent(
    arrivals: Sequence[Arrival],
    *,
    rpm: float | None,
    tpm: float | None,
    pauses: Sequence[tuple[float, float]] = (),
) -> list[Departure]:
    """When each arrival leaves."""
    departures: list[Departure] = []

    async def provider(request: Request) -> Completion:
        arrival = arrivals[request.sample]
        departures.append(Departure(LoopClock().now(), request.sample, arrival.tokens))
        return an_answer(tokens=arrival.tokens - 1)

    async def main() -> None:
        limiter = _limiter(rpm, tpm, arrivals)
        handler = rate_limited(limiter)(provider)
        holds = [asyncio.ensure_future(_pause(limiter, *pause)) for pause in pauses]
        calls = []
        for n, arrival in enumerate(arrivals):
            if arrival.after:
                await asyncio.sleep(arrival.after)
            calls.append(asyncio.ensure_future(handler(a_request(sample=n))))
        await asyncio.gather(*calls, *holds)

    simulate(main)
    return departures


def _limiter(rpm: float | None, tpm: float | None, arrivals: Sequence[Arrival]) -> Limiter:
    health = Health()
    health.good(0.0)
    return Limiter(
        rpm=rpm,
        tpm=tpm,
        health=health,
        clock=LoopClock(),
        stop=Stop(),
        observer=Log(),
        size=lambda request: 4 * (arrivals[request.sample].tokens - 256),  # so that every guess is right
    )


async def _pause(limiter: Limiter, at: float, seconds: float) -> None:
    await asyncio.sleep(at)
    limiter.pause("e", seconds)


def most_within(departures: Sequence[Departure], seconds: float, *, tokens: bool = False) -> int:
    """The most requests (or tokens) in any half-open window of `seconds`."""
    times = [departure.at for departure in departures]
    sizes = [departure.tokens if tokens else 1 for departure in departures]
    sums = [0, *accumulate(sizes)]
    ends = (bisect_left(times, time + seconds) for time in times)
    return max((sums[end] - sums[begin] for begin, end in enumerate(ends)), default=0)


gaps = st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 90))
requests = st.lists(st.builds(Arrival, after=gaps), min_size=1, max_size=150)
limits = st.one_of(st.integers(1, 30), st.integers(1, 20_000), st.floats(1, 300))
pauses = st.lists(st.tuples(st.floats(0, 200), st.floats(0.01, 100)), max_size=4)


@given(arrivals=requests, rpm=limits, pauses=pauses)
@FEW
def test_no_minute_holds_more_than_rpm_requests(arrivals, rpm, pauses):
    """Random limits, arrivals and pauses: the fullest half-open minute holds at most rpm requests."""
    assert most_within(sent(arrivals, rpm=rpm, tpm=None, pauses=pauses), MINUTE) <= rpm


@given(rpm=st.integers(1, 800))
@FEW
def test_a_flood_is_held_to_rpm(rpm):
    """The worst arrivals, all at once and more than two minutes' worth of them."""
    departures = sent([Arrival(0.0)] * min(2 * rpm + 3, 900), rpm=rpm, tpm=None)
    assert most_within(departures, MINUTE) <= rpm


@given(arrivals=requests, rpm=limits, pauses=pauses)
@FEW
def test_no_burst_is_above_a_quarter_second(arrivals, rpm, pauses):
    """At no instant are more requests sent than a quarter second's worth, and never less than one."""
    burst = most_within(sent(arrivals, rpm=rpm, tpm=None, pauses=pauses), 1e-4)
    assert burst <= max(1, rpm / 60 * BURST) + 1


small_rows = st.builds(Arrival, after=gaps, tokens=st.integers(1, 25))
mixed_rows = st.builds(Arrival, after=gaps, tokens=st.one_of(st.integers(1, 100), st.integers(1, 2000)))


@given(arrivals=st.lists(small_rows, min_size=1, max_size=150), tpm=st.integers(6000, 20_000), pauses=pauses)
@FEW
def test_no_minute_holds_more_than_tpm_tokens(arrivals, tpm, pauses):
    """Rows no larger than a quarter second's worth never exceed the limit."""
    assert most_within(sent(arrivals, rpm=None, tpm=tpm, pauses=pauses), MINUTE, tokens=True) <= tpm


@given(arrivals=st.lists(mixed_rows, min_size=1, max_size=40), tpm=st.integers(600, 20_000), pauses=pauses)
@FEW
def test_large_rows_exceed_tpm_by_at_most_one_of_them(arrivals, tpm, pauses):
    """A row larger than the bucket is taken in parts and sent whole: one such row may come on top."""
    departures = sent(arrivals, rpm=None, tpm=tpm, pauses=pauses)
    largest = max(arrival.tokens for arrival in arrivals)
    assert most_within(departures, MINUTE, tokens=True) <= tpm + largest


@given(
    arrivals=st.lists(mixed_rows, min_size=1, max_size=40),
    rpm=st.integers(1, 600),
    tpm=st.integers(600, 20_000),
    pauses=pauses,
)
@FEW
def test_both_limits_hold_together(arrivals, rpm, tpm, pauses):
    """Waiting for tokens, or for a pause, lets no request slip beyond rpm."""
    departures = sent(arrivals, rpm=rpm, tpm=tpm, pauses=pauses)
    assert most_within(departures, MINUTE) <= rpm


@given(arrivals=st.lists(mixed_rows, min_size=1, max_size=40), rpm=limits, tpm=st.integers(600, 20_000))
@FEW
def test_admission_is_first_come_first_served(arrivals, rpm, tpm):
    """Requests leave in the order in which they came, whatever their sizes."""
    departures = sent(arrivals, rpm=rpm, tpm=tpm)
    assert [departure.index for departure in departures] == list(range(len(arrivals)))


@given(arrivals=requests, at=st.floats(0, 30), seconds=st.floats(0.1, 120))
@FEW
def test_nobody_leaves_during_a_pause(arrivals, at, seconds):
    """From the moment of a pause to its end not one request is sent."""
    departures = sent(arrivals, rpm=600, tpm=None, pauses=[(at, seconds)])
    assert [d for d in departures if at + 1e-3 < d.at < at + seconds - 1e-3] == []


@given(limit=st.floats(1, 1e9))
def test_a_request_bucket_admits_less_than_one_above_its_limit(limit):
    """Capacity and a minute's leak stay below the next whole request."""
    bucket = RequestBucket(limit)
    assert bucket.capacity + MINUTE * rate_of(bucket) < math.floor(limit) + 1


@given(limit=st.floats(60, 1e9))
def test_a_token_bucket_has_room_for_a_row_taken_early(limit):
    """A row may take its tokens before a minute and be sent within it: that much is kept free."""
    bucket = TokenBucket(limit)
    assert 2 * bucket.capacity + MINUTE * rate_of(bucket) <= limit


def rate_of(bucket: RequestBucket | TokenBucket) -> float:
    """Units that leak per second."""
    return bucket._limiter.max_rate / bucket._limiter.time_period
