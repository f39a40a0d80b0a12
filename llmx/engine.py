"""The call's composition root: from settings to what turns a row into an outcome.

Shared by files (`job`) and the library (`api`). Nothing here reads or writes rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from llmx.ahead import Done
from llmx.caches import Cache, NoCache
from llmx.caches.fingerprint import fingerprinter
from llmx.clock import Clock
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.events import Observer, fan_out
from llmx.journal import Journal, NoJournal
from llmx.lanes import Parts, lane, names_of, traffic
from llmx.layers import compose
from llmx.layers.cache import looked_up
from llmx.layers.coalesce import coalesced
from llmx.layers.fallback import Lane, fallback
from llmx.layers.hedge import Hedges
from llmx.layers.journal import Answers
from llmx.layers.stop import Stop
from llmx.presenting import Presenter
from llmx.prompts import Prompt
from llmx.providers import CATALOG, Endpoint, Prices, checked_address, connect, parse_model, with_keys
from llmx.report.summary import Figures
from llmx.schemas import Schema
from llmx.settings import EndpointTable, Settings
from llmx.settling import FirstRows, Prepare, Prepared, Settler
from llmx.spending import Outstanding, Spent, counts_money, spending
from llmx.types import Completion, Outcome, Record, Request, Unreadable, Usage

__all__ = ["Engine", "Settle", "Talk", "connected", "engine", "keyless", "preparer"]

Settle = Callable[[Prepared], Awaitable[Outcome]]


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
) -> AsyncIterator[list[Endpoint]]:
    """The run's endpoints, in the order of the chain; their connections are released at the end.

    A stop ends the wait for weights.
    """
    _check_models(settings)
    async with AsyncExitStack() as held:
        endpoints = []
        for spec in settings.model:
            with stop.interruptible():
                endpoint = await _connect(spec, settings, schema, env, talk)
            held.push_async_callback(endpoint.provider.aclose)
            endpoints.append(endpoint)
        yield endpoints


def _check_models(settings: Settings) -> None:
    """Raises UsageError for what cannot be meant.

    One address for several providers, as each one's key would be sent there, and an endpoint that is there twice, as
    its limits are there once.
    """
    if twice := [spec for spec in settings.model if settings.model.count(spec) > 1]:
        hint = "for a second key or address of a model, an [endpoint.NAME] table with a key-name or base-url of its own"
        raise UsageError(f"-m {twice[0]} is given twice", hint=hint)
    tables = [_checked_table(spec, settings) for spec in settings.model]
    plain = [table.model for table in tables if table.base_url is None]
    providers = list(dict.fromkeys(parse_model(model).provider for model in plain))
    remote = [name for name in providers if name != "local"]
    if settings.base_url is not None and len(remote) > 1:
        hint = "[endpoint.NAME] tables with a base-url in llmx.toml, or the variables of their SDKs, such as OPENAI_BASE_URL"
        raise UsageError(f"--base-url is for one provider, and -m names {' and '.join(remote)}", hint=hint)


def _checked_table(spec: str, settings: Settings) -> EndpointTable:
    """What a name means. Raises UsageError, which names the table of the config file that is wrong."""
    table = settings.table(spec)
    try:
        model = parse_model(table.model)
        if table.base_url is not None:
            checked_address(table.base_url, CATALOG[model.provider], "base-url")
    except UsageError as error:
        if spec not in settings.endpoints:
            raise
        raise UsageError(f"[endpoint.{spec}]: {error}", hint=error.hint) from error
    return table


async def _connect(spec: str, settings: Settings, schema: Schema, env: Environment, talk: Talk) -> Endpoint:
    """One endpoint: a name of the config file's, or a model."""
    table = settings.table(spec)
    # The run's address is no address of a model in this process, where others stand beside it.
    shared = (
        None
        if parse_model(table.model).provider == "local" and len(settings.model) > 1
        else settings.base_url
    )
    prices = Prices(table.input_price, table.output_price, elsewhere=counts_money(settings))
    endpoint = await connect(
        table.model,
        schema,
        env=env,
        base_url=table.base_url or shared,
        mode=table.mode or settings.mode,
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        key_file=settings.key_file,
        key_name=table.key_name,
        prices=prices,
        timeout=settings.timeout,
        spans=settings.spans,
        transport=settings.transport,
        plans=None if settings.no_store or settings.offline else env.home / "plans",
        progress=talk.downloading,
    )
    return replace(endpoint, called=spec if spec in settings.endpoints else "")


