"""One account's rates in one process, for all engines that send to it: slots leased from the ledger.

`ProviderQuota` is what an engine's pacing is given in place of limits of its own (`llmx.layers.pacing.Quota`), and
`SharedBucket` is one limit of it. Who waits for slots does so in the order of asking, whatever engine is in need.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from weakref import WeakMethod

from llmx.clock import Clock
from llmx.errors import OutputFailed
from llmx.layers.buckets import MARGIN
from llmx.layers.estimate import TokenEstimate
from llmx.quotas.leased import Lease, own_share
from llmx.quotas.ledger import Ask, Rates
from llmx.quotas.membership import Membership
from llmx.quotas.slots import span
from llmx.types import LimitKind

__all__ = ["ProviderQuota", "SharedBucket"]

AHEAD = 0.1
"""Seconds before its slots are used up that a busy process asks for the next."""


class SharedBucket:
    """One limit per minute, of all processes; see `llmx.layers.pacing.Bucket`.

    Args:
        account: whose limit it is.
        kind: of limit; its name in the ledger is made of both.
        limit: per minute.
    """

    def __init__(
        self, account: str, kind: LimitKind, limit: float, *, rates: Rates, members: Membership, clock: Clock
    ) -> None:
        self.limit = limit
        self._account, self._name = account, f"{account}:{kind}"
        self._is_tokens = kind != "requests"
        self._rates, self._members, self._clock = rates, members, clock
        self._leases: list[Lease] = []
        self._share: Lease | None = None
        self._largest = self._taken = 0.0
        self._turn = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None
        self._waiting = 0

    # As pacings see it

    def ready(self, amount: float = 1.0) -> bool:
        """See `Bucket.ready`."""
        return amount <= 0 or (not self._turn.locked() and self._wait(amount) <= 0)

    async def acquire(self, amount: float = 1.0, *, row: float | None = None) -> None:
        """See `Bucket.acquire`."""
        size = amount if row is None else min(row, amount)
        if self._is_tokens and size > self._largest:
            self._largest = size * MARGIN
        if self.ready(amount):
            self._take(amount)
            return
        self._waiting += 1
        try:
            async with self._turn:
                while (wait := self._wait(amount)) > 0:
                    await (self._more(amount) if wait == math.inf else self._clock.sleep(wait))
                self._take(amount)
        finally:
            self._waiting -= 1

    # Slots

    def _slots(self) -> list[Lease]:
        """Leased ones, and those of our share while the ledger is away."""
        if self._share is not None and self._members.part is None:
            self._share = None
        return [*self._leases, self._share] if self._share is not None else self._leases

    def _wait(self, amount: float) -> float:
        """Seconds until so much may go out, infinite where there are not so many slots."""
        now, missing = self._clock.now(), amount
        for lease in self._slots():
            if (left := lease.left(now)) <= 0:
                continue
            missing -= left
            if missing <= 0:
                return max(0.0, lease.next() - now)
        return math.inf

    def _take(self, amount: float) -> None:
        """Use slots, the oldest first."""
        now, self._taken = self._clock.now(), self._taken + max(0.0, amount)
        for lease in self._slots():
            portion = max(0.0, min(amount, lease.left(now)))
            lease.use(portion)
            amount -= portion
        self._leases = [lease for lease in self._leases if lease.left(now) > 0]
        end = max((lease.end for lease in self._leases), default=now)
        if end - now < AHEAD and self._is_busy and self._asking is None and self._share is None:
            self._ask(1.0)

    @property
    def _is_busy(self) -> bool:
        """Whether more than a slot or two will be needed soon."""
        return self._waiting > 1 or self._taken > (self._largest if self._is_tokens else 1.0)

    async def _more(self, amount: float) -> None:
        """Wait for slots that were asked for already, or ask for what is missing."""
        if self._asking is None:
            now = self._clock.now()
            self._ask(max(1.0, amount - sum(lease.left(now) for lease in self._leases)))
        assert self._asking is not None
        await asyncio.shield(self._asking)

    def _ask(self, least: float) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._lease(least))
        self._asking.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled():
            task.result()

    async def _lease(self, least: float) -> None:
        """Lease more, or set our share on."""
        await self._members.settled()
        if (part := self._members.part) is not None:
            largest, tokens = self._largest, self._is_tokens
            self._share = self._share or own_share(self.limit, part, largest=largest, tokens=tokens)
            return
        ask = self._wish(least)
        try:
            slots = await self._rates.slots(self._name, ask)
        except OutputFailed:
            self._members.lost()
            return
        self._taken = 0.0
        # Counted from the answer: the first slot is rather late than early.
        start = self._clock.now() + slots.start
        self._leases.append(Lease(start, slots.amount, slots.pace, tokens=self._is_tokens))
        self._members.heard(self._account, slots.held)

    def _wish(self, least: float) -> Ask:
        """Twice what has been used of the last slots: a busy process comes to a second's worth, an idle one to one."""
        tokens = self._is_tokens
        least = least if tokens else math.ceil(least)
        return Ask(
            self._members.name,
            self._account,
            self.limit,
            span(tokens=tokens),
            wants=max(least, 2 * self._taken),
            least=least,
            largest=self._largest if tokens else 0.0,
        )


class ProviderQuota:
    """See the module.

    Args:
        account: its name, the same in all processes.
    """

    def __init__(self, account: str, *, rates: Rates, members: Membership, clock: Clock) -> None:
        self.estimate = TokenEstimate()
        self.owed: dict[LimitKind, float] = {}
        self._account, self._rates, self._members, self._clock = account, rates, members, clock
        self._buckets: dict[LimitKind, SharedBucket] = {}
        self._known: dict[tuple[LimitKind, bool], float] = {}
        self._holds: list[WeakMethod[Callable[[float], object]]] = []
        self._held_until = 0.0
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def limits(self) -> dict[LimitKind, float]:
        """See `Quota.limits`."""
        return {kind: bucket.limit for kind, bucket in self._buckets.items()}

    def bucket(self, kind: LimitKind, limit: float, *, told: bool) -> SharedBucket:
        """See `Quota.bucket`: the lower of what the user says and what the server says holds."""
        self._known[kind, told] = math.floor(limit) if kind == "requests" else limit
        lowest = min(self._known[kind, by] for by in (True, False) if (kind, by) in self._known)
        if kind not in self._buckets:
            self._buckets[kind] = SharedBucket(
                self._account, kind, lowest, rates=self._rates, members=self._members, clock=self._clock
            )
        self._buckets[kind].limit = lowest
        return self._buckets[kind]

    def joined(self, hold: Callable[[float], object]) -> float:
        """See `Quota.joined`; `hold` is a method, which is forgotten with what it is of."""
        self._members.begin()  # where no limit is known there are pauses all the same
        self._holds = [known for known in self._holds if known() is not None]
        self._holds.append(WeakMethod(hold))
        return max(0.0, self._held_until - self._clock.now())

    def paused(self, seconds: float) -> None:
        """See `Quota.paused`."""
        self.hold(seconds)
        telling = self._members.pause(self._account, seconds)
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    def hold(self, seconds: float) -> None:
        """All engines of this process send nothing there for so long."""
        self._held_until = max(self._held_until, self._clock.now() + seconds)
        for known in self._holds:
            if (hold := known()) is not None:
                hold(seconds)
