"""A run's figures, folded from its events in constant memory, and their two forms: lines and JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from msgspec import Struct

from llmx.clock import Clock
from llmx.errors import LlmxError, RateLimited
from llmx.events import (
    AttemptFailed,
    AttemptStarted,
    AttemptSucceeded,
    Event,
    Reasked,
    RetryScheduled,
    RetrySent,
    RetryStarted,
    RowSettled,
    RowsSettled,
    RowsSkipped,
    RunEnded,
    RunStarted,
)
from llmx.journal import Manifest
from llmx.layers.latencies import Latencies
from llmx.layers.rolling import SPAN, Rolling
from llmx.report.traffic import Traffic
from llmx.report.trust import Trust
from llmx.text import dollars, plural
from llmx.types import Outcome, Usage

__all__ = [
    "ErrorGroup",
    "Figures",
    "duration",
    "figures_as_json",
    "figures_as_lines",
    "money",
    "spent",
    "spent_as_json",
    "spent_as_line",
]


class ErrorGroup(Struct):
    """Failed rows of one kind: how many, and the first of them in the input."""

    count: int = 0
    index: int = sys.maxsize
    example: str = ""
    line: int | None = None


@dataclass(slots=True)
class Figures:
    """The state of a run, an observer of its events.

    `ok + failed` is the number of settled rows; `cached`, `semantic`, `coalesced` and `resumed` are those of the `ok` rows that
    cost no call, `ahead` those of them that came before the first one that did. `retries` counts those that were sent, `retrying` those whose delay has not ended. `usage` is all that is known to be spent, on failed rows and attempts too; `maybe_billed`
    counts the calls that may have been charged beside it, because they were sent and not answered.
    """

    clock: Clock
    started: float = 0.0
    ended: float | None = None
    total: int | None = None
    done: int = 0
    model: str = ""
    ok: int = 0
    failed: int = 0
    cached: int = 0
    semantic: int = 0
    coalesced: int = 0
    resumed: int = 0
    calls: int = 0
    in_flight: int = 0
    retries: int = 0
    retrying: int = 0
    throttled: int = 0
    maybe_billed: int = 0
    reasks: int = 0
    usage: Usage = field(default_factory=Usage)
    ahead: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    errors: dict[str, ErrorGroup] = field(default_factory=dict)
    stopping: LlmxError | None = None
    trust: Trust = field(default_factory=Trust)
    traffic: Traffic = field(init=False)
    _recent: Rolling = field(default_factory=Rolling)
    _counted: int = 0
    _ahead_for: float = 0.0

    def __post_init__(self) -> None:
        self.traffic = Traffic(self.clock)

    @property
    def settled(self) -> int:
        """Rows that ended."""
        return self.ok + self.failed

    @property
    def rows(self) -> dict[str, int | None]:
        """The counts of rows, by name."""
        return {
            "settled": self.settled,
            "total": self.total,
            "ok": self.ok,
            "failed": self.failed,
            "cached": self.cached,
            "semantic": self.semantic,
            "coalesced": self.coalesced,
            "resumed": self.resumed,
        }

    @property
    def fresh(self) -> int:
        """Settled rows beyond those of earlier sessions and those that the cache gave before anything was asked.

        What this session's time and money went to. Answers of the cache that lie among the others are like them: there
        will be as many in what is left.
        """
        return self.settled - max(self.ahead, min(self.done, self.cached + self.resumed))

    @property
    def left(self) -> int | None:
        """Rows that will take time and money yet, None when the total is not known."""
        if self.total is None:
            return None
        return max(0, self.total - self.settled - max(0, self.done - self.cached - self.resumed))

    @property
    def pace(self) -> float:
        """Rows a second, of those beyond the ones that are `ahead`, in the last minute; 0 before the first."""
        span = min(SPAN, self.seconds - self._ahead_for)
        return self._recent.total(self.clock.now()) / span if span > 0 else 0.0

    @property
    def cost(self) -> Decimal | None:
        """US dollars; None when unknown, as it is when all there was may have been billed and told nothing."""
        return None if self.maybe_billed and not self.usage.cost else self.usage.cost

    @property
    def seconds(self) -> float:
        """From the run's start to its end, or to now while it goes on."""
        return (self.clock.now() if self.ended is None else self.ended) - self.started

    def __call__(self, event: Event) -> None:
        """Fold one event."""
        self.traffic(event)
        self.trust(event)
        match event:
            case RowSettled() | RowsSettled() | RowsSkipped():
                self._settle(event)
            case AttemptStarted():
                self._ahead_for = self._ahead_for if self.calls else self.seconds
                self.calls += 1
                self.in_flight += 1
            case AttemptSucceeded() | AttemptFailed():
                self._came_back(event)
            case RunStarted():
                self.total, self.model, self.started = event.total, event.model, self.clock.now()
                self.done = event.done
            case RunEnded():
                self._end(event)
            case Reasked():
                self.reasks += 1
            case RetryScheduled():
                self.retrying += 1
            case RetrySent():
                self.retries += 1
            case RetryStarted():
                self.retrying -= 1

    def _count(self) -> None:
        """Note when rows were settled that took time and money."""
        if (more := self.fresh - self._counted) > 0:
            self._recent.add(self.clock.now(), more)
        self._counted += more

    def stopped(self, reason: LlmxError) -> None:
        """Note that no new calls are made from here on, and why."""
        self.stopping = reason

    def _end(self, event: RunEnded) -> None:
        self.ended = self.clock.now()
        if event.complete:  # counted beforehand, the total may be that of a file that has grown since
            self.total = self.settled

    def _came_back(self, event: AttemptSucceeded | AttemptFailed) -> None:
        self.in_flight -= 1
        if isinstance(event, AttemptSucceeded):
            self.usage += event.usage
            self.latencies.add(event.seconds)
        else:
            self.throttled += isinstance(event.error, RateLimited)
            self.maybe_billed += event.error.maybe_billed

    def _settle(self, event: RowSettled | RowsSettled | RowsSkipped) -> None:
        if isinstance(event, RowsSkipped):
            self.ok += event.count
            self.resumed += event.count
            self.ahead = self.settled
            return
        for outcome in event.outcomes if isinstance(event, RowsSettled) else (event.outcome,):
            self._settle_one(outcome)
        self._count()

    def _settle_one(self, outcome: Outcome) -> None:
        if outcome.error is None:
            self.ok += 1
            self.cached += outcome.source == "cache"
            self.semantic += outcome.source == "semantic"
            self.coalesced += outcome.source == "coalesced"
            self.resumed += outcome.source == "journal" and not outcome.attempts
            settled = self.ok + self.failed
            if settled == self.cached + self.semantic + self.coalesced + self.resumed:
                self.ahead = settled
            return
        self.failed += 1
        group = self.errors.setdefault(outcome.error.type, ErrorGroup())
        group.count += 1
        if outcome.record.index < group.index:
            group.index, group.line = outcome.record.index, outcome.record.line
            group.example = str(outcome.error)


