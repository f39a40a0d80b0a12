"""What the simulated provider saw: the numbers behind `GET /stats` and the bodies behind `GET /log`.

Only calls to a model are counted, not the questions about them.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

import orjson

from llmx.mock.limits import Window

__all__ = ["RequestLog", "Stats", "Timeline"]


class Stats:
    """Counts since the start or the last reset; `in_flight` outlives a reset, being a fact of now.

    Times are seconds since the first call.
    """

    def __init__(self, in_flight: int = 0) -> None:
        self._statuses: Counter[str] = Counter()
        self._endpoints: Counter[str] = Counter()
        self._calls = self._refusals = self._malformed = 0
        self._input_tokens = self._output_tokens = 0
        self._in_flight = self._max_in_flight = in_flight
        self._minute, self._second, self._tokens = Window(60.0), Window(1.0), Window(60.0)
        self._refused_by_limit = self._abandoned = 0
        self._admissions, self._timeline = Window(60.0), Timeline()
        # hash() of bytes is 64 bits: over a million bodies, a collision has odds of 1 in 10^7.
        self._seen: set[int] = set()
        self._answered: set[int] = set()
        self._answered_again = 0

    @property
    def in_flight(self) -> int:
        """Calls that came and whose reply has not left."""
        return self._in_flight

    def arrived(self, endpoint: str, body: bytes, now: float) -> None:
        """A call is here."""
        self._calls += 1
        self._endpoints[endpoint] += 1
        self._seen.add(hash(body))
        self._minute.add(now, 1)
        self._second.add(now, 1)
        self._in_flight += 1
        if self._in_flight > self._max_in_flight:
            self._max_in_flight = self._in_flight

    def decided(self, outcome: str) -> None:
        """What became of it: a status, "hang" or "drop"."""
        self._statuses[outcome] += 1

    def admitted(self, tokens: int, now: float) -> None:
        """It passed the limits, which have these tokens counted; what becomes of it is another matter."""
        self._admissions.add(now, 1)
        self._timeline.add(now, tokens)

    def refused_by_limit(self) -> None:
        """It came too soon; one larger than a limit is none of these."""
        self._refused_by_limit += 1

    def judged(self, *, refusal: bool, malformed: bool) -> None:
        """What its answer is worth."""
        self._refusals += refusal
        self._malformed += malformed

    def charged(self, body: bytes, input_tokens: int, output_tokens: int, now: float) -> None:
        """It was answered, and a provider would have charged for it."""
        self._input_tokens += input_tokens
        self._output_tokens += output_tokens
        self._tokens.add(now, input_tokens + output_tokens)
        fingerprint = hash(body)
        self._answered_again += fingerprint in self._answered
        self._answered.add(fingerprint)

    def ended(self, *, abandoned: bool) -> None:
        """Its reply left, or its client did."""
        self._in_flight -= 1
        self._abandoned += abandoned

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON types; what each number means is in the keys."""
        return {
            "calls": self._calls,
            "statuses": dict(self._statuses),
            "endpoints": dict(self._endpoints),
            "input_tokens": self._input_tokens,
            "output_tokens": self._output_tokens,
            "in_flight": self._in_flight,
            "max_in_flight": self._max_in_flight,
            "busiest_60s_calls": self._minute.peak,
            "busiest_1s_calls": self._second.peak,
            "busiest_60s_tokens": self._tokens.peak,
            "refusals": self._refusals,
            "malformed": self._malformed,
            "distinct": len(self._seen),
            "duplicates": self._calls - len(self._seen),
            "answered_again": self._answered_again,
            "refused_by_limit": self._refused_by_limit,
            "abandoned": self._abandoned,
            "busiest_60s_answered": self._admissions.peak,
            "admitted": self._timeline.snapshot(),
        }


class Timeline:
    """Calls and tokens second by second; seconds without a call are left out.

    Args:
        span: seconds that are kept, the latest.
    """

    def __init__(self, span: int = 3600) -> None:
        self._span = span
        self._seconds: deque[list[int]] = deque()

    def add(self, now: float, tokens: int) -> None:
        """Count one call and its tokens in the second that `now` is in; `now` never goes back."""
        second = int(now)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
            while self._seconds[0][0] <= second - self._span:
                self._seconds.popleft()
        latest = self._seconds[-1]
        latest[1] += 1
        latest[2] += tokens

    def snapshot(self) -> list[list[int]]:
        """Oldest first: the second, its calls, its tokens."""
        return [list(second) for second in self._seconds]


class RequestLog:
    """The latest request bodies, as they came; headers, and so keys, are never kept.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int) -> None:
        self._bodies: deque[tuple[str, bytes]] = deque(maxlen=size)

    def add(self, path: str, body: bytes) -> None:
        """Remember one."""
        self._bodies.append((path, body))

    def snapshot(self) -> list[dict[str, Any]]:
        """Oldest first: the path, and the body as JSON, or as text where it is none."""
        return [{"path": path, "body": _readable(body)} for path, body in self._bodies]


def _readable(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
