"""How fast one endpoint may be asked: the limits it was told to keep, those it tells, and what it turns out to allow.

`Pacing` only knows amounts per minute; who may go at all, and in which order, is the gate's business.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal, Protocol

from msgspec import Struct, field

from llmx.clock import Clock
from llmx.events import HeldBy, LimitLearned, Observer, Throttled
from llmx.layers.adaptive import AdaptiveRate
from llmx.layers.buckets import RequestBucket, TokenBucket
from llmx.layers.estimate import TokenEstimate
from llmx.layers.rolling import SPAN, Rolling
from llmx.types import LimitKind, LimitState, Request, Usage

__all__ = ["Bucket", "Pacing", "Quota", "Reserved"]


class Reserved(Struct, frozen=True):
    """What a request is expected to use.

    Args:
        size: bytes of its body; 0 where nobody counts tokens.
        tokens: by kind.
    """

    size: int = 0
    tokens: Mapping[LimitKind, float] = field(default_factory=dict)


NOTHING = Reserved()

EXPLAINED = 0.8
"""The share of a limit which, used by this run within the last minute, explains why nothing is left of it."""

LONGEST_HOLD = 60.0
"""Seconds that a drained limit holds everybody: limits are per minute. Whoever is sent then is told of longer ones."""

_WORDS: dict[LimitKind, Literal["rpm", "tpm", "input tpm", "output tpm"]] = {
    "requests": "rpm",
    "tokens": "tpm",
    "input_tokens": "input tpm",
    "output_tokens": "output tpm",
}


class Bucket(Protocol):
    """One limit per minute that several runs keep together."""

    limit: float
    """Per minute, of all of them."""

    def ready(self, amount: float = 1.0) -> bool:
        """Whether `amount` would be let through now; then `acquire` does not wait."""
        ...

    async def acquire(self, amount: float = 1.0, *, row: float | None = None) -> None:
        """Wait until `amount` has been let through; see `TokenBucket.acquire`."""
        ...


class Quota(Protocol):
    """What an account allows all who use it.

    Attributes:
        estimate: of tokens, by all answers.
        owed: tokens by kind that answers have used beyond what was reserved for them.
    """

    estimate: TokenEstimate
    owed: dict[LimitKind, float]

    @property
    def limits(self) -> Mapping[LimitKind, float]:
        """Per minute, as far as they are known."""
        ...

    def bucket(self, kind: LimitKind, limit: float, *, told: bool) -> Bucket:
        """What lets through `limit` per minute, told by the user or else heard from the server."""
        ...

    def joined(self, hold: Callable[[float], object]) -> float:
        """Have `hold` called when all are to send nothing for so many seconds; those of a pause that is on already."""
        ...

    def paused(self, seconds: float) -> None:
        """A server has asked one of them to send nothing for so long: it holds all."""
        ...


class Pacing:
    """The limits of one endpoint.

    Args:
        endpoint: its name in events.
        rpm, tpm: what the user allows this process, None for anything.
        size: bytes of a request's body, for the token estimate.
        parts: processes among which what the server allows is divided; events tell of the whole.
        quota: of all who use the account, in place of limits of our own.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        rpm: float | None,
        tpm: float | None,
        clock: Clock,
        observer: Observer,
        size: Callable[[Request], int],
        parts: int = 1,
        quota: Quota | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._quota = quota
        self._parts = parts
        self._told: dict[LimitKind, float | None] = {"requests": rpm, "tokens": tpm}
        self._requests: RequestBucket | Bucket | None = None
        self._heard = False
        self._tokens: dict[LimitKind, TokenBucket | Bucket] = {}
        self._estimate = quota.estimate if quota else TokenEstimate()
        self._owed: dict[LimitKind, float] = quota.owed if quota else {}
        self._sent: dict[LimitKind, Rolling] = {}
        self._last_second = Rolling(1.0)
        self._refused = Rolling()
        self._rate = AdaptiveRate()
        self._clock = clock
        self._observer = observer
        self._size = size
        for kind, limit in self._told.items():
            if limit is not None:
                self._set(kind, limit, source="told")
        for kind, limit in quota.limits.items() if quota else ():
            if self._limit(kind) is None:
                self._set(kind, limit, source="headers")

    def _set(self, kind: LimitKind, limit: float, source: Literal["told", "headers"]) -> None:
        if self._quota is not None:
            self._share(self._quota.bucket(kind, limit, told=source == "told"), kind)
        elif kind == "requests":
            before = 0.0 if self._heard else self._unpaced(limit)
            self._requests = RequestBucket(limit, full=self._requests is not None, before=before)
        else:
            known = self._tokens.get(kind)
            largest = known.largest if isinstance(known, TokenBucket) else 0.0
            self._tokens[kind] = TokenBucket(limit, full=kind in self._sent, largest=largest)
        self._observer(LimitLearned(self._endpoint, _WORDS[kind], limit * self._parts, source))

    def _share(self, bucket: Bucket, kind: LimitKind) -> None:
        if kind == "requests":
            self._requests = bucket
        else:
            self._tokens[kind] = bucket

    def _unpaced(self, limit: float) -> float:
        """Requests that went out before the server's limit was known, as far as it may have let them in."""
        now, sent = self._clock.now(), self._sent.get("requests")
        excess = sent.excess(now, limit / 60) - self._refused.total(now) if sent else 0.0
        return min(limit, max(0.0, excess))

    def _limit(self, kind: LimitKind) -> float | None:
        bucket = self._requests if kind == "requests" else self._tokens.get(kind)
        return None if bucket is None else bucket.limit

    @property
    def _known(self) -> float:
        """Requests a second that a limit allows, infinite where none is known."""
        return math.inf if self._requests is None else self._requests.limit / 60

    @property
    def per_second(self) -> float:
        """Requests a second that may be sent, infinite where nothing is known."""
        return min(self._known, self._rate.rate)

    # What goes out

    def expected(self, request: Request) -> Reserved:
        """What a request is expected to use."""
        if not self._tokens:
            return NOTHING
        size = self._size(request)
        return Reserved(size, _by_kind(*self._estimate.guess(size)))

    def tokens_are_ready(self, reserved: Reserved) -> bool:
        """Whether `tokens` would not wait."""
        return all(bucket.ready(self._due(kind, reserved)) for kind, bucket in self._tokens.items())

    def _due(self, kind: LimitKind, reserved: Reserved) -> float:
        return max(0.0, reserved.tokens.get(kind, 0.0) + self._owed.get(kind, 0.0))

    async def tokens(self, reserved: Reserved) -> None:
        """Wait until a request's tokens are let through."""
        for kind, bucket in list(self._tokens.items()):
            row, owed = reserved.tokens.get(kind, 0.0), self._owed.pop(kind, 0.0)
            amount = row + owed
            try:
                with (
                    nullcontext()
                    if bucket.ready(max(0.0, amount))
                    else self._held(_WORDS[kind], bucket.limit)
                ):
                    await bucket.acquire(amount, row=row)
            except asyncio.CancelledError:  # who does not wait for it does not pay the debts of others
                self._owed[kind] = self._owed.get(kind, 0.0) + owed
                raise
            if amount < 0:
                self._owed[kind] = self._owed.get(kind, 0.0) + amount

    def slot_is_ready(self) -> bool:
        """Whether `slot` would not wait."""
        return self._requests is None or self._requests.ready()

    async def slot(self) -> None:
        """Wait until one more request is let through by the limits that are known."""
        while (bucket := self._requests) is not None:
            with nullcontext() if bucket.ready() else self._held("rpm", bucket.limit):
                if not (isinstance(bucket, RequestBucket) and await bucket.pay()):
                    await bucket.acquire()
                    return
            # It may be another one by now.

    @property
    def is_cautious(self) -> bool:
        """Whether refusals have set a rate."""
        return self._rate.rate < math.inf

    def too_early(self) -> float:
        """Seconds until the rate that the server has turned out to allow lets one more through, 0 for now."""
        return self._rate.wait(self._clock.now())

    @contextmanager
    def _held(self, limit: HeldBy, per_minute: float) -> Iterator[None]:
        """Tell of a wait for a limit."""
        self._observer(Throttled(self._endpoint, limit, per_minute * self._parts))
        try:
            yield
        finally:
            self._observer(Throttled(self._endpoint, None))

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Tell of a wait for the rate that was found."""
        with self._held("found", self._rate.rate * 60):
            yield

    def sent(self, now: float, reserved: Reserved) -> None:
        """A request goes out now."""
        self._rate.take(now)
        self._last_second.add(now)
        self._count(now, "requests", 1.0)
        for kind, amount in reserved.tokens.items():
            self._count(now, kind, amount)

    def _count(self, now: float, kind: LimitKind, amount: float) -> None:
        self._sent.setdefault(kind, Rolling()).add(now, amount)

    # What comes back

    def answered(self, usage: Usage, reserved: Reserved, sent: float) -> None:
        """An answer came to what was sent at `sent`: what it used is settled against what was reserved, and learnt from."""
        now = self._clock.now()
        self._rate.passed(self._known, sent)
        if not reserved.size or not usage.total_tokens:  # 0 is a server that does not count, and says nothing
            return
        self._estimate.learn(reserved.size, usage)
        used = _by_kind(usage.input_tokens, usage.output_tokens)
        # Anthropic: "only uncached input tokens count towards ITPM", https://docs.claude.com/en/api/rate-limits
        used["input_tokens"] -= usage.cached_tokens
        for kind in self._tokens.keys() & reserved.tokens.keys():
            more = used[kind] - reserved.tokens[kind]
            self._owed[kind] = self._owed.get(kind, 0.0) + more
            self._count(now, kind, more)

    def refused(self, sent: float, retry_after: float | None) -> None:
        """A request that was sent at `sent` was refused for a limit: the rate falls, once per round trip."""
        now = self._clock.now()
        self._refused.add(now)
        known = self._known < math.inf
        accepted = self._known if known else self._accepted(now, retry_after or 0.0)
        lowest = self._taken(now) / SPAN
        if self._rate.refused(now, sent=sent, accepted=accepted, lowest=lowest, known=known):
            whole = self._rate.rate * 60 * self._parts
            self._observer(LimitLearned(self._endpoint, "rpm", whole, "refusals"))

    def _accepted(self, now: float, retry_after: float) -> float:
        """Requests a second that the server has taken in the last minute, or in the last second if that is more.

        A server that has had enough for `retry_after` has taken as many as it takes in all that time; most round it up
        to a second.
        """
        known_for = max(1.0, self._sent["requests"].age(now))
        return max(
            self._taken(now) / (known_for + retry_after),
            (self._last_second.total(now) - 1) / max(1.0, retry_after),
        )

    def _taken(self, now: float) -> float:
        """Requests that the server has not refused, of those sent in the last minute."""
        return self._sent["requests"].total(now) - self._refused.total(now)

    def forget(self) -> None:
        """Drop the rate that was found."""
        self._rate = AdaptiveRate()

    def heard(self, states: Sequence[LimitState]) -> float:
        """Take note of what a response tells of limits; seconds for which everybody must be held, 0 for none."""
        return max((self._note(state) for state in states), default=0.0)

    def _note(self, state: LimitState) -> float:
        told, ours = self._told.get(state.kind), state.limit / self._parts
        limit = ours if told is None else min(told, ours)
        floor = 1.0 if state.kind == "requests" else 60.0
        if limit >= floor and self._limit(state.kind) != (int(limit) if state.kind == "requests" else limit):
            self._set(state.kind, limit, source="headers")
        self._heard = self._heard or state.kind == "requests"
        return self._hold(state)

    def _hold(self, state: LimitState) -> float:
        """How long to send nothing because a limit is used up, and not by us: our own pace fits what is left."""
        need = 1.0 if state.kind == "requests" else self._need(state.kind)
        if state.remaining >= need or not state.reset:
            return 0.0
        sent = self._sent.get(state.kind)
        ours = sent.total(self._clock.now()) if sent else 0.0
        explained = self._quota is not None or ours >= EXPLAINED * state.limit / self._parts
        return 0.0 if explained else min(state.reset, LONGEST_HOLD)

    def _need(self, kind: LimitKind) -> float:
        """Tokens of an ordinary request."""
        return max(1.0, _by_kind(*self._estimate.usual())[kind])


def _by_kind(used_in: float, used_out: float) -> dict[LimitKind, float]:
    return {"tokens": used_in + used_out, "input_tokens": used_in, "output_tokens": used_out}