def preparer(
    endpoint: Endpoint, prompt: Prompt, schema: Schema, presenter: Presenter
) -> Callable[[Record], Request]:
    """A function from a row to its request."""
    digest_of = fingerprinter(endpoint.id, schema.fingerprint)

    def prepare(record: Record) -> Request:
        presenter.check(record)
        rendered = prompt.render(record.data)
        body = endpoint.codec.prepare(rendered.messages)
        return Request(
            endpoint.id, endpoint.model, body, digest_of(body), row=rendered.row, messages=rendered.messages
        )

    return prepare


def _open_cache(settings: Settings, env: Environment, warn: Callable[[str], None]) -> Cache:
    """The cache that was asked for."""
    if settings.cache == "off":
        return NoCache()
    from llmx.caches.exact import ExactCache, cache_folder

    if settings.no_store or settings.offline:
        from llmx.caches.stored import StoredCache

        return StoredCache(cache_folder(env.home), warn=warn)
    return ExactCache(cache_folder(env.home), ttl=settings.cache_ttl, warn=warn)


class Engine(Struct, frozen=True):
    """What turns rows into outcomes, and the most of them that should be under way.

    Args:
        endpoints: in the order of the chain.
        label: what they are, for people.
        prepare: makes the first endpoint's request of a row; RowError where there is none.
        ready: makes what `settle` takes of rows, and has what is stored of them read meanwhile.
        taken: to be told of all rows that are done at once, when they are taken.
        questions: the fingerprints under which answers to a row's request may be stored, in the order of the chain.
        cache: where it looks first.
        observer: to be told what happens to rows elsewhere.
        all_taken: to be told when no further row will be taken.
    """

    settle: Settle
    endpoints: Sequence[Endpoint]
    label: str
    names: Sequence[str]
    concurrency: int
    prepare: Callable[[Record], Request]
    ready: Prepare
    taken: Callable[[Sequence[Outcome]], None]
    questions: Callable[[Request], list[str]]
    cache: Cache
    observer: Observer
    all_taken: Callable[[], None]


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
    spent: Callable[[Sequence[Endpoint]], Spent] = lambda endpoints: Spent(),
    note: Outstanding = lambda risk: None,
) -> AsyncIterator[Engine]:
    """Everything between a row and its outcome, connected; released at the end.

    Args:
        journal: where answers are found and kept.
        past: another run's journal, whose answers may be of use.
        spent: what counts against the run's caps already.
        note: told what calls in flight may come to.
    """
    journal = journal or NoJournal()
    env = keyless(settings, env) if settings.offline else env
    async with connected(settings, schema, env, talk, stop) as endpoints:
        _check_prices(settings, endpoints, talk)
        capped = settings.max_cost is not None or settings.max_tokens is not None
        before = spent(endpoints) if capped else Spent()  # to look up prices takes half a second
        cache = _open_cache(settings, env, talk.say)
        with (
            closing(cache),
            spending(
                settings, env.home, before, clock=clock, stop=stop, observer=observer, note=note
            ) as budgets,
        ):
            hedges = Hedges()
            parts = Parts(settings, schema, cache, journal, past, budgets, clock, stop, observer, hedges)
            try:
                yield _engine(endpoints, prompt, presenter, parts, journal)
            finally:
                await hedges.aclose()


def _engine(
    endpoints: Sequence[Endpoint],
    prompt: Prompt,
    presenter: Presenter,
    parts: Parts,
    journal: Journal | NoJournal,
) -> Engine:
    settings = parts.settings
    lanes = [
        lane(endpoint, name, parts, several=len(endpoints) > 1)
        for endpoint, name in zip(endpoints, names_of(endpoints), strict=True)
    ]
    _introduce(lanes, spread=settings.spread)
    handler = compose(
        fallback(lanes, spread=settings.spread, asks=not settings.offline, observer=parts.observer),
        [coalesced()],
    )
    prepare = preparer(endpoints[0], prompt, parts.schema, presenter)
    observer = fan_out(parts.observer, FirstRows(parts.stop))
    settler = Settler(
        prepare,
        handler,
        stored=_stored(lanes[0].name, parts),
        present=presenter.present,
        clock=parts.clock,
        stop=parts.stop,
        observer=observer,
    )
    ceilings = [traffic(endpoint, settings).ceiling for endpoint in endpoints]
    return Engine(
        _recorded(settler.settle, journal),
        endpoints,
        (" + " if settings.spread else " → ").join(lane.name for lane in lanes),
        [lane.name for lane in lanes],
        sum(ceilings) if settings.spread else max(ceilings),
        prepare,
        _readier(settler, parts.cache, journal),
        settler.taken,
        lambda request: [lane.address(request).fingerprint for lane in lanes],
        parts.cache,
        observer,
        parts.hedges.all_taken,
    )