def figures_as_json(figures: Figures) -> dict[str, Any]:
    """The summary for machines; costs are JSON numbers in US dollars, null when unknown."""
    usage = figures.usage
    return {
        "model": figures.model,
        "rows": figures.rows,
        "calls": figures.calls,
        "retries": figures.retries,
        "throttled": figures.throttled,
        "maybe_billed": figures.maybe_billed,
        "reasks": figures.reasks,
        "pauses": figures.traffic.pauses,
        "circuit_openings": figures.traffic.openings,
        "fallbacks": figures.traffic.fallbacks,
        "hedges": {"sent": figures.traffic.hedges, "won": figures.traffic.hedges_won},
        "endpoints": {name: endpoint.as_json() for name, endpoint in figures.traffic.endpoints.items()},
        "tokens": {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cached": usage.cached_tokens,
            "reasoning": usage.reasoning_tokens,
        },
        "cost": None if figures.cost is None else float(figures.cost),
        "seconds": round(figures.seconds, 3),
        "latency": {name: figures.latencies.quantile(q) for name, q in (("p50", 0.5), ("p95", 0.95))},
        "errors": {
            kind: {"count": group.count, "example": group.example, "line": group.line}
            for kind, group in sorted(figures.errors.items(), key=lambda pair: -pair[1].count)
        },
        **figures.trust.as_json(),
    }


