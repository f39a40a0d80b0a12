"""What a run has in common with others, as the engine uses it. Who keeps it: tests/quotas."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import Mock, mocked
from fakes import LoopClock, until
from rehearsal import Talk, read_rows, some_rows, write_rows

import llmx
from llmx.commons import Commons
from llmx.environment import Environment
from llmx.errors import BudgetReached, Interrupted, Stopped, UsageError
from llmx.job import Report, execute
from llmx.layers.budget import Amount, Spending
from llmx.layers.stop import Stop
from llmx.planning import plan
from llmx.report.summary import Figures
from llmx.settings import Settings


@dataclass
class Tokens:
    """An allowance of tokens that is filled up later."""

    left: int
    taken: list[Amount] = field(default_factory=list)
    used: list[Amount] = field(default_factory=list)
    told: list[Callable[[], None]] = field(default_factory=list)

    def reserve(self, amount: Amount) -> Amount | None:
        if amount.tokens > self.left:
            return None
        self.left -= amount.tokens
        self.taken.append(amount)
        return amount

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        self.left += reservation.tokens - amount.tokens
        self.used.append(amount)

    def refusal(self, amount: Amount) -> BudgetReached | None:
        return None

    def listen(self, told: Callable[[], None]) -> Callable[[], None]:
        self.told.append(told)
        return lambda: self.told.remove(told)


@pytest.fixture
def mock() -> Iterator[Mock]:
    with mocked() as running:
        yield running


async def extracted(mock: Mock, commons: Commons, rows: int = 3, **options: Any) -> list[llmx.Outcome]:
    where: dict[str, Any] = {"model": "openai/mock", "base_url": f"{mock.url}/v1", **options}
    return await llmx.aextract(some_rows(rows), "name, age int", commons=commons, **where)


async def test_every_call_is_asked_for(mock: Mock):
    """With no budget of the run's own, and at a price that nobody knows."""
    allowance = Tokens(10**9)
    outcomes = await extracted(mock, Commons(allowances=[allowance]))
    assert all(outcome.ok for outcome in outcomes)
    assert len(allowance.taken) == mock.calls == 3
    assert {amount.cost for amount in allowance.taken} == {None}
    assert all(
        used.tokens < taken.tokens for used, taken in zip(allowance.used, allowance.taken, strict=True)
    )


async def test_more_room_wakes_who_waits(mock: Mock, monkeypatch: pytest.MonkeyPatch):
    """At once, not when the budgets are looked at again; and nobody listens any more at the end."""
    looked: list[None] = []
    look_again = Spending.look_again

    def looking(spending: Spending) -> None:
        looked.append(None)
        look_again(spending)

    monkeypatch.setattr(Spending, "look_again", looking)
    allowance = Tokens(0)
    run = asyncio.ensure_future(extracted(mock, Commons(allowances=[allowance])))
    await until(lambda: allowance.told)
    allowance.left = 10**9
    for told in allowance.told:
        told()
    assert len(await run) == 3
    assert looked
    assert allowance.told == []


async def test_dollars_need_a_price(mock: Mock):
    """An endpoint whose price nobody knows is refused before the first call."""
    with pytest.raises(UsageError, match="a daily budget in dollars: the price of openai/mock"):
        await extracted(mock, Commons(allowances=[Tokens(10**9)], dollars=True))
    assert mock.calls == 0


async def test_dollars_are_counted(mock: Mock):
    """Of an endpoint whose price is known, though the run has no budget of its own."""
    allowance = Tokens(10**9)
    with pytest.warns(UserWarning, match="is taken to cost what openai/gpt-5-mini does"):
        await extracted(mock, Commons(allowances=[allowance], dollars=True), model="openai/gpt-5-mini")
    assert all(amount.cost for amount in allowance.used)
    assert sum(amount.cost or 0 for amount in allowance.used) < sum(
        amount.cost or 0 for amount in allowance.taken
    )
    assert isinstance(allowance.used[0].cost, Decimal)


@dataclass
class Fence:
    """Throws a run's stop once so many calls have been let through."""

    stop: Stop
    calls: int

    def reserve(self, amount: Amount) -> Amount | None:
        if self.calls == 0:
            self.stop.set(Interrupted(15))
            return None
        self.calls -= 1
        return amount

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        """Nothing is counted."""

    def refusal(self, amount: Amount) -> BudgetReached | None:
        return None


async def run_fenced(folder: Path, mock: Mock, calls: int) -> Report:
    env = Environment(
        stdin=io.BytesIO(), stdout=io.BytesIO(), variables={"LLMX_HOME": str(folder / "home")}, cwd=folder
    )
    figures = Figures(LoopClock())
    stop = Stop(figures.stopped)
    options = {"inputs": ["in.jsonl"], "output": "out.jsonl", "schema": "name, age int", "concurrency": 1}
    where = {"model": "openai/mock", "base_url": f"{mock.url}/v1"}
    commons = Commons(allowances=[Fence(stop, calls)])
    return await execute(
        plan(Settings.of({**options, **where}), env),
        stop=stop,
        figures=figures,
        talk=Talk(),
        clock=LoopClock(),
        commons=commons,
    )


async def test_an_allowance_may_stop_the_run(mock: Mock, tmp_path: Path):
    """Nothing is sent any more, and the same run goes on later where it stood."""
    write_rows(tmp_path / "in.jsonl", some_rows(10))
    report = await run_fenced(tmp_path, mock, calls=4)
    assert (report.exit_code, mock.calls) == (143, 4)
    report = await run_fenced(tmp_path, mock, calls=99)
    assert (report.exit_code, mock.calls) == (0, 10)
    assert len(read_rows(tmp_path / "out.jsonl")) == 10


async def test_a_stop_gives_back_what_others_have_set_aside():
    """An allowance that throws it, whatever it returns, has nothing taken from the rest."""
    stop, tokens = Stop(), Tokens(10)
    spending = Spending([tokens, Fence(stop, 0)], clock=LoopClock(), stop=stop)
    with pytest.raises(Stopped):
        spending.at_once(Amount(None, 4))
    assert tokens.left == 10
