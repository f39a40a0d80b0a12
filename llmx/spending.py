"""The budgets of one run: its own caps, and the named ones that outlive it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import ROUND_CEILING, Decimal
from functools import partial
from operator import add, gt, sub
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from llmx.budget_file import budget_file
from llmx.budgets import Daily, NamedBudget, Reservation
from llmx.clock import Clock
from llmx.errors import BudgetReached, OutputFailed, UsageError
from llmx.events import BudgetChanged, Observer
from llmx.layers.budget import Allowance, Amount, Spending
from llmx.layers.stop import Stop
from llmx.settings import Settings
from llmx.text import dollars, nearest

__all__ = ["Outstanding", "Risk", "Spent", "counts_money", "spending"]

ZERO = Decimal(0)

CENT_OF_CENT = Decimal("0.0001")
"""US dollars: the step of the caps that hints name."""


class Spent(Struct, frozen=True):
    """What earlier sessions of the same output have spent, calls that may have been billed at their worst case.

    Args:
        cost: US dollars, None when unknown.
        unanswered_cost, unanswered_tokens: the part of it of which nobody knows whether it was.
    """

    cost: Decimal | None = ZERO
    tokens: int = 0
    unanswered_cost: Decimal = ZERO
    unanswered_tokens: int = 0


class Risk(Struct, frozen=True):
    """The most that calls may come to which are in flight or were not answered.

    Args:
        cost: US dollars, of those whose price was looked at.
        tokens: of all of them.
        unpriced: tokens of the others.
    """

    cost: Decimal = ZERO
    tokens: int = 0
    unpriced: int = 0


Outstanding = Callable[[Risk], None]
"""Told it before it is so, if it is more than was told before."""


class _Caps:
    """`--max-cost` and `--max-tokens`: of this output, over all its sessions; without either, only the book of them.

    What is in flight when the process is killed may be billed and is never settled. So the most that it may come to is
    written down before it does, with some room, which is a few dozen times in a run. A session without caps does so,
    too, for one with caps may follow.
    """

    ROOM = Decimal("1.25")
    FREE_ROOM = Decimal(2)
    """Where there is no cap that the room could use up."""

    def __init__(self, cost: Decimal | None, tokens: int | None, spent: Spent, note: Outstanding) -> None:
        self._limits = (cost, tokens, None)
        self._spent: list[Any] = [spent.cost or ZERO, spent.tokens, 0]
        self._out: list[Any] = [ZERO, 0, 0]
        self._earlier = (spent.unanswered_cost, spent.unanswered_tokens)
        self._unanswered: list[Any] = [ZERO, 0, 0]
        self._noted: list[Any] = [ZERO, 0, 0]
        self._quiet: list[Any] = [ZERO, 0, 0]
        self._note = note

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """See `_Limited`."""
        cost, tokens, _ = (
            None if limit is None else max(limit * 0, limit - spent)
            for limit, spent in zip(self._limits, self._spent, strict=True)
        )
        return cost, tokens

    def reserve(self, amount: Amount) -> Amount | None:
        """See `Allowance.reserve`."""
        out = [a + b for a, b in zip(self._out, _kinds(amount), strict=True)]
        for limit, spent, more in zip(self._limits, self._spent, out, strict=True):
            if limit is not None and spent + more > limit:
                return None
        self._out = out
        if any(map(gt, out, self._quiet)):
            open_ = [a + b for a, b in zip(out, self._unanswered, strict=True)]
            self._noted = [self._with_room(kind, now) for kind, now in enumerate(open_)]
            self._note(Risk(*self._noted))
            self._look_ahead()
        return amount

    def _look_ahead(self) -> None:
        """How much may be in flight without another word."""
        self._quiet = [noted - lost for noted, lost in zip(self._noted, self._unanswered, strict=True)]

    def _with_room(self, kind: int, amount: Any) -> Any:
        """Somewhat more than `amount`, as far as the limit allows any."""
        limit = self._limits[kind]
        more = amount * (self.FREE_ROOM if limit is None else self.ROOM)
        more = more if kind == 0 else int(more)
        return more if limit is None else max(amount, min(more, limit - self._spent[kind]))

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        """See `Allowance.settle`."""
        used = _kinds(amount)
        self._out = list(map(sub, self._out, _kinds(reservation)))
        self._spent = list(map(add, self._spent, used))
        if not counted:
            self._unanswered = list(map(add, self._unanswered, used))
            self._look_ahead()

    def close(self) -> None:
        """No call is sent any more; what is in flight still is not waited for."""
        self._note(Risk(*(a + b for a, b in zip(self._out, self._unanswered, strict=True))))

    def refusal(self, amount: Amount) -> BudgetReached:
        """See `Allowance.refusal`."""
        cost, tokens, _ = self._limits
        unanswered = [a + b for a, b in zip(self._earlier, self._unanswered, strict=False)]
        if cost is not None and self._spent[0] + (amount.cost or ZERO) > cost:
            so_far = f"--max-cost {dollars(cost)}: {_spent(self._spent[0], unanswered[0], dollars)}"
            next_ = f"up to {dollars(amount.cost or ZERO)}"
            needed = (self._spent[0] + (amount.cost or ZERO)).quantize(CENT_OF_CENT, ROUND_CEILING)
            hint = f"--max-cost {needed} or more, or a lower --max-output-tokens, which bounds what a call may cost"
        else:
            so_far = f"--max-tokens {tokens:,}: {_spent(self._spent[1], unanswered[1], '{:,}'.format)}"
            next_ = f"up to {amount.tokens:,} tokens"
            needed = self._spent[1] + amount.tokens
            hint = f"--max-tokens {needed} or more, or a lower --max-output-tokens, which bounds what a call may use"
        return BudgetReached(f"{so_far}, and the next call may take {next_}", hint=hint)


def _kinds(amount: Amount) -> tuple[Decimal, int, int]:
    """Of `Risk`."""
    unpriced = amount.tokens if amount.cost is None else 0
    return amount.cost or ZERO, amount.tokens, unpriced


def _spent(amount: Any, unanswered: Any, words: Callable[[Any], str]) -> str:
    """In words: what calls without an answer may have cost stands apart."""
    if not unanswered:
        return f"{words(amount)} spent"
    return f"{words(amount - unanswered)} spent, up to {words(unanswered)} for calls that were not answered"


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

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """See `_Limited`."""
        return self._budget.left

    def refusal(self, amount: Amount) -> BudgetReached | None:
        """See `Allowance.refusal`."""
        if self._budget.may_yet(amount.cost or ZERO, amount.tokens):
            return None
        state = self._budget.state()
        limits = (
            [] if state.limits.cost is None else [f"{dollars(state.cost)} of {dollars(state.limits.cost)}"]
        )
        limits += (
            [] if state.limits.tokens is None else [f"{state.tokens:,} of {state.limits.tokens:,} tokens"]
        )
        most = [] if state.limits.cost is None else [dollars(amount.cost or ZERO)]
        most += [] if state.limits.tokens is None else [f"{amount.tokens:,} tokens"]
        message = (
            f"the budget {state.name!r} has no room: {' and '.join(limits)} in 24 hours, and the next call may take "
            f"up to {' and '.join(most)}"
        )
        hint = f"llmx budget {state.name} shows when there is more; or a lower --max-output-tokens, which bounds a call"
        return BudgetReached(message, hint=hint)


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
    # What is no bare key of TOML is written like a JSON text (https://toml.io/en/v1.0.0#keys).
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", settings.budget)
    key = settings.budget if bare else json.dumps(settings.budget, ensure_ascii=False)
    hint = f"{meant}in llmx.toml: [budget.{key}] and below it daily-cost = 5; `llmx budget` lists them"
    raise UsageError(f"no budget {settings.budget!r} in the config file", hint=hint)


class _Limited(Protocol):
    """A budget of which somebody wants to know what is left."""

    @property
    def left(self) -> tuple[Decimal | None, int | None]:
        """Of US dollars and tokens, what this run's calls in flight may come to aside; None without a limit."""
        ...


