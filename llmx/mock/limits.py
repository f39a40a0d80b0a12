"""Rate limits as a provider keeps them: exact sliding windows, no bucket, no burst allowance.

The reference against which our own pacing is tested, so it counts exactly and approximates nothing.
A refused request uses up nothing (some providers count those too). A limit is a number per minute, and
may be enforced in shorter windows: "60,000 requests/minute may be enforced as 1,000 requests/second",
https://platform.openai.com/docs/guides/rate-limits
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from llmx.mock.schedules import LimitsChange

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
        entries, span = self._entries, self._span
        while entries and entries[0][0] + span <= now:  # as `wait` has it, to the last bit
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
    """One limit as its headers tell it, whatever the window is that it is enforced in.

    Args:
        limit: per minute.
        remaining: what the last minute left of it.
        reset_in: seconds until all of it is available again.
    """

    limit: int
    remaining: int
    reset_in: float


@dataclass(frozen=True, slots=True)
class Overrun:
    """Why a request was not admitted.

    Args:
        kind: which limit, by the names of `RateLimits.states`.
        limit: per minute.
        used: in the last minute.
        wait: seconds until it would be admitted; infinite when it is larger than the limit itself.
    """

    kind: str
    limit: int
    used: int
    requested: int
    wait: float


class _Usage:
    """What was counted against one limit: in its last minute, and in the window that it is enforced in.

    Args:
        span: seconds of that window.
    """

    def __init__(self, span: float) -> None:
        self._span = span
        self._minute = Window()
        self._window = self._minute if span == SPAN else Window(span)

    def add(self, now: float, amount: int) -> None:
        """Count `amount` at `now`."""
        self._minute.add(now, amount)
        if self._window is not self._minute:
            self._window.add(now, amount)

    def overrun(self, now: float, kind: str, limit: int, amount: int) -> Overrun | None:
        """Why `amount` does not fit under `limit` per minute now; None if it does."""
        wait = self._wait(now, limit, amount)
        return Overrun(kind, limit, self._minute.total(now), amount, wait) if wait > 0 else None

    def _wait(self, now: float, limit: int, amount: int) -> float:
        if amount > limit:
            return math.inf
        # At least 1, or a small limit in a short window would admit nothing ever. The tolerance is for
        # shares such as 0.1 s of 1,800 per minute, which binary fractions put a hair below 3.
        share = max(1, math.floor(limit * self._span / SPAN + 1e-9))
        # What is larger than a window's share but not than the limit has an empty window for itself.
        return self._window.wait(now, min(amount, share), share)

    def state(self, now: float, limit: int) -> LimitState:
        """How the headers tell it."""
        used, reset_in = self._minute.total(now), self._minute.reset_in(now)
        return LimitState(limit, max(0, limit - used), reset_in)


class RateLimits:
    """Requests and tokens per minute; every limit is optional.

    With windows of w seconds, what is admitted in any w seconds is at most limit * w / 60, rounded down
    but at least 1 request, or else one request alone that has more tokens than that.

    Args:
        rpm: requests per minute, None for no limit.
        tpm: tokens per minute, input plus output, None for no limit.
        itpm, otpm: input tokens and output tokens per minute, in addition to `tpm`.
        window: seconds in which all of them are enforced, above 0.
        changes: of rpm and tpm, at seconds of the clock that `now` is read from. What was counted
            before stays counted.
    """

    def __init__(
        self,
        rpm: int | None,
        tpm: int | None,
        *,
        itpm: int | None = None,
        otpm: int | None = None,
        window: float = SPAN,
        changes: Iterable[LimitsChange] = (),
    ) -> None:
        self._limits = {"requests": rpm, "tokens": tpm, "input-tokens": itpm, "output-tokens": otpm}
        self._changes = deque(sorted(changes, key=lambda change: change.at))
        # What no limit will ever be set for is not counted: the mock must cost little.
        ever = {name for name, limit in self._limits.items() if limit is not None}
        ever |= {"requests" for change in self._changes if change.rpm is not None}
        ever |= {"tokens" for change in self._changes if change.tpm is not None}
        if "tokens" in ever:
            ever |= {"input-tokens", "output-tokens"}
        self._usages = {name: _Usage(window) for name in self._limits if name in ever}

    def admit(self, now: float, input_tokens: int, output_tokens: int) -> Overrun | None:
        """Count the request if it fits, else say what it ran into.

        A provider learns the output only as it is generated; ours knows its answer beforehand and
        charges exactly that.
        """
        self._turn(now)
        amounts = {
            "requests": 1,
            "tokens": input_tokens + output_tokens,
            "input-tokens": input_tokens,
            "output-tokens": output_tokens,
        }
        overruns = [
            overrun
            for name, usage in self._usages.items()
            if (limit := self._limits[name]) is not None
            and (overrun := usage.overrun(now, name, limit, amounts[name])) is not None
        ]
        if overruns:
            return max(overruns, key=lambda overrun: overrun.wait)
        for name, usage in self._usages.items():
            usage.add(now, amounts[name])
        return None

    def states(self, now: float) -> dict[str, LimitState]:
        """The limits by name: requests, tokens, input-tokens, output-tokens.

        Without limits of their own, input and output tokens are told under that of all tokens.
        """
        self._turn(now)
        told = dict(self._limits)
        for name in ("input-tokens", "output-tokens"):
            told[name] = told[name] or told["tokens"]
        return {
            name: usage.state(now, limit)
            for name, usage in self._usages.items()
            if (limit := told[name]) is not None
        }

    def _turn(self, now: float) -> None:
        """Make the changes whose time has come."""
        while self._changes and self._changes[0].at <= now:
            change = self._changes.popleft()
            self._limits["requests"] = change.rpm or self._limits["requests"]
            self._limits["tokens"] = change.tpm or self._limits["tokens"]
