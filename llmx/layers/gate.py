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
from dataclasses import dataclass
from typing import TypeVar

from llmx.clock import Clock, Signal, first_of
from llmx.errors import (
    CallTimeout,
    FatalError,
    NotAdmitted,
    ProviderDown,
    RateLimited,
    RowError,
    ServerError,
    TransientError,
)
from llmx.events import (
    CircuitClosed,
    CircuitOpened,
    CircuitProbing,
    ConcurrencySet,
    Observer,
    Paused,
    PauseReason,
    RetrySent,
)
from llmx.layers.adaptive import AdaptiveConcurrency
from llmx.layers.breaker import COOL_DOWN, Breaker
from llmx.layers.budget import Purse
from llmx.layers.budget import Reserved as Paid
from llmx.layers.health import Health
from llmx.layers.pacing import Pacing, Reserved
from llmx.layers.pause import Pause
from llmx.layers.retry_budget import RetryBudget
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, LimitState, Request, Tally

__all__ = ["Gate", "Passed", "admitted"]

T = TypeVar("T")

PATIENT = 1.0
"""Seconds of a pause that a row waits for, rather than going to another endpoint that is free."""

FAR = 1e6
"""In place of what is infinite."""

PROBED = 0.4
"""The share of patience after which a probe goes out at the latest: nobody is given up who was not asked again."""

READINGS = 0.001
"""Seconds that may pass between two readings of the clock in one step."""

OVERLOADED = (CallTimeout, ServerError)


@dataclass(slots=True)
class Passed:
    """One request's way through the gate.

    Args:
        sent: when it went.
        expected: the tokens that it took of limits.
        paid: what was set aside for it in budgets.
        tally: its row's.
        probe: it finds out for all others whether the server is up again.
    """

    sent: float
    expected: Reserved
    paid: Paid
    tally: Tally
    probe: bool


