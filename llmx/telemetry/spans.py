"""A run's events as spans: one for the run, and one for each call, made when its row has ended.

So late because what happens to a call is told after its end: that it is tried again, that its answer did not fit. Until
then a call is a few numbers. The first rows lie in the run's own trace, so that a small run is one picture; each further row
is a trace of its own with a link to the run, so that no trace grows beyond what a backend takes, and a sampler by ratio,
which decides by the trace, thins them out. Contents are in none of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct, field
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanKind, Status, StatusCode, Tracer

from llmx.errors import LlmxError
from llmx.events import (
    AttemptFailed,
    AttemptSucceeded,
    CircuitClosed,
    CircuitOpened,
    EndpointEnded,
    Event,
    Paused,
    Reasked,
    RetryScheduled,
    RowSettled,
    RowsSettled,
    RowsSkipped,
    RunEnded,
    RunStarted,
)
from llmx.telemetry.calls import Call, call_span
from llmx.telemetry.servers import described
from llmx.types import Outcome, Question, Usage

__all__ = ["IN_THE_RUN", "Spans"]

IN_THE_RUN = 1_000
"""Rows whose calls are children of the run's span."""

_MAYBE_BILLED = Usage(cost=None)


class Spans:
    """An observer of one run.

    Args:
        name: of the run's span.
        parent: what the run is part of, such as the trace of a job of CI; the current span by default.
        now: nanoseconds since 1970, the wall clock's, as the protocol has them.
    """

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        parent: Context | None = None,
        *,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer = tracer
        self._now = now
        self._run = tracer.start_span(name, parent, SpanKind.INTERNAL, start_time=now())
        self._within = trace.set_span_in_context(self._run)
        outer = trace.get_current_span(parent).get_span_context()
        # Whoever has decided that nothing of this trace is wanted wants no rows beside it either.
        self._always_within = outer.is_valid and not outer.trace_flags.sampled
        self._rows_within = 0
        self._servers: dict[str, dict[str, str | int]] = {}
        self._calls: dict[int, list[Call]] = {}
        self._totals = _Totals()
        self._heard: dict[type, Callable[[Any], None]] = {
            AttemptSucceeded: self._answered,
            AttemptFailed: self._failed,
            RetryScheduled: self._retried,
            Reasked: self._reasked,
            RowSettled: lambda event: self._settled(event.outcome),
            RowsSettled: self._all_settled,
            RowsSkipped: self._skipped,
            RunStarted: self._begun,
            RunEnded: lambda event: self._flush(),
            CircuitOpened: lambda event: self._note("llmx.circuit.opened", event.endpoint),
            CircuitClosed: lambda event: self._note("llmx.circuit.closed", event.endpoint),
            EndpointEnded: lambda event: self._note("llmx.endpoint.ended", event.endpoint, event.error.type),
            Paused: lambda event: self._note("llmx.rate_limit.paused", event.endpoint),
        }

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if (heard := self._heard.get(type(event))) is not None:
            heard(event)

    def end(self, exit_code: int | None = None, reason: LlmxError | None = None) -> None:
        """The run is over.

        Args:
            exit_code: of the process, None where it goes on.
            reason: why the run was stopped, or could not begin.
        """
        self._flush()
        for name, value in self._totals.attributes().items():
            self._run.set_attribute(name, value)
        if exit_code is not None:
            self._run.set_attribute("process.exit.code", exit_code)
        if reason is not None or exit_code:
            self._run.set_attribute("error.type", reason.type if reason is not None else "rows_failed")
            self._run.set_status(Status(StatusCode.ERROR))
        self._run.end(self._now())

    # The run

    def _begun(self, event: RunStarted) -> None:
        self._servers = {
            name: described(one) for name, one in zip(event.endpoints, event.served, strict=False)
        }
        about = {"llmx.schema": event.schema, "llmx.model": event.model, "llmx.rows.expected": event.total}
        for name, value in about.items():
            if value is not None:
                self._run.set_attribute(name, value)

    def _note(self, name: str, endpoint: str, error: str = "") -> None:
        attributes = {"llmx.endpoint": endpoint, **({"error.type": error} if error else {})}
        self._run.add_event(name, attributes, self._now())

    # Calls

    def _answered(self, event: AttemptSucceeded) -> None:
        self._totals.spend(event.usage)
        self._came_back(event)

    def _failed(self, event: AttemptFailed) -> None:
        self._totals.spend(_MAYBE_BILLED if event.error.maybe_billed else Usage())
        self._came_back(event)

    def _came_back(self, event: AttemptSucceeded | AttemptFailed) -> None:
        now, of = self._now(), event.question
        before = [] if of is None or of.row is None else self._calls.setdefault(of.row, [])
        before.append(Call.of(event, now, len(before) + 1))
        if of is None or of.row is None:  # it is nobody's, and nothing more will be heard of it
            self._make(None, before)

    def _retried(self, event: RetryScheduled) -> None:
        about = {"error.type": event.error.type, "llmx.retry.delay": event.delay}
        self._note_call(event.question, 0, "llmx.retry", about)

    def _reasked(self, event: Reasked) -> None:
        """Of the answer that did not fit, which is that before the re-ask."""
        self._note_call(event.question, 1, "llmx.reask", {"error.type": event.kind})

    def _note_call(self, of: Question | None, before: int, name: str, attributes: dict[str, Any]) -> None:
        if of is None or of.row is None:
            return
        for call in reversed(self._calls.get(of.row, [])):
            if (call.sample, call.reask) == (of.sample, of.reask - before):
                call.notes.append((name, max(call.ended, self._now()), attributes))
                return

    # Rows

    def _settled(self, outcome: Outcome) -> None:
        self._totals.settle(outcome)
        calls = self._calls.pop(outcome.record.index, None)
        if calls is None:
            return
        if outcome.error is not None:
            calls[-1].notes.append(("llmx.row.failed", self._now(), {"error.type": outcome.error.type}))
        self._make(outcome.record.index, calls)

    def _all_settled(self, event: RowsSettled) -> None:
        for outcome in event.outcomes:
            self._settled(outcome)

    def _skipped(self, event: RowsSkipped) -> None:
        self._totals.rows += event.count

    def _flush(self) -> None:
        """The calls of rows that have not ended, and will not."""
        for row, calls in self._calls.items():
            self._make(row, calls)
        self._calls.clear()

    def _make(self, row: int | None, calls: Sequence[Call]) -> None:
        """The spans of a row's calls: in the run's trace, or the first as the root of one, with the others below it."""
        if self._always_within or self._rows_within < IN_THE_RUN:
            self._rows_within += 1
            for call in calls:
                self._span(row, call, self._within, ())
            return
        first = self._span(row, calls[0], Context(), [Link(self._run.get_span_context())])
        below = trace.set_span_in_context(NonRecordingSpan(first.get_span_context()))
        for call in calls[1:]:
            self._span(row, call, below, ())

    def _span(self, row: int | None, call: Call, within: Context, links: Sequence[Link]) -> Span:
        return call_span(self._tracer, call, row, self._servers.get(call.endpoint), within, links)


class _Totals(Struct):
    """What a run comes to."""

    rows: int = 0
    failed: int = 0
    calls: int = 0
    usage: Usage = field(default_factory=Usage)

    def spend(self, usage: Usage) -> None:
        """One more call has come back."""
        self.calls += 1
        self.usage += usage

    def settle(self, outcome: Outcome) -> None:
        """One more row has ended."""
        self.rows += 1
        self.failed += outcome.error is not None

    def attributes(self) -> dict[str, int | float]:
        """For the run's span; the cost only where all of it is known."""
        cost: Decimal | None = self.usage.cost
        return {
            "llmx.rows": self.rows,
            "llmx.rows.failed": self.failed,
            "llmx.calls": self.calls,
            "llmx.tokens.input": self.usage.input_tokens,
            "llmx.tokens.output": self.usage.output_tokens,
            **({} if cost is None else {"llmx.cost": float(cost)}),
        }
