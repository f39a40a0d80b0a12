"""Several endpoints for one row: a chain that falls back, or a spread over all that are free.

Stored answers are looked for first, at every endpoint in the order of the chain: what one of them was paid for is
not asked of another. Then the row goes to the first endpoint that takes it (or, spread, to the one with the most
room), and on to the next when that one's circuit opens, when its retries are used up, when the row is too long for
its model, or when it has ended. An answer that does not fit the schema is no reason: another model is another
question. Attempts and re-asks are counted over all endpoints together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from llmx.errors import (
    BudgetReached,
    FatalError,
    LlmxError,
    NotAdmitted,
    RetriesExhausted,
    RowError,
    RowTooLong,
)
from llmx.events import EndpointEnded, FellBack, Observer
from llmx.layers.gate import Gate
from llmx.types import Completion, Handler, Request

__all__ = ["Lane", "fallback"]


class Lane(Struct, frozen=True):
    """One endpoint and the way to it.

    Args:
        name: unique in a run.
        handler: from its cache to its provider.
        address: makes a request in its format of one that was made for the first endpoint.
    """

    name: str
    handler: Handler
    address: Callable[[Request], Request]
    gate: Gate


def fallback(
    lanes: Sequence[Lane], *, spread: bool, asks: bool, observer: Observer, in_turn: bool = False
) -> Handler:
    """A handler over all lanes.

    Args:
        lanes: at least one, in the order of the chain; their gates know each other.
        spread: every row goes to the lane with the most room, not to the first that takes it.
        asks: rows without a stored answer are asked about.
        in_turn: the samples of a question go to the lanes in turn: each has another one as its first.
    """
    if len(lanes) == 1:
        return _alone(lanes[0])
    chains = [
        _Chain([*lanes[first:], *lanes[:first]], spread and not in_turn, observer)
        for first in range(len(lanes) if in_turn else 1)
    ]

    async def call(request: Request) -> Completion:
        chain = chains[request.sample % len(chains)]
        if (stored := await chain.stored(request)) is not None or not asks:
            return stored if stored is not None else await lanes[0].handler(request)
        return await chain.ask(request)

    return call


def _alone(lane: Lane) -> Handler:
    async def call(request: Request) -> Completion:
        request.tally.endpoint = lane.name
        return await lane.handler(request)

    return call


class _Chain:
    """See `fallback`."""

    def __init__(self, lanes: Sequence[Lane], spread: bool, observer: Observer) -> None:
        self._lanes = lanes
        self._spread = spread
        self._observer = observer

    async def stored(self, request: Request) -> Completion | None:
        """The first answer that is stored and fits; lanes with the same question share theirs."""
        looked_for: set[str] = set()
        for lane in self._lanes:
            addressed = lane.address(request)
            if addressed.fingerprint in looked_for:
                continue
            looked_for.add(addressed.fingerprint)
            try:
                completion = await lane.handler(replace(addressed, stored=True))
            except RowError:
                continue
            request.tally.endpoint = lane.name
            return completion
        return None

    async def ask(self, request: Request) -> Completion:
        """The answer of the first lane that gives one.

        Raises:
            RowError: of the last lane that was tried, or one that no other lane mends.
            FatalError: the last lane has ended, or a budget is used up.
        """
        left = list(self._lanes)
        last: LlmxError | None = None
        while (lane := self._next(left)) is not None:
            self._assign(request, lane, left, last)
            lane.gate.rows += 1
            try:
                return await lane.handler(lane.address(request))
            except NotAdmitted:
                continue
            except BudgetReached:
                raise
            except (RetriesExhausted, RowTooLong) as error:
                last = error
            except FatalError as error:
                last = last or error
                self._end(lane, error)
            finally:
                lane.gate.rows -= 1
            left.remove(lane)
        raise self._verdict(last)

    def _next(self, left: Sequence[Lane]) -> Lane | None:
        """Where a row goes that has not been tried at `left`; None when all of them have ended."""
        alive = [lane for lane in left if lane.gate.ended is None]
        free = [lane for lane in alive if lane.gate.admits()]
        if free and not self._spread:
            return free[0]
        return min(free or alive, key=lambda lane: lane.gate.load(), default=None)

    def _assign(self, request: Request, lane: Lane, left: Sequence[Lane], last: LlmxError | None) -> None:
        tally = request.tally
        others = [other for other in left if other is not lane and other.gate.ended is None]
        tally.others = frozenset(other.name for other in others)
        moved = tally.endpoint != lane.name and (tally.endpoint or lane is not self._lanes[0])
        tally.endpoint = lane.name
        if moved and not (self._spread and len(left) == len(self._lanes)):
            self._observer(FellBack(lane.name))
            if request.ear is not None:
                request.ear.restart("fallback", f"{lane.name} is asked" + (f": {last}" if last else ""))

    def _end(self, lane: Lane, error: FatalError) -> None:
        """Nothing more goes to a lane; that others go on is told once."""
        if lane.gate.ended is None:
            lane.gate.end(error)
            if any(other.gate.ended is None for other in self._lanes):
                self._observer(EndpointEnded(lane.name, error))

    def _verdict(self, last: LlmxError | None) -> LlmxError:
        """Why nobody is left to ask: the run's end when all have ended, else the row's."""
        ended = [lane.gate.ended for lane in self._lanes]
        if all(ended) or last is None:
            return next(error for error in reversed(ended) if error is not None)
        if isinstance(last, FatalError):  # those that are left have been tried
            return RetriesExhausted(str(last), hint=last.hint)
        return last
