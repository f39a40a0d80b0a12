"""A plan as JSON, for machines: the document of `llmx estimate --json`, described in docs/planning.md.

Numbers are not rounded but for tokens and rows, which are counts; money is US dollars; null is unknown, never 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from msgspec.structs import asdict

from llmx.estimates.budgets import Fit
from llmx.estimates.estimate import Estimate, ModelEstimate
from llmx.estimates.probe import Probe
from llmx.estimates.tokens import Interval

__all__ = ["document"]

VERSION = 1
"""Of the document's form."""


def document(estimate: Estimate) -> dict[str, Any]:
    """The plan, see docs/planning.md."""
    census, cheapest = estimate.census, estimate.cheapest
    return {
        "version": VERSION,
        "rows": {
            "total": census.rows,
            "unreadable": census.unreadable,
            "exact": census.exact,
            "cut": None if census.cut is None else str(census.cut),
        },
        "schema": estimate.plan.schema.name,
        "chain": estimate.chain,
        "prices": asdict(estimate.prices),
        "models": [_model(model) for model in estimate.models],
        "cheapest": None if cheapest is None else cheapest.model,
        "limits": [_fit(fit) for fit in estimate.budgets],
        "request": estimate.request,
    }


def _model(model: ModelEstimate) -> dict[str, Any]:
    counts, call, cost = model.counts, model.call, model.cost
    return {
        "model": model.model,
        "label": model.label,
        "mode": model.mode,
        "rows": {
            "ask": counts.ask,
            "alike": counts.alike,
            "cached": counts.cached,
            "done": counts.done,
            "fails": counts.fails,
        },
        "calls": round(model.calls),
        "tokens": {
            "input": model.input_tokens,
            "output": model.output_tokens,
            "input_per_row": call.input,
            "output_per_row": call.output,
            "output_short": call.short,
            "output_cap": call.cap,
            "input_from": model.input_source,
            "output_from": model.output.source,
            "output_answers": model.output.answers,
            "reasoning_assumed": model.thinks,
            "prefix": call.prefix,
        },
        "cost": {
            "low": _number(cost.low),
            "expected": _number(cost.expected),
            "worst": _number(cost.worst),
            "prefix_cached": _number(cost.prefix_cached),
            "batch": _number(cost.batch),
            "price_from": model.price,
        },
        "time": {
            "seconds": model.time.seconds,
            "bottleneck": model.time.bottleneck or None,
            **asdict(model.pace),
            "latency_from": model.latency_source,
        },
        "probe": None if model.probe is None else _probe(model.probe),
        "did_you_mean": model.near,
    }


def _probe(probe: Probe) -> dict[str, Any]:
    return {
        "rows": probe.rows,
        "ok": probe.ok,
        "failed": probe.failed,
        "calls": probe.calls,
        "reasks": probe.reasks,
        "input_tokens": _interval(probe.input),
        "output_tokens": _interval(probe.output),
        "latency": probe.latency,
        "cost": _number(probe.cost),
        "rpm": probe.rpm,
        "tpm": probe.tpm,
        "errors": probe.errors,
    }


def _interval(found: Interval | None) -> dict[str, Any] | None:
    return None if found is None else {"mean": found.mean, "ci95": [found.low, found.high]}


def _fit(fit: Fit) -> dict[str, Any]:
    return {
        "limit": fit.limit,
        "unit": fit.unit,
        "model": fit.model,
        "left": _number(fit.left),
        "expected": _number(fit.expected),
        "worst": _number(fit.worst),
        "set_aside": _number(fit.set_aside),
        "fits": fit.verdict,
        "rows": fit.rows,
    }


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
