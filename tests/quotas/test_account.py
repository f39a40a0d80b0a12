"""An account's rates, shared: the law of the window, what is made of it, and what is without a ledger."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fakes import LoopClock, simulate
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import Books

from llmx.quotas.account import ProviderQuota
from llmx.quotas.membership import RETURN, Membership

pytestmark = pytest.mark.simulated_time

MINUTE = 60.0


@contextmanager
def books() -> Iterator[Books]:
    with TemporaryDirectory() as folder:
        clock = LoopClock()
        ledger = Books(Path(folder) / "ledger.db", now=clock.now, monotonic=clock.now)
        yield ledger
        ledger._db.close()


@asynccontextmanager
async def workers(ledger: Books, count: int, *, most: int = 10) -> AsyncIterator[list[ProviderQuota]]:
    """The account in so many processes."""
    clock, members, quotas = LoopClock(), [], []
    for number in range(count):
        held: list[ProviderQuota] = []
        member = Membership(
            ledger,
            f"w{number}",
            clock=clock,
            most=most,
            held=lambda account, seconds, held=held: held[0].hold(seconds),
        )
        held.append(ProviderQuota("openai/m@x", rates=ledger, members=member, clock=clock))
        members.append(member)
        quotas += held
    yield quotas
    for member in members:
        await member.aclose()


def busiest(sent: list[tuple[float, float]]) -> float:
    """The most that any minute holds."""
    sent = sorted(sent)
    times, sums = [time for time, _ in sent], [0.0]
    for _, amount in sent:
        sums.append(sums[-1] + amount)
    return max(
        (sums[bisect.bisect_left(times, time + MINUTE)] - sums[n] for n, time in enumerate(times)), default=0
    )


async def sending(
    quota: ProviderQuota, sent: list[tuple[float, float]], until: float, rpm: float, pause: float = 0.0
) -> None:
    """One worker sends as fast as it may, or once every so many seconds."""
    clock, bucket = LoopClock(), quota.bucket("requests", rpm, told=True)
    while clock.now() < until:
        await bucket.acquire()
        sent.append((clock.now(), 1.0))
        await clock.sleep(pause)


async def run_all(*tasks: Awaitable[None]) -> None:
    await asyncio.gather(*tasks)


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 10),
    rpm=st.sampled_from([1, 7, 60, 61, 333]),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.3, 7.0]), min_size=10, max_size=10),
)
def test_no_minute_holds_more_than_the_limit(count: int, rpm: int, pauses: list[float]):
    """However many workers there are, and whatever they are about."""

    async def main() -> list[tuple[float, float]]:
        sent: list[tuple[float, float]] = []
        with books() as ledger:
            async with workers(ledger, count) as quotas:
                await run_all(*(sending(quota, sent, 150, rpm, pauses[n]) for n, quota in enumerate(quotas)))
        return sent

    assert busiest(simulate(main)) <= rpm


@pytest.mark.parametrize("count", [1, 4, 10])
@pytest.mark.parametrize("rpm", [60, 600, 6000])
def test_busy_workers_use_the_limit(count: int, rpm: int):
    """Above 95 % of it goes out, and no worker has much less than another."""

    async def main() -> tuple[float, list[int]]:
        sent: list[list[tuple[float, float]]] = [[] for _ in range(count)]
        with books() as ledger:
            async with workers(ledger, count) as quotas:
                await run_all(*(sending(quota, sent[n], 120, rpm) for n, quota in enumerate(quotas)))
        everything = [one for some in sent for one in some if 30 <= one[0] < 90]
        return len(everything) / rpm, [len(some) for some in sent]

    used, each = simulate(main)
    assert used > 0.95
    assert min(each) >= 0.8 * max(each) - 1


def test_the_ledger_is_asked_about_once_a_second():
    """A worker that sends a hundred times a second asks twice, its signs of life included."""

    async def main() -> int:
        sent: list[tuple[float, float]] = []
        with books() as ledger:
            async with workers(ledger, 1) as quotas:
                await sending(quotas[0], sent, 60, 6000)
            assert len(sent) > 5700
            return ledger.asked

    assert simulate(main) <= 60 * 2.3 + 10


def test_an_idle_workers_part_goes_to_the_others():
    """One of ten is busy, and has nearly all of the limit."""

    async def main() -> int:
        sent: list[tuple[float, float]] = []
        idle: list[tuple[float, float]] = []
        with books() as ledger:
            async with workers(ledger, 10) as quotas:
                await run_all(
                    sending(quotas[0], sent, 90, 600),
                    *(sending(quota, idle, 90, 600, pause=30) for quota in quotas[1:]),
                )
        return len([time for time, _ in sent if 30 <= time < 60])

    assert simulate(main) > 0.9 * 300


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(1, 10),
    rpm=st.sampled_from([7, 20, 60, 300]),
    gone=st.floats(20, 60),
    seconds=st.sampled_from([0.5, 3.0, 30.0, 70.0]),
    late=st.lists(st.floats(0, 3), min_size=10, max_size=10),
)
def test_the_limit_holds_while_the_ledger_comes_and_goes(
    count: int, rpm: int, gone: float, seconds: float, late: list[float]
):
    """Each keeps to its share, and leases again when it sees it; no minute holds more, over both transitions."""

    async def main() -> list[tuple[float, float]]:
        sent: list[tuple[float, float]] = []

        async def outage(ledger: Books) -> None:
            await asyncio.sleep(gone)
            ledger.away = True
            await asyncio.sleep(seconds)
            ledger.out_of_reach = {f"w{number}" for number in range(count)}
            ledger.away = False
            for pause, number in sorted((late[number], number) for number in range(count)):
                await asyncio.sleep(max(0.0, gone + seconds + pause - LoopClock().now()))
                ledger.out_of_reach.discard(f"w{number}")

        with books() as ledger:
            async with workers(ledger, count) as quotas:
                await run_all(outage(ledger), *(sending(quota, sent, 200, rpm) for quota in quotas))
        return sent

    sent = simulate(main)
    assert busiest(sent) <= rpm
    after = [time for time, _ in sent if gone + seconds + RETURN + 8 <= time < 195]
    assert len(after) >= 0.9 * rpm / 60 * (187 - gone - seconds - RETURN) - 2


def test_shares_together_are_the_limit():
    """While the ledger is away for long, all workers together send about as much as before, and as evenly."""

    async def main() -> list[float]:
        sent: list[tuple[float, float]] = []
        with books() as ledger:
            async with workers(ledger, 10) as quotas:

                async def outage() -> None:
                    await asyncio.sleep(20)
                    ledger.away = True

                await run_all(outage(), *(sending(quota, sent, 120, 600) for quota in quotas))
        return sorted(time for time, _ in sent if 40 <= time < 100)

    sent = simulate(main)
    assert len(sent) > 0.95 * 600
    assert min(after - before for before, after in pairwise(sent)) > 0.05


def test_who_never_reached_the_ledger_keeps_to_its_part_of_the_limit():
    """Of as many workers as there may be."""

    async def main() -> list[tuple[float, float]]:
        sent: list[tuple[float, float]] = []
        with books() as ledger:
            ledger.away = True
            async with workers(ledger, 1, most=6) as quotas:
                await sending(quotas[0], sent, 130, 60)
        return sent

    assert 8 <= busiest(simulate(main)) <= 10


async def test_a_pause_holds_all():
    """Whoever has seen it: the others hear of it with their next sign of life."""

    class Conditions:
        held: float = 0.0

        def hold(self, seconds: float) -> None:
            self.held = seconds

    here, there = Conditions(), Conditions()
    with books() as ledger:
        async with workers(ledger, 2) as quotas:
            assert quotas[0].joined(here.hold) == quotas[1].joined(there.hold) == 0
            for quota in quotas:
                await quota.bucket("requests", 600, told=True).acquire()
            quotas[0].paused(20.0)
            assert here.held == 20
            await asyncio.sleep(1.5)
            assert 18 < there.held < 20
            late = Conditions()
            assert 18 < quotas[1].joined(late.hold) < 20


@pytest.mark.parametrize("count", [1, 5])
def test_tokens_are_shared_by_rows(count: int):
    """Rows of different sizes: no minute holds more, and most of the limit is used."""
    tpm, sizes = 60_000, [200.0, 900.0, 450.0]

    async def row_by_row(quota: ProviderQuota, sent: list[tuple[float, float]], first: int) -> None:
        clock, bucket = LoopClock(), quota.bucket("tokens", tpm, told=True)
        number = first
        while clock.now() < 150:
            size = sizes[number % 3]
            await bucket.acquire(size, row=size)
            sent.append((clock.now(), size))
            number += 1

    async def main() -> list[tuple[float, float]]:
        sent: list[tuple[float, float]] = []
        with books() as ledger:
            async with workers(ledger, count) as quotas:
                await run_all(*(row_by_row(quota, sent, n) for n, quota in enumerate(quotas)))
        return sent

    sent = simulate(main)
    assert 0.9 * tpm < busiest(sent) <= tpm


async def test_a_pause_holds_those_who_know_no_limit():
    """Nobody has to lease anything to hear of it."""

    class Condition:
        held: float = 0.0

        def hold(self, seconds: float) -> None:
            self.held = seconds

    condition = Condition()
    with books() as ledger:
        async with workers(ledger, 2) as quotas:
            quotas[1].joined(condition.hold)
            quotas[0].paused(20.0)
            await asyncio.sleep(1.5)
            assert 18 < condition.held <= 20


async def test_the_lower_limit_holds():
    """Of what the user says and what the server says, whatever engine heard it; the next one knows."""
    with books() as ledger:
        async with workers(ledger, 1) as quotas:
            assert quotas[0].bucket("requests", 600, told=True).limit == 600
            assert quotas[0].bucket("requests", 100, told=False).limit == 100
            assert quotas[0].bucket("requests", 600, told=True).limit == 100
            assert quotas[0].limits == {"requests": 100}


async def test_who_gives_up_takes_nothing(monkeypatch: pytest.MonkeyPatch):
    """A row that moves to another endpoint while it waits leaves the slot to the next."""
    clock = LoopClock()
    with books() as ledger:
        async with workers(ledger, 1) as quotas:
            bucket = quotas[0].bucket("requests", 60, told=True)
            await bucket.acquire()
            gone = asyncio.ensure_future(bucket.acquire())
            stays = asyncio.ensure_future(bucket.acquire())
            await clock.sleep(0.1)
            gone.cancel()
            before = clock.now()
            await stays
            assert clock.now() - before < 1.1
