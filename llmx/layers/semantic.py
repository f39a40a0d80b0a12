"""The semantic cache as a layer: a row that says the same as an earlier one is given that one's answer.

It stands behind the exact cache. Only valid answers are kept, and one that is taken is validated again, for this row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llmx.caches.semantic import Match, Shelf
from llmx.types import NOTHING, Completion, Handler, Judgement, Layer, Quality, Request

__all__ = ["matched", "resembling"]


def resembling(shelf: Shelf, parse: Callable[[str], Any], judge: Judgement | None = None) -> Layer:
    """A layer over an endpoint's part of the semantic cache. For `parse` and `judge` see `cached`.

    A row that may say the same as one in flight waits for that one's answer, once.
    """
    look_up = matched(shelf, parse, judge)
    leaders: dict[tuple[int, bytes], asyncio.Future[None]] = {}

    async def found(request: Request) -> Completion | None:
        if (reading := shelf.expect([request])) is not None:
            await asyncio.wrap_future(reading)
        return look_up(request)

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            # Anew: since the row was made ready, the answer to one like it may have come.
            if (hit := await found(request)) is not None:
                return hit
            key = shelf.key(request)
            if key is not None and (leader := leaders.get((request.sample, key))) is not None:
                await asyncio.wait([leader])
                if (hit := await found(request)) is not None:
                    return hit
            with _leading(leaders, request.sample, key):
                completion = await handler(request)
                shelf.put(request, completion)
                return completion

        return call

    return layer


@contextmanager
def _leading(
    leaders: dict[tuple[int, bytes], asyncio.Future[None]], sample: int, key: bytes | None
) -> Iterator[None]:
    """For as long as the context lasts, rows under this key may wait for it; where another leads already, for that one."""
    if key is None or (sample, key) in leaders:
        yield
        return
    leading = leaders[sample, key] = asyncio.get_running_loop().create_future()
    try:
        yield
    finally:
        del leaders[sample, key]
        leading.set_result(None)


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
