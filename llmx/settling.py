"""One row's end: from what is asked about it to its outcome, and the stop of a run whose first rows all fail.

Nothing here knows other rows, or in which order they come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from llmx.ahead import Done
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
from llmx.events import Event, Observer, RowSettled, RowsSettled, RowsSkipped
from llmx.layers.stop import Stop
from llmx.types import Completion, Handler, Outcome, Record, Request, Unreadable

__all__ = ["FIRST_ROWS", "FirstRows", "Prepare", "Prepared", "Settler"]

FIRST_ROWS = 20
"""Rows after which a run of nothing but failures is stopped: it is the schema or the prompt."""


class Prepared(Struct, frozen=True):
    """A row and what is asked about it."""

    record: Record
    request: Request


Prepare = Callable[[list[Record | Unreadable]], Awaitable[Sequence[Prepared | Done[Outcome]]]]
"""Rows made ready together; those are done that need not be asked about."""


class Settler:
    """Brings rows to their end: a value or an error, with everything it cost.

    Args:
        prepare: makes a row's request; its RowError ends the row before any call.
        handler: asks about a row.
        stored: the completion that is at hand for a request without asking or waiting, None where there is none.
        present: makes a good outcome's rows, or a failed outcome of it, before it is counted.
        observer: told of every outcome; of those that are done at once, when they are taken.

    A fatal error throws the stop switch before any other task can run, so no call follows it.
    """

    def __init__(
        self,
        prepare: Callable[[Record], Request],
        handler: Handler,
        *,
        stored: Callable[[Request], Completion | None] = lambda request: None,
        present: Callable[[Outcome], Outcome],
        clock: Clock,
        stop: Stop,
        observer: Observer,
    ) -> None:
        self._prepare = prepare
        self._handler = handler
        self._stored = stored
        self._present = present
        self._clock = clock
        self._stop = stop
        self._observer = observer

    def prepared(self, row: Record | Unreadable) -> Prepared | Outcome:
        """What is asked about a row, or its end where that is nothing."""
        if isinstance(row, Unreadable):
            return Outcome(row, error=row.error, raw=row.raw)
        try:
            return Prepared(row, self._prepare(row))
        except RowError as error:
            return Outcome(row, error=error)

    def at_once(self, row: Prepared | Outcome) -> Prepared | Outcome:
        """The end of a row whose answer is stored; any other as it is."""
        if isinstance(row, Outcome):
            return row
        request = row.request
        completion = self._stored(request)
        return row if completion is None else self._present(_succeeded(row.record, request, completion, 0.0))

    def taken(self, outcomes: Sequence[Outcome]) -> None:
        """Rows that were done at once are taken: they count from now on."""
        self._observer(RowsSettled(outcomes))

    async def settle(self, prepared: Prepared) -> Outcome:
        """The end of a row that has to be asked about. Raises Stopped: it has none, for the run stops."""
        outcome = await self._end(prepared.record, prepared.request)
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
        quality=completion.quality,
        likenesses=completion.likenesses,
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
        if self._left is None:
            return
        match event:
            case RowSettled():
                self._count(event.outcome)
            case RowsSettled():
                if any(outcome.error is None for outcome in event.outcomes):
                    self._left = None
            case RowsSkipped():
                self._left = None

    def _count(self, outcome: Outcome) -> None:
        error = outcome.error
        if error is None or self._left is None:
            self._left = None
            return
        if not outcome.attempts:  # it cost nothing now: an answer of an earlier session
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
