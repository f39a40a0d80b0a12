"""One endpoint's gate with all that belongs to it, and servers that keep limits, for tests in simulated time."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fakes import Log, LoopClock, a_request, an_answer

from llmx.clock import Clock
from llmx.errors import RateLimited
from llmx.layers.adaptive import AdaptiveConcurrency
from llmx.layers.breaker import Breaker
from llmx.layers.budget import Allowance, Amount, Purse, Spending
from llmx.layers.condition import Condition
from llmx.layers.gate import Gate, admitted
from llmx.layers.health import Health
from llmx.layers.pacing import Pacing
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.mock.limits import Overrun, RateLimits
from llmx.types import Completion, Handler, LimitState, Request

MINUTE = 60.0
NOTHING = Amount(None, 0)


def size_of(request: Request) -> int:
    """The bytes of a request's body, as a test says."""
    return int(request.body.get("size", 1))


@dataclass
class Endpoint:
    """One endpoint: a gate that is asked by whoever wants to send.

    Args:
        places: calls that may be in flight, and the most that there may ever be.
        reached: it has answered already.
    """

    name: str = "mock"
    rpm: float | None = None
    tpm: float | None = None
    places: tuple[int, int] = (10_000, 10_000)
    patience: float = 600.0
    max_wait: float = math.inf
    allowances: Sequence[Allowance] = ()
    worst: Amount = NOTHING
    reached: bool = True
    size: Callable[[Request], int] = size_of
    health: Health = field(default_factory=Health)
    stop: Stop = field(default_factory=Stop)
    log: Log = field(default_factory=Log)
    clock: Clock = field(default_factory=LoopClock)
    breaker: Breaker = field(default_factory=lambda: Breaker(random=lambda: 0.5))

    def __post_init__(self) -> None:
        self.pacing = Pacing(
            self.name,
            rpm=self.rpm,
            tpm=self.tpm,
            clock=self.clock,
            observer=self.log,
            size=self.size,
        )
        spending = Spending(self.allowances, clock=self.clock, stop=self.stop)
        self.purse = Purse(spending, lambda request: self.worst)
        self.concurrency = AdaptiveConcurrency(*self.places)
        self.condition = Condition(
            self.name,
            pacing=self.pacing,
            concurrency=self.concurrency,
            health=self.health,
            breaker=self.breaker,
            max_wait=self.max_wait,
            clock=self.clock,
            observer=self.log,
        )
        self.gate = Gate(
            self.name,
            condition=self.condition,
            pacing=self.pacing,
            purse=self.purse,
            patience=self.patience,
            clock=self.clock,
            stop=self.stop,
        )
        self.health.reached = self.health.answered = self.reached

    def over(self, handler: Handler) -> Handler:
        """The gate before a handler."""
        return admitted(self.gate)(handler)

    def retrying(self, handler: Handler, **policy: float) -> Handler:
        """The gate before a handler, and retries before it."""
        layer = retried(
            RetryPolicy(**policy),  # type: ignore[arg-type]  # retries are whole in every test
            health=self.health,
            clock=LoopClock(),
            stop=self.stop,
            observer=self.log,
            allowed=self.gate.retry_allowed,
        )
        return layer(self.over(handler))


@dataclass
class Calls:
    """A budget of so many calls at a time, which is waited for.

    Args:
        settled: tokens of those that have ended.
    """

    left: int
    settled: list[int] = field(default_factory=list)

    def reserve(self, amount: Amount) -> int | None:
        if self.left == 0:
            return None
        self.left -= 1
        return 1

    def settle(self, reservation: int, amount: Amount, *, counted: bool) -> None:
        self.left += 1
        self.settled.append(amount.tokens)

    def refusal(self, amount: Amount) -> None:
        return None


def neighbours(*endpoints: Endpoint) -> None:
    """Let the gates of several endpoints know each other."""
    for endpoint in endpoints:
        endpoint.gate.others = [other.gate for other in endpoints if other is not endpoint]