def _stored(name: str, parts: Parts) -> Callable[[Request], Completion | None]:
    """A function that finds what the cache of the first endpoint has."""
    look_up = looked_up(parts.cache, parts.schema.parse)

    def stored(request: Request) -> Completion | None:
        request.tally.endpoint = name
        return look_up(request)

    return stored


def _readier(settler: Settler, cache: Cache, journal: Journal | NoJournal) -> Prepare:
    """A function that makes rows ready together: one look into each table on the disk is for all of them.

    Rows that are in the cache are settled here, without a task's turn for each.
    """

    async def ready(rows: list[Record | Unreadable]) -> list[Prepared | Done[Outcome]]:
        made = [settler.prepared(row) for row in rows]
        await _read(cache.expect(_fingerprints(made)))
        ready = list(_together(map(settler.at_once, made)))
        await _read(journal.expect(_fingerprints(ready), rows))
        journal.settle(*(outcome for one in ready if isinstance(one, Done) for outcome in one.results))
        return ready

    return ready


def _together(made: Iterable[Prepared | Outcome]) -> Iterator[Prepared | Done[Outcome]]:
    """Rows in their order, those that are done and follow each other as one."""
    done: list[Outcome] = []
    for one in made:
        if isinstance(one, Outcome):
            done.append(one)
            continue
        if done:
            yield Done(done)
            done = []
        yield one
    if done:
        yield Done(done)


def _fingerprints(rows: Sequence[Prepared | Outcome | Done[Outcome]]) -> list[str]:
    """Of those that are asked about."""
    return [row.request.fingerprint for row in rows if isinstance(row, Prepared)]


async def _read(reading: Future[None] | None) -> None:
    """Wait for what is read off the loop's thread."""
    if reading is not None:
        await asyncio.wrap_future(reading)


def _introduce(lanes: Sequence[Lane], *, spread: bool) -> None:
    """Make the gates of a run known to each other."""
    gates = [lane.gate for lane in lanes]
    for gate in gates:
        gate.others = [other for other in gates if other is not gate]
        gate.leaves_pauses = spread


def _check_prices(settings: Settings, endpoints: Sequence[Endpoint], talk: Talk) -> None:
    """Refuse to keep to a number of dollars where nobody knows what a call costs. Raises UsageError."""
    if not counts_money(settings):
        return
    option = "--max-cost" if settings.max_cost is not None else f"--budget {settings.budget}"
    for endpoint in endpoints:
        if endpoint.price(endpoint.model, Usage(1_000, 0, 1_000)) is None:
            raise UsageError(
                f"{option}: the price of {endpoint.label} at {endpoint.base_url} is not known",
                hint="--max-tokens N, or in llmx.toml a table [endpoint.NAME] with model, base-url, input-price and "
                "output-price (US dollars per million tokens), and -m NAME",
            )
        table = settings.endpoints.get(endpoint.called)
        if endpoint.given is not None and (table is None or table.input_price is None):
            talk.say(
                f"note: {endpoint.base_url} is taken to cost what {endpoint.label} does by its provider's list"
            )


def _recorded(settle: Settle, journal: Journal | NoJournal) -> Settle:
    """`settle`, with every row's end written down."""

    async def settled(prepared: Prepared) -> Outcome:
        outcome = await settle(prepared)
        journal.settle(outcome)
        return outcome

    return settled


def keyless(settings: Settings, env: Environment) -> Environment:
    """The environment of a run that calls nobody, for which no key is needed."""
    tables = [settings.table(spec) for spec in settings.model]
    specs = [table.model for table in tables]
    names = [table.key_name for table in tables if table.key_name]
    return replace(env, variables=with_keys(specs, names, env.variables))
