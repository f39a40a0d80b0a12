"""The run's journal as layers: an answer that was paid for is used, one that comes is written down first.

`journalled` stands below validation, so that what does not fit is kept too, and above pacing and retries,
which a replayed answer needs none of. `asked_anew` stands outside of all that a row is asked: a row that has an answer
by the votes or the model that are left needs no further one.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Protocol

from msgspec.structs import replace

from llmx.errors import NotStored, RowError
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["Answers", "asked_anew", "journalled"]


class Answers(Protocol):
    """Where answers are kept by their requests' fingerprints. No method raises."""

    def seek(self, request: Request) -> Future[None] | None:
        """Done when `answer` can say what is kept for a request; None where it can at once."""
        ...

    def answer(self, request: Request) -> Completion | None:
        """The answer that was paid for earlier, None when there is none."""
        ...

    def keep(self, request: Request, completion: Completion) -> None:
        """Write a paid answer down."""
        ...


def journalled(journal: Answers, *, past: Answers | None = None, offline: bool = False) -> Layer:
    """A layer that replays what is in `journal` and adds what is not.

    Args:
        past: another run's, which is only looked into.
        offline: nobody is asked; a request without an answer raises NotStored, as a `stored` one always does.
    """

    places = [journal] if past is None else [journal, past]

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            for place in places:
                if (seeking := place.seek(request)) is not None:
                    await asyncio.wrap_future(seeking)
                if (kept := place.answer(request)) is not None:
                    return kept
            if offline or request.stored:
                raise NotStored("no answer is stored for this row", hint="run it without --offline")
            completion = await handler(request)
            journal.keep(request, completion)
            return completion

        return call

    return layer


def asked_anew() -> Layer:
    """A layer that asks again about a row that failed in an earlier, finished run, when it still fails.

    What such a run has paid for is tried first: a validator may have been mended since. Within a run that was
    interrupted, a row that failed stays failed.
    """

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            try:
                return await handler(request)
            except RowError:
                if not request.tally.outdated or request.tally.attempts:
                    raise
            return await handler(replace(request, anew=True))

        return call

    return layer
