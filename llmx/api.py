"""The library: the command line's engine over any iterable of rows, without files and without a terminal.

>>> outcomes = llmx.extract([{"text": "Ada, 36"}], "name, age int", model="local")
>>> outcomes[0].value.age
36
"""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from llmx.ahead import Ahead
from llmx.clock import SystemClock
from llmx.commons import Commons
from llmx.connecting import Quiet
from llmx.demands import check_demands, enough, wrapped
from llmx.engine import Engine, engine
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.events import Event, Observer, RunEnded, RunStarted, fan_out, one_by_one
from llmx.feed import Feed
from llmx.layers.stop import Stop
from llmx.pipeline import amap
from llmx.planning import make_prompt, no_model, resolve_schema, selection
from llmx.presenting import NoRows
from llmx.prompts import Prompt
from llmx.schemas import Schema
from llmx.settings import Settings
from llmx.telemetry.asked import asked
from llmx.types import Outcome, Record, weight

__all__ = ["Extraction", "aextract", "extract", "records_of", "require_no_loop", "settings_of"]

FILES_ONLY = frozenset(
    {
        "inputs",
        "input_format",
        "output_format",
        "limit",
        "sample",
        "seed",
        "keep",
        "prefix",
        "into",
        "explode",
        "review",
    }
    | {"meta", "output", "errors", "summary", "csv_safe", "dry_run", "max_failures"}
    | {"fresh", "state_dir", "no_store", "confirm_above", "workers"}
)
"""Options that say how files are read and written: a caller of the library does that."""

PEEKED = (1, 100)
"""Rows looked at to learn the columns: one, or more where it lacks a column that is asked for by name."""


def extract(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    *,
    model: str | Sequence[str] = (),
    observer: Observer | None = None,
    **options: Any,
) -> list[Outcome]:
    """Extract one validated object from every row.

    Args:
        rows: columns by name; read lazily, once, by a thread of its own (what may be used only by the thread that
            made it, as a cursor of sqlite3 by default, is read into a list first).
        schema: a Pydantic class, a JSON Schema as a dict, or any spec that `--schema` takes.
        model: as `--model`, e.g. "openai/gpt-5-mini", "local"; several are a fallback chain. Not needed with `cascade`.
        observer: called with every event of the run.
        options: the command line's options with underscores, e.g. `concurrency=8`, `rpm=500`, `reasks=1`.

    Returns:
        One outcome per row, in the rows' order (unless `order="done"`): `value` is an instance of the
        schema, or `error` says why there is none.

    Raises:
        UsageError: an option, the schema or the model is wrong; nothing was spent.
        FatalError: no row could succeed any more (key, quota, model); settled rows are in the cache.
        RuntimeError: called from a running event loop, as notebooks have one; use `aextract` there.
    """
    require_no_loop("`await llmx.aextract(…)` instead of `llmx.extract(…)`")

    async def collect() -> list[Outcome]:
        return await aextract(rows, schema, model=model, observer=observer, **options)

    return asyncio.run(collect())


