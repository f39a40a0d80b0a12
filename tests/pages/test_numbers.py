"""Decimal bins: nothing is lost, whatever the numbers are."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as some

from llmx.pages.numbers import MOST, SHOWN, NumberBins

numbers = some.floats(-1e12, 1e12, allow_nan=False) | some.integers(-(10**15), 10**15)


def binned(values: list[float]) -> NumberBins:
    bins = NumberBins()
    for value in values:
        bins.add(value)
    return bins


@settings(deadline=None)
@given(some.lists(numbers, min_size=1, max_size=300))
def test_every_number_is_counted_once(values: list[float]) -> None:
    """The bins, and what lies beyond them, have as many as were added; the ends and the mean are theirs."""
    said = binned(values).as_json()
    assert said is not None
    assert said["below"] + said["above"] + sum(count for _, _, count in said["bins"]) == len(values)
    assert (said["min"], said["max"]) == (min(values), max(values))
    assert math.isclose(said["mean"], math.fsum(values) / len(values), rel_tol=1e-6, abs_tol=1e-3)


@settings(deadline=None)
@given(some.lists(some.integers(-(10**9), 10**9), min_size=1, max_size=200))
def test_a_number_lies_in_its_bin(values: list[int]) -> None:
    """Counted by hand, each bin has the integers from its lower end on and below its upper one."""
    said = binned(list(values)).as_json()
    assert said is not None
    if said["min"] == said["max"]:
        assert said["bins"] == [[said["min"], said["max"], len(values)]]
        return
    for low, high, count in said["bins"]:
        assert count == sum(low <= value < high for value in values)


@settings(deadline=None)
@given(some.lists(numbers, min_size=2, max_size=300))
def test_few_bins_follow_each_other_without_gaps(values: list[float]) -> None:
    """There is room for them in a chart, and each begins where the one before ends."""
    said = binned(values).as_json()
    assert said is not None
    bins = said["bins"]
    assert len(bins) <= SHOWN + 2
    assert all(one[1] == other[0] for one, other in pairwise(bins))


def test_decimal_fractions_are_where_people_expect_them() -> None:
    """0.29 is 29 hundredths, though not to a floating point unit."""
    said = binned([number / 100 for number in range(100)]).as_json()
    assert said is not None
    assert {count for _, _, count in said["bins"]} == {5}
    assert said["bins"][5][:2] == [0.25, 0.3]


def test_a_value_far_out_leaves_the_others_to_be_seen() -> None:
    """One typing error of nine digits is told beside the chart, which shows the others."""
    said = binned([*range(1, 1001), 10**9]).as_json()
    assert said is not None
    assert said["above"] >= 1
    assert len(said["bins"]) > 10
    assert said["max"] == 10**9


def test_memory_is_bounded() -> None:
    """However many different numbers come, few bins are held."""
    bins = binned([1.000001**number for number in range(20_000)])
    assert len(bins._bins) <= MOST
    assert bins.count == 20_000


def test_what_is_no_number_is_left_out() -> None:
    """Infinity, and an integer that no float can hold, have no bin."""
    bins = binned([math.inf, -math.inf, 10**400, 1])
    assert bins.count == 1
    assert NumberBins().as_json() is None
