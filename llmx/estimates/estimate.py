"""A plan in figures: rows, tokens, money and time of a run before it is begun, for each of some models.

`estimate` puts together what the other modules of the package find out. Nobody is called, unless a probe is asked for, and
nothing is written but by that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from llmx.clock import Clock
from llmx.connecting import Talk
from llmx.estimates.budgets import Fit, Planned, fits
from llmx.estimates.candidates import Candidate, candidates
from llmx.estimates.census import Census, Counts, census
from llmx.estimates.history import History, history
from llmx.estimates.money import Call, CostRange, costs
from llmx.estimates.pace import Pace, RunTime, run_time
from llmx.estimates.probe import Probe, probe
from llmx.estimates.shape import answer_size
from llmx.estimates.tokens import (
    Answered,
    Measured,
    OutputSource,
    input_rate,
    measured_output,
    tokens_of,
)
from llmx.layers.stop import Stop
from llmx.planning import Plan
from llmx.pricing import PriceSource, known_models, price_source
from llmx.providers import CATALOG, reasons
from llmx.text import nearest

__all__ = [
    "REASONING",
    "Estimate",
    "InputSource",
    "LatencySource",
    "ModelEstimate",
    "PriceOrigin",
    "estimate",
]

ASSUMED_LATENCY = 3.0
"""Seconds of a call where nobody has measured one: what the default of --concurrency goes by, too."""

REASONING = 300
"""Tokens that a reasoning model is taken to think of before it answers, where nobody has measured any."""

MANY = 200_000
"""Rows that take longer to look at than a person waits without a word."""

SURELY, SURELY_MEASURED = 0.8, 0.95
"""What there is at least of the tokens of a prompt: five bytes each, where it was four bytes; or of what was measured, on
other rows."""

InputSource = Literal["probe", "journal", "assumed"]
LatencySource = Literal["probe", "journal", "assumed", "unknown"]
PriceOrigin = Literal["list", "config", "none", "unknown"]


class ModelEstimate(Struct, frozen=True):
    """What a run with one model comes to.

    Args:
        model: as `-m` names it; `label` with its provider.
        counts: of rows, those that a probe has answered among the cached.
        calls: expected, re-asks included.
        call: what a row's calls use.
        input_source, output: where tokens are known from.
        price: where the price is known from: a list, the config file, "none" for a model in this process.
        latency_source: where the seconds of a call are known from.
        near: a model with a known price whose name is like this one's, where this one has none.
        thinks: the expected output holds an assumption about reasoning.
        server: where calls go, if that is not the provider's own; its list's prices are taken to hold there.
        note: what a user of the model should know, "" for nothing.
    """

    model: str
    label: str
    mode: str
    counts: Counts
    calls: float
    call: Call
    input_source: InputSource
    output: Measured
    cost: CostRange
    price: PriceOrigin
    pace: Pace
    time: RunTime
    latency_source: LatencySource
    request: Mapping[str, Any] | None
    messages: Sequence[Mapping[str, Any]]
    probe: Probe | None = None
    near: str | None = None
    thinks: bool = False
    server: str | None = None
    note: str = ""

    @property
    def input_tokens(self) -> int:
        """Of all calls, expected."""
        return round(self.calls * self.call.input)

    @property
    def output_tokens(self) -> int:
        """Of all calls, expected."""
        return round(self.calls * self.call.output)

    @property
    def planned(self) -> Planned:
        """What limits are compared with."""
        tokens = self.input_tokens + self.output_tokens
        worst = self.counts.calls * sum(usage.total_tokens for usage in self.call.worst)
        return Planned(
            self.model, self.counts.ask, self.cost, tokens, worst, self.call.set_aside.total_tokens
        )


class Estimate(Struct, frozen=True):
    """See the module.

    Args:
        census: what the input comes to.
        models: in the order in which they were named.
        chain: they answer one run together, the first one that is up; else each is a run of its own.
        budgets: limits that the settings name, and whether the run fits.
    """

    plan: Plan
    census: Census
    models: Sequence[ModelEstimate]
    prices: PriceSource
    budgets: Sequence[Fit]
    chain: bool = False

    @property
    def cheapest(self) -> ModelEstimate | None:
        """Of the models whose price is known, the one that is expected to cost least; None where none is known.

        Nor of a cascade: all of its models are one run, and none of them is there to be chosen.
        """
        if self.plan.settings.cascade:
            return None
        known = [(model.cost.expected, model) for model in self.models if model.cost.expected is not None]
        return min(known, key=lambda pair: pair[0])[1] if known else None

    @property
    def request(self) -> Mapping[str, Any] | None:
        """The body of the first request, to the first model; None where no row makes one."""
        return self.models[0].request

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """Those of the first prompt; none where no row makes one."""
        return self.models[0].messages


async def estimate(
    plan: Plan,
    *,
    talk: Talk,
    clock: Clock,
    stop: Stop,
    probe_rows: int = 0,
    chain: bool = False,
    asking: Callable[[], None] = lambda: None,
) -> Estimate:
    """Plan a run for each of the plan's models.

    Args:
        probe_rows: rows that each model is really asked about; 0 for none.
        chain: see `Estimate`.
        asking: called before the first row of a probe is asked about.

    Raises:
        UsageError: a model, an option or the schema is wrong.
        LlmxError: a probe was stopped.
    """
    async with candidates(plan, plan.settings.model, talk) as models:
        total = plan.source.total()
        if total is None or total > MANY:
            talk.say("reading the input to its end, to count what there is to do")
        counted = await census(plan, models, choose=probe_rows, together=chain)
        if any(counted.chosen):
            asking()
        estimates = []
        for model, counts, rows in zip(models, counted.counts, counted.chosen, strict=True):
            measured = await probe(model, rows, clock=clock, stop=stop, talk=talk) if rows else None
            estimates.append(_estimated(model, counts, measured))
        budgets = fits(plan, models[0].journal, [each.planned for each in estimates], time.time())
        return Estimate(plan, counted, estimates, price_source(), budgets, chain)


def _estimated(model: Candidate, counts: Counts, measured: Probe | None) -> ModelEstimate:
    past = history(model.plan, model.endpoint)
    answered = measured.answered if measured else _answered(model, past)
    rate = input_rate(answered)
    output, thinks = _output(model, past, measured)
    calls_each = _calls_each(past, measured, model.plan.settings.votes)
    call = _call(model, counts, rate, output, calls_each)
    if measured is not None:  # they are paid for
        counts = _without(counts, measured.ok, model.plan.settings.votes)
    calls = counts.calls * calls_each
    pace, latency_source = _pace(model, past, measured)
    origin = _price_origin(model)
    cost = costs(model.endpoint, counts.calls, call, listed=origin == "list")
    input_source: InputSource = "assumed" if rate is None else "probe" if measured else "journal"
    return ModelEstimate(
        model=model.spec,
        label=model.endpoint.label,
        mode=model.endpoint.mode,
        counts=counts,
        calls=calls,
        call=call,
        input_source=input_source,
        output=output,
        cost=cost,
        price=origin if cost.expected is not None else "unknown",
        pace=pace,
        time=run_time(calls, calls * (call.input + call.output), pace),
        latency_source=latency_source,
        request=model.request,
        messages=() if model.first is None else model.first.messages,
        probe=measured,
        near=_near(model) if cost.expected is None else None,
        thinks=thinks,
        server=model.endpoint.given,
        note=model.endpoint.note,
    )


def _answered(model: Candidate, past: History) -> list[Answered]:
    """What is known of answers to requests of this plan.

    They are in its journal, or in the cache if another run tells what they had used.
    """
    known = [
        Answered(size, *past.used[fingerprint], text)
        for fingerprint, (size, text) in model.stored.cached.items()
        if fingerprint in past.used
    ]
    return [*model.stored.answered, *known]


def _call(model: Candidate, counts: Counts, rate: float | None, output: Measured, calls_each: float) -> Call:
    settings, per_byte = model.plan.settings, tokens_of(1) if rate is None else rate
    cap = model.cap
    surely = SURELY_MEASURED if rate is not None else SURELY
    return Call(
        input=counts.size * per_byte,
        least_input=counts.size * per_byte * surely,
        most_input=counts.size + model.form + model.endpoint.injected,
        prefix=model.around * per_byte,
        short=min(output.low, output.mean),
        output=min(output.mean, cap) if cap else output.mean,
        cap=cap,
        raised=settings.max_output_tokens is None,
        calls=calls_each,
        reasks=settings.reasks,
    )


def _without(counts: Counts, answered: int, votes: int) -> Counts:
    """The counts once so many rows are answered."""
    calls = max(0, counts.calls - answered * votes)
    return replace(counts, ask=counts.ask - answered, calls=calls, cached=counts.cached + answered)


def _calls_each(past: History, measured: Probe | None, votes: int) -> float:
    """Calls for an answer, re-asks included; 1 where nobody has seen any."""
    if measured is not None and measured.rows:
        return max(1.0, 1 + measured.reasks / (measured.rows * votes))
    return 1 + past.reasks / past.questions if past.questions else 1.0


def _output(model: Candidate, past: History, measured: Probe | None) -> tuple[Measured, bool]:
    """Tokens of an answer by the best there is; and whether reasoning is assumed among them."""
    counted: list[tuple[Sequence[Answered] | None, OutputSource]] = [
        (measured.answered if measured else None, "probe"),
        (_answered(model, past), "journal"),
    ]
    for answers, source in counted:
        tokens = [each.output for each in answers or () if each.output]
        if (found := measured_output(tokens, source)) is not None:
            return found, False
    if (found := measured_output(past.output, "journal")) is not None:
        return found, False
    written = _written(model)
    thinks = reasons(model.endpoint.model) and not model.is_local
    return (replace(written, mean=written.mean + REASONING), True) if thinks else (written, False)


def _written(model: Candidate) -> Measured:
    """Tokens of an answer's text alone: as in the cache, as in the examples, or as the schema has it."""
    cached = measured_output([tokens_of(text) for _, text in model.stored.cached.values()], "cache")
    shown = [message for message in model.plan.prompt.prefix if message["role"] == "assistant"]
    examples = measured_output([tokens_of(len(str(each["content"]).encode())) for each in shown], "examples")
    size = answer_size(model.plan.asked.json_schema)
    by_schema = Measured(tokens_of(size.short), tokens_of(size.usual), "schema", 0)
    return cached or (replace(examples, low=by_schema.low) if examples else by_schema)


