"""What calls will cost: from short answers to the worst that a run can come to, at the endpoint's own price.

Prices are asked for call by call, since some depend on how long a prompt is. Unknown is None, never 0.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from llmx.pricing import batch_price
from llmx.providers import Endpoint
from llmx.types import Usage

__all__ = ["Call", "CostRange", "costs"]

CACHED_FROM = 1024
"""Tokens of a common prefix from which providers keep it (https://platform.openai.com/docs/guides/prompt-caching)."""

KEEPS_BY_ITSELF = frozenset(
    {"openai", "azure_openai", "deepseek", "xai", "google", "gemini", "generative-ai", "vertexai"}
)
"""Providers that keep prefixes without being asked to; llmx asks none to."""


class Call(Struct, frozen=True):
    """What one row's calls use, on average.

    Args:
        input: tokens of the prompt, expected; `least_input` surely; `most_input` at most: no tokenizer makes more tokens
            than there are bytes.
        prefix: those of the expected that all prompts begin with.
        short, output: tokens of a short answer, and expected.
        cap: of an answer at most; `raised` whether one that is cut is asked for once more with twice that.
        calls: for a row, expected: more than 1 by re-asks.
        reasks: further calls of a row at most.
    """

    input: float
    least_input: float
    most_input: float
    prefix: float
    short: float
    output: float
    cap: int
    raised: bool
    calls: float
    reasks: int

    @property
    def set_aside(self) -> Usage:
        """What a budget sets aside for the first call of a row before it is sent: the most that it can use."""
        return _usage(self.most_input, self.cap)

    @property
    def worst(self) -> list[Usage]:
        """The calls of a row for which everything goes wrong.

        Every answer is as long as its cap, which once it was raised stays so, and every re-ask shows the model its
        answers, with as much again about each.
        """
        used = []
        for number in range(1 + self.reasks):
            cap = self.cap * (2 if self.raised and number else 1)
            used.append(_usage(self.most_input + 2 * number * cap, cap))
        return used


class CostRange(Struct, frozen=True):
    """US dollars for all calls of a run, None where no price is known.

    Args:
        low: short answers, no re-ask, and the common prefix read from the provider's cache where it keeps one.
        expected: as far as is known.
        worst: no run costs more, calls aside that are sent again because they were not answered.
        prefix_cached: expected, with the common prefix from the provider's cache; None where it keeps none.
        batch: expected, in the provider's batch lane; None where the price list has no price of that.
        set_aside: the most that one call can cost, which budgets set aside before it is sent.
    """

    low: Decimal | None
    expected: Decimal | None
    worst: Decimal | None
    prefix_cached: Decimal | None = None
    batch: Decimal | None = None
    set_aside: Decimal | None = None


def costs(endpoint: Endpoint, rows: int, call: Call, *, listed: bool) -> CostRange:
    """What a run over so many rows costs.

    Args:
        listed: the price is the price list's, not the user's.
    """
    usual = _usage(call.input, call.output)
    expected = _times(endpoint.price(endpoint.model, usual), rows * call.calls)
    if expected is None:
        return CostRange(None, None, None)
    if not rows:
        return CostRange(Decimal(0), Decimal(0), Decimal(0))
    kept = call.prefix if _keeps(endpoint, call) else 0
    least = _usage(call.least_input, call.short, min(kept, call.least_input))
    low = _times(endpoint.price(endpoint.model, least), rows)
    worst = [endpoint.price(endpoint.model, usage) for usage in call.worst]
    cached = _times(endpoint.price(endpoint.model, _usage(call.input, call.output, kept)), rows * call.calls)
    batch = batch_price(endpoint.model, endpoint.prices, None, usual) if listed else None
    return CostRange(
        low=low,
        expected=expected,
        worst=None if None in worst else _times(sum((each for each in worst if each), Decimal(0)), rows),
        prefix_cached=cached if cached is not None and cached < expected else None,
        batch=_times(batch, rows * call.calls),
        set_aside=endpoint.price(endpoint.model, call.set_aside),
    )


def _keeps(endpoint: Endpoint, call: Call) -> bool:
    return call.prefix >= CACHED_FROM and endpoint.name in KEEPS_BY_ITSELF


def _usage(read: float, written: float, cached: float = 0) -> Usage:
    return Usage(round(read), round(written), round(cached))


def _times(cost: Decimal | None, count: float) -> Decimal | None:
    return None if cost is None else cost * Decimal(repr(count))
