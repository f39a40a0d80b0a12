"""What a run notes of its calls in flight, and how its caps say that they are reached."""

from __future__ import annotations

from decimal import Decimal

import pytest

from llmx.layers.budget import Amount
from llmx.spending import ZERO, Risk, Spent, _Caps

CALL = Amount(Decimal("0.1"), 1000)
UNPRICED = Amount(None, 1000)


def caps(
    *, cost: str | None = None, tokens: int | None = None, spent: Spent | None = None
) -> tuple[_Caps, list[Risk]]:
    noted: list[Risk] = []
    return _Caps(None if cost is None else Decimal(cost), tokens, spent or Spent(), noted.append), noted


def test_what_is_in_flight_is_noted_before_it_is():
    """With some room, so that not every call makes a note."""
    book, noted = caps()
    for _ in range(100):
        book.reserve(UNPRICED)
    assert noted[0] == Risk(Decimal(0), 2000, 2000)
    assert len(noted) < 10
    assert noted[-1].tokens >= 100_000


def test_a_cap_leaves_no_room_beyond_it():
    """What is noted counts as spent when the process is killed: it never exceeds the cap."""
    book, noted = caps(tokens=2500)
    assert book.reserve(UNPRICED) == UNPRICED
    assert book.reserve(UNPRICED) == UNPRICED
    assert book.reserve(UNPRICED) is None
    assert max(risk.tokens for risk in noted) <= 2500


def test_at_the_end_what_is_still_out_is_noted():
    """A call that was cancelled and has not ended may be billed, too."""
    book, noted = caps()
    first, second = book.reserve(CALL), book.reserve(CALL)
    assert first is not None
    assert second is not None
    book.settle(first, Amount(Decimal("0.01"), 10), counted=True)
    book.close()
    assert noted[-1] == Risk(Decimal("0.1"), 1000, 0)


def test_calls_that_were_not_answered_stay():
    """At their worst case, by price and by tokens."""
    book, noted = caps()
    for amount in (CALL, UNPRICED):
        reservation = book.reserve(amount)
        assert reservation is not None
        book.settle(reservation, amount, counted=False)
    book.close()
    assert noted[-1] == Risk(Decimal("0.1"), 2000, 1000)


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        (
            Spent(Decimal("0.95"), 9),
            "--max-cost $1.00: $0.9500 spent, and the next call may take up to $0.1000",
        ),
        (
            Spent(Decimal("0.95"), 9, Decimal("0.8"), 5),
            "--max-cost $1.00: $0.1500 spent, up to $0.8000 for calls that were not answered, and the next call may "
            "take up to $0.1000",
        ),
    ],
)
def test_a_cap_that_is_reached_says_what_was_spent(spent: Spent, said: str):
    """And what may have been, apart; and what would be enough."""
    book, _ = caps(cost="1", spent=spent)
    assert book.reserve(CALL) is None
    refusal = book.refusal(CALL)
    assert str(refusal) == said
    assert refusal.hint.startswith("--max-cost 1.0500 or more, ")


@pytest.mark.parametrize("spent", ["0.99999", "1.23456789", "0.0000001"])
def test_the_cap_that_a_hint_names_is_enough(spent: str):
    """Rounded up, as it is typed."""
    book, _ = caps(cost="0.00001", spent=Spent(Decimal(spent), 1_234_567))
    named = book.refusal(CALL).hint.split()[1]
    assert caps(cost=named, spent=Spent(Decimal(spent)))[0].reserve(CALL) == CALL
    book, _ = caps(tokens=1, spent=Spent(Decimal(spent), 1_234_567))
    named = book.refusal(CALL).hint.split()[1]
    assert caps(tokens=int(named), spent=Spent(ZERO, 1_234_567))[0].reserve(CALL) == CALL
