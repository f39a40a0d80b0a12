"""The pipeline: rows in, outcomes out, in order, with a bounded number of rows under way.

`amap` is the engine (workers that pull one lazy feed, a shelf that restores order), `run` the short
function that wires it. Nothing here knows a file format, a provider or a terminal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llmx.clock import Clock
from llmx.errors import (
    AllInvalid,
    FatalError,
    LlmxError,
    ProviderDown,
    RetriesExhausted,
    RowError,
    Stopped,
)
from llmx.events import Event, Observer, RowSettled, RowsSkipped
from llmx.feed import Feed
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Outcome, Record, Request, Unreadable

__all__ = [
    "FIRST_ROWS",
    "Ahead",
    "Done",
    "FirstRows",
    "Prepare",
    "Prepared",
    "Settler",
    "amap",
    "batches",
    "run",
]

Row = TypeVar("Row")
Ready = TypeVar("Ready")
Result = TypeVar("Result")

FIRST_ROWS = 20
"""Rows after which a run of nothing but failures is stopped: it is the schema or the prompt."""

AHEAD = 256
"""Rows that are made ready together, at most: one look into a table on the disk for all of them."""

WINDOW = 1_000
"""Rows that may be under way or waiting for an earlier one, unless concurrency asks for more."""


def _nothing() -> None:
    """For whoever need not be told."""


@dataclass(frozen=True, slots=True)
class Done(Generic[Result]):
    """A row that is done already."""

    result: Result


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row and what is asked about it; without a request, it ends with `error` before any call."""

    row: Record | Unreadable
    request: Request | None = None
    error: LlmxError | None = None


Prepare = Callable[[list[Record | Unreadable]], Awaitable[Sequence[Prepared | Done[Outcome]]]]
"""Rows made ready together; those are done of which an answer is stored."""


async def run(
    rows: Iterable[Record | Unreadable],
    *,
    prepare: Prepare,
    settle: Callable[[Prepared], Awaitable[Outcome]],
    write: Callable[[list[Outcome]], None],
    drained: Callable[[], Awaitable[None]],
    concurrency: int,
    ordered: bool,
    stop: Stop,
    all_taken: Callable[[], None] = _nothing,
) -> None:
    """Settle every row and write its outcome; a stop leaves the rows not yet begun alone.

    Args:
        prepare: called for a few rows at a time, before they are taken.
        drained: returns when what was written has been taken; a slow reader holds up the rows, not the calls.

    Raises:
        Exception: what `rows`, `settle` or `write` raised; the calls in flight are then cancelled.
    """
    async with aclosing(
        batches(
            settle,
            Ahead(Feed(rows), prepare),
            concurrency=concurrency,
            ordered=ordered,
            stop=stop,
            all_taken=all_taken,
        )
    ) as batched:
        async for outcomes in batched:
            write(outcomes)
            await drained()


class Ahead(Generic[Row, Ready]):
    """Rows of a feed that are made ready together, shortly before they are taken, and while others are taken.

    Args:
        ready: takes rows in their order and gives what is made of each.
        most: rows at a time.
    """

    def __init__(
        self,
        feed: Feed[Row],
        ready: Callable[[list[Row]], Awaitable[Sequence[Ready]]],
        *,
        most: int = AHEAD,
    ) -> None:
        self._feed = feed
        self._make_ready = ready
        self._most = most
        self._at_a_time = 1  # the first call should not wait for what later ones need
        self._ready: deque[Ready] = deque()
        self._filling: asyncio.Task[Sequence[Ready]] | None = None
        self._ended = False

    def at_once(self) -> Ready | None:
        """The next row, None when there is none without waiting."""
        return self._ready.popleft() if self._ready else None

    async def next(self) -> Ready | None:
        """The next row, None after the last. Raises what the reader raised, once."""
        while not self._ready:
            if self._ended:
                return None
            filling = self._filling = self._filling or asyncio.create_task(self._fill())
            await asyncio.wait([filling])
            if filling is self._filling:  # nobody else has been quicker
                self._take_over(filling)
        return self._ready.popleft()

    def _take_over(self, filling: asyncio.Task[Sequence[Ready]]) -> None:
        """What was made ready is there to be taken; the next rows are made ready meanwhile."""
        self._filling = None
        self._ended = True  # unless it turns out otherwise
        rows = filling.result()
        if rows:
            self._ended = False
            self._ready.extend(rows)
            self._filling = asyncio.create_task(self._fill())

    async def _fill(self) -> Sequence[Ready]:
        rows = await self._feed.take(self._at_a_time)
        self._at_a_time = min(2 * self._at_a_time, self._most)
        return await self._make_ready(rows) if rows else ()

    async def aclose(self) -> None:
        """Read no further."""
        self._feed.close()
        self._ended = True
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)


