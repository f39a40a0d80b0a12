"""The law of pacing: whatever arrives when, no window ever holds more than the limit in force."""

from __future__ import annotations

import asyncio
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from fakes import LoopClock, a_request, an_answer, simulate
from gated import Endpoint
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmx.layers.buckets import CATCH_UP, TOKEN_BURST, WINDOW, RequestBucket, TokenBucket
from llmx.types import Completion, LimitKind, LimitState, Request

MINUTE = 60.0
SPANS = [0.05, 0.5, 1.0, 7.0, 30.0, MINUTE]

FEW = settings(max_examples=40, deadline=None)


@dataclass(frozen=True)
class Arrival:
    """A request of `tokens` tokens that comes `after` seconds after the one before."""

    after: float
    tokens: int = 256


@dataclass(frozen=True)
class Departure:
    """A request that was sent, its place among the arrivals, when it came, and its size."""

    at: float
    index: int
    came: float
    tokens: int


@dataclass(frozen=True)
class Change:
    """A response whose headers tell a limit for the first time, or a new one."""

    at: float
    limit: float


def sent(arrivals: Sequence[Arrival], **how: Any) -> list[Departure]:
    """When each arrival leaves."""
    return sent_and_heard(arrivals, **how)[0]


def sent_and_heard(
    arrivals: Sequence[Arrival],
    *,
    rpm: float | None = None,
    tpm: float | None = None,
    pauses: Sequence[tuple[float, float]] = (),
    changes: Sequence[Change] = (),
    kind: LimitKind = "requests",
) -> tuple[list[Departure], list[Change]]:
    """When each arrival leaves, and when each change was really heard of.

    The server does not count, so that every guess stays right.
    """
    departures: list[Departure] = []
    heard: list[Change] = []
    came: dict[int, float] = {}

    async def provider(request: Request) -> Completion:
        n = request.sample
        departures.append(Departure(LoopClock().now(), n, came[n], arrivals[n].tokens))
        return an_answer(tokens=-1)

    async def main() -> None:
        endpoint = Endpoint(
            rpm=rpm, tpm=tpm, size=lambda request: 4 * (arrivals[request.sample].tokens - 256)
        )
        handler, condition = endpoint.over(provider), endpoint.condition

        async def pause(at: float, seconds: float) -> None:
            await asyncio.sleep(at)
            condition.pause(seconds)

        async def hear(change: Change) -> None:
            await asyncio.sleep(change.at)
            heard.append(Change(LoopClock().now(), change.limit))
            condition.heard([LimitState(kind, change.limit, change.limit, None)])

        calls = [pause(*each) for each in pauses] + [hear(change) for change in changes]
        tasks = [asyncio.ensure_future(call) for call in calls]
        for n, arrival in enumerate(arrivals):
            if arrival.after:
                await asyncio.sleep(arrival.after)
            came[n] = LoopClock().now()
            tasks.append(asyncio.ensure_future(handler(a_request(sample=n))))
        await asyncio.gather(*tasks)

    simulate(main)
    return departures, heard


def most_within(departures: Sequence[Departure], seconds: float, *, tokens: bool = False) -> int:
    """The most requests (or tokens) in any half-open window of `seconds`."""
    times = [departure.at for departure in departures]
    sizes = [departure.tokens if tokens else 1 for departure in departures]
    sums = [0, *accumulate(sizes)]
    ends = (bisect_left(times, time + seconds) for time in times)
    return max((sums[end] - sums[begin] for begin, end in enumerate(ends)), default=0)


def share(limit: float, seconds: float) -> float:
    """Requests that a window of `seconds` may hold: what they are worth, one, and what timers may be late by."""
    return min(limit, limit * seconds / MINUTE + 1 + limit / MINUTE * CATCH_UP)


gaps = st.one_of(st.just(0.0), st.floats(0, 0.5), st.floats(0, 90))
requests = st.lists(st.builds(Arrival, after=gaps), min_size=1, max_size=150)
limits = st.one_of(st.integers(1, 30), st.integers(1, 20_000), st.floats(1, 300))
pauses = st.lists(st.tuples(st.floats(0, 200), st.floats(0.01, 100)), max_size=4)
times = st.one_of(st.floats(0, 10), st.floats(0, 300))
changes = st.lists(
    st.builds(Change, at=times, limit=st.one_of(st.integers(1, 30), st.integers(1, 3000))),
    min_size=1,
    max_size=5,
    unique_by=lambda change: change.at,
).map(lambda found: sorted(found, key=lambda change: change.at))


