"""Both ledgers, an SQLite file and a Redis: what is lent, what is counted, and who is told what."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis_server import RedisServer, redis_server

from llmx.errors import OutputFailed, UsageError
from llmx.layers.budget import Amount
from llmx.quotas import KeyLimits, open_ledger
from llmx.quotas.embedded import EmbeddedLedger
from llmx.quotas.ledger import ALIVE, CELL, DAY, NONE, Ask, Measure, Report, measured
from llmx.quotas.redis import RedisLedger, shown
from llmx.quotas.slots import Pace, span
from llmx.quotas.slots import given as given_slots

__all__ = ["redis_server"]

Ledger = EmbeddedLedger | RedisLedger

LIMITS = KeyLimits("k", daily_tokens=1000, daily_cost=Decimal("0.5"))


@pytest.fixture(params=["file", "redis"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    where = (
        request.getfixturevalue("redis_server").url if request.param == "redis" else tmp_path / "ledger.db"
    )
    opened = open_ledger(where)
    yield opened
    await opened.aclose()


def tokens(number: int) -> Measure:
    return Measure(0, number)


# Budgets


async def test_what_is_wanted_is_lent_or_what_is_of_use_or_nothing(ledger: Ledger):
    """By what others have; and one that has too little knows that others hold some."""
    first = await ledger.lend("k", LIMITS, Report("a", NONE, NONE, tokens(800), tokens(100)))
    second = await ledger.lend("k", LIMITS, Report("b", NONE, NONE, tokens(400), tokens(150)))
    third = await ledger.lend("k", LIMITS, Report("c", NONE, NONE, tokens(400), tokens(100)))
    assert [lent.amount for lent in (first, second, third)] == [tokens(800), tokens(150), NONE]
    assert (first.others, third.others) == (False, True)
    assert third.balance.left == (Decimal("0.5"), 50)
    assert third.balance.held_tokens == 950


async def test_who_holds_some_is_told_that_it_is_wanted(ledger: Ledger):
    """Not the one who wants it."""
    await ledger.lend("k", LIMITS, Report("a", NONE, NONE, tokens(950), tokens(1)))
    refused = Report("b", NONE, NONE, tokens(100), tokens(100))
    assert not (await ledger.lend("k", LIMITS, refused)).wanted
    assert not (await ledger.lend("k", LIMITS, refused)).wanted
    assert (await ledger.lend("k", LIMITS, Report("a", NONE, tokens(950)))).wanted


async def test_a_report_counts_once(ledger: Ledger):
    """Said again, as after an answer that was lost, it changes nothing."""
    report = Report("a", Measure(10**8, 300), tokens(50))
    for _ in range(3):
        lent = await ledger.lend("k", LIMITS, report)
    assert (lent.balance.cost, lent.balance.tokens) == (Decimal("0.1"), 350)
    lent = await ledger.lend("k", LIMITS, Report("a", Measure(10**8, 320), NONE))
    assert lent.balance.tokens == 320


async def test_dollars_are_a_limit_of_their_own(ledger: Ledger):
    """To the nano-dollar."""
    lent = await ledger.lend("k", LIMITS, Report("a", NONE, NONE, Measure(5 * 10**8, 1), Measure(1, 1)))
    assert lent.amount == Measure(5 * 10**8, 1)
    lent = await ledger.lend("k", LIMITS, Report("b", NONE, NONE, Measure(1, 1), Measure(1, 1)))
    assert lent.amount == NONE
    lent = await ledger.lend("k", LIMITS, Report("b", NONE, NONE, Measure(0, 1), Measure(0, 1)))
    assert lent.amount == tokens(1)


async def test_keys_have_books_of_their_own(ledger: Ledger):
    """Whatever their names hold."""
    for name in ("k", "{k}", "k:spent", "ключ ☃", "a b'\"%"):
        lent = await ledger.lend(name, LIMITS, Report("a", tokens(100), NONE, tokens(900), tokens(900)))
        assert lent.amount == tokens(900)


async def test_a_key_without_limits_is_counted_all_the_same(ledger: Ledger):
    """And nothing is refused."""
    free = KeyLimits("k")
    lent = await ledger.lend("k", free, Report("a", tokens(10**9), NONE, tokens(10**9), NONE))
    assert lent.amount == tokens(10**9)
    assert (await ledger.standing("k", free)).left == (None, None)
    assert await ledger.fits("k", free, Amount(None, 10**12)) is None


async def test_an_estimate_that_does_not_fit_is_told_why(ledger: Ledger):
    """By each limit; and an unknown price fits into no number of dollars."""
    await ledger.lend("k", LIMITS, Report("a", Measure(10**8, 300), NONE))
    assert await ledger.fits("k", LIMITS, Amount(Decimal("0.4"), 700)) is None
    refusal = await ledger.fits("k", LIMITS, Amount(Decimal("0.45"), 701))
    assert refusal is not None
    assert refusal.message == (
        "the estimate does not fit: $0.4500 of the $0.4000 that are left of $0.5000 "
        "and 701 of the 700 tokens that are left of 1,000 in 24 hours"
    )
    assert refusal.balance.frees_at is not None
    unknown = await ledger.fits("k", LIMITS, Amount(None, 1))
    assert unknown is not None
    assert "the price is not known" in unknown.message
    assert await ledger.fits("k", KeyLimits("k", daily_tokens=1000), Amount(None, 700)) is None


async def test_what_a_ledger_has_answered_outlives_it(redis_server: RedisServer, tmp_path: Path):
    """A Redis that was killed, and a file that was closed."""
    for where in (redis_server.url, tmp_path / "ledger.db"):
        first = open_ledger(where)
        await first.lend("k", LIMITS, Report("a", Measure(10**8, 300), tokens(200)))
        await first.aclose()
        redis_server.kill()
        redis_server.start()
        second = open_ledger(where)
        standing = await second.standing("k", LIMITS)
        assert (standing.cost, standing.tokens, standing.held_tokens) == (Decimal("0.1"), 500, 200)
        await second.aclose()


@pytest.fixture
def clock() -> list[float]:
    """Of the wall and of the machine's uptime."""
    return [1_800_000_000.0, 50_000.0]