class Settler:
    """Brings rows to their end: a value or an error, with everything it cost.

    Args:
        handler: asks about a row.
        stored: the completion that is at hand for a request without asking or waiting, None where there is none.
        present: makes a good outcome's rows, or a failed outcome of it, before it is counted.
        observer: told of every outcome.

    A fatal error throws the stop switch before any other task can run, so no call follows it.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        stored: Callable[[Request], Completion | None] = lambda request: None,
        present: Callable[[Outcome], Outcome],
        clock: Clock,
        stop: Stop,
        observer: Observer,
    ) -> None:
        self._handler = handler
        self._stored = stored
        self._present = present
        self._clock = clock
        self._stop = stop
        self._observer = observer

    def at_once(self, prepared: Prepared) -> Outcome | None:
        """The end of a row about which nobody need be asked; None of another."""
        outcome = self._end_at_once(prepared)
        if outcome is not None:
            self._observer(RowSettled(outcome))
        return outcome

    def _end_at_once(self, prepared: Prepared) -> Outcome | None:
        row, request = prepared.row, prepared.request
        if isinstance(row, Unreadable):
            return Outcome(row, error=row.error, raw=row.raw)
        if request is None:
            return Outcome(row, error=prepared.error)
        completion = self._stored(request)
        return None if completion is None else self._present(_succeeded(row, request, completion, 0.0))

    async def settle(self, prepared: Prepared) -> Outcome:
        """The end of a row. Raises Stopped: it has none, for the run stops."""
        row, request = prepared.row, prepared.request
        if isinstance(row, Unreadable) or request is None:
            outcome = self._end_at_once(prepared)
            assert outcome is not None
        else:
            outcome = await self._end(row, request)
        self._observer(RowSettled(outcome))
        return outcome

    async def _end(self, row: Record, request: Request) -> Outcome:
        started = self._clock.now()
        try:
            completion = await self._handler(request)
        except RowError as error:
            return _failed(row, request, error, self._clock.now() - started)
        except FatalError as error:
            self._stop.set(error)
            raise Stopped(str(error)) from error
        return self._present(_succeeded(row, request, completion, self._clock.now() - started))


def _succeeded(row: Record, request: Request, completion: Completion, seconds: float) -> Outcome:
    return Outcome(
        row,
        value=completion.value,
        usage=request.tally.usage,
        replayed=tuple(request.tally.replayed.values()),
        source=completion.source,
        model=completion.model,
        endpoint=request.tally.endpoint,
        attempts=request.tally.attempts,
        seconds=seconds,
    )


def _failed(row: Record, request: Request, error: RowError, seconds: float) -> Outcome:
    return Outcome(
        row,
        error=_without_frames(error),
        usage=request.tally.usage,
        replayed=tuple(request.tally.replayed.values()),
        model=request.model,
        endpoint=request.tally.endpoint,
        raw=error.raw,
        attempts=request.tally.attempts,
        seconds=seconds,
    )


def _without_frames(error: RowError) -> RowError:
    """The error without what would keep the call's requests and answers in memory for as long as the outcome."""
    links: list[BaseException] = [error]
    for link in links:  # grows while it is read; transports make chains that lead back to themselves
        link.__traceback__ = None
        links += [after for after in (link.__cause__, link.__context__) if after and after not in links]
    return error


