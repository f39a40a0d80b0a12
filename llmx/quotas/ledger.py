"""The books that many processes share: what a ledger is asked, and what it answers.

A ledger has two sides. Budgets: a process is lent an amount, and says now and then what it has used of it; what is lent
counts as spent, so that a process that is killed has taken nothing that others count on. Rates: a process is given
slots of an account's pace. Both are asked about once a second, whatever the number of calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from msgspec import Struct, field

from llmx.budgets import Daily
from llmx.layers.budget import Amount
from llmx.quotas.keys import KeyLimits
from llmx.text import dollars

__all__ = [
    "ALIVE",
    "CELL",
    "DAY",
    "KEPT",
    "NONE",
    "WANTED",
    "Ask",
    "Balance",
    "Ledger",
    "Lent",
    "Measure",
    "Met",
    "Rates",
    "Refusal",
    "Report",
    "Slots",
    "balance",
    "does_not_fit",
    "measured",
]

DAY = 24 * 3600
"""Seconds of the window in which a budget is held."""

CELL = 300
"""Seconds of spending that are counted together. The cell that has partly left the window counts too, and so do those
ahead of the clock: what was spent is counted for a day and five minutes at most, and never for less than a day."""

KEPT = 2 * DAY
"""Seconds after which a cell is deleted: not at once, lest a clock that is ahead for a moment lose what counts."""

ALIVE = 12.0
"""Seconds after which a process that has said nothing is expected to give nothing back."""

WANTED = 5.0
"""Seconds for which those who hold something know that somebody else could not be lent enough."""

NANO = 10**9


class Measure(Struct, frozen=True):
    """An amount, exactly.

    Args:
        nanos: nano-dollars.
        tokens: input and output together.
    """

    nanos: int = 0
    tokens: int = 0

    def __add__(self, other: Measure) -> Measure:
        return Measure(self.nanos + other.nanos, self.tokens + other.tokens)

    def __sub__(self, other: Measure) -> Measure:
        return Measure(self.nanos - other.nanos, self.tokens - other.tokens)

    def __mul__(self, times: int) -> Measure:
        return Measure(self.nanos * times, self.tokens * times)

    def __bool__(self) -> bool:
        return bool(self.nanos or self.tokens)

    def within(self, other: Measure) -> bool:
        """Whether it is not more, of neither kind."""
        return self.nanos <= other.nanos and self.tokens <= other.tokens

    def at_most(self, other: Measure) -> Measure:
        """The smaller of each kind."""
        return Measure(min(self.nanos, other.nanos), min(self.tokens, other.tokens))

    def at_least(self, other: Measure) -> Measure:
        """The larger of each kind."""
        return Measure(max(self.nanos, other.nanos), max(self.tokens, other.tokens))


NONE = Measure()


def measured(amount: Amount) -> Measure:
    """An amount in whole nano-dollars, rounded up; of an unknown price, its tokens alone."""
    if not amount.cost:
        return Measure(0, amount.tokens)
    part, whole = amount.cost.as_integer_ratio()  # Decimal's own arithmetic rounds at 28 digits
    return Measure(-(-part * NANO // whole), amount.tokens)


class Report(Struct, frozen=True):
    """What a process says of one budget. Said twice, it counts once.

    Args:
        owner: the process.
        used: since it began.
        holds: set aside for calls in flight, or lent and not used.
        wants: what it would be lent beyond that.
        least: what is of any use to it, if there is not so much; none where it could do without.
    """

    owner: str
    used: Measure
    holds: Measure
    wants: Measure = NONE
    least: Measure = NONE


class Balance(Struct, frozen=True):
    """How a key's budgets stand.

    Args:
        limits: of the key.
        cost: US dollars of the last 24 hours, what is lent included; may exceed the limit where a call used more than
            was set aside for it.
        tokens: likewise.
        held_cost, held_tokens: the part of it that is lent to processes which may give it back.
        frees_at: seconds since the epoch, when the oldest spending of a limited kind counts no longer; None for none.
    """

    limits: KeyLimits
    cost: Decimal = Decimal(0)
    tokens: int = 0
    held_cost: Decimal = Decimal(0)
    held_tokens: int = 0
    frees_at: float | None = None

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """US dollars and tokens, from 0; None where there is no limit."""
        daily = self.limits.daily
        return (None, None) if daily is None else daily.left(self.cost, self.tokens)


class Lent(Struct, frozen=True):
    """What a ledger answers to a report.

    Args:
        amount: lent, in addition to what is held; none when there is not enough.
        others: another process that is alive holds some, which may come back.
        wanted: another process could not be lent enough.
        balance: of the key, after that.
    """

    amount: Measure
    others: bool
    wanted: bool
    balance: Balance


class Refusal(Struct, frozen=True):
    """Why an estimate does not fit.

    Args:
        message: lower case, one line.
        needed: by the estimate.
        balance: of the key.
    """

    message: str
    needed: Amount
    balance: Balance


class Ledger(Protocol):
    """The budgets of keys. Every method raises OutputFailed when the books cannot be reached."""

    async def lend(self, key: str, limits: KeyLimits, report: Report) -> Lent:
        """Take note of what a process has used and holds, and lend it more, if the limits allow it."""
        ...

    async def standing(self, key: str, limits: KeyLimits) -> Balance:
        """What is spent and left of a key's budgets."""
        ...

    async def fits(self, key: str, limits: KeyLimits, estimate: Amount) -> Refusal | None:
        """Why so much more does not fit into a key's budgets now, None if it does. Nothing is set aside."""
        ...


