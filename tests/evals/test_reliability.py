"""Thresholds, calibration error and the isotonic fit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from llmx.evals.reliability import calibration_error, isotonic, probability, selections

CONFIDENCES = st.sampled_from([0.0, 0.2, 0.25, 0.5, 0.8, 1.0]) | st.floats(0, 1).map(
    lambda value: round(value, 3)
)
PAIRS = st.lists(st.tuples(CONFIDENCES, st.booleans()), min_size=1, max_size=60).map(sorted)


@settings(deadline=None)
@given(PAIRS)
def test_a_selection_is_the_rows_at_or_above(pairs: list[tuple[float, bool]]):
    """Counted as they are; at most ten, the highest first, the last of them all rows."""
    found = selections(pairs)
    for one in found:
        above = [right for confidence, right in pairs if confidence >= one.threshold]
        assert (one.n, one.right) == (len(above), sum(above))
    assert len(found) <= 10
    assert [one.threshold for one in found] == sorted((one.threshold for one in found), reverse=True)
    assert found[-1].n == len(pairs)


@settings(deadline=None)
@given(PAIRS)
def test_thresholds_do_not_depend_on_what_is_right(pairs: list[tuple[float, bool]]):
    """Or they would be chosen by what they are to be tested with."""
    other = sorted((confidence, not right) for confidence, right in pairs)
    assert [one.threshold for one in selections(pairs)] == [one.threshold for one in selections(other)]


@settings(deadline=None)
@given(PAIRS)
def test_the_isotonic_fit_is_sklearns(pairs: list[tuple[float, bool]]):
    """At every confidence that occurs."""
    values, right = [pair[0] for pair in pairs], [float(pair[1]) for pair in pairs]
    fit = IsotonicRegression().fit(values, right)
    points = isotonic(pairs)
    assert [probability(points, value) for value in values] == pytest.approx(fit.predict(values), abs=1e-9)
    assert [one[1] for one in points] == sorted({one[1] for one in points})


def test_a_probability_beyond_the_points():
    """Below the lowest point it is that of the lowest; of no points it is unknown."""
    assert probability([(0.4, 0.5), (0.8, 0.9)], 0.1) == 0.5
    assert probability([(0.4, 0.5), (0.8, 0.9)], 0.79) == 0.5
    assert probability([], 0.5) is None


def test_calibration_error():
    """The mean gap between confidence and accuracy, by bin and rows."""
    pairs = [(0.25, False), (0.25, True), (1.0, True), (1.0, False)]
    assert calibration_error(pairs) == pytest.approx((2 * 0.25 + 2 * 0.5) / 4)
    assert calibration_error([(1.0, True), (1.0, True)]) == 0.0