# Requests


@given(arrivals=requests, rpm=limits, pauses=pauses)
@FEW
def test_no_window_holds_more_than_its_share_of_requests(arrivals, rpm, pauses):
    """Random limits, arrivals and pauses; windows of any length, of which a minute's holds at most rpm."""
    departures = sent(arrivals, rpm=rpm, pauses=pauses)
    for seconds in SPANS:
        assert most_within(departures, seconds) <= share(rpm, seconds)


@given(arrivals=requests, rpm=limits, seconds=st.floats(1e-3, MINUTE))
@FEW
def test_a_window_of_any_length(arrivals, rpm, seconds):
    """Not only of those that a server is likely to look at."""
    assert most_within(sent(arrivals, rpm=rpm), seconds) <= share(rpm, seconds)


@given(rpm=st.integers(1, 800))
@FEW
def test_a_flood_is_held_to_rpm(rpm):
    """The worst arrivals, all at once and more than two minutes' worth of them."""
    departures = sent([Arrival(0.0)] * min(2 * rpm + 3, 900), rpm=rpm)
    for seconds in SPANS:
        assert most_within(departures, seconds) <= share(rpm, seconds)


@given(per_second=st.integers(1, 60))
@FEW
def test_a_limit_that_is_enforced_each_second_is_kept(per_second):
    """A sixtieth of the limit in any second, as some servers have it."""
    departures = sent([Arrival(0.0)] * 300, rpm=60 * per_second)
    assert most_within(departures, 1.0) <= per_second


# Tokens


small_rows = st.builds(Arrival, after=gaps, tokens=st.integers(1, 300))
mixed_rows = st.builds(Arrival, after=gaps, tokens=st.one_of(st.integers(1, 100), st.integers(1, 2000)))


@given(arrivals=st.lists(small_rows, min_size=1, max_size=150), tpm=st.integers(600, 20_000), pauses=pauses)
@FEW
def test_no_minute_holds_more_than_tpm_tokens(arrivals, tpm, pauses):
    """Rows of at most half of the limit never exceed it."""
    assert most_within(sent(arrivals, tpm=tpm, pauses=pauses), MINUTE, tokens=True) <= tpm


@given(
    arrivals=st.lists(mixed_rows, min_size=1, max_size=40),
    tpm=st.integers(60, 20_000),
    pauses=pauses,
    seconds=st.floats(1e-3, MINUTE),
)
@FEW
def test_windows_of_tokens(arrivals, tpm, pauses, seconds):
    """A window holds what it is worth, and a row that was taken before it; at half the pace where rows are huge."""
    largest = max(arrival.tokens for arrival in arrivals)
    most = most_within(sent(arrivals, tpm=tpm, pauses=pauses), seconds, tokens=True)
    assert most <= tpm * seconds / MINUTE + largest + max(1.0, tpm / MINUTE * TOKEN_BURST)
    assert most <= max(tpm, largest + tpm / 2)


@given(
    arrivals=st.lists(mixed_rows, min_size=1, max_size=40),
    rpm=st.integers(1, 600),
    tpm=st.integers(600, 20_000),
    pauses=pauses,
)
@FEW
def test_both_limits_hold_together(arrivals, rpm, tpm, pauses):
    """Waiting for tokens, or for a pause, lets no request slip beyond rpm, nor the other way."""
    departures = sent(arrivals, rpm=rpm, tpm=tpm, pauses=pauses)
    largest = max(arrival.tokens for arrival in arrivals)
    for seconds in SPANS:
        assert most_within(departures, seconds) <= share(rpm, seconds)
    assert most_within(departures, MINUTE, tokens=True) <= max(tpm, largest + tpm / 2)


# Limits that change


def in_force(changes: Sequence[Change], at: float, *, tokens: bool = False) -> tuple[float, float]:
    """The limit at a time, and since when no more was allowed."""
    limit, since = math.inf, -math.inf
    for change in changes:
        if change.at > at:
            break
        told = change.limit if tokens else math.floor(change.limit)
        if told < limit:
            since = change.at
        limit = told
    return limit, since


def check(
    departures: Sequence[Departure], changes: Sequence[Change], seconds: float, *, tokens: bool
) -> None:
    """No window holds more than the limit in force at its end, counted from when it was last lowered."""
    for last, end in enumerate(departures):
        limit, since = in_force(changes, end.at, tokens=tokens)
        begin = max(end.at - seconds, since)
        window = [departure for departure in departures[: last + 1] if departure.at > begin]
        amount = sum(departure.tokens if tokens else 1 for departure in window)
        assert amount <= (limit if tokens or limit == math.inf else share(limit, seconds))