class Ask(Struct, frozen=True):
    """What a process asks of a rate.

    Args:
        worker: the process.
        account: whose pauses hold whoever is given some.
        limit: per minute, of all.
        span: seconds within which that much is let through; more than a minute by what processes may be late.
        wants: units that it would use within a second.
        least: units that are of any use to it, from 1.
        largest: units that may go out together, whatever is left of the window: of the largest row of tokens.
    """

    worker: str
    account: str
    limit: float
    span: float
    wants: float
    least: float = 1.0
    largest: float = 0.0


class Slots(Struct, frozen=True):
    """What it is given: units one after the other, which nobody else has.

    Args:
        start: seconds from now until the first.
        amount: how many.
        pace: seconds between two.
        held: seconds for which nobody is to send anything.
    """

    start: float
    amount: float
    pace: float
    held: float = 0.0


class Met(Struct, frozen=True):
    """Who shares the rates.

    Args:
        workers: processes that are alive, in an order that all agree on; empty where nobody needs to know.
        now: seconds of a clock that all share.
        held: seconds for which nobody is to send anything, by account.
    """

    workers: Sequence[str] = ()
    now: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)


class Rates(Protocol):
    """The rates of accounts. Every method raises OutputFailed when the books cannot be reached."""

    async def slots(self, name: str, ask: Ask) -> Slots:
        """Give a process its next slots of a rate."""
        ...

    async def meet(self, worker: str) -> Met:
        """A process is alive, and would know who else is."""
        ...

    async def pause(self, account: str, seconds: float) -> None:
        """Nobody is to send anything there for so long."""
        ...


def balance(limits: KeyLimits, taken: Measure, held: Measure, oldest: Sequence[int | None]) -> Balance:
    """How a key's budgets stand, for people.

    Args:
        taken: in the last 24 hours, what is lent included.
        held: the part of it that may come back.
        oldest: cells of the oldest spending of dollars and of tokens, None for none.
    """
    kinds = zip((limits.daily_cost, limits.daily_tokens), oldest, strict=True)
    leaving = [cell for limit, cell in kinds if limit is not None and cell is not None]
    frees_at = float((min(leaving) + 1) * CELL + DAY) if leaving else None
    return Balance(limits, _dollars(taken.nanos), taken.tokens, _dollars(held.nanos), held.tokens, frees_at)


def _dollars(nanos: int) -> Decimal:
    return Decimal(nanos).scaleb(-9)


def does_not_fit(limits: KeyLimits, estimate: Amount, balance: Balance) -> Refusal | None:
    """Why an estimate does not fit, None if it does.

    A dollar budget refuses an estimate that knows no price.
    """
    daily = limits.daily
    if daily is None:
        return None
    if daily.cost is not None and estimate.cost is None:
        return Refusal("the price is not known, and the key has a daily budget in dollars", estimate, balance)
    parts = _lacking(daily, estimate, balance)
    if not parts:
        return None
    return Refusal(f"the estimate does not fit: {' and '.join(parts)} in 24 hours", estimate, balance)


def _lacking(daily: Daily, estimate: Amount, balance: Balance) -> list[str]:
    cost, tokens = balance.left
    parts = []
    if daily.cost is not None and cost is not None and (estimate.cost or 0) > cost:
        parts.append(
            f"{dollars(estimate.cost or Decimal(0))} of the {dollars(cost)} that are left of {dollars(daily.cost)}"
        )
    if tokens is not None and estimate.tokens > tokens:
        parts.append(f"{estimate.tokens:,} of the {tokens:,} tokens that are left of {daily.tokens:,}")
    return parts
