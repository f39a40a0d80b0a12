"""The figures as Prometheus reads them, in a registry of their own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from llmx.errors import UsageError
from llmx.events import Observer
from llmx.telemetry.counts import Counts
from llmx.telemetry.figures import FIGURES, SECONDS, Figure

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""


class Metrics:
    """Figures of all runs in a process.

    >>> metrics = Metrics()
    >>> outcomes = llmx.extract(rows, schema, model="local", observer=metrics.observer())
    >>> print(metrics.exposition())

    Args:
        registry: whose other figures are shown beside these; one of its own by default, never prometheus_client's global one.

    Raises:
        UsageError: prometheus_client is not installed.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._client = _client()
        self._counts = Counts()
        self.registry: CollectorRegistry = registry or self._client.CollectorRegistry()
        self.registry.register(_Collector(self._counts))

    def observer(self) -> Observer:
        """For one run at a time; runs that go on together, in whatever threads, need one each."""
        return self._counts.observer()

    def standing(self) -> Observer:
        """For engines that are kept for many requests, as a service has them: nobody tells it of a run's beginning or end.

        A `RunStarted` tells it what stands behind the names of endpoints, and counts no run. One for each thread.
        """
        return self._counts.standing()

    def exposition(self) -> str:
        """All figures in Prometheus' text format, which is `CONTENT_TYPE`; may be asked for by any thread."""
        text: bytes = self._client.generate_latest(self.registry)
        return text.decode()


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise UsageError(
            "metrics need the package prometheus-client", hint="install the extra: llmx-extract[serve]"
        ) from error
    return prometheus_client


class _Collector:
    """Makes metric families of the figures when they are asked for."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Any]:
        """See `prometheus_client.registry.Collector`."""
        for figure in FIGURES:
            yield self._family(figure)
        yield self._latencies()

    def _family(self, figure: Figure) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        kind = CounterMetricFamily if figure.rises else GaugeMetricFamily
        family = kind(figure.prometheus, figure.help, labels=figure.labels)
        for labels, number in self._counts.numbers(figure.name).items():
            family.add_metric(labels, number)
        return family

    def _latencies(self) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        bounds = [*map(str, SECONDS), "+Inf"]
        words = "Seconds from when a call was sent until it came back."
        family = HistogramMetricFamily("llmx_call_seconds", words, labels=("endpoint", "model", "outcome"))
        for labels, (buckets, total) in self._counts.latencies().items():
            family.add_metric(labels, list(zip(bounds, accumulate(buckets), strict=True)), total)
        return family
