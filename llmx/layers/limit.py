"""Pacing of one endpoint: requests and tokens per minute, one pause for all.

Admission is first come first served: one request at a time passes the limiters, the others queue in
order, so that a long row never starves behind short ones (aiolimiter's own waiters are ordered by amount).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from aiolimiter import AsyncLimiter

from llmx.clock import Clock
from llmx.errors import TransientError
from llmx.events import Observer, Paused, Throttled
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["Health", "Limiter", "RequestBucket", "TokenBucket", "TokenEstimate", "rate_limited"]

WINDOW = 60.25
"""Seconds in which a limit per minute is held: the quarter second is for the network's jitter."""

BURST = 0.25
"""Seconds' worth of a limit that may be used at once."""


class Health:
    """What an endpoint has answered so far, in the clock's seconds."""

    def __init__(self) -> None:
        self.answered = False
        self.last_answer = -math.inf

    def good(self, now: float) -> None:
        """Note a good answer."""
        self.answered = True
        self.last_answer = now


class RequestBucket:
    """Requests per minute as a leaky bucket of a quarter second's worth.

    In any half-open window of T seconds a bucket of capacity C and rate R admits less than C + R*T plus
    the one that opens the window. Requests are whole, so with R = (limit - C + 1) / WINDOW that is less
    than limit + 1, which is limit.

    Args:
        rpm: at least 1; a fraction of a request is of no use.
    """

    def __init__(self, rpm: float) -> None:
        limit = math.floor(rpm)
        self.capacity = float(max(1, math.floor(limit / 60 * BURST)))
        self._limiter = AsyncLimiter(self.capacity, self.capacity * WINDOW / (limit - self.capacity + 1))

    def ready(self) -> bool:
        """Whether a place is free now."""
        return self._limiter.has_capacity(1)

    async def acquire(self) -> None:
        """Wait for a place in the minute."""
        await self._limiter.acquire(1)


class TokenBucket:
    """Tokens per minute as a leaky bucket of a quarter second's worth; larger rows are taken in bucketfuls.

    A row's tokens are taken before it is sent, so what is sent within a window may have been taken before
    it: at most the first row. With R = (limit - C - largest row) / WINDOW no window holds more than the
    limit, as long as no row is more than half of it; with one that is, the pace is half the limit.

    Args:
        tpm: above 2.
    """

    def __init__(self, tpm: float) -> None:
        self._limit = tpm
        self.capacity = max(1.0, tpm / 60 * BURST)
        self._largest = self.capacity
        self._limiter = self._paced()

    def _paced(self) -> AsyncLimiter:
        room = max(self._limit - self.capacity - self._largest, self._limit / 2)
        return AsyncLimiter(self.capacity, self.capacity * WINDOW / room)

    def ready(self, amount: float) -> bool:
        """Whether `amount` tokens would be let through now."""
        return self._limiter.has_capacity(amount)

    async def acquire(self, amount: float) -> None:
        """Wait until `amount` tokens have been let through."""
        if amount > self._largest:
            # A new limiter begins empty; filling it first keeps what the old one had let through counted.
            self._largest = amount * 1.25
            self._limiter = self._paced()
            await self._limiter.acquire(self.capacity)
        while amount > 0:
            portion = min(amount, self.capacity)
            await self._limiter.acquire(portion)
            amount -= portion


class TokenEstimate:
    """Tokens a request will use, learnt from those that came before.

    The first guess is a token for four bytes of the body (OpenAI, "What are tokens and how to count
    them?") and `first_output` tokens of answer; then the ratio of used to guessed corrects it, that of the
    last answers above all.
    """

    FADING = 0.98
    """What an answer counts for when the next one has come: half of the estimate is from the last 34."""

    def __init__(self, first_output: int = 256) -> None:
        self._first_output = first_output
        self._guessed = 0.0
        self._used = 0.0

    def guess(self, size: int) -> float:
        """Tokens for a request body of `size` bytes."""
        raw = size / 4 + self._first_output
        return raw if self._guessed == 0 else raw * self._used / self._guessed

    def learn(self, size: int, used: int) -> None:
        """Note that a request of `size` bytes used `used` tokens in all, above 0."""
        self._guessed = self._guessed * self.FADING + size / 4 + self._first_output
        self._used = self._used * self.FADING + used


