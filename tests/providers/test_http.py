"""Our own HTTP client over real sockets, against servers that say exactly the bytes they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import os
import random
import socket
import ssl
import struct
import threading
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import trustme

from llmx.providers import hosts, http, responses
from llmx.providers.http import Disconnected, HttpClient, HttpResponse, NoHttp, NotConnected


@dataclass
class Peer:
    """One connection, seen from the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: asyncio.Event
    requests: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.requests.append(head + await self.reader.readexactly(int(length.partition(b":")[2])))
        self.asked.set()
        return self.requests[-1]

    async def say(self, *parts: bytes) -> None:
        """Each part by itself, as far as the network lets us."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await turns()

    async def farewell(self) -> None:
        """Wait for the client to hang up."""
        await self.reader.read()
        self.gone.set()


Conversation = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """A server whose connections hold the conversations that it was given: the last one any number of times.

    `met` is set with the first connection, `asked` with the first whole request.
    """

    conversations: tuple[Conversation, ...]
    port: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    peers: list[Peer] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/v1/x"

    @property
    def counts(self) -> list[int]:
        """How many requests came over each connection."""
        return [len(peer.requests) for peer in self.peers]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = self.conversations[min(len(self.peers), len(self.conversations) - 1)]
        self.peers.append(Peer(reader, writer, self.asked))
        self.met.set()
        self.tasks.add(asyncio.create_task(self.converse(conversation, self.peers[-1])))

    async def converse(self, conversation: Conversation, peer: Peer) -> None:
        try:
            await conversation(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            peer.gone.set()
        finally:
            peer.writer.close()


Serve = Callable[..., Awaitable[Server]]
Client = Callable[..., HttpClient]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that starts a server for conversations."""
    started: list[tuple[Server, asyncio.Server]] = []

    async def start(
        *conversations: Conversation, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> Server:
        shown = f"[{host}]" if ":" in host else host
        server = Server(conversations, scheme="https" if tls else "http", host=shown)
        listener = await asyncio.start_server(server.accept, host, 0, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        started.append((server, listener))
        return server

    yield start
    for server, listener in started:
        listener.close()
        for task in server.tasks:
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)
        await listener.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A function that makes clients; they are closed at the end of the test."""
    made: list[HttpClient] = []

    def make(url: str, **headers: str) -> HttpClient:
        made.append(HttpClient(url, headers))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


def response(content: bytes = b"hello", *lines: str, status: str = "200 OK", length: bool = True) -> bytes:
    """A response in bytes."""
    given = [*lines, f"Content-Length: {len(content)}"] if length else lines
    return "\r\n".join([f"HTTP/1.1 {status}", *given, "", ""]).encode("latin-1") + content


def chunked(*chunks: bytes, lines: tuple[str, ...] = (), trailers: bytes = b"") -> bytes:
    """A response whose body comes in chunks."""
    head = response(b"", "Transfer-Encoding: chunked", *lines, length=False)
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + b"0\r\n" + trailers + b"\r\n"


def answering(*answers: bytes) -> Conversation:
    """Answer request after request, the last answer any number of times, and leave it to the client to hang up."""

    async def converse(peer: Peer) -> None:
        for answer in answers:
            await peer.request()
            await peer.say(answer)
        while True:
            await peer.request()
            await peer.say(answers[-1])

    return converse


def hanging_up(*parts: bytes) -> Conversation:
    """Say something to one request, and hang up."""

    async def converse(peer: Peer) -> None:
        await peer.request()
        await peer.say(*parts)

    return converse


async def silent(peer: Peer) -> None:
    """Take a request and never answer."""
    await peer.request()
    await peer.farewell()


async def speechless(peer: Peer) -> None:
    """Take a connection and say nothing, not even a TLS handshake."""
    await peer.farewell()


async def gone_at_once(peer: Peer) -> None:
    """Hang up without a word."""


async def turns() -> None:
    """Let the loop see what the sockets have."""
    for _ in range(10):
        await asyncio.sleep(0)


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(2):
        await event.wait()


@pytest.fixture
def addresses(monkeypatch) -> Callable[..., list[str]]:
    """A function that sets what names resolve to; it gives the list of names that are asked for."""

    def set_to(*ports: int) -> list[str]:
        asked: list[str] = []

        def resolve(host: str, port: int, **_: object) -> list[object]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", each)) for each in ports]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        return asked

    return set_to


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch) -> None:
    """The authority is one that the process trusts."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("SSL_CERT_FILE", os.fspath(path))


def secured(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    """A server's side of TLS, with a certificate for a name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


# Requests


async def test_a_request(serve, client):
    """It is a POST to the path and the query, with the headers given, and the body is whole."""
    server = await serve(answering(response()))
    body = bytes(range(256)) * 4096
    await client(server.url + "/y?a=b&c=%20", **{"X-One": "1"}).post(body)
    head, _, sent = server.peers[0].requests[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    expected = {
        f"Host: 127.0.0.1:{server.port}",
        "Accept-Encoding: identity",
        "X-One: 1",
        f"Content-Length: {len(body)}",
    }
    assert ("POST /v1/x/y?a=b&c=%20 HTTP/1.1", expected) == (first, set(lines))
    assert body == sent


class Noticed(bytes):
    """Bytes that say when they go."""

    gone = False

    def __del__(self) -> None:
        type(self).gone = True


async def test_a_body_is_not_kept_while_its_answer_is_awaited(serve, client):
    """A thousand large rows may be in flight."""
    server = await serve(silent)
    call = asyncio.create_task(client(server.url).post(Noticed(b"x")))
    await soon(server.asked)
    assert Noticed.gone
    call.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await call


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("?a=b", "/?a=b"),
        ("/a%20b", "/a%20b"),
        ("/a#fragment", "/a"),
        ("/prüf", "/pr%C3%BCf"),
        ("/日本?q=é", "/%E6%97%A5%E6%9C%AC?q=%C3%A9"),
    ],
)
async def test_the_target_of_a_request(serve, client, url, target):
    """An address without a path has one of a slash, a fragment stays here, and what is not ASCII is encoded."""
    server = await serve(answering(response()))
    await client(f"http://127.0.0.1:{server.port}{url}").post(b"")
    assert f"POST {target} HTTP/1.1" == server.peers[0].requests[0].split(b"\r\n")[0].decode("latin-1")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7fb"])
def test_no_header_brings_another_one(value):
    """A value that would end its line is refused before anything is sent."""
    with pytest.raises(ValueError, match="character"):
        HttpClient("http://127.0.0.1/", {"X-One": value})


def test_no_header_is_beyond_latin_1():
    """A value that no header can hold is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"character|latin-1"):
        HttpClient("http://127.0.0.1/", {"X-One": "日本"})


@pytest.mark.parametrize("name", ["", "X One", "X-One:", "X\tOne", "(X)", "X=1", "X/1", '"X"', "X-\u00e9"])
def test_a_name_that_is_no_headers(name):
    """Servers refuse it, or take it for another."""
    with pytest.raises(ValueError, match=r"name of a header|character"):
        HttpClient("http://127.0.0.1/", {name: "1"})


async def test_every_letter_of_a_headers_name(serve, client):
    """It is sent as it is."""
    server = await serve(answering(response()))
    await client(server.url, **{"X!#$%&'*+.^_`|~-9": "1"}).post(b"")
    assert b"X!#$%&'*+.^_`|~-9: 1" in server.peers[0].requests[0].split(b"\r\n")


@pytest.mark.parametrize("name", ["Host", "host", "Accept-Encoding", "accept-encoding"])
async def test_a_header_that_is_given_is_sent_once(serve, client, name):
    """In whatever case it is written, it takes the place of our own."""
    server = await serve(answering(response()))
    await client(server.url, **{name: "given.test"}).post(b"")
    lines = server.peers[0].requests[0].decode().split("\r\n")[1:]
    fields = [(field.lower(), value) for field, _, value in (line.partition(": ") for line in lines)]
    assert ["given.test"] == [value for field, value in fields if field == name.lower()]


async def test_the_host_of_an_ipv6_address(serve, client):
    """It stands in brackets."""
    try:
        server = await serve(answering(response()), host="::1")
    except OSError:
        pytest.skip("this machine has no ::1")
    assert b"hello" == (await client(server.url).post(b"")).content
    assert f"Host: [::1]:{server.port}".encode() in server.peers[0].requests[0].split(b"\r\n")


async def test_the_host_of_an_ipv6_address_with_a_zone(serve, client, addresses):
    """The zone is this machine's own: it is looked up without its escape, and shown to nobody."""
    server = await serve(answering(response()))
    asked = addresses(server.port)
    await client("http://[fe80::1%25lo]:81/").post(b"")
    assert ["fe80::1%lo"] == asked
    assert b"Host: [fe80::1]:81" in server.peers[0].requests[0].split(b"\r\n")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b\u00fccher.test", "xn--bcher-kva.test"),
        ("fa\u00df.test", "xn--fa-hia.test"),
        ("BOOKS.test", "books.test"),
    ],
)
async def test_the_name_of_a_host(serve, client, addresses, name, expected):
    """Beyond ASCII it is written as IDNA 2008 has it, in the question for its address and in the request."""
    server = await serve(answering(response()))
    asked = addresses(server.port)
    await client(f"http://{name}:81/").post(b"")
    (line,) = [line for line in server.peers[0].requests[0].split(b"\r\n") if line.startswith(b"Host: ")]
    assert ([expected], f"Host: {expected}:81") == (asked, line.decode().replace("BOOKS", "books"))


