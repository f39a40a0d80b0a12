"""A worker: the engine with its share of the limits, fed by the run's owner over a channel."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections import deque
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any

from llmx.clock import SystemClock
from llmx.connecting import Quiet
from llmx.engine import Engine, engine
from llmx.errors import LlmxError, Stopped
from llmx.events import Event, LimitLearned, RowSettled, RowsSettled, RowsSkipped
from llmx.journal import NoJournal
from llmx.layers.stop import Stop
from llmx.pipeline import settled
from llmx.planning import Plan
from llmx.share import Share
from llmx.types import Outcome, Record, Unreadable
from llmx.workers.channel import Channel
from llmx.workers.far_journal import FarJournal
from llmx.workers.leases import LeasedCaps
from llmx.workers.messages import (
    AllGiven,
    Begin,
    Ended,
    Granted,
    Hold,
    LookedUp,
    Recall,
    Rows,
    Said,
    Settled,
    Stopping,
)

__all__ = ["serve"]


def serve(plan: Plan, share: Share, sock: socket.socket) -> None:
    """Be a worker until the owner has heard all, or has gone."""

    async def be() -> None:
        await _Worker(plan, share).run(sock)

    asyncio.run(be())


class _Inbox:
    """Rows that were given, as a feed has them."""

    def __init__(self) -> None:
        self._rows: deque[Record | Unreadable] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, rows: list[Record]) -> None:
        """More rows."""
        self._rows.extend(rows)
        self._changed.set()

    def close(self) -> None:
        """There are no more."""
        self._ended = True
        self._changed.set()

    async def take(self, most: int) -> list[Record | Unreadable]:
        """See `Feed.take`."""
        while not self._rows and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return [self._rows.popleft() for _ in range(min(most, len(self._rows)))]


class _Worker:
    """See the module."""

    def __init__(self, plan: Plan, share: Share) -> None:
        self._plan = plan
        self._share = share
        self._channel = Channel(self._receive, self._alone)
        self._begun = asyncio.Event()
        self._gone = asyncio.Event()
        self._inbox = _Inbox()
        self._stop = Stop(self._stopped)
        self._halted = False
        self._journal = FarJournal(self._channel.send)
        """Not used where nothing is kept: rows that are alike are ours alone."""
        self._caps = LeasedCaps(self._channel.send, asyncio.get_running_loop().call_soon)
        self._parts: Engine | None = None
        self._work: asyncio.Task[None] | None = None

    async def run(self, sock: socket.socket) -> None:
        """Settle what is given, then wait for the owner to go."""
        await self._channel.open(sock)
        self._work = asyncio.create_task(self._settle_all())
        with suppress(asyncio.CancelledError):  # nobody is there any more who would hear of anything
            try:
                await self._work
                self._channel.send(Ended())
            except Exception:  # noqa: BLE001  a bug of ours, which the owner tells
                self._channel.send(Ended(traceback.format_exc()))
            await self._gone.wait()

    async def _settle_all(self) -> None:
        await self._begun.wait()
        try:
            async with self._engine() as parts:
                parts.observer(RowsSkipped(0))  # whether the first rows fail is for the owner to see
                self._parts = parts
                await self._settle(parts)
        except Stopped:
            return
        except LlmxError as error:
            self._stop.set(error)

    def _engine(self) -> AbstractAsyncContextManager[Engine]:
        plan = self._plan
        return engine(
            plan.settings,
            plan.asked,
            plan.prompt,
            plan.env,
            clock=SystemClock(),
            stop=self._stop,
            observer=self._observe,
            talk=Quiet(self._say),
            presenter=plan.presenter,
            journal=NoJournal() if plan.settings.no_store else self._journal,
            share=self._share,
            caps=self._caps,
            enough=plan.enough,
        )

    async def _settle(self, parts: Engine) -> None:
        outcomes = settled(
            self._inbox,
            prepare=parts.ready,
            settle=parts.settle,
            taken=parts.taken,
            concurrency=parts.concurrency,
            ordered=False,
            stop=self._stop,
            all_taken=parts.all_taken,
        )
        async with aclosing(outcomes) as batched:
            async for some in batched:
                self._tell(some)

    def _tell(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._channel.send(Settled.of(outcome))

    def _observe(self, event: Event) -> None:
        """Pass on what the owner cannot know by itself."""
        told = isinstance(event, LimitLearned) and event.source == "told"
        if not told and not isinstance(event, RowSettled | RowsSettled | RowsSkipped):
            self._channel.send(event)

    def _say(self, text: str) -> None:
        """What is to be said of an engine when it begins, the owner has said of its own."""
        if self._parts is not None:
            self._channel.send(Said(text))

    def _alone(self) -> None:
        """The owner has gone: what is in flight is of no use to anybody."""
        self._gone.set()
        if self._work is not None:
            self._work.cancel()

    def _receive(self, messages: list[Any]) -> None:
        for message in messages:
            self._take(message)

    def _take(self, message: Any) -> None:
        match message:
            case Rows():
                self._inbox.put(message.rows)
            case LookedUp():
                self._journal.looked_up(message)
            case Granted() | Recall():
                self._lease(message)
            case Begin():
                self._begun.set()
            case AllGiven():
                self._inbox.close()
            case Stopping():
                self._halt(message.reason)
            case Hold():
                if self._parts is not None:
                    self._parts.hold(message.endpoint, message.seconds)

    def _lease(self, message: Granted | Recall) -> None:
        if isinstance(message, Recall):
            self._caps.recalled()
            return
        self._caps.granted(message)
        if self._parts is not None:
            self._parts.spending.look_again()

    def _stopped(self, reason: LlmxError) -> None:
        if not self._halted:
            self._channel.send(Stopping(reason))

    def _halt(self, reason: LlmxError) -> None:
        self._halted = True
        self._begun.set()
        if self._stop.reason is None:
            self._stop.set(reason)