def require_no_loop(instead: str) -> None:
    """Raises RuntimeError in a running event loop, which what is not async would hold up.

    Args:
        instead: what to write there, in backticks.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"a running event loop calls for {instead}")


def aextract(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    *,
    model: str | Sequence[str] = (),
    observer: Observer | None = None,
    commons: Commons | None = None,
    **options: Any,
) -> Extraction:
    """`extract` for async code: `await` it for the list, or `async for` outcomes as they come.

    Args:
        rows, schema, model, observer, options: as for `extract`.
        commons: what the run shares with others of the loop's: an account's rates, and budgets.
    """
    once = isinstance(rows, Iterator)
    begin = _outcomes if asked(os.environ) is None else _outcomes_told
    told = one_by_one(observer or _ignore)
    return Extraction(lambda: begin(rows, schema, model, told, commons, options), once=once)


class Extraction:
    """Outcomes to come: awaitable as a list, iterable one by one. Each use is a run of its own.

    Args:
        once: the rows can be read only once; a second use raises RuntimeError.
    """

    def __init__(self, start: Callable[[], AsyncGenerator[Outcome]], *, once: bool) -> None:
        self._start = start
        self._once = once
        self._used = False

    def __aiter__(self) -> AsyncGenerator[Outcome]:
        if self._once and self._used:
            raise RuntimeError("the rows of this extraction were an iterator, which has been read")
        self._used = True
        return self._start()

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self._collect().__await__()

    async def _collect(self) -> list[Outcome]:
        async with aclosing(self.__aiter__()) as outcomes:
            return [outcome async for outcome in outcomes]


def _ignore(event: Event) -> None:
    pass


async def _outcomes_told(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    model: str | Sequence[str],
    observer: Observer,
    commons: Commons | None,
    options: dict[str, Any],
) -> AsyncGenerator[Outcome]:
    """The same, of which OpenTelemetry hears, too."""
    from llmx.telemetry.telling import told_beside

    with told_beside(os.environ, _warn) as told:
        both = observer if told is None else fan_out(observer, told)
        async with aclosing(_outcomes(rows, schema, model, both, commons, options)) as outcomes:
            async for outcome in outcomes:
                yield outcome


async def _outcomes(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    model: str | Sequence[str],
    observer: Observer,
    commons: Commons | None,
    options: dict[str, Any],
) -> AsyncGenerator[Outcome]:
    settings = settings_of(schema, model, options)
    env, stop = Environment(), Stop()
    check_demands(settings)
    resolved = resolve_schema(settings, env)
    feed = Feed(records_of(rows, settings.key), weigh=weight)
    try:
        prompt = await _prompt(settings, resolved, feed, env)
        async with engine(
            settings,
            wrapped(settings, resolved) or resolved,
            prompt,
            env,
            clock=SystemClock(),
            stop=stop,
            observer=observer,
            talk=Quiet(_warn),
            presenter=NoRows(),
            enough=enough(settings, env),
            commons=commons,
        ) as parts:
            async for outcome in _told(parts, feed, settings, stop, observer, resolved.name):
                yield outcome
    finally:
        feed.close()
    if stop.reason is not None:
        raise stop.reason


async def _told(
    parts: Engine, feed: Feed[Record], settings: Settings, stop: Stop, observer: Observer, schema: str
) -> AsyncGenerator[Outcome]:
    """The run's outcomes; the observer hears of its beginning and, whatever ends it, of its end."""
    observer(
        RunStarted(
            None,
            parts.label,
            parts.concurrency,
            endpoints=parts.names,
            cascade=bool(settings.cascade),
            served=parts.served,
            schema=schema,
        )
    )
    ordered, complete = settings.order == "input", False
    try:
        async with aclosing(
            amap(
                parts.settle,
                Ahead(feed, parts.ready),
                taken=parts.taken,
                concurrency=parts.concurrency,
                ordered=ordered,
                stop=stop,
                all_taken=parts.all_taken,
            )
        ) as results:
            async for outcome in results:
                yield outcome
        complete = stop.reason is None
    finally:
        observer(RunEnded(complete))


async def _prompt(settings: Settings, schema: Schema, feed: Feed[Record], env: Environment) -> Prompt:
    """The prompt, checked against the columns of the first row, or of more rows where that one is not enough."""
    few, many = PEEKED
    try:
        return _checked(settings, schema, await feed.peek(few), env)
    except UsageError:
        return _checked(settings, schema, await feed.peek(many), env)


def _checked(settings: Settings, schema: Schema, first: Iterable[Record], env: Environment) -> Prompt:
    columns = list(dict.fromkeys(column for record in first for column in record.data))
    selection(settings).check(columns)
    return make_prompt(settings, schema, columns, env)


def settings_of(schema: Any, model: str | Sequence[str], options: dict[str, Any]) -> Settings:
    """What a caller of the library asks for. Raises UsageError."""
    for name in options:
        if name in FILES_ONLY:
            raise UsageError(f"{name!r} is about files, which the library leaves to its caller")
    if not model and not options.get("cascade"):
        raise no_model(Environment())
    if model and options.get("cascade"):
        raise UsageError("model and cascade exclude each other", hint="cascade names all models")
    models = [model] if isinstance(model, str) else list(model)
    return Settings.of({"schema": schema, "model": models, **options})


def records_of(rows: Iterable[Mapping[str, Any]], key: str | None) -> Iterator[Record]:
    """A caller's rows. Raises UsageError for what is none."""
    for index, row in enumerate(_mappings(rows)):
        yield Record(index, row, origin="rows", key=None if key is None else str(row.get(key, "")))


def _mappings(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UsageError(f"rows[{index}] is a {type(row).__name__}, not a mapping of columns to values")
        if not all(isinstance(name, str) for name in row):
            raise UsageError(f"rows[{index}] has a column whose name is no text: {list(row)!r}")
        yield row


def _warn(text: str) -> None:
    """A library does not print; a cache that fails is a warning."""
    warnings.warn(text, stacklevel=3)
