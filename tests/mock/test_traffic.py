"""Traffic situations as a client meets them: limits that change, outages, cold servers, several keys."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import FakeClock

from llmx.mock import BrownOut, Latency, LimitsChange, Outage, Server

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
VERSION = {"anthropic_version": "2023-06-01"}


async def test_limits_enforced_by_the_second(
    start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock
) -> None:
    """The wait is the window's, the headers tell the minute."""
    server = await start(clock=clock, rpm=120, limit_window=1.0)
    assert [(await fetch(server, OPENAI, chat))[0] for _ in range(2)] == [200, 200]
    status, headers, _ = await fetch(server, OPENAI, chat)
    assert (status, headers["retry-after"]) == (429, "1")
    assert headers["x-ratelimit-limit-requests"] == "120"
    assert headers["x-ratelimit-remaining-requests"] == "118"
    await clock.advance(1)
    assert (await fetch(server, OPENAI, chat))[0] == 200


async def test_limits_change_with_time(
    start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock
) -> None:
    """From the first call, not from the start of the server; what was counted stays counted."""
    server = await start(clock=clock, rpm=2, limits_at=(LimitsChange(30.0, 3),))
    await clock.advance(100)
    assert [(await fetch(server, OPENAI, chat))[0] for _ in range(3)] == [200, 200, 429]
    await clock.advance(30)
    statuses = [await fetch(server, OPENAI, chat) for _ in range(2)]
    assert [status for status, _, _ in statuses] == [200, 429]
    assert statuses[0][1]["x-ratelimit-limit-requests"] == "3"


async def test_limits_may_begin_later(start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock) -> None:
    """Until then there are none, and no headers about them."""
    server = await start(clock=clock, limits_at=(LimitsChange(30.0, 2),))
    _, headers, _ = await fetch(server, OPENAI, chat)
    assert not [name for name in headers if "ratelimit" in name]
    await clock.advance(30)
    assert [(await fetch(server, OPENAI, chat))[0] for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("told", [False, True])
async def test_an_outage(
    start: Any, fetch: Any, chat: dict[str, Any], message: dict[str, Any], clock: FakeClock, told: bool
) -> None:
    """At once, whatever the latency, and with the seconds to its end where that was asked for."""
    settings = {"outages": (Outage(0.0, 9.5),), "outage_retry_after": told, "retry_after": "ms"}
    server = await start(clock=clock, latency=Latency(5, 5), rpm=5, **settings)
    status, headers, body = await fetch(server, OPENAI, chat)
    assert (status, body["error"]["type"]) == (503, "service_unavailable_error")
    assert headers.get("retry-after") == ("10" if told else None)
    assert not [name for name in headers if "ratelimit" in name]
    status, _, body = await fetch(server, ANTHROPIC, message, **VERSION)
    assert (status, body["error"]["type"]) == (503, "api_error")


async def test_an_outage_ends(start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock) -> None:
    """What was refused in it was neither charged nor counted against a limit."""
    server = await start(clock=clock, rpm=1, outages=(Outage(0.0, 10.0),))
    assert [(await fetch(server, OPENAI, chat))[0] for _ in range(2)] == [503, 503]
    assert (await fetch(server, "/v1/models"))[0] == 503
    await clock.advance(10)
    assert (await fetch(server, OPENAI, chat))[0] == 200
    assert server.stats()["admitted"][0][:2] == [10, 1]


async def test_a_brown_out(start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock) -> None:
    """Its share of the calls fails, by the clock of the first call."""
    server = await start(clock=clock, brown_outs=(BrownOut(10.0, 10.0, 0.5),))
    assert (await fetch(server, OPENAI, chat))[0] == 200
    await clock.advance(10)
    assert {(await fetch(server, OPENAI, chat))[0] for _ in range(20)} == {200, 503}
    await clock.advance(10)
    assert {(await fetch(server, OPENAI, chat))[0] for _ in range(20)} == {200}


async def test_a_slow_start(start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock) -> None:
    """The first call takes ten times as long."""
    server: Server = await start(clock=clock, latency=Latency(1, 1), slow_start=30.0)
    call = asyncio.create_task(fetch(server, OPENAI, chat))
    while server.stats()["in_flight"] < 1:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)
    await clock.advance(9.99)
    assert server.stats()["in_flight"] == 1
    await clock.advance(0.01)
    assert (await call)[0] == 200


