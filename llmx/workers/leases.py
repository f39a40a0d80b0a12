"""The run's caps among processes: the owner keeps them, and lends each worker what a few calls may cost.

What was lent counts as set aside, so that all together stay below the caps whatever becomes of a worker. When there is
not enough left for all, what lies idle is recalled; the end is when nothing is lent to anybody, and it still is not enough.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from llmx.errors import BudgetReached
from llmx.layers.budget import Allowance, Amount
from llmx.workers.messages import Granted, Recall, Returned, Used, Want

__all__ = ["LeasedCaps", "Lender"]

MANY, FEW = 256, 8
"""Calls that are lent for at a time: without caps, when all there is is a book of them; and under caps."""

NOTHING = Amount(Decimal(0), 0)


def _plus(one: Amount, other: Amount, times: int = 1) -> Amount:
    cost = None if other.cost is None else (one.cost or Decimal(0)) + times * other.cost
    return Amount(cost, one.tokens + times * other.tokens)


def _fits(amount: Amount, within: Amount) -> bool:
    return amount.tokens <= within.tokens and (amount.cost or Decimal(0)) <= (within.cost or Decimal(0))


class Lender:
    """The owner's side.

    Args:
        caps: of the run.
        capped: whether they are limited at all.
        send: to the worker of a number.
        workers: how many there are.
    """

    def __init__(
        self, caps: Allowance, *, capped: bool, send: Callable[[int, Any], None], workers: int
    ) -> None:
        self._caps = caps
        self._calls = FEW if capped else MANY
        self._send = send
        self._lent = [NOTHING] * workers
        self._waiting: dict[int, Amount] = {}

    def want(self, worker: int, want: Want) -> None:
        """A worker needs more."""
        self._waiting[worker] = want.amount
        self._serve()

    def returned(self, worker: int, amount: Amount) -> None:
        """A worker gives back what it did not need."""
        self._take_back(worker, amount, NOTHING, counted=True)

    def used(self, worker: int, used: Used) -> None:
        """A call of a worker's has ended."""
        self._take_back(worker, used.amount, used.amount, counted=used.counted)

    def ended(self, worker: int) -> None:
        """A worker has ended: what was lent to it and not used is free again."""
        self._waiting.pop(worker, None)
        self.returned(worker, self._lent[worker])

    def lost(self, worker: int) -> None:
        """A worker has died: its calls may be billed."""
        self._waiting.pop(worker, None)
        lent = self._lent[worker]
        self._take_back(worker, lent, lent, counted=False)

    def _take_back(self, worker: int, amount: Amount, used: Amount, *, counted: bool) -> None:
        self._lent[worker] = _plus(self._lent[worker], amount, -1)
        self._caps.settle(amount, used, counted=counted)
        self._serve()

    def _serve(self) -> None:
        """Lend to those who wait, if there is enough for one call at least."""
        for worker, amount in list(self._waiting.items()):
            if (lent := self._reserved(amount)) is not None:
                del self._waiting[worker]
                self._lent[worker] = _plus(self._lent[worker], lent)
                self._send(worker, Granted(lent))
            else:
                self._refuse_or_recall(worker, amount)

    def _reserved(self, amount: Amount) -> Amount | None:
        for calls in (self._calls, 1):
            lent = _plus(NOTHING, amount, calls)
            if self._caps.reserve(lent) is not None:
                return lent
        return None

    def _refuse_or_recall(self, worker: int, amount: Amount) -> None:
        if not any(lent.tokens > 0 for lent in self._lent):
            del self._waiting[worker]
            self._send(worker, Granted(None, self._caps.refusal(amount)))
            return
        for number, lent in enumerate(self._lent):
            if lent.tokens > 0:
                self._send(number, Recall())


class LeasedCaps:
    """A worker's side: an allowance out of what was lent.

    Args:
        send: to the owner.
        later: calls what it is given when all that happens at the same time has happened.
    """

    def __init__(self, send: Callable[[Any], None], later: Callable[[Callable[[], None]], Any]) -> None:
        self._send = send
        self._later = later
        self._free = NOTHING
        self._used: dict[bool, Amount] = {}
        self._asked = False
        self._refusal: BudgetReached | None = None

    def reserve(self, amount: Amount) -> Amount | None:
        """See `Allowance.reserve`: what is missing is asked for, and comes later."""
        if _fits(amount, self._free):
            self._free = _plus(self._free, amount, -1)
            return amount
        if not self._asked and self._refusal is None:
            self._asked = True
            self.recalled()
            self._send(Want(amount))
        return None

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        """See `Allowance.settle`."""
        used = Amount(None if reservation.cost is None else amount.cost, amount.tokens)
        self._free = _plus(self._free, _plus(reservation, used, -1))
        if used.tokens or used.cost:
            if not self._used:
                self._later(self._tell)
            self._used[counted] = _plus(self._used.get(counted, NOTHING), used)

    def _tell(self) -> None:
        """What calls have used, together."""
        said, self._used = self._used, {}
        for counted, used in said.items():
            self._send(Used(used, counted))

    def refusal(self, amount: Amount) -> BudgetReached | None:
        """See `Allowance.refusal`: while the owner has not said so, there may be more."""
        return self._refusal

    def granted(self, granted: Granted) -> None:
        """What the owner says to a wish for more."""
        self._asked = False
        self._refusal = granted.refusal
        if granted.amount is not None:
            self._free = _plus(self._free, granted.amount)

    def recalled(self) -> None:
        """Give back what is not set aside for a call."""
        free, self._free = self._free, NOTHING
        if free.tokens or free.cost:
            self._send(Returned(free))
