"""Requests per minute and key, over a window that moves; and how an HTTP answer tells of it.

The counting is that of `limits`, whose asyncio side waits for Redis without holding the event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from llmx.errors import OutputFailed, UsageError
from llmx.quotas.redis import require_redis, shown

__all__ = ["RequestLimits", "Standing", "headers"]

MINUTE = 60
"""Seconds of the window."""


class Standing(Struct, frozen=True):
    """How a key stands with its requests per minute.

    Args:
        allowed: whether this request may go on; it counts then, and only then.
        limit: requests per minute, None for no limit.
        remaining: requests that may still come in this minute; None for no limit.
        reset_seconds: until the oldest request of the minute counts no longer; 0 for no limit.
        retry_after: whole seconds after which a request is worth trying that is not allowed now, else None.
    """

    allowed: bool
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float = 0.0
    retry_after: int | None = None


def headers(standing: Standing) -> dict[str, str]:
    """The fields of an HTTP answer.

    `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10
    (https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/10/): q requests in a window of w seconds, r of
    which remain for t seconds. `Retry-After` as in RFC 9110, section 10.2.3, which counts where both stand.
    """
    if standing.limit is None:
        return {}
    told = {
        "RateLimit-Policy": f'"minute";q={standing.limit};w={MINUTE}',
        "RateLimit": f'"minute";r={standing.remaining};t={math.ceil(standing.reset_seconds)}',
    }
    if standing.retry_after is not None:
        told["Retry-After"] = str(standing.retry_after)
    return told


class RequestLimits:
    """See the module.

    Args:
        url: of the Redis that all processes ask, redis://… or rediss://…; None to count in this process alone.

    Raises:
        UsageError: a package is missing.
    """

    def __init__(self, url: str | None = None) -> None:
        aio, self._errors = _required()
        self._shown = None if url is None else shown(url)
        self._storage: Any = _storage(aio, url)
        self._window: Any = aio.strategies.MovingWindowRateLimiter(self._storage)

    async def hit(self, key_name: str, rpm: int | None) -> Standing:
        """Count one request, if it is within the limit.

        Args:
            key_name: whose requests are counted together.
            rpm: requests in any 60 seconds, from 1; None for no limit: nothing is counted.

        Raises:
            OutputFailed: Redis does not answer.
        """
        if rpm is None:
            return Standing(allowed=True)
        from limits import RateLimitItemPerMinute

        limit = RateLimitItemPerMinute(rpm)
        with self._telling():
            allowed = await self._window.hit(limit, key_name)
            stats = await self._window.get_window_stats(limit, key_name)
        return _standing(rpm, stats, allowed=allowed)

    async def standing(self, key_name: str, rpm: int | None) -> Standing:
        """How a key stands, without a request; as `hit`."""
        if rpm is None:
            return Standing(allowed=True)
        from limits import RateLimitItemPerMinute

        with self._telling():
            stats = await self._window.get_window_stats(RateLimitItemPerMinute(rpm), key_name)
        return _standing(rpm, stats, allowed=stats.remaining > 0)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What Redis refuses, as an error of ours."""
        try:
            yield
        except self._errors as error:
            reason = str(error) or type(error).__name__
            hint = "redis-cli ping shows whether it is there"
            raise OutputFailed(f"cannot count requests at {self._shown}: {reason}", hint=hint) from error

    async def aclose(self) -> None:
        """Let go of the connections."""
        if self._shown is not None:
            client = self._storage.bridge.storage
            await client.aclose(close_connection_pool=True)


def _standing(rpm: int, stats: Any, *, allowed: bool) -> Standing:
    reset = min(float(MINUTE), max(0.0, stats.reset_time - time.time()))
    retry_after = None if allowed else max(1, math.ceil(reset))
    return Standing(allowed, rpm, max(0, stats.remaining), reset, retry_after)


def _required() -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        import limits.aio
        import limits.aio.strategies
    except ImportError as error:
        hint = "pip install limits, which the extra serve brings"
        raise UsageError("limits of requests need the package limits", hint=hint) from error
    return limits.aio, (OSError, TimeoutError, limits.errors.StorageError)


def _storage(aio: Any, url: str | None) -> Any:
    if url is None:
        return aio.storage.MemoryStorage()
    require_redis()
    timeouts = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    return aio.storage.RedisStorage(
        f"async+{url}", implementation="redispy", wrap_exceptions=True, key_prefix="llmx:requests", **timeouts
    )
