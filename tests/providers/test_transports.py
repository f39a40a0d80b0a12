"""Our own transport and the SDKs' are one on the wire; bodies as forms, and their plans on disk, are what was built."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import socket
import ssl
import stat
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model
from scripted import (
    ANSWER,
    KEYS,
    MESSAGES,
    Caller,
    Person,
    Received,
    Reply,
    Scripted,
    chat,
    env_with,
    message,
)

import llmx.providers.anthropic
import llmx.providers.openai
from llmx.caches.fingerprint import fingerprint, fingerprinter
from llmx.errors import LlmxError, UsageError
from llmx.providers import CATALOG, Endpoint, http, parse_model, plans
from llmx.providers.anthropic import messages_codec
from llmx.providers.codec import HandlerCodec, modes_of
from llmx.providers.forms import Body, Filled, FormError, RequestPlan, caps_in, encoded, planned, size_of
from llmx.providers.modes import choose
from llmx.providers.openai import chat_codec
from llmx.providers.plans import kept
from llmx.providers.transports import custom_headers, is_proxied
from llmx.schemas import Schema, schema_of

OPENAI = "openai/gpt-4o-mini"
CLAUDE = "anthropic/claude-haiku-4-5"
SPECS = [OPENAI, CLAUDE]
MODES = ["json_schema", "tools", "json"]
ANSWERS = {OPENAI: chat(), CLAUDE: message()}

INDIFFERENT = frozenset({"user-agent", "accept-encoding", "connection", "content-length"})
"""Headers that say who asks and how the bytes come: beside them only the SDKs' x-stainless-… may differ."""


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch) -> None:
    """The machine's own proxies are none of these tests'."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@dataclass
class Both:
    """An endpoint over our own transport, and the same one over the SDK."""

    caller: Caller
    lean: Endpoint
    sdk: Endpoint

    async def told(self, body: Mapping[str, Any] | None = None) -> tuple[Any, Any]:
        """What a call comes to over either."""
        return await told(self.caller, self.lean, body), await told(self.caller, self.sdk, body)


async def told(caller: Caller, endpoint: Endpoint, body: Mapping[str, Any] | None = None) -> Any:
    """A call's completion, or all that its error tells the layers above and the user."""
    try:
        return await caller.ask(endpoint, body)
    except LlmxError as error:
        billed, wait = getattr(error, "maybe_billed", None), getattr(error, "retry_after", None)
        return type(error).__name__, billed, wait, error.hint, str(error)


def but_for_words(outcome: Any) -> Any:
    """The same without the error's message."""
    return outcome[:-1] if isinstance(outcome, tuple) else outcome


Connect = Callable[..., Awaitable[Both]]


@pytest.fixture
def both(caller) -> Connect:
    async def connect(spec: str, **options: Any) -> Both:
        lean = await caller.connect(spec, transport="auto", **options)
        return Both(caller, lean, await caller.connect(spec, transport="sdk", **options))

    return connect


