"""A run's events as spans: which call, in which trace, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBasedTraceIdRatio, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from llmx.errors import Interrupted, InvalidAnswer, RateLimited, ServerError
from llmx.events import (
    AttemptFailed,
    AttemptSucceeded,
    CircuitOpened,
    Event,
    Paused,
    Reasked,
    RetryScheduled,
    RowSettled,
    RowsSettled,
    RunEnded,
    RunStarted,
)
from llmx.telemetry.spans import IN_THE_RUN, Spans
from llmx.types import Outcome, Question, Record, Served, Usage

SECOND = 1_000_000_000
SERVED = Served("openai", "mini", "https://api.example.com/v1")
BEGUN = RunStarted(3, "openai/mini", 2, endpoints=("openai/mini",), served=(SERVED,), schema="Person")
USAGE = Usage(100, 20, cached_tokens=60, cost=Decimal("0.25"))


class Watched:
    """Spans as they were made, under a clock that is set by hand."""

    def __init__(self, parent: Context | None = None, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.now = 100 * SECOND
        self.spans = Spans(provider.get_tracer("llmx"), "llmx extract", parent, now=lambda: self.now)

    def tell(self, *events: Event) -> Watched:
        for event in events:
            self.now += SECOND
            self.spans(event)
        return self

    @property
    def made(self) -> Sequence[ReadableSpan]:
        return self._exporter.get_finished_spans()

    @property
    def run(self) -> ReadableSpan:
        [found] = [span for span in self.made if span.name == "llmx extract"]
        return found

    @property
    def chats(self) -> list[ReadableSpan]:
        return [span for span in self.made if span.name == "chat mini"]


def asked_of(row: int, reask: int = 0, sample: int = 0) -> Question:
    return Question(row, sample, reask)


def answered(row: int, reask: int = 0, sample: int = 0) -> AttemptSucceeded:
    return AttemptSucceeded("openai/mini", USAGE, 0.5, asked_of(row, reask, sample), "mini-2026", "stop")


def failed(row: int, reask: int = 0, sample: int = 0) -> AttemptFailed:
    return AttemptFailed("openai/mini", ServerError("500"), 0.5, asked_of(row, reask, sample))


def settled(row: int, error: InvalidAnswer | None = None) -> RowSettled:
    return RowSettled(Outcome(Record(row, {"text": "Ada"}), value=None if error else 1, error=error))


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def happened(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def test_a_call_is_a_span_by_the_conventions():
    """Named by operation and model, with who was asked, what it used, and its time."""
    watched = Watched().tell(BEGUN, answered(0))
    ended = watched.now
    watched.tell(settled(0))
    [chat] = watched.chats
    assert chat.kind is trace.SpanKind.CLIENT
    assert (chat.start_time, chat.end_time) == (ended - SECOND // 2, ended)
    assert about(chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "mini",
        "gen_ai.response.model": "mini-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "server.address": "api.example.com",
        "server.port": 443,
        "llmx.endpoint": "openai/mini",
        "llmx.row": 0,
        "llmx.attempt": 1,
        "llmx.cost": 0.25,
    }
    assert chat.status.is_unset


def test_a_retry_is_an_event_of_the_call_that_failed():
    """With its delay; the next call is the row's second attempt."""
    watched = Watched().tell(BEGUN, failed(0), RetryScheduled(ServerError("500"), 1.5, asked_of(0)))
    first, second = watched.tell(answered(0), settled(0)).chats
    assert happened(first) == [("llmx.retry", {"error.type": "server_error", "llmx.retry.delay": 1.5})]
    assert first.status.status_code is trace.StatusCode.ERROR
    assert (about(first)["error.type"], about(first)["llmx.attempt"]) == ("server_error", 1)
    assert (happened(second), about(second)["llmx.attempt"]) == ([], 2)


def test_a_reask_is_an_event_of_the_answer_that_did_not_fit():
    """By what was wrong with it, never in its words; the re-ask is a call with its number."""
    told = Reasked("name: 'Ada Lovelace' is no number", "invalid_answer", asked_of(0, 1))
    first, second = Watched().tell(BEGUN, answered(0), answered(0, 1), told, settled(0)).chats
    assert happened(first) == [("llmx.reask", {"error.type": "invalid_answer"})]
    assert (happened(second), about(second)["llmx.reask"]) == ([], 1)