@contextmanager
def spending(
    settings: Settings,
    home: Path,
    spent: Spent,
    *,
    clock: Clock,
    stop: Stop,
    observer: Observer,
    note: Outstanding,
    caps: Allowance | None = None,
    shared: Sequence[Allowance] = (),
) -> Iterator[Spending]:
    """The budgets that are to be kept, for as long as the context lasts.

    Args:
        home: where budgets outlive runs.
        note: see `Outstanding`; has written it down when it returns.
        caps: the run's own, where another process keeps them: it tells of them, too.
        shared: more of them, which others keep, too.

    Raises:
        UsageError: there is no budget of that name.
        OutputFailed: it cannot be read or written.
    """
    with ExitStack() as held:
        if caps is None:
            own = _Caps(settings.max_cost, settings.max_tokens, spent, note)
            held.callback(_closed, own, stop)
        allowances: list[Any] = [caps or own]
        if settings.budget is not None and (limits := _daily(settings)) is not None:
            budget = NamedBudget(budget_file(home), settings.budget, limits)
            held.callback(budget.close)
            allowances.append(_Named(budget))
        names = "" if caps else _names(settings)
        tell = partial(_tell, allowances, names, observer) if names else _silent
        tell(False)
        yield Spending([*allowances, *shared], clock=clock, stop=stop, changed=tell)


def _closed(caps: _Caps, stop: Stop) -> None:
    try:
        caps.close()
    except OutputFailed as error:
        stop.set(error)


def _names(settings: Settings) -> str:
    given = {
        "--max-cost": settings.max_cost,
        "--max-tokens": settings.max_tokens,
        f"--budget {settings.budget}": settings.budget,
    }
    return " and ".join(name for name, value in given.items() if value is not None)


def _tell(budgets: Sequence[_Limited], names: str, observer: Observer, held: bool) -> None:
    lefts = [budget.left for budget in budgets]
    cost = min((cost for cost, _ in lefts if cost is not None), default=None)
    tokens = min((tokens for _, tokens in lefts if tokens is not None), default=None)
    observer(BudgetChanged(names, cost, tokens, held=held))


def _silent(held: bool) -> None:
    pass
