"""A plan for people: a table of models side by side, what limits make of it, and how each figure is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llmx.cli.tables import aligned
from llmx.text import dollars, plural

if TYPE_CHECKING:
    from llmx.estimates import Estimate, ModelEstimate
    from llmx.estimates.budgets import Fit
    from llmx.estimates.probe import Probe
    from llmx.pricing import PriceSource

__all__ = ["figures", "footnotes", "prompt_lines"]

HEAD = ["model", "to ask", "in/row", "out/row", "low", "expected", "worst", "time", "waits on"]
RIGHT = range(1, 8)

LONGEST = 4_000
"""Characters of a message that are shown."""

_BOTTLENECKS = {"concurrency": "calls in flight", "rpm": "--rpm", "tpm": "--tpm", "": ""}

_INPUT = {
    "probe": "measured by the probe",
    "journal": "measured on stored answers to these very prompts",
    "assumed": "4 bytes each (no answer has been measured)",
}

_OUTPUT = {
    "probe": "{answers} of the probe",
    "journal": "{answers} in journals of this schema",
    "cache": "{answers} in the cache",
    "examples": "the --examples ({answers})",
    "schema": "the schema's fields alone",
}


def figures(estimate: Estimate) -> list[str]:
    """Rows, the table of models, what is cheapest, and the limits."""
    table = aligned(HEAD, [_cells(model) for model in estimate.models], right=RIGHT)
    verdicts = list(_verdicts(estimate))
    return [_rows_line(estimate), "", *table, *([""] if verdicts else []), *verdicts]


def _rows_line(estimate: Estimate) -> str:
    census = estimate.census
    about = "" if census.exact else "about "
    bad = f", {census.unreadable:,} of them unreadable" if census.unreadable else ""
    line = f"{plural(census.rows, 'row')}{bad}"
    of_each = {model.model: _fates(model, about) for model in estimate.models}
    if len(set(of_each.values())) == 1:
        return f"{line}: {next(iter(of_each.values()))}"
    return "; ".join([line, *(f"{name}: {fates}" for name, fates in of_each.items())])


def _fates(model: ModelEstimate, about: str) -> str:
    counts = model.counts
    rest = {
        "like one of those": counts.alike,
        "cached": counts.cached,
        "done already": counts.done,
        "that fail before they are sent": counts.fails,
    }
    return ", ".join(
        [f"{about}{counts.ask:,} to ask about", *(f"{n:,} {what}" for what, n in rest.items() if n)]
    )


def _cells(model: ModelEstimate) -> list[str]:
    from llmx.report.summary import duration

    cost, seconds = model.cost, model.time.seconds
    return [
        model.model,
        f"{model.counts.ask:,}",
        f"{model.call.input:,.0f}",
        f"{model.call.output:,.0f}",
        *(_money(amount) for amount in (cost.low, cost.expected, cost.worst)),
        "unknown" if seconds is None else duration(seconds),
        _BOTTLENECKS[model.time.bottleneck],
    ]


def _money(amount: Decimal | None) -> str:
    return "unknown" if amount is None else dollars(amount)


def _verdicts(estimate: Estimate) -> Iterator[str]:
    cheapest = estimate.cheapest
    if cheapest is not None and len(estimate.models) > 1:
        unknown = [model.model for model in estimate.models if model.cost.expected is None]
        besides = f" (of those with a known price; not of {', '.join(unknown)})" if unknown else ""
        yield f"cheapest: {cheapest.model}, {_money(cheapest.cost.expected)} expected{besides}"
    for model in estimate.models:
        yield from _discounts(model)
    for fit in estimate.budgets:
        yield _limit_line(fit)


def _discounts(model: ModelEstimate) -> Iterator[str]:
    if model.cost.prefix_cached is not None:
        yield (
            f"{model.model}: {_money(model.cost.prefix_cached)} expected if the provider keeps the "
            f"{model.call.prefix:,.0f} tokens that all prompts begin with"
        )
    if model.cost.batch is not None and model.counts.ask:
        yield f"{model.model}: {_money(model.cost.batch)} expected at the prices of the provider's batch lane"


def _limit_line(fit: Fit) -> str:
    amount = _money if fit.unit == "USD" else _tokens
    enough = f"enough for about {plural(fit.rows, 'row')}" if fit.rows else "not enough for one"
    words = {
        "yes": f"fits whatever happens: at most {amount(fit.worst)}",
        "expected": f"is expected to fit: {amount(fit.expected)}, at worst {amount(fit.worst)}",
        "no": f"does not fit: {amount(fit.expected)} expected, {amount(fit.set_aside)} set aside for each call; {enough}",
        "unknown": "would be refused: its price is not known",
    }
    return f"{fit.limit}, {amount(fit.left)} left: {fit.model} {words[fit.verdict]}"


def _tokens(count: Decimal | None) -> str:
    return "unknown" if count is None else f"{count:,.0f} tokens"


def footnotes(estimate: Estimate) -> list[str]:
    """How each figure is known, and what may be wrong with it."""
    notes = [note for model in estimate.models for note in _of_model(model)]
    census = estimate.census
    if not census.exact:
        notes.append("rows were looked at in part, and counts of them scaled up")
    if census.cut is not None:
        notes.append(f"the input could not be read to its end: {census.cut}")
    if any(model.price == "list" for model in estimate.models):
        notes.append(f"{_source_words(estimate.prices)}; {_BOUNDS}")
    settings = estimate.plan.settings
    if settings.offline:
        notes.append("--offline: rows to ask about fail instead, and nothing is spent")
    if settings.votes > 1:
        notes.append(f"tokens are those of one call; a row takes {settings.votes} (--votes)")
    if settings.cascade:
        notes.append(_cascade_words(estimate))
    elif estimate.chain:
        notes.append("one run: each model is shown as if all rows went to it")
    return notes


_BOUNDS = (
    "low: shorter prompts and answers, no re-ask; worst: every answer as long as --max-output-tokens allows, every "
    "re-ask used"
)


def _source_words(prices: PriceSource) -> str:
    dated = f", newest dated price {prices.dated}" if prices.dated else ""
    return f"prices: {prices.name} {prices.version}{dated}"


def _cascade_words(estimate: Estimate) -> str:
    first, costs = estimate.models[0], [model.cost.expected for model in estimate.models]
    words = f"--cascade: rows go on only where {first.model}'s answer will not do"
    if None in costs:
        return words
    every = sum((cost for cost in costs if cost is not None), Decimal(0))
    return f"{words}: from {_money(costs[0])}, where all will, to {_money(every)}, where none will"


def _of_model(model: ModelEstimate) -> Iterator[str]:
    yield f"{model.model}: input tokens {_INPUT[model.input_source]}; output tokens from {_output_words(model)}"
    if model.thinks:
        yield f"{model.model} reasons before it answers: {_assumed()} output tokens a row are assumed for that; --probe measures"
    if model.price == "unknown":
        meant = f"; did you mean {model.near}?" if model.near else ""
        yield f"the price of {model.label} is not known{meant}"
    if model.price == "list" and model.server is not None:
        yield f"{model.server} is taken to cost what {model.label} does by its provider's list"
    if model.price == "config":
        yield f"the price of {model.model} is the config file's"
    yield f"{model.model}: {_time_words(model)}"
    if model.probe is not None:
        yield f"{model.model}: {_probe_words(model.probe)}"
    if model.note:
        yield model.note


def _assumed() -> int:
    from llmx.estimates.estimate import REASONING

    return REASONING


def _output_words(model: ModelEstimate) -> str:
    return _OUTPUT[model.output.source].format(answers=plural(model.output.answers, "answer"))


def _time_words(model: ModelEstimate) -> str:
    pace = model.pace
    how = {
        "probe": "measured by the probe",
        "journal": "as rows took in earlier runs",
        "assumed": "assumed",
        "unknown": "",
    }[model.latency_source]
    unknown = "how long a call takes is unknown"
    latency = unknown if pace.latency is None else f"{pace.latency:.2g} s a call, {how}"
    if model.price == "none":
        return latency
    limits = [f"{value:,.0f} {name}" for name, value in (("rpm", pace.rpm), ("tpm", pace.tpm)) if value]
    return f"{latency}; {pace.concurrency} in flight; {' and '.join(limits) or 'no limit per minute known'}"


def _probe_words(probe: Probe) -> str:
    parts = [f"the probe asked about {plural(probe.rows, 'row')}: {probe.ok} ok, {probe.failed} failed"]
    parts += [f"{plural(probe.reasks, 're-ask')}"] if probe.reasks else []
    for name, found in (("in", probe.input), ("out", probe.output)):
        if found is not None:
            width = "" if found.low is None else f" ({found.low:,.0f} to {found.high or 0:,.0f} at 95 %)"
            parts.append(f"tokens a row {name}: {found.mean:,.0f}{width}")
    return ", ".join([*parts, "cost unknown" if probe.cost is None else dollars(probe.cost)])


def prompt_lines(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The first prompt, message by message."""
    yield "the first prompt:"
    for message in messages:
        text = str(message.get("content", ""))
        more = f"… ({len(text):,} characters in all)" if len(text) > LONGEST else ""
        yield f"--- {message.get('role', '')}"
        yield text[:LONGEST] + more