def test_votes_for_a_row_are_told_apart():
    """What happens to one sample's call is an event of that, whichever ended last."""
    retry = RetryScheduled(ServerError("500"), 1.0, asked_of(0, sample=1))
    events = [failed(0, sample=1), answered(0, sample=0), retry, answered(0, sample=1), settled(0)]
    chats = Watched().tell(BEGUN, *events).chats
    assert [(about(chat).get("llmx.sample", 0), len(chat.events)) for chat in chats] == [
        (1, 1),
        (0, 0),
        (1, 0),
    ]


def test_rows_that_are_asked_about_together_are_told_apart():
    """Each with its own attempts."""
    events = [failed(7), answered(3), answered(7), settled(3), settled(7)]
    chats = Watched().tell(BEGUN, *events).chats
    assert [(about(chat)["llmx.row"], about(chat)["llmx.attempt"]) for chat in chats] == [
        (3, 1),
        (7, 1),
        (7, 2),
    ]


def test_a_row_that_fails_says_so_in_its_last_call():
    """The call itself was answered."""
    error = InvalidAnswer("name: 'Ada' is no number", raw="Ada")
    [chat] = Watched().tell(BEGUN, answered(0), settled(0, error)).chats
    assert happened(chat) == [("llmx.row.failed", {"error.type": "invalid_answer"})]


def test_the_run_s_span_sums_it_up():
    """Rows, failures, calls, tokens and cost, and how the process ended."""
    cached = [Outcome(Record(row, {}), value=1, source="cache") for row in (1, 2)]
    events = [answered(0), settled(0), RowsSettled(cached), failed(3), settled(3, InvalidAnswer("x"))]
    watched = Watched().tell(BEGUN, *events, RunEnded(True))
    watched.spans.end(exit_code=3)
    assert about(watched.run) == {
        "llmx.schema": "Person",
        "llmx.model": "openai/mini",
        "llmx.rows.expected": 3,
        "llmx.rows": 4,
        "llmx.rows.failed": 1,
        "llmx.calls": 2,
        "llmx.tokens.input": 100,
        "llmx.tokens.output": 20,
        "llmx.cost": 0.25,
        "process.exit.code": 3,
        "error.type": "rows_failed",
    }
    assert watched.run.start_time == 100 * SECOND
    assert [chat.parent.span_id if chat.parent else None for chat in watched.chats] == [
        watched.run.context.span_id
    ] * 2


def test_a_cost_that_is_not_known_is_not_told():
    """Never 0 for unknown."""
    watched = Watched().tell(BEGUN, AttemptSucceeded("openai/mini", Usage(cost=None), 0.1, asked_of(0)))
    watched.spans.end(0)
    assert "llmx.cost" not in about(watched.run)
    assert "llmx.cost" not in about(watched.chats[0])
    assert watched.run.status.is_unset


def test_a_stopped_run_says_why():
    """And the calls of rows that came to no end are there, too."""
    watched = Watched().tell(BEGUN, answered(0))
    watched.spans.end(143, Interrupted(15))
    assert (about(watched.run)["error.type"], about(watched.run)["process.exit.code"]) == ("interrupted", 143)
    assert len(watched.chats) == 1


def test_what_befalls_an_endpoint_is_an_event_of_the_run():
    """Without the server's words."""
    watched = Watched().tell(BEGUN, Paused("openai/mini", 3.0), CircuitOpened("openai/mini", 30, "500: Ada"))
    watched.spans.end(0)
    endpoint = {"llmx.endpoint": "openai/mini"}
    assert happened(watched.run) == [("llmx.rate_limit.paused", endpoint), ("llmx.circuit.opened", endpoint)]


def test_a_run_in_another_s_trace_is_its_child():
    """As one in a job of CI."""
    outer = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    watched = Watched(trace.set_span_in_context(NonRecordingSpan(outer))).tell(BEGUN, answered(0), settled(0))
    watched.spans.end(0)
    assert {span.context.trace_id for span in watched.made} == {0xABC}
    assert watched.run.parent is not None
    assert watched.run.parent.span_id == 0xDEF


