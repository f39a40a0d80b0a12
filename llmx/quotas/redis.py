"""A ledger in a Redis, for processes of many machines: one script each, by the server's clock.

What Redis has answered outlives its being killed when it writes an append-only file (`appendonly yes`), and it must not
throw anything away (`maxmemory-policy noeviction`, the default).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from llmx.cancelling import cancellable
from llmx.errors import OutputFailed, UsageError
from llmx.layers.budget import Amount
from llmx.quotas.keys import KeyLimits
from llmx.quotas.ledger import (
    Ask,
    Balance,
    Lent,
    Measure,
    Met,
    Refusal,
    Report,
    Slots,
    balance,
    does_not_fit,
)
from llmx.quotas.scripts import LEND, MEET, PAUSE, SLOTS, STANDING

__all__ = ["MEMBER", "RedisLedger", "require_redis", "shown"]

TIMEOUT = 2.0
"""Seconds that a Redis has for an answer, which takes it a fraction of a millisecond."""

CONNECTIONS = 8
"""At most, of one process: its questions wait for one another."""

MEMBER = 10.0
"""Seconds after which a process that says nothing shares the rates no more."""


def require_redis() -> Any:
    """The client, imported here since most do without it. Raises UsageError when it is missing."""
    try:
        import redis.asyncio
    except ImportError as error:
        hint = "pip install 'redis>=7,<8', which the extra redis brings"
        raise UsageError("a ledger in Redis needs the package redis", hint=hint) from error
    return redis


def shown(url: str) -> str:
    """A URL without its password, for people."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


class RedisLedger:
    """See the module; a `Ledger` and `Rates`.

    Args:
        url: redis://, rediss:// or unix://; whether anybody is there is found out by the first use.
        prefix: of all its keys.

    Raises:
        UsageError: it is no such URL, or the package is missing.
    """

    def __init__(self, url: str, *, prefix: str = "llmx") -> None:
        redis = require_redis()
        self._shown, self._prefix = shown(url), prefix
        self._problems = (redis.RedisError, OSError, TimeoutError)
        try:
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=TIMEOUT,
                socket_timeout=TIMEOUT,
                socket_connect_timeout=TIMEOUT,
                decode_responses=True,
                retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1),
            )
        except ValueError as error:
            hint = "such as redis://localhost:6379/0"
            raise UsageError(f"{self._shown!r} is no URL of a Redis", hint=hint) from error
        self._client = redis.asyncio.Redis.from_pool(pool)
        scripts = {"lend": LEND, "standing": STANDING, "slots": SLOTS, "meet": MEET, "pause": PAUSE}
        self._scripts = {name: self._client.register_script(text) for name, text in scripts.items()}

    async def lend(self, key: str, limits: KeyLimits, report: Report) -> Lent:
        """See `Ledger.lend`."""
        amounts = (report.used, report.holds, report.wants, report.least)
        numbers = [number for amount in amounts for number in (amount.nanos, amount.tokens)]
        keys = [self._budget(key, part) for part in ("spent", "lent", "wanted")]
        answer = await self._run("lend", keys, [report.owner, *numbers, *_limits(limits)])
        lent = Measure(int(answer[0]), int(answer[1]))
        return Lent(lent, bool(answer[2]), bool(answer[3]), _balance(limits, answer[4:]))

    async def standing(self, key: str, limits: KeyLimits) -> Balance:
        """See `Ledger.standing`."""
        keys = [self._budget(key, part) for part in ("spent", "lent")]
        return _balance(limits, await self._run("standing", keys, []))

    async def fits(self, key: str, limits: KeyLimits, estimate: Amount) -> Refusal | None:
        """See `Ledger.fits`."""
        return does_not_fit(limits, estimate, await self.standing(key, limits))

    async def slots(self, name: str, ask: Ask) -> Slots:
        """See `Rates.slots`."""
        keys = [self._rate(name), self._rate(f"{name}:askers"), self._rate("pauses")]
        given = [ask.worker, ask.account, ask.limit, ask.span, ask.wants, ask.least, ask.largest]
        start, amount, pace, held = await self._run("slots", keys, given)
        return Slots(float(start), float(amount), float(pace), float(held))

    async def meet(self, worker: str) -> Met:
        """See `Rates.meet`."""
        keys = [self._rate("workers"), self._rate("pauses")]
        now, workers, held = await self._run("meet", keys, [worker, MEMBER])
        return Met(sorted(workers), float(now), dict(zip(held[::2], map(float, held[1::2]), strict=True)))

    async def pause(self, account: str, seconds: float) -> None:
        """See `Rates.pause`."""
        await self._run("pause", [self._rate("pauses")], [account, seconds])

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._client.aclose(close_connection_pool=True)

    def _budget(self, key: str, part: str) -> str:
        return f"{self._prefix}:budget:{{{key}}}:{part}"

    def _rate(self, part: str) -> str:
        return f"{self._prefix}:{{rates}}:{part}"

    async def _run(self, script: str, keys: Sequence[str], given: Sequence[Any]) -> Any:
        try:
            return await cancellable(self._scripts[script](keys=keys, args=given))
        except self._problems as error:
            reason = str(error) or type(error).__name__
            hint = "redis-cli ping shows whether it is there; what is in flight is kept, and counted when it is back"
            raise OutputFailed(f"cannot use the ledger at {self._shown}: {reason}", hint=hint) from error


def _limits(limits: KeyLimits) -> tuple[int, int]:
    """Nano-dollars, rounded down, and tokens; -1 for no limit."""
    cost, tokens = limits.daily_cost, limits.daily_tokens
    return -1 if cost is None else int(cost.scaleb(9)), -1 if tokens is None else tokens


def _balance(limits: KeyLimits, answer: Sequence[str]) -> Balance:
    nanos, tokens, held, held_tokens, *oldest = map(int, answer)
    cells = [None if cell < 0 else cell for cell in oldest]
    return balance(limits, Measure(nanos, tokens), Measure(held, held_tokens), cells)
