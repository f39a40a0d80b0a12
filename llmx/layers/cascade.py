"""A cascade: the cheap model first, and a dearer one only for the rows of which the cheap one's answer will not do.

It stands where a chain of endpoints would: each rung is a whole way to an endpoint, with its cache and votes. Unlike a
fallback, which asks the next one when nobody answers, it asks when the answer is not good enough. What stops a rung stops
the run: rows that a cheap model cannot be asked about are not all a dear one's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

from msgspec import Struct
from msgspec.structs import replace

from llmx.errors import RowError
from llmx.events import Escalated, Observer, Sufficed
from llmx.types import Completion, Handler, Request, Tally, Usage

__all__ = ["Rung", "Verdict", "cascaded"]

Verdict = Callable[[Completion], str]
"""Why an answer will not do, in a word or two; "" for one that will."""


class Rung(Struct, frozen=True):
    """One step of a cascade.

    Args:
        name: of the endpoint.
        handler: the way to it, from votes to provider.
        address: makes a request in its format of one that was made for the first rung.
        price: US dollars for the tokens of one call, None when unknown.
        votes: how many answers it gives for a row.
    """

    name: str
    handler: Handler
    address: Callable[[Request], Request]
    price: Callable[[Usage], Decimal | None]
    votes: int = 1


def cascaded(rungs: Sequence[Rung], *, verdict: Verdict, observer: Observer) -> Handler:
    """A handler that climbs until an answer will do; that of the last rung does.

    The last rung's answer, where it is stored, is taken at once: it is the best there is, and paid for. A row for
    which a dearer rung has no valid answer keeps the one that would not do.

    Args:
        rungs: two or more, from the cheapest up.
    """
    last = rungs[-1]

    async def call(request: Request) -> Completion:
        if (stored := await _stored(last, request)) is not None:
            return stored
        best: Completion | None = None
        for rung, above in pairwise(rungs):
            tally = Tally()
            try:
                best = await _asked(rung, request, tally)
                reason = verdict(best)
            except RowError as error:
                reason = error.type
            if best is not None and not reason:
                observer(Sufficed(rung.name, tally.usage.cost, _saved(last, rung, tally)))
                return best
            observer(Escalated(rung.name, above.name, reason, tally.usage.cost))
            if request.ear is not None:
                request.ear.restart("fallback", f"{above.name} is asked: {reason}")
        try:
            return await _asked(last, request, Tally())
        except RowError:
            if best is None:
                raise
            return best

    return call


async def _stored(rung: Rung, request: Request) -> Completion | None:
    """A rung's answer where nobody need be asked for it."""
    tally = Tally(endpoint=rung.name)
    try:
        completion = await rung.handler(replace(rung.address(request), tally=tally, stored=True))
    except RowError:
        return None
    request.tally.add(tally)
    return completion


async def _asked(rung: Rung, request: Request, tally: Tally) -> Completion:
    """A rung's answer; what it costs counts for the row, too."""
    try:
        return await rung.handler(replace(rung.address(request), tally=tally))
    finally:
        tally.endpoint = tally.endpoint or rung.name
        request.tally.add(tally)


def _saved(last: Rung, rung: Rung, tally: Tally) -> Decimal | None:
    """US dollars that the last rung would have cost beyond what this one has: for the tokens of one of its votes."""
    if not tally.attempts:
        return Decimal(0)
    instead, spent = last.price(_share(tally.usage, rung.votes)), tally.usage.cost
    return None if instead is None or spent is None else instead - spent


def _share(usage: Usage, votes: int) -> Usage:
    """One vote's part. Nothing of it was cached for another model."""
    return Usage(usage.input_tokens // votes, usage.output_tokens // votes)
