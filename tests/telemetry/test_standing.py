"""Calls of engines that a service keeps: each in the trace of the request that made it."""

from __future__ import annotations

import asyncio

import pytest
from commands import Mock
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import llmx
from llmx.events import AttemptSucceeded, RunStarted
from llmx.mock import MockSettings
from llmx.telemetry.telling import Telemetry
from llmx.types import Question, Served, Usage


@pytest.fixture
def exported() -> InMemorySpanExporter:
    """Where spans end up."""
    return InMemorySpanExporter()


@pytest.fixture
def tracers(exported: InMemorySpanExporter) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    return provider


def parents(spans: tuple[ReadableSpan, ...], name: str) -> list[int]:
    return [span.parent.span_id for span in spans if span.name == name and span.parent is not None]


async def test_requests_at_the_same_time_have_their_own_calls(
    provider, tracers: TracerProvider, exported: InMemorySpanExporter
):
    """A call is a child of the request's span, and what happens to it an event of that."""
    mock: Mock = provider(MockSettings(malformed_until=1))
    standing = Telemetry(tracers, None).standing(print)
    tracer = tracers.get_tracer("service")

    async def request(text: str) -> int:
        with tracer.start_as_current_span("POST /v1/extract") as span:
            row = [{"text": text}]
            at = {"model": "openai/mock", "base_url": f"{mock.url}/v1"}
            await llmx.aextract(row, "name, age int", cache="off", observer=standing, **at)
        return span.get_span_context().span_id

    ids = await asyncio.gather(*(request(text) for text in ("Ada, 36", "Bob, 41")))
    made = exported.get_finished_spans()
    assert sorted(parents(made, "chat mock")) == sorted([*ids, *ids])
    requests = [span for span in made if span.name == "POST /v1/extract"]
    assert [[event.name for event in span.events] for span in requests] == [["llmx.reask"]] * 2


def test_rows_of_different_requests_are_not_one(tracers: TracerProvider, exported: InMemorySpanExporter):
    """Their places in their inputs say nothing here; each call is told at once."""
    standing = Telemetry(tracers, None).standing(print)
    standing(
        RunStarted(None, "m", 1, endpoints=("m",), served=(Served("groq", "llama", "https://g.example"),))
    )
    for _ in range(2):
        standing(AttemptSucceeded("m", Usage(5, 1), 0.1, Question(0, 0, 0)))
    made = exported.get_finished_spans()
    assert [span.name for span in made] == ["chat llama"] * 2
    attributes = dict(made[0].attributes or {})
    assert "llmx.row" not in attributes
    assert "llmx.attempt" not in attributes
    assert attributes["gen_ai.provider.name"] == "groq"
    assert trace.get_current_span().get_span_context().is_valid is False


def test_its_metrics_are_without_runs():
    """Calls and tokens, and nobody's beginning."""
    reader = InMemoryMetricReader()
    standing = Telemetry(None, MeterProvider([reader], shutdown_on_exit=False)).standing(print)
    standing(AttemptSucceeded("openai/mini", Usage(5, 1), 0.1))
    found = reader.get_metrics_data()
    assert found is not None
    names = {
        metric.name
        for one in found.resource_metrics
        for scope in one.scope_metrics
        for metric in scope.metrics
    }
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage", "llmx.cost"} <= names
    assert "llmx.runs" not in names
