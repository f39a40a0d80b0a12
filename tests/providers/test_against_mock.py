"""The real SDKs against `llmx mock`, in both wire formats."""

from __future__ import annotations

import pytest
from scripted import KEYS, MESSAGES, env_with

from llmx.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    QuotaSpent,
    RateLimited,
    ServerError,
    UnknownModel,
)
from llmx.mock import MockSettings, serve
from llmx.providers import connect
from llmx.types import Request

OPENAI = ("openai/gpt-4o-mini", "/v1")
GROQ = ("groq/llama-3.3-70b-versatile", "")
CLAUDE = ("anthropic/claude-haiku-4-5", "")


async def ask(settings, person, where, *, mode="auto", calls=1):
    """The endpoint, and the last of so many calls to a fresh mock server."""
    spec, path = where
    async with await serve(settings) as server:
        endpoint = await connect(spec, person, env=env_with(**KEYS), base_url=server.url + path, mode=mode)
        request = Request(endpoint.id, endpoint.model, endpoint.codec.prepare(MESSAGES), "f", row="the row")
        try:
            for _ in range(calls):
                completion = await endpoint.provider.complete(request)
        finally:
            await endpoint.provider.aclose()
    return endpoint, request, completion


@pytest.mark.parametrize("mode", ["json_schema", "tools", "json"])
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_an_answer_validates(person, where, mode):
    """In every mode, with its usage counted."""
    endpoint, _, completion = await ask(MockSettings(), person, where, mode=mode)
    assert isinstance(endpoint.codec.parse(completion), person.model)
    assert completion.usage.input_tokens > 0
    assert completion.usage.output_tokens > 0


@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_cached_tokens_are_part_of_the_input(person, where):
    """Both formats count them differently; here they mean one thing."""
    usage = (await ask(MockSettings(cached_share=0.5), person, where))[2].usage
    plain = (await ask(MockSettings(), person, where))[2].usage
    assert usage.input_tokens == plain.input_tokens
    assert 0 < usage.cached_tokens < usage.input_tokens


@pytest.mark.parametrize(
    ("settings", "calls", "expected"),
    [
        (MockSettings(keys=("another",)), 1, AuthenticationFailed),
        (MockSettings(models=("another",)), 1, UnknownModel),
        (MockSettings(rpm=1), 3, RateLimited),
        (MockSettings(rpm=1, retry_after="ms"), 3, RateLimited),
        (MockSettings(rpm=1, retry_after="date"), 3, RateLimited),
        (MockSettings(quota_after=0), 1, QuotaSpent),
        (MockSettings(fail_first=1), 1, ServerError),
        (MockSettings(error_rate=1.0), 1, ServerError),
        (MockSettings(drop_rate=1.0), 1, ConnectionFailed),
    ],
)
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_what_goes_wrong(person, where, settings, calls, expected):
    """Each of the mock's faults is the error of ours that it stands for."""
    with pytest.raises(expected) as caught:
        await ask(settings, person, where, calls=calls)
    if expected is RateLimited:
        assert caught.value.retry_after is not None


@pytest.mark.parametrize("where", [OPENAI, CLAUDE, GROQ])
async def test_a_connection_that_breaks_may_have_been_billed(person, where):
    """The server has read the request, and hangs up."""
    with pytest.raises(ConnectionFailed) as caught:
        await ask(MockSettings(drop_rate=1.0), person, where)
    assert caught.value.maybe_billed


@pytest.mark.parametrize("where", [OPENAI, CLAUDE, GROQ])
async def test_a_connection_that_never_was_has_billed_nothing(person, where):
    """Nobody listens there: the request has not left."""
    async with await serve(MockSettings()) as gone:
        address = gone.url + where[1]
    endpoint = await connect(where[0], person, env=env_with(**KEYS), base_url=address)
    request = Request(endpoint.id, endpoint.model, endpoint.codec.prepare(MESSAGES), "f", row="the row")
    with pytest.raises(ConnectionFailed) as caught:
        await endpoint.provider.complete(request)
    await endpoint.provider.aclose()
    assert not caught.value.maybe_billed


@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_a_refusal(person, where):
    """A model that declines is no error of the call."""
    assert (await ask(MockSettings(refusal_rate=1.0), person, where))[2].finish == "refusal"


@pytest.mark.parametrize("mode", ["json_schema", "tools", "json"])
@pytest.mark.parametrize("where", [OPENAI, CLAUDE])
async def test_a_reask_mends_a_malformed_answer(person, where, mode):
    """The mock answers well once it is shown its error: the conversation is one it understands."""
    spec, path = where
    async with await serve(MockSettings(malformed_until=1)) as server:
        endpoint = await connect(spec, person, env=env_with(**KEYS), base_url=server.url + path, mode=mode)
        body = endpoint.codec.prepare(MESSAGES)
        bad = await endpoint.provider.complete(Request(endpoint.id, endpoint.model, body, "f"))
        with pytest.raises(ValueError) as caught:  # noqa: PT011  whatever is wrong with it
            endpoint.codec.parse(bad)
        again = endpoint.codec.reask(body, bad, caught.value)
        good = await endpoint.provider.complete(Request(endpoint.id, endpoint.model, again, "g"))
        await endpoint.provider.aclose()
    assert isinstance(endpoint.codec.parse(good), person.model)
