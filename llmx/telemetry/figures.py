"""What is counted of runs: a table of figures, each with its names in Prometheus and in OpenTelemetry.

Labels are bounded by what the operator has configured and by what this program can do: endpoints, models, outcomes, sources,
types of errors. Nothing that comes from rows or from a model's server is ever one.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["ATTRIBUTES", "FIGURES", "SECONDS", "TOKENS", "Figure", "FigureName"]

FigureName = Literal[
    "cached_tokens",
    "calls",
    "circuit_open",
    "circuit_openings",
    "cost",
    "escalations",
    "fallbacks",
    "hedges",
    "in_flight",
    "pauses",
    "reasks",
    "retries",
    "rows",
    "runs",
    "runs_in_progress",
    "tokens",
    "unpriced_calls",
    "waiting",
]


class Figure(Struct, frozen=True):
    """One figure.

    Args:
        name: how the code calls it.
        prometheus: its name there, without the `_total` of a counter (https://prometheus.io/docs/practices/naming/).
        otel: its name there (https://opentelemetry.io/docs/specs/semconv/general/naming/); "" where a histogram tells it.
        unit: in UCUM, as OpenTelemetry has it.
        labels: what it is told apart by.
        rises: it is a counter, and not a gauge.
    """

    name: FigureName
    prometheus: str
    otel: str
    unit: str
    labels: tuple[str, ...]
    help: str
    rises: bool = True


_ENDPOINT = ("endpoint", "model")

FIGURES = (
    Figure(
        "rows",
        "llmx_rows",
        "llmx.rows",
        "{row}",
        ("outcome", "source", "error_type"),
        "Rows that have ended, by how; of those that are ok, by who gave the answer.",
    ),
    Figure(
        "calls",
        "llmx_calls",
        "",
        "{call}",
        (*_ENDPOINT, "outcome", "error_type"),
        "Calls that came back, with an answer or without.",
    ),
    Figure(
        "tokens",
        "llmx_tokens",
        "",
        "{token}",
        (*_ENDPOINT, "direction"),
        "Tokens of answered calls; input includes what the provider had cached.",
    ),
    Figure(
        "cached_tokens",
        "llmx_cached_tokens",
        "llmx.cached_tokens",
        "{token}",
        _ENDPOINT,
        "Input tokens that the provider read from its cache; included in the input tokens.",
    ),
    Figure(
        "cost",
        "llmx_cost_dollars",
        "llmx.cost",
        "{USD}",
        _ENDPOINT,
        "US dollars that answered calls have cost, as far as their price is known.",
    ),
    Figure(
        "unpriced_calls",
        "llmx_unpriced_calls",
        "llmx.unpriced_calls",
        "{call}",
        _ENDPOINT,
        "Calls that may have been billed, and of which nobody knows how much.",
    ),
    Figure(
        "retries",
        "llmx_retries",
        "llmx.retries",
        "{retry}",
        _ENDPOINT,
        "Requests sent that had failed, or were refused, before.",
    ),
    Figure(
        "reasks",
        "llmx_reasks",
        "llmx.reasks",
        "{reask}",
        ("error_type",),
        "Answers that did not fit and were asked for again, by what was wrong with them.",
    ),
    Figure(
        "fallbacks",
        "llmx_fallbacks",
        "llmx.fallbacks",
        "{row}",
        _ENDPOINT,
        "Rows that went on to this endpoint from another.",
    ),
    Figure(
        "hedges", "llmx_hedges", "llmx.hedges", "{call}", _ENDPOINT, "Slow calls that were sent once more."
    ),
    Figure(
        "escalations",
        "llmx_escalations",
        "llmx.escalations",
        "{row}",
        _ENDPOINT,
        "Rows of a cascade for which this endpoint's answer would not do.",
    ),
    Figure(
        "pauses",
        "llmx_pauses",
        "llmx.rate_limit.pauses",
        "{pause}",
        (*_ENDPOINT, "reason"),
        "Times that a server held all calls.",
    ),
    Figure(
        "circuit_openings",
        "llmx_circuit_openings",
        "llmx.circuit.openings",
        "{opening}",
        _ENDPOINT,
        "Times that a circuit opened; an open one that failed its probe counts again.",
    ),
    Figure(
        "runs", "llmx_runs", "llmx.runs", "{run}", ("outcome",), "Runs that have ended: complete, or stopped."
    ),
    Figure(
        "runs_in_progress",
        "llmx_runs_in_progress",
        "llmx.runs_in_progress",
        "{run}",
        (),
        "Runs that go on now.",
        rises=False,
    ),
    Figure(
        "in_flight",
        "llmx_in_flight",
        "llmx.in_flight",
        "{call}",
        _ENDPOINT,
        "Calls that are out now.",
        rises=False,
    ),
    Figure(
        "circuit_open",
        "llmx_circuit_open",
        "llmx.circuit.open",
        "{run}",
        _ENDPOINT,
        "Runs whose circuit to this endpoint is open now.",
        rises=False,
    ),
    Figure(
        "waiting",
        "llmx_rate_limit_waiting",
        "llmx.rate_limit.waiting",
        "{run}",
        (*_ENDPOINT, "limit"),
        "Runs whose requests wait for this limit now.",
        rises=False,
    ),
)

ATTRIBUTES = {
    "endpoint": "llmx.endpoint",
    "model": "gen_ai.request.model",
    "outcome": "llmx.outcome",
    "source": "llmx.source",
    "error_type": "error.type",
    "direction": "gen_ai.token.type",
    "reason": "llmx.pause.reason",
    "limit": "llmx.limit",
}
"""What labels are called in OpenTelemetry."""

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Upper bounds of calls' seconds, as the conventions for GenAI metrics have them for `gen_ai.client.operation.duration`
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/)."""

TOKENS = tuple(4**power for power in range(14))
"""Upper bounds of calls' tokens, from 1 to 67,108,864, as the same conventions have them for `gen_ai.client.token.usage`."""
