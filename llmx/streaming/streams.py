"""Rows that are asked about one by one, each with a listener, over one open engine.

`astream` is for a single row; a service keeps `open_streams` open, so that its rows share connections, limits, circuits and
identical calls in flight. Retries, re-asks, budgets and the rest are the engine's: nothing of them is here.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import count
from typing import Any

from msgspec.structs import replace

from llmx.ahead import Done
from llmx.api import records_of, require_no_loop, settings_of
from llmx.clock import SystemClock
from llmx.connecting import Quiet
from llmx.demands import check_demands, enough, wrapped
from llmx.engine import Engine, engine
from llmx.environment import Environment
from llmx.errors import LlmxError, Stopped
from llmx.events import Event, Observer, RunEnded, RunStarted, one_by_one
from llmx.layers.stop import Stop
from llmx.planning import make_prompt, resolve_schema, selection
from llmx.presenting import NoRows
from llmx.settling import Prepared
from llmx.streaming.fields import Fields
from llmx.streaming.hearing import Hearing
from llmx.streaming.parts import Part
from llmx.types import Outcome, Record

__all__ = ["Streams", "astream", "open_streams", "stream"]


class Streams:
    """An open engine; made by `open_streams`."""

    def __init__(self, engine: Engine, fields: Fields, stop: Stop, key: str | None) -> None:
        self._engine = engine
        self._fields = fields
        self._stop = stop
        self._key = key
        self._numbers = count()

    @property
    def ended(self) -> LlmxError | None:
        """Why no row can be asked about any more, None while it can: a dead key, a spent budget."""
        return self._stop.reason

    async def stream(self, row: Mapping[str, Any]) -> AsyncGenerator[Part]:
        """The parts of one row's object, the last of them `ObjectDone`.

        Closing it early cancels the call, and closes the connection to the provider.

        Args:
            row: columns by name.

        Raises:
            UsageError: the row is no mapping of columns to values.
            FatalError: no row could succeed any more.
        """
        (record,) = records_of([row], self._key)
        hearing = Hearing(self._fields)
        ending = asyncio.ensure_future(self._settled(replace(record, index=next(self._numbers)), hearing))
        ending.add_done_callback(lambda _: hearing.more.happen())
        try:
            while not (ending.done() and not hearing.parts):
                while hearing.parts:
                    yield hearing.parts.popleft()
                if not ending.done():
                    await hearing.more.next()
            self._check(ending)
        finally:
            if not ending.done():
                ending.cancel()
                await asyncio.wait([ending])
            if not ending.cancelled():
                ending.exception()  # retrieved: nobody is there to be told

    async def _settled(self, record: Record, hearing: Hearing) -> None:
        (made,) = await self._engine.ready([record])
        if isinstance(made, Done):
            self._engine.taken(made.results)
            outcome: Outcome = made.results[0]
        else:
            heard = replace(made.request, ear=hearing)
            outcome = await self._engine.settle(Prepared(made.record, heard))
        hearing.end(outcome)

    def _check(self, ending: asyncio.Future[None]) -> None:
        """Raise what has kept a row from an end of its own."""
        try:
            ending.result()
        except Stopped:
            if self._stop.reason is None:
                raise
            raise self._stop.reason from None


@asynccontextmanager
async def open_streams(
    schema: Any,
    *,
    columns: Sequence[str],
    model: str | Sequence[str] = (),
    observer: Observer | None = None,
    **options: Any,
) -> AsyncIterator[Streams]:
    """An engine for rows that are asked about one by one; what it holds is released at the end.

    Args:
        schema, model, observer, options: as `llmx.extract` takes them.
        columns: those that the rows have.

    Raises:
        UsageError: an option, the schema or the model is wrong; nothing was spent.
        AuthenticationFailed: there is no key.
    """
    settings = settings_of(schema, model, options)
    env, stop, observer = Environment(), Stop(), one_by_one(observer or _ignore)
    check_demands(settings)
    resolved = resolve_schema(settings, env)
    selection(settings).check(list(columns))
    asked = wrapped(settings, resolved) or resolved
    async with engine(
        settings,
        asked,
        make_prompt(settings, resolved, list(columns), env),
        env,
        clock=SystemClock(),
        stop=stop,
        observer=observer,
        talk=Quiet(_warn),
        presenter=NoRows(),
        enough=enough(settings, env),
        first_rows=None,
    ) as parts:
        observer(
            RunStarted(
                None, parts.label, parts.concurrency, endpoints=parts.names, cascade=bool(settings.cascade)
            )
        )
        try:
            yield Streams(parts, Fields(asked), stop, settings.key)
        finally:
            parts.all_taken()
            observer(RunEnded(stop.reason is None))


async def astream(
    row: Mapping[str, Any],
    schema: Any,
    *,
    model: str | Sequence[str] = (),
    observer: Observer | None = None,
    **options: Any,
) -> AsyncGenerator[Part]:
    """Extract one object, and tell of each of its fields as soon as it is there and valid.

    Take it with `contextlib.aclosing` where it may be left early: the call is then cancelled at once.

    Args:
        row: columns by name.
        schema, model, observer, options: as `llmx.extract` takes them.

    Yields:
        `FieldDone` for every field, in the order in which they are completed; `Restarted` where those so far do not hold any
        more; at the end `ObjectDone` with the outcome, as `llmx.extract` gives it.

    Raises:
        UsageError: an option, the schema, the model or the row is wrong; nothing was spent.
        FatalError: no row could succeed (key, quota, model).
    """
    (record,) = records_of([row], None)
    opened = open_streams(schema, columns=list(record.data), model=model, observer=observer, **options)
    async with opened as streams, aclosing(streams.stream(row)) as parts:
        async for part in parts:
            yield part


def stream(
    row: Mapping[str, Any],
    schema: Any,
    *,
    model: str | Sequence[str] = (),
    observer: Observer | None = None,
    **options: Any,
) -> Generator[Part]:
    """`astream` for code that is not async. What comes while nobody takes a part waits.

    Raises:
        RuntimeError: called from a running event loop; use `astream` there.
    """
    require_no_loop("`async for part in llmx.astream(…)` instead of `llmx.stream(…)`")
    with asyncio.Runner() as runner:
        parts = astream(row, schema, model=model, observer=observer, **options)

        async def following() -> Part | None:
            return await anext(parts, None)

        try:
            while (part := runner.run(following())) is not None:
                yield part
        finally:
            runner.run(parts.aclose())


def _ignore(event: Event) -> None:
    pass


def _warn(text: str) -> None:
    """A library does not print; a cache that fails is a warning."""
    warnings.warn(text, stacklevel=3)