def test_a_name_that_is_no_hosts():
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match="name of a host"):
        HttpClient("http://\u2665.test/", {})


# Responses


async def test_a_response(serve, client):
    """Status, headers by lower-case names and repeated ones joined, and the body as it is."""
    content = bytes(range(256)) * 10_000
    server = await serve(answering(response(content, "X-A: 1", "x-a:2", "X-B: \xe9", status="201 Made")))
    headers = {"x-a": "1, 2", "x-b": "\xe9", "content-length": str(len(content))}
    assert HttpResponse(201, headers, content) == await client(server.url).post(b"")


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 401, 404, 429, 500, 599])
async def test_every_status_is_a_response(serve, client, status):
    """None is followed, retried or raised."""
    elsewhere = "Location: http://127.0.0.1:9/elsewhere"
    server = await serve(answering(response(b"why", elsewhere, status=f"{status} X")))
    answer = await client(server.url).post(b"")
    assert (status, b"why", [1]) == (answer.status_code, answer.content, server.counts)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_a_status_without_a_body(serve, client, status):
    """It has none, whatever it says of its length, and the connection goes on."""
    server = await serve(answering(response(b"", status=status), response()))
    one = client(server.url)
    assert (b"", b"hello") == ((await one.post(b"")).content, (await one.post(b"")).content)
    assert [2] == server.counts


