"""What it refuses, limits, counts and remembers; both families, without an SDK in between."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import pytest
from fakes import FakeClock

from llmx.mock import Latency, Server, provider

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
VERSION = {"anthropic_version": "2023-06-01"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_with_and_without_v1(start: Any, fetch: Any, chat: dict[str, Any], path: str) -> None:
    """Base URLs are given both ways."""
    status, _, _ = await fetch(await start(), path, chat)
    assert status == 200


async def test_answers_depend_on_the_prompt_alone(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """Two servers agree; another prompt gets another answer."""
    asked = [chat, chat, chat | {"messages": [{"role": "user", "content": "something else entirely"}]}]
    bodies = [(await fetch(await start(), OPENAI, request))[2] for request in asked]
    contents = [body["choices"][0]["message"]["content"] for body in bodies]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, None),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody"}]}, "messages[0].role"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": "yes"}, "stream"),
        ({"n": 2}, "n"),
        ({"max_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "X", "schema": {"type": 1}}}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": {"function": {"name": "b"}}}, "tool_choice"),
    ],
)  # fmt: skip
async def test_bad_openai_requests(
    start: Any, fetch: Any, chat: dict[str, Any], change: Any, param: Any
) -> None:
    """Each is a 400 that names its parameter."""
    status, _, body = await fetch(await start(), OPENAI, chat | change)
    assert (400, "invalid_request_error", param) == (status, body["error"]["type"], body["error"]["param"])


@pytest.mark.parametrize(
    "change",
    [
        {"model": None},
        {"max_tokens": None},
        {"max_tokens": 0},
        {"messages": None},
        {"messages": []},
        {"messages": [{"role": "tool"}]},
        {"stream": "yes"},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"output_config": {"format": {"type": "json_schema", "schema": {"$ref": "#/nowhere"}}}},
        {"tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "b"}},
    ],
)
async def test_bad_anthropic_requests(start: Any, fetch: Any, message: dict[str, Any], change: Any) -> None:
    """Each is a 400 in Anthropic's form."""
    status, _, body = await fetch(await start(), ANTHROPIC, message | change, **VERSION)
    assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")


