"""Admission to one endpoint: who may send now, in the order of asking.

One request at a time stands at the gate, the others queue behind it, so that a long row never starves behind short
ones (aiolimiter's own waiters are ordered by amount). Whoever stands there waits for the circuit, for the end of a
pause, for a place among the calls in flight, for the budgets and for the limits per minute, all of which hold in the
very moment in which it passes: what happens while it waits counts. Waiting uses up no attempt.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import nullcontext
from typing import TypeVar

from msgspec import Struct

from llmx.clock import Clock, first_of
from llmx.errors import FatalError, NotAdmitted, ProviderDown
from llmx.layers.budget import Purse, SetAside
from llmx.layers.condition import Call, Condition
from llmx.layers.pacing import Pacing, Reserved
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["Gate", "Passed", "admitted"]

T = TypeVar("T")

PATIENT = 1.0
"""Seconds of a pause that a row waits for, rather than going to another endpoint that is free."""


class Passed(Struct, frozen=True):
    """One request's way through the gate.

    Args:
        paid: what was set aside for it in budgets.
    """

    call: Call
    paid: SetAside


class Gate:
    """See the module.

    Args:
        name: the endpoint's, in events.
        condition: of the endpoint, which is told how every call ends.
        patience: seconds that an open circuit is waited for where nobody else can answer.

    Attributes:
        ended: why nothing is sent here any more, None while it is.
        others: the gates of the run's other endpoints, to which a waiting row may move.
        leaves_pauses: rows move on for a pause, too, not only for an open circuit.
        rows: those that have been given to this endpoint and are not done, counted by who gives them.
    """

    def __init__(
        self,
        name: str,
        *,
        condition: Condition,
        pacing: Pacing,
        purse: Purse,
        patience: float,
        clock: Clock,
        stop: Stop,
    ) -> None:
        self.name = name
        self.ended: FatalError | None = None
        self.waiting = 0
        self.rows = 0
        self.others: Sequence[Gate] = ()
        self.leaves_pauses = False
        self._condition = condition
        self._pacing = pacing
        self._purse = purse
        self._patience = patience
        self._clock = clock
        self._stop = stop
        self._turn = asyncio.Lock()

    # Who may pass

    def admits(self) -> bool:
        """Whether it would take a row now, or soon: it has not ended, and its circuit lets one through."""
        paused = self.leaves_pauses and self._condition.paused() > PATIENT
        return self.ended is None and not paused and self._condition.admits()

    def is_idle(self) -> bool:
        """Whether a call more would take nobody's place, nor be a probe."""
        free = self.waiting == 0 and not self._condition.is_full and not self._condition.paused()
        return free and self.ended is None and self._condition.down_for() is None

    def load(self) -> float:
        """About how long a further row would wait here, in seconds, of those that a call takes one."""
        return self._condition.load(self.rows)

    def hold(self, seconds: float) -> None:
        """Nothing is sent for so long, as another process has been asked."""
        self._condition.hold(seconds)

    async def enter(self, request: Request) -> Passed:
        """Return when the request may be sent.

        Raises:
            NotAdmitted: another endpoint would take it, and it may go there.
            ProviderDown: the circuit has been open for longer than anybody waits.
            Stopped: the run stops first.
        """
        if (passed := await self._at_once(request)) is not None:
            return passed
        self.waiting += 1
        try:
            with self._stop.interruptible():
                async with self._turn:
                    await self._clear(request)
                    expected = await self._tokens(request)
                    paid = await self._pay(request)
                    try:
                        await self._slot(request)
                        self._stop.check()  # a process that was paused has waited for longer than it knows
                        return Passed(self._condition.sent(request, expected), paid)
                    except BaseException:
                        self._purse.give_back(paid)
                        raise
        finally:
            self.waiting -= 1

    async def _at_once(self, request: Request) -> Passed | None:
        """The way through of a request that nothing holds and that comes after nobody; it waits for nothing."""
        if (
            self.waiting
            or self.ended is not None
            or self._stop.reason is not None
            or self._condition.wait() > 0
        ):
            return None
        expected = self._pacing.expected(request)
        if not (self._pacing.tokens_are_ready(expected) and self._pacing.slot_is_ready()):
            return None
        if (paid := self._purse.at_once(request)) is None:
            return None
        await self._pacing.tokens(expected)
        await self._pacing.slot()
        return Passed(self._condition.sent(request, expected), paid)

    async def _tokens(self, request: Request) -> Reserved:
        """Take what the request is expected to use of limits of tokens."""
        expected = self._pacing.expected(request)
        taking = self._pacing.tokens(expected)
        await (taking if self._pacing.tokens_are_ready(expected) else self._unless_moved(request, taking))
        return expected

    async def _pay(self, request: Request) -> SetAside:
        """Set aside what the request may cost, before the slot: a wait for the budget may be long."""
        if (paid := self._purse.at_once(request)) is not None:
            return paid
        return await self._unless_moved(request, self._purse.reserve(request), undo=self._purse.give_back)

    async def _slot(self, request: Request) -> None:
        """Take one request of the limit, last of all: one taken before a longer wait has leaked away since."""
        while True:
            await self._clear(request)
            taking = self._pacing.slot()
            await (taking if self._pacing.slot_is_ready() else self._unless_moved(request, taking))
            if self._condition.wait() <= 0 and self.ended is None:
                return

    async def _unless_moved(
        self,
        request: Request,
        taking: Coroutine[object, object, T],
        undo: Callable[[T], None] = lambda taken: None,
    ) -> T:
        """What a wait ends in, unless something happens meanwhile that sends the request away."""
        wait = asyncio.ensure_future(taking)
        try:
            while not wait.done():
                await first_of(wait, *self._happenings(math.inf))
                if not wait.done():
                    self._send_away(request)
            return wait.result()
        except BaseException:
            wait.cancel()
            await asyncio.wait([wait])
            if not wait.cancelled() and wait.exception() is None:
                undo(wait.result())
            raise

    async def _clear(self, request: Request) -> None:
        """Wait until nothing but the limits per minute holds the request."""
        while (wait := self._condition.wait()) > 0 or self.ended is not None:
            self._send_away(request)
            await self._change(wait)

    def _send_away(self, request: Request) -> None:
        """Raise for a request that need not, or must not, wait here."""
        if self.ended is not None:
            raise NotAdmitted(f"{self.name} has ended")
        if not self.admits() and self._elsewhere(request):
            raise NotAdmitted(f"{self.name} takes no requests")
        down = self._condition.down_for()
        if down is not None and down >= self._patience and not self._condition.admits():
            raise ProviderDown(
                f"{self.name} has not answered for {down:,.0f} s, more than --patience",
                hint="run the same command again later, or give another -m to fall back to",
            )

    def _elsewhere(self, request: Request) -> bool:
        names = request.tally.others
        return bool(names) and any(other.name in names and other.admits() for other in self.others)

    async def _change(self, seconds: float) -> None:
        """Wait until something has changed, or for `seconds`; for a place, when that is infinite."""
        place = [self._condition.freed.next()] if seconds == math.inf else []
        with self._pacing.held_back() if self._condition.is_paced() else nullcontext():
            await first_of(*self._happenings(seconds), *place)

    def _happenings(self, seconds: float) -> list[Awaitable[object]]:
        """What ends a wait for `seconds`: their end, a change, or what may send a request away."""
        limit = min([seconds, *self._deadlines()])
        timer = [] if limit == math.inf else [self._clock.sleep(limit)]
        return [*timer, *(gate._condition.changed.next() for gate in (self, *self.others))]

    def _deadlines(self) -> list[float]:
        """When another endpoint may take rows again, and when patience ends; in seconds from now."""
        down = self._condition.down_for()
        ends = [] if down is None else [self._patience - down]
        ends += [other._condition.open_for() for other in self.others]
        if self.leaves_pauses:
            ends += [other._condition.paused() - PATIENT for other in self.others]
        return [seconds for seconds in ends if seconds > 0]

    async def retry_allowed(self) -> None:
        """Return when the retry budget has room for one more attempt. Raises Stopped."""
        while wait := self._condition.retry_wait():
            with self._stop.interruptible():
                await self._clock.sleep(wait)

    # What comes back

    def answered(self, completion: Completion, passed: Passed) -> None:
        """A good answer, valid or not."""
        self._condition.answered(completion, passed.call, crowded=self.waiting > 0)
        self._purse.answered(passed.paid, completion.usage)

    def failed(self, error: BaseException, passed: Passed) -> None:
        """No answer."""
        self._condition.failed(error, passed.call, crowded=self.waiting > 0)
        self._purse.failed(passed.paid, error)

    def end(self, error: FatalError) -> None:
        """Nothing more is sent here; who waits goes elsewhere."""
        self.ended = error
        self._condition.changed.happen()


def admitted(gate: Gate) -> Layer:
    """A layer that sends nothing before `gate` lets it through, and tells the gate how it ended."""

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            passed = await gate.enter(request)
            try:
                completion = await handler(request)
            except BaseException as error:
                gate.failed(error, passed)
                raise
            gate.answered(completion, passed)
            return completion

        return call

    return layer
