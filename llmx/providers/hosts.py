"""The host of a URL: how it is written in a request, named to TLS, and found."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress
from urllib.parse import SplitResult, unquote

from llmx.detached import in_thread

__all__ = ["AddressInfo", "Addresses", "Host"]

RESOLVED = 10.0
"""Seconds that the addresses of a name are taken for the same."""

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class Host:
    """A URL's host.

    Attributes:
        name: as it is looked up; the zone of an IPv6 address after a `%`.
        certified: as its certificate names it, where a zone, which is this machine's own, has no place.
        shown: as the header `Host` has it, with the port that the URL has.
        port: the one that is connected to.

    Raises:
        ValueError: a name beyond ASCII is none of IDNA 2008 (RFC 5891).
    """

    def __init__(self, url: SplitResult) -> None:
        given = url.hostname or ""
        self.name = unquote(given) if ":" in given else _ascii(given)
        self.certified, zone, _ = self.name.partition("%") if ":" in given else (self.name, "", "")
        self.port = (443 if url.scheme == "https" else 80) if url.port is None else url.port
        self.shown = url.netloc
        if zone or not given.isascii():
            bare = f"[{self.certified}]" if ":" in given else self.name
            self.shown = bare if url.port is None else f"{bare}:{url.port}"


def _ascii(name: str) -> str:
    if name.isascii():
        return name
    from idna import IDNAError, encode

    try:
        return encode(name).decode()
    except IDNAError as error:
        raise ValueError(f"{name!r} is no name of a host: {error}") from error


class Addresses:
    """The addresses of a host, each in turn the first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._infos: list[AddressInfo] = []
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def infos(self) -> list[AddressInfo]:
        """As `socket.getaddrinfo` gives them. Raises OSError."""
        async with self._turn:
            if time.monotonic() >= self._until:
                self._infos = await self._look_up()
                self._until = time.monotonic() + RESOLVED
        self._infos = [*self._infos[1:], self._infos[0]]
        return self._infos

    async def _look_up(self) -> list[AddressInfo]:
        """Of a number at once; of a name in a thread, for whoever is asked may take long."""
        with suppress(socket.gaierror):
            return self._resolve(socket.AI_NUMERICHOST)
        return await asyncio.wrap_future(in_thread(self._resolve))

    def _resolve(self, flags: int = 0) -> list[AddressInfo]:
        found: list[AddressInfo] = socket.getaddrinfo(  # type: ignore[assignment]  # of TCP, all have a host and a port
            self._host.name, self._host.port, type=socket.SOCK_STREAM, flags=flags
        )
        return found
