"""Retries: the only owner of them. Transient errors only, full jitter, Retry-After respected.

A 429 is pacing, not failure: it uses up no attempt, `patience` bounds it. A timeout is retried once,
because the call may have been billed. The attempts of a request are counted on its row's tally, so that those at
other endpoints count, too. tenacity is entered only after a first failure, so that the common case costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from msgspec import Struct

from llmx.clock import Clock
from llmx.errors import RequestRejected, RowRefused, TransientError, UnknownModel
from llmx.events import Event, Observer, RetryScheduled, RetryStarted
from llmx.layers.health import Health
from llmx.layers.stop import Stop
from llmx.types import Completion, Ear, Handler, Layer, Question, Request

__all__ = ["RetryPolicy", "retried"]


class RetryPolicy(Struct, frozen=True):
    """How often and how long.

    Args:
        retries: attempts after the first for errors other than 429, 0 or more.
        patience: seconds that an endpoint may answer nothing but 429 before the run stops.
        max_wait: seconds; a Retry-After beyond it is told, not slept.
        base, cap: full jitter draws the wait from [0, min(cap, base * 2**n)] seconds
            (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """

    retries: int = 5
    patience: float = 600.0
    max_wait: float = 600.0
    base: float = 0.5
    cap: float = 60.0


def retried(
    policy: RetryPolicy,
    *,
    health: Health,
    clock: Clock,
    stop: Stop,
    observer: Observer,
    allowed: Callable[[], Awaitable[None]],
) -> Layer:
    """A layer from which no transient error leaves: it ends as an answer, RetriesExhausted or a FatalError.

    Args:
        allowed: returns when one more retry may be made.
    """

    async def sleep(seconds: float) -> None:
        try:
            with stop.interruptible():
                await clock.sleep(seconds)
            await allowed()
        finally:
            observer(RetryStarted())

    def layer(handler: Handler) -> Handler:
        async def send(request: Request) -> Completion:
            try:
                return await handler(request)
            except (UnknownModel, RequestRejected) as error:
                if not health.answered:
                    raise
                # Other rows got their answers with the same model and schema: it is this row that is refused.
                raise RowRefused(str(error), hint=error.hint) from error

        async def call(request: Request) -> Completion:
            try:
                completion = await send(request)
            except TransientError as error:
                from llmx.layers.attempts import Series  # tenacity, which most runs need not import

                told = observer if request.ear is None else _heard_too(request.ear, observer)
                question = Question.of(request)
                series = Series(policy, health, clock, told, request.tally, question, first=error)
                completion = await series.run(lambda: send(request), sleep)
            request.tally.failures = 0
            return completion

        return call

    return layer


def _heard_too(ear: Ear, observer: Observer) -> Observer:
    """An observer from which the ear hears, too, that an answer is not gone on with."""

    def told(event: Event) -> None:
        observer(event)
        if isinstance(event, RetryScheduled):
            ear.restart("retry", str(event.error))

    return told
