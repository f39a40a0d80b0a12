"""How a run's endpoints stand, folded from its events: what each is paced by, what it waits for, what it used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from msgspec import Struct, field

from llmx.clock import Clock
from llmx.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    BudgetChanged,
    CircuitClosed,
    CircuitOpened,
    CircuitProbing,
    EndpointEnded,
    Event,
    FellBack,
    HedgeEnded,
    HedgeSent,
    LimitLearned,
    Paused,
    PauseReason,
    RowSettled,
    RowsSettled,
    RunEnded,
    RunStarted,
    Throttled,
)
from llmx.text import dollars, plural

__all__ = ["EndpointFigures", "LimitFigures", "Traffic", "Wait"]


_PAUSES: dict[PauseReason, str] = {
    "refused": ", as the server asked (429)",
    "unnamed": " after a 429 that names no time",
    "drained": ": nothing is left of a limit",
    "failed": ", as the server asked (an error)",
}


class Wait(Struct, frozen=True):
    """What holds calls back.

    Args:
        still: nothing is sent there, rather than no more than a limit allows.
    """

    text: str
    still: bool = False


class LimitFigures(Struct):
    """One limit of an endpoint, and how much of it was used.

    Args:
        source: "told", "headers" or "refusals".
        allowed: what it would have let through since it was known, until the last call.
        used: what was sent in that time, but for the last call, whose own time has yet to pass.
        last: what that one has used.
    """

    per_minute: float
    source: str
    since: float
    allowed: float = 0.0
    used: float = 0.0
    last: float = 0.0
    until: float = 0.0

    def changed(self, per_minute: float, source: str, now: float) -> None:
        """It is another one from now on."""
        self.allowed += self.per_minute * max(0.0, now - self.since) / 60
        self.per_minute, self.source, self.since = per_minute, source, now

    def use(self, now: float, amount: float) -> None:
        """So much was sent, or has turned out to have been."""
        self.used += self.last
        self.last, self.until = amount, now

    @property
    def share(self) -> float | None:
        """Of what was allowed, from 0; None for a run too short to tell: a limit per minute is used by the second.

        None, too, for a rate that was found: it is known from some refusal on, and is what was used and no more.
        """
        if self.source == "refusals":
            return None
        seconds = self.until - self.since
        allowed = self.allowed + self.per_minute * max(0.0, seconds) / 60
        return self.used / allowed if allowed > 0 and seconds >= 1 else None


class EndpointFigures(Struct):
    """One endpoint: its state now, and what happened to it so far. Times are the clock's seconds."""

    limits: dict[str, LimitFigures] = field(default_factory=dict)
    held_by: str | None = None
    per_minute: float = 0.0
    paused_until: float = -math.inf
    paused_by: PauseReason = "refused"
    open_since: float | None = None
    probe_at: float = 0.0
    probing: bool = False
    ended: str = ""
    calls: int = 0
    pauses: int = 0
    paused: float = 0.0
    openings: int = 0

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        limits = {
            name: {"per_minute": round(limit.per_minute, 1), "source": limit.source, "used": limit.share}
            for name, limit in self.limits.items()
        }
        counts = {
            "calls": self.calls,
            "pauses": self.pauses,
            "paused_seconds": round(self.paused, 3),
            "circuit_openings": self.openings,
        }
        return {**counts, "limits": limits, "ended": self.ended or None}


