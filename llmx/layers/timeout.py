"""A time limit on one attempt."""

from __future__ import annotations

import asyncio

from llmx.errors import CallTimeout
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["timed"]


def timed(seconds: float) -> Layer:
    """A layer that raises CallTimeout when the provider has not answered within `seconds`."""

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            try:
                async with asyncio.timeout(seconds) as limit:
                    return await handler(request)
            except TimeoutError:
                if not limit.expired():
                    raise
                message = f"no answer within {seconds:g} s; it may have been billed"
                raise CallTimeout(message, hint="a longer --timeout") from None

        return call

    return layer
