"""The circuit breaker of one endpoint: a state machine without waits of its own.

    closed     every request passes; opens when, within 60 s, 5 attempts in a row or 10 of the last 20 failed
    open       none passes, for a cool-down of about 30 s, or for as long as the server said: after a probe that failed
               at the time it named, for twice as long as before at least
    half-open  the cool-down is over: exactly one request passes, the probe
    probing    the probe is out: none passes; its answer closes the circuit, its failure opens it again

A refusal for a limit (429) is no failure: whoever says that is there. What comes back while the circuit is open and was
sent before does not close it. But where most of that, sent since the failures began, was answered, they were bad luck,
as happens among many calls of which some always fail; then the cool-down is over.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

__all__ = ["COOL_DOWN", "Breaker", "BreakerState"]

BreakerState = Literal["closed", "open", "half-open", "probing"]

WITHIN = 60.0
"""Seconds that a failure counts for."""

IN_A_ROW = 5
OF_THE_LAST = (10, 20)
"""A plain count of 5 failures in 60 s would open 14 times in 1,500 healthy rows with 5 % of errors."""

LUCK = (2, 2)
"""Late answers that show bad luck: so many at least, and so many times as many as late failures."""

COOL_DOWN = 30.0
JITTER = 0.1
"""Share of the cool-down by which it is longer or shorter, so that many clients do not come back at once."""


class _Attempt(Struct, frozen=True):
    """One attempt: when it ended and began, and how."""

    ended: float
    sent: float
    failed: bool


class Breaker:
    """See the module. Times are the clock's seconds.

    Args:
        cool_down: seconds.
        random: uniform in [0, 1).
    """

    def __init__(self, cool_down: float = COOL_DOWN, *, random: Callable[[], float] = random.random) -> None:
        self._cool_down = cool_down
        self._random = random
        self._history: deque[_Attempt] = deque(maxlen=OF_THE_LAST[1])
        self._last: deque[_Attempt] = deque(maxlen=OF_THE_LAST[1])
        self._began = -math.inf
        self._late = [0, 0]
        self._until = -math.inf
        self._named = 0.0
        self._is_open = False
        self._is_probing = False
        self._closed = -math.inf
        self.down_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests are held back, all or all but one."""
        return self._is_open

    def state(self, now: float) -> BreakerState:
        """Where it stands."""
        if not self._is_open:
            return "closed"
        if self._is_probing:
            return "probing"
        return "open" if now < self._until else "half-open"

    def admits(self, now: float) -> bool:
        """Whether a request may pass now."""
        return not self._is_open or (not self._is_probing and now >= self._until)

    def wait(self, now: float) -> float:
        """Seconds until one may: 0 for now, infinite while a probe is out."""
        if not self._is_open:
            return 0.0
        return math.inf if self._is_probing else max(0.0, self._until - now)

    def sent(self) -> bool:
        """A request passes; whether it is the probe, whose end must be told with `probe`."""
        self._is_probing = self._is_open
        return self._is_probing

    def succeeded(self, now: float, sent: float, *, probe: bool = False) -> bool:
        """An answer came to what was sent at `sent`; whether that closes the circuit."""
        self._last.append(_Attempt(now, sent, False))
        if not self._is_open:
            self._history.append(_Attempt(now, sent, False))
            return False
        if probe:
            self._close(now)
            return True
        self._note_late(now, sent, failed=False)
        return False

    def _note_late(self, now: float, sent: float, *, failed: bool) -> None:
        if sent >= self._began:
            self._late[failed] += 1
        answered, failures = self._late
        if answered >= LUCK[0] and answered >= LUCK[1] * failures:
            self._until = min(self._until, now)

    def _close(self, now: float) -> None:
        self._closed = now
        self._is_open = self._is_probing = False
        self._history.clear()
        self.down_since = None

    def failed(
        self, now: float, sent: float, *, probe: bool = False, retry_after: float | None = None
    ) -> bool:
        """None came; whether that opens the circuit, which a probe's failure does once more.

        Args:
            sent: when the attempt began.
            retry_after: seconds after which the server wants to be asked again, None when it named none.
        """
        self._last.append(_Attempt(now, sent, True))
        if self._is_open and not probe:
            self._note_late(now, sent, failed=True)
            return False
        if sent < self._closed and not probe:  # it hung through the outage that is over
            return False
        self._history.append(_Attempt(now, sent, True))
        began = sent if probe else self._broken_since(now)
        if began is None:
            return False
        self._open(now, began, retry_after)
        return True

    def _broken_since(self, now: float) -> float | None:
        """When the first of the failures was sent that open the circuit, None when they are too few."""
        recent = [attempt for attempt in self._history if attempt.ended > now - WITHIN]
        row = recent[-IN_A_ROW:]
        failures = [attempt for attempt in recent if attempt.failed]
        if len(row) == IN_A_ROW and all(attempt.failed for attempt in row):
            return min(attempt.sent for attempt in row)
        return min(attempt.sent for attempt in failures) if len(failures) >= OF_THE_LAST[0] else None

    def _open(self, now: float, began: float, retry_after: float | None) -> None:
        usual = self._cool_down * (1 - JITTER + 2 * JITTER * self._random())
        self._is_open, self._is_probing = True, False
        self._began, self._late = began, [0, 0]
        again = 2 * self._named if self.down_since is not None else 0.0
        self._named = 0.0 if retry_after is None else max(retry_after, again)
        self._until = now + (usual if retry_after is None else min(usual, self._named))
        if self.down_since is None:
            self.down_since = now

    def released(self) -> None:
        """The probe came to no end that says anything: another may go."""
        self._is_probing = False

    def failing(self, now: float) -> float:
        """The share of the last 20 attempts, within 60 s, that failed; 0 to 1. A circuit that closes forgets none."""
        recent = [attempt.failed for attempt in self._last if attempt.ended > now - WITHIN]
        return sum(recent) / len(recent) if recent else 0.0