@pytest.fixture
async def book(tmp_path: Path, clock: list[float]) -> AsyncIterator[EmbeddedLedger]:
    ledger = EmbeddedLedger(tmp_path / "l.db", now=lambda: clock[0], monotonic=lambda: clock[1])
    yield ledger
    await ledger.aclose()


async def test_what_a_killed_process_held_counts_for_a_day(book: EmbeddedLedger, clock: list[float]):
    """It may have been billed; after some seconds nobody waits for it to come back."""
    await book.lend("k", LIMITS, Report("dead", NONE, NONE, tokens(600), tokens(600)))
    clock[0] += ALIVE + 1
    wish = Report("a", NONE, NONE, tokens(500), tokens(500))
    lent = await book.lend("k", LIMITS, wish)
    assert (lent.amount, lent.others) == (NONE, False)
    clock[0] += DAY
    lent = await book.lend("k", LIMITS, wish)
    assert lent.amount == NONE
    clock[0] += CELL
    assert (await book.lend("k", LIMITS, wish)).amount == tokens(500)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 400),
            st.floats(0, 1),
            st.sampled_from([1.0, 250.0, 9000.0, 40_000.0]),
        ),
        min_size=1,
        max_size=40,
    )
)
async def test_no_day_holds_more_than_the_limit(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, float, float]]
):
    """Four processes lend, use a part of it and go on; some wait for hours in between."""
    now = [1_800_000_000.0]
    book = EmbeddedLedger(
        tmp_path_factory.mktemp("law") / "l.db", now=lambda: now[0], monotonic=lambda: now[0]
    )
    used = [0] * 4
    spent: list[tuple[float, int]] = []
    for owner, want, share, pause in steps:
        wish = Report(f"p{owner}", tokens(used[owner]), NONE, tokens(want), NONE)
        lent = await book.lend("k", LIMITS, wish)
        use = int(lent.amount.tokens * share)
        spent.append((now[0], use))
        used[owner] += use
        now[0] += pause
        assert sum(amount for moment, amount in spent if moment > now[0] - DAY) <= 1000
    await book.aclose()


async def test_a_clock_that_was_put_back_frees_nothing(book: EmbeddedLedger, clock: list[float]):
    """What was spent ahead of it counts, too."""
    await book.lend("k", LIMITS, Report("a", tokens(900), NONE))
    clock[0] -= 3 * 3600
    assert (await book.standing("k", LIMITS)).tokens == 900


# Rates


ASK = Ask("a", "m", 600, span(tokens=False), wants=50)


async def test_slots_are_nobodys_twice(ledger: Ledger):
    """They follow each other, and who shares them has his part of a second."""
    first = await ledger.slots("m:requests", ASK)
    second = await ledger.slots("m:requests", Ask("b", "m", 600, span(tokens=False), wants=50))
    assert (first.start, first.amount, second.amount) == (0, 9, 4)
    assert first.pace == pytest.approx(61.5 / 600)
    assert second.start == pytest.approx(9 * first.pace, abs=0.5)
    assert second.start <= 9 * first.pace


