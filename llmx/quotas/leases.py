"""A key's daily budgets in one process: an allowance out of what the ledger has lent.

Calls take from what was lent, and never wait for the ledger one by one: it is asked for about as much as a second of
calls takes, before that is used up, and told once a second what they have used. What nobody here needs goes back at
once when somebody else does, and else after a second without a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

from llmx.clock import Clock, Signal, first_of
from llmx.errors import BudgetReached, OutputFailed
from llmx.layers.budget import Amount
from llmx.quotas.keys import KeyLimits
from llmx.quotas.ledger import NONE, Balance, Ledger, Lent, Measure, Report, measured
from llmx.text import dollars

__all__ = ["BEAT", "PATIENCE", "KeyBudget"]

BEAT = 1.0
"""Seconds between two reports, unless more is needed before."""

TURN = 0.01
"""Seconds in which who waits takes what was lent, before it goes back for somebody who needs more."""

CALLS = 4
"""Worst cases that are asked for at first, when nobody knows how fast calls follow each other."""

GOOD_FOR = 60.0
"""Seconds for which what was lent may be used without a word from the ledger: it counts it for a day."""

SAID = 1.0
"""Seconds for which the ledger's "no" is believed without asking again."""

PATIENCE = 60.0
"""Seconds without the ledger after which a run that needs more is stopped, to be resumed."""


