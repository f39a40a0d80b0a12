"""What a server allows that does not say so: a rate found from refusals, a concurrency from latency and overload.

Both rise additively and fall multiplicatively, and fall at most once per round trip: a refusal of what was
sent before the last fall says nothing new (D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease
Algorithms for Congestion Avoidance in Computer Networks", 1989; RFC 6582 for the round trip). A limit per minute is a
rate, and c calls in flight at a latency l are a rate of c/l in steps that are too coarse for small c; so refusals set a
rate, and concurrency is what a server can serve at a time.
"""

from __future__ import annotations

import math

__all__ = ["AdaptiveConcurrency", "AdaptiveRate"]

RATE_FALL = 0.92
RATE_FALL_FAR = 0.5
"""When most of what was sent since the last fall was refused."""

RATE_RISE = 0.005
"""Of the rate, a second, while it is what holds requests back; the more, the longer there was no refusal."""

RISE_EACH = 0.0015
"""Of the rate, a request, at most: so that a refusal comes with fifty answers or more, however low the rate is."""

STEADY = (15.0, 30)
"""Seconds, and requests, without a refusal after which it rises faster: twice as fast after twice as many."""

STRAY = 30.0
"""Seconds within which a second refusal shows that a limit that is known does not tell all; one is the network's jitter."""

SPELL = 0.1
"""Of the rate at which answers last came: where none do, for minutes, that says little of the rate after it."""

LOWEST_RATE = 1 / 60
"""Requests a second: less than one a minute is no limit per minute."""

CATCH_UP = 0.01
"""Seconds, see `buckets.CATCH_UP`."""


class AdaptiveRate:
    """Requests a second that a server takes, unlimited until it has refused one.

    Sends are spaced evenly (the generic cell rate algorithm, ITU-T I.371: a theoretical arrival time that moves on
    by 1/rate with every send).
    """

    def __init__(self) -> None:
        self.rate = math.inf
        self._fell = -math.inf
        self._strayed = -math.inf
        self._due = -math.inf
        self._taken = -math.inf
        self._passed = self._refused = 0
        self._answered = False
        self._worked = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a request may be sent, 0 for now."""
        return max(0.0, self._due - CATCH_UP - now)

    def take(self, now: float) -> None:
        """A request is sent; a rate that holds requests back rises."""
        if self.rate == math.inf:
            return
        since = now - self._taken
        if self._due >= now - CATCH_UP and since < 60:
            rise = min(RATE_RISE, RISE_EACH * self.rate)
            steady = max(STEADY[0], STEADY[1] / self.rate)
            self.rate += self.rate * rise * since * max(1.0, (now - self._fell) / steady)
        self._taken = now
        self._due = max(self._due, now - CATCH_UP) + 1 / self.rate

    def passed(self, enough: float, sent: float) -> None:
        """A request that was sent at `sent` was answered.

        A rate that has risen to `enough`, which others limit, is none any more.
        """
        self._answered = True
        self._passed += sent > self._fell
        if self.rate > enough * 1.05:
            self.rate = math.inf
            self._due = -math.inf

    def refused(self, now: float, *, sent: float, accepted: float, lowest: float, known: bool) -> bool:
        """A request was refused; whether the rate falls for it.

        Args:
            sent: when it was.
            accepted: requests a second that the server has lately taken, or that it may be sent for another limit:
                where the first rate falls from.
            lowest: requests a second that a limit allows which is kept by the minute: a server that has let nothing
                through since the last fall may have let a minute's requests through at once, and allows as many.
            known: there is such a limit.
        """
        self._refused += 1
        if sent <= max(self._fell, self._strayed):
            return False
        if (
            self.rate == math.inf and not self._answered
        ):  # others have used it up: that says nothing of what there is
            return False
        if known and self.rate == math.inf and now - self._strayed > STRAY:
            self._strayed = now
            return False
        far = self.rate != math.inf and self._refused > self._passed
        start = min(self.rate, accepted) if self.rate == math.inf else self.rate
        fall = RATE_FALL_FAR if far else RATE_FALL
        floor = LOWEST_RATE if self._passed else min(start, max(RATE_FALL * lowest, SPELL * self._worked))
        self.rate = max(fall * start, floor, LOWEST_RATE)
        if self._passed:
            self._worked = self.rate
        self._fell = self._taken = now
        self._due = max(self._due, now) if self._due > -math.inf else now
        self._passed = self._refused = 0
        return True


CONCURRENCY_FALL = 0.7
CONCURRENCY_RISE = 8
"""Calls in flight more, a round trip, once doubling has met an end."""

OVERLOADED = 1 / 2
"""The share of a round's calls which, failing as overload does, halves the concurrency."""

SLOWER = 2.0
"""Times the best round's latency, from which on more calls in flight only wait in the server's own queue."""


class AdaptiveConcurrency:
    """How many calls may be in flight.

    A round is as many calls as may be in flight. One that used them all doubles their number, until a round has been
    slow, overloaded or refused; from then on it adds a few.

    Args:
        start: calls in flight at first, from 1.
        ceiling: the most there may ever be; where it is `start`, latency says nothing, for somebody has chosen it.
    """

    def __init__(self, start: int, ceiling: int) -> None:
        self.limit = start
        self._start = start
        self._ceiling = ceiling
        self._doubling = True
        self._best = math.inf
        self._fell = -math.inf
        self._begin_round()

    def _begin_round(self) -> None:
        self._calls = self._failures = self._answered = 0
        self._seconds = 0.0
        self._full = False

    def ended(self, seconds: float | None, *, full: bool, overloaded: bool = False) -> None:
        """A call has come back.

        Args:
            seconds: how long its answer took, None if it got none: a refusal is quick, and says nothing of answers.
            full: others waited for a place.
            overloaded: it failed as calls to a server fail that has too many.
        """
        self._calls += 1
        self._failures += overloaded
        if seconds is not None:
            self._answered += 1
            self._seconds += seconds
        self._full = self._full or full
        if self._calls >= self.limit:
            self._judge()
            self._begin_round()

    def _judge(self) -> None:
        if self._failures > OVERLOADED * self._calls:
            self._fall(0.5, lowest=1)
        elif self._ceiling > self._start and self._answered and self._is_slow(self._seconds / self._answered):
            self._fall(0.8, lowest=self._start)
        elif self._full:
            more = self.limit if self._doubling else CONCURRENCY_RISE
            self.limit = min(self._ceiling, self.limit + more)

    def _is_slow(self, mean: float) -> bool:
        slow = mean > SLOWER * self._best
        self._best = min(self._best * 1.02, mean)  # an old best is forgotten: rows get longer
        return slow

    def refused(self, now: float, *, sent: float) -> None:
        """A call that was sent at `sent` was refused for the limits."""
        if sent > self._fell:
            self._fell = now
            self._fall(CONCURRENCY_FALL, lowest=1)

    def _fall(self, factor: float, *, lowest: int) -> None:
        self._doubling = False
        self.limit = max(min(lowest, self.limit), int(self.limit * factor))
