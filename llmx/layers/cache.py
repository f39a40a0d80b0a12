"""The exact cache as a layer: a known request is answered without a call.

Only valid answers are stored, and a stored one is validated again when it is read: the user's
validators may have changed, which no fingerprint can see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmx.caches import Cache, CachedAnswer
from llmx.types import NOTHING, Completion, Handler, Judgement, Layer, Quality, Request

__all__ = ["cached", "looked_up"]


def cached(cache: Cache, parse: Callable[[str], Any], judge: Judgement | None = None) -> Layer:
    """A layer over `cache`.

    Args:
        parse: turns an answer's JSON text into the user's object; raises ValueError when it does not fit.
        judge: finds out more about it; what it refuses is as good as absent.
    """
    look_up = looked_up(cache, parse, judge)

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            if (hit := look_up(request)) is not None:
                return hit
            completion = await handler(request)
            if completion.source == "semantic":
                return (
                    completion  # another row's answer, which a run without the semantic cache must not meet
                )
            sure = None if completion.quality is None else completion.quality.confidence
            cache.put(request.fingerprint, CachedAnswer(completion.text, completion.model, sure))
            return completion

        return call

    return layer


def looked_up(
    cache: Cache, parse: Callable[[str], Any], judge: Judgement | None = None
) -> Callable[[Request], Completion | None]:
    """A function that gives a request's stored completion, None where there is none that fits."""

    def look_up(request: Request) -> Completion | None:
        answer = cache.get(request.fingerprint)
        if answer is None:
            return None
        try:
            value = parse(answer.text)
            hit = Completion(answer.text, NOTHING, answer.model, source="cache", value=value)
            if judge is None:
                return hit
            return judge(request, hit.valued(value, Quality(confidence=answer.confidence)))
        except (Exception, SystemExit):  # noqa: BLE001  # a user's validator may raise anything: then the model is asked again
            return None

    return look_up
