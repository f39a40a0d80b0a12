"""Identical requests in flight are one call.

Outermost of all layers: the answer is in the cache before its leader leaves, so an identical request
finds it in one place or the other. A follower costs nothing; a leader that is cancelled or stopped
hands over to one of its followers, and cancelling a follower leaves the leader alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy

from msgspec.structs import replace

from llmx.errors import Stopped
from llmx.types import Completion, Handler, Layer, Request

__all__ = ["coalesced"]


Leaders = dict[str, tuple[Request, asyncio.Future[Completion]]]


def coalesced(alike: Callable[[Request, Request], bool] = lambda leader, follower: True) -> Layer:
    """A layer that lets one request of each fingerprint through at a time; the others share its end.

    Args:
        alike: whether what was found out about the answer to a request goes for another of the same fingerprint. Where
            not, that one waits all the same, and finds the answer where it is stored.
    """
    leaders: Leaders = {}

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            while (leading := leaders.get(request.fingerprint)) is not None:
                asked, leader = leading
                await asyncio.wait([leader])
                if not leader.cancelled() and alike(asked, request):
                    answer = leader.result()
                    request.tally.endpoint = asked.tally.endpoint
                    # Each row gets an object of its own: whoever changes one changes no other's.
                    return replace(answer, source="coalesced", value=deepcopy(answer.value))
            return await _lead(request, handler, leaders)

        return call

    return layer


async def _lead(request: Request, handler: Handler, leaders: Leaders) -> Completion:
    future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
    leaders[request.fingerprint] = request, future
    try:
        completion = await handler(request)
        future.set_result(completion)
        return completion
    except (asyncio.CancelledError, Stopped):
        future.cancel()
        raise
    except Exception as error:
        future.set_exception(error)
        future.exception()  # retrieved here: a leader without followers must not log "never retrieved"
        raise
    finally:
        del leaders[request.fingerprint]
