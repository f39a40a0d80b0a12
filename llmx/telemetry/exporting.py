"""OpenTelemetry's SDK, set up by its own variables and held in: a collector that is dead slows, fails and floods nothing.

Queues are the SDK's and bounded; exports happen on its threads. What it would log for every failure is heard here, and comes
to one line. The end waits a few seconds at most.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TextIO

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExportResult,
)

from llmx._version import __version__
from llmx.providers.wording import without_secrets
from llmx.telemetry.asked import Asked
from llmx.text import harmless

__all__ = ["Delivery", "Providers"]

LAST = 5.0
"""Seconds that the end waits for what has not been sent."""

HOPELESS = 1.0
"""Seconds that it waits for a collector that does not answer."""

Signal = Literal["spans", "metrics"]

_LOOK = 0.02
_PHRASE = 40
_TRANSIENT = "Transient error"
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")


class Delivery(logging.Handler):
    """How far what is told gets through: heard from exporters, and from what the SDK logs.

    Attributes:
        spans, sent: that have ended and are wanted; that a collector has taken.
        failing: of what the last try failed: "spans", "metrics".
        problems: why the first try failed, of each that ever did.
        doubts: what the SDK says of variables while it is set up.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(logging.WARNING)
        self._variables = variables
        self.spans = self.sent = 0
        self.failing: set[Signal] = set()
        self.problems: dict[Signal, str] = {}
        self.doubts: list[str] = []
        self.is_set_up = False
        self._reached: set[Signal] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Hear of a failure, in place of having it printed each time."""
        signal: Signal = "metrics" if "metric" in record.name else "spans"
        if not self.is_set_up:
            self.doubts.append(record.getMessage())
        elif record.levelno >= logging.ERROR or str(record.msg).startswith(_TRANSIENT):
            self.failing.add(signal)
            self.problems.setdefault(signal, _reason(record))

    def succeeded(self, signal: Signal, spans: int = 0) -> None:
        """A collector has taken something."""
        self.failing.discard(signal)
        self.sent += spans
        self._reached.add(signal)

    def gave_up(self, signal: Signal) -> None:
        """Nobody waits any longer for what has not been taken."""
        if signal not in self._reached:
            self.problems.setdefault(signal, "no answer in time")

    @property
    def line(self) -> str:
        """What a person should know, "" for nothing."""
        if self.problems:
            what, why = " and ".join(sorted(self.problems, reverse=True)), next(iter(self.problems.values()))
            return f"{what} do not reach {self.address} ({why}); the run goes on without"
        if self.sent < self.spans:
            lost = self.spans - self.sent
            return f"{lost:,} of {self.spans:,} spans could not be sent; OTEL_TRACES_SAMPLER has fewer of them made"
        return ""

    @property
    def address(self) -> str:
        """Where things go, as it may be shown."""
        signal = "TRACES" if "spans" in self.problems else "METRICS"
        names = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        given = next((value for name in names if (value := self._variables.get(name))), "")
        return without_secrets(given) if given else "http://localhost:4318"


def _reason(record: logging.LogRecord) -> str:
    """A few words of a failure, without addresses, which may hold what is secret."""
    text = record.getMessage()
    if found := _ERRNO.search(text):
        return found[1].strip().lower()
    if found := re.search(r"code: (\d{3})", text):
        return f"HTTP {found[1]}"
    if "timed out" in text.lower() or "timeout" in text.lower():
        return "no answer in time"
    if (
        record.msg.startswith(_TRANSIENT)
        and isinstance(record.args, tuple)
        and isinstance(record.args[0], str)
    ):
        return harmless(record.args[0][:_PHRASE]).lower()  # the phrase of an HTTP status
    return "no connection"


class _Counted(SpanProcessor):
    """Counts the spans that are wanted."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor`."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._delivery.spans += 1


class _Spans(OTLPSpanExporter):
    """Whose successes are heard of."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter`."""
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self._delivery.succeeded("spans", len(spans))
        return result


