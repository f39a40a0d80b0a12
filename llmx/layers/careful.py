"""The careful start: until an endpoint's first answer, few rows are tried, their retries included.

A dead key costs a few calls and no more, and a server that is down, or busy, meets a few clients instead of
one for every worker.
"""

from __future__ import annotations

import asyncio

from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["CAREFUL_START", "careful"]

CAREFUL_START = 3
"""Rows that are tried until an endpoint's first answer, valid or not: as many calls a dead key can cost."""


def careful(*, concurrency: int, stop: Stop) -> Layer:
    """A layer that lets three requests through until one of them has been answered, then all at once.

    Args:
        concurrency: the most requests that may ever wait here.
    """
    places = asyncio.Semaphore(CAREFUL_START)
    answered = False

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            return await (handler(request) if answered else tried(request))

        async def tried(request: Request) -> Completion:
            nonlocal answered
            with stop.interruptible():
                await places.acquire()
            try:
                completion = await handler(request)
                if not answered:
                    answered = True
                    for _ in range(concurrency):
                        places.release()
                return completion
            finally:
                places.release()

        return call

    return layer
