"""Requests per minute of a key, and the fields of an answer that tell of them."""

from __future__ import annotations

import asyncio
import sys

import pytest
from redis_server import RedisServer, redis_server

from llmx.errors import OutputFailed, UsageError
from llmx.quotas import RequestLimits, Standing, headers

__all__ = ["redis_server"]


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("redis_server").url if request.param == "redis" else None


async def test_a_minute_holds_so_many(url: str | None):
    """The next is told when to come again; other keys are not touched."""
    limits = RequestLimits(url)
    standings = [await limits.hit("mine", 3) for _ in range(5)]
    assert [standing.allowed for standing in standings] == [True, True, True, False, False]
    assert [standing.remaining for standing in standings] == [2, 1, 0, 0, 0]
    assert standings[2].retry_after is None
    assert 55 <= (standings[4].retry_after or 0) <= 60
    assert (await limits.hit("another's", 3)).remaining == 2
    await limits.aclose()


async def test_without_a_limit_nothing_is_counted(url: str | None):
    """And nothing is told."""
    limits = RequestLimits(url)
    standing = await limits.hit("mine", None)
    assert (standing.allowed, headers(standing)) == (True, {})
    await limits.aclose()


async def test_all_processes_count_together(redis_server: RedisServer):
    """A hundred requests at once, through five of them: as many pass as may."""
    everyone = [RequestLimits(redis_server.url) for _ in range(5)]
    standings = await asyncio.gather(*(limits.hit("mine", 30) for limits in everyone for _ in range(20)))
    assert sum(standing.allowed for standing in standings) == 30
    await asyncio.gather(*(limits.aclose() for limits in everyone))


async def test_a_redis_that_hangs_does_not_hold_the_loop(redis_server: RedisServer):
    """Others go on while it does not answer, and then it is an error of ours."""
    limits, turns = RequestLimits(redis_server.url), 0
    await limits.hit("mine", 30)
    redis_server.pause()
    waiting = asyncio.ensure_future(limits.hit("mine", 30))
    while not waiting.done():
        await asyncio.sleep(0.01)
        turns += 1
    redis_server.go_on()
    with pytest.raises(OutputFailed, match=r"cannot count requests at redis://127\.0\.0\.1"):
        await waiting
    assert turns > 20
    await limits.aclose()


def test_fields_of_an_answer():
    """As the draft has them, and Retry-After where a request is refused."""
    refused = Standing(False, 60, 0, 12.3, 13)
    assert headers(refused) == {
        "RateLimit-Policy": '"minute";q=60;w=60',
        "RateLimit": '"minute";r=0;t=13',
        "Retry-After": "13",
    }
    assert "Retry-After" not in headers(Standing(True, 60, 5, 12.3))


def test_a_missing_package_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch):
    """As one line with what to install."""
    for name in [name for name in sys.modules if name.split(".")[0] == "limits"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "limits", None)
    with pytest.raises(UsageError, match="need the package limits") as caught:
        RequestLimits()
    assert "the extra serve" in caught.value.hint
