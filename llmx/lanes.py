"""One endpoint and all layers around it: from a question's cache entry to the call.

The composition root of a call is `engine`; this is its part that every endpoint has one of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from llmx.caches import Cache
from llmx.caches.fingerprint import fingerprinter, rekeyed
from llmx.clock import Clock
from llmx.commons import NOTHING_SHARED, Commons
from llmx.events import Event, Observer, Paused
from llmx.journal import NoJournal
from llmx.layers import compose
from llmx.layers.adaptive import AdaptiveConcurrency
from llmx.layers.breaker import COOL_DOWN, Breaker
from llmx.layers.budget import Amount, Purse, Spending, worst_case
from llmx.layers.cache import cached
from llmx.layers.careful import careful
from llmx.layers.condition import Condition
from llmx.layers.fallback import Lane
from llmx.layers.fit import fitting
from llmx.layers.gate import Gate, admitted
from llmx.layers.health import Health
from llmx.layers.hedge import Hedges, hedged
from llmx.layers.journal import Answers, journalled
from llmx.layers.meter import metered
from llmx.layers.pacing import Pacing, Quota
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.layers.timeout import timed
from llmx.layers.validate import validated
from llmx.pricing import context_window
from llmx.providers import Endpoint, caps_in, size_of
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.share import ALONE, Share
from llmx.spending import counts_money
from llmx.types import Judgement, Layer, Request

if TYPE_CHECKING:
    from llmx.caches.semantic import Shelf

__all__ = ["ADAPTIVE", "CONCURRENCY", "Parts", "Traffic", "lane", "names_of", "traffic", "worst"]

CONCURRENCY = 32
"""Calls in flight at first when nothing else is asked for: enough for 10 rows/s at 3 s a call."""

ADAPTIVE = 256
"""The most that it grows to while the server keeps up: 5,000 rows a minute at 3 s a call."""

PROBED = 0.4
"""The share of patience after which a probe goes out at the latest: nobody is given up who was not asked again."""


class Parts(Struct, frozen=True):
    """What the lanes of a run share.

    Args:
        past: another run's journal, whose answers may be of use.
        spending: the run's budgets.
        share: of the limits, what this process keeps to.
        judge: finds out how far answers can be trusted, where somebody wants to know.
        commons: what other runs share, too.
    """

    settings: Settings
    schema: Schema
    cache: Cache
    journal: Answers
    past: Answers | None
    spending: Spending
    clock: Clock
    stop: Stop
    observer: Observer
    hedges: Hedges
    share: Share = ALONE
    judge: Judgement | None = None
    commons: Commons = NOTHING_SHARED


class Traffic(Struct, frozen=True):
    """What is asked of one endpoint.

    Args:
        rpm, tpm: limits per minute, None for those that it tells.
        start, ceiling: calls in flight at first, and at most.
    """

    rpm: float | None
    tpm: float | None
    start: int
    ceiling: int


def traffic(endpoint: Endpoint, settings: Settings, share: Share = ALONE) -> Traffic:
    """The limits of an endpoint: its own in the config file, else those of the run; of all of them this process's share."""
    table = settings.endpoints.get(endpoint.called)
    rpm = share.rate(table.rpm if table and table.rpm is not None else settings.rpm)
    tpm = share.rate(table.tpm if table and table.tpm is not None else settings.tpm)
    asked = table.concurrency if table and table.concurrency is not None else settings.concurrency
    # An endpoint that serves so many at a time would let more wait in line while their timeouts run.
    most = endpoint.concurrency or 10_000
    if asked is not None or endpoint.concurrency is not None:
        fixed = share.places(min(asked or most, most))
        return Traffic(rpm, tpm, fixed, fixed)
    return Traffic(rpm, tpm, share.places(CONCURRENCY), share.places(ADAPTIVE))


def lane(endpoint: Endpoint, name: str, parts: Parts, *, several: bool, shelf: Shelf | None = None) -> Lane:
    """An endpoint's way in.

    Args:
        name: of the endpoint in this run.
        several: it is not the only one.
        shelf: what the semantic cache has of it.
    """
    health = Health()
    quota = parts.commons.quota(endpoint) if parts.commons.quota else None
    pacing = _pacing(endpoint, name, parts, quota)
    observer = _telling(parts.observer, name, quota) if quota else parts.observer
    condition = _condition(endpoint, name, replace(parts, observer=observer), health, pacing)
    if quota:
        condition.hold(quota.joined(condition.hold))
    endpoint.listen(condition.heard)
    gate = Gate(
        name,
        condition=condition,
        pacing=pacing,
        purse=Purse(parts.spending, worst(endpoint, priced=_counts_money(parts))),
        patience=parts.settings.patience,
        clock=parts.clock,
        stop=parts.stop,
    )
    layers = [*_outer(endpoint, parts, shelf), *_inner(endpoint, name, parts, gate, health)]
    handler = compose(endpoint.provider.complete, layers)
    return Lane(name, handler, _addressed(endpoint, parts.schema) if several else _as_it_is, gate)


