"""Intervals by resampling counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from llmx.evals.bootstrap import macro_f1_interval, mean_interval, micro_f1_interval
from llmx.evals.counts import Cell, FieldCounts


def counted(cells: dict[tuple[str | None, str | None], int], empty: int = 0) -> FieldCounts:
    """Counts of a field with these pairs."""
    counts = FieldCounts(sum(cells.values()) + empty)
    for (expected, predicted), times in cells.items():
        labels = [() if one is None else (one,) for one in (expected, predicted)]
        counts.cells[Cell(labels[0], labels[1], expected == predicted)] += times
    return counts


def test_a_share_is_as_far_off_as_its_standard_error():
    """1.96 of them to either side, for many rows."""
    interval = mean_interval({1.0: 8_000, 0.0: 2_000})
    assert interval is not None
    far = 1.96 * math.sqrt(0.8 * 0.2 / 10_000)
    assert interval == pytest.approx((0.8 - far, 0.8 + far), abs=0.0015)


@settings(deadline=None)
@given(st.integers(1, 500))
def test_all_right_is_not_certain(n: int):
    """Where nothing varies the bound is the exact one."""
    wanted = binomtest(n, n).proportion_ci(method="exact")
    assert mean_interval({1.0: n}) == pytest.approx((wanted.low, 1.0))
    assert mean_interval({0.0: n}) == pytest.approx((0.0, 1 - wanted.low))


def test_no_rows():
    """No figure, no interval."""
    assert mean_interval({}) is None


def test_it_is_the_same_every_time():
    """The resampling has a seed."""
    assert mean_interval({1.0: 80, 0.0: 20}) == mean_interval({1.0: 80, 0.0: 20})


def test_f1_is_that_of_rows_drawn_one_by_one():
    """To draw counts is to draw rows."""
    cells = {("a", "a"): 50, ("a", "b"): 10, ("b", "b"): 30, ("b", None): 5, (None, "a"): 5}
    pairs = np.array([pair for pair, times in cells.items() for _ in range(times)], dtype=object)
    rng = np.random.default_rng(5)
    macro, micro = [], []
    for _ in range(1500):
        drawn = pairs[rng.integers(0, len(pairs), len(pairs))]
        right = {label: sum(a == b == label for a, b in drawn) for label in "ab"}
        both = {label: sum((a == label) + (b == label) for a, b in drawn) for label in "ab"}
        macro.append(np.mean([2 * right[label] / both[label] for label in "ab"]))
        micro.append(2 * sum(right.values()) / sum(both.values()))
    counts = counted(cells)
    assert macro_f1_interval(counts) == pytest.approx(np.percentile(macro, [2.5, 97.5]), abs=0.02)
    assert micro_f1_interval(counts) == pytest.approx(np.percentile(micro, [2.5, 97.5]), abs=0.02)


def test_what_does_not_vary_has_none():
    """Neither with one kind of row, nor with no label at all."""
    assert micro_f1_interval(counted({("a", "a"): 5})) is None
    assert micro_f1_interval(counted({}, empty=5)) is None
    assert macro_f1_interval(counted({}, empty=5)) is None


def test_too_many_labels_are_no_classes():
    """A name has no macro F1 worth an interval, and it would take long."""
    cells = {(f"a{n}", f"a{n}"): 1 for n in range(3000)}
    assert macro_f1_interval(counted(cells)) is None  # type: ignore[arg-type]
