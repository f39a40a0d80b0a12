"""Limits beside what a run is expected to use."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmx.estimates.budgets import Fit


def fit(left: str, expected: str | None = "10", set_aside: str | None = "3", planned: int = 10) -> Fit:
    """A limit beside ten rows, which are expected to cost 10, at worst 30, and 3 of which is set aside for each."""
    amounts = [None if amount is None else Decimal(amount) for amount in (expected, "30", set_aside)]
    return Fit("--max-cost", "m", "USD", Decimal(left), *amounts, planned)


@pytest.mark.parametrize(
    ("found", "verdict", "rows"),
    [
        (fit("30"), "yes", None),
        (fit("12"), "expected", None),
        (fit("11.9"), "no", 9),
        (fit("3"), "no", 1),
        (fit("2.9"), "no", 0),
        (fit("30", expected=None, set_aside=None), "unknown", None),
        (fit("0", expected="0", planned=0), "expected", None),
        (fit("3", expected="0"), "expected", None),
    ],
    ids=lambda value: str(getattr(value, "left", value)),
)
def test_a_limit(found: Fit, verdict: str, rows: int | None) -> None:
    """The last call needs what is set aside for it, when all others have cost what is expected."""
    assert (found.verdict, found.rows) == (verdict, rows)


@given(st.integers(0, 100), st.integers(0, 10), st.integers(0, 10), st.integers(1, 12))
def test_rows_are_as_many_as_a_simulation_has(left: int, each: int, more: int, planned: int) -> None:
    """Calls one after the other: each needs what is set aside for it, and costs what is expected."""
    most, room, done = each + more, left, 0  # no call costs more than was set aside for it
    found = fit(str(left), str(each * planned), str(most), planned)
    while done < planned and room >= most:
        room, done = room - each, done + 1
    assert found.rows == (None if done == planned else done)
