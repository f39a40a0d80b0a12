"""The semantic cache as a layer: a row that says the same as an earlier one is given that one's answer.

It stands behind the exact cache. Only valid answers are kept, and one that is taken is validated again, for this row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from llmx.caches.semantic import Match, Shelf
from llmx.types import NOTHING, Completion, Handler, Judgement, Layer, Quality, Request

__all__ = ["matched", "resembling"]


def resembling(shelf: Shelf, parse: Callable[[str], Any], judge: Judgement | None = None) -> Layer:
    """A layer over an endpoint's part of the semantic cache. For `parse` and `judge` see `cached`."""
    look_up = matched(shelf, parse, judge)

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            # Anew: since the row was made ready, the answer to one like it may have come.
            if (reading := shelf.expect([request])) is not None:
                await asyncio.wrap_future(reading)
            if (hit := look_up(request)) is not None:
                return hit
            completion = await handler(request)
            shelf.put(request, completion)
            return completion

        return call

    return layer


def matched(
    shelf: Shelf, parse: Callable[[str], Any], judge: Judgement | None = None
) -> Callable[[Request], Completion | None]:
    """A function that gives what was found for a request, None where nothing was that fits."""

    def look_up(request: Request) -> Completion | None:
        match = shelf.get(request)
        if match is None:
            return None
        try:
            hit = _completion(match, parse)
            if judge is not None:
                hit = judge(request, hit.valued(hit.value, Quality(confidence=match.answer.confidence)))
        except (Exception, SystemExit):  # noqa: BLE001  a user's validator may raise anything: then the model is asked
            return None
        shelf.taken(request, match)
        return hit

    return look_up


def _completion(match: Match, parse: Callable[[str], Any]) -> Completion:
    answer = match.answer
    return Completion(
        answer.text,
        NOTHING,
        answer.model,
        source="semantic",
        value=parse(answer.text),
        likenesses=(match.likeness,),
    )
