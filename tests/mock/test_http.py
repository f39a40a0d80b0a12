"""The protocol over real sockets: keep-alive, pipelining, split writes, and clients that misbehave."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
import pytest
from fakes import FakeClock, settle_down, until

from llmx.clock import SystemClock
from llmx.mock import Latency, MockSettings, Server, serve
from llmx.mock.http import Connection
from llmx.mock.provider import SimulatedProvider

BODY = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": "hello there"}]})


class Recorder(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def post(body: bytes = BODY, headers: str = "") -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


def statuses(raw: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d{3}) ", raw)]


async def test_byte_by_byte(start: Any, exchange: Any) -> None:
    """A request may come in single bytes."""
    request = post()
    raw = await exchange(await start(), *(request[i : i + 1] for i in range(len(request))))
    assert statuses(raw) == [200]


async def test_pipelined_answers_keep_their_order(start: Any, exchange: Any) -> None:
    """Requests sent at once are answered one after the other, in order."""
    raw = await exchange(await start(), post() + b"GET /nowhere HTTP/1.1\r\n\r\n" + post(), answers=3)
    assert statuses(raw) == [200, 404, 200]


async def test_pipelined_answers_wait_for_slow_ones(start: Any, exchange: Any) -> None:
    """An answer at once does not overtake one that takes its time."""
    server = await start(latency=Latency(0.02, 0.02))
    raw = await exchange(server, post() + b"GET /stats HTTP/1.1\r\n\r\n", answers=2)
    assert raw.index(b"chat.completion") < raw.index(b"busiest_60s_calls")


async def test_many_pipelined_requests(start: Any, exchange: Any) -> None:
    """More input than the parser keeps unread is taken in turns, none of it lost."""
    big = orjson.dumps(orjson.loads(BODY) | {"padding": "x" * 100_000})
    raw = await exchange(await start(latency=Latency(0.001, 0.001)), post(big) * 30, answers=30)
    assert statuses(raw) == [200] * 30


def test_a_client_that_does_not_read() -> None:
    """Answers are held back until there is room for them, and come all the same."""
    transport = Recorder()
    connection = Connection(SimulatedProvider(MockSettings(), SystemClock()), SystemClock(), 1000, set())
    connection.connection_made(transport)
    connection.pause_writing()
    connection.data_received(post() * 3)
    assert transport.written == b""
    connection.resume_writing()
    assert statuses(transport.written) == [200] * 3


async def test_a_client_that_sends_ahead_of_its_answers() -> None:
    """Megabytes beyond the request at hand are not read before it is answered."""
    transport, clock = Recorder(), FakeClock()
    connection = Connection(
        SimulatedProvider(MockSettings(latency=Latency(1, 1)), clock), clock, 10**7, set()
    )
    connection.connection_made(transport)
    connection.data_received(post() + post(BODY + b" " * 2_000_000))
    assert not transport.reading
    await settle_down()
    await clock.advance(1)
    assert transport.reading
    connection.connection_lost(None)


async def test_chunked_bodies(start: Any, exchange: Any) -> None:
    """A body may come in chunks."""
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (BODY[:7], BODY[7:]))
    head = b"POST /chat/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert statuses(await exchange(await start(), head, chunks, b"0\r\n\r\n")) == [200]


async def test_expect_continue(start: Any) -> None:
    """The body is asked for, then the answer comes."""
    server: Server = await start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post(headers="expect: 100-continue\r\n").removesuffix(BODY))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(BODY)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01garbage", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 999\r\n\r\n", 413),
    ],
)
async def test_what_is_no_request(start: Any, exchange: Any, request_bytes: bytes, status: int) -> None:
    """It is told in JSON, and the connection ends."""
    raw = await exchange(await start(max_body=100), request_bytes, answers=None)
    assert [status] == statuses(raw)
    assert b"connection: close" in raw
    assert orjson.loads(raw.partition(b"\r\n\r\n")[2])["error"]["message"]


async def test_a_body_at_the_bound(start: Any, exchange: Any) -> None:
    """As long as allowed is allowed."""
    assert statuses(await exchange(await start(max_body=len(BODY)), post())) == [200]


async def test_http_10_closes(start: Any, exchange: Any) -> None:
    """An old client gets its answer and the end of the connection."""
    raw = await exchange(await start(), b"GET /stats HTTP/1.0\r\n\r\n", answers=None)
    assert b"connection: close" in raw


async def test_head_has_no_body(start: Any, exchange: Any) -> None:
    """Nothing follows the head, or the next answer would be misread."""
    raw = await exchange(
        await start(), b"HEAD /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n", answers=None
    )
    assert raw.endswith(b"\r\n\r\n")


async def test_a_client_that_leaves_is_no_longer_in_flight(start: Any) -> None:
    """Its answer is dropped with it."""
    server: Server = await start(latency=Latency(30, 30))
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post())
    await _until(server, 1)
    writer.transport.abort()
    await _until(server, 0)
    assert server.stats()["max_in_flight"] == 1


async def test_closing_cuts_what_is_open() -> None:
    """A server with a call in flight closes at once."""
    server = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(post()[:-1])
    await until(lambda: any(peer._parser.pending for peer in server._peers))
    await server.aclose()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def _until(server: Server, in_flight: int) -> None:
    for _ in range(200):
        if server.stats()["in_flight"] == in_flight:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{server.stats()['in_flight']} in flight, not {in_flight}")
