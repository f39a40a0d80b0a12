"""The call's composition root: from settings to what turns a row into an outcome.

Shared by files (`job`) and the library (`api`). Nothing here reads or writes rows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from llmx.caches import Cache, NoCache
from llmx.caches.fingerprint import fingerprint, rekeyed
from llmx.clock import Clock
from llmx.environment import Environment
from llmx.events import Observer, fan_out
from llmx.journal import Journal, NoJournal
from llmx.layers import compose
from llmx.layers.cache import cached
from llmx.layers.careful import careful
from llmx.layers.coalesce import coalesced
from llmx.layers.journal import Answers, asked_anew, journalled
from llmx.layers.limit import Health, Limiter, rate_limited
from llmx.layers.meter import metered
from llmx.layers.retry import RetryPolicy, retried
from llmx.layers.stop import Stop
from llmx.layers.timeout import timed
from llmx.layers.validate import validated
from llmx.pipeline import FirstRows, settler
from llmx.presenting import Presenter
from llmx.prompts import Prompt
from llmx.providers import Endpoint, connect, with_keys
from llmx.records import to_json
from llmx.report.summary import Figures
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.types import Handler, Outcome, Record, Request, Unreadable

__all__ = ["Engine", "Settle", "Talk", "connected", "engine", "keyless", "preparer"]

CONCURRENCY = 32
"""Calls in flight when nothing else is asked for: enough for 10 rows/s at 3 s a call."""

Settle = Callable[[Record | Unreadable], Awaitable[Outcome]]


class Talk(Protocol):
    """Where a run speaks to a person: a terminal, or nowhere."""

    def say(self, text: str) -> None:
        """One line."""
        ...

    def confirmed(self, question: str) -> bool:
        """Whether a person agrees; True where there is nobody to ask. Blocks."""
        ...

    def downloading(self, done: int, total: int | None) -> None:
        """Bytes of the embedded model's weights; `total` is None while unknown."""
        ...

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        """Show the figures for as long as the context lasts."""
        ...


@asynccontextmanager
async def connected(
    settings: Settings, schema: Schema, env: Environment, talk: Talk, stop: Stop
) -> AsyncIterator[Endpoint]:
    """The run's endpoint; its connections are released at the end. A stop ends the wait for weights."""
    with stop.interruptible():
        endpoint = await _connect(settings, schema, env, talk)
    try:
        yield endpoint
    finally:
        await endpoint.provider.aclose()


async def _connect(settings: Settings, schema: Schema, env: Environment, talk: Talk) -> Endpoint:
    assert settings.model is not None
    return await connect(
        settings.model,
        schema,
        env=env,
        base_url=settings.base_url,
        mode=settings.mode,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        key_file=settings.key_file,
        timeout=settings.timeout,
        spans=settings.spans,
        progress=talk.downloading,
    )


def preparer(
    endpoint: Endpoint, prompt: Prompt, schema: Schema, presenter: Presenter
) -> Callable[[Record], Request]:
    """A function from a row to its request."""

    def prepare(record: Record) -> Request:
        presenter.check(record)
        rendered = prompt.render(record.data)
        body = endpoint.codec.prepare(rendered.messages)
        digest = fingerprint(endpoint.id, schema.fingerprint, body)
        return Request(endpoint.id, endpoint.model, body, digest, row=rendered.row)

    return prepare


def _handler_for(
    endpoint: Endpoint,
    settings: Settings,
    schema: Schema,
    *,
    concurrency: int,
    cache: Cache,
    journal: Answers,
    past: Answers | None,
    clock: Clock,
    stop: Stop,
    observer: Observer,
) -> Handler:
    """The call's layers around one endpoint, outermost first."""
    health = Health()
    limiter = Limiter(
        rpm=settings.rpm,
        tpm=settings.tpm,
        health=health,
        clock=clock,
        stop=stop,
        observer=observer,
        size=lambda request: len(to_json(request.body)),
    )
    policy = RetryPolicy(retries=settings.retries, patience=settings.patience, max_wait=settings.max_wait)
    layers = [
        coalesced(),
        cached(cache, schema.parse),
        *([] if settings.offline else [asked_anew()]),
        validated(
            endpoint.codec,
            reasks=settings.reasks,
            rekey=rekeyed(schema.fingerprint),
            observer=observer,
            replayed=isinstance(journal, Journal),
        ),
        journalled(journal, past=past, offline=settings.offline),
        careful(concurrency=concurrency, stop=stop),
        retried(policy, health=health, clock=clock, stop=stop, observer=observer),
        rate_limited(limiter),
        metered(clock=clock, observer=observer),
        timed(settings.timeout),
    ]
    return compose(endpoint.provider.complete, layers)


def _open_cache(settings: Settings, env: Environment, warn: Callable[[str], None]) -> Cache:
    """The cache that was asked for."""
    if settings.cache == "off":
        return NoCache()
    from llmx.caches.exact import ExactCache, cache_folder

    if settings.no_store or settings.offline:
        from llmx.caches.stored import StoredCache

        return StoredCache(cache_folder(env.home), warn=warn)
    return ExactCache(cache_folder(env.home), ttl=settings.cache_ttl, warn=warn)


@dataclass(frozen=True, slots=True)
class Engine:
    """What turns rows into outcomes, and the most of them that should be under way.

    Args:
        prepare: what `settle` makes of a row first.
        cache: where it looks first.
    """

    settle: Settle
    endpoint: Endpoint
    concurrency: int
    prepare: Callable[[Record], Request]
    cache: Cache


@asynccontextmanager
async def engine(
    settings: Settings,
    schema: Schema,
    prompt: Prompt,
    env: Environment,
    *,
    clock: Clock,
    stop: Stop,
    observer: Observer,
    talk: Talk,
    presenter: Presenter,
    journal: Journal | NoJournal | None = None,
    past: Answers | None = None,
) -> AsyncIterator[Engine]:
    """Everything between a row and its outcome, connected; released at the end.

    Args:
        journal: where answers are found and kept.
        past: another run's journal, whose answers may be of use.
    """
    journal = journal or NoJournal()
    env = keyless(settings, env) if settings.offline else env
    async with connected(settings, schema, env, talk, stop) as endpoint:
        # An endpoint that serves so many at a time would let more wait in line while their timeouts run.
        most = endpoint.concurrency or settings.concurrency or CONCURRENCY
        concurrency = min(settings.concurrency or most, most)
        cache = _open_cache(settings, env, talk.say)
        try:
            handler = _handler_for(
                endpoint,
                settings,
                schema,
                concurrency=concurrency,
                cache=cache,
                journal=journal,
                past=past,
                clock=clock,
                stop=stop,
                observer=observer,
            )
            watched = fan_out(observer, FirstRows(stop))
            prepare = preparer(endpoint, prompt, schema, presenter)
            settle = settler(
                prepare, handler, present=presenter.present, clock=clock, stop=stop, observer=watched
            )
            yield Engine(_recorded(settle, journal), endpoint, concurrency, prepare, cache)
        finally:
            cache.close()


def _recorded(settle: Settle, journal: Journal | NoJournal) -> Settle:
    """`settle`, with every row's end written down."""

    async def settled(row: Record | Unreadable) -> Outcome:
        outcome = await settle(row)
        journal.settle(outcome)
        return outcome

    return settled


def keyless(settings: Settings, env: Environment) -> Environment:
    """The environment of a run that calls nobody, for which no key is needed."""
    return replace(env, variables=with_keys(settings.model or "", env.variables))
