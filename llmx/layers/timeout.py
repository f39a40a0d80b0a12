"""A time limit on one attempt.

Of an answer that is heard while it is written, the limit is on silence: as long as it goes on, it may take its time.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from llmx.errors import CallTimeout
from llmx.types import Completion, Ear, Handler, Layer, Request, Restart

__all__ = ["timed"]

EXACT = 0.05
"""By what part of itself the limit is longer at most: to set its timer anew for each piece takes longer than the piece."""


def timed(seconds: float) -> Layer:
    """A layer that raises CallTimeout when the provider has not answered, or gone on with it, within `seconds`."""

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            try:
                async with asyncio.timeout(seconds) as limit:
                    if request.ear is None:
                        return await handler(request)
                    return await handler(replace(request, ear=_Awake(request.ear, limit, seconds)))
            except TimeoutError:
                if not limit.expired():
                    raise
                message = f"no answer within {seconds:g} s; it may have been billed"
                raise CallTimeout(message, hint="a longer --timeout") from None

        return call

    return layer


class _Awake:
    """An ear that puts a limit off whenever it hears something.

    Args:
        limit: of the call that is heard.
        seconds: of silence that it takes.
    """

    def __init__(self, ear: Ear, limit: asyncio.Timeout, seconds: float) -> None:
        self._ear = ear
        self._limit = limit
        self._seconds = seconds
        self._put_off = 0.0

    def begin(self) -> None:
        """See `Ear.begin`."""
        self._ear.begin()

    def hear(self, text: str) -> None:
        """See `Ear.hear`."""
        now = asyncio.get_running_loop().time()
        if now - self._put_off >= EXACT * self._seconds and not self._limit.expired():
            self._put_off = now
            self._limit.reschedule(now + self._seconds * (1 + EXACT))
        self._ear.hear(text)

    def restart(self, reason: Restart, message: str) -> None:
        """See `Ear.restart`."""
        self._ear.restart(reason, message)