async def test_a_pause_is_told(ledger: Ledger):
    """With every answer, and with every sign of life; the longer of two holds."""
    await ledger.pause("m", 20)
    await ledger.pause("m", 10)
    assert 15 < (await ledger.slots("m:requests", ASK)).held <= 20
    assert (await ledger.slots("n:requests", Ask("a", "n", 600, 61.5, 1))).held == 0
    assert 15 < (await ledger.meet("a")).held["m"] <= 20


async def test_redis_knows_who_is_there(redis_server: RedisServer):
    """In an order that all agree on, with a clock that all share."""
    ledger = RedisLedger(redis_server.url)
    await ledger.meet("b")
    met = await ledger.meet("a")
    assert met.workers == ["a", "b"]
    assert met.now > 1.7e9
    await ledger.aclose()


@settings(max_examples=50)
@given(
    asks=st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 7.0, 100.0]), st.integers(1, 300), st.sampled_from([0.0, 50.0, 400.0])
        ),
        min_size=1,
        max_size=20,
    )
)
async def test_both_ledgers_give_the_same_slots(asks: list[tuple[float, int, float]]):
    """The arithmetic leaves no gap between leases, nor lets two overlap."""
    pace, now, end = Pace(), 1000.0, 0.0
    for pause, wants, largest in asks:
        now += pause
        slots, pace = given_slots(pace, Ask("a", "m", 900, 63, wants, largest=largest), 1, now)
        assert now + slots.start >= end - 1e-6
        assert slots.amount >= 1
        end = now + slots.start + slots.amount * slots.pace
        assert pace.next == pytest.approx(end)


async def test_a_machine_that_was_started_anew_goes_on(book: EmbeddedLedger, clock: list[float]):
    """Its clock began at 0: what was given out before holds nobody for longer than it would have."""
    await book.slots("m:requests", ASK)
    await book.pause("m", 1000)
    clock[1] = 10.0
    slots = await book.slots("m:requests", ASK)
    assert slots.start < 1.5
    assert slots.held == 0


# What goes wrong


async def test_a_redis_that_is_not_there_is_an_error_of_ours():
    """One line that names it, without the password."""
    ledger = open_ledger("redis://user:secret@127.0.0.1:9/0")
    with pytest.raises(OutputFailed, match=r"cannot use the ledger at redis://127\.0\.0\.1:9/0: ") as caught:
        await ledger.standing("k", LIMITS)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    await ledger.aclose()


@pytest.mark.parametrize("url", ["http://x", "redis://x:port", "ftp://x/0"])
def test_a_url_that_is_none_is_refused(url: str):
    """Before anything is done."""
    with pytest.raises(UsageError, match="is no URL of a Redis"):
        open_ledger(url)


def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path):
    """It is an error that names it."""
    (tmp_path / "l.db").write_text("rows of mine\n" * 100)
    with pytest.raises(OutputFailed, match=r"cannot use the budgets in .*l\.db"):
        open_ledger(tmp_path / "l.db")
    assert (tmp_path / "l.db").read_text().startswith("rows of mine")


def test_the_file_is_its_owners(tmp_path: Path):
    """As those of the named budgets."""
    open_ledger(tmp_path / "new" / "l.db")
    assert stat.S_IMODE((tmp_path / "new" / "l.db").stat().st_mode) == 0o600


def test_a_password_is_shown_to_nobody():
    """Nor is a user's name."""
    assert shown("rediss://me:s3cret@host:6380/2?ssl_cert_reqs=none") == "rediss://host:6380/2"


def test_amounts_are_rounded_up():
    """A nano-dollar is the least that counts."""
    assert measured(Amount(Decimal("0.0000000001"), 5)) == Measure(1, 5)
    assert measured(Amount(None, 5)) == Measure(0, 5)


@pytest.mark.parametrize(
    "limits",
    [
        {"rpm": 0},
        {"daily_tokens": -1},
        {"daily_cost": Decimal("NaN")},
        {"daily_cost": Decimal(10**7)},
        {"name": ""},
    ],
)
def test_limits_that_are_none_are_refused(limits: dict[str, object]):
    """As a mistake of whoever wrote them."""
    with pytest.raises(ValueError, match=r"\w"):
        KeyLimits(**{"name": "k", **limits})  # type: ignore[arg-type]  # what is wrong is the point


async def test_a_cancellation_that_the_client_swallows_is_raised() -> None:
    """A process that ends must not talk to its ledger for ever."""
    ledger = RedisLedger("redis://127.0.0.1:1/0")

    async def swallows(**_: object) -> list[object]:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return ["0", [], []]

    ledger._scripts["meet"] = swallows
    task = asyncio.create_task(ledger.meet("me"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=10)
    assert task.cancelled()
    await ledger.aclose()
