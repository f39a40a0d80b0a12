"""Whether a run fits the limits that it is given: `--max-cost`, `--max-tokens`, `--budget`.

What earlier sessions of the output have spent counts against the first two, as it does in a run. So does that the most a
call can use is set aside before it is sent: a limit must have room for that, too, until the last call. Nothing is reserved here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from msgspec import Struct

from llmx.budget_file import budget_file
from llmx.budgets import spent
from llmx.estimates.money import CostRange
from llmx.journal import JournalView
from llmx.planning import Plan

__all__ = ["Fit", "Planned", "Verdict", "fits"]

Verdict = Literal["yes", "expected", "no", "unknown"]
"""Whatever happens; unless it comes worse than expected; not even then; nobody knows the price."""


class Fit(Struct, frozen=True):
    """One limit, and one model.

    Args:
        limit: its option, such as "--max-cost".
        unit: of the amounts: US dollars, or tokens in and out together.
        left: of the limit, what was spent before being taken off.
        expected, worst: of the run; None when unknown.
        set_aside: for each call before it is sent; None when unknown.
        planned: rows that are to be asked about.
    """

    limit: str
    model: str
    unit: Literal["USD", "tokens"]
    left: Decimal
    expected: Decimal | None
    worst: Decimal | None
    set_aside: Decimal | None
    planned: int

    @property
    def rows(self) -> int | None:
        """How many rows are expected to be asked about before the limit is reached; None where all are, or nobody knows."""
        if self.expected is None or self.set_aside is None or not self.planned:
            return None
        if self.left < self.set_aside:
            return 0
        each = self.expected / self.planned
        rows = self.planned if not each else 1 + int((self.left - self.set_aside) / each)
        return rows if rows < self.planned else None

    @property
    def verdict(self) -> Verdict:
        """Whether the run fits."""
        if self.expected is None:
            return "unknown"
        if self.rows is not None:
            return "no"
        return "yes" if self.worst is not None and self.worst <= self.left else "expected"


class Planned(Struct, frozen=True):
    """What is looked at of a model's plan.

    Args:
        rows: that are asked about.
        cost: of them all.
        tokens, worst_tokens: in and out together, expected and at most.
        set_aside: tokens of one call at most.
    """

    model: str
    rows: int
    cost: CostRange
    tokens: int
    worst_tokens: int
    set_aside: int


class _Limit(Struct, frozen=True):
    option: str
    unit: Literal["USD", "tokens"]
    left: Decimal


def fits(plan: Plan, journal: JournalView | None, models: Sequence[Planned], now: float) -> list[Fit]:
    """Every limit of the settings beside every model.

    Args:
        journal: of earlier sessions of the output.
        now: seconds since the epoch.

    Raises:
        UsageError: the budget limits nothing.
        OutputFailed: what was spent of it cannot be read.
    """
    limits = [*_caps(plan, journal), *_named(plan, now)]
    return [_fit(limit, model) for limit in limits for model in models]


def _caps(plan: Plan, journal: JournalView | None) -> list[_Limit]:
    settings, found = plan.settings, list[_Limit]()
    totals = None if journal is None else journal.totals
    if settings.max_cost is not None:
        before = Decimal(0) if totals is None else totals.cost or Decimal(0)
        found.append(_Limit("--max-cost", "USD", max(Decimal(0), settings.max_cost - before)))
    if settings.max_tokens is not None:
        used = 0 if totals is None else totals.input_tokens + totals.output_tokens
        found.append(_Limit("--max-tokens", "tokens", Decimal(max(0, settings.max_tokens - used))))
    return found


def _named(plan: Plan, now: float) -> list[_Limit]:
    name = plan.settings.budget
    table = None if name is None else plan.settings.budgets.get(name)
    if name is None or table is None:  # that there is none of this name, connecting has told
        return []
    limits = table.limits(name)
    (state,) = spent(budget_file(plan.env.home), {name: limits}, now)
    cost, tokens = limits.left(state.cost, state.tokens)
    found = [] if cost is None else [_Limit(f"--budget {name}", "USD", cost)]
    return found if tokens is None else [*found, _Limit(f"--budget {name}", "tokens", Decimal(tokens))]


def _fit(limit: _Limit, model: Planned) -> Fit:
    cost = model.cost
    expected, worst, set_aside = (
        (cost.expected, cost.worst, cost.set_aside)
        if limit.unit == "USD"
        else (Decimal(model.tokens), Decimal(model.worst_tokens), Decimal(model.set_aside))
    )
    return Fit(limit.option, model.model, limit.unit, limit.left, expected, worst, set_aside, model.rows)
