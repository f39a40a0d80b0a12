"""OpenTelemetry for one run after the other: what the variables ask for, or what an application has set up.

What goes wrong here is said once, in a line, and ends no run.
"""

from __future__ import annotations

import asyncio
import atexit
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TextIO

from llmx._version import __version__
from llmx.detached import in_thread
from llmx.errors import LlmxError
from llmx.events import Event, Observer
from llmx.telemetry.asked import Asked, asked
from llmx.telemetry.masking import masked

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from llmx.telemetry.exporting import Providers
    from llmx.telemetry.instruments import Instruments
    from llmx.telemetry.spans import Spans

__all__ = ["Telemetry", "ToldRun", "opened", "told", "told_beside"]

Say = Callable[[str], None]


class ToldRun:
    """An observer of one run; `end` must be called when it is over.

    Args:
        spans: that of the run, None where there is none.
    """

    def __init__(
        self, observers: Sequence[Observer | None], say: Say, providers: Providers | None, spans: Spans | None
    ) -> None:
        self._observers = [one for one in observers if one is not None]
        self._spans = spans
        self._say = say
        self._providers = providers
        self._delivery = None if providers is None else providers.delivery
        self._has_said = False

    def __call__(self, event: Event) -> None:
        """Tell of one event. What fails here has no part in the run, and is left alone from then on."""
        try:
            for observe in self._observers:
                observe(event)
        except Exception as bug:  # noqa: BLE001  of ours or of the SDK's: no run is worth ending for it
            self._observers = []
            self._say_once(f"telemetry has failed ({type(bug).__name__}); the run goes on without it")
        if self._delivery is not None and self._delivery.problems:
            self._say_once(self._delivery.line)

    def end(self, exit_code: int | None = None, reason: LlmxError | None = None) -> None:
        """The run is over; a second time is none.

        Args:
            exit_code: of the process, None where it goes on.
            reason: why the run was stopped, or could not begin.
        """
        spans, self._spans = self._spans, None
        if spans is not None:
            spans.end(exit_code, reason)

    async def ended(self, exit_code: int, reason: LlmxError | None) -> None:
        """The run of a process is over: send what is left, and say what did not get through. See `end`."""
        self.end(exit_code, reason)
        if self._providers is not None:
            await asyncio.wrap_future(in_thread(self._providers.close))
        self.conclude()

    def conclude(self) -> None:
        """Say what a person should know of what has been told, if it has not been said."""
        if self._delivery is not None and self._delivery.line:
            self._say_once(self._delivery.line)

    def _say_once(self, line: str) -> None:
        if not self._has_said:
            self._has_said = True
            self._say(f"warning: {line}")


class Telemetry:
    """Where runs are told.

    Args:
        tracers, meters: OpenTelemetry's; None for what nobody wants.
        providers: whose end is ours, None where they are an application's.
    """

    def __init__(
        self,
        tracers: TracerProvider | None,
        meters: MeterProvider | None,
        *,
        providers: Providers | None = None,
    ) -> None:
        self._tracer: Tracer | None = tracers.get_tracer("llmx", __version__) if tracers else None
        self._instruments: Instruments | None = None
        if meters is not None:
            from llmx.telemetry.instruments import Instruments

            self._instruments = Instruments(meters.get_meter("llmx", __version__))
        self._providers = providers

    def run(self, name: str, say: Say, parent: Mapping[str, str] | None = None) -> ToldRun:
        """An observer of a run that begins now.

        Args:
            name: of its span, such as "llmx extract".
            say: tells a person what does not work.
            parent: a `traceparent`, and perhaps a `tracestate`, of what the run is part of (W3C Trace Context); the
                current span without.
        """
        spans = None
        if self._tracer is not None:
            from llmx.telemetry.spans import Spans

            spans = Spans(self._tracer, name, _context(parent))
        metrics = self._instruments.observer() if self._instruments is not None else None
        return ToldRun([spans, metrics], say, self._providers, spans)

    def standing(self, say: Say) -> ToldRun:
        """An observer of engines that are kept for many requests: their calls are children of what is current there.

        A `RunStarted` tells it what stands behind the names of endpoints.
        """
        spans = None
        if self._tracer is not None:
            from llmx.telemetry.standing import StandingSpans

            spans = StandingSpans(self._tracer)
        metrics = self._instruments.standing() if self._instruments is not None else None
        return ToldRun([spans, metrics], say, self._providers, None)

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        if self._providers is not None:
            self._providers.close()


