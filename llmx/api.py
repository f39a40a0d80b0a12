"""The library: the command line's engine over any iterable of rows, without files and without a terminal.

>>> outcomes = llmx.extract([{"text": "Ada, 36"}], "name, age int", model="local")
>>> outcomes[0].value.age
36
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from itertools import chain, islice
from typing import Any

from llmx.clock import SystemClock
from llmx.environment import Environment
from llmx.errors import UsageError
from llmx.events import Event, Observer, RunEnded, RunStarted
from llmx.job import engine
from llmx.layers.stop import Stop
from llmx.pipeline import amap
from llmx.planning import make_prompt, no_model, resolve_schema, selection
from llmx.presenting import NoRows
from llmx.report.summary import Figures
from llmx.settings import Settings
from llmx.types import Outcome, Record

__all__ = ["Extraction", "aextract", "extract"]

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
    }
    | {"meta", "output", "errors", "summary", "csv_safe", "dry_run", "max_failures"}
)
"""Options that say how files are read and written: a caller of the library does that."""

PEEKED = 100
"""Rows looked at to learn the columns."""


def extract(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    *,
    model: str,
    observer: Observer | None = None,
    **options: Any,
) -> list[Outcome]:
    """Extract one validated object from every row.

    Args:
        rows: columns by name; read lazily, once.
        schema: a Pydantic class, a JSON Schema as a dict, or any spec that `--schema` takes.
        model: as `--model`, e.g. "openai/gpt-5-mini", "local".
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
    _require_no_loop()

    async def collect() -> list[Outcome]:
        return await aextract(rows, schema, model=model, observer=observer, **options)

    return asyncio.run(collect())


def _require_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("a running event loop calls for `await llmx.aextract(…)` instead of `llmx.extract(…)`")


def aextract(
    rows: Iterable[Mapping[str, Any]],
    schema: Any,
    *,
    model: str,
    observer: Observer | None = None,
    **options: Any,
) -> Extraction:
    """`extract` for async code: `await` it for the list, or `async for` outcomes as they come."""
    return Extraction(lambda: _outcomes(rows, schema, model, observer or _ignore, options))


class Extraction:
    """Outcomes to come: awaitable as a list, iterable one by one. Each use is a run of its own."""

    def __init__(self, start: Callable[[], AsyncGenerator[Outcome]]) -> None:
        self._start = start

    def __aiter__(self) -> AsyncGenerator[Outcome]:
        return self._start()

    def __await__(self) -> Generator[Any, None, list[Outcome]]:
        return self._collect().__await__()

    async def _collect(self) -> list[Outcome]:
        async with aclosing(self._start()) as outcomes:
            return [outcome async for outcome in outcomes]


def _ignore(event: Event) -> None:
    pass


async def _outcomes(
    rows: Iterable[Mapping[str, Any]], schema: Any, model: str, observer: Observer, options: dict[str, Any]
) -> AsyncGenerator[Outcome]:
    settings = _settings(schema, model, options)
    env, stop = Environment(), Stop()
    resolved = resolve_schema(settings, env)
    columns, records = _records(rows, settings.key)
    selection(settings).check(columns)
    prompt = make_prompt(settings, resolved, columns, env)
    async with engine(
        settings,
        resolved,
        prompt,
        env,
        clock=SystemClock(),
        stop=stop,
        observer=observer,
        talk=_Quiet(),
        presenter=NoRows(),
    ) as parts:
        observer(RunStarted(None, parts.endpoint.label, parts.concurrency))
        results = amap(
            parts.settle,
            records,
            concurrency=parts.concurrency,
            ordered=settings.order == "input",
            stop=stop,
        )
        async with aclosing(results):
            async for outcome in results:
                yield outcome
        observer(RunEnded(complete=stop.reason is None))
    if stop.reason is not None:
        raise stop.reason


def _settings(schema: Any, model: str, options: dict[str, Any]) -> Settings:
    for name in options:
        if name in FILES_ONLY:
            raise UsageError(f"{name!r} is about files, which the library leaves to its caller")
    if not model:
        raise no_model(Environment())
    return Settings.of({"schema": schema, "model": model, **options})


def _records(rows: Iterable[Mapping[str, Any]], key: str | None) -> tuple[list[str], Iterator[Record]]:
    """The columns of the first rows, and all rows as records."""
    iterator = _mappings(rows)
    first = list(islice(iterator, PEEKED))
    columns = list(dict.fromkeys(column for row in first for column in row))
    numbered = enumerate(chain(first, iterator))
    return columns, (
        Record(index, row, origin="rows", key=None if key is None else str(row.get(key, "")))
        for index, row in numbered
    )


def _mappings(rows: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UsageError(f"rows[{index}] is a {type(row).__name__}, not a mapping of columns to values")
        if not all(isinstance(name, str) for name in row):
            raise UsageError(f"rows[{index}] has a column whose name is no text: {list(row)!r}")
        yield row


class _Quiet:
    """A library does not print; a cache that fails is a warning."""

    def say(self, text: str) -> None:
        """See `Talk.say`."""
        warnings.warn(text, stacklevel=2)

    def downloading(self, done: int, total: int | None) -> None:
        """See `Talk.downloading`."""

    def showing(self, figures: Figures) -> AbstractAsyncContextManager[None]:
        """See `Talk.showing`."""
        return nullcontext()