def test_later_rows_are_traces_of_their_own():
    """Linked to the run; a row's calls stay together."""
    watched = Watched().tell(BEGUN)
    for row in range(IN_THE_RUN):
        watched.tell(answered(row), settled(row))
    watched.tell(failed(IN_THE_RUN), answered(IN_THE_RUN), settled(IN_THE_RUN))
    watched.tell(answered(IN_THE_RUN + 1), settled(IN_THE_RUN + 1))
    watched.spans.end(0)
    *within, first, second, other = watched.chats
    assert {span.context.trace_id for span in within} == {watched.run.context.trace_id}
    assert (first.parent, other.parent) == (None, None)
    assert second.parent is not None
    assert second.parent.span_id == first.context.span_id
    assert len({span.context.trace_id for span in (watched.run, first, second, other)}) == 3
    assert [link.context.span_id for link in first.links] == [watched.run.context.span_id]


def test_a_ratio_thins_out_the_later_rows():
    """By row: all calls of one, or none."""
    watched = Watched(sampler=ParentBasedTraceIdRatio(0.1)).tell(BEGUN)
    for row in range(IN_THE_RUN + 2_000):
        watched.tell(failed(row), answered(row), settled(row))
    rows = [about(span)["llmx.row"] for span in watched.chats]
    later = [row for row in rows if row >= IN_THE_RUN]
    assert 2 * 100 < len(later) < 2 * 300  # 200 are expected, 7 standard deviations away
    assert all(later.count(row) == 2 for row in set(later))


def test_a_trace_that_is_not_wanted_has_no_rows_beside_it():
    """Whoever has begun it has decided for all of it."""
    outer = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(0))
    watched = Watched(
        trace.set_span_in_context(NonRecordingSpan(outer)), sampler=ParentBasedTraceIdRatio(1.0)
    ).tell(BEGUN)
    for row in range(IN_THE_RUN + 5):
        watched.tell(answered(row), settled(row))
    watched.spans.end(0)
    assert watched.made == ()


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        (Served("mistral", "small", "https://api.mistral.ai/v1"), ("mistral_ai", "api.mistral.ai", 443)),
        (Served("openai", "m", "http://127.0.0.1:8000/v1"), ("openai", "127.0.0.1", 8000)),
        (Served("openai", "m", "http://[::1]:8000/v1"), ("openai", "::1", 8000)),
        (Served("vertexai", "m", "https://host:bad/"), ("gcp.vertex_ai", None, None)),
        (Served("local", "qwen", "sha256:abc"), ("local", None, None)),
    ],
)
def test_a_server_is_told_in_the_conventions_words(served: Served, expected: tuple[Any, ...]):
    """Its provider by their name; of weights in this process no address."""
    begun = RunStarted(1, "m", 1, endpoints=("e",), served=(served,))
    watched = Watched().tell(begun, AttemptSucceeded("e", Usage(), 0.1, asked_of(0)))
    watched.spans.end()
    [chat] = [span for span in watched.made if span.name == f"chat {served.model}"]
    names = ("gen_ai.provider.name", "server.address", "server.port")
    assert tuple(about(chat).get(name) for name in names) == expected


def test_a_call_of_nobody_s_row_waits_for_nothing():
    """There is no end of a row to wait for."""
    watched = Watched().tell(BEGUN, AttemptSucceeded("openai/mini", USAGE, 0.5))
    assert ["llmx.row" in about(chat) for chat in watched.chats] == [False]


EVENTS = [
    failed(0),
    answered(0),
    answered(1, sample=1),
    answered(1, 1),
    AttemptFailed("other", RateLimited("slow down"), 0.1),
    RetryScheduled(ServerError("500"), 1.0, asked_of(0)),
    RetryScheduled(ServerError("500"), 1.0),
    Reasked("x", "invalid_answer", asked_of(1, 1)),
    settled(0),
    settled(1, InvalidAnswer("x")),
    RunEnded(False),
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(EVENTS), max_size=25))
def test_every_call_is_a_span_once(events: list[Event]):
    """In whatever order things are told, and also after the run's end."""
    watched = Watched().tell(BEGUN, *events)
    watched.spans.end(0)
    calls = [event for event in events if isinstance(event, AttemptSucceeded | AttemptFailed)]
    assert len(watched.made) == len(calls) + 1
    assert about(watched.run)["llmx.calls"] == len(calls)
