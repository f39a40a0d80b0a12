"""OpenAI's wire format over a real socket, with the real SDK."""

from __future__ import annotations

import asyncio
import ssl
from decimal import Decimal

import pytest
import trustme
from scripted import ANSWER, KEYS, MESSAGES, Reply, chat, env_with

from llmx.errors import (
    ConnectionFailed,
    QuotaSpent,
    RateLimited,
    RequestRejected,
    RowRefused,
    ServerError,
    UnknownModel,
)
from llmx.pricing import price
from llmx.types import Usage


async def test_a_call(caller, server):
    """The body goes out as the codec made it, with the key; the answer's text, usage and model come back."""
    server.reply = Reply(chat())
    endpoint = await caller.connect("openai/gpt-4o-mini")
    completion = await caller.ask(endpoint)
    received = server.received[0]
    assert (received.method, received.path) == ("POST", "/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEYS['OPENAI_API_KEY']}"
    assert {"model", "max_tokens", "response_format", "messages"} == set(received.body)
    assert received.body["response_format"]["json_schema"]["strict"] is True
    assert (completion.text, completion.finish, completion.model) == (
        ANSWER,
        "stop",
        "gpt-4o-mini-2024-07-18",
    )
    assert completion.body == chat()
    assert endpoint.codec.parse(completion).age == 41


async def test_the_endpoint(caller, server):
    """It says what it is, for fingerprints and for people."""
    endpoint = await caller.connect("openai/gpt-4o-mini")
    expected = (f"openai {server.url}", "openai/gpt-4o-mini", "json_schema", None)
    assert expected == (endpoint.id, endpoint.label, endpoint.mode, endpoint.concurrency)


async def test_tool_arguments_are_the_text(caller, server):
    """In tools mode the answer is in the tool call, whether its arguments are text or an object."""
    endpoint = await caller.connect("openai/gpt-4o-mini", mode="tools")
    server.reply = Reply(chat(None, tool=ANSWER, finish="tool_calls"))
    assert ((completion := await caller.ask(endpoint)).finish, completion.text) == ("stop", ANSWER)
    server.reply = Reply(chat(None, tool={"name": "Ann", "age": 41}))
    assert (await caller.ask(endpoint)).text == ANSWER


async def test_answers_by_instruction_may_have_prose_around_them(caller, server):
    """A provider that only knows Markdown JSON: the JSON is taken out of the answer."""
    server.reply = Reply(chat(f"Here it is:\n```json\n{ANSWER}\n```\n"))
    env = env_with(PERPLEXITY_API_KEY="k")
    endpoint = await caller.connect("perplexity/sonar", env=env)
    completion = await caller.ask(endpoint)
    assert (endpoint.mode, endpoint.codec.parse(completion).age) == ("md_json", 41)


@pytest.mark.parametrize(
    ("body", "finish", "text"),
    [
        (chat('{"name":', finish="length"), "length", '{"name":'),
        (chat(None, finish="content_filter"), "refusal", ""),
        (chat(None, finish="eos"), "other", ""),
        (chat([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "stop", "ab"),
    ],
)
async def test_why_it_stopped(caller, server, body, finish, text):
    """Cut, filtered and odd answers are told apart."""
    server.reply = Reply(body)
    completion = await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    assert (finish, text) == (completion.finish, completion.text)


async def test_a_refusal_in_the_message(caller, server):
    """A model that declines in words of its own."""
    body = chat(None)
    body["choices"][0]["message"]["refusal"] = "I cannot help with that."
    server.reply = Reply(body)
    completion = await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    assert (completion.finish, completion.text) == ("refusal", "I cannot help with that.")


async def test_usage(caller, server):
    """Cached and reasoning tokens are parts of the prompt's and the completion's."""
    counts = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    server.reply = Reply(chat(usage=counts))
    completion = await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    expected = Usage(input_tokens=100, output_tokens=50, cached_tokens=60, reasoning_tokens=30, cost=None)
    assert expected == completion.usage


@pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": "many"}, {"prompt_tokens": [1]}])
async def test_a_server_that_does_not_count(caller, server, usage):
    """No usage, or none in numbers: no tokens, and a cost that is unknown."""
    server.reply = Reply({**chat(), "usage": usage})
    assert Usage(cost=None) == (await caller.ask(await caller.connect("openai/gpt-4o-mini"))).usage


def test_the_providers_own_address_has_a_price():
    """What a call to api.openai.com costs."""
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert price("gpt-4o-mini", "openai", "https://api.openai.com/v1", usage) == Decimal("0.15")


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (429, {"message": "slow down", "type": "requests"}, RateLimited),
        (429, {"message": "pay", "code": "insufficient_quota"}, QuotaSpent),
        (404, {"message": "no such model"}, UnknownModel),
        (400, {"message": "too long", "code": "context_length_exceeded", "param": "messages"}, RowRefused),
        (400, {"message": "bad schema", "param": "response_format"}, RequestRejected),
        (500, {"message": "oops"}, ServerError),
    ],
)
async def test_errors(caller, server, status, error, expected):
    """An error answer is one call, and an error of ours."""
    server.reply = Reply({"error": error}, status, {"retry-after-ms": "1500"})
    endpoint = await caller.connect("openai/gpt-4o-mini")
    with pytest.raises(expected) as caught:
        await caller.ask(endpoint)
    assert (1, type(caught.value)) == (len(server.received), expected)
    assert getattr(caught.value, "retry_after", None) in (None, 1.5)


async def test_an_error_inside_a_200(caller, server):
    """Gateways wrap the failure of the provider behind them into a success."""
    server.reply = Reply({"error": {"message": "upstream is busy", "code": 429}})
    with pytest.raises(RateLimited, match="upstream is busy"):
        await caller.ask(await caller.connect("openai/gpt-4o-mini"))


@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[]", b'{"choices":[]}', b'{"choices":[{}]}', b'{"choi']
)
async def test_something_else_than_a_completion(caller, server, body):
    """It is the server's fault and worth another attempt."""
    server.reply = Reply(body)
    with pytest.raises(ServerError, match="answered 200") as caught:
        await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    assert caught.value.maybe_billed