class Sent:
    """A handler that notes when which request was sent, and answers after a while."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.times: list[float] = []
        self.names: list[str] = []
        self._seconds = seconds

    async def __call__(self, request: Request) -> Completion:
        self.times.append(LoopClock().now())
        self.names.append(request.fingerprint)
        if self._seconds:
            await asyncio.sleep(self._seconds)
        return an_answer()


class Server:
    """A handler that keeps limits as a provider does, and notes what it has let in and refused.

    Args:
        limits: asked for every request that comes.
        tokens: what a request uses, input tokens and output tokens.
        listener: told the limits with every response, if anybody is.
        latency: seconds, the shortest and the longest.
        named: what refusals ask to wait, None for nothing.
    """

    def __init__(
        self,
        limits: RateLimits | Bucket,
        *,
        tokens: Callable[[Request], tuple[int, int]] = lambda request: (1, 1),
        listener: Callable[[Sequence[LimitState]], None] | None = None,
        latency: tuple[float, float] = (0.3, 0.9),
        named: float | Literal["honest"] | None = "honest",
    ) -> None:
        self.admitted: list[tuple[float, int]] = []
        self.refused: list[float] = []
        self._limits = limits
        self._tokens = tokens
        self._listener = listener
        self._latency = latency
        self._named = named
        self._random = random.Random(1)

    @property
    def refused_share(self) -> float:
        """Of all calls."""
        return len(self.refused) / (len(self.refused) + len(self.admitted))

    async def __call__(self, request: Request) -> Completion:
        used_in, used_out = self._tokens(request)
        await asyncio.sleep(0.02)
        now = LoopClock().now()
        overrun = self._limits.admit(now, used_in, used_out)
        states = self._states(now)
        if overrun is not None:
            self.refused.append(now)
            await self._respond(0.02, states)
            raise RateLimited("429", retry_after=self._wait(overrun))
        self.admitted.append((now, used_in + used_out))
        await self._respond(self._random.uniform(*self._latency), states)
        return an_answer(tokens=used_in + used_out - 1)

    def _wait(self, overrun: object) -> float | None:
        """What a refusal names: whole seconds, as `retry-after` has them."""
        if self._named != "honest":
            return self._named
        return float(max(1, math.ceil(overrun.wait))) if isinstance(overrun, Overrun) else 1.0

    async def _respond(self, seconds: float, states: Sequence[LimitState]) -> None:
        await asyncio.sleep(seconds)
        if self._listener is not None:
            self._listener(states)

    def _states(self, now: float) -> list[LimitState]:
        if self._listener is None or isinstance(self._limits, Bucket):
            return []
        told = self._limits.states(now)
        return [
            LimitState(kind, told[kind].limit, told[kind].remaining, told[kind].reset_in)
            for kind in ("requests", "tokens")
            if kind in told
        ]

    def used(self, begin: float, end: float, *, tokens: bool = False) -> int:
        """Requests, or tokens, that were let in between two times."""
        return sum(amount if tokens else 1 for at, amount in self.admitted if begin <= at < end)


class Bucket:
    """A server's limit as a bucket: a second's worth at once, and so many a second."""

    def __init__(self, per_second: float) -> None:
        self._per_second = self._left = per_second
        self._at = 0.0

    def admit(self, now: float, used_in: int, used_out: int) -> str | None:
        """Take one; why not, if there is none."""
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return "empty"
        self._left -= 1
        return None


async def flood(handler: Handler, seconds: float, *, workers: int = 300, size: int = 400) -> None:
    """Ask as fast as one is let, for so long."""

    async def work(number: int) -> None:
        for nth in range(1_000_000):
            await handler(a_request(f"{number}-{nth}", body={"size": size}))

    tasks = [asyncio.ensure_future(work(number)) for number in range(workers)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends
