"""Whether two runs differ by more than chance would have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["holm", "mcnemar"]

_EXACT = 1000
"""Differing rows up to which the binomial sum is made; beyond, its normal approximation is as good to four digits."""


def mcnemar(better: int, worse: int) -> float:
    """Two-sided p-value of McNemar's test: rows that differ are as likely to be one as the other.

    Up to 1,000 differing rows it is exact (binomial), above them the chi-square approximation with Edwards'
    continuity correction: Q. McNemar, Psychometrika 12, 1947, https://doi.org/10.1007/BF02295996;
    A. L. Edwards, Psychometrika 13, 1948, https://doi.org/10.1007/BF02289261.

    Args:
        better, worse: rows that only the one, and only the other, of two runs has right.
    """
    n, fewer = better + worse, min(better, worse)
    if better == worse:
        return 1.0
    if n <= _EXACT:
        ways: int = sum(math.comb(n, k) for k in range(fewer + 1))
        return min(1.0, float(Fraction(2 * ways, 1 << n)))
    chi_square = (abs(better - worse) - 1) ** 2 / n
    return math.erfc(math.sqrt(chi_square / 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for how many there are, in their order.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979,
    https://www.jstor.org/stable/4615733.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted
