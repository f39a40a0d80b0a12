"""What a sample of rows allows to promise about rows like them: binomial bounds, and thresholds chosen among many.

Pure arithmetic on counts; numpy is imported where tails are summed. Nothing here knows of files or fields.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

__all__ = ["Selection", "least_rows", "lower_bound", "promised", "tail", "wilson"]

_BISECTIONS = 60


class Selection(Struct, frozen=True):
    """The rows at or above a threshold.

    Args:
        threshold: of confidence, from 0 to 1.
        n: how many rows are.
        right: how many of them are right.
    """

    threshold: float
    n: int
    right: int

    @property
    def accuracy(self) -> float:
        """Share that is right; a selection has at least one row."""
        return self.right / self.n


def tail(wrong: int, n: int, rate: float) -> float:
    """P(at most `wrong` of `n` rows are wrong) when each is with probability `rate`: the binomial distribution.

    It is the p-value of "the rate of errors is `rate` or more".
    """
    import numpy as np

    if wrong >= n or rate <= 0:
        return 1.0
    if rate >= 1:
        return 0.0
    k = np.arange(wrong + 1)
    # log C(n, k) as a running sum of log((n - k + 1) / k): no term under- or overflows.
    choices = np.concatenate(([0.0], np.cumsum(np.log((n - k[1:] + 1) / k[1:]))))
    logs = choices + k * math.log(rate) + (n - k) * math.log1p(-rate)
    highest = float(logs.max())
    return min(1.0, math.exp(highest) * float(np.exp(logs - highest).sum()))


def lower_bound(right: int, n: int, alpha: float) -> float:
    """The accuracy that is reached with a confidence of 1 - alpha, one-sided and exact.

    C. J. Clopper and E. S. Pearson, Biometrika 26, 1934, https://doi.org/10.1093/biomet/26.4.404; by bisection.
    """
    if right == 0:
        return 0.0
    low, high = 0.0, right / n
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if tail(n - right, n, 1 - middle) <= alpha:
            low = middle
        else:
            high = middle
    return low


_Z = 1.959963984540054
"""The 97.5th percentile of the standard normal distribution."""


def wilson(right: int, n: int) -> tuple[float, float]:
    """Two-sided 95 % interval of a share, good for small n and near 0 and 1.

    E. B. Wilson, Journal of the American Statistical Association 22, 1927, https://doi.org/10.2307/2276774.
    """
    share, weight = right / n, _Z * _Z / n
    middle = (share + weight / 2) / (1 + weight)
    far = _Z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, middle - far), min(1.0, middle + far)


def least_rows(target: float, alpha: float) -> int:
    """How many rows, all of them right, it takes to promise anything: the least n with target ** n <= alpha."""
    return math.ceil(math.log(alpha) / math.log(target) - 1e-9)


def promised(selections: Sequence[Selection], target: float, alpha: float) -> list[float | None]:
    """For which of several thresholds an accuracy of `target` can be promised, all of them together.

    Each threshold is a hypothesis, "fewer than `target` of the rows at or above it are right", tested with the exact
    binomial p-value in a fixed order, the highest threshold first (Learn then Test: A. N. Angelopoulos et al., 2021,
    https://arxiv.org/abs/2110.01052). So that one unlucky threshold with few rows does not end the sequence, the
    order is that of the fallback procedure: each threshold has its share of alpha, and hands all it had on to
    the next one if it is rejected (B. L. Wiens and A. Dmitrienko, Journal of Biopharmaceutical Statistics 15, 2005,
    https://doi.org/10.1080/10543400500265660). With probability 1 - alpha no promise is false, whichever of the
    promised thresholds is used afterwards. A threshold with too few rows to be promised even if all are right has no
    share. Thresholds must not have been chosen by what is right.

    Args:
        selections: highest threshold first, each with at least the rows of the one before.
        target: between 0 and 1.
        alpha: probability that some promise is false, between 0 and 1.

    Returns:
        Per selection the alpha at which its hypothesis is rejected, None where it is not.
    """
    enough = least_rows(target, alpha)
    tested = sum(one.n >= enough for one in selections)
    found: list[float | None] = []
    passed_on = 0.0
    for one in selections:
        level = alpha / tested + passed_on if one.n >= enough else 0.0
        rejected = tail(one.n - one.right, one.n, 1 - target) <= level
        found.append(level if rejected else None)
        passed_on = level if rejected else 0.0
    return found