class KeyBudget:
    """See the module; an `Allowance` of every run of the key in this process, all of which use one event loop.

    Args:
        key: the name of its books.
        owner: this process, as no other calls itself.
        patience: seconds; see `PATIENCE`.
    """

    def __init__(
        self,
        ledger: Ledger,
        key: str,
        limits: KeyLimits,
        *,
        owner: str,
        clock: Clock,
        patience: float = PATIENCE,
    ) -> None:
        self.limits = limits
        self._ledger, self._key, self._owner, self._clock = ledger, key, owner, clock
        self._patience = patience
        self._free = self._aside = self._used = NONE
        self._needed = self._asked = self._taken = NONE
        self._told = NONE
        self._recalled = False
        self._heard = -GOOD_FOR
        self._failing: tuple[float, OutputFailed] | None = None
        self._refused: tuple[float, Measure, Lent] | None = None
        self._call = Signal()
        self._listeners: set[Callable[[], None]] = set()
        self._talk: asyncio.Task[None] | None = None

    # As runs see it

    def reserve(self, amount: Amount) -> Measure | None:
        """See `Allowance.reserve`. Raises OutputFailed when the ledger has been away for too long."""
        size = measured(amount)
        if size.within(self._free) and self._clock.now() - self._heard < GOOD_FOR:
            self._free, self._aside = self._free - size, self._aside + size
            self._taken = self._taken + size
            if not self._taken.within(self._free * 2):
                self._wake()
            return size
        self._check()
        if not (self._is_refused(size) or size.within(self._asked)):
            self._needed = self._needed.at_least(size)
            self._wake()
        return None

    def settle(self, reservation: Measure, amount: Amount, *, counted: bool) -> None:
        """See `Allowance.settle`."""
        used = measured(amount)
        self._aside = self._aside - reservation
        self._free = self._free + reservation - used
        self._used = self._used + used
        self._ensure()

    def refusal(self, amount: Amount) -> BudgetReached | None:
        """See `Allowance.refusal`: none while other calls, or processes, may leave room."""
        size = measured(amount)
        if self._aside or not self._is_refused(size):
            return None
        assert self._refused is not None
        _, _, lent = self._refused
        return None if lent.others else _reached(self._key, lent.balance, amount)

    def listen(self, told: Callable[[], None]) -> Callable[[], None]:
        """See `Replenished.listen`."""
        self._listeners.add(told)
        return lambda: self._listeners.discard(told)

    async def aclose(self) -> None:
        """Give back what is not in flight, and tell what was used."""
        if self._talk is not None:
            self._talk.cancel()
            await asyncio.gather(self._talk, return_exceptions=True)
        if self._is_owing:
            self._free = NONE
            with suppress(OutputFailed):  # it counts as spent, as that of a process that was killed
                await self._ledger.lend(self._key, self.limits, Report(self._owner, self._used, self._aside))

    # What the ledger is told and asked

    @property
    def _holds(self) -> Measure:
        """What counts as lent; a call that used more than was set aside for it has taken that from nobody."""
        return (self._aside + self._free).at_least(self._aside).at_least(NONE)

    @property
    def _is_owing(self) -> bool:
        """Whether there is something that the ledger should hear of."""
        return bool(self._holds or self._needed) or self._used != self._told

    def _is_refused(self, size: Measure) -> bool:
        """Whether the ledger has said a moment ago that it has not so much."""
        if self._refused is None:
            return False
        moment, amount, _ = self._refused
        return self._clock.now() - moment < SAID and amount.within(size)

    def _check(self) -> None:
        if self._failing is None:
            return
        since, error = self._failing
        if self._clock.now() - since >= self._patience:
            self._ensure()
            raise OutputFailed(str(error), hint=error.hint) from error

    def _wake(self) -> None:
        self._call.happen()
        self._ensure()

    def _ensure(self) -> None:
        if self._talk is None or self._talk.done():
            self._talk = asyncio.get_running_loop().create_task(self._converse())

    async def _converse(self) -> None:
        """Report once a second, and whenever more is needed, until there is nothing to say."""
        while self._is_owing:
            try:
                await self._exchange()
            except OutputFailed as error:
                self._failing = self._failing or (self._clock.now(), error)
                self._tell()  # those that wait look whether it is long enough
                await self._clock.sleep(BEAT)  # whatever they need: it would fail as well
                continue
            self._failing = None
            if self._needed:
                await self._clock.sleep(TURN)
            elif not self._recalled:
                await first_of(self._call.next(), self._clock.sleep(BEAT))

    async def _exchange(self) -> None:
        needed, self._needed = self._needed, NONE
        self._asked = needed
        taken, self._taken = self._taken, NONE
        useless = bool(needed) or self._recalled  # what is too little is for others to use
        self._recalled = False
        self._free = NONE if useless else self._free.at_most(taken * 2).at_least(NONE)
        wants = _wanted(needed, taken, self._free)
        report = Report(self._owner, self._used, self._holds, wants, needed)
        try:
            lent = await self._ledger.lend(self._key, self.limits, report)
        except OutputFailed:
            self._needed = self._needed.at_least(needed)
            raise
        finally:
            self._asked = NONE
        self._told, self._heard = report.used, self._clock.now()
        self._free = self._free + lent.amount
        if self._needed.within(self._free):
            self._needed = NONE
        self._note(needed, lent)

    def _note(self, needed: Measure, lent: Lent) -> None:
        if needed and not lent.amount:
            self._refused = (self._clock.now(), needed, lent)
        elif needed:
            self._refused = None
        self._recalled = lent.wanted and not needed and bool(self._free)
        if needed:
            self._tell()

    def _tell(self) -> None:
        for told in list(self._listeners):
            told()


def _wanted(needed: Measure, taken: Measure, free: Measure) -> Measure:
    """About a second's worth beyond what is free."""
    more = (needed * CALLS).at_least(taken * 2) - free
    return more.at_least(needed)


def _reached(key: str, balance: Balance, amount: Amount) -> BudgetReached:
    daily = balance.limits.daily
    assert daily is not None
    spent, most = [], []
    if daily.cost is not None:
        spent.append(f"{dollars(balance.cost)} of {dollars(daily.cost)}")
        most.append(dollars(amount.cost or Decimal(0)))
    if daily.tokens is not None:
        spent.append(f"{balance.tokens:,} of {daily.tokens:,} tokens")
        most.append(f"{amount.tokens:,} tokens")
    message = (
        f"the key {key!r} has no room: {' and '.join(spent)} in 24 hours, "
        f"and the next call may take up to {' and '.join(most)}"
    )
    return BudgetReached(
        message, hint="later, when what was spent is a day old; or a lower max_output_tokens"
    )
