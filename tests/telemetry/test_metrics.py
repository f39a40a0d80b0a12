"""Prometheus' own parser reads the figures, and they are those of the runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from decimal import Decimal

import prometheus_client
import pytest
from commands import Mock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

import llmx
from llmx.errors import CallTimeout, InvalidAnswer, RateLimited, ServerError
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
from llmx.mock import MockSettings
from llmx.telemetry.metrics import Metrics
from llmx.types import Outcome, Record, Served, Usage

ROW = Record(0, {"text": "Ada"})
BEGUN = RunStarted(
    10, "cheap → dear", 3, endpoints=("cheap", "dear"), served=(Served("openai", "mini", "http://a"),) * 2
)
CHEAP = {"endpoint": "cheap", "model": "mini"}


def told(metrics: Metrics, *events: Event) -> None:
    observer = metrics.observer()
    for event in (BEGUN, *events):
        observer(event)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """What Prometheus would read of one sample."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.exposition())
        for sample in family.samples
    }.get((name, *sorted(labels.items())))


def test_rows_are_counted_by_how_they_ended():
    """Good ones by who gave the answer, failed ones by the type of their error, each of those that came together."""
    metrics = Metrics()
    cached = Outcome(ROW, value=1, source="cache")
    told(
        metrics,
        RowsSkipped(4),
        RowSettled(Outcome(ROW, value=1)),
        RowsSettled([cached, cached]),
        RowSettled(Outcome(ROW, error=InvalidAnswer("name: Field required"))),
    )
    assert value(metrics, "llmx_rows_total", outcome="ok", source="model", error_type="") == 1
    assert value(metrics, "llmx_rows_total", outcome="ok", source="cache", error_type="") == 2
    assert value(metrics, "llmx_rows_total", outcome="ok", source="journal", error_type="") == 4
    assert value(metrics, "llmx_rows_total", outcome="failed", source="", error_type="invalid_answer") == 1


def test_calls_are_counted_with_what_they_used():
    """Time, tokens and money by endpoint and model; a call that may have been billed is one of unknown price."""
    metrics = Metrics()
    usage = Usage(100, 20, cached_tokens=60, cost=Decimal("0.25"))
    told(
        metrics,
        AttemptStarted("cheap"),
        AttemptSucceeded("cheap", usage, 0.02),
        AttemptStarted("cheap"),
        AttemptSucceeded("cheap", usage.costing(None), 0.03),
        AttemptStarted("cheap"),
        AttemptFailed("cheap", CallTimeout("no answer"), 120),
        AttemptStarted("cheap"),
        RetrySent("cheap"),
    )
    assert value(metrics, "llmx_calls_total", **CHEAP, outcome="ok", error_type="") == 2
    assert value(metrics, "llmx_calls_total", **CHEAP, outcome="failed", error_type="call_timeout") == 1
    assert value(metrics, "llmx_tokens_total", **CHEAP, direction="input") == 200
    assert value(metrics, "llmx_tokens_total", **CHEAP, direction="output") == 40
    assert value(metrics, "llmx_cached_tokens_total", **CHEAP) == 120
    assert value(metrics, "llmx_cost_dollars_total", **CHEAP) == 0.25
    assert value(metrics, "llmx_unpriced_calls_total", **CHEAP) == 2
    assert value(metrics, "llmx_retries_total", **CHEAP) == 1
    assert value(metrics, "llmx_in_flight", **CHEAP) == 1


@pytest.mark.parametrize(
    ("seconds", "bucket", "counted"), [(0.02, "0.02", 1), (0.021, "0.02", 0), (99.0, "81.92", 0)]
)
def test_a_latency_is_in_all_buckets_from_its_own_on(seconds: float, bucket: str, counted: int):
    """Bounds are inclusive, as Prometheus has them; what is beyond the last is in the sum and the infinite one."""
    metrics = Metrics()
    told(metrics, AttemptSucceeded("cheap", Usage(), seconds))
    of = {**CHEAP, "outcome": "ok"}
    assert value(metrics, "llmx_call_seconds_bucket", **of, le=bucket) == counted
    assert value(metrics, "llmx_call_seconds_bucket", **of, le="+Inf") == 1
    assert value(metrics, "llmx_call_seconds_count", **of) == 1
    assert value(metrics, "llmx_call_seconds_sum", **of) == seconds


def test_what_befalls_a_run_is_counted():
    """Re-asks by what was wrong, fallbacks, hedges, escalations, pauses and circuits by endpoint."""
    metrics = Metrics()
    told(
        metrics,
        Reasked("name: Ada is no number", "invalid_answer"),
        FellBack("dear"),
        HedgeSent("cheap"),
        Escalated("cheap", "dear", "votes", None),
        Paused("cheap", 3.0),
        CircuitOpened("cheap", 30.0, "500"),
        CircuitOpened("cheap", 30.0, "500", down=30.0),
    )
    assert value(metrics, "llmx_reasks_total", error_type="invalid_answer") == 1
    assert value(metrics, "llmx_fallbacks_total", endpoint="dear", model="mini") == 1
    assert value(metrics, "llmx_hedges_total", **CHEAP) == 1
    assert value(metrics, "llmx_escalations_total", **CHEAP) == 1
    assert value(metrics, "llmx_pauses_total", **CHEAP, reason="refused") == 1
    assert value(metrics, "llmx_circuit_openings_total", **CHEAP) == 2
    assert value(metrics, "llmx_circuit_open", **CHEAP) == 1
    assert value(metrics, "llmx_circuit_open", endpoint="dear", model="mini") == 0
    assert "Ada" not in metrics.exposition()