@pytest.mark.parametrize(
    "data",
    [
        response(),
        response(b""),
        chunked(b"hel", b"lo"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + response(),
        response(gzip.compress(b"hello", mtime=0), "Content-Encoding: gzip"),
    ],
)
async def test_a_response_may_come_in_any_pieces(serve, client, data):
    """Cut in two at every byte, and byte by byte, it is the same."""

    async def converse(peer: Peer) -> None:
        for cut in range(1, len(data)):
            await peer.request()
            await peer.say(data[:cut], data[cut:])
        await peer.request()
        await peer.say(*(data[at : at + 1] for at in range(len(data))))
        await peer.farewell()

    server = await serve(converse)
    one = client(server.url)
    contents = {(await one.post(b"")).content for _ in range(len(data))}
    assert ({b""} if data == response(b"") else {b"hello"}, [len(data)]) == (contents, server.counts)


async def test_a_body_in_chunks(serve, client):
    """Chunks are joined, their extensions dropped, and the connection goes on after the last one."""
    data = chunked(b"hel", b"lo").replace(b"3\r\n", b"3;of=two\r\n")
    server = await serve(answering(data))
    one = client(server.url)
    assert [b"hello"] * 2 == [(await one.post(b"")).content for _ in range(2)]
    assert [2] == server.counts


async def test_a_body_in_small_chunks(serve, client):
    """They take no more memory than what is in them."""
    said = chunked(*[b"xy"] * 500_000)
    server = await serve(answering(said))
    tracemalloc.start()
    try:
        answer = await client(server.url).post(b"")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (b"xy" * 500_000, True) == (answer.content, most < 4 * len(said))


async def test_trailers_are_no_headers(serve, client):
    """What a server says after the body does not change what the body was, nor the headers (RFC 9110, 6.5.1)."""
    data = chunked(b"hello", lines=("X-A: 1",), trailers=b"X-A: 2\r\nX-Sum: 9\r\nContent-Encoding: gzip\r\n")
    server = await serve(answering(data))
    answer = await client(server.url).post(b"")
    assert (b"hello", "1", None) == (answer.content, answer.headers["x-a"], answer.headers.get("x-sum"))


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
async def test_interim_responses_are_passed_over(serve, client, interim):
    """Neither their status nor their headers are the answer's."""
    said = response(b"", "X-Interim: 1", "Link: </a>", status=interim, length=False)
    server = await serve(answering(said * 3 + response()))
    one = client(server.url)
    answers = [await one.post(b"") for _ in range(2)]
    assert [HttpResponse(200, {"content-length": "5"}, b"hello")] * 2 == answers
    assert [2] == server.counts


async def test_a_body_that_ends_with_the_connection(serve, client):
    """Without a length it goes on until the server hangs up."""
    server = await serve(hanging_up(response(b"hel", length=False), b"lo"))
    assert b"hello" == (await client(server.url).post(b"")).content


@pytest.mark.parametrize(
    ("lines", "counts"), [((), [1, 1]), (("Connection: close",), [1, 1]), (("Connection: keep-alive",), [2])]
)
async def test_http_1_0(serve, client, lines, counts):
    """A server of the older version keeps a connection only where it says so."""
    server = await serve(answering(response(b"hello", *lines).replace(b"HTTP/1.1", b"HTTP/1.0")))
    one = client(server.url)
    assert [b"hello"] * 2 == [(await one.post(b"")).content for _ in range(2)]
    assert counts == server.counts


async def test_http_1_0_without_a_length(serve, client):
    """The oldest form of all: a head, a body, and the end of the connection."""
    server = await serve(hanging_up(response(length=False).replace(b"HTTP/1.1", b"HTTP/1.0")))
    assert b"hello" == (await client(server.url).post(b"")).content


async def test_an_offer_to_upgrade(serve, client):
    """A server that also speaks another protocol answers in this one."""
    server = await serve(answering(response(b"hello", "Upgrade: h2,h2c", "Connection: Upgrade")))
    assert b"hello" == (await client(server.url).post(b"")).content


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"hello", mtime=0)),
        ("x-gzip", gzip.compress(b"hello", mtime=0)),
        ("GZIP", gzip.compress(b"hello", mtime=0)),
        ("deflate", zlib.compress(b"hello")),
        ("identity", b"hello"),
    ],
)
async def test_a_body_that_is_compressed_unasked(serve, client, encoding, packed):
    """It is unpacked, whether it has a length or ends with the connection."""
    line = f"Content-Encoding: {encoding}"
    server = await serve(answering(response(packed, line)), hanging_up(response(packed, line, length=False)))
    one, other = client(server.url), client(server.url)
    assert [b"hello"] * 2 == [(await one.post(b"")).content, (await other.post(b"")).content]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_nothing_is_there_to_unpack(serve, client, encoding):
    """An empty body is empty in every encoding, and its status is heard."""
    line = f"Content-Encoding: {encoding}"
    server = await serve(answering(response(b"", line, status="429 Slow Down")))
    answer = await client(server.url).post(b"")
    assert (429, b"") == (answer.status_code, answer.content)


