"""Who shares the rates of accounts with this process, and whether the ledger is there to be asked.

Once a second every process says that it is alive, hears who else is, and which accounts are paused. When the ledger has
gone away, it knows which share of a limit is its own; when it is back, nobody sends until all have noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from llmx.clock import Clock
from llmx.errors import OutputFailed
from llmx.quotas.ledger import Met, Rates

__all__ = ["BEAT", "RETURN", "Membership", "Part"]

BEAT = 1.0
"""Seconds between two signs of life."""

RETURN = 5.0
"""Seconds after the ledger's return for which nothing is sent: who has just begun to ask a dead one asks again by then,
and keeps to its share no longer."""


class Part(Struct, frozen=True):
    """Which share of a limit is this process's.

    Args:
        of: how many processes share it.
        number: which of them it is, from 0; None where nobody has said so.
        since: when the ledger went away, in the clock's seconds.
        ahead: seconds by which the clock that all share is ahead of this process's.
    """

    of: int
    number: int | None
    since: float
    ahead: float = 0.0


class Membership:
    """See the module.

    Args:
        name: of this process, as no other calls itself.
        most: processes that there may be, for one that has never heard of any.
        held: told for how many seconds an account is paused.
    """

    def __init__(
        self, rates: Rates, name: str, *, clock: Clock, most: int, held: Callable[[str, float], None]
    ) -> None:
        self.name = name
        self._rates, self._clock, self._most, self._held = rates, clock, most, held
        self._met: tuple[float, Met] | None = None
        self._lost: float | None = None
        self._silent = -RETURN
        self._asked = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None

    @property
    def part(self) -> Part | None:
        """The share to keep to, while the ledger is away; None while it is there."""
        if self._lost is None:
            return None
        if self._met is None or self.name not in self._met[1].workers:
            return Part(self._most, None, self._lost)
        at, met = self._met
        return Part(len(met.workers), met.workers.index(self.name), self._lost, met.now - at)

    def lost(self) -> None:
        """The ledger has not answered."""
        if self._lost is None:
            self._lost = self._clock.now()

    def heard(self, account: str, seconds: float) -> None:
        """An account is paused for so long, from now; 0 for one that is not."""
        if seconds > 0:
            self._held(account, seconds)

    def begin(self) -> None:
        """Give signs of life, and hear of pauses, from now on."""
        if self._beating is None or self._beating.done():
            self._beating = asyncio.get_running_loop().create_task(self._beat())

    async def settled(self) -> None:
        """Return when it is known who shares the rates, and nobody keeps to an old share any more."""
        self.begin()
        await self._asked.wait()
        while (left := self._silent - self._clock.now()) > 0:
            await self._clock.sleep(left)

    async def aclose(self) -> None:
        """Give no more signs of life."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    def pause(self, account: str, seconds: float) -> asyncio.Task[None]:
        """Tell all others to send nothing to an account for so long, if they can be told."""

        async def tell() -> None:
            with suppress(OutputFailed):
                await self._rates.pause(account, seconds)

        return asyncio.get_running_loop().create_task(tell())

    async def _beat(self) -> None:
        while True:
            try:
                met = await self._rates.meet(self.name)
            except OutputFailed:
                self.lost()
            else:
                self._heard(met)
            self._asked.set()
            await self._clock.sleep(BEAT)

    def _heard(self, met: Met) -> None:
        now = self._clock.now()
        self._met = (now, met)
        if self._lost is not None:
            self._lost, self._silent = None, now + RETURN
        for account, seconds in met.held.items():
            self.heard(account, seconds)
