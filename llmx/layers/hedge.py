"""Stragglers: near the end of a run, a call that is slower than almost all others is sent once more.

The first answer wins (J. Dean and L. A. Barroso, "The Tail at Scale", CACM 2013). Both calls are made and paid for: so
only when all rows have been taken, nobody waits for a place, and the row has an attempt left. The slower call goes on
beside the run, so that its cost is known and what it would have taken longer is seen; at the run's end it is cancelled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence

from msgspec import Struct, field

from llmx.clock import Clock, first_of
from llmx.errors import LlmxError
from llmx.events import HedgeEnded, HedgeSent, Observer
from llmx.layers.gate import Gate, admitted
from llmx.layers.latencies import Latencies
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["Hedges", "hedged"]

SLOW = 0.99
"""The quantile of latencies from which on a call is a straggler."""

ENOUGH = 20
"""Answers without which nobody knows what is slow."""

STEP = 0.25
"""Seconds after which a slow call is looked at again."""


class Hedges:
    """What the hedged calls of a run share: whether the end is near, and the slower calls that go on."""

    def __init__(self) -> None:
        self.near_end = False
        self._slower: dict[asyncio.Task[None], asyncio.Future[Completion]] = {}
        self._ending: set[asyncio.Future[Completion]] = set()

    def all_taken(self) -> None:
        """No further row will be taken."""
        self.near_end = True

    def follow(self, slower: asyncio.Future[Completion], settled: Coroutine[object, object, None]) -> None:
        """Let a call go on beside the run.

        Args:
            settled: waits for its end, and notes it.
        """
        task = asyncio.ensure_future(settled)
        self._slower[task] = slower
        task.add_done_callback(self._slower.pop)

    def end(self, calls: Sequence[asyncio.Future[Completion]]) -> None:
        """Cancel calls; the run does not end before they have."""
        for call in calls:
            call.cancel()
            self._ending.add(call)
            call.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Cancel what is still in flight, and wait for its end."""
        for call in self._slower.values():  # not the tasks: one that has not begun would settle nothing
            call.cancel()
        await asyncio.gather(*self._slower, *self._ending, return_exceptions=True)


def hedged(
    hedges: Hedges,
    gate: Gate,
    *,
    retries: int,
    keep: Callable[[Request, Completion], None],
    clock: Clock,
    observer: Observer,
) -> Layer:
    """A layer that takes the place of `admitted`: both calls go through the gate, and are settled there.

    Args:
        retries: of one request; the second call counts as one.
        keep: is given the answers that came second.
    """
    hedging = _Hedging(hedges, gate, retries, keep, clock, observer)

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            return await hedging.call(request, handler)

        return call

    return layer


class _Hedging(Struct):
    """See `hedged`."""

    hedges: Hedges
    gate: Gate
    retries: int
    keep: Callable[[Request, Completion], None]
    clock: Clock
    observer: Observer
    latencies: Latencies = field(default_factory=Latencies)

    async def call(self, request: Request, handler: Handler) -> Completion:
        if request.ear is not None:  # nobody can listen to two
            return await admitted(self.gate)(handler)(request)
        race = _Race(self.clock)
        race.first = asyncio.ensure_future(admitted(self.gate)(self._sent(race, handler))(request))
        try:
            while not await race.ended(STEP):
                if race.second is None and self._is_slow(race.seconds) and self._may_repeat(request):
                    race.second = asyncio.ensure_future(
                        admitted(self.gate)(self._sent_again(race, handler))(request)
                    )
            completion = race.winner().result()
        except BaseException:
            self.hedges.end(race.running)
            raise
        self.latencies.add(race.seconds)
        if race.second_is_out:
            won, slower = race.winner() is race.second, race.loser()
            self.hedges.follow(slower, self._settle(slower, request, won=won))
        else:
            self.hedges.end(race.running)
        return completion

    def _sent(self, race: _Race, handler: Handler) -> Handler:
        """The first call, whose time counts from when the gate has let it through."""

        async def call(request: Request) -> Completion:
            race.began = self.clock.now()
            return await handler(request)

        return call

    def _sent_again(self, race: _Race, handler: Handler) -> Handler:
        """The second call, which is one as soon as the gate has let it through."""

        async def call(request: Request) -> Completion:
            race.second_is_out = True
            request.tally.failures += 1
            self.observer(HedgeSent(self.gate.name))
            return await handler(request)

        return call

    def _is_slow(self, seconds: float) -> bool:
        usual = self.latencies.quantile(SLOW)
        return self.latencies.count >= ENOUGH and usual is not None and seconds > usual

    def _may_repeat(self, request: Request) -> bool:
        left = self.retries - request.tally.failures - len(request.tally.others)
        return self.hedges.near_end and self.gate.is_idle() and left > 0

    async def _settle(self, slower: asyncio.Future[Completion], request: Request, *, won: bool) -> None:
        """Wait for the slower call, whose answer was paid for, too."""
        began = self.clock.now()
        try:
            self.keep(request, await slower)
        except LlmxError:
            pass  # it is counted where it failed
        finally:
            self.observer(HedgeEnded(self.gate.name, won, self.clock.now() - began if won else 0.0))


class _Race:
    """A call, and perhaps a second one for the same answer, which may not have been sent yet."""

    def __init__(self, clock: Clock) -> None:
        self.first: asyncio.Future[Completion]
        self.second: asyncio.Future[Completion] | None = None
        self.second_is_out = False
        self.began: float | None = None
        self._clock = clock

    @property
    def seconds(self) -> float:
        """Since the first call was sent, 0 before."""
        return 0.0 if self.began is None else self._clock.now() - self.began

    @property
    def running(self) -> list[asyncio.Future[Completion]]:
        return [call for call in (self.first, self.second) if call is not None]

    async def ended(self, seconds: float) -> bool:
        """Wait so long at most; whether one has been answered, or none will be."""
        if waiting := [call for call in self.running if not call.done()]:
            await first_of(*waiting, self._clock.sleep(seconds))
        answered = any(call.done() and call.exception() is None for call in self.running)
        return answered or all(call.done() for call in self.running)

    def winner(self) -> asyncio.Future[Completion]:
        """The call that was answered, else the first one, whose error counts."""
        answered = [call for call in self.running if call.done() and call.exception() is None]
        return answered[0] if answered else self.first

    def loser(self) -> asyncio.Future[Completion]:
        """The other one of two."""
        assert self.second is not None
        return self.second if self.winner() is self.first else self.first
