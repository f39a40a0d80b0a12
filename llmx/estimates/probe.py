"""A few rows that are really asked about, to measure what a plan can only guess.

They go through the engine of a run: paced, paid from its budgets, put into the journal of a run of their own (as one to
standard output has it) and into the cache, out of which the run that follows has them for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from decimal import Decimal
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from llmx.clock import Clock
from llmx.connecting import Talk
from llmx.engine import Engine, engine
from llmx.estimates.candidates import Candidate
from llmx.estimates.tokens import Answered, Interval, interval
from llmx.events import Event, LimitLearned, RunEnded, RunStarted, fan_out
from llmx.feed import Feed
from llmx.layers.stop import Stop
from llmx.pipeline import settled
from llmx.planning import Plan
from llmx.remarks import tell
from llmx.report.summary import Figures
from llmx.state import NoState, State, open_state
from llmx.types import Outcome, Record, weight

__all__ = ["Probe", "probe"]


class Probe(Struct, frozen=True):
    """What was measured.

    Args:
        rows: that were asked about; `ok` got an answer, `failed` none.
        calls, reasks: sent for them, retries included.
        input, output: tokens a row, in all its calls; None where no answer came, or the server counts none.
        answered: what single calls told of prompts and answers.
        latency: seconds of a call, the median; None without an answer.
        cost: US dollars that the probe has cost, None when unknown.
        rpm, tpm: limits per minute that the server has told, None where it has not.
        errors: kinds of failures, and how many rows each.
    """

    rows: int
    ok: int
    failed: int
    calls: int
    reasks: int
    input: Interval | None
    output: Interval | None
    answered: Sequence[Answered]
    latency: float | None
    cost: Decimal | None
    rpm: float | None
    tpm: float | None
    errors: dict[str, int]


class _Limits:
    """An observer that notes what the server tells of its limits."""

    def __init__(self) -> None:
        self.per_minute: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, LimitLearned) and event.source == "headers":
            self.per_minute[event.limit] = event.per_minute


async def probe(model: Candidate, rows: Sequence[Record], *, clock: Clock, stop: Stop, talk: Talk) -> Probe:
    """Ask about some rows, and measure.

    Raises:
        LlmxError: what no row could survive (key, quota, model, budget, a signal); what was answered is kept.
    """
    plan = _plan(model.plan)
    figures, limits = Figures(clock), _Limits()
    state = open_state(plan, stop)
    outcomes: list[Outcome] = []
    try:
        await state.catch_up(stop, talk.say)
        async with engine(
            plan.settings,
            plan.asked,
            plan.prompt,
            plan.env,
            clock=clock,
            stop=stop,
            observer=fan_out(figures, limits, partial(tell, talk)),
            talk=talk,
            presenter=plan.presenter,
            journal=state.journal,
            spent=state.spent,
            note=state.outstanding,
        ) as parts:
            if isinstance(state, State):
                state.identify(parts.endpoints, parts.label)
            figures(RunStarted(len(rows), parts.label, parts.concurrency, 0, parts.names))
            state.begin()
            async with talk.showing(figures):
                await _ask(parts, rows, stop, outcomes)
        figures(RunEnded(complete=False))
    finally:
        _end(state, figures, stop)
    if stop.reason is not None:
        raise stop.reason
    return _measured(model, outcomes, figures, limits)


def _plan(plan: Plan) -> Plan:
    """The plan of the probe's own run: no file is written but its journal."""
    kept = {"output": "-", "errors": None, "state_dir": None, "fresh": False}
    return replace(plan, settings=plan.settings.model_copy(update=kept))


async def _ask(parts: Engine, rows: Sequence[Record], stop: Stop, outcomes: list[Outcome]) -> None:
    batches = settled(
        Feed(iter(rows), weigh=weight),
        prepare=parts.ready,
        settle=parts.settle,
        taken=parts.taken,
        concurrency=parts.concurrency,
        ordered=True,
        stop=stop,
        all_taken=parts.all_taken,
    )
    async with aclosing(batches) as batched:
        async for some in batched:
            outcomes += some


def _end(state: State | NoState, figures: Figures, stop: Stop) -> None:
    try:
        if isinstance(state, State) and state.begun:
            state.end(figures, stop, written=0, complete=False, exit_code=0)
    finally:
        state.close()


def _measured(model: Candidate, outcomes: Sequence[Outcome], figures: Figures, limits: _Limits) -> Probe:
    asked = [outcome for outcome in outcomes if outcome.attempts and outcome.usage.total_tokens]
    errors: dict[str, int] = {kind: group.count for kind, group in figures.errors.items()}
    return Probe(
        rows=len(outcomes),
        ok=figures.ok,
        failed=figures.failed,
        calls=figures.calls,
        reasks=figures.reasks,
        input=interval([each.usage.input_tokens for each in asked]) if asked else None,
        output=interval([each.usage.output_tokens for each in asked]) if asked else None,
        answered=[
            _answered(model, each)
            for each in asked
            if each.attempts == model.plan.settings.votes and isinstance(each.record, Record)
        ],
        latency=figures.latencies.quantile(0.5),
        cost=figures.cost,
        rpm=limits.per_minute.get("rpm"),
        tpm=limits.per_minute.get("tpm"),
        errors=errors,
    )


def _answered(model: Candidate, outcome: Outcome) -> Answered:
    assert isinstance(outcome.record, Record)
    size, usage, votes = model.asked(outcome.record)[0].size, outcome.usage, outcome.attempts
    return Answered(size, usage.input_tokens // votes, usage.output_tokens // votes, 0)
