"""The data types: frozen, and arithmetic that does not turn unknown into nothing."""

from __future__ import annotations

from decimal import Decimal

import pytest
from fakes import a_request
from hypothesis import given
from hypothesis import strategies as st

from llmx.errors import InvalidAnswer
from llmx.types import Outcome, Record, Tally, Usage, weight

counts = st.integers(0, 10**9)
costs = st.none() | st.decimals(0, 10**6, places=9)
usages = st.builds(Usage, counts, counts, counts, counts, counts, costs)


def test_usage_adds_up():
    """Every count and the money."""
    total = Usage(1, 2, 3, 4, 5, Decimal("0.1")) + Usage(10, 20, 30, 40, 50, Decimal("0.2"))
    assert total == Usage(11, 22, 33, 44, 55, Decimal("0.3"))
    assert total.total_tokens == 33


def test_nothing_costs_nothing():
    """No call at all is known to be free; a price that is not known is None, not that."""
    assert Usage().cost == 0
    assert (Usage() + Usage(cost=None)).cost is None


@given(usages)
def test_nothing_added_changes_nothing(usage: Usage):
    """The empty usage is neutral."""
    assert usage + Usage() == usage == Usage() + usage


@given(usages, usages, usages)
def test_the_order_of_adding_does_not_matter(a: Usage, b: Usage, c: Usage):
    """Attempts may be added up in any order."""
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@given(usages, usages)
def test_unknown_stays_unknown(a: Usage, b: Usage):
    """A sum is known only when all its parts are."""
    assert ((a + b).cost is None) == (a.cost is None or b.cost is None)


def test_data_are_frozen():
    """What flows through the pipeline is not changed on the way."""
    with pytest.raises(AttributeError, match="immutable"):
        Record(0, {}).index = 1  # type: ignore[misc]  # that is the point


def test_a_tally_is_no_part_of_a_requests_identity():
    """Two requests that differ only in what they have cost are equal."""
    assert a_request(tally=Tally(attempts=3)) == a_request()


def test_every_request_has_its_own_tally():
    """Rows do not share their costs."""
    assert a_request().tally is not a_request().tally


def test_an_outcome_is_ok_without_an_error():
    """A value or an error, and a value may be anything."""
    assert Outcome(Record(0, {}), value=None).ok
    assert not Outcome(Record(0, {}), error=InvalidAnswer("x")).ok


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": "1234", "b": "12"}, 6),
        ({"a": {"b": ["123", {"c": "4"}]}}, 4),
        ({"a": 1, "b": None}, 16),
        ({}, 0),
    ],
)
def test_the_weight_of_a_row(data, expected):
    """Its texts, however deep; a number is eight bytes."""
    assert weight(Record(0, data)) == expected