async def test_a_failure_of_its_own_is_a_500(
    start: Any,
    fetch: Any,
    chat: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug is said and logged; the connection goes on and the figures add up."""
    monkeypatch.setattr(provider, "answered", lambda *_: 1 // 0)
    server = await start()
    status, _, body = await fetch(server, OPENAI, chat)
    assert (status, body["error"]["type"]) == (500, "server_error")
    assert "ZeroDivisionError" in caplog.text
    assert (server.stats()["in_flight"], server.stats()["statuses"]) == (0, {"500": 1})


async def test_deep_messages_are_refused(start: Any, exchange: Any) -> None:
    """Hundreds of levels are a bad request, not a crash."""
    deep = b'{"content":[' * 450 + b"]}" * 450
    body = b'{"model":"mock","messages":[{"role":"user","content":[' + deep + b"]}]}"
    head = f"POST {OPENAI} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    raw = await exchange(await start(), head + body)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert b"nested too deeply" in raw


async def test_head_is_a_get_without_a_body(start: Any, exchange: Any) -> None:
    """Its own pages, too."""
    raw = await exchange(await start(), b"HEAD /stats HTTP/1.1\r\nconnection: close\r\n\r\n", answers=None)
    assert raw.startswith(b"HTTP/1.1 200 ")


async def test_anthropic_wants_its_version(start: Any, fetch: Any, message: dict[str, Any]) -> None:
    """As the real one does."""
    status, _, body = await fetch(await start(), ANTHROPIC, message)
    assert (status, body["error"]["message"]) == (400, "anthropic-version: header is required")


async def test_unknown_paths(start: Any, fetch: Any) -> None:
    """A wrong base URL is noticed."""
    status, _, body = await fetch(await start(), "/v2/chat/completions", {})
    assert (status, body["error"]["code"]) == (404, "unknown_url")


async def test_body_that_is_no_json(start: Any, exchange: Any) -> None:
    """It is a 400, and counted as a call."""
    server: Server = await start()
    raw = await exchange(server, b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 1\r\n\r\n{")
    assert raw.startswith(b"HTTP/1.1 400")
    assert server.stats()["statuses"] == {"400": 1}


async def test_limits_and_their_headers(
    start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock
) -> None:
    """The request over the limit waits exactly as long as it is told."""
    server = await start(clock=clock, rpm=2)
    await fetch(server, OPENAI, chat)
    await clock.advance(20)
    _, headers, _ = await fetch(server, OPENAI, chat)
    assert tuple(headers[f"x-ratelimit-{n}-requests"] for n in ("limit", "remaining", "reset")) == (
        "2",
        "0",
        "1m0s",
    )
    status, headers, body = await fetch(server, OPENAI, chat)
    assert (status, headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == (429, "40", "0")
    assert (body["error"]["code"], body["error"]["type"]) == ("rate_limit_exceeded", "requests")
    await clock.advance(40)
    assert (await fetch(server, OPENAI, chat))[0] == 200


async def test_token_limits_in_anthropics_words(
    start: Any, fetch: Any, message: dict[str, Any], clock: FakeClock
) -> None:
    """Input, output and all tokens are told; the wait in milliseconds where it is asked for."""
    server = await start(clock=clock, tpm=200, retry_after="ms")
    _, headers, body = await fetch(server, ANTHROPIC, message, **VERSION)
    used = body["usage"]["input_tokens"]
    assert str(200 - used) == headers["anthropic-ratelimit-input-tokens-remaining"]
    assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    for _ in range(10):
        status, headers, body = await fetch(server, ANTHROPIC, message, **VERSION)
    assert (status, body["error"]["type"], headers["retry-after-ms"]) == (429, "rate_limit_error", "60000")


async def test_requests_larger_than_the_limit(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """No wait is named, for none would help."""
    status, headers, body = await fetch(await start(tpm=5), OPENAI, chat)
    assert (status, body["error"]["type"]) == (429, "tokens")
    assert "retry-after" not in headers


async def test_limit_headers_can_be_left_out(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """Many compatible servers send none."""
    _, headers, _ = await fetch(await start(rpm=5, limit_headers=False), OPENAI, chat)
    assert not [name for name in headers if "ratelimit" in name]


async def test_errors_carry_limit_headers(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """Every response to a call tells where the limits stand."""
    status, headers, _ = await fetch(await start(rpm=5, fail_first=1), OPENAI, chat)
    assert (status, headers["x-ratelimit-remaining-requests"]) == (500, "4")


async def test_credit_ends(start: Any, fetch: Any, chat: dict[str, Any], message: dict[str, Any]) -> None:
    """After so many answers each family says so in its own way."""
    server = await start(quota_after=1, rpm=100)
    assert (await fetch(server, OPENAI, chat))[0] == 200
    status, headers, body = await fetch(server, OPENAI, chat)
    assert (status, body["error"]["code"]) == (429, "insufficient_quota")
    assert "retry-after" not in headers
    status, _, body = await fetch(server, ANTHROPIC, message, **VERSION)
    assert (status, "credit balance is too low" in body["error"]["message"]) == (400, True)


async def test_malformed_answers_until_the_reask(
    start: Any, fetch: Any, chat: dict[str, Any], schema: dict[str, Any]
) -> None:
    """Each conversation starts with a useless answer; asked again, the model does better."""
    server = await start(malformed_until=1)
    for name in ("Ada", "Grace"):
        first = chat | {"messages": [{"role": "user", "content": name}]}
        content = (await fetch(server, OPENAI, first))[2]["choices"][0]["message"]["content"]
        assert not _valid(content, schema)
        turns = [{"role": "assistant", "content": content}, {"role": "user", "content": "not valid"}]
        again = chat | {"messages": first["messages"] + turns}
        assert _valid((await fetch(server, OPENAI, again))[2]["choices"][0]["message"]["content"], schema)
    assert server.stats()["malformed"] == 2


@pytest.mark.parametrize("seed", range(6))
async def test_malformed_answers_are_malformed(
    start: Any, fetch: Any, chat: dict[str, Any], schema: dict[str, Any], seed: int
) -> None:
    """Prose, half of the JSON, or values of a wrong type."""
    _, _, body = await fetch(await start(malformed_rate=1.0, seed=seed), OPENAI, chat)
    assert not _valid(body["choices"][0]["message"]["content"], schema)


async def test_usage_can_tell_of_caching_and_reasoning(
    start: Any, fetch: Any, chat: dict[str, Any], message: dict[str, Any]
) -> None:
    """OpenAI includes cached tokens in the prompt's, Anthropic does not."""
    server = await start(cached_share=0.5, reasoning_tokens=7)
    usage = (await fetch(server, OPENAI, chat))[2]["usage"]
    assert usage["prompt_tokens"] // 2 == usage["prompt_tokens_details"]["cached_tokens"]
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 7
    usage = (await fetch(server, ANTHROPIC, message, **VERSION))[2]["usage"]
    assert abs(usage["input_tokens"] - usage["cache_read_input_tokens"]) <= 1


async def test_stats(start: Any, fetch: Any, chat: dict[str, Any], message: dict[str, Any]) -> None:
    """Calls are counted by status and endpoint, and identical bodies are noticed."""
    server = await start()
    usages = [(await fetch(server, OPENAI, chat))[2]["usage"] for _ in range(2)]
    await fetch(server, ANTHROPIC, message | {"max_tokens": 0}, **VERSION)
    _, _, stats = await fetch(server, "/stats")
    assert stats == server.stats()
    expected = {
        "calls": 3,
        "statuses": {"200": 2, "400": 1},
        "endpoints": {"/chat/completions": 2, "/messages": 1},
        "input_tokens": sum(usage["prompt_tokens"] for usage in usages),
        "output_tokens": sum(usage["completion_tokens"] for usage in usages),
        "in_flight": 0,
        "max_in_flight": 1,
        "busiest_60s_calls": 3,
        "busiest_1s_calls": 3,
        "busiest_60s_tokens": sum(usage["total_tokens"] for usage in usages),
        "refusals": 0,
        "malformed": 0,
        "distinct": 2,
        "duplicates": 1,
        "answered_again": 1,
        "refused_by_limit": 0,
        "abandoned": 0,
        "busiest_60s_answered": 2,
        "admitted": [[0, 2, sum(usage["total_tokens"] for usage in usages)]],
        "keys": {"no key": {"calls": 3, "answered": 2}},
    }
    assert expected == stats


async def test_calls_in_flight(start: Any, fetch: Any, chat: dict[str, Any], clock: FakeClock) -> None:
    """Calls that wait for their answer are in flight, and latency goes by the clock."""
    server: Server = await start(clock=clock, latency=Latency(2, 2))
    calls = [asyncio.create_task(fetch(server, OPENAI, chat)) for _ in range(3)]
    while server.stats()["in_flight"] < 3:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.001)
    await clock.advance(2)
    await asyncio.gather(*calls)
    assert (server.stats()["in_flight"], server.stats()["max_in_flight"]) == (0, 3)