class Limiter:
    """Admission to one endpoint.

    Args:
        rpm, tpm: limits per minute, None for none.
        size: bytes of a request's body, for the token estimate.
    """

    def __init__(
        self,
        *,
        rpm: float | None,
        tpm: float | None,
        health: Health,
        clock: Clock,
        stop: Stop,
        observer: Observer,
        size: Callable[[Request], int],
    ) -> None:
        self._requests = RequestBucket(rpm) if rpm else None
        self._tokens = TokenBucket(tpm) if tpm else None
        self._estimate = TokenEstimate()
        self._owed = 0.0
        self._size = size
        self._health = health
        self._clock = clock
        self._stop = stop
        self._observer = observer
        self._turn = asyncio.Lock()
        self._paused_until = -math.inf

    async def admit(self, request: Request) -> float:
        """Return when the request may be sent, with the tokens it is expected to use: 0 where nobody counts.

        Raises Stopped when the run stops first.
        """
        with self._stop.interruptible():
            async with self._turn:
                expected = 0.0 if self._tokens is None else await self._take(self._tokens, request)
                await self._slot(request)
        return expected

    async def _take(self, bucket: TokenBucket, request: Request) -> float:
        """The tokens of one request, and those that answers before it used beyond what they were expected to."""
        expected = self._estimate.guess(self._size(request))
        amount, self._owed = expected + self._owed, 0.0
        with self._waiting(request, "tpm", ready=bucket.ready(amount)):
            await bucket.acquire(amount)
        return expected

    async def _slot(self, request: Request) -> None:
        """Take one request of the limit, last of all: one taken before a longer wait has leaked away since."""
        while True:
            await self._unpaused()
            if self._requests is not None:
                with self._waiting(request, "rpm", ready=self._requests.ready()):
                    await self._requests.acquire()
            if self._clock.now() >= self._paused_until:
                return

    @contextmanager
    def _waiting(self, request: Request, limit: Literal["rpm", "tpm"], *, ready: bool) -> Iterator[None]:
        """Tell of a wait for a limit, if there is one."""
        if ready:
            yield
            return
        self._observer(Throttled(request.endpoint, limit))
        try:
            yield
        finally:
            self._observer(Throttled(request.endpoint, None))

    async def _unpaused(self) -> None:
        while (wait := self._paused_until - self._clock.now()) > 0:
            await self._clock.sleep(wait)

    def pause(self, endpoint: str, seconds: float) -> None:
        """Hold everyone for `seconds` from now, unless a longer pause is already on."""
        until = self._clock.now() + seconds
        if until > self._paused_until:
            self._paused_until = until
            self._observer(Paused(endpoint, seconds))

    def settle(self, request: Request, completion: Completion, expected: float) -> None:
        """Note a good answer, from which the token estimate learns.

        Args:
            expected: what `admit` gave for this request.
        """
        self._health.good(self._clock.now())
        used = completion.usage.total_tokens
        if self._tokens is not None and used:  # 0 is a server that does not count, and says nothing
            self._estimate.learn(self._size(request), used)
            self._owed += max(0.0, used - expected)


def rate_limited(limiter: Limiter) -> Layer:
    """A layer that sends nothing before `limiter` admits it; a server that names a time pauses everyone."""

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            try:
                expected = await limiter.admit(request)
                completion = await handler(request)
                limiter.settle(request, completion, expected)
                return completion
            except TransientError as error:
                if error.retry_after:
                    limiter.pause(request.endpoint, error.retry_after)
                raise

        return call

    return layer
