"""Votes: a row's question is asked several times, and what the answers agree on is its answer.

It stands outside of everything that one call passes through: each vote is a request of its own, with its sample number in
its fingerprint, and is cached, journalled, paced, paid for and re-asked by itself. The first vote is the very request that
a run without votes makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from llmx.errors import FatalError, RowError, Stopped
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Layer, Request, Tally

__all__ = ["Agree", "ballots", "voted"]

Agree = Callable[[Sequence[Completion]], Completion]
"""Makes one completion of valid ones."""


def voted(votes: int, *, rekey: Callable[[Request], Request], agree: Agree, stop: Stop) -> Layer:
    """A layer that asks `votes` times, all at once.

    A vote without a valid answer agrees with nobody; the row fails when no vote has one. What ends the run for one vote
    stops it at once, before another can be sent; it is raised when all votes have ended, so that those in flight are kept.

    Args:
        votes: 1 or more.
        rekey: gives a request, changed to be another sample, its own fingerprint.
    """

    def layer(handler: Handler) -> Handler:
        async def call(request: Request) -> Completion:
            asked = ballots(request, votes, rekey)
            ends = await asyncio.gather(
                *(_asked(handler, ballot, stop) for ballot in asked), return_exceptions=True
            )
            for ballot in asked:
                request.tally.add(ballot.tally)
            return agree(_valid(ends))

        return call

    return layer


async def _asked(handler: Handler, ballot: Request, stop: Stop) -> Completion:
    try:
        return await handler(ballot)
    except FatalError as error:
        stop.set(error)
        raise Stopped(str(error)) from error


def ballots(request: Request, votes: int, rekey: Callable[[Request], Request]) -> list[Request]:
    """The requests of all votes, each with a tally of its own; of several answers none is heard while it is written."""
    samples = [replace(request, sample=number, tally=Tally(), ear=None) for number in range(votes)]
    return [samples[0], *map(rekey, samples[1:])]


def _valid(ends: Sequence[Completion | BaseException]) -> list[Completion]:
    """The answers. Raises what ends the run, or else, where there is no answer, why the first vote has none."""
    errors = [end for end in ends if isinstance(end, BaseException)]
    for error in errors:
        if not isinstance(error, RowError):
            raise error
    found = [end for end in ends if not isinstance(end, BaseException)]
    if not found:
        raise errors[0]
    return found
