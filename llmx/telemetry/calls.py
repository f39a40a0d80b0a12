"""A call as a span, by OpenTelemetry's conventions for generative AI; its contents are no part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from llmx.events import AttemptFailed, AttemptSucceeded
from llmx.telemetry.servers import OPERATION
from llmx.types import Usage

__all__ = ["Call", "call_span"]

_NAME = 200
"""Characters of a model's name as its server says it."""


class Call(Struct):
    """One call until its row ends. Times are nanoseconds since 1970.

    Args:
        failed: the type of its error, "" for an answer.
        notes: what happened to it afterwards: names, times and attributes.
    """

    endpoint: str
    began: int
    ended: int
    sample: int
    reask: int
    attempt: int
    usage: Usage | None = None
    model: str = ""
    finish: str = ""
    failed: str = ""
    notes: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, event: AttemptSucceeded | AttemptFailed, now: int, attempt: int) -> Call:
        """One that has come back now, the row's so many-th; 0 where that is not known."""
        of = event.question
        began = now - int(event.seconds * 1e9)
        call = cls(event.endpoint, began, now, of.sample if of else 0, of.reask if of else 0, attempt)
        if isinstance(event, AttemptFailed):
            call.failed = event.error.type
        else:
            call.usage, call.model, call.finish = event.usage, event.model[:_NAME], event.finish
        return call


def call_span(
    tracer: Tracer,
    call: Call,
    row: int | None,
    server: dict[str, str | int] | None,
    within: Context | None,
    links: Sequence[Link] = (),
) -> Span:
    """Make the span of a call that is over.

    Args:
        row: its place in the input, None where that says nothing.
        server: what is told of who was asked, see `described`.
        within: whose child it is; the current span's where it is None.
    """
    server = server or {"gen_ai.operation.name": OPERATION}
    name = f"{OPERATION} {server.get('gen_ai.request.model', call.endpoint)}"
    attributes = _attributes(row, call, server)
    span = tracer.start_span(name, within, SpanKind.CLIENT, attributes, links, call.began)
    if span.is_recording():
        for what, when, about in call.notes:
            span.add_event(what, about, when)
        if call.failed:
            span.set_status(Status(StatusCode.ERROR))
    span.end(call.ended)
    return span


def _attributes(row: int | None, call: Call, server: dict[str, str | int]) -> dict[str, Any]:
    told: dict[str, Any] = {**server, "llmx.endpoint": call.endpoint}
    if call.attempt:
        told["llmx.attempt"] = call.attempt
    if row is not None:
        told["llmx.row"] = row
    if call.sample:
        told["llmx.sample"] = call.sample
    if call.reask:
        told["llmx.reask"] = call.reask
    if call.failed:
        told["error.type"] = call.failed
    if call.usage is not None:
        told |= _answer(call, call.usage)
    return told


def _answer(call: Call, usage: Usage) -> dict[str, Any]:
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.response.finish_reasons": (call.finish,),
        **({"gen_ai.usage.cache_read.input_tokens": usage.cached_tokens} if usage.cached_tokens else {}),
        **({"gen_ai.response.model": call.model} if call.model else {}),
        **({} if usage.cost is None else {"llmx.cost": float(usage.cost)}),
    }