def _context(parent: Mapping[str, str] | None) -> Context | None:
    """What a run is part of; a `traceparent` that is none is as good as none."""
    if not parent or not parent.get("traceparent"):
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(dict(parent))


def opened(variables: Mapping[str, str], say: Say, console: TextIO | None = None) -> Telemetry | None:
    """What the variables ask for; None where that is nothing, or cannot be had, which is said in a line.

    Args:
        console: where what is for the console goes; standard error by default.
    """
    wanted = asked(variables)
    if wanted is None:
        return None
    for problem in wanted.problems:
        say(f"warning: {problem}")
    if not (wanted.traces or wanted.metrics):
        return None
    if not _is_installed():
        hint = "install the extra: llmx-extract[otel]"
        say(f"warning: {wanted.variable} asks for telemetry, and OpenTelemetry is not installed ({hint})")
        return None
    return _set_up(wanted, variables, say, console or sys.stderr)


def _is_installed() -> bool:
    try:
        return all(find_spec(f"opentelemetry.{name}") for name in ("sdk", "exporter.otlp.proto.http"))
    except ModuleNotFoundError:
        return False


def _set_up(wanted: Asked, variables: Mapping[str, str], say: Say, console: TextIO) -> Telemetry | None:
    try:
        from llmx.telemetry.exporting import Providers

        providers = Providers(wanted, variables, console)
    except Exception as error:  # noqa: BLE001  the SDK raises what it likes for a variable it will not have
        say(
            f"warning: telemetry could not be set up ({type(error).__name__}: {masked(str(error))}); the run goes on without it"
        )
        return None
    for doubt in providers.delivery.doubts:
        say(f"warning: of the variables of OpenTelemetry: {masked(doubt)}")
    return Telemetry(providers.tracers, providers.meters, providers=providers)


@contextmanager
def told(
    variables: Mapping[str, str], say: Say, name: str, console: TextIO | None = None
) -> Iterator[ToldRun | None]:
    """A run of a command, told for as long as the context lasts; None where nobody asks.

    To be entered after a process has been forked, for threads begin here. TRACEPARENT and TRACESTATE name what it is part
    of (https://opentelemetry.io/docs/specs/otel/context/env-carriers/).
    """
    if (telemetry := opened(variables, say, console)) is None:
        yield None
        return
    run = telemetry.run(name, say, _parent(variables))
    try:
        yield run
    except LlmxError as error:
        run.end(error.exit_code, error)
        raise
    finally:
        run.end()
        telemetry.close()
        run.conclude()


_SHARED: list[Telemetry | None] = []
"""The library's, for the process's life: empty before anybody has asked."""


@contextmanager
def told_beside(variables: Mapping[str, str], say: Say) -> Iterator[ToldRun | None]:
    """A run of the library, told for as long as the context lasts; None where that cannot be had.

    With an application's own providers, where it has set any up; else with ours, which last as long as the process and
    send what is left at its exit. The run is part of the current span, or else of what TRACEPARENT names.
    """
    say = _harmlessly(say)
    if not _SHARED:
        _SHARED.append(_application_s() or opened(variables, say))
        if _SHARED[0] is not None:
            atexit.register(_SHARED[0].close)
    if (telemetry := _SHARED[0]) is None:
        yield None
        return
    run = telemetry.run("llmx extract", say, None if _is_within_a_span() else _parent(variables))
    try:
        yield run
    except LlmxError as error:
        run.end(reason=error)
        raise
    finally:
        run.end()


def _harmlessly(say: Say) -> Say:
    """For a process whose warnings are errors: what is said of telemetry ends no run."""

    def said(text: str) -> None:
        with suppress(Warning):
            say(text)

    return said


def _is_within_a_span() -> bool:
    from opentelemetry import trace

    return trace.get_current_span().get_span_context().is_valid


def _parent(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables.get(name.upper(), "") for name in ("traceparent", "tracestate")}


def _application_s() -> Telemetry | None:
    """With the providers that the application has set up for itself, if it has."""
    tracing: Any = sys.modules.get("opentelemetry.trace")
    if tracing is None or not _is_real(tracing.get_tracer_provider()):
        return None
    metering: Any = sys.modules.get("opentelemetry.metrics")
    meters = metering.get_meter_provider() if metering is not None else None
    return Telemetry(tracing.get_tracer_provider(), meters if _is_real(meters) else None)


def _is_real(provider: object) -> bool:
    """Whether somebody has set it, and it is not what OpenTelemetry has in place of one."""
    return provider is not None and not type(provider).__name__.lstrip("_").startswith(("Proxy", "NoOp"))
