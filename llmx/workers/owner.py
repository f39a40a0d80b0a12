"""The owner of a run in several processes: gives rows to workers, and writes down what they say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from llmx.ahead import Ahead
from llmx.engine import Engine
from llmx.errors import LlmxError, OutputFailed, RowError, Stopped, WorkerLost
from llmx.events import Paused, RowSettled
from llmx.feed import Feed
from llmx.journal import Found, Journal, NoJournal
from llmx.layers.stop import Stop
from llmx.prompts import Prompt
from llmx.shelf import WINDOW, Shelf
from llmx.types import Outcome, Record, Unreadable, weight
from llmx.workers.channel import Channel
from llmx.workers.circuits import Circuits
from llmx.workers.leases import Lender
from llmx.workers.messages import (
    AllGiven,
    Begin,
    Ended,
    Hold,
    Kept,
    LookedUp,
    LookUp,
    Returned,
    Rows,
    Said,
    Settled,
    Stopping,
    Used,
    Want,
)
from llmx.workers.processes import Process

__all__ = ["Owner"]

Keeper = Journal | NoJournal


class _Hired:
    """One worker, as the owner sees it.

    Attributes:
        out: the rows that it has been given, by their index, each with its place on the shelf.
        waiting: those of them that have not been sent yet.
    """

    def __init__(self, number: int, channel: Channel) -> None:
        self.number = number
        self.channel = channel
        self.out: dict[int, tuple[int, Record]] = {}
        self.waiting: list[Record] = []
        self.told_all = False
        self.ended = asyncio.Event()


class Owner:
    """See the module.

    Args:
        processes: forked already; closed by whoever did so.
        parts: the engine that has all the limits, of which the workers have their shares: it asks nobody itself.
        past: another run's journal, whose answers may be of use.
        capped: whether the run has caps.
        say: tells a person.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        parts: Engine,
        prompt: Prompt,
        journal: Keeper,
        *,
        past: Journal | None,
        capped: bool,
        stop: Stop,
        say: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._prompt = prompt
        self._journal = journal
        self._past = past
        self._stop = stop
        self._say = say
        self._said: set[str] = set()
        self._circuits = Circuits()
        self._workers = [self._hired(number) for number in range(len(processes))]
        self._processes = processes
        self._lender = Lender(parts.spending.caps, capped=capped, send=self._send, workers=len(processes))
        self._shelf: Shelf[Outcome] | None = None
        self._first: _Hired | None = None
        self._open = self._all_given = False
        self._bug = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard: dict[type, Callable[[_Hired, Any], None]] = {
            **dict.fromkeys((Kept, Settled, Ended), self._of_all),
            **dict.fromkeys((Want, Used, Returned), self._lease),
            LookUp: self._look_up,
            Said: lambda worker, said: self._tell(said.text),
            Stopping: lambda worker, stopping: self._stop.set(stopping.reason),
        }

    def _hired(self, number: int) -> _Hired:
        worker: _Hired
        channel = Channel(lambda messages: self._receive(worker, messages), lambda: self._gone(worker))
        worker = _Hired(number, channel)
        return worker

    # Rows

    async def batches(
        self, rows: Iterable[Record | Unreadable], *, ordered: bool
    ) -> AsyncGenerator[list[Outcome]]:
        """Yield how every row ended, as `pipeline.batches` does."""
        window = max(WINDOW, 4 * self._parts.concurrency)
        shelf = self._shelf = Shelf(
            ordered=ordered, window=window, weigh=lambda outcome: weight(outcome.record)
        )
        ahead = Ahead[Any, Any](Feed(rows, weigh=weight), _as_they_are)
        async with self._at_work():
            giving = asyncio.create_task(self._give_all(ahead))
            shelf.waits_for(giving)
            try:
                async for outcomes in shelf:
                    yield outcomes
            finally:
                await ahead.aclose()
                giving.cancel()
                await asyncio.gather(giving, return_exceptions=True)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """The workers' channels are open."""
        for worker, process in zip(self._workers, self._processes, strict=True):
            await worker.channel.open(process.socket)
            worker.channel.send(Begin())
        halting = asyncio.create_task(self._halt())
        try:
            yield
        finally:
            halting.cancel()
            await asyncio.gather(halting, *self._tasks, return_exceptions=True)
            for worker in self._workers:
                worker.ended.set()  # what comes of it now is of no interest
                worker.channel.close()

    async def _halt(self) -> None:
        """When the run stops, so do the workers."""
        try:
            with self._stop.interruptible():
                await asyncio.Event().wait()
        except Stopped:
            assert self._stop.reason is not None
            for worker in self._workers:
                worker.channel.send(Stopping(self._stop.reason))

    async def _give_all(self, ahead: Ahead[Any, Any]) -> None:
        with suppress(Stopped):
            while (row := await self._next(ahead)) is not None:
                self._give(row)
            self._all_given = True
            self._open = self._open or self._first is None
            self._hand_on_all()
        for worker in self._workers:
            await worker.ended.wait()
        if self._bug:
            raise RuntimeError(f"in a worker:\n{self._bug}")

    async def _next(self, ahead: Ahead[Any, Any]) -> Record | Unreadable | None:
        """The next row, once there is room for what comes of it."""
        assert self._shelf is not None
        row = ahead.at_once() if self._shelf.has_room and self._stop.reason is None else None
        if row is None:
            with self._stop.interruptible():
                await self._shelf.room()
                row = await ahead.next()
        return row

    def _give(self, row: Record | Unreadable) -> None:
        """Give a row to its worker; one that is no row is nobody's."""
        assert self._shelf is not None
        place = self._shelf.place()
        if isinstance(row, Unreadable):
            self._end(place, Outcome(row, error=row.error, raw=row.raw))
            return
        worker = self._workers[self._number_of(row)]
        self._first = self._first or worker
        if not worker.waiting:
            asyncio.get_running_loop().call_soon(self._hand_on, worker)
        worker.out[row.index] = (place, row)
        worker.waiting.append(row)

    def _number_of(self, row: Record) -> int:
        """Which worker's a row is: rows of the same prompt are the same worker's."""
        try:
            return self._prompt.likeness(row.data) % len(self._workers)
        except (RowError, TypeError, ValueError):  # the worker will find out, and say so
            return 0

    def _hand_on_all(self) -> None:
        for worker in self._workers:
            self._hand_on(worker)

    def _hand_on(self, worker: _Hired) -> None:
        """Send what is waiting, unless the first worker has to find out first whether anybody answers."""
        if not self._open and worker is not self._first:
            return
        if worker.waiting:
            worker.channel.send(Rows(worker.waiting))
            worker.waiting = []
        if self._all_given and not worker.told_all:
            worker.told_all = True
            worker.channel.send(AllGiven())

    # What workers say

    def _send(self, number: int, message: Any) -> None:
        self._workers[number].channel.send(message)

    def _receive(self, worker: _Hired, messages: list[Any]) -> None:
        """Answers are kept before anything is made of them."""
        answers = [message.answer for message in messages if isinstance(message, Kept)]
        if answers and isinstance(self._journal, Journal):
            self._journal.keep_lines(answers)
        for message in messages:
            self._heard.get(type(message), self._event)(worker, message)
        self._settled(worker, [message for message in messages if isinstance(message, Settled)])
        if isinstance(messages[-1], Ended):
            self._ended(worker, messages[-1])

    def _of_all(self, worker: _Hired, message: Any) -> None:
        """It is heard with all others of its frame."""

    def _event(self, worker: _Hired, event: Any) -> None:
        if self._circuits.is_news(worker.number, event):
            self._parts.observer(event)
        if isinstance(event, Paused):  # one pause for all
            for other in self._workers:
                if other is not worker:
                    other.channel.send(Hold(event.endpoint, event.seconds))

    def _tell(self, text: str) -> None:
        """What several find out is said once."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _lease(self, worker: _Hired, message: Want | Used | Returned) -> None:
        try:
            match message:
                case Want():
                    self._lender.want(worker.number, message)
                case Used():
                    self._lender.used(worker.number, message)
                case Returned():
                    self._lender.returned(worker.number, message.amount)
        except OutputFailed as error:  # what is not on the disk is not lent
            self._stop.set(error)
        self._parts.spending.look_again()

    def _look_up(self, worker: _Hired, asked: LookUp) -> None:
        assert isinstance(self._journal, Journal)
        rows = [worker.out[index][1] for index in asked.rows if index in worker.out]
        if (reading := self._journal.expect(asked.fingerprints, rows)) is None:
            self._found(worker, asked)
            return
        task = asyncio.create_task(self._found_later(worker, asked, asyncio.wrap_future(reading)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _found_later(self, worker: _Hired, asked: LookUp, reading: asyncio.Future[None]) -> None:
        await reading
        self._found(worker, asked)

    def _found(self, worker: _Hired, asked: LookUp) -> None:
        journals = [journal for journal in (self._journal, self._past) if isinstance(journal, Journal)]
        found = {name: at for name in asked.fingerprints if (at := _look_up(journals, name)) is not None}
        worker.channel.send(LookedUp(asked.number, found))

    def _settled(self, worker: _Hired, ended: Sequence[Settled]) -> None:
        rows = [worker.out.pop(one.index) for one in ended]
        outcomes = [one.outcome(row) for one, (_, row) in zip(ended, rows, strict=True)]
        if outcomes:
            self._journal.settle(*outcomes)
        for (place, _), outcome in zip(rows, outcomes, strict=True):
            self._put(place, outcome)
        if not self._open and (any(outcome.ok for outcome in outcomes) or self._is_idle()):
            self._open = True
            self._hand_on_all()

    def _is_idle(self) -> bool:
        """Whether the first worker has found out nothing, and has no rows left to find out with."""
        return self._first is not None and not self._first.out

    def _end(self, place: int, outcome: Outcome) -> None:
        self._journal.settle(outcome)
        self._put(place, outcome)

    def _put(self, place: int, outcome: Outcome) -> None:
        assert self._shelf is not None
        self._parts.observer(RowSettled(outcome))
        self._shelf.put(place, [outcome])

    def _ended(self, worker: _Hired, ended: Ended) -> None:
        self._lender.ended(worker.number)
        self._bug = self._bug or ended.bug
        if ended.bug:
            self._stop.set(_lost())
        self._over(worker)

    def _gone(self, worker: _Hired) -> None:
        """A worker's process is no more, and it has not said so."""
        if not worker.ended.is_set():
            self._lender.lost(worker.number)
            self._stop.set(_lost())
            self._over(worker)

    def _over(self, worker: _Hired) -> None:
        """Nothing comes of the rows that it has not settled."""
        assert self._shelf is not None
        worker.ended.set()
        for place, _ in worker.out.values():
            self._shelf.put(place, [])
        worker.out.clear()


def _look_up(journals: Sequence[Journal], fingerprint: str) -> tuple[Found, bool] | None:
    """The answer of the first journal that has one, and whether this is its first use."""
    for journal in journals:
        if (found := journal.find(fingerprint)) is not None:
            return found, not found.fresh and journal.is_first_use(fingerprint)
    return None


def _lost() -> LlmxError:
    hint = "run the same command again: what was answered is kept"
    return WorkerLost("a worker process has ended unexpectedly", hint=hint)


async def _as_they_are(rows: list[Any]) -> list[Any]:
    return rows
