"""The call's composition root: from settings to what turns a row into an outcome.

Shared by files (`job`) and the library (`api`). Nothing here reads or writes rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from llmx.ahead import Done
from llmx.asking import Asking, asking
from llmx.caches import Cache, NoCache
from llmx.caches.fingerprint import fingerprinter
from llmx.clock import Clock
from llmx.commons import NOTHING_SHARED, Commons, Replenished
from llmx.connecting import Talk, connected, keyless
from llmx.demands import judge
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.events import Observer, fan_out
from llmx.journal import NoJournal
from llmx.lanes import Parts, lane, names_of, traffic
from llmx.layers.budget import Allowance, Spending
from llmx.layers.fallback import Lane
from llmx.layers.hedge import Hedges
from llmx.layers.journal import Answers
from llmx.layers.stop import Stop
from llmx.presenting import Presenter
from llmx.prompts import Prompt
from llmx.providers import Endpoint
from llmx.resembling import Shelves, semantic_shelves
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.settling import FIRST_ROWS, FirstRows, Prepare, Prepared, Settler
from llmx.share import ALONE, Share
from llmx.spending import Outstanding, Spent, counts_money, spending
from llmx.types import Outcome, Record, Request, Served, Unreadable, Usage

if TYPE_CHECKING:
    from llmx.caches.semantic import Shelf

__all__ = ["Engine", "RowJournal", "Settle", "engine", "preparer"]

Settle = Callable[[Prepared], Awaitable[Outcome]]


class RowJournal(Answers, Protocol):
    """Where answers are kept, and how rows ended."""

    def expect(self, fingerprints: Sequence[str], rows: Sequence[Record | Unreadable]) -> Future[None] | None:
        """These will be asked for soon: done when what is known of them is at hand."""
        ...

    def settle(self, *outcomes: Outcome) -> None:
        """Write down how rows ended."""
        ...


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
            endpoint.id,
            endpoint.model,
            body,
            digest_of(body),
            row=rendered.row,
            messages=rendered.messages,
            data=record.data,
            index=record.index,
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
        questions: of each answer that a row needs, one or, of votes, several: the fingerprints under which it may be
            stored, in the order of the chain.
        cache: where it looks first.
        observer: to be told what happens to rows elsewhere.
        spending: what calls are paid from.
        hold: sends nothing to an endpoint of a name for so many seconds, and tells nobody.
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
    questions: Callable[[Request], list[list[str]]]
    cache: Cache
    observer: Observer
    spending: Spending
    hold: Callable[[str, float], None]
    all_taken: Callable[[], None]

    @property
    def served(self) -> list[Served]:
        """What stands behind each of the names."""
        return [Served(one.name, one.model, one.base_url) for one in self.endpoints]


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
    journal: RowJournal | None = None,
    past: Answers | None = None,
    spent: Callable[[Sequence[Endpoint]], Spent] = lambda endpoints: Spent(),
    note: Outstanding = lambda risk: None,
    share: Share = ALONE,
    caps: Allowance | None = None,
    enough: float | None = None,
    commons: Commons | None = None,
    first_rows: int | None = FIRST_ROWS,
) -> AsyncIterator[Engine]:
    """Everything between a row and its outcome, connected; released at the end.

    Args:
        journal: where answers are found and kept.
        past: another run's journal, whose answers may be of use.
        spent: what counts against the run's caps already.
        note: told what calls in flight may come to.
        share: of all limits, where several processes share the run.
        caps: the run's, where another process keeps them.
        enough: the confidence from which on a cascade takes a cheaper model's answer.
        commons: what is shared with other runs, of whatever process.
        first_rows: if so many all fail, and none before them was good, it stops; None where rows have nothing to do with
            each other.
    """
    journal, commons = journal or NoJournal(), commons or NOTHING_SHARED
    env = keyless(settings, env) if settings.offline else env
    async with connected(settings, schema, env, talk, stop, dollars=commons.dollars) as endpoints:
        _check_prices(settings, endpoints, talk, dollars=commons.dollars)
        capped = settings.max_cost is not None or settings.max_tokens is not None
        before = spent(endpoints) if capped else Spent()  # to look up prices takes half a second
        cache = _open_cache(settings, env, talk.say)
        with (
            closing(cache),
            semantic_shelves(settings, schema, prompt, env, talk.say) as shelves,
            spending(
                settings,
                env.home,
                before,
                clock=clock,
                stop=stop,
                observer=observer,
                note=note,
                caps=caps,
                shared=commons.allowances,
            ) as budgets,
            _replenished(budgets, commons.allowances),
        ):
            hedges = Hedges()
            parts = Parts(
                settings,
                schema,
                cache,
                journal,
                past,
                budgets,
                clock,
                stop,
                observer,
                hedges,
                share,
                judge(settings, prompt),
                commons,
            )
            try:
                yield _engine(endpoints, prompt, presenter, parts, journal, enough, first_rows, shelves)
            finally:
                await hedges.aclose()


def _engine(
    endpoints: Sequence[Endpoint],
    prompt: Prompt,
    presenter: Presenter,
    parts: Parts,
    journal: RowJournal,
    enough: float | None,
    first_rows: int | None,
    shelves: Shelves | None,
) -> Engine:
    settings = parts.settings
    stored = [
        None if shelves is None else shelves(endpoint, spec)
        for endpoint, spec in zip(endpoints, settings.model, strict=True)
    ]
    lanes = [
        lane(endpoint, name, parts, several=len(endpoints) > 1, shelf=shelf)
        for endpoint, name, shelf in zip(endpoints, names_of(endpoints), stored, strict=True)
    ]
    if not settings.cascade:  # whose rungs do not stand in for each other
        _introduce(lanes, spread=settings.spread)
    ways = asking(lanes, endpoints, parts, enough, prompt.shown, stored[0])
    prepare = preparer(endpoints[0], prompt, parts.schema, presenter)
    observer = parts.observer
    if first_rows is not None:
        observer = fan_out(observer, FirstRows(parts.stop, rows=first_rows))
    settler = Settler(
        prepare,
        ways.handler,
        stored=ways.stored,
        present=presenter.present,
        clock=parts.clock,
        stop=parts.stop,
        observer=observer,
    )
    ceilings = [traffic(endpoint, settings, parts.share).ceiling for endpoint in endpoints]
    gates = {lane.name: lane.gate for lane in lanes}
    return Engine(
        _recorded(settler.settle, journal),
        endpoints,
        (" + " if settings.spread else " ⇒ " if settings.cascade else " → ").join(
            lane.name for lane in lanes
        ),
        [lane.name for lane in lanes],
        _rows_at_once(ceilings, settings),
        prepare,
        _readier(settler, parts.cache, journal, ways, stored[0]),
        settler.taken,
        lambda request: [ways.alternatives(sample) for sample in ways.samples(request)],
        parts.cache,
        observer,
        parts.spending,
        lambda name, seconds: gates[name].hold(seconds),
        parts.hedges.all_taken,
    )


def _rows_at_once(ceilings: Sequence[int], settings: Settings) -> int:
    """Rows that are under way together: as many as there are calls, of which votes take several for a row."""
    calls = sum(ceilings) if settings.spread or settings.cascade else max(ceilings)
    return max(1, calls // settings.votes)


def _readier(
    settler: Settler, cache: Cache, journal: RowJournal, ways: Asking, shelf: Shelf | None
) -> Prepare:
    """A function that makes rows ready together: one look into each table on the disk is for all of them.

    Rows that are in the cache are settled here, without a task's turn for each.
    """

    async def ready(rows: list[Record | Unreadable]) -> list[Prepared | Done[Outcome]]:
        made = [settler.prepared(row) for row in rows]
        await _read(cache.expect(_fingerprints(made, ways)))
        known = [settler.at_once(row) for row in made]
        if shelf is not None:
            await _read(shelf.expect(_asked(known, ways)))
            known = [settler.at_once(row) for row in known]
        ready = list(_together(known))
        await _read(journal.expect(_fingerprints(ready, ways), rows))
        journal.settle(*(outcome for one in ready if isinstance(one, Done) for outcome in one.results))
        return ready

    return ready


def _asked(rows: Sequence[Prepared | Outcome | Done[Outcome]], ways: Asking) -> list[Request]:
    """What is asked about those that are not done."""
    return [sample for row in rows if isinstance(row, Prepared) for sample in ways.samples(row.request)]


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


def _fingerprints(rows: Sequence[Prepared | Outcome | Done[Outcome]], ways: Asking) -> list[str]:
    """Of those that are asked about."""
    return [request.fingerprint for request in _asked(rows, ways)]


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


@contextmanager
def _replenished(budgets: Spending, allowances: Sequence[Allowance]) -> Iterator[None]:
    """Calls that wait for budgets look again as soon as one of them has more room."""
    with ExitStack() as listening:
        for allowance in allowances:
            if isinstance(allowance, Replenished):
                listening.callback(allowance.listen(budgets.look_again))
        yield


def _check_prices(settings: Settings, endpoints: Sequence[Endpoint], talk: Talk, *, dollars: bool) -> None:
    """Refuse to keep to a number of dollars where nobody knows what a call costs. Raises UsageError."""
    own = counts_money(settings)
    if not (own or dollars):
        return
    budget = f"--budget {settings.budget}" if own else "a daily budget in dollars"
    option = "--max-cost" if settings.max_cost is not None else budget
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


def _recorded(settle: Settle, journal: RowJournal) -> Settle:
    """`settle`, with every row's end written down."""

    async def settled(prepared: Prepared) -> Outcome:
        outcome = await settle(prepared)
        journal.settle(outcome)
        return outcome

    return settled
