"""One Redis as the store and the queue use it: scripts that are one step each, repeated while it is away for a while.

A step that was sent and not answered is sent again: scripts that change something carry a token, by which the server knows
what it has done already. What is kept, and under which keys, is no business of this module.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from llmx.cancelling import cancellable
from llmx.cluster.address import Address
from llmx.errors import QueueAway

__all__ = ["PATIENCE", "PREFIX", "UNWANTED", "Connection", "connect", "refused", "token"]

T = TypeVar("T")

PREFIX = "{llmx}"
"""All keys begin with it; the braces put them into one slot of a cluster."""

PATIENCE = 10.0
"""Seconds for which a step is tried again while Redis is away: a restart takes less, and a lease lasts longer."""

ANSWER_SECONDS = 5.0
"""Seconds without an answer after which a connection is given up."""

CONNECTIONS = 64
"""At most, of one process; who needs one more waits for it."""

AWAY = (ConnectionError, TimeoutError, OSError)
UNWANTED = (AuthenticationError, AuthorizationError, NoPermissionError)


class Connection:
    """A Redis, and the scripts of this package on it.

    Args:
        patience: seconds, see `PATIENCE`.
    """

    def __init__(self, redis: Redis, address: Address, patience: float = PATIENCE) -> None:
        self.redis = redis
        self.address = address
        self.patience = patience
        self._scripts: dict[str, Any] = {}

    async def run(self, script: str, *args: Any, patience: float | None = None) -> Any:
        """Run a script of the folder `lua`: one atomic step.

        Args:
            args: texts, bytes and numbers.
            patience: seconds, where not as usual.

        Raises:
            QueueAway: Redis is not there, or takes nothing.
        """
        if script not in self._scripts:
            self._scripts[script] = self.redis.register_script(_source(script))
        found = self._scripts[script]
        return await self.patiently(lambda: found([PREFIX], args), patience)

    async def patiently(self, work: Callable[[], Awaitable[T]], patience: float | None = None) -> T:
        """Do something that may be done twice, again and again while Redis is away. Raises QueueAway."""
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + (self.patience if patience is None else patience), 0.05
        while True:
            try:
                return await cancellable(work())
            except UNWANTED as error:  # of which redis-py thinks as of a lost connection
                raise refused(self.address, error) from error
            except AWAY as error:
                if loop.time() + pause > until:
                    raise refused(self.address, error) from error
            except RedisError as error:
                raise refused(self.address, error) from error
            await asyncio.sleep(pause)
            pause = min(1.0, 2 * pause)

    async def aclose(self) -> None:
        """Let go of it."""
        await self.redis.aclose()


def connect(address: Address, patience: float = PATIENCE) -> Connection:
    """A connection that is made when it is first used."""
    pool = BlockingConnectionPool.from_url(
        address.url,
        max_connections=CONNECTIONS,
        timeout=PATIENCE,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),  # there is one owner of retries: `Connection.patiently`
    )
    return Connection(Redis.from_pool(pool), address, patience)


def token() -> str:
    """A name for one step, by which a second sending is known."""
    return secrets.token_urlsafe(12)


def refused(address: Address, error: Exception) -> QueueAway:
    """An error of redis-py in our words; neither has the password."""
    if isinstance(error, UNWANTED):
        hint = "LLMX_QUEUE=redis://:PASSWORD@HOST:6379/0"
        return QueueAway(f"redis at {str(address)!r} refuses us: {_line(error)}", hint=hint)
    if isinstance(error, ResponseError):
        return QueueAway(f"redis at {str(address)!r} takes nothing: {_line(error)}", hint="redis-cli INFO")
    hint = "is it running, and is the address right?"
    return QueueAway(f"redis at {str(address)!r} is not there: {_line(error)}", hint=hint)


def _line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]


@cache
def _source(script: str) -> str:
    folder = files("llmx.cluster") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in ("common", script))