async def test_the_log_remembers_bodies(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """The latest of them, for tests that look for what must not be sent."""
    server = await start(log=True, log_size=1)
    await fetch(server, OPENAI, chat | {"user": "first"})
    await fetch(server, OPENAI, chat, authorization="Bearer sk-secret")
    _, _, log = await fetch(server, "/log")
    assert log == {"requests": [{"path": OPENAI, "body": chat}]}


async def test_no_log_unless_asked_for(start: Any, fetch: Any) -> None:
    """Rows may be private."""
    status, _, _ = await fetch(await start(), "/log")
    assert status == 404


async def test_reset(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """Counts, limits, faults and log start over."""
    server = await start(log=True, rpm=1, fail_first=1)
    assert [(await fetch(server, OPENAI, chat))[0] for _ in range(2)] == [500, 429]
    assert (await fetch(server, "/reset", {}))[0] == 200
    assert server.stats()["calls"] == 0
    assert (await fetch(server, "/log"))[2] == {"requests": []}
    assert (await fetch(server, OPENAI, chat))[0] == 500


async def test_models_must_exist_and_keys_fit(start: Any, fetch: Any) -> None:
    """Listing models asks for a key like everything else."""
    server = await start(keys=("right",), models=("one", "two/b"))
    assert (await fetch(server, "/v1/models"))[0] == 401
    status, _, body = await fetch(server, "/v1/models", authorization="Bearer right")
    assert (status, [model["id"] for model in body["data"]]) == (200, ["one", "two/b"])
    assert (await fetch(server, "/v1/models/two%2Fb", authorization="Bearer right"))[0] == 200
    assert (await fetch(server, "/v1/models/three", authorization="Bearer right"))[0] == 404


async def test_keys_are_not_repeated(start: Any, fetch: Any, chat: dict[str, Any]) -> None:
    """An error about a key does not give it away."""
    _, _, body = await fetch(
        await start(keys=("right",)), OPENAI, chat, authorization="Bearer sk-wrong-secret"
    )
    assert "secret" not in str(body)


def _valid(content: str, schema: dict[str, Any]) -> bool:
    try:
        jsonschema.validate(json.loads(content), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True