def _pace(model: Candidate, past: History, measured: Probe | None) -> tuple[Pace, LatencySource]:
    limits = model.limits
    rpm = limits.rpm if limits.rpm is not None or measured is None else measured.rpm
    tpm = limits.tpm if limits.tpm is not None or measured is None else measured.tpm
    latency, source = _latency(model, past, measured)
    return Pace(rpm, tpm, limits.start, latency), source


def _latency(model: Candidate, past: History, measured: Probe | None) -> tuple[float | None, LatencySource]:
    if measured is not None and measured.latency is not None:
        return measured.latency, "probe"
    if past.seconds:
        return median(past.seconds), "journal"
    return (None, "unknown") if model.is_local else (ASSUMED_LATENCY, "assumed")


def _price_origin(model: Candidate) -> PriceOrigin:
    if model.is_local:
        return "none"
    table = model.plan.settings.endpoints.get(model.spec)
    return "config" if table is not None and table.input_price is not None else "list"


def _near(model: Candidate) -> str | None:
    """A model with a known price that may have been meant, as `-m` would name it."""
    entry = CATALOG[model.endpoint.name]
    if model.endpoint.given is not None:  # a server of the user's own calls its models as it likes
        return None
    close = nearest(model.endpoint.model, [known.name for known in known_models(entry.prices)])
    return None if close is None or close == model.endpoint.model else f"{entry.name}/{close}"
