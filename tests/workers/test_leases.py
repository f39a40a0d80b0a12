"""Caps that several processes keep to: nothing is spent twice, and nothing is left where somebody needs it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from llmx.errors import BudgetReached
from llmx.layers.budget import Amount
from llmx.workers.leases import FEW, LeasedCaps, Lender
from llmx.workers.messages import Granted, Recall, Returned, Used, Want


class Caps:
    """A cap of tokens, and what is set aside of it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.out = self.spent = 0

    def reserve(self, amount: Amount) -> Amount | None:
        if self.spent + self.out + amount.tokens > self.limit:
            return None
        self.out += amount.tokens
        return amount

    def settle(self, reservation: Amount, amount: Amount, *, counted: bool) -> None:
        self.out -= reservation.tokens
        self.spent += amount.tokens

    def refusal(self, amount: Amount) -> BudgetReached | None:
        return BudgetReached("no more")


class Company:
    """An owner, and workers whose messages arrive in turns."""

    def __init__(self, limit: int, workers: int) -> None:
        self.caps = Caps(limit)
        self.post: list[tuple[int, bool, Any]] = []  # worker, whether to the owner, message
        self.lender = Lender(
            self.caps,
            capped=True,
            send=lambda number, message: self.post.append((number, False, message)),
            workers=workers,
        )
        self.later: list[Callable[[], None]] = []
        self.workers = [LeasedCaps(self._sender(number), self.later.append) for number in range(workers)]

    def _sender(self, number: int) -> Any:
        return lambda message: self.post.append((number, True, message))

    def deliver(self) -> None:
        """All that was said, and what is said to that."""
        for tell in self.later:
            tell()
        self.later.clear()
        while self.post:
            number, to_owner, message = self.post.pop(0)
            match message:
                case Want():
                    self.lender.want(number, message)
                case Used():
                    self.lender.used(number, message)
                case Returned():
                    self.lender.returned(number, message.amount)
                case Granted():
                    self.workers[number].granted(message)
                case Recall():
                    self.workers[number].recalled()
            assert to_owner == isinstance(message, Want | Used | Returned)
            assert self.caps.spent + self.caps.out <= self.caps.limit


def tokens(count: int) -> Amount:
    return Amount(None, count)


def test_what_is_asked_for_comes_later():
    """The first call waits for an answer; the next ones need none."""
    company = Company(1_000, 1)
    worker = company.workers[0]
    assert worker.reserve(tokens(10)) is None
    assert worker.refusal(tokens(10)) is None
    company.deliver()
    assert [worker.reserve(tokens(10)) for _ in range(FEW)] == [tokens(10)] * FEW
    assert company.post == []
    assert company.caps.out == 10 * FEW


def test_what_was_not_used_can_be_used_again():
    """A call takes less than its worst case; one that was not made, nothing."""
    company = Company(1_000, 1)
    worker = company.workers[0]
    worker.reserve(tokens(10))
    company.deliver()
    for _ in range(FEW):
        worker.reserve(tokens(10))
    worker.settle(tokens(10), tokens(4), counted=True)
    worker.settle(tokens(10), Amount(Decimal(0), 0), counted=True)
    company.deliver()
    assert worker.reserve(tokens(16)) is not None
    assert (company.caps.spent, company.caps.out) == (4, 10 * FEW - 4)


def test_what_lies_idle_is_called_back():
    """One has more than it needs, the other one nothing, and the cap is used up."""
    company = Company(100, 2)
    one, other = company.workers
    one.reserve(tokens(10))
    company.deliver()
    assert company.caps.out == 80
    assert one.reserve(tokens(10)) is not None
    assert other.reserve(tokens(50)) is None
    company.deliver()
    assert other.reserve(tokens(50)) is not None
    assert company.caps.out == 60


def test_the_end_is_when_nobody_has_anything():
    """While a call is in flight somewhere, it may leave room."""
    company = Company(100, 2)
    one, other = company.workers
    one.reserve(tokens(90))
    company.deliver()
    assert one.reserve(tokens(90)) is not None
    other.reserve(tokens(50))
    company.deliver()
    assert other.refusal(tokens(50)) is None
    one.settle(tokens(90), tokens(80), counted=True)
    company.deliver()
    assert str(other.refusal(tokens(50))) == "no more"
    assert other.reserve(tokens(50)) is None
    assert company.post == []


def test_a_worker_that_dies_may_have_spent_all_of_it():
    """Nobody knows what became of its calls; of one that has ended, all is known."""
    company = Company(1_000, 2)
    for worker in company.workers:
        worker.reserve(tokens(10))
    company.deliver()
    company.lender.lost(0)
    company.lender.ended(1)
    assert (company.caps.spent, company.caps.out) == (10 * FEW, 0)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_they_do_the_cap_holds_and_is_used(seed: int):
    """All spend at random until nobody gets any more: what is left then is less than one call."""
    company, rng = Company(10_000, 3), Random(seed)
    flights: list[tuple[LeasedCaps, Amount]] = []
    most = 400
    for _ in range(5_000):
        worker = rng.choice(company.workers)
        if (taken := worker.reserve(tokens(rng.randint(most // 2, most)))) is not None:
            flights.append((worker, taken))
        if flights and rng.random() < 0.6:
            worker, taken = flights.pop(rng.randrange(len(flights)))
            worker.settle(taken, tokens(rng.randint(0, taken.tokens)), counted=True)
        if rng.random() < 0.5:
            company.deliver()
    for worker, taken in flights:
        worker.settle(taken, taken, counted=False)
    company.deliver()
    assert company.caps.limit - most < company.caps.spent <= company.caps.limit