# Responses that are none


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x03\x00\x02\x02\x46",
        b"hello\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 two OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        response(b"hello", "X A: 1"),
        response(b"hello", "Content-Length: 5"),
        response(b"hello", "Content-Length: 4"),
        response(b"hello", "Content-Length: -5", length=False),
        response(b"hello", "Content-Length: 5, 5", length=False),
        response(b"hello", "Content-Length: 99999999999999999999999", length=False),
        response(b"5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        chunked().replace(b"0\r\n", b"zz\r\n"),
        chunked(b"hello").replace(b"hello", b"hello, world"),
    ],
)
async def test_what_is_no_http(serve, client, said):
    """The call fails at once, and its connection is closed."""
    server = await serve(silent_after(said))
    with pytest.raises(NoHttp, match="no HTTP"):
        await client(server.url).post(b"")
    await soon(server.peers[0].gone)


def silent_after(said: bytes) -> Conversation:
    """Say something to a request, and wait for the client to hang up."""

    async def converse(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        await peer.farewell()

    return converse


async def test_an_upgrade_that_nobody_asked_for(serve, client):
    """Another protocol than HTTP is no answer."""
    said = response(b"", "Upgrade: websocket", "Connection: Upgrade", status="101 Switching", length=False)
    server = await serve(silent_after(said + b"\x81\x05hello"))
    with pytest.raises(NoHttp):
        await client(server.url).post(b"")
    await soon(server.peers[0].gone)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_an_encoding_that_nobody_asked_for(serve, client, encoding):
    """What cannot be unpacked is for others to make sense of."""
    server = await serve(answering(response(b"hello", f"Content-Encoding: {encoding}")))
    assert (await client(server.url).post(b"")).content == b"hello"


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", b"hello"),
        ("gzip", gzip.compress(b"hello", mtime=0)[:-9]),
        ("deflate", b"hello"),
        ("deflate", zlib.compress(b"hello")[:-4]),
    ],
)
async def test_a_body_that_cannot_be_unpacked(serve, client, encoding, packed):
    """It is damaged or cut."""
    server = await serve(answering(response(packed, f"Content-Encoding: {encoding}")))
    with pytest.raises(NoHttp, match=encoding):
        await client(server.url).post(b"")


async def test_a_body_that_unpacks_to_too_much(serve, client, monkeypatch):
    """A small response must not fill the memory."""
    monkeypatch.setattr(responses, "LONGEST", 100_000)
    server = await serve(
        answering(response(gzip.compress(bytes(100_001), mtime=0), "Content-Encoding: gzip"))
    )
    with pytest.raises(NoHttp, match="unpacks to more"):
        await client(server.url).post(b"")


async def test_a_body_that_unpacks_to_just_not_too_much(serve, client, monkeypatch):
    """The limit itself is allowed."""
    monkeypatch.setattr(responses, "LONGEST", 100_000)
    server = await serve(
        answering(response(gzip.compress(bytes(100_000), mtime=0), "Content-Encoding: gzip"))
    )
    assert bytes(100_000) == (await client(server.url).post(b"")).content


@pytest.mark.parametrize(
    "said",
    [
        response(bytes(2_000), "Content-Length: 1000000", length=False),
        response(bytes(2_000), length=False),
        chunked(bytes(2_000))[:-5],
        chunked(b"x", trailers=b"X-A: " + b"x" * 2_000)[:-2],
        chunked(b"x").partition(b"1\r\n")[0] + b"1;" + b"x" * 2_000,
    ],
)
async def test_a_response_without_an_end(serve, client, monkeypatch, said):
    """It is given up when it is longer than any answer, be it in its body or around it."""
    monkeypatch.setattr(responses, "LONGEST", 1_000)
    server = await serve(silent_after(said))
    with pytest.raises(NoHttp, match="more than"):
        async with asyncio.timeout(1):
            await client(server.url).post(b"")
    await soon(server.peers[0].gone)


