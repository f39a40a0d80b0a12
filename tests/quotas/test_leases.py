"""A key's daily budgets in a process: never overshot, leased rather than asked for, given back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import LoopClock, settle_down, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import Books

from llmx.errors import BudgetReached, OutputFailed
from llmx.layers.budget import Amount, Spending
from llmx.layers.stop import Stop
from llmx.quotas import KeyLimits
from llmx.quotas.leases import PATIENCE, KeyBudget

pytestmark = pytest.mark.simulated_time


def tokens(number: int) -> Amount:
    return Amount(None, number)


@pytest.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    clock = LoopClock()
    ledger = Books(tmp_path / "l.db", now=clock.now, monotonic=clock.now)
    yield ledger
    ledger.away = False
    ledger._db.close()


class Process:
    """One process with one run, and what it spends."""

    def __init__(self, ledger: Books, name: str, limit: int = 1000, *, patience: float = PATIENCE) -> None:
        self.budget = KeyBudget(
            ledger,
            "k",
            KeyLimits("k", daily_tokens=limit),
            owner=name,
            clock=LoopClock(),
            patience=patience,
        )
        self.stop = Stop()
        self.spending = Spending([self.budget], clock=LoopClock(), stop=self.stop)
        self.budget.listen(self.spending.look_again)

    async def call(self, most: int, used: int, seconds: float = 0.2) -> None:
        """One call, from its worst case to what it used."""
        reserved = await self.spending.reserve(tokens(most))
        await asyncio.sleep(seconds)
        self.spending.settle(reserved, tokens(used), counted=True)


async def test_a_call_is_let_through_when_the_ledger_has_lent_enough(books: Books):
    """At once, not when the budgets are looked at again; the next ones out of the same lease."""
    process = Process(books, "a")
    began = LoopClock().now()
    await process.call(100, 10, seconds=0)
    await process.call(100, 10, seconds=0)
    assert LoopClock().now() - began < 0.01
    assert books.asked <= 2
    await process.budget.aclose()
    standing = await books.standing("k", process.budget.limits)
    assert (standing.tokens, standing.held_tokens) == (20, 0)


async def test_what_nobody_needs_goes_back(books: Books):
    """After a second without a call; and then nobody says anything any more."""
    process = Process(books, "a")
    await process.call(100, 10)
    await asyncio.sleep(3)
    assert (await books.standing("k", process.budget.limits)).tokens == 10
    before = books.asked
    await asyncio.sleep(600)
    assert books.asked == before


async def test_the_ledger_is_asked_about_once_a_second(books: Books):
    """Two hundred calls a second, and no more than three questions."""
    process = Process(books, "a", limit=10**9)

    async def caller() -> None:
        for _ in range(100):
            await process.call(100, 60, seconds=0.1)

    await asyncio.gather(*(caller() for _ in range(20)))
    assert LoopClock().now() < 12
    assert books.asked < 3 * LoopClock().now() + 15
    await process.budget.aclose()
    assert (await books.standing("k", process.budget.limits)).tokens == 20 * 100 * 60


async def test_a_budget_that_is_used_up_ends_the_run(books: Books):
    """With what was spent, and what the next call may take."""
    process = Process(books, "a", limit=250)
    await process.call(100, 100)
    await process.call(100, 100)
    with pytest.raises(
        BudgetReached, match=r"the key 'k' has no room: 200 of 250 tokens in 24 hours, and the next"
    ):
        await process.call(100, 100)
    await process.call(50, 50)


async def test_who_is_refused_may_ask_again_later(books: Books):
    """A run that comes when the day is over is let through."""
    process = Process(books, "a", limit=250)
    await process.call(200, 200)
    with pytest.raises(BudgetReached):
        await process.call(100, 100)
    await asyncio.sleep(25 * 3600)
    await process.call(100, 100)


async def test_calls_of_others_are_waited_for(books: Books):
    """What they have set aside comes back, and with it room for one more."""
    one, other = Process(books, "a", limit=300), Process(books, "b", limit=300)
    first = asyncio.ensure_future(one.call(250, 20, seconds=10))
    await asyncio.sleep(0.5)
    await other.call(250, 20)
    assert first.done()
    assert LoopClock().now() < 13


async def test_what_lies_idle_is_called_back(books: Books):
    """A process that has calls in flight gives back what it does not need for them when somebody else is in want."""
    one, other = Process(books, "a", limit=1000), Process(books, "b", limit=1000)
    await one.call(200, 1)
    long = asyncio.ensure_future(one.call(200, 1, seconds=100))
    await asyncio.sleep(0.1)
    await other.call(700, 1)
    assert not long.done()
    assert LoopClock().now() < 6
    await long


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), processes=st.integers(1, 5), limit=st.integers(300, 3000))
def test_never_overshot_and_used_up(
    tmp_path_factory: pytest.TempPathFactory, seed: int, processes: int, limit: int
):
    """However processes call, with answers of the ledger that are lost: all together spend what there is, and no more."""

    async def main() -> int:
        rng, clock, spent = random.Random(seed), LoopClock(), 0
        ledger = Books(tmp_path_factory.mktemp("law") / "l.db", now=clock.now, monotonic=clock.now)

        async def run(process: Process) -> None:
            nonlocal spent
            while True:
                most = rng.randint(1, 60)
                used = rng.randint(0, most)
                ledger.lost = rng.choice([0, 0, 0, 1])
                try:
                    await process.call(most, used, seconds=rng.random())
                except BudgetReached:
                    return
                spent += used
                assert spent <= limit

        everyone = [Process(ledger, f"p{number}", limit) for number in range(processes)]
        await asyncio.gather(*(run(process) for process in everyone for _ in range(3)))
        ledger.lost = 0
        for process in everyone:
            await process.budget.aclose()
        assert (await ledger.standing("k", everyone[0].budget.limits)).tokens == spent
        ledger._db.close()
        return spent

    assert simulate(main) >= limit - 60


async def test_calls_go_on_while_the_ledger_is_away(books: Books):
    """Out of what was lent; what they use is told when it is back."""
    process = Process(books, "a", limit=10**6)
    await process.call(100, 50)
    books.away = True
    await process.call(100, 50)
    more = asyncio.ensure_future(process.call(5000, 50))
    await asyncio.sleep(20)
    assert not more.done()
    books.away = False
    await more
    await asyncio.sleep(2.5)
    assert (await books.standing("k", process.budget.limits)).tokens == 150


async def test_a_ledger_that_stays_away_stops_the_run(books: Books):
    """To be resumed; nothing is sent."""
    process = Process(books, "a", patience=5.0)
    books.away = True
    with pytest.raises(Exception, match="the ledger is away"):
        await process.call(100, 50)
    assert isinstance(process.stop.reason, OutputFailed)
    assert 5 <= LoopClock().now() < 7


async def test_a_call_may_use_more_than_its_worst_case(books: Books):
    """It counts as it is, and the next one is refused if that was too much."""
    process = Process(books, "a", limit=300)
    await process.call(100, 290)
    with pytest.raises(BudgetReached, match="290 of 300"):
        await process.call(100, 100)
    await settle_down()
