"""The simulated provider on a socket: `serve` within an event loop, `run` as a program of its own."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from llmx.clock import Clock, SystemClock
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.mock.gold import Gold
from llmx.mock.gold_file import read_gold
from llmx.mock.gold_settings import GoldSettings
from llmx.mock.http import Connection
from llmx.mock.provider import SimulatedProvider
from llmx.mock.settings import MockSettings
from llmx.text import plural

__all__ = ["Server", "run", "serve"]

_BACKLOG = 1024


TURNS = 6
"""Of the loop, in which a server closes."""


class Server:
    """A running simulated provider; made by `serve`. An async context manager that closes it."""

    def __init__(
        self, listener: asyncio.Server, provider: SimulatedProvider, peers: set[Connection], host: str
    ) -> None:
        self._listener = listener
        self._provider = provider
        self._peers = peers
        self._host = f"[{host}]" if ":" in host else host
        self.port: int = listener.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """Without a path: what Anthropic's SDK takes as its base URL; OpenAI's takes it with `/v1`."""
        return f"http://{self._host}:{self.port}"

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` tells."""
        return self._provider.stats()

    async def aclose(self) -> None:
        """Stop listening and cut all connections."""
        await self._accept_no_more()
        self._listener.close()
        # What was accepted last becomes a peer some turns later; of its end the loop tells one turn after that, and
        # cancels answers that were waiting in one more.
        for _ in range(TURNS):
            for peer in list(self._peers):
                peer.abort()
            await asyncio.sleep(0)
        await self._listener.wait_closed()

    async def _accept_no_more(self) -> None:
        """Let asyncio take in what it has accepted last: where the listener is closed before that, it stays open for ever."""
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError):  # loops that accept in another way
            for sock in self._listener.sockets:
                loop.remove_reader(sock.fileno())
            await asyncio.sleep(0)

    async def __aenter__(self) -> Server:
        """The server itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()


async def serve(
    settings: MockSettings | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    clock: Clock | None = None,
    remark: Callable[[str], None] | None = None,
) -> Server:
    """Start a simulated provider.

    Args:
        settings: how it behaves; by default it answers at once and never fails.
        host: a loopback address or `localhost`; it has no authentication worth the name.
        port: 0 takes a free one, see `Server.port`.
        clock: what limits and latency go by; the machine's by default.
        remark: is told, once, that a row is not in the gold file.

    Raises:
        UsageError: the host is not loopback, the port cannot be had, or the gold file is none.
    """
    _require_loopback(host)
    settings, clock = settings or MockSettings(), clock or SystemClock()
    gold = None
    if settings.gold is not None:
        gold = Gold(settings.gold, settings.seed, read_gold(settings.gold, Environment()), remark)
    provider = SimulatedProvider(settings, clock, gold)
    peers: set[Connection] = set()
    loop = asyncio.get_running_loop()
    try:
        listener = await loop.create_server(
            lambda: Connection(provider, clock, settings.max_body, peers), host, port, backlog=_BACKLOG
        )
    except OSError as error:
        reason = (
            os.strerror(error.errno).lower() if error.errno else str(error)
        )  # asyncio's words say it twice
        hint = "another --port, or --port 0 for any free one"
        raise UsageError(f"cannot listen on {host}:{port}: {reason}", hint=hint) from error
    return Server(listener, provider, peers, host)


def run(
    settings: MockSettings,
    host: str,
    port: int,
    announce: Callable[[str], None],
    stopped: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve until the process is told to end, then close.

    Args:
        announce: called with each line that says where it listens, once it does.
        stopped: returns when it is time to end; by default on SIGINT or SIGTERM.

    Raises:
        UsageError: see `serve`.
    """
    asyncio.run(_run(settings, host, port, announce, stopped or _signalled))


async def _run(
    settings: MockSettings,
    host: str,
    port: int,
    announce: Callable[[str], None],
    stopped: Callable[[], Awaitable[None]],
) -> None:
    async with await serve(settings, host, port, remark=announce) as server:
        url = server.url
        announce(f"mock provider on {url}/v1 (openai) and {url} (anthropic)")
        key = "$KEY" if settings.keys else "mock"  # keys are never shown
        model = settings.models[0] if settings.models else "mock"
        announce(
            f"try: OPENAI_API_KEY={key} llmx extract rows.jsonl --schema 'name str'"
            f" -m openai/{model} --base-url {url}/v1"
        )
        if settings.gold is not None:
            announce(f"answers from {settings.gold.path}; what of them is wrong: {url}/truth")
        await stopped()
        if settings.gold is not None:
            announce(_balance(server.stats()["gold"], settings.gold))


def _balance(counts: Mapping[str, int], gold: GoldSettings) -> str:
    """What was answered from the gold file, for when it is over."""
    values = f"{counts['wrong']} of {plural(counts['values'], 'value')} wrong"
    unknown = plural(counts["unknown"], "answer")
    return f"{plural(counts['answers'], 'answer')} from {gold.path}, {values}; {unknown} to rows that it does not have"


async def _signalled() -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, ended.set)
    try:
        await ended.wait()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _require_loopback(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"the mock provider listens on loopback only, not on {host!r}", hint="leave --host at 127.0.0.1"
        )
