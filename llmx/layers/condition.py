"""How one endpoint does: whether its circuit, a pause, its places or its pace hold a request back, and what every
answer, failure and header says of that.

Nobody waits here, and nothing is sent: who may go, and in which order, is the gate's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from llmx.clock import Clock, Signal
from llmx.errors import CallTimeout, RateLimited, RowError, ServerError, TransientError
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
from llmx.layers.breaker import Breaker
from llmx.layers.health import Health
from llmx.layers.pacing import Pacing, Reserved
from llmx.layers.pause import Pause
from llmx.layers.retry_budget import RetryBudget
from llmx.types import Completion, LimitState, Request, Tally

__all__ = ["Call", "Condition"]

OVERLOADED = (CallTimeout, ServerError)

FAR = 1e6
"""In place of what is infinite."""


class Call(Struct, frozen=True):
    """One request that was sent.

    Args:
        sent: when it went.
        expected: the tokens that it took of limits.
        tally: its row's.
        probe: it finds out for all others whether the server is up again.
    """

    sent: float
    expected: Reserved
    tally: Tally
    probe: bool


class Condition:
    """See the module.

    Args:
        name: the endpoint's, in events.
        max_wait: seconds; a longer Retry-After is nobody's pause: the retry layer ends the endpoint for it.

    Attributes:
        in_flight: calls.
        changed: happens when its circuit or a pause has become another one.
        freed: happens when a call has come back.
    """

    def __init__(
        self,
        name: str,
        *,
        pacing: Pacing,
        concurrency: AdaptiveConcurrency,
        health: Health,
        breaker: Breaker,
        max_wait: float = math.inf,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self.in_flight = 0
        self.changed = Signal()
        self.freed = Signal()
        self._name = name
        self._pacing = pacing
        self._concurrency = concurrency
        self._health = health
        self._breaker = breaker
        self._pause = Pause(max_wait)
        self._retries = RetryBudget()
        self._clock = clock
        self._observer = observer

    # What holds a request back

    @property
    def is_full(self) -> bool:
        """Whether as many calls are in flight as may be."""
        return self.in_flight >= self._concurrency.limit

    def admits(self) -> bool:
        """Whether its circuit lets a request through."""
        return self._breaker.admits(self._clock.now())

    def paused(self) -> float:
        """Seconds until the end of a pause, 0 without one."""
        return max(0.0, self._pause.left(self._clock.now()))

    def open_for(self) -> float:
        """Seconds until its circuit lets a request through: 0 for now, infinite while a probe is out."""
        return self._breaker.wait(self._clock.now())

    def down_for(self) -> float | None:
        """Seconds since its circuit opened, None while it is closed."""
        since = self._breaker.down_since
        return None if since is None else self._clock.now() - since

    def is_paced(self) -> bool:
        """Whether it is the rate that was found that holds a request back."""
        return not self.is_full and self._pacing.too_early() > max(self.paused(), self.open_for())

    def load(self, rows: int) -> float:
        """About how long a row would wait behind so many, in seconds, of those that a call takes one."""
        held = self.paused() + min(self.open_for(), FAR)
        return held + rows / min(self._pacing.per_second, FAR) + rows / self._concurrency.limit

    def wait(self) -> float:
        """Seconds until it is worth looking again, infinite until a place is free; 0 when the way is free."""
        if self.is_full:
            return math.inf
        if self._has_no_past:  # as most have; this is looked at several times a call
            return 0.0
        return max(self.paused(), self.open_for(), self._pacing.too_early())

    @property
    def _has_no_past(self) -> bool:
        """Whether nothing has ever held requests back, or no trace of that is left."""
        return not (self._breaker.is_open or self._pause.was_ever or self._pacing.is_cautious)

    def retry_wait(self) -> float:
        """Count a retry, if the retry budget has room for one, and return 0; else seconds until it is worth asking."""
        now = self._clock.now()
        return self._retries.take(now, self._breaker.failing(now))

    # What goes out, and comes back

    def sent(self, request: Request, expected: Reserved) -> Call:
        """A request goes out now."""
        now, tally = self._clock.now(), request.tally
        probe = self._breaker.sent()
        if probe:
            self._observer(CircuitProbing(self._name))
        if tally.failures or tally.refused_at is not None:
            self._observer(RetrySent(self._name))
        else:
            self._retries.first(now)
        self.in_flight += 1
        self._pacing.sent(now, expected)
        return Call(now, expected, tally, probe)

    def answered(self, completion: Completion, call: Call, *, crowded: bool) -> None:
        """A good answer came, valid or not.

        Args:
            crowded: others wait.
        """
        now = self._clock.now()
        self._health.good(now)
        self._pause.answered()
        self._is_there(now, call)
        self._pacing.answered(completion.usage, call.expected, call.sent)
        call.tally.alone, call.tally.refused_at = 0, None
        self._left(crowded, seconds=now - call.sent)

    def failed(self, error: BaseException, call: Call, *, crowded: bool) -> None:
        """None came."""
        now = self._clock.now()
        if isinstance(error, RateLimited):
            self._refused(now, error, call)
        elif isinstance(error, TransientError):
            self._broke(now, error, call)
        elif isinstance(error, RowError):  # it was the request: the server is there
            self._is_there(now, call)
        elif call.probe:
            self._breaker.released()
        if isinstance(error, OVERLOADED) and error.retry_after:
            self.pause(error.retry_after, "failed")
        self._left(crowded, overloaded=isinstance(error, OVERLOADED))

    def _refused(self, now: float, error: RateLimited, call: Call) -> None:
        """A limit: pacing, not failure."""
        was_alone = self._health.is_alone(call.tally)
        self._health.refused(now, call.tally, error.retry_after or 0.0)
        if call.probe:
            self._is_there(now, call)
        if self._health.is_alone(call.tally):
            if not was_alone:  # what was learnt from its refusals was wrong
                self._pacing.forget()
            return
        self._pacing.refused(call.sent, error.retry_after)
        self._concurrency.refused(now, sent=call.sent)
        back_off = self._pause.refused(now, call.sent)
        self.pause(error.retry_after or back_off, "refused" if error.retry_after else "unnamed")

    def _broke(self, now: float, error: TransientError, call: Call) -> None:
        if isinstance(error, ServerError):
            self._health.reached = True
        if not self._health.reached:  # a wrong address is no outage
            return
        since = self.down_for() or 0.0
        if self._breaker.failed(now, call.sent, probe=call.probe, retry_after=error.retry_after):
            self._observer(CircuitOpened(self._name, self._breaker.wait(now), str(error), since))
            self.changed.happen()

    def _is_there(self, now: float, call: Call) -> None:
        if self._breaker.succeeded(now, call.sent, probe=call.probe):
            self._observer(CircuitClosed(self._name))
            self.changed.happen()

    def _left(self, crowded: bool, *, seconds: float | None = None, overloaded: bool = False) -> None:
        """A call is back.

        Args:
            seconds: how long its answer took, None if it got none.
        """
        before = self._concurrency.limit
        self._concurrency.ended(seconds, full=self.is_full and crowded, overloaded=overloaded)
        self.in_flight -= 1
        if self._concurrency.limit != before:
            self._observer(ConcurrencySet(self._name, self._concurrency.limit))
        self.freed.happen()
        if self._breaker.down_since is not None:  # a late answer may have shown bad luck, or a probe nothing
            self.changed.happen()

    def heard(self, states: Sequence[LimitState]) -> None:
        """Take note of what a response's headers tell of limits; one that is used up holds everybody."""
        if (hold := self._pacing.heard(states)) > 0:
            self.pause(hold, "drained")

    def hold(self, seconds: float) -> bool:
        """Hold everybody for `seconds` from now; whether that is longer than before. Nobody is told of it."""
        longer = seconds > 0 and self._pause.extend(self._clock.now(), seconds)
        if longer:
            self.changed.happen()
        return longer

    def pause(self, seconds: float, reason: PauseReason = "refused") -> None:
        """Hold everybody for `seconds` from now, unless a longer pause is already on, or nobody waits for so long."""
        if self.hold(seconds):
            self._observer(Paused(self._name, seconds, reason))
