"""One pause for all: until when nothing is sent to an endpoint because its server asked for that, or refused.

Times are the clock's seconds.
"""

from __future__ import annotations

import math

__all__ = ["Pause"]

FIRST = 0.5
LONGEST = 30.0
"""Seconds for which a refusal holds everybody that names no time; each that follows without an answer, twice as long."""


class Pause:
    """See the module.

    Args:
        longest: seconds; a server that asks for more is waited for by nobody.
    """

    def __init__(self, longest: float = math.inf) -> None:
        self._longest = longest
        self._until = -math.inf
        self._next = FIRST
        self._last_refusal = -math.inf

    @property
    def was_ever(self) -> bool:
        """Whether there was a pause at all."""
        return self._until > -math.inf

    def left(self, now: float) -> float:
        """Seconds until its end, 0 or less when there is none."""
        return self._until - now

    def extend(self, now: float, seconds: float) -> bool:
        """Pause for `seconds` from now; whether that is longer than before."""
        longer = seconds <= self._longest and now + seconds > self._until
        self._until = now + seconds if longer else self._until
        return longer

    def refused(self, now: float, sent: float) -> float:
        """A request that was sent at `sent` was refused without a time; seconds to pause for it.

        Refusals of one round trip are one: 0 for what was sent before the last one came.
        """
        if sent <= self._last_refusal:
            return 0.0
        self._last_refusal = now
        seconds, self._next = self._next, min(LONGEST, 2 * self._next)
        return seconds

    def answered(self) -> None:
        """A request was answered: the next refusal begins anew."""
        self._next = FIRST
