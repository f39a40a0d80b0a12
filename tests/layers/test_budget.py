"""Budgets of a run: set aside before, settled after, waited for in order, never exceeded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from fakes import LoopClock, a_request, all_of, settle_down
from hypothesis import given
from hypothesis import strategies as st

from llmx.errors import BudgetReached, CallTimeout, Interrupted, OutputFailed, RateLimited, Stopped
from llmx.layers.budget import LOOK, Amount, Purse, Spending, worst_case
from llmx.layers.stop import Stop
from llmx.types import Usage

pytestmark = pytest.mark.simulated_time


@dataclass
class Tokens:
    """A budget of tokens, which others may have in part."""

    limit: int
    used: int = 0
    others: int = 0
    most: int = 0
    fails: bool = False
    settled: list[tuple[int, bool]] = field(default_factory=list)

    def reserve(self, amount: Amount) -> Amount | None:
        if self.fails:
            raise OutputFailed("no space")
        if self.used + self.others + amount.tokens > self.limit:
            return None
        self.used += amount.tokens
        self.most = max(self.most, self.used)
        return amount

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        self.used += amount.tokens - reservation.tokens
        self.settled.append((amount.tokens, counted))

    def refusal(self, amount: Amount) -> BudgetReached | None:
        return None if self.others else BudgetReached("used up")


def a_spending(*budgets: Tokens, stop: Stop | None = None) -> Spending:
    return Spending(budgets, clock=LoopClock(), stop=stop or Stop())


def of(tokens: int) -> Amount:
    return Amount(Decimal(tokens), tokens)


# Setting aside


async def test_what_fits_is_set_aside_at_once():
    """In every budget."""
    budgets = Tokens(10), Tokens(20)
    spending = a_spending(*budgets)
    assert await spending.reserve(of(6)) == [of(6), of(6)]
    assert spending.at_once(of(5)) is None
    assert [budget.used for budget in budgets] == [6, 6]


async def test_who_does_not_fit_waits_for_those_in_flight():
    """They turn out to use less."""
    spending = a_spending(Tokens(10))
    first = await spending.reserve(of(8))
    waiting = asyncio.ensure_future(spending.reserve(of(5)))
    await settle_down()
    assert not waiting.done()
    spending.settle(first, of(3), counted=True)
    assert await waiting == [of(5)]


async def test_a_large_call_does_not_starve_behind_small_ones():
    """Who comes later waits behind it, though there would be room."""
    spending = a_spending(Tokens(10))
    first = await spending.reserve(of(6))
    large = asyncio.ensure_future(spending.reserve(of(9)))
    await settle_down()
    assert spending.at_once(of(1)) is None
    small = asyncio.ensure_future(spending.reserve(of(1)))
    spending.settle(first, of(1), counted=True)
    assert await large == [of(9)]
    assert not small.done()
    spending.settle([of(9)], of(1), counted=True)
    assert await small == [of(1)]


async def test_with_none_in_flight_it_is_the_end():
    """Nothing will leave more room."""
    spending = a_spending(Tokens(10))
    spending.settle(await spending.reserve(of(8)), of(8), counted=True)
    with pytest.raises(BudgetReached):
        await spending.reserve(of(3))


async def test_calls_of_other_runs_are_waited_for():
    """Their settlement is not told: the budget is looked at again and again."""
    budget = Tokens(10, others=8)
    waiting = asyncio.ensure_future(a_spending(budget).reserve(of(5)))
    await asyncio.sleep(100)
    assert not waiting.done()
    budget.others = 4
    await waiting
    assert LoopClock().now() <= 100 + LOOK + 0.1


async def test_what_does_not_fit_everywhere_is_taken_nowhere():
    """The first budget has what it gave."""
    roomy, tight = Tokens(100), Tokens(5)
    spending = a_spending(roomy, tight)
    await spending.reserve(of(4))
    assert spending.at_once(of(4)) is None
    assert (roomy.used, tight.used) == (4, 4)


async def test_a_stop_ends_the_wait():
    """And sets nothing aside."""
    stop, budget = Stop(), Tokens(10)
    spending = a_spending(budget, stop=stop)
    await spending.reserve(of(8))
    waiting = asyncio.ensure_future(spending.reserve(of(5)))
    await settle_down()
    stop.set(Interrupted(2))
    [end] = await all_of([waiting])
    assert isinstance(end, Stopped)
    assert budget.used == 8


async def test_a_disk_that_is_full_ends_the_run():
    """What is not on the disk is not set aside."""
    stop = Stop()
    with pytest.raises(Stopped):
        await a_spending(Tokens(10, fails=True), stop=stop).reserve(of(1))
    assert isinstance(stop.reason, OutputFailed)


async def test_what_one_budget_gave_is_given_back_when_another_fails():
    """The call is not made: nothing is at risk for it."""
    cap = Tokens(10)
    with pytest.raises(Stopped):
        await a_spending(cap, Tokens(10, fails=True)).reserve(of(4))
    assert cap.used == 0


async def test_who_waits_is_told():
    """A run that stands still for its budget says so."""
    told: list[bool] = []
    spending = Spending([Tokens(10)], clock=LoopClock(), stop=Stop(), changed=told.append)
    first = await spending.reserve(of(8))
    waiting = asyncio.ensure_future(spending.reserve(of(5)))
    await settle_down()
    assert told[-1]
    spending.settle(first, of(1), counted=True)
    await waiting
    assert not told[-1]


calls = st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10), st.floats(0, 5)), max_size=40)


@given(limit=st.integers(5, 40), calls=calls)
def test_no_interleaving_exceeds_a_budget(limit: int, calls: list[tuple[int, int, float]]):
    """Whatever is asked for, used and cancelled, at whatever time."""
    from fakes import simulate

    budget = Tokens(limit)

    async def main() -> None:
        spending = a_spending(budget)

        async def call(most: int, used: int, seconds: float) -> None:
            reservation = await spending.reserve(of(most))
            try:
                await asyncio.sleep(seconds)
            finally:
                spending.settle(reservation, of(min(most, used)), counted=True)

        tasks = [asyncio.ensure_future(call(*each)) for each in calls]
        await asyncio.sleep(2)
        for task in tasks[::5]:
            task.cancel()
        ends = await all_of(tasks)
        assert all(end is None or isinstance(end, BudgetReached | asyncio.CancelledError) for end in ends), (
            ends
        )

    simulate(main)
    assert budget.most <= limit


# Settling


@pytest.mark.parametrize(
    ("usage", "settled"),
    [(Usage(3, 2), (5, True)), (Usage(), (10, False))],
    ids=["counted", "a server that does not count"],
)
async def test_an_answer_costs_what_it_used(usage: Usage, settled: tuple[int, bool]):
    """The worst case, where the server does not say."""
    budget = Tokens(10)
    purse = Purse(a_spending(budget), lambda request: of(10))
    purse.answered(await purse.reserve(a_request()), usage)
    assert budget.settled == [settled]


@pytest.mark.parametrize(
    ("error", "settled"),
    [
        (RateLimited("429"), (0, True)),
        (CallTimeout("late"), (10, False)),
        (asyncio.CancelledError(), (10, False)),
    ],
    ids=["refused", "late", "cancelled"],
)
async def test_what_a_failed_call_costs(error: BaseException, settled: tuple[int, bool]):
    """Nothing, unless it may have been billed."""
    budget = Tokens(10)
    purse = Purse(a_spending(budget), lambda request: of(10))
    purse.failed(await purse.reserve(a_request()), error)
    assert budget.settled == [settled]


def test_the_worst_case():
    """A token for every byte, what the provider adds, and the whole cap."""

    def price(usage: Usage) -> Decimal:
        return Decimal(usage.input_tokens) + 2 * usage.output_tokens

    assert worst_case(700, 300, injected=20, price=price) == Amount(Decimal(1320), 1020)
