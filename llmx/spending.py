"""The budgets of one run: its own caps, and the named ones that outlive it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from llmx.budgets import Daily, NamedBudget, Reservation, budget_file
from llmx.errors import BudgetReached, OutputFailed, UsageError
from llmx.events import BudgetChanged, Observer
from llmx.layers.budget import Allowance, Amount, Spending
from llmx.layers.stop import Stop
from llmx.settings import Settings
from llmx.text import dollars, nearest

__all__ = ["Outstanding", "Spent", "counts_money", "spending"]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Spent:
    """What earlier sessions of the same output have spent, calls that may have been billed at their worst case.

    Args:
        cost: US dollars, None when unknown.
    """

    cost: Decimal | None = ZERO
    tokens: int = 0


Outstanding = Callable[[Decimal, int], None]
"""Told the most in US dollars and tokens that calls may come to which are in flight or were not answered; before it
is so, if it is more than was told before."""


class _Caps:
    """`--max-cost` and `--max-tokens`: of this output, over all its sessions.

    What is in flight when the process is killed may be billed and is never settled. So the most that it may come to is
    written down before it does, with some room, which is a few dozen times in a run.
    """

    ROOM = Decimal("1.25")

    def __init__(self, cost: Decimal | None, tokens: int | None, spent: Spent, note: Outstanding) -> None:
        self._limits = (cost, tokens)
        self._spent: list[Any] = [spent.cost or ZERO, spent.tokens]
        self._out: list[Any] = [ZERO, 0]
        self._unanswered: list[Any] = [ZERO, 0]
        self._noted: list[Any] = [ZERO, 0]
        self._note = note

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """Of cost and tokens, what calls in flight may come to aside; None without a limit."""
        cost, tokens = (
            None if limit is None else max(limit * 0, limit - spent)
            for limit, spent in zip(self._limits, self._spent, strict=True)
        )
        return cost, tokens

    def reserve(self, amount: Amount) -> Amount | None:
        """See `Allowance.reserve`."""
        asked = (amount.cost or ZERO, amount.tokens)
        out = [a + b for a, b in zip(self._out, asked, strict=True)]
        for limit, spent, more in zip(self._limits, self._spent, out, strict=True):
            if limit is not None and spent + more > limit:
                return None
        self._out = out
        open_ = [a + b for a, b in zip(out, self._unanswered, strict=True)]
        if any(now > noted for now, noted in zip(open_, self._noted, strict=True)):
            self._noted = [self._with_room(kind, now) for kind, now in enumerate(open_)]
            self._note(*self._noted)
        return amount

    def _with_room(self, kind: int, amount: Any) -> Any:
        """Somewhat more than `amount`, as far as the limit allows any."""
        limit, more = self._limits[kind], amount * self.ROOM if kind == 0 else int(amount * self.ROOM)
        return more if limit is None else max(amount, min(more, limit - self._spent[kind]))

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        """See `Allowance.settle`."""
        used = (amount.cost or ZERO, amount.tokens)
        for kind, aside in enumerate((reservation.cost or ZERO, reservation.tokens)):
            self._out[kind] -= aside
            self._spent[kind] += used[kind]
            self._unanswered[kind] += 0 if counted else used[kind]

    def close(self) -> None:
        """Nothing is in flight any more."""
        self._note(*self._unanswered)

    def refusal(self, amount: Amount) -> BudgetReached:
        """See `Allowance.refusal`."""
        cost, tokens = self._limits
        if cost is not None and self._spent[0] + (amount.cost or ZERO) > cost:
            so_far = f"--max-cost {dollars(cost)}: {dollars(self._spent[0])} spent"
            next_ = f"up to {dollars(amount.cost or ZERO)}"
            hint = "a higher --max-cost, or a lower --max-output-tokens, which bounds what a call may cost"
        else:
            so_far = f"--max-tokens {tokens:,}: {self._spent[1]:,} spent"
            next_ = f"up to {amount.tokens:,} tokens"
            hint = "a higher --max-tokens, or a lower --max-output-tokens, which bounds what a call may use"
        return BudgetReached(f"{so_far}, and the next call may take {next_}", hint=hint)


class _Named:
    """`--budget NAME`."""

    def __init__(self, budget: NamedBudget) -> None:
        self._budget = budget

    def reserve(self, amount: Amount) -> Reservation | None:
        """See `Allowance.reserve`."""
        return self._budget.reserve(amount.cost or ZERO, amount.tokens)

    def settle(self, reservation: Reservation, amount: Amount, *, counted: bool) -> None:
        """See `Allowance.settle`."""
        self._budget.settle(reservation, amount.cost or ZERO, amount.tokens)

    def refusal(self, amount: Amount) -> BudgetReached:
        """See `Allowance.refusal`."""
        state = self._budget.state()
        limits = (
            [] if state.limits.cost is None else [f"{dollars(state.cost)} of {dollars(state.limits.cost)}"]
        )
        limits += (
            [] if state.limits.tokens is None else [f"{state.tokens:,} of {state.limits.tokens:,} tokens"]
        )
        message = (
            f"the budget {state.name!r} has no room for another call: {' and '.join(limits)} in 24 hours"
        )
        return BudgetReached(message, hint=f"llmx budget {state.name} shows when there is more")


def counts_money(settings: Settings) -> bool:
    """Whether a budget in dollars is to be kept, for which prices must be known. Raises UsageError."""
    limits = _daily(settings)
    return settings.max_cost is not None or (limits is not None and limits.cost is not None)


def _daily(settings: Settings) -> Daily | None:
    """The limits of `--budget`, None without. Raises UsageError."""
    if settings.budget is None:
        return None
    if (table := settings.budgets.get(settings.budget)) is not None:
        return table.limits(settings.budget)
    close = nearest(settings.budget, settings.budgets)
    meant = f"did you mean {close!r}? " if close else ""
    hint = f"{meant}in llmx.toml: [budget.{settings.budget}] and below it daily-cost = 5; `llmx budget` lists them"
    raise UsageError(f"no budget {settings.budget!r} in the config file", hint=hint)


@contextmanager
def spending(
    settings: Settings, home: Path, spent: Spent, *, stop: Stop, observer: Observer, note: Outstanding
) -> Iterator[Spending | None]:
    """The budgets that are to be kept, for as long as the context lasts; None when there are none.

    Args:
        home: where budgets outlive runs.
        note: see `Outstanding`; has written it down when it returns.

    Raises:
        UsageError: there is no budget of that name.
        OutputFailed: it cannot be read or written.
    """
    allowances: list[Allowance] = []
    with ExitStack() as held:
        tell = _silent
        if settings.max_cost is not None or settings.max_tokens is not None:
            caps = _Caps(settings.max_cost, settings.max_tokens, spent, note)
            held.callback(_closed, caps, stop)
            allowances.append(caps)
            tell = partial(_tell, caps, _names(settings), observer)
            tell(False)
        if settings.budget is not None and (limits := _daily(settings)) is not None:
            budget = NamedBudget(budget_file(home), settings.budget, limits)
            held.callback(budget.close)
            allowances.append(_Named(budget))
        yield Spending(allowances, stop=stop, changed=tell) if allowances else None


def _closed(caps: _Caps, stop: Stop) -> None:
    try:
        caps.close()
    except OutputFailed as error:
        stop.set(error)


def _names(settings: Settings) -> str:
    given = {"--max-cost": settings.max_cost, "--max-tokens": settings.max_tokens}
    return " and ".join(name for name, limit in given.items() if limit is not None)


def _tell(caps: _Caps, names: str, observer: Observer, held: bool) -> None:
    cost, tokens = caps.left
    observer(BudgetChanged(names, cost, tokens, held=held))


def _silent(held: bool) -> None:
    pass
