"""Counts what is spent: every attempt and its usage, on the row's tally and as events."""

from __future__ import annotations

import asyncio

from llmx.clock import Clock
from llmx.errors import LlmxError, Stopped
from llmx.events import AttemptFailed, AttemptStarted, AttemptSucceeded, Observer
from llmx.system import system
from llmx.types import Completion, Handler, Layer, Question, Request, Usage

__all__ = ["metered"]


def metered(endpoint: str, *, clock: Clock, observer: Observer) -> Layer:
    """A layer that tells of every attempt and adds its usage to the request's tally.

    Args:
        endpoint: its name in events.

    Of an attempt that may have been billed without an answer nobody knows the cost, so the row's is unknown too.
    """

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            started = clock.now()
            request.tally.attempts += 1
            observer(AttemptStarted(endpoint))
            system().reached("before send")
            try:
                completion = await handler(request)
                system().reached("after receive")
            except (LlmxError, asyncio.CancelledError) as failure:
                error = failure if isinstance(failure, LlmxError) else _cancelled()
                if error.maybe_billed:
                    request.tally.usage += Usage(cost=None)
                observer(AttemptFailed(endpoint, error, clock.now() - started, Question.of(request)))
                raise
            request.tally.usage += completion.usage
            observer(_succeeded(endpoint, request, completion, clock.now() - started))
            return completion

        return call

    return layer


def _succeeded(endpoint: str, request: Request, completion: Completion, seconds: float) -> AttemptSucceeded:
    of = Question.of(request)
    return AttemptSucceeded(endpoint, completion.usage, seconds, of, completion.model, completion.finish)


def _cancelled() -> LlmxError:
    """A call that nobody waited for to its end; the provider may have gone on."""
    error = Stopped("cancelled")
    error.maybe_billed = True
    return error