class _Metrics(OTLPMetricExporter):
    """Whose successes are heard of."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__()
        self._delivery = delivery

    def export(self, *args: Any, **options: Any) -> MetricExportResult:
        """See `MetricExporter`."""
        result = super().export(*args, **options)
        if result is MetricExportResult.SUCCESS:
            self._delivery.succeeded("metrics")
        return result


class Providers:
    """What the variables ask for, ready to be used.

    Args:
        console: where what is for the console goes; never standard output, which is for rows.

    Raises:
        Exception: a variable that OpenTelemetry's SDK will not have.
    """

    def __init__(self, asked: Asked, variables: Mapping[str, str], console: TextIO) -> None:
        self.delivery = Delivery(variables)
        _listen(self.delivery)
        resource = _resource(variables)
        self.tracers = _tracers(asked, resource, self.delivery, console) if asked.traces else None
        self.meters = _meters(asked, resource, self.delivery, console) if asked.metrics else None
        self._endings: list[_Ending] = []
        if self.tracers is not None:
            self._endings.append(_Ending("spans", self.tracers.shutdown))
        if self.meters is not None:
            self._endings.append(_Ending("metrics", self.meters.shutdown))
        self.delivery.is_set_up = True

    def close(self) -> None:
        """Send what is left, for `LAST` seconds at most; for `HOPELESS` where nobody answers. A second time is none."""
        endings, self._endings = self._endings, []
        begun = time.monotonic()
        for ending in endings:
            ending.wanted.set()
        with contextlib.suppress(KeyboardInterrupt):  # the run itself is done
            for ending in endings:
                self._await(ending, begun)

    def _await(self, ending: _Ending, begun: float) -> None:
        while not ending.done.wait(_LOOK):
            limit = HOPELESS if ending.signal in self.delivery.failing else LAST
            if time.monotonic() - begun > limit:
                self.delivery.gave_up(ending.signal)
                return


class _Ending(threading.Thread):
    """A thread that will shut something down: it is there beforehand, for at a process's exit none can be started.

    A daemon: whoever has waited long enough leaves it behind.
    """

    def __init__(self, signal: Signal, shutdown: Callable[[], object]) -> None:
        super().__init__(name="llmx-telemetry-end", daemon=True)
        self.signal = signal
        self._shutdown = shutdown
        self.wanted, self.done = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        """See `Thread`."""
        self.wanted.wait()
        self._shutdown()
        self.done.set()


def _listen(delivery: Delivery) -> None:
    """Hear what the SDK logs; who has set no logging up is not shown it."""
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(delivery)
    logger.propagate = bool(logging.getLogger().handlers)


def _resource(variables: Mapping[str, str]) -> Resource:
    """Who we are: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, else llmx."""
    own = {"service.name": "llmx", "service.version": __version__}
    named = Resource.create().attributes
    is_named = bool(variables.get("OTEL_SERVICE_NAME")) or "service.name=" in variables.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    given = {name: value for name, value in named.items() if name != "service.name" or is_named}
    return Resource({**own, **given})


def _tracers(asked: Asked, resource: Resource, delivery: Delivery, console: TextIO) -> TracerProvider:
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if "otlp" in asked.traces:
        provider.add_span_processor(_Counted(delivery))
        provider.add_span_processor(BatchSpanProcessor(_Spans(delivery)))
    if "console" in asked.traces:
        exporter = ConsoleSpanExporter(out=console, formatter=lambda span: span.to_json(indent=None) + "\n")
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _meters(asked: Asked, resource: Resource, delivery: Delivery, console: TextIO) -> MeterProvider:
    exporters: list[MetricExporter] = []
    if "otlp" in asked.metrics:
        exporters.append(_Metrics(delivery))
    if "console" in asked.metrics:
        exporters.append(
            ConsoleMetricExporter(out=console, formatter=lambda data: data.to_json(indent=None) + "\n")
        )
    readers = [PeriodicExportingMetricReader(exporter) for exporter in exporters]
    return MeterProvider(readers, resource, shutdown_on_exit=False)