@pytest.mark.parametrize("cut", [0, 30, 200])
async def test_a_dropped_connection(caller, server, cut):
    """Before, within the head of, and within the body of an answer: a failed connection, not a timeout."""
    server.reply = Reply(chat(), cut=cut)
    with pytest.raises(ConnectionFailed):
        await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    assert len(server.received) == 1


async def test_nobody_listens(caller, unused_tcp_port):
    """The address is named, with what the system said."""
    endpoint = await caller.connect("openai/gpt-4o-mini", base_url=f"http://127.0.0.1:{unused_tcp_port}")
    with pytest.raises(
        ConnectionFailed, match=f"no answer from http://127.0.0.1:{unused_tcp_port}: .*refused|failed"
    ):
        await caller.ask(endpoint)


async def test_redirects_are_not_followed(caller, server):
    """A 307 elsewhere must not send the row, and the key, on."""
    server.reply = Reply({}, 307, {"location": f"{server.url}/elsewhere"})
    with pytest.raises(RequestRejected, match="redirects"):
        await caller.ask(await caller.connect("openai/gpt-4o-mini"))
    assert [received.path for received in server.received] == ["/chat/completions"]


async def test_a_lone_surrogate_is_this_rows_fault(caller, server):
    """It cannot be encoded: the row is refused and nothing is sent."""
    endpoint = await caller.connect("openai/gpt-4o-mini")
    body = {**endpoint.codec.prepare(MESSAGES), "messages": [{"role": "user", "content": "\ud800"}]}
    with pytest.raises(RowRefused, match="surrogate"):
        await caller.ask(endpoint, body)
    assert server.received == []


async def test_a_cancelled_call_is_cancelled(caller, server):
    """The timeout layer's cancellation passes through as it is."""
    started = asyncio.Event()

    def hang(request):
        started.set()
        return Reply(chat(), headers={"content-length": "100000"})

    server.reply = hang
    task = asyncio.create_task(caller.ask(await caller.connect("openai/gpt-4o-mini")))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_certificates_are_checked(caller):
    """A server whose certificate nobody we trust has signed gets no row."""
    reached: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read())
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as impostor:
        port = impostor.sockets[0].getsockname()[1]
        endpoint = await caller.connect("openai/gpt-4o-mini", base_url=f"https://127.0.0.1:{port}")
        with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await caller.ask(endpoint)
    assert b"".join(reached) == b""


async def test_many_calls_at_once(caller, server):
    """More calls in flight than any default pool holds, all with their own answer."""
    server.reply = Reply(chat())
    endpoint = await caller.connect("openai/gpt-4o-mini")
    completions = await asyncio.gather(*(caller.ask(endpoint) for _ in range(300)))
    assert (300, {ANSWER}) == (len(server.received), {c.text for c in completions})


async def test_openai_compatible_providers(caller, server):
    """They get their own key, and OpenAI's older name for the output cap."""
    server.reply = Reply(chat(None, tool=ANSWER))
    endpoint = await caller.connect("deepseek/deepseek-chat")
    completion = await caller.ask(endpoint)
    received = server.received[0]
    assert received.headers["authorization"] == f"Bearer {KEYS['DEEPSEEK_API_KEY']}"
    assert (endpoint.mode, received.body["max_tokens"], completion.text) == ("tools", 4096, ANSWER)


async def test_azure_puts_the_deployment_into_the_path(caller, server):
    """The SDK's own client for Azure does it, from the body's model."""
    server.reply = Reply(chat())
    env = env_with(AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_ENDPOINT=server.url)
    endpoint = await caller.connect("azure_openai/my-deployment", env=env, base_url=None)
    await caller.ask(endpoint)
    received = server.received[0]
    assert received.path.startswith("/openai/deployments/my-deployment/chat/completions?api-version=")
    assert received.headers["api-key"] == "k"


async def test_azures_client_does_not_retry(caller, server):
    """It is another class of the SDK, with a setting of its own."""
    server.reply = Reply({"error": {"message": "oops"}}, 500)
    env = env_with(AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_ENDPOINT=server.url)
    with pytest.raises(ServerError):
        await caller.ask(await caller.connect("azure_openai/my-deployment", env=env, base_url=None))
    assert len(server.received) == 1


async def test_proxies_from_the_environment(caller, server, monkeypatch):
    """A call goes to the proxy, which is told the whole address."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.reply = Reply(chat())
    endpoint = await caller.connect("openai/gpt-4o-mini", base_url="http://api.example.test/v1")
    assert (await caller.ask(endpoint)).text == ANSWER
    assert server.received[0].path == "http://api.example.test/v1/chat/completions"
