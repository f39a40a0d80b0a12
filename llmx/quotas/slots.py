"""The pace of an account as slots in time, each of which one process has: the arithmetic, without a clock or a store.

Every unit has its time, `pace` seconds after the one before, whoever is given it. So all processes together send as
evenly as one, and what one leaves unused is gone: nobody can save up for a burst.

A slot may be used up to LATE seconds after its time. What goes out within a minute had its time within that minute and
the LATE seconds before, so `limit` slots in 60 + LATE seconds keep every minute within the limit; a second more is for the
network's jitter, see `llmx.layers.buckets.WINDOW`. Of tokens, a row goes out at the time of its first: as much as the
largest row may have its time after the end of the minute, and is left free.
"""

from __future__ import annotations

import math

from msgspec import Struct

from llmx.quotas.ledger import Ask, Slots

__all__ = ["ACTIVE", "CHUNK", "FORGOTTEN", "LATE", "LATE_TOKENS", "Pace", "given", "per_second", "span"]

CHUNK = 1.0
"""Seconds' worth of an account's rate that is given out at a time, to all who ask together."""

ACTIVE = 10.0
"""Seconds for which a process that asked is expected to ask again."""

LATE, LATE_TOKENS = 0.5, 2.0
"""Seconds after its time for which a slot is good; of tokens, what is left of one lease is used with the next."""

JITTER = 1.0
"""Seconds by which what is sent at an even pace may arrive at an uneven one."""

FORGOTTEN = 61.0
"""Seconds after which the largest row of tokens is no longer in any window."""


def span(*, tokens: bool) -> float:
    """Seconds within which a limit per minute is let through."""
    return 60.0 + JITTER + (LATE_TOKENS if tokens else LATE)


class Pace(Struct, frozen=True):
    """How far the slots of a rate are given out.

    Args:
        next: the time of the next.
        largest: see `Ask`.
        largest_at: when there was a row of that size.
        at: when that was so: where it is later than now, the clock has been set back since.
    """

    next: float = 0.0
    largest: float = 0.0
    largest_at: float = 0.0
    at: float = 0.0


def per_second(limit: float, span: float, largest: float) -> float:
    """Units a second: what leaves room for the largest row, but half the limit in any case."""
    return max(limit - largest, limit / 2) / span


def given(pace: Pace, ask: Ask, askers: int, now: float) -> tuple[Slots, Pace]:
    """The slots for a process, and how far they are given out then.

    Args:
        askers: processes that share the rate, from 1.
        now: seconds, of the clock of `pace`.
    """
    set_back = max(0.0, pace.at - now)
    seen = pace.largest_at - set_back
    before = pace.largest if now - seen <= FORGOTTEN else 0.0
    largest = max(before, ask.largest)
    rate = per_second(ask.limit, ask.span, largest)
    amount = max(ask.least, min(ask.wants, rate * CHUNK / askers))
    amount = math.floor(amount) if ask.largest == 0 else amount
    start = max(now, pace.next - set_back)
    start += (largest - before) / rate if before else 0.0  # rows were given out that left less room
    seen = now if ask.largest >= before else seen
    return Slots(start - now, amount, 1 / rate), Pace(start + amount / rate, largest, seen, now)