class Gate:
    """See the module.

    Args:
        name: the endpoint's, in events.
        patience: seconds that an open circuit is waited for where nobody else can answer.
        max_wait: seconds; a longer Retry-After is nobody's pause: the retry layer ends the endpoint for it.

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
        pacing: Pacing,
        purse: Purse,
        concurrency: AdaptiveConcurrency,
        health: Health,
        patience: float,
        max_wait: float = math.inf,
        clock: Clock,
        stop: Stop,
        observer: Observer,
        breaker: Breaker | None = None,
    ) -> None:
        self.name = name
        self.ended: FatalError | None = None
        self.in_flight = 0
        self.waiting = 0
        self.rows = 0
        self.others: Sequence[Gate] = ()
        self.leaves_pauses = False
        self._pacing = pacing
        self._purse = purse
        self._concurrency = concurrency
        self._health = health
        self._patience = patience
        self._pause = Pause(max_wait)
        self._clock = clock
        self._stop = stop
        self._observer = observer
        self._breaker = breaker or Breaker(min(COOL_DOWN, patience * PROBED))
        self._retries = RetryBudget()
        self._turn = asyncio.Lock()
        self._news = Signal()
        self._freed = Signal()

    # Who may pass

    def admits(self) -> bool:
        """Whether it would take a row now, or soon: it has not ended, and its circuit lets one through."""
        now = self._clock.now()
        paused = self.leaves_pauses and self._pause.left(now) > PATIENT
        return self.ended is None and not paused and self._breaker.admits(now)

    def is_idle(self) -> bool:
        """Whether a call more would take nobody's place."""
        now = self._clock.now()
        room = self.waiting == 0 and self.in_flight < self._concurrency.limit and self._pause.left(now) <= 0
        return room and self.admits() and self._breaker.state(now) == "closed"

    def load(self) -> float:
        """About how long a further row would wait here, in seconds, of those that a call takes one."""
        now = self._clock.now()
        held = max(0.0, self._pause.left(now)) + min(self._breaker.wait(now), FAR)
        return held + self.rows / min(self._pacing.per_second, FAR) + self.rows / self._concurrency.limit

    async def enter(self, request: Request) -> Passed:
        """Return when the request may be sent.

        Raises:
            NotAdmitted: another endpoint would take it, and it may go there.
            ProviderDown: the circuit has been open for longer than anybody waits.
            Stopped: the run stops first.
        """
        self.waiting += 1
        try:
            with self._stop.interruptible():
                async with self._turn:
                    await self._clear(request)
                    expected = await self._tokens(request)
                    paid = await self._pay(request)
                    try:
                        await self._slot(request)
                        return self._go(request, expected, paid)
                    except BaseException:
                        self._purse.give_back(paid)
                        raise
        finally:
            self.waiting -= 1

    async def _tokens(self, request: Request) -> Reserved:
        """Take what the request is expected to use of limits of tokens."""
        expected = self._pacing.expected(request)
        taking = self._pacing.tokens(expected)
        await (taking if self._pacing.tokens_are_ready(expected) else self._unless_moved(request, taking))
        return expected

    async def _pay(self, request: Request) -> Paid:
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
            if self._wait() <= 0 and self.ended is None:
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
                await first_of(wait, *self._happenings(math.inf, self._news))
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
        while (wait := self._wait()) > 0 or self.ended is not None:
            self._send_away(request)
            await self._change(wait)

    def _wait(self) -> float:
        """Seconds until it is worth looking again, infinite until something changes; 0 when the way is free."""
        now = self._clock.now()
        if self.in_flight >= self._concurrency.limit:
            return math.inf
        return max(self._pause.left(now), self._breaker.wait(now), self._pacing.too_early())

    def _send_away(self, request: Request) -> None:
        """Raise for a request that need not, or must not, wait here."""
        now = self._clock.now()
        if self.ended is not None:
            raise NotAdmitted(f"{self.name} has ended")
        if not self.admits() and self._elsewhere(request):
            raise NotAdmitted(f"{self.name} takes no requests")
        down = self._breaker.down_since
        if down is not None and now - down >= self._patience and not self._breaker.admits(now):
            raise ProviderDown(
                f"{self.name} has not answered for {now - down:,.0f} s, more than --patience",
                hint="run the same command again later, or give another -m to fall back to",
            )

    def _elsewhere(self, request: Request) -> bool:
        names = request.tally.others
        return bool(names) and any(other.name in names and other.admits() for other in self.others)

    async def _change(self, seconds: float) -> None:
        """Wait until something has changed, or for `seconds`; for a place, when that is infinite."""
        found = self._pacing.too_early()
        paced = found > 0 and seconds <= found + READINGS
        change = self._freed if seconds == math.inf else self._news
        with self._pacing.held_back() if paced else nullcontext():
            await first_of(*self._happenings(seconds, change))

    def _happenings(self, seconds: float, change: Signal) -> list[Awaitable[object]]:
        """What ends a wait for `seconds`: their end, a change, or what may send a request away."""
        limit = min([seconds, *self._deadlines()])
        timer = [] if limit == math.inf else [self._clock.sleep(limit)]
        return [*timer, change.next()]

    def _deadlines(self) -> list[float]:
        """When another endpoint may take rows again, and when patience ends; in seconds from now."""
        now = self._clock.now()
        down = self._breaker.down_since
        ends = [] if down is None else [down + self._patience - now]
        ends += [other._breaker.wait(now) for other in self.others]
        if self.leaves_pauses:
            ends += [other._pause.left(now) - PATIENT for other in self.others]
        return [seconds for seconds in ends if seconds > 0]

    def _go(self, request: Request, expected: Reserved, paid: Paid) -> Passed:
        now = self._clock.now()
        probe = self._breaker.sent()
        if probe:
            self._observer(CircuitProbing(self.name))
        tally = request.tally
        if tally.failures or tally.refused_at is not None:
            self._observer(RetrySent(self.name))
        else:
            self._retries.first(now)
        self.in_flight += 1
        self._pacing.sent(now, expected)
        return Passed(now, expected, paid, tally, probe)

    async def retry_allowed(self) -> None:
        """Return when the retry budget has room for one more attempt. Raises Stopped."""
        while wait := self._retries.take(self._clock.now(), self._breaker.failing(self._clock.now())):
            with self._stop.interruptible():
                await self._clock.sleep(wait)

    # What comes back

    def answered(self, completion: Completion, passed: Passed) -> None:
        """A good answer, valid or not."""
        now = self._clock.now()
        self._health.good(now)
        self._pause.answered()
        self._closed_by(self._breaker.succeeded(now, passed.sent, probe=passed.probe))
        self._pacing.answered(completion.usage, passed.expected, passed.sent)
        self._purse.answered(passed.paid, completion.usage)
        passed.tally.alone, passed.tally.refused_at = 0, None
        self._left(seconds=now - passed.sent)

    def failed(self, error: BaseException, passed: Passed) -> None:
        """No answer."""
        now = self._clock.now()
        if isinstance(error, RateLimited):
            self._refused(now, error, passed)
        elif isinstance(error, TransientError):
            self._broke(now, error, passed)
        elif isinstance(error, RowError):  # it was the request: the server is there
            self._closed_by(self._breaker.succeeded(now, passed.sent, probe=passed.probe))
        elif passed.probe:
            self._breaker.released()
        if isinstance(error, ServerError | CallTimeout) and error.retry_after:
            self.pause(error.retry_after, "failed")
        self._purse.failed(passed.paid, error)
        self._left(overloaded=isinstance(error, OVERLOADED))

    def _refused(self, now: float, error: RateLimited, passed: Passed) -> None:
        """A limit: pacing, not failure."""
        was_alone = self._health.is_alone(passed.tally)
        self._health.refused(now, passed.tally, error.retry_after or 0.0)
        self._closed_by(
            self._breaker.succeeded(now, passed.sent, probe=passed.probe) if passed.probe else False
        )
        if self._health.is_alone(passed.tally):
            if not was_alone:  # what was learnt from its refusals was wrong
                self._pacing.forget()
            return
        self._pacing.refused(passed.sent, error.retry_after)
        self._concurrency.refused(now, sent=passed.sent)
        back_off = self._pause.refused(now, passed.sent)
        self.pause(error.retry_after or back_off, "refused" if error.retry_after else "unnamed")

    def _broke(self, now: float, error: TransientError, passed: Passed) -> None:
        if isinstance(error, ServerError):
            self._health.reached = True
        if not self._health.reached:  # a wrong address is no outage
            return
        down = self._breaker.down_since
        if self._breaker.failed(now, passed.sent, probe=passed.probe, retry_after=error.retry_after):
            since = 0.0 if down is None else now - down
            self._observer(CircuitOpened(self.name, self._breaker.wait(now), str(error), since))
            self._tell_others()

    def _closed_by(self, closed: bool) -> None:
        if closed:
            self._observer(CircuitClosed(self.name))
            self._tell_others()

    def _left(self, *, seconds: float | None = None, overloaded: bool = False) -> None:
        """A call is back.

        Args:
            seconds: how long its answer took, None if it got none.
        """
        before = self._concurrency.limit
        full = self.in_flight >= before and self.waiting > 0
        self._concurrency.ended(seconds, full=full, overloaded=overloaded)
        self.in_flight -= 1
        if self._concurrency.limit != before:
            self._observer(ConcurrencySet(self.name, self._concurrency.limit))
        self._freed.happen()
        if self._breaker.down_since is not None:  # a late answer may have shown bad luck, or a probe nothing
            self._tell_others()

    def heard(self, states: Sequence[LimitState]) -> None:
        """Take note of what a response's headers tell of limits; one that is used up holds everybody."""
        if (hold := self._pacing.heard(states)) > 0:
            self.pause(hold, "drained")

    def pause(self, seconds: float, reason: PauseReason = "refused") -> None:
        """Hold everybody for `seconds` from now, unless a longer pause is already on, or nobody waits for so long."""
        if seconds > 0 and self._pause.extend(self._clock.now(), seconds):
            self._observer(Paused(self.name, seconds, reason))
            self._tell_others()

    def end(self, error: FatalError) -> None:
        """Nothing more is sent here; who waits goes elsewhere."""
        self.ended = error
        self._tell_others()

    def _tell_others(self) -> None:
        for gate in (self, *self.others):
            gate._news.happen()
            gate._freed.happen()


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
