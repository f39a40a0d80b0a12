"""`llmx budget`: what has been spent of the budgets of the config file, and when more frees up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmx.cli.tables import aligned
from llmx.environment import Environment
from llmx.errors import OutputFailed, UsageError
from llmx.text import harmless, nearest, plural

if TYPE_CHECKING:
    from llmx.budgets import BudgetState, Daily

__all__ = ["budget", "show_budgets"]

HEAD = ["budget", "cost", "tokens", "in flight", "left", "more frees up"]

HOW = "write one into llmx.toml or the user's config file: [budget.NAME], and below it daily-cost = 5 or daily-tokens = 1000000"


def budget(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One budget; without it, all of them.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON list.")] = False,
) -> int:
    """What the last 24 hours have cost of each named budget, what is left, and when more frees up.

    What calls in flight may come to counts until they are answered.
    """
    from llmx.config import load_budgets

    env: Environment = context.obj
    return show_budgets(load_budgets(env), env, name, as_json)


def show_budgets(
    budgets: Mapping[str, Daily],
    env: Environment,
    name: str | None,
    as_json: bool,
    *,
    now: Callable[[], float] = time.time,
) -> int:
    """Print how budgets stand; returns the exit code.

    Args:
        budgets: limits by name.
        name: the only one to show; None for all.
        now: seconds since the epoch.

    Raises:
        UsageError: there is no budget of that name.
        OutputFailed: what was spent cannot be read, or nothing can be printed.
    """
    from llmx.budget_file import budget_file
    from llmx.budgets import spent
    from llmx.records import to_json

    if env.stdout.closed:
        raise OutputFailed("cannot write 'stdout': it is closed")
    moment = now()
    states = spent(budget_file(env.home), _chosen(budgets, name), moment)
    if as_json:
        lines = [to_json([_described(state) for state in states]).decode()]
    else:
        lines = aligned(HEAD, [_cells(state, moment) for state in states]) if states else []
    env.stdout.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
    env.stdout.flush()
    if not states:
        print(f"no budgets\nhint: {HOW}", file=env.stderr)
    return 0


def _chosen(budgets: Mapping[str, Daily], name: str | None) -> Mapping[str, Daily]:
    if name is None:
        return budgets
    if name not in budgets:
        close = nearest(name, budgets)
        hint = f"llmx budget {close}" if close else "`llmx budget` lists all" if budgets else HOW
        raise UsageError(f"no budget is named {name!r}", hint=hint)
    return {name: budgets[name]}


def _cells(state: BudgetState, moment: float) -> list[str]:
    from llmx.report.summary import money

    limits, (cost_left, tokens_left) = state.limits, state.left
    cost, tokens = money(state.cost), f"{state.tokens:,}"
    left = []
    if cost_left is not None:
        cost += f" of {money(limits.cost)}"
        left.append(money(cost_left))
    if tokens_left is not None:
        tokens += f" of {limits.tokens:,}"
        left.append(plural(tokens_left, "token"))
    held = [money(state.held_cost)] if state.held_cost and cost_left is not None else []
    held += [plural(state.held_tokens, "token")] if state.held_tokens and tokens_left is not None else []
    frees = _frees(state.frees_at, moment)
    return [harmless(state.name), cost, tokens, ", ".join(held), ", ".join(left), frees]


def _frees(frees_at: float | None, moment: float) -> str:
    """`14:05, in 3h 12m`, in local time; empty when nothing is spent."""
    if frees_at is None:
        return ""
    # To the minute, and up: whoever comes back then finds it done.
    hours, minutes = divmod(math.ceil((frees_at - moment) / 60), 60)
    wait = f"{hours}h {minutes:02d}m" if hours else f"{minutes}m"
    return f"{datetime.fromtimestamp(frees_at):%H:%M}, in {wait}"


def _described(state: BudgetState) -> dict[str, Any]:
    """For machines: dollars as text that loses no digit; the time as ISO 8601, UTC."""
    frees_at, (cost_left, tokens_left) = state.frees_at, state.left
    return {
        "budget": state.name,
        "cost": _plain(state.cost),
        "tokens": state.tokens,
        "cost_in_flight": _plain(state.held_cost),
        "tokens_in_flight": state.held_tokens,
        "daily_cost": _plain(state.limits.cost),
        "daily_tokens": state.limits.tokens,
        "cost_left": _plain(cost_left),
        "tokens_left": tokens_left,
        "frees_at": None if frees_at is None else datetime.fromtimestamp(frees_at, UTC).isoformat(),
    }


def _plain(cost: Decimal | None) -> str | None:
    """Without an exponent or idle zeros."""
    return None if cost is None else f"{cost.normalize():f}"