class Traffic(Struct):
    """All endpoints of a run.

    Args:
        fallbacks: times that a row went on to another endpoint.
        hedges, hedges_won: calls that were sent once more, and those whose second answer came first.
        saved: seconds that the first ones took longer, as far as that was seen.
        budget: what is left of the run's caps, None without any.
        apart: endpoints do not stand in for each other.
    """

    clock: Clock
    endpoints: dict[str, EndpointFigures] = field(default_factory=dict)
    fallbacks: int = 0
    hedges: int = 0
    hedges_won: int = 0
    saved: float = 0.0
    budget: BudgetChanged | None = None
    apart: bool = False

    @property
    def pauses(self) -> int:
        """Times that a server held everybody."""
        return sum(endpoint.pauses for endpoint in self.endpoints.values())

    @property
    def paused(self) -> float:
        """Seconds that servers held everybody, of all endpoints together."""
        return sum(endpoint.paused for endpoint in self.endpoints.values())

    @property
    def openings(self) -> int:
        """Times that a circuit opened."""
        return sum(endpoint.openings for endpoint in self.endpoints.values())

    def __call__(self, event: Event) -> None:
        """Fold one event; those that are about no endpoint are left alone."""
        match event:
            case RowSettled() | RowsSettled():
                pass  # the commonest of all
            case AttemptStarted() | AttemptSucceeded() | AttemptFailed():
                self._call(event)
            case RunStarted() | RunEnded():
                self._run(event)
            case FellBack():
                self.fallbacks += 1
            case BudgetChanged():
                self.budget = event
            case HedgeSent():
                self.hedges += 1
            case HedgeEnded():
                self.hedges_won += event.won
                self.saved += event.saved
            case LimitLearned() | Throttled() | Paused():
                self._pace(event)
            case CircuitOpened() | CircuitProbing() | CircuitClosed() | EndpointEnded():
                self._circuit(event)

    def _run(self, event: RunStarted | RunEnded) -> None:
        if isinstance(event, RunStarted):
            self.apart = event.cascade
            for name in event.endpoints:
                self._of(name)
            return
        now = self.clock.now()
        for endpoint in self.endpoints.values():  # no pause was longer than the run
            endpoint.paused -= max(0.0, endpoint.paused_until - now)

    def _of(self, name: str) -> EndpointFigures:
        if (known := self.endpoints.get(name)) is None:
            known = self.endpoints[name] = EndpointFigures()
        return known

    def _call(self, event: AttemptStarted | AttemptSucceeded | AttemptFailed) -> None:
        endpoint = self._of(event.endpoint)
        if isinstance(event, AttemptStarted):
            endpoint.calls += 1
        if endpoint.limits:
            self._use(endpoint, event, self.clock.now())

    def _use(
        self, endpoint: EndpointFigures, event: AttemptStarted | AttemptSucceeded | AttemptFailed, now: float
    ) -> None:
        """Count a call against what is known of limits."""
        if isinstance(event, AttemptStarted):
            if (requests := endpoint.limits.get("rpm")) is not None:
                requests.use(now, 1)
        elif isinstance(event, AttemptSucceeded):
            usage = event.usage
            used = {
                "tpm": usage.total_tokens,
                "input tpm": usage.input_tokens - usage.cached_tokens,
                "output tpm": usage.output_tokens,
            }
            for name in used.keys() & endpoint.limits.keys():
                endpoint.limits[name].use(now, used[name])

    def _pace(self, event: LimitLearned | Throttled | Paused) -> None:
        endpoint, now = self._of(event.endpoint), self.clock.now()
        match event:
            case LimitLearned():
                self._learn(endpoint, event, now)
            case Throttled():
                endpoint.held_by, endpoint.per_minute = event.limit, event.per_minute
            case Paused():
                endpoint.pauses += 1
                endpoint.paused += now + event.seconds - max(now, endpoint.paused_until)
                endpoint.paused_until, endpoint.paused_by = now + event.seconds, event.reason

    def _learn(self, endpoint: EndpointFigures, event: LimitLearned, now: float) -> None:
        known = endpoint.limits.get(event.limit)
        if known is None:
            endpoint.limits[event.limit] = LimitFigures(event.per_minute, event.source, now)
        elif event.source != "refusals" or known.source == "refusals":
            known.changed(event.per_minute, event.source, now)

    def _circuit(self, event: CircuitOpened | CircuitProbing | CircuitClosed | EndpointEnded) -> None:
        endpoint, now = self._of(event.endpoint), self.clock.now()
        endpoint.probing = isinstance(event, CircuitProbing)
        match event:
            case CircuitOpened():
                endpoint.openings += endpoint.open_since is None
                endpoint.open_since = now if endpoint.open_since is None else endpoint.open_since
                endpoint.probe_at = now + event.seconds
            case CircuitClosed():
                endpoint.open_since = None
            case EndpointEnded():
                endpoint.ended = str(event.error)

    # For people

    def waits(self) -> list[Wait]:
        """What holds calls back now, in a few words each: first what stands still, then what is paced."""
        several = len(self.endpoints) > 1
        found = []
        for name, endpoint in self.endpoints.items():
            still = self._still(endpoint)
            if state := still or _pace(endpoint):
                found.append(Wait(f"{name}: {state}" if several else state, still=bool(still)))
        if self.budget is not None and self.budget.held:
            found.append(Wait("waiting for calls in flight, to see what is left of the budget", still=True))
        return sorted(found, key=lambda wait: not wait.still)

    def _still(self, endpoint: EndpointFigures) -> str:
        """Why nothing is sent there, "" if something is."""
        now = self.clock.now()
        if endpoint.ended:
            return f"ended{self._elsewhere()} ({endpoint.ended})"
        if endpoint.open_since is not None:
            next_try = "probing" if endpoint.probing else _probe(endpoint.probe_at - now)
            return f"circuit open for {now - endpoint.open_since:.0f} s, {next_try}{self._elsewhere()}"
        if (left := endpoint.paused_until - now) > 0:
            return f"paused {math.ceil(left)} s{_PAUSES[endpoint.paused_by]}"
        return ""

    def _elsewhere(self) -> str:
        """Where rows go, if anywhere."""
        free = [name for name, other in self.endpoints.items() if not self._stands(other) and not self.apart]
        return f", rows go to {free[0] if len(free) == 1 else 'the others'}" if free else ""

    def _stands(self, endpoint: EndpointFigures) -> bool:
        paused = endpoint.paused_until > self.clock.now()
        return paused or endpoint.open_since is not None or bool(endpoint.ended)

    @property
    def is_held(self) -> bool:
        """Whether nothing moves, for every endpoint stands still: what has been says nothing of what will be."""
        return bool(self.endpoints) and all(map(self._stands, self.endpoints.values()))

    def budget_left(self) -> str:
        """What is left of the caps, "" without any."""
        if self.budget is None:
            return ""
        cost, tokens = self.budget.cost, self.budget.tokens
        left = [] if cost is None else [dollars(max(cost, Decimal(0)))]
        left += [] if tokens is None else [f"{tokens:,} tokens"]
        return f"{' and '.join(left)} of budget left"

    def lines(self) -> Iterator[str]:
        """What happened on the way, for the summary; nothing for a run that met nothing."""
        several = len(self.endpoints) > 1
        for name, endpoint in self.endpoints.items():
            parts = [plural(endpoint.calls, "call")] if several else []
            parts += [used for limit, figures in endpoint.limits.items() if (used := _used(limit, figures))]
            parts += [f"circuit opened {_times(endpoint.openings)}"] if endpoint.openings else []
            parts += [f"ended: {endpoint.ended}"] if endpoint.ended else []
            if parts:
                yield f"{name}: {' · '.join(parts)}" if several else " · ".join(parts)
        if self.fallbacks:
            yield f"fell back {_times(self.fallbacks)}"
        if self.hedges:
            won = f"{self.hedges_won:,} answered first, {self.saved:.1f} s sooner in all"
            yield f"{plural(self.hedges, 'call')} sent once more: {won}"


def _probe(seconds: float) -> str:
    return f"next try in {seconds:.0f} s" if seconds > 0 else "next try now"


def _pace(endpoint: EndpointFigures) -> str:
    if endpoint.held_by is None:
        return ""
    if endpoint.held_by == "found":
        return f"pacing at {endpoint.per_minute:,.0f} rpm (found)"
    told = endpoint.limits.get(endpoint.held_by)
    whose = {"told": " (yours)", "headers": " (the server's)"}.get(told.source if told else "", "")
    return f"pacing at {endpoint.per_minute:,.0f} {endpoint.held_by}{whose}"


def _used(name: str, figures: LimitFigures) -> str:
    if figures.source == "refusals":
        return f"found about {figures.per_minute:,.0f} {name}"
    return f"{figures.share:.0%} of {figures.per_minute:,.0f} {name} used" if figures.share else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
