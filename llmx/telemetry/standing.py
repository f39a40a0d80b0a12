"""The calls of engines that are kept for many requests, as a service has them: each is a span of the request's own trace.

There is no run here: a call is told at once, as a child of the span that is current where it was made. What happens to it
afterwards is an event of that span.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.trace import Tracer

from llmx.events import AttemptFailed, AttemptSucceeded, Event, Reasked, RetryScheduled, RunStarted
from llmx.telemetry.calls import Call, call_span
from llmx.telemetry.servers import described

__all__ = ["StandingSpans"]


class StandingSpans:
    """An observer of all engines of a process.

    Args:
        now: nanoseconds since 1970.
    """

    def __init__(self, tracer: Tracer, *, now: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now = now
        self._servers: dict[str, dict[str, str | int]] = {}

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case AttemptSucceeded() | AttemptFailed():
                call = Call.of(event, self._now(), attempt=0)
                call_span(self._tracer, call, None, self._servers.get(event.endpoint), None)
            case RetryScheduled():
                trace.get_current_span().add_event(
                    "llmx.retry", {"error.type": event.error.type, "llmx.retry.delay": event.delay}
                )
            case Reasked():
                trace.get_current_span().add_event("llmx.reask", {"error.type": event.kind})
            case RunStarted():
                pairs = zip(event.endpoints, event.served, strict=False)
                self._servers |= {name: described(one) for name, one in pairs}
