"""Events folded into figures: of many runs together, in constant memory, whatever thread each runs in.

Nothing here knows who reads the figures.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from llmx.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    CircuitClosed,
    CircuitOpened,
    Escalated,
    Event,
    FellBack,
    HedgeSent,
    Observer,
    Paused,
    Reasked,
    RetrySent,
    RowSettled,
    RowsSettled,
    RowsSkipped,
    RunEnded,
    RunStarted,
    Throttled,
)
from llmx.telemetry.figures import FIGURES, SECONDS, FigureName
from llmx.types import Outcome, Usage

__all__ = ["Counts", "Latencies"]

Labels = tuple[str, ...]


class Latencies:
    """How long calls took: how many were in each of the buckets of `SECONDS`, and beyond the last; and the sum."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


class Counts:
    """The figures of all runs whose observers it has made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[FigureName, defaultdict[Labels, float]] = {
            figure.name: defaultdict(int) for figure in FIGURES
        }
        self._latencies: defaultdict[Labels, Latencies] = defaultdict(Latencies)

    def observer(self) -> Observer:
        """Counts one run at a time; runs that go on together need one each."""
        return _Run(self._numbers, self._latencies, self._lock)

    def standing(self) -> Observer:
        """Counts what engines do that are kept for many requests, all those of one thread; a start is no run's there."""
        return _Standing(self._numbers, self._latencies, self._lock)

    def numbers(self, name: FigureName) -> Mapping[Labels, float]:
        """A figure as it is now, by its labels."""
        with self._lock:
            return dict(self._numbers[name])

    def latencies(self) -> Mapping[Labels, tuple[list[int], float]]:
        """Buckets and sums, by endpoint, model and outcome."""
        with self._lock:
            return {labels: (list(one.buckets), one.sum) for labels, one in self._latencies.items()}


class _Run:
    """The observer of one run: what it has taken part of in a gauge, it gives back at its end."""

    def __init__(
        self,
        numbers: dict[FigureName, defaultdict[Labels, float]],
        latencies: defaultdict[Labels, Latencies],
        lock: threading.Lock,
    ) -> None:
        self._numbers = numbers
        self._latencies = latencies
        self._lock = lock
        self._models: dict[str, str] = {}
        self._held: dict[tuple[FigureName, Labels], float] = {}
        self._limits: dict[str, str] = {}
        self._goes_on = True
        self._heard: dict[type, Callable[[Any], None]] = {
            RunStarted: self._begin,
            RunEnded: self._end,
            RowSettled: lambda event: self._row(event.outcome),
            RowsSettled: self._rows,
            RowsSkipped: self._skipped,
            AttemptStarted: lambda event: self._hold("in_flight", self._at(event.endpoint), 1),
            AttemptSucceeded: self._answered,
            AttemptFailed: self._failed,
            RetrySent: lambda event: self._add("retries", self._at(event.endpoint)),
            Reasked: lambda event: self._add("reasks", (event.kind,)),
            FellBack: lambda event: self._add("fallbacks", self._at(event.endpoint)),
            HedgeSent: lambda event: self._add("hedges", self._at(event.endpoint)),
            Escalated: lambda event: self._add("escalations", self._at(event.endpoint)),
            Paused: lambda event: self._add("pauses", (*self._at(event.endpoint), event.reason)),
            CircuitOpened: self._opened,
            CircuitClosed: lambda event: self._set("circuit_open", self._at(event.endpoint), 0),
            Throttled: self._throttled,
        }

    def __call__(self, event: Event) -> None:
        """Fold one event."""
        if (heard := self._heard.get(type(event))) is not None:
            with self._lock:
                heard(event)

    # Figures

    def _at(self, endpoint: str) -> Labels:
        return endpoint, self._models.get(endpoint) or endpoint.partition("/")[2]

    def _add(self, name: FigureName, labels: Labels, amount: float = 1) -> None:
        self._numbers[name][labels] += amount

    def _hold(self, name: FigureName, labels: Labels, amount: float) -> None:
        """Take more of a gauge, or give some back; after the end of the run there is nothing to give back."""
        if self._goes_on:
            self._numbers[name][labels] += amount
            self._held[name, labels] = self._held.get((name, labels), 0) + amount

    def _set(self, name: FigureName, labels: Labels, amount: float) -> None:
        self._hold(name, labels, amount - self._held.get((name, labels), 0))

    def _let_go(self) -> None:
        for (name, labels), amount in self._held.items():
            self._numbers[name][labels] -= amount
        self._held.clear()
        self._limits.clear()

    # Events

    def _begin(self, event: RunStarted) -> None:
        self._let_go()
        self._goes_on = True
        self._hold("runs_in_progress", (), 1)
        self._introduce(event)

    def _introduce(self, event: RunStarted) -> None:
        """Learn what endpoints are called; what is 0 of them is to be seen to be."""
        self._models |= {name: one.model for name, one in zip(event.endpoints, event.served, strict=False)}
        for endpoint in event.endpoints:
            self._hold("circuit_open", self._at(endpoint), 0)
            self._hold("in_flight", self._at(endpoint), 0)

    def _end(self, event: RunEnded) -> None:
        self._let_go()
        self._goes_on = False
        self._add("runs", ("complete" if event.complete else "stopped",))

    def _row(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self._add("rows", ("ok", outcome.source, ""))
        else:
            self._add("rows", ("failed", "", outcome.error.type))

    def _rows(self, event: RowsSettled) -> None:
        for outcome in event.outcomes:
            self._row(outcome)

    def _skipped(self, event: RowsSkipped) -> None:
        if event.count:
            self._add("rows", ("ok", "journal", ""), event.count)

    def _answered(self, event: AttemptSucceeded) -> None:
        at = self._at(event.endpoint)
        self._hold("in_flight", at, -1)
        self._add("calls", (*at, "ok", ""))
        self._latencies[*at, "ok"].add(event.seconds)
        self._use(at, event.usage)

    def _use(self, at: Labels, usage: Usage) -> None:
        self._add("tokens", (*at, "input"), usage.input_tokens)
        self._add("tokens", (*at, "output"), usage.output_tokens)
        if usage.cached_tokens:
            self._add("cached_tokens", at, usage.cached_tokens)
        if usage.cost is None:
            self._add("unpriced_calls", at)
        else:
            self._add("cost", at, float(usage.cost))

    def _failed(self, event: AttemptFailed) -> None:
        at = self._at(event.endpoint)
        self._hold("in_flight", at, -1)
        self._add("calls", (*at, "failed", event.error.type))
        self._latencies[*at, "failed"].add(event.seconds)
        if event.error.maybe_billed:
            self._add("unpriced_calls", at)

    def _opened(self, event: CircuitOpened) -> None:
        self._add("circuit_openings", self._at(event.endpoint))
        self._set("circuit_open", self._at(event.endpoint), 1)

    def _throttled(self, event: Throttled) -> None:
        at = self._at(event.endpoint)
        if before := self._limits.pop(event.endpoint, ""):
            self._set("waiting", (*at, before), 0)
        if event.limit is not None:
            self._limits[event.endpoint] = event.limit
            self._set("waiting", (*at, event.limit), 1)


class _Standing(_Run):
    """The observer of engines that are kept: neither begins a run nor ends one."""

    def _begin(self, event: RunStarted) -> None:
        self._introduce(event)

    def _end(self, event: RunEnded) -> None:
        """Another engine may go on."""
