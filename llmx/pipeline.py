"""The pipeline: rows in, outcomes out, in order, with a bounded number of rows under way.

`batches` is the engine (workers that pull one lazy feed, a shelf that restores order), `settled` and `written` the short
functions that wire it. Nothing here knows a file format, a provider or a terminal.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

from llmx.ahead import Ahead, Done, Given
from llmx.errors import Stopped
from llmx.feed import Feed
from llmx.layers.stop import Stop
from llmx.settling import Prepare, Prepared
from llmx.shelf import WINDOW, Shelf
from llmx.types import Outcome, Record, Unreadable, weight

__all__ = ["amap", "batches", "settled", "written"]

Row = TypeVar("Row")
Result = TypeVar("Result")


def _nothing() -> None:
    """For whoever need not be told."""


def settled(
    rows: Given[Record | Unreadable],
    *,
    prepare: Prepare,
    settle: Callable[[Prepared], Awaitable[Outcome]],
    taken: Callable[[list[Outcome]], None],
    concurrency: int,
    ordered: bool,
    stop: Stop,
    all_taken: Callable[[], None] = _nothing,
) -> AsyncGenerator[list[Outcome]]:
    """How every row ended; a stop leaves the rows not yet begun alone.

    Args:
        prepare: called for a few rows at a time, before they are taken.
        taken: told of those that are done then, when they are taken.

    Raises:
        Exception: what `rows` or `settle` raised; the calls in flight are then cancelled.
    """
    return batches(
        settle,
        Ahead(rows, prepare),
        concurrency=concurrency,
        ordered=ordered,
        stop=stop,
        taken=taken,
        all_taken=all_taken,
        weigh=lambda outcome: weight(outcome.record),
    )


async def written(
    settled: AsyncGenerator[list[Outcome]],
    *,
    write: Callable[[list[Outcome]], None],
    drained: Callable[[], Awaitable[None]],
) -> None:
    """Write outcomes as they come.

    Args:
        drained: returns when what was written has been taken; a slow reader holds up the rows, not the calls.
    """
    async with aclosing(settled) as batched:
        async for outcomes in batched:
            write(outcomes)
            await drained()


async def amap(
    function: Callable[[Row], Awaitable[Result]],
    rows: Iterable[Row] | Ahead[Any, Any],
    **options: Any,
) -> AsyncGenerator[Result]:
    """Yield `function(row)` for every row; see `batches`."""
    async with aclosing(batches(function, rows, **options)) as batched:
        async for results in batched:
            for result in results:
                yield result


async def batches(
    function: Callable[[Row], Awaitable[Result]],
    rows: Iterable[Row] | Ahead[Any, Any],
    *,
    concurrency: int,
    ordered: bool,
    stop: Stop,
    window: int | None = None,
    taken: Callable[[list[Result]], None] = lambda results: None,
    all_taken: Callable[[], None] = _nothing,
    weigh: Callable[[Result], int] = lambda result: 0,
) -> AsyncGenerator[list[Result]]:
    """Yield `function(row)` for every row, `concurrency` of them at a time, as many together as there are to be had.

    Args:
        rows: read by a thread of their own; closed at the end. Those that are done already wait for nobody.
        function: raises Stopped for a row that is not to be settled; anything else it raises ends the map.
        ordered: in the order of the rows; else as they are done.
        stop: when it is thrown no further row is taken; those under way end.
        window: rows that may be taken but not yet yielded, and those that are done together with the last one: what
            memory is bounded by, unless rows are heavy.
        taken: told of rows that were done already, when they are taken.
        weigh: about how many bytes a result takes; no row is begun while those that wait weigh more than `HEAVY` together.
        all_taken: called, once or more, when there is no further row.
    """
    most = window or max(WINDOW, 4 * concurrency)
    shelf = Shelf[Result](ordered=ordered, window=most, weigh=weigh)
    ahead = rows if isinstance(rows, Ahead) else Ahead[Row, Any](Feed(rows), _as_they_are)
    crew = _Crew(concurrency, shelf)
    crew.start(lambda: _work(function, ahead, shelf, stop, taken, all_taken, crew))
    try:
        async for results in shelf:
            yield results
    finally:
        await ahead.aclose()
        await crew.dismiss()


class _Crew:
    """The workers of a map: one more begins when the last idle one has found a row, as long as there may be more.

    Args:
        most: workers at a time.
        shelf: ends when all have ended, or with the first error of one.
    """

    def __init__(self, most: int, shelf: Shelf[Any]) -> None:
        self._most = most
        self._shelf = shelf
        self._workers: list[asyncio.Task[None]] = []
        self._idle = 0

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """The first one begins; `work` is what each does."""
        self._work = work
        self._hire()

    def _hire(self) -> None:
        self._idle += 1
        worker = asyncio.create_task(self._work())
        self._workers.append(worker)
        self._shelf.waits_for(worker)

    def found(self) -> None:
        """An idle worker has a row."""
        self._idle -= 1
        if not self._idle and len(self._workers) < self._most:
            self._hire()

    def done(self) -> None:
        """It is idle again."""
        self._idle += 1

    async def dismiss(self) -> None:
        """Cancel those that work still, and return when all have ended."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)


async def _as_they_are(rows: list[Row]) -> list[Row]:
    return rows


async def _work(
    function: Callable[[Row], Awaitable[Result]],
    rows: Ahead[Any, Row | Done[Result]],
    shelf: Shelf[Result],
    stop: Stop,
    taken: Callable[[list[Result]], None],
    all_taken: Callable[[], None],
    crew: _Crew,
) -> None:
    try:
        while True:
            row = rows.at_once() if shelf.has_room and stop.reason is None else None
            if row is None:
                with stop.interruptible():
                    await shelf.room()
                    row = await rows.next()
            if row is None:
                all_taken()
                return
            if isinstance(row, Done):
                taken(row.results)
                shelf.put(shelf.place(len(row.results)), row.results)
                continue
            place = shelf.place()
            crew.found()
            try:
                shelf.put(place, [await function(row)])
                crew.done()
            except Stopped:
                shelf.put(place, [])
                return
    except Stopped:
        return
