"""Bounds and promises, held against scipy and against samples whose truth is known."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from llmx.evals.promises import Selection, least_rows, lower_bound, promised, tail, wilson

SHARES = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(SHARES, st.floats(0.001, 0.999))
def test_the_tail_is_the_binomial_one(share: tuple[int, int], rate: float):
    """To ten digits, also where it is next to nothing; in fractions, for scipy's has fewer there."""
    wrong, n = share
    p = Fraction(rate)
    exact = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(wrong + 1))
    assert tail(wrong, n, rate) == pytest.approx(float(exact), rel=1e-10, abs=1e-300)


def test_the_tail_of_many_rows():
    """Neither under- nor overflows."""
    assert tail(4_900, 100_000, 0.05) == pytest.approx(binom.cdf(4_900, 100_000, 0.05), rel=1e-6)
    assert tail(0, 5, 0.0) == 1.0
    assert tail(2, 5, 1.0) == 0.0


@settings(deadline=None)
@given(SHARES)
def test_the_lower_bound_is_exact(share: tuple[int, int]):
    """Clopper and Pearson's, one-sided."""
    right, n = share
    wanted = binomtest(right, n, alternative="greater").proportion_ci(0.95, method="exact").low
    assert lower_bound(right, n, 0.05) == pytest.approx(wanted, abs=1e-9)


@settings(deadline=None)
@given(SHARES)
def test_wilson(share: tuple[int, int]):
    """The interval by his name."""
    wanted = binomtest(*share).proportion_ci(0.95, method="wilson")
    assert wilson(*share) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@settings(deadline=None)
@given(st.floats(0.5, 0.99), st.floats(0.005, 0.3))
def test_the_least_rows(target: float, alpha: float):
    """All right of so many is a promise, of one fewer it is none."""
    n = least_rows(target, alpha)
    assert promised([Selection(1.0, n, n)], target, alpha) == [alpha]
    assert promised([Selection(1.0, n - 1, n - 1)], target, alpha) == [None] if n > 1 else True


def test_the_first_failure_does_not_end_it():
    """One unlucky threshold with few rows costs its own share, not the promise of those below it."""
    several = [Selection(0.9, 60, 57), Selection(0.5, 1000, 990), Selection(0.1, 2000, 1500)]
    found = promised(several, 0.95, 0.05)
    assert [one is not None for one in found] == [False, True, False]
    assert found[1] == pytest.approx(0.05 / 3)


def test_what_is_rejected_hands_its_share_on():
    """So the later thresholds have it more easily."""
    several = [Selection(0.9, 500, 500), Selection(0.5, 1000, 1000)]
    assert promised(several, 0.95, 0.05) == [0.025, 0.05]


def test_promises_are_kept():
    """Whatever the sample, a false promise is made in at most 5 % of 4,000 samples in which nothing is as good as promised."""
    rng = np.random.default_rng(11)
    target, alpha, trials = 0.9, 0.05, 4000
    accuracy = np.array([0.9, 0.9, 0.89, 0.9, 0.85])  # of five levels of confidence, the highest first
    rows = rng.multinomial(600, [0.2] * 5, size=trials)
    right = rng.binomial(rows, accuracy)
    false = 0
    for n, good in zip(rows.cumsum(axis=1), right.cumsum(axis=1), strict=True):
        steps = [
            Selection(1 - place / 5, int(a), int(b)) for place, (a, b) in enumerate(zip(n, good, strict=True))
        ]
        false += any(one is not None for one in promised(steps, target, alpha))
    assert false / trials <= alpha + 3 * (alpha * (1 - alpha) / trials) ** 0.5
    assert false > 0, "a test that never promises shows nothing"