@pytest.mark.parametrize(
    "said",
    [
        b"x" * 2_000,
        b"HTTP/1.1 200 " + b"x" * 2_000,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * 2_000,
        b"HTTP/1.1 200 OK\r\n" + b"x" * 2_000,
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n" + b" x\r\n" * 500,
        b"HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n" * 50,
    ],
)
async def test_a_head_without_an_end(serve, client, monkeypatch, said):
    """It is given up, wherever in it nothing else comes."""
    monkeypatch.setattr(responses, "LONGEST_HEAD", 1_000)
    server = await serve(silent_after(said))
    with pytest.raises(NoHttp, match=r"more than|no HTTP"):
        async with asyncio.timeout(1):
            await client(server.url).post(b"")
    await soon(server.peers[0].gone)


async def test_the_longest_head(serve, client):
    """As many headers as it may have, of one name, are joined at once, and the body may be longer than its head."""
    lines = ["a: x"] * ((responses.LONGEST_HEAD - 1_000) // 6)
    server = await serve(answering(response(bytes(2 * responses.LONGEST_HEAD), *lines)))
    async with asyncio.timeout(5):
        answer = await client(server.url).post(b"")
    assert ", ".join(["x"] * len(lines)) == answer.headers["a"]


# Connections that break


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 2",
        response()[:-8],
        response()[:-1],
        chunked(b"hello")[:-8],
        chunked(b"hello")[:-2],
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_server_that_hangs_up(serve, client, said):
    """Before an answer or within one, there is no answer."""
    server = await serve(hanging_up(said))
    with pytest.raises(Disconnected, match="closed the connection"):
        await client(server.url).post(b"")


async def test_a_server_that_hangs_up_at_once(serve, client):
    """Even before it has read the request."""
    server = await serve(gone_at_once)
    with pytest.raises(Disconnected):
        await client(server.url).post(bytes(10_000_000))


@pytest.mark.parametrize("said", [b"", response(b"hel", length=False)])
async def test_a_connection_that_is_reset(serve, client, said):
    """It is no end of a body, even of one that ends with the connection; the system's error is the cause."""

    async def converse(peer: Peer) -> None:
        await peer.request()
        await peer.say(said)
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server = await serve(converse)
    with pytest.raises(Disconnected) as caught:
        await client(server.url).post(b"")
    assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_the_call_after_a_broken_one(serve, client):
    """It has a connection of its own."""
    server = await serve(hanging_up(b"HTTP/1.1 2"), silent_after(b"garbage\r\n"), answering(response()))
    one = client(server.url)
    for expected in (Disconnected, NoHttp):
        with pytest.raises(expected):
            await one.post(b"")
    assert b"hello" == (await one.post(b"")).content
    assert [1, 1, 1] == server.counts


# Connections that are kept


async def test_calls_in_turn_share_a_connection(serve, client):
    """One is made for the first call, and kept."""
    server = await serve(answering(response()))
    one = client(server.url)
    assert [b"hello"] * 20 == [(await one.post(b"")).content for _ in range(20)]
    assert [20] == server.counts


async def test_calls_at_once_have_a_connection_each(serve, client):
    """None waits for another's answer, every call has its own, and the connections are kept."""
    together = asyncio.Barrier(30)

    async def converse(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await together.wait()
            await peer.say(response(request.partition(b"\r\n\r\n")[2]))

    server = await serve(converse)
    one = client(server.url)
    bodies = [str(number).encode() for number in range(30)]
    for _ in range(2):
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*(one.post(body) for body in bodies))
        assert bodies == [answer.content for answer in answers]
    assert [2] * 30 == server.counts


async def test_a_server_that_wants_its_connections_closed(serve, client):
    """`Connection: close` is the end of the connection; the client does not wait for the server to end it."""
    server = await serve(silent_after(response(b"hello", "Connection: close")), answering(response()))
    one = client(server.url)
    assert [b"hello"] * 2 == [(await one.post(b"")).content for _ in range(2)]
    await soon(server.peers[0].gone)
    assert [1, 1] == server.counts


@pytest.mark.parametrize(
    "more", [response(b"another's"), response(b"another's")[:12], b"H", response(b"more", length=False)]
)
async def test_two_responses_to_one_request(serve, client, more):
    """The second, or its beginning, is not the answer to the next call."""
    server = await serve(silent_after(response() + more), answering(response(b"its own")))
    one = client(server.url)
    assert [b"hello", b"its own"] == [(await one.post(b"")).content for _ in range(2)]
    assert [1, 1] == server.counts


@pytest.mark.parametrize(
    "unasked", [response(b"another's"), response(b"", status="408 Request Timeout"), b"\x00", b"H"]
)
async def test_what_comes_without_a_request(serve, client, unasked):
    """A connection on which the server speaks unasked is closed and not used again."""
    go_on = asyncio.Event()

    async def converse(peer: Peer) -> None:
        await peer.request()
        await peer.say(response())
        await go_on.wait()
        await peer.say(unasked)
        await peer.farewell()

    server = await serve(converse, answering(response(b"its own")))
    one = client(server.url)
    first = (await one.post(b"")).content
    go_on.set()
    await soon(server.peers[0].gone)
    assert (b"hello", b"its own") == (first, (await one.post(b"")).content)


async def test_a_connection_that_the_server_has_closed(serve, client):
    """It is not used again."""
    server = await serve(hanging_up(response()), answering(response()))
    one = client(server.url)
    await one.post(b"")
    await asyncio.gather(*server.tasks)
    await turns()
    assert (b"hello", [1, 1]) == ((await one.post(b"")).content, server.counts)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("secure", [False, True])
async def test_a_connection_that_is_closed_while_the_loop_is_busy(client, authority, secure):
    """It is not used again either, though nobody has heard of it yet: the request would be lost, or paid for twice."""
    go_on, gone = threading.Event(), threading.Event()
    tls = secured(authority) if secure else None

    def answer(listener: socket.socket, said: bytes) -> None:
        with (
            listener.accept()[0] as plain,
            tls.wrap_socket(plain, server_side=True) if tls else plain as sock,
        ):
            while not sock.recv(65_536).endswith(b"\r\n\r\n"):
                pass
            sock.sendall(said)
            go_on.wait(5)
        gone.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for said in (response(), response(b"its own")):
                answer(listener, said)

        thread = threading.Thread(target=run)
        thread.start()
        one = client(f"http{'s' if secure else ''}://127.0.0.1:{listener.getsockname()[1]}/")
        first = (await one.post(b"")).content
        go_on.set()
        gone.wait(5)  # and the loop with it
        assert (b"hello", b"its own") == (first, (await one.post(b"")).content)
        thread.join(5)


async def test_a_connection_that_has_been_idle_for_long(serve, client, monkeypatch):
    """It is closed instead of used again: the server, or a router between, may have forgotten it."""
    now = [1000.0]
    monkeypatch.setattr(http, "time", SimpleNamespace(monotonic=lambda: now[0]))
    server = await serve(answering(response()))
    one = client(server.url)
    for pause in (0.0, http.KEEPALIVE - 0.1, http.KEEPALIVE + 0.1):
        now[0] += pause
        await one.post(b"")
    await soon(server.peers[0].gone)
    assert [2, 1] == server.counts


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", response()[:-1]])
async def test_a_cancelled_call(serve, client, said):
    """It takes its connection with it, and the next call has a new one."""
    server = await serve(silent_after(said), answering(response(b"its own")))
    one = client(server.url)
    task = asyncio.create_task(one.post(b""))
    await soon(server.asked)
    await turns()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await soon(server.peers[0].gone)
    assert (b"its own", [1, 1]) == ((await one.post(b"")).content, server.counts)


def answering_the_head(*answers: bytes) -> Conversation:
    """Answer what the head of a request says, and take no more of it."""

    async def converse(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(*answers)
        await peer.gone.wait()

    return converse


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("secure", [False, True])
async def test_a_request_that_is_answered_before_it_is_sent(serve, client, authority, secure):
    """What is left of it must not stand before the next one: the answer is taken, and the connection closed."""
    refused = response(b"slow down", status="429 X")
    tls = secured(authority) if secure else None
    server = await serve(answering_the_head(refused), answering(response(b"its own")), tls=tls)
    one = client(server.url)
    async with asyncio.timeout(5):
        answers = [await one.post(bytes(length)) for length in (20_000_000, 1)]
    assert [(429, b"slow down"), (200, b"its own")] == [(each.status_code, each.content) for each in answers]


# Connections that are not made


async def test_nobody_listens(client, unused_tcp_port):
    """Nothing was sent; the system's error is the cause."""
    with pytest.raises(NotConnected) as caught:
        await client(f"http://127.0.0.1:{unused_tcp_port}/").post(b"")
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


async def test_a_name_that_nobody_knows(client, monkeypatch):
    """It is told in the resolver's words."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NotConnected, match=r"^Name or service not known$"):
        await client("http://nobody.test/").post(b"")


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".test"])
async def test_a_name_that_is_none(client, host):
    """It cannot even be asked for (RFC 1035, section 2.3.4)."""
    with pytest.raises(NotConnected):
        await client(f"http://{host}/").post(b"")


async def test_a_resolver_that_does_not_answer(client, monkeypatch):
    """The time for a connection includes the time for its address."""
    done = threading.Event()

    def asks(*_, flags, **__):
        if flags == socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        done.wait(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", asks)
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.02)
    try:
        with pytest.raises(NotConnected, match=r"no connection within 0\.02 s"):
            await client("http://slow.test/").post(b"")
    finally:
        done.set()


async def test_a_handshake_that_does_not_end(serve, client, monkeypatch):
    """The time for a connection includes the time for TLS, and what was begun is closed."""
    server = await serve(gone_at_once, speechless)
    one = client(server.url.replace("http:", "https:"))
    with pytest.raises(NotConnected):
        await one.post(b"")  # which has read the certificates of the authorities, too
    monkeypatch.setattr(http, "CONNECT_TIMEOUT", 0.05)
    with pytest.raises(NotConnected, match=r"no connection within 0\.05 s"):
        await one.post(b"")
    await soon(server.peers[1].gone)


async def test_a_cancelled_connection(serve, client):
    """A call that is cancelled before it has a connection leaves none behind."""
    server = await serve(speechless)
    task = asyncio.create_task(client(server.url.replace("http:", "https:")).post(b""))
    await soon(server.met)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await soon(server.peers[0].gone)


async def test_an_address_that_does_not_answer(serve, client, addresses, unused_tcp_port):
    """The next one of the same name is tried."""
    server = await serve(answering(response()))
    addresses(unused_tcp_port, server.port)
    assert b"hello" == (await client("http://two.test/").post(b"")).content


async def test_no_address_answers(client, addresses, unused_tcp_port_factory):
    """The call fails when all of them are tried."""
    addresses(unused_tcp_port_factory(), unused_tcp_port_factory())
    with pytest.raises(NotConnected):
        await client("http://two.test/").post(b"")


async def test_addresses_take_turns(serve, client, addresses):
    """Connections to a name are spread over its addresses, and the name is asked for once."""
    servers = [await serve(silent_after(response(b"hello", "Connection: close"))) for _ in range(3)]
    asked = addresses(*(server.port for server in servers))
    one = client("http://three.test/")
    for _ in range(6):
        await one.post(b"")
    assert ([[1, 1]] * 3, ["three.test"]) == ([server.counts for server in servers], asked)


async def test_a_name_is_asked_for_again(serve, client, addresses, monkeypatch):
    """What it stands for is not taken for the same for ever."""
    monkeypatch.setattr(hosts, "RESOLVED", 0.0)
    server = await serve(silent_after(response(b"hello", "Connection: close")))
    asked = addresses(server.port)
    one = client("http://one.test/")
    for _ in range(3):
        await one.post(b"")
    assert ["one.test"] * 3 == asked


# TLS


async def test_a_certificate_that_nobody_we_trust_has_signed(serve, client, authority):
    """There is no connection, and nothing was sent."""
    server = await serve(answering(response()), tls=secured(authority))
    with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED") as caught:
        await client(server.url).post(b"")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert [] == [peer for peer in server.peers if peer.requests]


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name(serve, client, authority):
    """It is none for this server."""
    server = await serve(answering(response()), tls=secured(authority, "elsewhere.test"))
    with pytest.raises(NotConnected) as caught:
        await client(server.url).post(b"")
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_of_an_authority_that_is_trusted(serve, client, authority):
    """`SSL_CERT_FILE` names it, as for the SDKs; the connection is kept like any other."""
    server = await serve(answering(response(bytes(1_000_000))), tls=secured(authority))
    one = client(server.url)
    assert [bytes(1_000_000)] * 2 == [(await one.post(bytes(1_000_000))).content for _ in range(2)]
    assert [2] == server.counts


@pytest.mark.usefixtures("trusted")
async def test_a_body_that_ends_with_a_secured_connection(serve, client, authority):
    """TLS says by itself that it ends."""
    server = await serve(hanging_up(response(b"hel", length=False), b"lo"), tls=secured(authority))
    assert b"hello" == (await client(server.url).post(b"")).content


@pytest.mark.usefixtures("trusted")
async def test_a_secured_server_that_hangs_up(serve, client, authority):
    """It is the same as without TLS."""
    server = await serve(hanging_up(response()[:-1]), tls=secured(authority))
    with pytest.raises(Disconnected):
        await client(server.url).post(b"")


@pytest.mark.usefixtures("trusted")
async def test_calls_that_are_cancelled_while_they_connect(serve, client, authority):
    """They hold up no other: a socket is closed by whoever owns it, so that no number of one is taken for another's."""

    async def converse(peer: Peer) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.say(b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n" % len(body), body)

    server, chance = await serve(converse, tls=secured(authority)), random.Random(1)
    one, loop = client(server.url), asyncio.get_running_loop()
    for turn in range(12):
        calls = {body: asyncio.create_task(one.post(body)) for body in (b"%d" % n for n in range(60))}
        doomed = [call for call in calls.values() if chance.random() < 0.6]
        for call in doomed:
            loop.call_later(chance.random() * 0.03, call.cancel)
        _, waiting = await asyncio.wait(calls.values(), timeout=10)
        assert (turn, set()) == (turn, waiting)
        assert all(call.cancelled() or body == call.result().content for body, call in calls.items())


async def test_a_server_without_tls(serve, client):
    """There is no connection where one side speaks TLS and the other does not."""

    async def converse(peer: Peer) -> None:
        await peer.reader.read(10)
        await peer.say(response(status="400 Bad Request"))

    server = await serve(converse)
    with pytest.raises(NotConnected) as caught:
        await client(server.url.replace("http:", "https:")).post(b"")
    assert isinstance(caught.value.__cause__, ssl.SSLError)


# The end


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("tls", [False, True])
async def test_nothing_is_left(serve, authority, tls):
    """When a client is closed there are no connections and no tasks of it any more, and it may be closed again."""
    server = await serve(answering(response()), tls=secured(authority) if tls else None)
    before = asyncio.all_tasks()
    one = HttpClient(server.url, {})
    await asyncio.gather(*(one.post(b"") for _ in range(5)))
    await one.aclose()
    assert set() == asyncio.all_tasks() - before - server.tasks
    async with asyncio.timeout(2):
        await asyncio.gather(*server.tasks)
    await one.aclose()
    del one
    gc.collect()  # a socket that nobody has closed would warn
    assert [1] * 5 == server.counts


async def test_a_client_that_made_no_call(client):
    """There is nothing to close."""
    await client("https://nobody.test/").aclose()


async def test_a_client_is_closed_during_a_call(serve):
    """The call fails instead of waiting for an answer that can no longer come."""
    server = await serve(silent)
    one = HttpClient(server.url, {})
    task = asyncio.create_task(one.post(b""))
    await soon(server.asked)
    await one.aclose()
    done, _ = await asyncio.wait({task}, timeout=0.1)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Disconnected):
        await task
    assert {task} == done


# Streams

STREAM = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")


def begun(*chunks: bytes) -> bytes:
    """A stream of events whose end is to come."""
    head = "\r\n".join(["HTTP/1.1 200 OK", *STREAM, "", ""]).encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


async def test_a_stream_is_given_on_as_it_comes(serve: Serve, client: Client) -> None:
    """Each piece at once; nothing of it is kept."""
    taken: list[bytes] = []
    came = asyncio.Event()

    async def slowly(peer: Peer) -> None:
        await peer.request()
        await peer.say(begun(b"one"))
        await came.wait()
        await peer.say(b"3\r\ntwo\r\n0\r\n\r\n")
        await peer.farewell()

    def take(piece: bytes) -> bool:
        taken.append(piece)
        came.set()
        return False

    server = await serve(slowly)
    answer = await client(server.url).post(b"{}", take)
    assert (b"onetwo", b"") == (b"".join(taken), answer.content)
    assert answer.headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize(
    "other",
    [
        response(b"no", "Content-Type: text/event-stream", status="503 Service Unavailable"),
        response(b"no", "Content-Type: application/json"),
        response(gzip.compress(b"no"), "Content-Type: text/event-stream", "Content-Encoding: gzip"),
    ],
)
async def test_what_is_no_stream_comes_as_a_whole(serve: Serve, client: Client, other: bytes) -> None:
    """Errors, other types, and what is compressed though it was asked not to be."""

    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.say(other)
        await peer.farewell()

    taken: list[bytes] = []
    server = await serve(answer)
    got = await client(server.url).post(b"{}", lambda piece: bool(taken.append(piece)))
    assert (b"no", []) == (got.content, taken)


async def test_enough_of_a_stream_is_not_waited_beyond(serve: Serve, client: Client) -> None:
    """Its end may come later, by itself: then the connection carries the next call."""
    answered = asyncio.Event()

    async def lingering(peer: Peer) -> None:
        await peer.request()
        await peer.say(begun(b"enough"))
        await answered.wait()
        await peer.say(b"0\r\n\r\n")
        await peer.request()
        await peer.say(response())
        await peer.farewell()

    server = await serve(lingering)
    one = client(server.url)
    assert (await one.post(b"{}", lambda piece: True)).status_code == 200
    answered.set()
    while not one._idle:  # noqa: ASYNC110  # the end comes over the socket, and tells nobody
        await asyncio.sleep(0)
    assert (await one.post(b"{}")).content == b"hello"
    assert server.counts == [2]


async def test_a_stream_that_does_not_end_is_hung_up_on(
    serve: Serve, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; meanwhile the connection carries nothing else."""
    monkeypatch.setattr(http, "DRAINED", 0.01)

    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(begun(b"enough"))
        await peer.farewell()

    async def plain(peer: Peer) -> None:
        await peer.request()
        await peer.say(response())
        await peer.farewell()

    server = await serve(endless, plain)
    one = client(server.url)
    await one.post(b"{}", lambda piece: True)
    assert (await one.post(b"{}")).content == b"hello"
    await server.peers[0].gone.wait()
    assert server.counts == [1, 1]


async def test_a_stream_that_breaks(serve: Serve, client: Client) -> None:
    """It is no answer."""

    async def breaking(peer: Peer) -> None:
        await peer.request()
        await peer.say(begun(b"one"))

    server = await serve(breaking)
    with pytest.raises(Disconnected):
        await client(server.url).post(b"{}", lambda piece: False)


async def test_a_stream_that_nobody_waits_for_is_hung_up_on(serve: Serve, client: Client) -> None:
    """In the midst of it."""
    came = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.say(begun(b"one"))
        await peer.farewell()

    server = await serve(endless)
    asking = asyncio.ensure_future(client(server.url).post(b"{}", lambda piece: bool(came.set())))
    await came.wait()
    asking.cancel()
    await server.peers[0].gone.wait()
    assert asking.cancelled() or await asyncio.wait([asking])
