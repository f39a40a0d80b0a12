"""Budgets that hold: the worst case of every call is set aside before it is sent, and settled when it has ended.

A prompt is bounded by its bytes (no tokenizer makes more tokens than there are bytes) and what the provider adds, an
answer by its cap. A call that failed and may have been billed counts as its worst case. When the next call does not
fit, those in flight are waited for, other runs' that share the budget included: they will cost less than was set aside.
With none in flight, that is the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from llmx.clock import Clock, Signal, first_of
from llmx.errors import BudgetReached, LlmxError, OutputFailed, Stopped
from llmx.layers.stop import Stop
from llmx.types import Request, Usage

__all__ = ["Allowance", "Amount", "Purse", "SetAside", "Spending", "worst_case"]

LOOK = 0.5
"""Seconds after which a budget is looked at again that other runs may have settled calls of."""


class Amount(Struct, frozen=True):
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
        """Set an amount aside; None when that would be too much, else what `settle` is given.

        It may throw the run's stop: then nothing is sent, whatever it returns.
        """
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
        self._settled = Signal()
        self._outstanding = 0
        self._waiting = 0

    @property
    def caps(self) -> Allowance:
        """The run's own, the first of all."""
        return self._allowances[0]

    def look_again(self) -> None:
        """There may be more room than when a call began to wait."""
        self._settled.happen()
        self._tell(False)

    async def reserve(self, amount: Amount) -> list[Any]:
        """Set an amount aside in every budget, once calls that are in flight leave room for it.

        Raises:
            BudgetReached: there is no room, and nothing is in flight that might leave some.
            Stopped: the run stops first.
        """
        self._waiting += 1
        try:
            with self._stop.interruptible():
                async with self._turn:
                    while (reservations := self._take(amount)) is None:
                        self._tell(True)
                        await first_of(self._settled.next(), self._clock.sleep(LOOK))
                    return reservations
        finally:
            self._waiting -= 1

    def at_once(self, amount: Amount) -> list[Any] | None:
        """Set an amount aside if there is room now and nobody waits for some, else None. Raises as `reserve`."""
        return None if self._waiting else self._take(amount)

    def _take(self, amount: Amount) -> list[Any] | None:
        try:
            reservations = self._try(amount)
        except OutputFailed as error:  # what is not on the disk is not set aside
            self._stop.set(error)
            raise Stopped(str(error)) from error
        if (reason := self._stop.reason) is not None:  # one of them has thrown it
            self._give_back(reservations or ())
            raise Stopped(str(reason))
        if reservations is not None:
            self._outstanding += 1
            self._tell(False)
        return reservations

    def _try(self, amount: Amount) -> list[Any] | None:
        """What every budget gives, or nothing from any. Raises BudgetReached."""
        taken: list[Any] = []
        for allowance in self._allowances:
            try:
                reservation = allowance.reserve(amount)
            except BaseException:
                self._give_back(taken)
                raise
            if reservation is None:
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
        self._settled.happen()
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


class SetAside(Struct, frozen=True):
    """What is set aside for one call.

    Args:
        most: the most that it can use.
        reservations: what every budget gave for it.
    """

    most: Amount
    reservations: Sequence[Any]


class Purse:
    """What one endpoint's calls are paid from: the run's budgets.

    Args:
        worst: the most that a request can use.
    """

    def __init__(self, spending: Spending, worst: Callable[[Request], Amount]) -> None:
        self._spending = spending
        self._worst = worst

    def at_once(self, request: Request) -> SetAside | None:
        """Set a call's worst case aside; None if there is no room now. Raises as `Spending.reserve`."""
        most = self._worst(request)
        reservations = self._spending.at_once(most)
        return None if reservations is None else SetAside(most, reservations)

    async def reserve(self, request: Request) -> SetAside:
        """Set a call's worst case aside, once there is room. Raises as `Spending.reserve`."""
        most = self._worst(request)
        return SetAside(most, await self._spending.reserve(most))

    def answered(self, reserved: SetAside, usage: Usage) -> None:
        """An answer came: what it used is counted; from a server that does not count, the worst case."""
        most = reserved.most
        if not usage.total_tokens:
            self._settle(reserved, most, counted=False)
            return
        cost = most.cost if usage.cost is None else usage.cost
        self._settle(reserved, Amount(cost, usage.total_tokens), counted=True)

    def failed(self, reserved: SetAside, error: BaseException) -> None:
        """None came: a call that may have been billed, as one that was cancelled may, counts as its worst case."""
        if isinstance(error, LlmxError) and not error.maybe_billed:
            self.give_back(reserved)
        else:
            self._settle(reserved, reserved.most, counted=False)

    def give_back(self, reserved: SetAside) -> None:
        """The call was not made."""
        self._settle(reserved, Amount(Decimal(0), 0), counted=True)

    def _settle(self, reserved: SetAside, amount: Amount, *, counted: bool) -> None:
        self._spending.settle(reserved.reservations, amount, counted=counted)
