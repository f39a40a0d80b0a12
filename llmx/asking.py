"""From lanes to the one handler that answers a row: alone, a chain, votes, or a cascade.

Part of a call's composition root (`engine`): what lies outside of the endpoints' own layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from llmx.caches.fingerprint import rekeyed
from llmx.lanes import Parts
from llmx.layers import compose
from llmx.layers.cache import looked_up
from llmx.layers.cascade import Rung, Verdict, cascaded
from llmx.layers.coalesce import coalesced
from llmx.layers.fallback import Lane, fallback
from llmx.layers.journal import asked_anew
from llmx.layers.votes import Agree, ballots, voted
from llmx.providers import Endpoint
from llmx.settings import Settings
from llmx.types import Completion, Handler, Layer, Request

if TYPE_CHECKING:
    from llmx.caches.semantic import Shelf

__all__ = ["Asking", "asking", "sufficient"]

Stored = Callable[[Request], Completion | None]
Shown = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Asking(Struct, frozen=True):
    """How a row's question is answered.

    Args:
        handler: asks it.
        stored: the answer that is at hand without asking or waiting, None where there is none.
        samples: the requests that are made of a row's: one, or one for each vote.
        alternatives: the fingerprints under which the answer to one of them may be stored.
    """

    handler: Handler
    stored: Stored
    samples: Callable[[Request], Sequence[Request]]
    alternatives: Callable[[Request], list[str]]


def asking(
    lanes: Sequence[Lane],
    endpoints: Sequence[Endpoint],
    parts: Parts,
    enough: float | None,
    shown: Shown,
    shelf: Shelf | None = None,
) -> Asking:
    """The way that the settings ask for.

    Args:
        lanes: of `endpoints`, in their order.
        enough: the confidence from which on a cascade takes an answer; None for votes that all agree.
        shown: the columns of a row that the model sees.
        shelf: what the semantic cache has of the first endpoint.
    """
    settings = parts.settings
    rekey, votes = rekeyed(parts.schema.fingerprint), settings.votes
    voting = [_voted(parts)] if votes > 1 else []
    stored = _agreed(_stored(lanes[0].name, parts, shelf), parts, rekey)
    if settings.cascade:
        verdict = sufficient(enough, votes=votes, evidence=settings.evidence)
        rungs = _rungs(lanes, endpoints, parts, voting)
        way = cascaded(rungs, verdict=verdict, observer=parts.observer)
        stored = _if_sufficient(stored, verdict)
    else:
        in_turn = settings.spread and votes > 1
        chain = fallback(
            lanes,
            spread=settings.spread,
            asks=not settings.offline,
            observer=parts.observer,
            in_turn=in_turn,
        )
        way = compose(chain, voting)
        stored = _nothing if in_turn and len(lanes) > 1 else stored
    anew = [] if settings.offline else [asked_anew()]
    return Asking(
        compose(way, [coalesced(_alike(parts.settings, shown)), *anew]),
        stored,
        lambda request: ballots(request, votes, rekey) if votes > 1 else [request],
        lambda request: [lane.address(request).fingerprint for lane in lanes],
    )


def _rungs(
    lanes: Sequence[Lane], endpoints: Sequence[Endpoint], parts: Parts, voting: Sequence[Layer]
) -> list[Rung]:
    """Each lane as a step; the last one is not put to the vote, for nobody stands above it."""
    rungs = []
    for lane, endpoint in zip(lanes, endpoints, strict=True):
        votes = [] if lane is lanes[-1] else voting
        alone = fallback([lane], spread=False, asks=True, observer=parts.observer)
        rungs.append(
            Rung(
                lane.name,
                compose(alone, votes),
                lane.address,
                partial(endpoint.price, endpoint.model),
                parts.settings.votes if votes else 1,
            )
        )
    return rungs


def sufficient(enough: float | None, *, votes: int, evidence: bool) -> Verdict:
    """Whether an answer will do: it rests on the row, and is as sure as it has to be.

    Args:
        enough: from 0 to 1, None for votes that all agree.
    """

    def verdict(completion: Completion) -> str:
        quality = completion.quality
        if evidence and quality is not None and quality.unsupported:
            return "evidence"
        least = quality.least if quality is not None else None
        if enough is not None:
            return "confidence" if least is None or least < enough else ""
        return "votes" if votes > 1 and least is not None and least < 1 else ""

    return verdict


def _alike(settings: Settings, shown: Shown) -> Callable[[Request, Request], bool]:
    """Whether the words that an answer rests on stand in the same places of two rows with one question.

    A template may make the same text of different columns.
    """
    if not settings.evidence:
        return lambda leader, follower: True
    return lambda leader, follower: shown(leader.data) == shown(follower.data)


def _voted(parts: Parts) -> Layer:
    settings = parts.settings
    rekey = rekeyed(parts.schema.fingerprint)
    return voted(settings.votes, rekey=rekey, agree=_agreement(parts), stop=parts.stop)


def _agreement(parts: Parts) -> Agree:
    from llmx.quality.votes import agreed

    schema = parts.schema
    return partial(agreed, asked=parts.settings.votes, parse=schema.own.parse, answer_in=schema.answer_in)


def _stored(name: str, parts: Parts, shelf: Shelf | None) -> Stored:
    """A function that finds what the caches of the first endpoint have."""
    look_up = looked_up(parts.cache, parts.schema.parse, parts.judge)
    look_alike = None if shelf is None else _matched(shelf, parts)

    def stored(request: Request) -> Completion | None:
        request.tally.endpoint = name
        found = look_up(request)
        return found if found is not None or look_alike is None else look_alike(request)

    return stored


def _matched(shelf: Shelf, parts: Parts) -> Stored:
    from llmx.layers.semantic import matched

    return matched(shelf, parts.schema.parse, parts.judge)


def _agreed(stored: Stored, parts: Parts, rekey: Callable[[Request], Request]) -> Stored:
    """What the votes agree on, where all of them are stored."""
    votes = parts.settings.votes
    if votes == 1:
        return stored
    agree = _agreement(parts)

    def all_stored(request: Request) -> Completion | None:
        found: list[Completion] = []
        for ballot in ballots(request, votes, rekey):
            if (completion := stored(ballot)) is None:
                return None
            found.append(completion)
        request.tally.endpoint = ballot.tally.endpoint
        return agree(found)

    return all_stored


def _if_sufficient(stored: Stored, verdict: Verdict) -> Stored:
    def sufficient_one(request: Request) -> Completion | None:
        completion = stored(request)
        return None if completion is None or verdict(completion) else completion

    return sufficient_one


def _nothing(request: Request) -> Completion | None:
    """Nothing is at hand: each vote has its own place to look."""
    return None
