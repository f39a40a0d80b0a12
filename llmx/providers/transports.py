"""How a body gets to a server and its response back: over our own HTTP client, or the provider's SDK.

Both send the same request (a test compares them on the wire), and what either raises `status` puts in our words. The
SDK's takes fourteen times the CPU for each call and a second or more to import, so it is taken where it must be: for a
proxy, for Azure, or where the user asks for it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

from llmx._version import __version__
from llmx.errors import UsageError
from llmx.providers.authorities import check_authorities
from llmx.providers.forms import encoded
from llmx.providers.sse import is_stream

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from httpx2 import AsyncClient, Response
    from openai import AsyncOpenAI

    from llmx.providers.http import HttpResponse
    from llmx.providers.responses import Take

__all__ = [
    "CONNECTIONS",
    "Answered",
    "LeanTransport",
    "Refused",
    "SdkTransport",
    "Streamed",
    "Transport",
    "TransportName",
    "custom_headers",
    "has_proxies",
    "http_client",
    "is_proxied",
]

TransportName = Literal["auto", "sdk"]

_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)

CONNECTIONS = 8_192
"""Never the limit in practice: concurrency is bounded by the pipeline. (0, aiohttp's word for no limit,
would be none at all for httpx's own transport.)"""


class Answered(Protocol):
    """A response of status 200 to 299."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Looked up by lower-case names."""
        ...

    @property
    def content(self) -> bytes:
        """The whole body."""
        ...

    @property
    def status_code(self) -> int:
        """See above."""
        ...


class Transport(Protocol):
    """A way to one URL of one provider, with its key."""

    async def post(self, body: Mapping[str, Any]) -> Answered:
        """Send `body` once. Raises whatever `status.translate` puts in our words."""
        ...

    async def stream(self, body: Mapping[str, Any], asked: Mapping[str, Any], take: Take) -> Answered:
        """Send `body` and what is asked beside it once; `take` is given the stream that comes, of which nothing is kept.

        Of a server that does not stream the whole answer is returned. Raises as `post`.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class Refused(Exception):
    """A response of another status than 200 to 299, in the form that the SDKs' exceptions have."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__(f"status {response.status_code}")
        self.status_code = response.status_code
        self.response = response
        self.headers = response.headers
        self.body = _text(response)
        self.message = self.body


class Streamed(Struct, frozen=True):
    """A response whose body was given on in pieces."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes = b""


class LeanTransport:
    """Our own HTTP client.

    Args:
        url: where calls go.
        headers: with the key.

    Raises:
        UsageError: they are none that a request can carry, or a variable names no certificates.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        from llmx.providers.http import HttpClient

        if urlsplit(url).scheme == "https":
            check_authorities()
        constant = {"Accept": "application/json", "Content-Type": "application/json"}
        constant["User-Agent"] = f"llmx/{__version__}"
        try:
            self._client = HttpClient(url, _merged(constant, headers))
        except ValueError as error:
            raise UsageError(
                str(error),
                hint="headers come from variables such as OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID, the host from the base URL",
            ) from error

    async def post(self, body: Mapping[str, Any]) -> Answered:
        """See `Transport.post`."""
        return _accepted(await self._client.post(encoded(body)))

    async def stream(self, body: Mapping[str, Any], asked: Mapping[str, Any], take: Take) -> Answered:
        """See `Transport.stream`."""
        # By joining bytes: a body is not parsed for it.
        whole = b"%s,%s" % (encoded(body)[:-1], encoded(asked)[1:])
        return _accepted(await self._client.post(whole, take))

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._client.aclose()


def _accepted(response: HttpResponse) -> HttpResponse:
    """Raises Refused."""
    if 200 <= response.status_code < 300:
        return response
    raise Refused(response)


class SdkTransport:
    """The openai or anthropic SDK's client; of what it can do, only that it posts.

    Its `create` methods walk every parameter by reflection and build response models, which costs more than the call.

    Args:
        client: with retries off.
        path: where to, relative to the client's base URL.
    """

    def __init__(self, client: AsyncOpenAI | AsyncAnthropic, path: str) -> None:
        from httpx2 import Response

        self._client = client
        self._path = path
        self._raw = Response

    async def post(self, body: Mapping[str, Any]) -> Answered:
        """See `Transport.post`."""
        return await self._client.post(self._path, cast_to=self._raw, body=dict(body))

    async def stream(self, body: Mapping[str, Any], asked: Mapping[str, Any], take: Take) -> Answered:
        """See `Transport.stream`."""
        sdk = import_module(type(self._client).__module__.partition(".")[0])
        # Both SDKs give the response itself for this `cast_to`, its body unread since it is a stream.
        response: Response = await self._client.post(
            self._path, cast_to=self._raw, body={**body, **asked}, stream=True, stream_cls=sdk.AsyncStream
        )
        try:
            if not is_stream(response.headers):
                await response.aread()
                return response
            async for piece in response.aiter_bytes():
                if take(piece):
                    break
            return Streamed(response.status_code, response.headers)
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._client.close()


def http_client(kind: type[AsyncClient]) -> AsyncClient:
    """The transport for an SDK.

    Args:
        kind: the SDK's `DefaultAioHttpClient`: its default transport costs O(connections) per request.

    Raises:
        UsageError: a variable names no certificates, which it reads whether they are needed or not.
    """
    from httpx2 import Limits, Timeout

    from llmx.providers.http import CONNECT_TIMEOUT, KEEPALIVE

    check_authorities()
    return kind(
        # A redirect would send the row, and with some the key, to an address nobody chose.
        follow_redirects=False,
        limits=Limits(
            max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=KEEPALIVE
        ),
        timeout=Timeout(None, connect=CONNECT_TIMEOUT),
        event_hooks={"response": [_made_legible]},
    )


async def _made_legible(response: Response) -> None:
    """See to it that the SDK can read an error: what it raised else would hide the status. As `_text` does."""
    if response.is_error:
        await response.aread()
        try:
            _ = response.text
        except (LookupError, TypeError, ValueError):
            response.encoding = "utf-8"


def has_proxies() -> bool:
    """Whether any proxy may be named; to ask urllib takes longer than to connect."""
    elsewhere = sys.platform in ("win32", "darwin")  # the system has settings of its own there
    return elsewhere or any(name.lower().endswith("_proxy") for name in os.environ)


def is_proxied(url: str) -> bool:
    """Whether the environment of the process names a proxy for an address."""
    if not has_proxies():
        return False
    from urllib.request import getproxies, proxy_bypass

    parts, proxies = urlsplit(url), getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    return bool(named) and not proxy_bypass(parts.netloc.rpartition("@")[2])


def custom_headers(text: str | None) -> dict[str, str]:
    """Headers as the SDKs read them of OPENAI_CUSTOM_HEADERS and ANTHROPIC_CUSTOM_HEADERS: a line each, with a colon."""
    pairs = (line.partition(":") for line in (text or "").split("\n") if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _merged(first: Mapping[str, str], then: Mapping[str, str]) -> dict[str, str]:
    """All of them; of two of one name, in whatever case, the later one."""
    merged = {name.lower(): (name, value) for name, value in [*first.items(), *then.items()]}
    return dict(merged.values())


def _text(response: HttpResponse) -> str:
    """The words of an error, in the letters that its header names."""
    charset = _CHARSET.search(response.headers.get("content-type", ""))
    try:
        return response.content.decode(charset[1] if charset else "utf-8", "replace").strip()
    except (LookupError, UnicodeError):  # "undefined" is known, and refuses all letters
        return response.content.decode("utf-8", "replace").strip()
