"""Budgets that hold: the worst case of every call is set aside before it is sent, and settled when it has ended.

A prompt is bounded by its bytes (no tokenizer makes more tokens than there are bytes) and what the provider adds, an
answer by its cap. A call that failed and may have been billed counts as its worst case. When the next call does not
fit, those in flight are waited for, other runs' that share the budget included: they will cost less than was set aside.
With none in flight, that is the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from llmx.clock import Clock, first_of
from llmx.errors import BudgetReached, LlmxError, OutputFailed, Stopped
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, Request, Usage

__all__ = ["Allowance", "Amount", "Spending", "budgeted", "worst_case"]

LOOK = 0.5
"""Seconds after which a budget is looked at again that other runs may have settled calls of."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Money and tokens.

    Args:
        cost: US dollars; None when nobody knows the price: then no allowance counts money.
        tokens: input and output together.
    """

    cost: Decimal | None
    tokens: int


class Allowance(Protocol):
    """One budget, of this run or of many."""

    def reserve(self, amount: Amount) -> Any | None:
        """Set an amount aside; None when that would be too much, else what `settle` is given."""
        ...

    def settle(self, reservation: Any, amount: Amount, *, counted: bool) -> None:
        """Count what a call has used in place of what was set aside.

        Args:
            counted: it came with an answer; else it is the worst case, or nothing.
        """
        ...

    def refusal(self, amount: Amount) -> BudgetReached | None:
        """Why the amount could not be set aside, for people; None while calls of other runs may leave room for it."""
        ...


class Spending:
    """All budgets of a run.

    Args:
        changed: called when an amount was set aside or settled, with whether calls are waiting for others.
    """

    def __init__(
        self,
        allowances: Sequence[Allowance],
        *,
        clock: Clock,
        stop: Stop,
        changed: Callable[[bool], None] = lambda held: None,
    ) -> None:
        self._allowances = allowances
        self._clock = clock
        self._stop = stop
        self._tell = changed
        self._turn = asyncio.Lock()
        self._settled = asyncio.Event()
        self._outstanding = 0
        self._waiting = 0

    async def reserve(self, amount: Amount) -> list[Any]:
        """Set an amount aside in every budget, once calls that are in flight leave room for it.

        Raises:
            BudgetReached: there is no room, and nothing is in flight that might leave some.
            Stopped: the run stops first.
        """
        try:
            if self._waiting or (reservations := self._try(amount)) is None:
                reservations = await self._in_turn(amount)
        except OutputFailed as error:  # what is not on the disk is not set aside
            self._stop.set(error)
            raise Stopped(str(error)) from error
        self._outstanding += 1
        self._tell(False)
        return reservations

    async def _in_turn(self, amount: Amount) -> list[Any]:
        """What every budget gives, first come first served."""
        self._waiting += 1
        try:
            with self._stop.interruptible():
                async with self._turn:
                    while (reservations := self._try(amount)) is None:
                        self._settled.clear()
                        self._tell(True)
                        await first_of(self._settled.wait(), self._clock.sleep(LOOK))
                    return reservations
        finally:
            self._waiting -= 1

    def _try(self, amount: Amount) -> list[Any] | None:
        """What every budget gives, or nothing from any. Raises BudgetReached."""
        taken: list[Any] = []
        for allowance in self._allowances:
            if (reservation := allowance.reserve(amount)) is None:
                self._give_back(taken)
                if not self._outstanding and (refusal := allowance.refusal(amount)) is not None:
                    raise refusal
                return None
            taken.append(reservation)
        return taken

    def _give_back(self, taken: Sequence[Any]) -> None:
        for allowance, reservation in zip(self._allowances, taken, strict=False):
            allowance.settle(reservation, Amount(Decimal(0), 0), counted=True)

    def settle(self, reservations: Sequence[Any], amount: Amount, *, counted: bool) -> None:
        """A call has ended and used so much; see `Allowance.settle`."""
        for allowance, reservation in zip(self._allowances, reservations, strict=True):
            try:
                allowance.settle(reservation, amount, counted=counted)
            except OutputFailed as error:
                self._stop.set(error)
        self._outstanding -= 1
        self._settled.set()
        self._tell(False)


def worst_case(
    body_bytes: int, cap: int, *, injected: int, price: Callable[[Usage], Decimal | None]
) -> Amount:
    """The most that one call can use.

    Args:
        body_bytes: of the request.
        cap: output tokens at most.
        injected: tokens that the provider adds to the prompt, at most.
        price: US dollars for a usage.
    """
    usage = Usage(input_tokens=body_bytes + injected, output_tokens=cap)
    return Amount(price(usage), usage.total_tokens)


def budgeted(spending: Spending, worst: Callable[[Request], Amount]) -> Layer:
    """A layer that sends nothing for which there is no room in a budget.

    Args:
        worst: the most that a request can use.
    """

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            most = worst(request)
            reservations = await spending.reserve(most)
            used, counted = most, False
            try:
                completion = await handler(request)
                if completion.usage.total_tokens:  # else the server does not count
                    used, counted = _used(completion.usage, most), True
                return completion
            except LlmxError as error:
                used = most if error.maybe_billed else Amount(Decimal(0), 0)
                raise
            finally:  # cancelled, it may have been billed: the worst case
                spending.settle(reservations, used, counted=counted)

        return call

    return layer


def _used(usage: Usage, most: Amount) -> Amount:
    return Amount(most.cost if usage.cost is None else usage.cost, usage.total_tokens)