def figures_as_lines(figures: Figures) -> list[str]:
    """The summary for people: one line of rows, one of spending, those of traffic, one per kind of error."""
    return [
        _rows_line(figures),
        _spending_line(figures),
        *figures.trust.lines(),
        *figures.traffic.lines(),
        *_error_lines(figures),
    ]


def _rows_line(figures: Figures) -> str:
    names = ("cached", "semantic", "coalesced", "resumed")
    free = [f"{n:,} {name}" for name in names if (n := figures.rows[name])]
    note = f" ({', '.join(free)})" if free else ""
    rate = f"{figures.settled / figures.seconds:,.1f} rows/s" if figures.seconds > 0 else ""
    noun = "row" if (figures.total or figures.settled) == 1 else "rows"
    of_total = f" of {figures.total:,}" if figures.total not in (None, figures.settled) else ""
    return (
        f"{figures.settled:,}{of_total} {noun}: {figures.ok:,} ok{note}, {figures.failed:,} failed"
        f" · {duration(figures.seconds)} · {rate}"
    )


def _spending_line(figures: Figures) -> str:
    parts = [plural(figures.calls, "call")]
    parts += [plural(n, name) for n, name in _troubles(figures) if n]
    if pauses := figures.traffic.pauses:
        parts.append(f"{plural(pauses, 'pause')} ({duration(figures.traffic.paused)})")
    usage = figures.usage
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    parts.append(f"{usage.input_tokens:,}{cached} + {usage.output_tokens:,} tokens")
    parts.append(money(figures.cost))
    p50, p95 = figures.latencies.quantile(0.5), figures.latencies.quantile(0.95)
    if p50 is not None and p95 is not None:
        parts.append(f"p50 {p50:.2g} s, p95 {p95:.2g} s")
    return " · ".join(parts)


def _troubles(figures: Figures) -> list[tuple[int, str]]:
    return [
        (figures.retries, "retry"),
        (figures.throttled, "refusal by 429"),
        (figures.maybe_billed, "call without an answer, perhaps billed"),
        (figures.reasks, "re-ask"),
    ]


def _error_lines(figures: Figures) -> list[str]:
    groups = sorted(figures.errors.items(), key=lambda pair: -pair[1].count)
    return [f"  {group.count:,} × {kind}: {group.example}{_place(group)}" for kind, group in groups]


def _place(group: ErrorGroup) -> str:
    """Where the example is, unless its own words say so, as those of an unreadable line do."""
    return f" (line {group.line})" if group.line and f":{group.line}:" not in group.example else ""


def money(cost: Decimal | None) -> str:
    """US dollars as `dollars` writes them; "cost unknown" for None."""
    return "cost unknown" if cost is None else dollars(cost)


def spent_as_line(manifest: Manifest) -> str:
    """What all sessions of a run have paid for: answers, tokens and money."""
    tokens = f"{manifest.usage.get('input', 0):,} + {manifest.usage.get('output', 0):,} tokens"
    beside = {"answer lost": manifest.lost, "call without an answer, perhaps billed": manifest.maybe_billed}
    parts = [plural(manifest.answers, "answer"), tokens, money(spent(manifest))]
    parts += [f"and {plural(n, what)}" for what, n in beside.items() if n]
    if (risk := manifest.at_risk).tokens:
        most = f" ({dollars(Decimal(risk.cost))})" if Decimal(risk.cost) else ""
        parts.append(f"at most {risk.tokens:,} tokens{most} for calls that nobody knows the end of")
    return " · ".join(parts)


def spent_as_json(manifest: Manifest) -> dict[str, Any]:
    """The same for machines; the cost is null when it is unknown."""
    cost = spent(manifest)
    return {
        "sessions": manifest.sessions,
        "answers": manifest.answers,
        "tokens": manifest.usage,
        "lost": manifest.lost,
        "maybe_billed": manifest.maybe_billed,
        "cost": None if cost is None else float(cost),
        "at_risk": {"tokens": manifest.at_risk.tokens, "cost": float(manifest.at_risk.cost)},
    }


def spent(manifest: Manifest) -> Decimal | None:
    """What is known to have been spent; None when that is nothing, and something may have been."""
    cost = None if manifest.cost is None else Decimal(manifest.cost)
    return None if not cost and (manifest.lost or manifest.maybe_billed) else cost


def duration(seconds: float) -> str:
    """`4.2 s`, `3m 07s`, `2h 05m`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"