@pytest.mark.parametrize("keys", [(), ("sk-one", "sk-two")])
async def test_every_key_has_its_own_limits(
    start: Any, fetch: Any, chat: dict[str, Any], message: dict[str, Any], keys: tuple[str, ...]
) -> None:
    """Whether the keys are given or any is accepted; stats count by number."""
    server = await start(rpm=1, keys=keys)
    statuses = [
        (await fetch(server, OPENAI, chat, authorization="Bearer sk-one"))[0],
        (await fetch(server, OPENAI, chat, authorization="Bearer sk-one"))[0],
        (await fetch(server, ANTHROPIC, message, x_api_key="sk-two", **VERSION))[0],
    ]
    assert statuses == [200, 429, 200]
    expected = {"key 1": {"calls": 2, "answered": 1}, "key 2": {"calls": 1, "answered": 1}}
    assert server.stats()["keys"] == expected


async def test_every_key_has_its_own_credit(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """One that is spent leaves the other's as it is."""
    server = await start(quota_after=1)
    headers = [{"authorization": f"Bearer {key}"} for key in ("one", "one", "two")]
    assert [(await fetch(server, OPENAI, chat, **each))[0] for each in headers] == [200, 429, 200]


async def test_a_wrong_key_has_no_account(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """It uses up nobody's limits and is in nobody's count."""
    server = await start(rpm=1, keys=("right",))
    status, headers, _ = await fetch(server, OPENAI, chat, authorization="Bearer wrong")
    assert (status, [name for name in headers if "ratelimit" in name]) == (401, [])
    assert server.stats()["keys"] == {"key 1": {"calls": 0, "answered": 0}}


@pytest.mark.parametrize(("limit", "subject"), [("itpm", "input"), ("otpm", "output")])
async def test_anthropics_separate_limits(
    start: Any,
    fetch: Any,
    chat: dict[str, Any],
    message: dict[str, Any],
    clock: FakeClock,
    limit: str,
    subject: str,
) -> None:
    """Each is told in its own headers and named when it is exceeded; OpenAI's format knows tokens only."""
    server = await start(clock=clock, **{limit: 100})
    _, headers, body = await fetch(server, ANTHROPIC, message, **VERSION)
    left = 100 - body["usage"][f"{subject}_tokens"]
    assert headers[f"anthropic-ratelimit-{subject}-tokens-remaining"] == str(left)
    assert "anthropic-ratelimit-tokens-limit" not in headers
    while (await fetch(server, ANTHROPIC, message, **VERSION))[0] == 200:
        pass
    _, headers, body = await fetch(server, ANTHROPIC, message, **VERSION)
    assert headers["retry-after"] == "60"
    assert f"100 {subject} tokens per minute" in body["error"]["message"]
    _, _, body = await fetch(server, OPENAI, chat)
    assert body["error"]["type"] == "tokens"


async def test_no_time_is_named(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """Neither in a header nor in words."""
    server = await start(rpm=1, retry_after="none", limit_headers=False)
    await fetch(server, OPENAI, chat)
    status, headers, body = await fetch(server, OPENAI, chat)
    assert (status, set(headers) & {"retry-after", "retry-after-ms"}) == (429, set())
    assert "try again" not in body["error"]["message"]


async def test_what_the_limits_admitted(
    start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock
) -> None:
    """By the second, failures of the server's own included, refusals not."""
    server = await start(clock=clock, rpm=2, fail_first=1)
    for _ in range(3):
        await fetch(server, OPENAI, chat)
    await clock.advance(60.5)
    _, _, body = await fetch(server, OPENAI, chat)
    tokens, stats = body["usage"]["total_tokens"], server.stats()
    assert stats["admitted"] == [[0, 2, 2 * tokens], [60, 1, tokens]]
    assert (stats["refused_by_limit"], stats["busiest_60s_answered"]) == (1, 2)


async def test_requests_that_are_too_large_are_not_refused_by_the_limit(
    start: Any, fetch: Any, chat: dict[str, Any]
) -> None:
    """Waiting would not help them."""
    server = await start(tpm=5)
    await fetch(server, OPENAI, chat)
    assert (server.stats()["refused_by_limit"], server.stats()["admitted"]) == (0, [])


async def test_a_reset_starts_the_clock_again(
    start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock
) -> None:
    """Schedules and accounts begin with the next call."""
    server = await start(clock=clock, outages=(Outage(0.0, 10.0),))
    assert (await fetch(server, OPENAI, chat))[0] == 503
    await clock.advance(10)
    await fetch(server, "/reset", {})
    assert server.stats()["keys"] == {}
    assert (await fetch(server, OPENAI, chat))[0] == 503