def _outer(endpoint: Endpoint, parts: Parts, shelf: Shelf | None) -> list[Layer]:
    """From the cache to the journal: what costs nothing."""
    settings, schema = parts.settings, parts.schema
    return [
        cached(parts.cache, schema.parse, parts.judge),
        *([] if shelf is None else [_resembling(shelf, parts)]),
        validated(
            endpoint.codec,
            reasks=settings.reasks,
            rekey=rekeyed(schema.fingerprint),
            observer=parts.observer,
            replayed=not isinstance(parts.journal, NoJournal),
            judge=parts.judge,
        ),
        journalled(parts.journal, past=parts.past, offline=settings.offline),
    ]


def _resembling(shelf: Shelf, parts: Parts) -> Layer:
    from llmx.layers.semantic import resembling

    return resembling(shelf, parts.schema.parse, parts.judge)


def _inner(endpoint: Endpoint, name: str, parts: Parts, gate: Gate, health: Health) -> list[Layer]:
    """From the first check to the call."""
    settings, clock, stop, observer = parts.settings, parts.clock, parts.stop, parts.observer
    policy = RetryPolicy(retries=settings.retries, patience=settings.patience, max_wait=settings.max_wait)
    most = traffic(endpoint, settings, parts.share).ceiling
    return [
        fitting(lambda: context_window(endpoint.model, endpoint.prices)),
        careful(concurrency=max(most, settings.concurrency or ADAPTIVE), stop=stop),
        retried(policy, health=health, clock=clock, stop=stop, observer=observer, allowed=gate.retry_allowed),
        _hedged(parts, gate) if settings.hedge else admitted(gate),
        metered(name, clock=clock, observer=observer),
        timed(settings.timeout),
    ]


def _hedged(parts: Parts, gate: Gate) -> Layer:
    return hedged(
        parts.hedges,
        gate,
        retries=parts.settings.retries,
        keep=parts.journal.keep,
        clock=parts.clock,
        observer=parts.observer,
    )


def _condition(endpoint: Endpoint, name: str, parts: Parts, health: Health, pacing: Pacing) -> Condition:
    limits, settings = traffic(endpoint, parts.settings, parts.share), parts.settings
    return Condition(
        name,
        pacing=pacing,
        concurrency=AdaptiveConcurrency(limits.start, limits.ceiling),
        health=health,
        breaker=Breaker(min(COOL_DOWN, settings.patience * PROBED)),
        max_wait=settings.max_wait,
        clock=parts.clock,
        observer=parts.observer,
    )


def _telling(observer: Observer, name: str, quota: Quota) -> Observer:
    """An observer that has an endpoint's pauses hold all who share its account, too."""

    def observe(event: Event) -> None:
        if isinstance(event, Paused) and event.endpoint == name and event.reason != "drained":
            quota.paused(event.seconds)
        observer(event)

    return observe


def _pacing(endpoint: Endpoint, name: str, parts: Parts, quota: Quota | None) -> Pacing:
    share = ALONE if quota else parts.share
    limits = traffic(endpoint, parts.settings, share)
    return Pacing(
        name,
        rpm=limits.rpm,
        tpm=limits.tpm,
        clock=parts.clock,
        observer=parts.observer,
        size=_body_size,
        parts=share.of,
        quota=quota,
    )


def _counts_money(parts: Parts) -> bool:
    """Whether anybody does."""
    return parts.commons.dollars or counts_money(parts.settings)


def _body_size(request: Request) -> int:
    """Bytes of a request's body."""
    return size_of(request.body)


def worst(endpoint: Endpoint, *, priced: bool = True) -> Callable[[Request], Amount]:
    """The most that a request to an endpoint can use.

    Args:
        priced: somebody counts money; to look up a price takes as long as the rest of a row's accounting.
    """

    def amount(request: Request) -> Amount:
        cap = max(caps_in(request.body).values(), default=0)
        if not priced:
            return Amount(None, _body_size(request) + endpoint.injected + cap)
        return worst_case(
            _body_size(request),
            cap,
            injected=endpoint.injected,
            price=lambda usage: endpoint.price(endpoint.model, usage),
        )

    return amount


def _as_it_is(request: Request) -> Request:
    return request


def _addressed(endpoint: Endpoint, schema: Schema) -> Callable[[Request], Request]:
    """A function that makes a request in an endpoint's format of one in another's."""
    digest_of, rekey = fingerprinter(endpoint.id, schema.fingerprint), rekeyed(schema.fingerprint)

    def address(request: Request) -> Request:
        body = endpoint.codec.prepare(request.messages)
        addressed = replace(
            request, endpoint=endpoint.id, model=endpoint.model, body=body, fingerprint=digest_of(body)
        )
        return rekey(addressed) if request.sample else addressed

    return address


def names_of(endpoints: Sequence[Endpoint]) -> list[str]:
    """A name for each endpoint, as the user calls it; what is there twice is numbered."""
    names = [endpoint.called or endpoint.label for endpoint in endpoints]
    counts = [names[:number].count(name) for number, name in enumerate(names, start=1)]
    return [name if count == 1 else f"{name} ({count})" for name, count in zip(names, counts, strict=True)]
