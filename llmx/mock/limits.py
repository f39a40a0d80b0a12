"""Rate limits as a provider keeps them: exact sliding windows of 60 s, no bucket, no burst allowance.

The reference against which our own pacing is tested, so it counts exactly and approximates nothing.
A refused request uses up nothing (some providers count those too).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

__all__ = ["LimitState", "Overrun", "RateLimits", "Window"]

SPAN = 60.0


class Window:
    """Amounts added within the last `span` seconds, and the most there ever were.

    An amount added at t counts in every window that ends in [t, t + span).

    Args:
        span: seconds.
    """

    def __init__(self, span: float = SPAN) -> None:
        self._span = span
        self._entries: deque[tuple[float, int]] = deque()
        self._total = 0
        self._peak = 0

    @property
    def peak(self) -> int:
        """The highest total of any window so far."""
        return self._peak

    def add(self, now: float, amount: int) -> None:
        """Count `amount` at `now`, seconds that never go back."""
        total = self.total(now) + amount
        self._total = total
        self._entries.append((now, amount))
        if total > self._peak:
            self._peak = total

    def total(self, now: float) -> int:
        """What the window that ends now holds."""
        entries = self._entries
        horizon = now - self._span
        while entries and entries[0][0] <= horizon:
            self._total -= entries.popleft()[1]
        return self._total

    def wait(self, now: float, amount: int, limit: int) -> float:
        """Seconds until `amount` more fits under `limit`: 0 if it does, infinite if it never will."""
        excess = self.total(now) + amount - limit
        if excess <= 0:
            return 0.0
        for added, held in self._entries:
            excess -= held
            if excess <= 0:
                return added + self._span - now
        return math.inf

    def reset_in(self, now: float) -> float:
        """Seconds until the window is empty."""
        self.total(now)
        return self._entries[-1][0] + self._span - now if self._entries else 0.0


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit as its headers tell it.

    Args:
        reset_in: seconds until all of it is available again.
    """

    limit: int
    remaining: int
    reset_in: float


@dataclass(frozen=True, slots=True)
class Overrun:
    """Why a request was not admitted.

    Args:
        kind: which limit.
        wait: seconds until it would be admitted; infinite when it is larger than the limit itself.
    """

    kind: str
    limit: int
    used: int
    requested: int
    wait: float


class RateLimits:
    """Requests and tokens per minute, both optional.

    Args:
        rpm: requests in any 60 s, None for no limit.
        tpm: tokens in any 60 s, input plus output, None for no limit.
    """

    def __init__(self, rpm: int | None, tpm: int | None) -> None:
        self._rpm = rpm
        self._tpm = tpm
        self._requests = Window()
        self._tokens = Window()
        self._inputs = Window()
        self._outputs = Window()

    def admit(self, now: float, input_tokens: int, output_tokens: int) -> Overrun | None:
        """Count the request if it fits, else say what it ran into.

        A provider learns the output only as it is generated; ours knows its answer beforehand and
        charges exactly that.
        """
        amount = input_tokens + output_tokens
        overruns = [
            Overrun(kind, limit, window.total(now), size, window.wait(now, size, limit))
            for kind, limit, window, size in (
                ("requests", self._rpm, self._requests, 1),
                ("tokens", self._tpm, self._tokens, amount),
            )
            if limit is not None and window.wait(now, size, limit) > 0
        ]
        if overruns:
            return max(overruns, key=lambda overrun: overrun.wait)
        self._count(now, input_tokens, output_tokens)
        return None

    def _count(self, now: float, input_tokens: int, output_tokens: int) -> None:
        if self._rpm is not None:
            self._requests.add(now, 1)
        if self._tpm is not None:
            self._tokens.add(now, input_tokens + output_tokens)
            self._inputs.add(now, input_tokens)
            self._outputs.add(now, output_tokens)

    def states(self, now: float) -> dict[str, LimitState]:
        """The configured limits by name: requests, tokens, input-tokens, output-tokens."""
        states = {}
        if self._rpm is not None:
            states["requests"] = _state(self._requests, now, self._rpm)
        if self._tpm is not None:
            states["tokens"] = _state(self._tokens, now, self._tpm)
            states["input-tokens"] = _state(self._inputs, now, self._tpm)
            states["output-tokens"] = _state(self._outputs, now, self._tpm)
        return states


def _state(window: Window, now: float, limit: int) -> LimitState:
    return LimitState(limit, max(0, limit - window.total(now)), window.reset_in(now))
