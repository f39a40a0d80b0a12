"""Slots that one process has: leased from a ledger, or its share while there is none."""

from __future__ import annotations

import math
import random

from llmx.quotas.membership import Part
from llmx.quotas.slots import CHUNK, LATE, LATE_TOKENS, per_second, span

__all__ = ["Lease", "own_share"]


class Lease:
    """Slots one after the other, of which some are used.

    Args:
        start: when the first is, in the clock's seconds.
        amount: how many; infinite for those of a share.
        pace: seconds between two.
        tokens: they are tokens, any part of which may be used, else requests.
    """

    def __init__(self, start: float, amount: float, pace: float, *, tokens: bool) -> None:
        self._start, self._amount, self._pace = start, amount, pace
        self._late = LATE_TOKENS if tokens else LATE
        self._is_whole = not tokens
        self._used = 0.0

    @property
    def end(self) -> float:
        """When the slot after the last one would be."""
        return self._start + self._amount * self._pace

    def left(self, now: float) -> float:
        """Slots that are not used; those that are too old are gone."""
        gone = (now - self._late - self._start) / self._pace
        self._used = max(self._used, math.ceil(gone) if self._is_whole else gone)
        return max(0.0, self._amount - self._used)

    def next(self) -> float:
        """When the first of those is."""
        return self._start + self._used * self._pace

    def use(self, amount: float) -> None:
        """Use the first of those."""
        self._used += amount


def own_share(limit: float, part: Part, *, largest: float, tokens: bool) -> Lease:
    """What a process keeps to while there is no ledger.

    Of requests, every so many-th slot by the clock that all have had in common: together they are as even as one. Of
    tokens, a pace of its own. It begins when the slots that others have leased are used up.

    Args:
        limit: per minute, of all processes.
        largest: see `Ask`.
    """
    if tokens:
        pace = 1 / per_second(limit / part.of, span(tokens=True), largest)
        return Lease(part.since + CHUNK + part.of * largest * pace, math.inf, pace, tokens=True)
    slot = 1 / per_second(limit, span(tokens=False), 0.0)
    begins = part.since + CHUNK + part.of * slot
    every = part.of * slot
    if part.number is None:
        return Lease(begins + random.random() * every, math.inf, every, tokens=False)  # noqa: S311  no secret
    wait = (part.number * slot - (begins + part.ahead)) % every
    return Lease(begins + wait, math.inf, every, tokens=False)
