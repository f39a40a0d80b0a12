"""What tells one run's questions from another's, as digests; and what its endpoints charge, for the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from llmx.planning import Plan
from llmx.providers import Endpoint
from llmx.records import to_json
from llmx.types import Usage

__all__ = ["dearest", "digest_of", "hashes", "prices"]


def dearest(endpoints: Sequence[Endpoint], tokens: int) -> Decimal:
    """US dollars for so many tokens of which nobody knows what they were: all of them what is dearest."""
    if not tokens:
        return Decimal(0)
    usages = (Usage(input_tokens=tokens), Usage(output_tokens=tokens))
    prices = [endpoint.price(endpoint.model, usage) for endpoint in endpoints for usage in usages]
    return max((price for price in prices if price is not None), default=Decimal(0))


def hashes(plan: Plan, endpoints: Sequence[Endpoint]) -> dict[str, str]:
    """By name, a digest of each thing that all requests of a run share."""
    settings = plan.settings
    enough = plan.enough if settings.cascade else None  # else it only says which rows a person should look at
    several = [settings.votes, settings.logprobs, enough, bool(settings.cascade), settings.require_evidence]
    beside = [] if several == [1, False, None, False, False] else several
    params = [[endpoint.mode, settings.temperature, settings.spans, *beside] for endpoint in endpoints]
    return {
        "schema": plan.asked.fingerprint,
        "prompt": digest_of(plan.question),
        "model": _digest_of_chain([endpoint.model for endpoint in endpoints]),
        "server": _digest_of_chain([endpoint.id for endpoint in endpoints]),
        "params": _digest_of_chain(params),
    }


def _digest_of_chain(values: Sequence[Any]) -> str:
    """Of one endpoint, its own; each of several counts once: a second key asks no other question."""
    different = [value for number, value in enumerate(values) if value not in values[:number]]
    return digest_of(different[0] if len(different) == 1 else different)


def prices(endpoint: Endpoint) -> list[str | None]:
    """What a million tokens in, and out, cost today."""
    million = (Usage(input_tokens=1_000_000), Usage(output_tokens=1_000_000))
    costs = [endpoint.price(endpoint.model, usage) for usage in million]
    return [None if cost is None else str(Decimal(cost)) for cost in costs]


def digest_of(value: Any) -> str:
    """A digest of what is JSON, in hex; the order of its names does not matter."""
    return hashlib.sha256(to_json(value, sort_keys=True)).hexdigest()