@given(arrivals=requests, changes=changes, pauses=pauses, seconds=st.floats(1e-3, MINUTE))
@FEW
def test_a_limit_that_changes_is_held_from_then_on(arrivals, changes, pauses, seconds):
    """Headers lower and raise it in mid-run, while requests wait and while none do."""
    departures, heard = sent_and_heard(arrivals, changes=changes, pauses=pauses)
    for span in (seconds, MINUTE):
        check(departures, heard, span, tokens=False)


@given(
    arrivals=st.lists(small_rows, min_size=1, max_size=60),
    changes=st.lists(
        st.builds(Change, at=times, limit=st.integers(600, 20_000)),
        min_size=1,
        max_size=5,
        unique_by=lambda change: change.at,
    ).map(lambda found: sorted(found, key=lambda change: change.at)),
    pauses=pauses,
)
@example(
    arrivals=[Arrival(0.0, 1), Arrival(0.5, 300), *[Arrival(0.0, 1)] * 590],
    changes=[Change(0.1, 3000), Change(3.0, 600)],
    pauses=[],
)
@FEW
def test_a_limit_of_tokens_that_changes_is_held_from_then_on(arrivals, changes, pauses):
    """A row that has its tokens by the old limit, and not left yet, counts by the new one."""
    departures, heard = sent_and_heard(arrivals, changes=changes, pauses=pauses, kind="tokens")
    check(departures, heard, MINUTE, tokens=True)


@given(rpm=limits, changes=changes, arrivals=requests)
@FEW
def test_a_limit_that_was_told_holds_whatever_headers_say(rpm, changes, arrivals):
    """They may lower it, never raise it."""
    departures, heard = sent_and_heard(arrivals, rpm=rpm, changes=changes)
    assert most_within(departures, MINUTE) <= rpm
    lower = [Change(-1.0, rpm), *(Change(change.at, min(rpm, change.limit)) for change in heard)]
    check(departures, lower, MINUTE, tokens=False)


# Order and progress


@given(
    arrivals=st.lists(mixed_rows, min_size=1, max_size=40),
    rpm=limits,
    tpm=st.integers(600, 20_000),
    pauses=pauses,
    changes=changes,
)
@FEW
def test_admission_is_first_come_first_served(arrivals, rpm, tpm, pauses, changes):
    """Requests leave in the order in which they came, whatever their sizes, pauses and changes."""
    departures = sent(arrivals, rpm=rpm, tpm=tpm, pauses=pauses, changes=changes)
    assert [departure.index for departure in departures] == list(range(len(arrivals)))


@given(
    arrivals=st.lists(mixed_rows, min_size=1, max_size=40),
    rpm=limits,
    tpm=st.integers(600, 20_000),
    pauses=pauses,
    changes=changes,
)
@FEW
def test_nothing_starves(arrivals, rpm, tpm, pauses, changes):
    """Each leaves within what those before it and it are worth at the lowest limit, and the pauses."""
    lowest = min(math.floor(rpm), *(math.floor(change.limit) for change in changes))
    each = WINDOW / (lowest - 1.01 * lowest / 6000 + 1e-9) if lowest > 1 else 1.01 * WINDOW
    held = sum(seconds for _, seconds in pauses)
    departures = sent(arrivals, rpm=rpm, tpm=tpm, pauses=pauses, changes=changes)
    assert len(departures) == len(arrivals)
    for n, departure in enumerate(departures):
        ahead = [other for other in departures[: n + 1] if other.at >= departure.came]
        tokens = sum(other.tokens for other in ahead)
        # A slot is lost with each pause, and one waited for anew with each change; so are the tokens of a large row.
        slots = (len(ahead) + len(pauses) + len(changes) + 1) * each
        assert departure.at - departure.came <= held + slots + 2 * WINDOW * (tokens / tpm + 1)


@given(arrivals=requests, at=st.floats(0, 30), seconds=st.floats(0.1, 120))
@FEW
def test_nobody_leaves_during_a_pause(arrivals, at, seconds):
    """From the moment of a pause to its end not one request is sent."""
    departures = sent(arrivals, rpm=600, pauses=[(at, seconds)])
    assert [d for d in departures if at + 1e-3 < d.at < at + seconds - 1e-3] == []


# The buckets' own arithmetic


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
