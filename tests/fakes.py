"""Fakes that several tests share: clocks, a loop whose time jumps, scripted handlers."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from decimal import Decimal
from typing import Any, TypeVar

from llmx.events import Event
from llmx.types import Completion, Request, Usage

T = TypeVar("T")

TICK = 1e-7
"""Seconds that every turn of a simulated loop takes: time stands still nowhere."""

STUCK = 5.0
"""Real seconds without a timer or a thread's call after which a simulated loop is deadlocked."""


class FakeClock:
    """A `Clock` that is moved by hand: `advance` wakes the sleepers whose time has come, in order."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(0.0, seconds), next(self._order), woken))
        if seconds <= 0:
            await self.advance(0)
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`; whoever wakes on the way runs at the time they asked for."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await settle_down()
        self._now = end


class LoopClock:
    """A `Clock` that reads the running loop's time: in a simulated loop, waits cost nothing."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: it moves the clock there instead. It does wait for other threads."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            events = super().select(STUCK)
            if not events:
                raise RuntimeError("deadlock: no timer and no thread is left to wake the loop")
            return events
        self.now += timeout + TICK
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing else is to be done.

    aiolimiter, `asyncio.sleep` and `asyncio.timeout` all go by `loop.time()`.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def simulate(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `main` to its end in simulated time: for property tests, which are not coroutines."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main())


async def settle_down(turns: int = 20) -> None:
    """Let every task run until it waits for something."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let others run until `condition` holds: for what threads and tasks bring about, with no event to wait for."""
    while not condition():  # noqa: ASYNC110  # see the docstring
        await asyncio.sleep(0)


class Log:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


class Script:
    """A handler that answers what it is told to, in order, and notes what it was sent; the last step repeats."""

    def __init__(self, *steps: Completion | BaseException) -> None:
        self._steps = list(steps)
        self.requests: list[Request] = []

    @property
    def calls(self) -> int:
        return len(self.requests)

    async def __call__(self, request: Request) -> Completion:
        self.requests.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, BaseException):
            raise step
        return step


class Gate:
    """A handler whose calls wait until they are let through, each by its own future."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Completion]] = []

    @property
    def calls(self) -> int:
        return len(self.waiting)

    async def __call__(self, request: Request) -> Completion:
        ticket: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.waiting.append(ticket)
        return await ticket


def a_request(fingerprint: str = "f", **fields: Any) -> Request:
    """A request that differs from the next only in what a test says."""
    given: dict[str, Any] = {"endpoint": "mock http://x", "model": "m", "body": {}, **fields}
    return Request(fingerprint=fingerprint, **given)


def an_answer(text: str = "{}", *, tokens: int = 2, **fields: Any) -> Completion:
    """A completion of `tokens` input tokens, one output token and a cent."""
    usage = Usage(input_tokens=tokens, output_tokens=1, cost=Decimal("0.01"))
    return Completion(**{"text": text, "usage": usage, "model": "m", **fields})


async def all_of(awaitables: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """What each came to, errors included."""
    return await asyncio.gather(*awaitables, return_exceptions=True)


class Counted:
    """Rows without end (or up to `end`), and how many were taken from them."""

    def __init__(self, end: int = 10**9) -> None:
        self.end = end
        self.taken = 0

    def __iter__(self) -> Iterator[int]:
        for row in range(self.end):
            self.taken += 1
            yield row
