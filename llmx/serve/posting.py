"""One POST to a checked address: the connection is made to an IP address that was looked at, by the name that was asked for.

No library's client is used, for none lets the address be decided on between looking it up and connecting. Redirects are not
followed, proxies not asked, and of the answer only the status is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llmx.serve.addresses import Target, is_public

__all__ = ["NotPosted", "post"]

SECONDS = 10.0
"""For one attempt, from the look-up to the answer's status."""

LONGEST_HEAD = 16_384
"""Bytes of an answer that are read at most."""


class NotPosted(Exception):
    """Nobody has taken it; why, without anything secret."""


class _Address(NamedTuple):
    family: int
    ip: str


async def post(target: Target, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
    """POST a body; the answer's status.

    Args:
        private: addresses of private networks may be spoken to.

    Raises:
        NotPosted: there is no answer.
    """
    try:
        async with asyncio.timeout(SECONDS):
            return await _posted(target, body, headers, private=private)
    except TimeoutError:
        raise NotPosted(f"no answer within {SECONDS:g} s") from None
    except (OSError, ssl.SSLError) as error:
        raise NotPosted(f"no connection: {error.strerror or type(error).__name__}") from None


async def _posted(target: Target, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
    addresses = await _addresses(target, private=private)
    reader, writer = await _connected(target, addresses)
    try:
        writer.write(_head(target, len(body), headers) + body)
        await writer.drain()
        return _status(await _first_line(reader))
    finally:
        writer.transport.abort()


async def _addresses(target: Target, *, private: bool) -> list[_Address]:
    """All addresses of the host. Raises NotPosted: one of them is not to be spoken to."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # the latter: a label that no name may have
        raise NotPosted("the host has no address") from None
    addresses = list(dict.fromkeys(_Address(family, str(place[0])) for family, _, _, _, place in found))
    for address in addresses:
        if not is_public(address.ip) and not (private and _is_plain(address.ip)):
            raise NotPosted("the host has an address that is not a public one")
    return addresses


def _is_plain(ip: str) -> bool:
    """Whether a private address is one machine's: no group, and none that stands for another one."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return not (address.is_multicast or address.is_unspecified)


async def _connected(
    target: Target, addresses: Sequence[_Address]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if target.scheme == "https" else None
    name = target.host if context is not None else None
    for number, address in enumerate(addresses):
        try:
            return await asyncio.open_connection(
                address.ip,
                target.port,
                ssl=context,
                server_hostname=name,
                limit=LONGEST_HEAD,
                family=address.family,
            )
        except OSError:
            if number == len(addresses) - 1:
                raise
    raise NotPosted("the host has no address")


def _head(target: Target, length: int, headers: Mapping[str, str]) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.port != (443 if target.scheme == "https" else 80):
        host += f":{target.port}"
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise NotPosted("the answer is none of HTTP") from None


def _status(line: bytes) -> int:
    """Of a status line (RFC 9112, section 4)."""
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or len(parts[1]) != 3 or not parts[1].isdigit():
        raise NotPosted("the answer is none of HTTP")
    return int(parts[1])
