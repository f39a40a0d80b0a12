"""The figures as OpenTelemetry's metrics, read when they are collected, and its two histograms of calls.

Histograms, which OpenTelemetry cannot read from anybody, are the only ones that cost something for each call. What a server
says of itself (the model that answered) is in none of them: it might be anything, and each new value would be a series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from llmx.events import AttemptFailed, AttemptSucceeded, Event, Observer, RunStarted, fan_out
from llmx.telemetry.counts import Counts
from llmx.telemetry.figures import ATTRIBUTES, FIGURES, SECONDS, TOKENS, Figure
from llmx.telemetry.servers import OPERATION, described

__all__ = ["Instruments"]


class Instruments:
    """The metrics of all runs whose observers it has made."""

    def __init__(self, meter: Meter) -> None:
        self._counts = Counts()
        for figure in FIGURES:
            if figure.otel:
                self._create(meter, figure)
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def _create(self, meter: Meter, figure: Figure) -> None:
        create = meter.create_observable_counter if figure.rises else meter.create_observable_up_down_counter
        create(figure.otel, [self._reader(figure)], figure.unit, figure.help)

    def _reader(self, figure: Figure) -> Callable[[CallbackOptions], Iterable[Observation]]:
        names = [ATTRIBUTES[label] for label in figure.labels]

        def read(options: CallbackOptions) -> Iterable[Observation]:
            for labels, number in self._counts.numbers(figure.name).items():
                pairs = zip(names, labels, strict=True)
                yield Observation(number, {name: label for name, label in pairs if label})

        return read

    def observer(self) -> Observer:
        """For one run at a time."""
        return fan_out(self._counts.observer(), _Recorder(self._seconds.record, self._tokens.record))

    def standing(self) -> Observer:
        """For engines that are kept; see `Counts.standing`."""
        return fan_out(self._counts.standing(), _Recorder(self._seconds.record, self._tokens.record))


Record = Callable[[float, dict[str, Any]], None]


class _Recorder:
    """Puts calls into the histograms."""

    def __init__(self, seconds: Record, tokens: Record) -> None:
        self._seconds = seconds
        self._tokens = tokens
        self._servers: dict[str, dict[str, str | int]] = {}

    def __call__(self, event: Event) -> None:
        """Take note of a call that came back."""
        if isinstance(event, AttemptSucceeded):
            of = self._of(event.endpoint)
            self._seconds(event.seconds, of)
            self._tokens(event.usage.input_tokens, {**of, "gen_ai.token.type": "input"})
            self._tokens(event.usage.output_tokens, {**of, "gen_ai.token.type": "output"})
        elif isinstance(event, AttemptFailed):
            self._seconds(event.seconds, {**self._of(event.endpoint), "error.type": event.error.type})
        elif isinstance(event, RunStarted):
            pairs = zip(event.endpoints, event.served, strict=False)
            self._servers |= {name: described(one) for name, one in pairs}

    def _of(self, endpoint: str) -> dict[str, str | int]:
        return self._servers.get(endpoint, {"gen_ai.operation.name": OPERATION})
