"""The retry budget: few retries while most attempts fail, and as many as are wanted otherwise."""

from __future__ import annotations

import asyncio

import pytest
from fakes import LoopClock, a_request
from gated import Endpoint
from hypothesis import given
from hypothesis import strategies as st

from llmx.errors import ServerError
from llmx.layers.retry_budget import RetryBudget
from llmx.types import Completion, Request


def taken(budget: RetryBudget, now: float, failing: float, times: int) -> int:
    """How many of so many retries may be made now."""
    return sum(budget.take(now, failing) == 0 for _ in range(times))


def test_retries_are_free_while_few_fail():
    """Up to half of the attempts."""
    assert taken(RetryBudget(), 0.0, 0.5, 500) == 500


@pytest.mark.parametrize("firsts", [0, 5, 200, 1000])
def test_while_most_fail_a_tenth_may_be_retried(firsts: int):
    """And ten in any case."""
    budget = RetryBudget()
    for _ in range(firsts):
        budget.first(0.0)
    assert taken(budget, 1.0, 0.51, 500) == pytest.approx(firsts / 10 + 10, abs=0.5)


def test_who_is_over_it_is_told_to_ask_again():
    """After a while, until the retries of a minute ago are forgotten."""
    budget = RetryBudget()
    assert taken(budget, 0.0, 1.0, 10) == 10
    assert 0 < budget.take(30.0, 1.0) <= 1
    assert budget.take(61.0, 1.0) == 0


def test_it_is_over_when_less_fails():
    """Those that were made meanwhile still count, when it begins again."""
    budget = RetryBudget()
    assert taken(budget, 0.0, 0.2, 50) == 50
    assert taken(budget, 1.0, 0.9, 50) == 0
    assert taken(budget, 2.0, 0.2, 50) == 50


events = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 30), st.integers(0, 30)), max_size=60)


@given(events=events)
def test_no_minute_holds_more_than_a_tenth_and_ten(events):
    """Whatever is asked when, in any minute that ends with one (to the quarter second that is counted in)."""
    budget, now = RetryBudget(), 0.0
    firsts: list[float] = []
    retries: list[float] = []
    for after, new, again in events:
        now += after
        for _ in range(new):
            budget.first(now)
            firsts.append(now)
        more = taken(budget, now, 1.0, again)
        retries += [now] * more
        minute = [at for at in retries if at > now - 59.75]
        assert not more or len(minute) <= 0.1 * len([at for at in firsts if at > now - 60]) + 11


@pytest.mark.simulated_time
async def test_retries_of_an_outage_are_delayed_and_none_fails():
    """Over a gate whose server fails seven of ten: few retries a minute, and every row is answered in the end."""
    endpoint = Endpoint()
    endpoint.breaker.failed = lambda *args, **named: False  # type: ignore[method-assign]  # only the budget holds
    endpoint.breaker.failing = lambda now: 0.7  # type: ignore[method-assign]
    calls: list[tuple[float, bool]] = []
    seen: dict[str, int] = {}

    async def server(request: Request) -> Completion:
        seen[request.fingerprint] = count = seen.get(request.fingerprint, 0) + 1
        calls.append((LoopClock().now(), count > 1))
        if count < 4 and int(request.fingerprint) % 10 < 7:
            raise ServerError("500")
        return Completion("{}", usage=a_request().tally.usage, model="m")

    handler = endpoint.retrying(server, retries=5)
    await asyncio.gather(*(handler(a_request(str(n))) for n in range(100)))
    retries = [at for at, again in calls if again]
    assert len(retries) == 70 * 3
    for begin in retries:
        assert sum(begin <= at < begin + 59.5 for at in retries) <= 0.1 * 100 + 10
    assert LoopClock().now() > 10 * 60