@dataclass
class Raw:
    """A server that says some bytes to whatever it is asked, and hangs up."""

    url: str
    says: bytes = b""


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    talking: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(server.says)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.create_task(talk(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    server = Raw(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
    yield server
    listener.close()
    await asyncio.gather(*talking)
    await listener.wait_closed()


def response(content: bytes, *lines: str, status: str = "200 OK", length: bool = True) -> bytes:
    """A response in bytes."""
    given_lines = [*lines, f"Content-Length: {len(content)}"] if length else lines
    return "\r\n".join([f"HTTP/1.1 {status}", *given_lines, "", ""]).encode() + content


# Requests


def compared(received: Received) -> tuple[str, str, dict[str, str], Any]:
    """Whatever of a request a server may judge by."""
    headers = {
        name: value
        for name, value in received.headers.items()
        if name not in INDIFFERENT and not name.startswith("x-stainless-")
    }
    return received.method, received.path, headers, received.body


async def requests_of(server: Scripted, both_ways: Both, body: Mapping[str, Any] | None = None) -> list[Any]:
    """The request over our own transport and the one over the SDK."""
    for outcome in await both_ways.told(body):
        assert not isinstance(outcome, tuple), outcome
    agents = [received.headers["user-agent"].startswith("llmx/") for received in server.received]
    assert [True, False] == agents
    return [compared(received) for received in server.received]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_send_the_same_request(server, both, spec, mode):
    """Method, path, headers and body: whatever a server may judge by."""
    server.reply = Reply(ANSWERS[spec])
    lean, sdk = await requests_of(server, await both(spec, mode=mode, temperature=0.5))
    assert lean == sdk


@pytest.mark.parametrize("text", ["", "grün 日本 🙂", 'a "b" \\ \n\t\x00\x7f\u2028', "x" * 100_000])
@pytest.mark.parametrize("spec", SPECS)
async def test_both_send_the_same_text(server, both, spec, text):
    """A row arrives as it is, whatever is in it."""
    server.reply = Reply(ANSWERS[spec])
    ways = await both(spec)
    lean, sdk = await requests_of(
        server, ways, ways.lean.codec.prepare([*MESSAGES[:-1], {**MESSAGES[-1], "content": text}])
    )
    assert (lean, text) == (sdk, lean[3]["messages"][-1]["content"])


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/", "/a/b//c", "/a%20b/v1", "/prüf/v1", "/日本", '/"|{}']
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_send_to_the_same_path(server, both, spec, path):
    """An address may have any path, with whatever characters."""
    server.reply = Reply(ANSWERS[spec])
    lean, sdk = await requests_of(server, await both(spec, base_url=server.url + path))
    assert lean == sdk


BEARER = {"ANTHROPIC_AUTH_TOKEN": "a-token-of-somebody"}
LINES = "X-One: 1\n X-Two : two: 2 \r\nno header\n\nX-Three:\nX-Four: a b"


@pytest.mark.parametrize(
    ("spec", "keys", "variables"),
    [
        (OPENAI, {}, {}),
        (OPENAI, KEYS, {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"}),
        (OPENAI, KEYS, {"OPENAI_ORG_ID": "", "OPENAI_PROJECT_ID": ""}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": LINES}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": ""}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": "Authorization: Basic dTpw"}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": "Content-Type: application/json; charset=utf-8"}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": "Accept: */*\nX-One: 1\nX-One: 2"}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": "OpenAI-Organization: org-2", "OPENAI_ORG_ID": "org-1"}),
        (OPENAI, KEYS, {"OPENAI_CUSTOM_HEADERS": "host: gateway.test"}),
        (OPENAI, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "X-One: 1"} | BEARER),
        (CLAUDE, {}, {}),
        (CLAUDE, {}, BEARER),
        (CLAUDE, KEYS, BEARER),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": LINES}),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "Authorization: Basic dTpw"}),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "authorization: Basic dTpw\nx-api-key: k"}),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "content-type: application/json; charset=utf-8"}),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "Anthropic-Version: 2023-01-01\nanthropic-beta: b"}),
        (CLAUDE, KEYS, {"ANTHROPIC_CUSTOM_HEADERS": "Host: gateway.test"}),
        (CLAUDE, KEYS, {"OPENAI_CUSTOM_HEADERS": "X-One: 1", "OPENAI_ORG_ID": "org-1"}),
    ],
)
async def test_both_send_the_headers_of_the_environment(server, both, monkeypatch, spec, keys, variables):
    """Keys, organisations and headers of the user's own come from the SDKs' variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server.reply = Reply(ANSWERS[spec])
    lean, sdk = await requests_of(server, await both(spec, env=env_with(**keys, **variables)))
    assert lean == sdk


async def test_a_header_of_the_users_own_is_written_in_any_case(caller, server):
    """It takes the place of ours; OpenAI's SDK would send both in one."""
    server.reply = Reply(chat())
    lines = "authorization: Basic dTpw\nCONTENT-TYPE: text/json"
    await caller.ask(await caller.connect(OPENAI, env=env_with(**KEYS, OPENAI_CUSTOM_HEADERS=lines)))
    headers = server.received[0].headers
    assert ("Basic dTpw", "text/json") == (headers["authorization"], headers["content-type"])


@pytest.mark.parametrize(
    ("spec", "variables"),
    [
        (OPENAI, {"OPENAI_CUSTOM_HEADERS": "X-One: 日本"}),
        (OPENAI, {"OPENAI_CUSTOM_HEADERS": "X-One: a\x7fb"}),
        (OPENAI, {"OPENAI_ORG_ID": "org-1\n"}),
        (OPENAI, {"OPENAI_PROJECT_ID": "proj\r\nX-Evil: 1"}),
        (CLAUDE, {"ANTHROPIC_CUSTOM_HEADERS": "X-One: 日本"}),
        (OPENAI, {"OPENAI_CUSTOM_HEADERS": "X One: 1"}),
        (OPENAI, {"OPENAI_CUSTOM_HEADERS": ": 1"}),
        (CLAUDE, {"ANTHROPIC_CUSTOM_HEADERS": '{"X-One": "1"}'}),
    ],
)
async def test_a_header_that_no_request_can_carry(caller, spec, variables):
    """It is found when the endpoint is made, and is the user's to correct."""
    with pytest.raises(UsageError):
        await caller.connect(spec, env=env_with(**KEYS, **variables))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("", {}),
        ("no header", {}),
        ("A: 1", {"A": "1"}),
        (" A :1:2 \r\nb:\nA: 3", {"A": "3", "b": ""}),
    ],
)
def test_headers_of_the_users_own(text, expected):
    """A line each; what has no colon is none, and the last one of a name holds."""
    assert expected == custom_headers(text)


# Answers


@pytest.mark.parametrize(
    "answer",
    [
        chat(),
        chat("grün 日本 🙂"),
        chat('{"name":', finish="length"),
        chat(None, finish="content_filter"),
        chat(None, tool=ANSWER, finish="tool_calls"),
        chat(usage=None),
        chat(created=123456789012345678901234567890),
        {**chat(), "model": None},
        message(),
        message({"type": "tool_use", "id": "t", "name": "Person", "input": orjson.loads(ANSWER)}),
        message(stop="max_tokens"),
        message(usage={"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3}),
        {"error": {"message": "upstream is busy", "code": 429}},
        {"choices": []},
        [],
        None,
        "words",
        b"",
        b"{",
        b"<html></html>",
        b'{"choices": NaN}',
        b"\xff\xfe",
        b'\xef\xbb\xbf{"choices": []}',
    ],
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_read_the_same(server, both, spec, answer):
    """Answers, and what is none, come to the same."""
    if not isinstance(answer, bytes):
        answer = json.dumps(answer, ensure_ascii=False).encode()
    server.reply = Reply(answer)
    lean, sdk = await (await both(spec)).told()
    assert lean == sdk


@pytest.mark.parametrize("status", [201, 202, 203, 204, 205, 206, 226, 299])
@pytest.mark.parametrize("spec", SPECS)
async def test_both_take_every_success(server, both, spec, status):
    """A status from 200 to 299 has an answer, where it has a body."""
    server.reply = Reply(b"" if status in (204, 205) else ANSWERS[spec], status)
    lean, sdk = await (await both(spec)).told()
    assert lean == sdk


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize(
    ("spec", "headers"),
    [
        (OPENAI, {"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499"}),
        (OPENAI, {"X-RateLimit-Limit-Tokens": "90000", "X-RateLimit-Remaining-Tokens": "1"}),
        (
            CLAUDE,
            {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49"},
        ),
    ],
)
async def test_both_tell_of_limits(server, both, spec, headers, status):
    """What a response says of the provider's limits is heard, be it an answer or a refusal."""
    server.reply = Reply(ANSWERS[spec] if status == 200 else {}, status, headers)
    ways = await both(spec)
    heard: list[list[Any]] = [[], []]
    ways.lean.listen(heard[0].extend)
    ways.sdk.listen(heard[1].extend)
    await ways.told()
    assert heard[0] == heard[1] != []


PLAIN = orjson.dumps(chat())
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    "said",
    [
        response(gzip.compress(PLAIN, mtime=0), "Content-Encoding: gzip"),
        response(zlib.compress(PLAIN), "Content-Encoding: deflate"),
        response(PLAIN, length=False),
        response(PLAIN).replace(b"HTTP/1.1", b"HTTP/1.0"),
        response(PLAIN).replace(b" OK", b""),
        response(PLAIN, "Upgrade: h2", "Connection: Upgrade"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + response(PLAIN),
        b"\r\n" + response(PLAIN),
        response(PLAIN) + b"\r\n",
        response(
            b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(PLAIN), PLAIN), "Transfer-Encoding: chunked", length=False
        ),
        # Servers that are less than strict about HTTP.
        response(PLAIN).replace(b"\r\n", b"\n"),
        response(PLAIN, "X-Folded: one,", "  two"),
        response(b"%x \r\n%s\r\n0\r\n\r\n" % (len(PLAIN), PLAIN), "Transfer-Encoding: chunked", length=False),
        response(PLAIN, "Transfer-Encoding: identity", length=False),
        response(BARE.compress(PLAIN) + BARE.flush(), "Content-Encoding: deflate"),
    ],
    ids=[
        "gzip",
        "deflate",
        "to the end",
        "1.0",
        "no reason",
        "upgrade",
        "interim",
        "line before",
        "line after",
        "chunk with an extension",
        "lines without carriage returns",
        "a folded header",
        "a blank after a chunk's size",
        "an encoding that is none",
        "deflate without its header",
    ],
)
async def test_both_read_answers_in_any_form_of_http(raw, both, said):
    """What the SDKs can read is not lost: it is paid for."""
    raw.says = said
    lean, sdk = await (await both(OPENAI, base_url=raw.url)).told()
    assert (ANSWER, lean) == (sdk.text, sdk)


# Refusals


ERRORS = {
    OPENAI: {"error": {"message": "the server's words", "type": "t", "code": "c", "param": "p"}},
    CLAUDE: {
        "type": "error",
        "error": {"type": "x_error", "message": "the server's words"},
        "request_id": "r",
    },
}

STATUSES = [300, 302, 307, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429, 451, 499]
STATUSES += [500, 501, 502, 503, 504, 529]


def differing(outcomes: Mapping[Any, tuple[Any, Any]]) -> dict[Any, tuple[Any, Any]]:
    return {case: (lean, sdk) for case, (lean, sdk) in outcomes.items() if lean != sdk}


@pytest.mark.parametrize("spec", SPECS)
async def test_both_judge_every_status_alike(server, both, spec):
    """Class, bill, wait, hint and words of the error are the same."""
    ways, outcomes = await both(spec), {}
    for status in range(300, 600):
        server.reply = Reply(b"" if status == 304 else ERRORS[spec], status, {"retry-after": "7"})
        outcomes[status] = await ways.told()
    assert {} == differing(outcomes)


@pytest.mark.parametrize(
    "body",
    [
        ERRORS[OPENAI],
        ERRORS[CLAUDE],
        {"error": "words"},
        {"error": {"message": "a\nb \x00 grün 🙂"}},
        {"error": {"message": "insufficient_quota: pay", "code": "insufficient_quota"}},
        {"error": {"message": "Rate limit reached on tokens per day (TPD): Limit 5"}},
        {"error": {"message": "Request too large for gpt-x", "type": "tokens"}},
        {"error": {"message": "bad schema", "param": "response_format"}},
        {
            "type": "error",
            "error": {"type": "x", "message": "m", "details": {"error_code": "organization_on_hold"}},
        },
        {"message": "words", "code": "model_not_found"},
        {"detail": "Not Found"},
        {"detail": [{"loc": ["body", "n"], "msg": "bad", "input": "the row"}]},
        "words",
        b"upstream connect error or disconnect/reset before headers",
        b"  words with blanks around them \n",
        b"<!DOCTYPE html><html><head><title>502  Bad gateway</title></head></html>",
        b"<html><body>nginx</body></html>",
        b"{",
        b"\xff\xfe\xfd",
        b'\xef\xbb\xbf{"error":{"message":"words"}}',
    ],
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_judge_every_body_alike(server, both, spec, body):
    """The server's own words come through as they are, whatever form it gives them."""
    ways, outcomes = await both(spec), {}
    for status in STATUSES:
        server.reply = Reply(body, status)
        outcomes[status] = await ways.told()
    assert {} == differing(outcomes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        {},
        [],
        None,
        12,
        {"error": None},
        {"error": {"type": "overloaded_error"}},
        [{"error": {"message": "words", "code": 429, "status": "RESOURCE_EXHAUSTED"}}],
    ],
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_judge_a_body_without_words_alike(server, both, spec, body):
    """Where the server says nothing the SDK's exceptions have words of their own, but nothing hangs on them."""
    ways, outcomes = await both(spec), {}
    for status in STATUSES:
        server.reply = Reply(body, status, {"retry-after": "7"})
        lean, sdk = await ways.told()
        outcomes[status] = but_for_words(lean), but_for_words(sdk)
    assert {} == differing(outcomes)


@pytest.mark.parametrize("body", [b"", b" \r\n "])
async def test_a_status_speaks_for_itself(caller, server, body):
    """Where a server says nothing, the status is told in its own words."""
    server.reply = Reply(body, 400)
    assert "openai: bad request (400)" == (await told(caller, await caller.connect(OPENAI)))[-1]


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "7"},
        {"Retry-After": "0.5"},
        {"retry-after": "soon"},
        {"retry-after": "-1"},
        {"retry-after-ms": "1500", "retry-after": "7"},
        {"date": "Wed, 21 Oct 2015 07:28:00 GMT", "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"},
        {"x-should-retry": "true"},
        {"X-Should-Retry": "false"},
        {"location": "http://127.0.0.1:9/elsewhere?key=secret"},
        {"location": "//user:password@elsewhere.test/"},
    ],
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_judge_headers_alike(server, both, spec, headers):
    """When to come back, whether at all, and where to go."""
    ways, outcomes = await both(spec), {}
    for status in STATUSES:
        server.reply = Reply(ERRORS[spec], status, headers)
        outcomes[status] = await ways.told()
    assert {} == differing(outcomes)


@pytest.mark.parametrize(
    "said",
    [
        response(b'{"error":"verf\xfcgbar"}', "Content-Type: text/plain; charset=iso-8859-1", status="400 X"),
        response(b"", "Location: http://elsewhere.test/pr\u00fcf", status="307 X"),
    ],
    ids=["charset", "location"],
)
async def test_both_tell_the_servers_words_in_its_letters(raw, both, said):
    """In the charset that it names, and in UTF-8 within headers."""
    raw.says = said
    lean, sdk = await (await both(OPENAI, base_url=raw.url)).told()
    assert lean == sdk


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode", "none"])
async def test_both_hear_a_refusal_in_no_letters(raw, both, charset):
    """A name that no text is written in is none: a pause stays a pause."""
    raw.says = response(
        orjson.dumps({"error": {"message": "slow \u00fc down"}}),
        f"Content-Type: application/json; charset={charset}",
        "Retry-After: 7",
        status="429 X",
    )
    lean, sdk = await (await both(OPENAI, base_url=raw.url)).told()
    assert ("RateLimited", 7.0) == (lean[0], lean[2]) == (sdk[0], sdk[2])


@pytest.mark.parametrize(
    "said",
    [
        response(b"", "Content-Encoding: gzip", status="429 X"),
        response(b"\x01\x02", "Content-Encoding: br", status="401 X"),
        response(b"<html>", "Content-Encoding: br", status="503 X"),
    ],
)
async def test_both_hear_a_status_whose_body_cannot_be_read(raw, both, said):
    """It decides by itself: a wrong key is not to be tried again."""
    raw.says = said
    lean, sdk = await (await both(OPENAI, base_url=raw.url)).told()
    assert but_for_words(lean) == but_for_words(sdk)


# Connections


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 2",
        response(PLAIN)[:40],
        response(PLAIN)[:-1],
        response(ERRORS[OPENAI]["error"]["message"].encode(), status="500 X")[:-1],
        response(b"5\r\nhello\r\n", "Transfer-Encoding: chunked", length=False),
        response(b"5\r\nhello\r\n0\r\n", "Transfer-Encoding: chunked", length=False),
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        PLAIN,
        response(PLAIN, f"Content-Length: {len(PLAIN)}"),
        response(PLAIN, "Content-Length: -1", length=False),
        response(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        response(PLAIN, "X Y: 1"),
    ],
)
@pytest.mark.parametrize("spec", SPECS)
async def test_both_judge_what_is_no_response_alike(raw, both, spec, said):
    """It may have been billed, since the request was sent."""
    raw.says = said
    lean, sdk = await (await both(spec, base_url=raw.url)).told()
    assert ("ConnectionFailed", True, None, "") == but_for_words(lean) == but_for_words(sdk)


async def test_an_answer_that_cannot_be_unpacked(caller, raw):
    """It is told in words, and not in those of the library that tried."""
    raw.says = response(PLAIN, "Content-Encoding: gzip")
    outcome = await told(caller, await caller.connect(OPENAI, base_url=raw.url))
    words = f"no answer from {raw.url}: a response that is no gzip"
    assert ("ConnectionFailed", True, None, "", words) == outcome


async def test_a_connection_that_takes_too_long(both, monkeypatch):
    """Nothing was sent, and nothing can be billed; how long was waited is told."""
    gone = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.25)  # which is for reading the certificates, too
    async with await asyncio.start_server(hold, "127.0.0.1", 0) as listener:
        url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        lean, sdk = await (await both(OPENAI, base_url=url)).told()
        gone.set()
        await asyncio.sleep(0.01)
    assert ("ConnectionFailed", False, None, "") == but_for_words(lean) == but_for_words(sdk)
    assert f"no answer from {url}: no connection within 0.25 s" == lean[-1]


@pytest.mark.parametrize("spec", SPECS)
async def test_nobody_listens_to_either(both, spec, unused_tcp_port):
    """Nothing was sent, and nothing can be billed."""
    lean, sdk = await (await both(spec, base_url=f"http://127.0.0.1:{unused_tcp_port}")).told()
    assert ("ConnectionFailed", False, None, "") == but_for_words(lean) == but_for_words(sdk)


async def test_neither_finds_a_name(both, monkeypatch):
    """Nothing was sent, and nothing can be billed."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    ways = await both(OPENAI, base_url="http://nobody.test/v1")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    lean, sdk = await ways.told()
    assert ("ConnectionFailed", False, None, "") == but_for_words(lean) == but_for_words(sdk)


@pytest.mark.parametrize("trusted", [False, True])
async def test_both_trust_the_same_authorities(both, monkeypatch, tmp_path, trusted):
    """Those of the system, or the ones in `SSL_CERT_FILE`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            writer.write(response(PLAIN, "Connection: close"))
        writer.close()

    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(tmp_path / "authority.pem"))
    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context) as listener:
        port = listener.sockets[0].getsockname()[1]
        lean, sdk = await (await both(OPENAI, base_url=f"https://127.0.0.1:{port}")).told()
    if trusted:
        assert (ANSWER, lean) == (sdk.text, sdk)
    else:
        assert ("ConnectionFailed", False, None, "") == but_for_words(lean) == but_for_words(sdk)


@pytest.mark.parametrize("transport", ["auto", "sdk"])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    ("variable", "name", "expected"),
    [
        ("SSL_CERT_FILE", "none.pem", "No such file"),
        ("SSL_CERT_FILE", "words.pem", "NO_CERTIFICATE"),
        ("SSL_CERT_FILE", "", ""),
        ("SSL_CERT_DIR", "none", ""),
    ],
)
async def test_authorities_that_are_not_there(
    caller, monkeypatch, tmp_path, spec, transport, variable, name, expected
):
    """It is the user's to correct, before anything is sent."""
    (tmp_path / "words.pem").write_bytes(b"no certificate")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, os.fspath(tmp_path / name))
    with pytest.raises(
        UsageError, match=f"{variable} names no .*{re.escape(str(tmp_path / name))}.*{expected}"
    ):
        await caller.connect(spec, transport=transport, base_url="https://127.0.0.1:9")


async def test_authorities_that_nobody_needs(caller, server, monkeypatch, tmp_path):
    """A server without TLS has no certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(tmp_path / "none.pem"))
    server.reply = Reply(chat())
    assert ANSWER == (await caller.ask(await caller.connect(OPENAI))).text


async def test_both_judge_a_server_without_tls_alike(both):
    """Nothing was sent, and nothing can be billed."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(b"", status="400 Bad Request"))
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        lean, sdk = await (await both(OPENAI, base_url=f"https://127.0.0.1:{port}")).told()
    assert ("ConnectionFailed", False, None, "") == but_for_words(lean) == but_for_words(sdk)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test"])
async def test_both_judge_a_name_that_is_none_alike(both, host):
    """No row is refused for an address."""
    lean, sdk = await (await both(OPENAI, base_url=f"http://{host}/v1")).told()
    assert "ConnectionFailed" == lean[0] == sdk[0]


# Which of the two


PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY}, "http://a.test/v1", True),
        ({"HTTP_PROXY": PROXY}, "https://a.test/v1", False),
        ({"http_proxy": PROXY}, "http://a.test/v1", True),
        ({"HTTPS_PROXY": PROXY}, "https://a.test/v1", True),
        ({"https_proxy": PROXY}, "https://a.test/v1", True),
        ({"HTTPS_PROXY": PROXY}, "http://a.test/v1", False),
        ({"ALL_PROXY": PROXY}, "http://a.test/v1", True),
        ({"all_proxy": "socks5://proxy.test"}, "https://a.test/v1", True),
        ({"HTTP_PROXY": ""}, "http://a.test/v1", False),
        ({"FTP_PROXY": PROXY}, "http://a.test/v1", False),
        ({"NO_PROXY": "b.test"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY}, "http://127.0.0.1:8000/v1", True),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "localhost,127.0.0.1"}, "http://127.0.0.1:8000/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "no_proxy": "a.test"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "http://A.TEST/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "test"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": ".test"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "b.test"}, "http://a.test/v1", True),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test"}, "http://aa.test/v1", True),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": " b.test , a.test "}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, "http://a.test/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test:8080"}, "http://a.test:8080/v1", False),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "a.test:8080"}, "http://a.test:8081/v1", True),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": ""}, "http://a.test/v1", True),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "a.test"}, "https://a.test/v1", False),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "a.test"}, "https://a.test/v1", False),
    ],
)
def test_whether_there_is_a_proxy(monkeypatch, variables, url, expected):
    """The environment names it by the address's scheme or for all, and names the hosts that need none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected == is_proxied(url)


@pytest.mark.parametrize(
    ("spec", "path"), [(OPENAI, "http://a.test/v1/chat/completions"), (CLAUDE, "http://a.test/v1/messages")]
)
async def test_a_proxy_is_asked_by_the_sdk(caller, server, monkeypatch, spec, path):
    """Our own transport knows none."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.reply = Reply(ANSWERS[spec])
    endpoint = await caller.connect(spec, base_url="http://a.test/v1")
    assert ANSWER == (await caller.ask(endpoint)).text
    assert (path, False) == (server.received[0].path, _is_ours(server.received[0]))


@pytest.mark.parametrize("spec", SPECS)
async def test_no_proxy_is_asked_where_none_is_to_be(caller, server, monkeypatch, spec):
    """Our own transport goes to the address itself."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server.reply = Reply(ANSWERS[spec])
    assert ANSWER == (await caller.ask(await caller.connect(spec))).text
    assert _is_ours(server.received[0])


async def test_azure_is_asked_by_the_sdk(caller, server):
    """Its addresses and keys have forms of their own."""
    server.reply = Reply(chat())
    env = env_with(AZURE_OPENAI_API_KEY="k", AZURE_OPENAI_ENDPOINT=server.url)
    await caller.ask(await caller.connect("azure_openai/d", env=env, base_url=None))
    assert not _is_ours(server.received[0])


@pytest.mark.parametrize("spec", [*SPECS, "deepseek/deepseek-chat"])
async def test_everybody_else_is_asked_by_our_own(caller, server, spec):
    """It is what `auto` means, for servers that only speak a format, too."""
    server.reply = Reply(ANSWERS.get(spec, chat()))
    await caller.ask(await caller.connect(spec))
    assert _is_ours(server.received[0])


def _is_ours(received: Received) -> bool:
    return received.headers["user-agent"].startswith("llmx/")


HEAVY = ["aiohttp", "anthropic", "httpx2", "instructor", "openai"]

PROGRAM = """
import asyncio, sys
from decimal import Decimal
from pathlib import Path
from scripted import KEYS, MESSAGES, Person, env_with
from llmx.providers import Prices, connect
from llmx.schemas import schema_of
from llmx.types import Request

async def main(spec, mode, url, plans, *heavy):
    options = {"env": env_with(**KEYS), "base_url": url, "mode": mode, "plans": Path(plans)}
    # Without prices of its own it would ask the package of price lists, which has a client.
    endpoint = await connect(spec, schema_of(Person), prices=Prices(Decimal(1), Decimal(1)), **options)
    request = Request(endpoint.id, endpoint.model, endpoint.codec.prepare(MESSAGES), "fingerprint", row="the row")
    completion = await endpoint.provider.complete(request)
    await endpoint.provider.aclose()
    print(endpoint.codec.parse(completion).age, *sorted(set(heavy) & set(sys.modules)))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
async def test_a_call_without_what_takes_long_to_import(caller, server, tmp_path, spec, mode):
    """With a plan that is kept, neither SDK nor instructor nor another client is imported, in no mode."""
    (await caller.connect(spec, mode=mode, plans=tmp_path)).codec.prepare(MESSAGES)
    server.reply = Reply(ANSWERS[spec])
    arguments = [spec, mode, server.url, os.fspath(tmp_path), *HEAVY]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert ("41", 1) == (output.decode().strip(), len(server.received))


# Forms


TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.lists(
    st.sampled_from(
        ['"', "\\", "/", "\n", "\x00", "\x1f", "\x7f", "\u2028", "é", "🙂", "\\u0000", "gap0", "gap3"]
    )
    | st.sampled_from(["\x00gap0\x00", "\x00gap3\x00", "{", "}", "[", ",", ":", "<", "```", "  "]),
    max_size=8,
).map("".join)


class Wide(BaseModel):
    """A number that has more than 64 bits."""

    number: int = Field(ge=-(10**30), le=10**30)


@cache
def codec_of(
    spec: str, mode: str, schema: type[BaseModel] = Person, folder: Path | None = None
) -> HandlerCodec:
    """A codec as an endpoint has it."""
    model = parse_model(spec)
    entry, made = CATALOG[model.provider], _schema(schema)
    plan = choose(entry, model.name, made, mode, own_server=False, modes=modes_of)
    make = chat_codec if entry.wire == "openai" else messages_codec
    parameters = {"model": model.name, "max_tokens": 4096, "temperature": 0.1}
    return make(entry, made, plan, parameters, cap_is_ours=True, plans=folder)


class Reasoned(BaseModel):
    """What was found."""

    reasoning: str | None = None
    verdict: str | None = None


Judged = create_model(
    "Reasoned", __doc__=Reasoned.__doc__, verdict=(str | None, None), reasoning=(str | None, None)
)
"""The same with its fields in another order."""


@cache
def _schema(model: type[BaseModel]) -> Schema:
    return schema_of(model)


def messages_of(texts: Sequence[str]) -> list[dict[str, str]]:
    """Messages with these texts, in the roles that a prompt with an example has."""
    return [{**one, "content": text} for one, text in zip(MESSAGES, texts, strict=True)]


four = st.tuples(TEXTS, TEXTS, TEXTS, TEXTS)
many = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
@many
@given(text=TEXTS)
def test_a_form_takes_any_row(spec, mode, text):
    """Filled with a row's text it is the body that is built of it, and that is what is sent."""
    codec, messages = codec_of(spec, mode), messages_of(["system", "example", "answer", text])
    body, built = codec.prepare(messages), codec.build(deepcopy(messages))
    assert isinstance(body, Filled)
    assert (built, built) == (dict(body), orjson.loads(encoded(body)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
@many
@given(texts=four)
def test_a_form_is_made_for_any_prompt(spec, mode, texts):
    """Whatever is in the messages before the row's, the body is the one that is built of them."""
    codec, messages = codec_of(spec, mode), messages_of(texts)
    assert codec.build(deepcopy(messages)) == dict(codec.prepare(messages))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
@many
@given(texts=four, more=TEXTS, names=st.tuples(TEXTS, TEXTS))
def test_the_fingerprint_of_a_form(spec, mode, texts, more, names):
    """It is the one of the body, row after row; stored answers are found again by it."""
    codec, digest_of = codec_of(spec, mode), fingerprinter(*names)
    bodies = [codec.prepare(messages_of([*texts[:-1], text])) for text in (texts[-1], more)]
    bodies.append(codec.prepare(messages_of([more, *texts[1:]])))
    assert [fingerprint(*names, dict(body)) for body in bodies] == [digest_of(body) for body in bodies]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_the_fingerprint_of_a_form_follows_the_order_of_fields(spec, mode):
    """Of a form and of a body that is a dictionary alike."""
    bodies = [codec_of(spec, mode, each).prepare(MESSAGES) for each in (Reasoned, Judged)]
    digests = [(fingerprinter("e", "s")(body), fingerprint("e", "s", dict(body))) for body in bodies]
    assert [True, True, False] == [
        digests[0][0] == digests[0][1],
        digests[1][0] == digests[1][1],
        digests[0] == digests[1],
    ]


@pytest.mark.parametrize("spec", SPECS)
@many
@given(text=TEXTS)
def test_the_form_of_a_schema_with_large_integers(spec, text):
    """They keep their digits, in the body and in what the fingerprint is of."""
    codec, messages = codec_of(spec, "tools", Wide), messages_of(["system", "example", "answer", text])
    body, built = codec.prepare(messages), codec.build(deepcopy(messages))
    assert str(10**30).encode() in encoded(body)
    assert (built, fingerprint("e", "s", built)) == (dict(body), fingerprinter("e", "s")(body))


@many
@given(text=TEXTS)
def test_what_is_known_of_a_form_without_parsing_it(text):
    """Its size in bytes and its output caps are those of the body."""
    body = codec_of(OPENAI, "json_schema").prepare(messages_of(["system", "example", "answer", text]))
    assert (len(encoded(body)), {"max_tokens": 4096}) == (size_of(body), dict(caps_in(body)))


@pytest.mark.parametrize("spec", SPECS)
def test_a_gap_that_a_prompt_holds_by_itself(spec):
    """A text that looks like what stands for texts is a text like any other, in a prompt and in a row."""
    codec = codec_of(spec, "json_schema")
    for texts in (
        ["\x00gap0\x00", "\x00gap3\x00", "\x00gap1\x00", "row"],
        ["system", "\\u0000gap1\x00", "answer", "\x00gap0\x00"],
        ["\x00gap3\x00\x00gap0\x00", "example", "answer", "\x00gap3\x00"],
    ):
        messages = messages_of(texts)
        body, built = codec.prepare(messages), codec.build(deepcopy(messages))
        assert (built, fingerprint("e", "s", built)) == (dict(body), fingerprinter("e", "s")(body))


def test_rows_that_differ_behind_a_gap_of_a_prompt():
    """No two questions have one fingerprint."""
    digest_of = fingerprinter("e", "s")
    prompts = [["\x00gap0\x00", "example", answer, "row"] for answer in ("one", "another")]
    bodies = [codec_of(OPENAI, "json_schema").prepare(messages_of(texts)) for texts in prompts]
    assert 2 == len({digest_of(body) for body in bodies})


@pytest.mark.parametrize("spec", SPECS)
def test_a_row_with_a_lone_surrogate(spec):
    """It has no body, and is refused before anything is sent."""
    with pytest.raises(UnicodeEncodeError):
        codec_of(spec, "json_schema").prepare(messages_of(["system", "example", "answer", "a\ud800b"]))


@pytest.mark.parametrize(
    "build",
    [
        lambda messages: {"messages": messages[:1]},
        lambda messages: {"messages": [*messages, messages[0]]},
        lambda messages: {"messages": [{**one, "content": len(one["content"])} for one in messages]},
        lambda messages: {"messages": [{**one, "content": one["content"].upper()} for one in messages]},
    ],
)
def test_a_body_that_has_no_form(build):
    """Where a handler makes more of texts than to put them in, the body is built for every row."""
    with pytest.raises(FormError):
        planned(build, ROLES)


# Plans on disk


ROLES = [("system", None), ("user", None)]


@dataclass
class Builder:
    """Builds bodies, and counts how often."""

    calls: int = 0

    def __call__(self, messages: list[Body]) -> Body:
        self.calls += 1
        # Anthropic's bodies have the texts in another order than the messages.
        return {"messages": [messages[1]], "limit": 10**30, "system": messages[0]["content"]}


def body_of(plan: RequestPlan) -> Body:
    return dict(plan.form(["the system's"]).filled("the row's"))


BODY = {
    "messages": [{"role": "user", "content": "the row's"}],
    "limit": 10**30,
    "system": "the system's",
}


def test_a_plan_is_built_once(tmp_path):
    """The next process reads it, and its bodies are the same."""
    first, second = Builder(), Builder()
    bodies = [body_of(kept(tmp_path / "plans", build, "part")(ROLES)) for build in (first, second)]
    assert ([BODY, BODY], 1, 0) == (bodies, first.calls, second.calls)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_a_plan_of_an_endpoint_is_built_once(monkeypatch, tmp_path, spec, mode):
    """Instructor's handlers are asked for the first, and not for the second."""
    first = codec_of(spec, mode, folder=tmp_path).prepare(MESSAGES)
    codec_of.cache_clear()
    for module in (llmx.providers.openai, llmx.providers.anthropic):
        monkeypatch.setattr(module, "handlers_for", None)
    second = codec_of(spec, mode, folder=tmp_path).prepare(MESSAGES)
    codec_of.cache_clear()
    assert encoded(first) == encoded(second)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("spec", SPECS)
def test_the_order_of_fields_has_a_plan_of_its_own(tmp_path, spec, mode):
    """It decides what a model writes first: whether it reasons before its verdict, or after it."""
    first, second = (codec_of(spec, mode, each, tmp_path).prepare(MESSAGES) for each in (Reasoned, Judged))
    assert encoded(second) == encoded(codec_of(spec, mode, Judged).prepare(MESSAGES)) != encoded(first)


@pytest.mark.parametrize(
    ("roles", "parts"),
    [
        ([ROLES[1], ROLES[1]], ["part"]),
        (ROLES[1:], ["part"]),
        ([("system", ""), ROLES[1]], ["part"]),
        (ROLES, ["other"]),
        (ROLES, []),
    ],
)
def test_a_plan_of_something_else_is_not_taken(tmp_path, roles, parts):
    """Other parts or other roles have a plan of their own."""
    kept(tmp_path, Builder(), "part")(ROLES)
    other = Builder()

    def build(messages: list[Body]) -> Body:
        return other([*messages, {"role": "user", "content": ""}][:2])

    kept(tmp_path, build, *parts)(roles)
    assert 1 == other.calls


@pytest.mark.parametrize(("name", "value"), [("__version__", "0"), ("_version_of", lambda package: "0")])
def test_another_version_has_plans_of_its_own(monkeypatch, tmp_path, name, value):
    """What is built may be something else."""
    kept(tmp_path, Builder(), "part")(ROLES)
    monkeypatch.setattr(plans, name, value)
    later = Builder()
    kept(tmp_path, later, "part")(ROLES)
    assert 1 == later.calls


def test_no_plan_is_kept_without_a_folder():
    """It is built each time."""
    build = Builder()
    assert [BODY, BODY] == [body_of(kept(None, build, "part")(ROLES)) for _ in range(2)]
    assert 2 == build.calls


def kept_file(folder: Path) -> Path:
    """The file of the only plan."""
    kept(folder, Builder(), "part")(ROLES)
    (path,) = folder.iterdir()
    return path


def test_a_plan_that_is_cut(tmp_path):
    """At whatever byte, it is made anew, and is whole again."""
    path = kept_file(tmp_path)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        build = Builder()
        assert (BODY, 1) == (body_of(kept(tmp_path, build, "part")(ROLES)), build.calls)
        assert whole == path.read_bytes()


Kept = dict[str, Any]

DAMAGE: Mapping[str, Callable[[Kept], Any]] = {
    "null": lambda plan: None,
    "a list": lambda plan: list(plan.values()),
    "a text": lambda plan: "plan",
    "an empty object": lambda plan: {},
    "no order": lambda plan: {"pieces": plan["pieces"]},
    "no pieces": lambda plan: {"order": plan["order"]},
    "pieces that are null": lambda plan: {**plan, "pieces": None},
    "pieces that are none": lambda plan: {**plan, "pieces": []},
    "pieces that are a text": lambda plan: {**plan, "pieces": "".join(plan["pieces"])},
    "pieces that are numbers": lambda plan: {**plan, "pieces": [1, 2, 3]},
    "a piece less": lambda plan: {**plan, "pieces": plan["pieces"][:-1]},
    "a piece more": lambda plan: {**plan, "pieces": [*plan["pieces"], ""]},
    "a piece that is cut": lambda plan: {**plan, "pieces": [plan["pieces"][0][1:], *plan["pieces"][1:]]},
    "pieces of a list": lambda plan: {**plan, "pieces": ["[", "", "]"]},
    "gaps in no text": lambda plan: {**plan, "pieces": ["{}", "", ""]},
    "an order that is null": lambda plan: {**plan, "order": None},
    "an order that is a number": lambda plan: {**plan, "order": 2},
    "an order that is an object": lambda plan: {**plan, "order": {"1": 0, "0": 1}},
    "an order of nothing": lambda plan: {**plan, "order": []},
    "an order of too few": lambda plan: {**plan, "order": [0]},
    "an order of too many": lambda plan: {**plan, "order": [0, 1, 2]},
    "an order of one twice": lambda plan: {**plan, "order": [0, 0]},
    "an order of others": lambda plan: {**plan, "order": [-1, 0]},
    "an order of texts": lambda plan: {**plan, "order": ["1", "0"]},
    "an order of floats": lambda plan: {**plan, "order": [1.0, 0.0]},
    "an order of null": lambda plan: {**plan, "order": [None, 0]},
    "the other order": lambda plan: {**plan, "order": plan["order"][::-1]},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_plan_that_is_damaged(tmp_path, damage):
    """It is made anew: no text goes where another one belongs."""
    path = kept_file(tmp_path)
    path.write_bytes(orjson.dumps(DAMAGE[damage](orjson.loads(path.read_bytes()))))
    assert BODY == body_of(kept(tmp_path, Builder(), "part")(ROLES))


@pytest.mark.parametrize("damaged", [b"\x00" * 100, b"\xff\xfe", b"{" * 100_000, b'{"pieces": ["\\ud800"]}'])
def test_a_plan_that_is_no_json(tmp_path, damaged):
    """It is made anew."""
    path = kept_file(tmp_path)
    path.write_bytes(damaged)
    assert BODY == body_of(kept(tmp_path, Builder(), "part")(ROLES))


def test_a_folder_in_the_place_of_a_plan(tmp_path):
    """The plan is built, and nothing is left lying about."""
    path = kept_file(tmp_path)
    path.unlink()
    path.mkdir()
    assert BODY == body_of(kept(tmp_path, Builder(), "part")(ROLES))
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["file", "file/plans", "n" * 300])
def test_a_folder_that_cannot_be(tmp_path, folder):
    """Without it the plan is built each time."""
    (tmp_path / "file").write_bytes(b"a file")
    build = Builder()
    assert [BODY, BODY] == [body_of(kept(tmp_path / folder, build, "part")(ROLES)) for _ in range(2)]
    assert (2, b"a file") == (build.calls, (tmp_path / "file").read_bytes())


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_nobody_may_write_to(tmp_path):
    """Without it the plan is built each time."""
    tmp_path.chmod(0o500)
    build = Builder()
    assert [BODY, BODY] == [body_of(kept(tmp_path, build, "part")(ROLES)) for _ in range(2)]
    assert 2 == build.calls


def test_plans_are_their_owners_alone(tmp_path):
    """A schema may say what a company works on."""
    path = kept_file(tmp_path / "plans")
    assert [0o700, 0o600] == [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)]


def test_the_oldest_plans_go_first(monkeypatch, tmp_path):
    """There are no more than so many, and the new one is among them."""
    monkeypatch.setattr(plans, "KEPT", 3)
    names: list[str] = []
    for age in range(5, 0, -1):
        kept(tmp_path, Builder(), age)(ROLES)
        (path,) = [path for path in tmp_path.iterdir() if path.name not in names]
        names.append(path.name)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert set(names[-3:]) == {path.name for path in tmp_path.iterdir()}


def test_what_cannot_be_removed_stays(monkeypatch, tmp_path):
    """A folder that is older than all plans keeps none of them from going."""
    monkeypatch.setattr(plans, "KEPT", 3)
    (tmp_path / "folder").mkdir()
    os.utime(tmp_path / "folder", (1, 1))
    for age in range(6, 0, -1):
        kept(tmp_path, Builder(), age)(ROLES)
        for path in tmp_path.glob("*.json"):
            os.utime(path, (path.stat().st_mtime - 1_000, path.stat().st_mtime - 1_000))
    assert 4 == len(list(tmp_path.iterdir()))


def test_a_pipe_in_the_place_of_a_plan(tmp_path):
    """Nobody waits for who writes to it; the plan takes its place."""
    path = kept_file(tmp_path)
    path.unlink()
    os.mkfifo(path)
    build = Builder()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(kept(tmp_path, build, "part"), ROLES)
        try:
            plan = reading.result(2)
        finally:  # a reader that hangs hears of an end
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    assert (BODY, True) == (body_of(plan), path.is_file())


def test_a_plan_of_another_users(monkeypatch, tmp_path):
    """It may say anything, and would be sent with every row."""
    kept_file(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    build = Builder()
    kept(tmp_path, build, "part")(ROLES)
    assert 1 == build.calls