def test_a_gauge_of_a_wait_follows_the_limit():
    """What is waited for is one limit at a time, and none when it is over."""
    metrics = Metrics()
    observer = metrics.observer()
    for event in (BEGUN, Throttled("cheap", "rpm", 60), Throttled("cheap", "tpm", 900)):
        observer(event)
    assert value(metrics, "llmx_rate_limit_waiting", **CHEAP, limit="rpm") == 0
    assert value(metrics, "llmx_rate_limit_waiting", **CHEAP, limit="tpm") == 1
    observer(Throttled("cheap", None))
    assert value(metrics, "llmx_rate_limit_waiting", **CHEAP, limit="tpm") == 0


def test_circuits_of_runs_together_are_counted_each():
    """One run's circuit that closes says nothing of another's."""
    metrics = Metrics()
    one, other = metrics.observer(), metrics.observer()
    for observer in (one, other):
        observer(BEGUN)
        observer(CircuitOpened("cheap", 30.0, "500"))
    one(CircuitClosed("cheap"))
    assert value(metrics, "llmx_circuit_open", **CHEAP) == 1
    assert value(metrics, "llmx_runs_in_progress") == 2


def test_engines_that_are_kept_are_counted_without_a_run():
    """A service tells of calls alone; a start says what is behind a name, and ends nothing of another's."""
    metrics = Metrics()
    observer = metrics.standing()
    observer(AttemptStarted("openai/mini"))
    observer(BEGUN)
    observer(AttemptStarted("cheap"))
    observer(RunEnded(True))
    assert value(metrics, "llmx_in_flight", endpoint="openai/mini", model="mini") == 1
    assert value(metrics, "llmx_in_flight", **CHEAP) == 1
    assert value(metrics, "llmx_runs_in_progress") is None
    assert value(metrics, "llmx_runs_total", outcome="complete") is None


EVENTS = [
    BEGUN,
    RunEnded(True),
    AttemptStarted("cheap"),
    AttemptSucceeded("cheap", Usage(), 0.1),
    AttemptFailed("dear", RateLimited("slow down"), 0.1),
    CircuitOpened("cheap", 1.0, "x"),
    CircuitClosed("cheap"),
    Throttled("cheap", "rpm"),
    Throttled("cheap", None),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_a_run_that_has_ended_holds_nothing(events: list[Event]):
    """Whatever comes in whatever order, also after the end: every gauge is back at 0, and no counter has fallen."""
    metrics = Metrics()
    observer = metrics.observer()
    for event in (*events, RunEnded(False), *[event for event in events if event is not BEGUN]):
        observer(event)
    for family in text_string_to_metric_families(metrics.exposition()):
        if family.type == "gauge":
            assert [sample.value for sample in family.samples if sample.value] == []
        assert all(sample.value >= 0 for sample in family.samples)


def test_many_threads_count_into_the_same_figures():
    """Nothing is lost, and the figures may be read meanwhile."""
    metrics = Metrics()

    def run() -> None:
        told(metrics, *[AttemptFailed("cheap", ServerError("500"), 0.1)] * 2_000)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.exposition()
    assert value(metrics, "llmx_calls_total", **CHEAP, outcome="failed", error_type="server_error") == 8_000


def test_the_global_registry_is_left_alone():
    """An application's own figures and ours do not meet unless it says so."""
    before = names(prometheus_client.REGISTRY.collect())
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("jobs", "Ours.", registry=registry).inc()
    shared = Metrics(registry)
    assert names(prometheus_client.REGISTRY.collect()) == before
    assert value(shared, "jobs_total") == 1
    assert value(Metrics(), "jobs_total") is None


def names(families: Iterable[prometheus_client.Metric]) -> set[str]:
    return {family.name for family in families}


def test_a_model_s_name_cannot_break_the_format():
    """Quotes, backslashes and line ends in it come back as they were."""
    metrics = Metrics()
    observer = metrics.observer()
    name = 'a"} 1\nllmx_rows_total 5\\'
    observer(RunStarted(1, name, 1, endpoints=(name,), served=(Served("openai", name, ""),)))
    observer(AttemptStarted(name))
    assert value(metrics, "llmx_in_flight", endpoint=name, model=name) == 1
    assert value(metrics, "llmx_rows_total") is None


def test_the_figures_of_a_real_run_add_up(provider):
    """Against a server that sometimes fails and is sometimes wrong: its own counts are ours, in two runs at once."""
    mock: Mock = provider(MockSettings(malformed_rate=0.3, error_rate=0.2, seed=3))
    metrics = Metrics()

    def run(name: str) -> None:
        rows = [{"text": f"{name} {number}"} for number in range(40)]
        llmx.extract(
            rows,
            "name, age int",
            model="openai/mock",
            base_url=f"{mock.url}/v1",
            cache="off",
            observer=metrics.observer(),
        )

    threads = [threading.Thread(target=run, args=(name,)) for name in ("Ada", "Bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples = [
        sample for family in text_string_to_metric_families(metrics.exposition()) for sample in family.samples
    ]
    total = {
        name: sum(sample.value for sample in samples if sample.name == name)
        for name in {sample.name for sample in samples}
    }
    assert total["llmx_rows_total"] == 80
    assert total["llmx_calls_total"] == total["llmx_call_seconds_count"] == mock.calls
    assert total["llmx_retries_total"] > 0
    assert total["llmx_reasks_total"] > 0
    assert total["llmx_calls_total"] == 80 + total["llmx_retries_total"] + total["llmx_reasks_total"]
    assert total["llmx_in_flight"] == total["llmx_runs_in_progress"] == 0
    assert value(metrics, "llmx_runs_total", outcome="complete") == 2
