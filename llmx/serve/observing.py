"""Where a service's figures and traces go: Prometheus' figures always, OpenTelemetry where its variables ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from llmx.events import Observer, fan_out
from llmx.jobs.types import ShardRef
from llmx.telemetry.logs import bound
from llmx.telemetry.metrics import Metrics
from llmx.telemetry.telling import Telemetry, opened

__all__ = ["Observing", "observed"]

SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)


class Observing:
    """See the module.

    Args:
        telemetry: OpenTelemetry's, None where nobody asks for it.
        say: takes what does not work.
    """

    def __init__(self, telemetry: Telemetry | None, say: Callable[[str], None]) -> None:
        registry = CollectorRegistry()
        self._metrics = Metrics(registry)
        self._telemetry, self._say = telemetry, say
        standing: Observer = self._metrics.standing()
        self.standing = standing if telemetry is None else fan_out(standing, telemetry.standing(say))
        self._requests = Counter(
            "llmx_http_requests_total",
            "Answers by method and status.",
            ("method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "llmx_http_request_seconds",
            "From a request to the end of its answer.",
            registry=registry,
            buckets=SECONDS,
        )
        self._waiting = Gauge(
            "llmx_shards_waiting", "Shards of jobs that no worker has yet, 10,000 at most.", registry=registry
        )

    @contextmanager
    def shard(self, ref: ShardRef) -> Iterator[Observer]:
        """The observer of a shard's run, whose lines in the log name it."""
        observer: Observer = self._metrics.observer()
        with bound(job_id=ref.job, shard=ref.number):
            if self._telemetry is None:
                yield observer
                return
            run = self._telemetry.run("llmx shard", self._say)
            try:
                yield fan_out(observer, run)
            finally:
                run.end()

    def answered(self, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(method if method in _METHODS else "other", str(status)).inc()
        self._seconds.observe(seconds)

    def exposition(self, waiting: int) -> str:
        """All figures, as Prometheus reads them.

        Args:
            waiting: shards that no worker has.
        """
        self._waiting.set(waiting)
        return self._metrics.exposition()


_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})


@contextmanager
def observed(variables: Mapping[str, str], say: Callable[[str], None]) -> Iterator[Observing]:
    """Figures and traces for as long as the context lasts; what is left is sent at its end."""
    telemetry = opened(variables, say)
    try:
        yield Observing(telemetry, say)
    finally:
        if telemetry is not None:
            telemetry.close()