class FirstRows:
    """An observer that stops the run when its first rows have all failed, those that nobody was asked about aside."""

    def __init__(self, stop: Stop, *, rows: int = FIRST_ROWS) -> None:
        self._stop = stop
        self._left: int | None = rows
        self._rows = rows
        self._unanswered = 0

    def __call__(self, event: Event) -> None:
        """Count rows until one is good or enough have failed."""
        if isinstance(event, RowsSkipped):
            self._left = None
        if self._left is None or not isinstance(event, RowSettled):
            return
        error = event.outcome.error
        if error is None:
            self._left = None
            return
        if not event.outcome.attempts:  # it cost nothing now: unreadable, or an answer of an earlier session
            return
        self._left -= 1
        self._unanswered += isinstance(error, RetriesExhausted)
        if self._left == 0:
            self._stop.set(self._verdict(error))

    def _verdict(self, last: LlmxError) -> FatalError:
        message = f"the first {self._rows} rows all failed, the last with: {last}"
        if self._unanswered == self._rows:
            return ProviderDown(message, hint="run the same command again later")
        hint = "mend the schema or the prompt; `llmx extract … --dry-run` shows the request"
        return AllInvalid(message, hint=hint)


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
    all_taken: Callable[[], None] = _nothing,
) -> AsyncGenerator[list[Result]]:
    """Yield `function(row)` for every row, `concurrency` of them at a time, as many together as there are to be had.

    Args:
        rows: read by a thread of their own; closed at the end. Those that are done already wait for nobody.
        function: raises Stopped for a row that is not to be settled; anything else it raises ends the map.
        ordered: in the order of the rows; else as they are done.
        stop: when it is thrown no further row is taken; those under way end.
        window: rows that may be taken but not yet yielded: what memory is bounded by.
        all_taken: called, once or more, when there is no further row.
    """
    shelf = _Shelf[Result](ordered=ordered, window=window or max(WINDOW, 4 * concurrency))
    ahead = rows if isinstance(rows, Ahead) else Ahead[Row, Any](Feed(rows), _as_they_are)
    crew = _Crew(concurrency, shelf)
    crew.start(lambda: _work(function, ahead, shelf, stop, all_taken, crew))
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

    def __init__(self, most: int, shelf: _Shelf[Any]) -> None:
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
    shelf: _Shelf[Result],
    stop: Stop,
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
            place = shelf.place()
            if isinstance(row, Done):
                shelf.put(place, [row.result])
                continue
            crew.found()
            try:
                shelf.put(place, [await function(row)])
                crew.done()
            except Stopped:
                shelf.put(place, [])
                return
    except Stopped:
        return


class _Shelf(Generic[Result]):
    """Where results wait for the rows before them; iterating it yields all that are ready, one at least.

    Args:
        ordered: whether they wait at all.
        window: places that may be taken and not yet yielded.
    """

    def __init__(self, *, ordered: bool, window: int) -> None:
        self._ordered = ordered
        self._window = window
        self._taken = 0
        self._passed = 0
        self._gone = 0
        self._held: dict[int, list[Result]] = {}
        self._ready: list[Result] = []
        self._changed = asyncio.Event()
        self._space = asyncio.Event()
        self._running = 0
        self._error: BaseException | None = None

    def place(self) -> int:
        """The next place, in the order in which rows were taken."""
        self._taken += 1
        return self._taken - 1

    @property
    def has_room(self) -> bool:
        """Whether a row may be taken."""
        return self._taken - self._gone < self._window

    async def room(self) -> None:
        """Return when a row may be taken."""
        while not self.has_room:
            self._space.clear()
            await self._space.wait()

    def put(self, place: int, results: list[Result]) -> None:
        """Fill a place with one result, or with none for a row that was not settled."""
        self._held[place if self._ordered else self._passed] = results
        while (passing := self._held.pop(self._passed, None)) is not None:
            self._ready.extend(passing)
            self._passed += 1
            if not passing:
                self._gone += 1
                self._space.set()
        self._changed.set()

    def waits_for(self, worker: asyncio.Task[None]) -> None:
        """The shelf ends when all workers have ended, or with the first error of one."""
        self._running += 1
        worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._running -= 1
        if self._error is None:
            self._error = _end_of(worker)
        self._changed.set()

    def __aiter__(self) -> _Shelf[Result]:
        return self

    async def __anext__(self) -> list[Result]:
        while not self._ready:
            if self._error is not None:
                raise self._error
            if not self._running:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        results, self._ready = self._ready, []
        self._gone += len(results)
        self._space.set()
        return results


def _end_of(worker: asyncio.Task[None]) -> BaseException | None:
    """Why a worker failed. Cancelled by somebody else, it leaves a row unsettled: that must not pass for an end."""
    if worker.cancelled():
        return RuntimeError("a call was cancelled, but not by the run")
    return worker.exception()
