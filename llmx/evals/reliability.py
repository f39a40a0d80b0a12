"""How confidences relate to being right: the selections that thresholds make, calibration error, an isotonic fit."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby

from llmx.evals.promises import Selection

__all__ = ["Pairs", "calibration_error", "isotonic", "probability", "selections"]

Pairs = Sequence[tuple[float, bool]]
"""Confidence, from 0 to 1, and whether it was right; ascending."""

_BINS = 10

_THRESHOLDS = 10


def selections(pairs: Pairs) -> list[Selection]:
    """At most ten thresholds with the rows at or above each, the highest first.

    All confidences that occur, if they are few, as those of votes are; else such that each takes in about a tenth of
    the rows more. They are chosen by the confidences alone.
    """
    steps = [(value, list(group)) for value, group in groupby(reversed(pairs), key=lambda pair: pair[0])]
    found, n, right = list[Selection](), 0, 0
    for place, (value, group) in enumerate(steps):
        n += len(group)
        right += sum(one[1] for one in group)
        wanted = len(pairs) * (len(found) + 1) / _THRESHOLDS
        if len(steps) <= _THRESHOLDS or n >= wanted or place == len(steps) - 1:
            found.append(Selection(value, n, right))
    return found


def calibration_error(pairs: Pairs) -> float:
    """Expected calibration error: how far confidence and accuracy are apart, in ten bins of equal width, by rows.

    M. P. Naeini et al., AAAI 2015, https://doi.org/10.1609/aaai.v29i1.9602.
    """
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(_BINS)]
    for pair in pairs:
        bins[min(int(pair[0] * _BINS), _BINS - 1)].append(pair)
    gaps = (abs(sum(value for value, _ in one) - sum(right for _, right in one)) for one in bins)
    return sum(gaps) / len(pairs)


def isotonic(pairs: Pairs) -> list[tuple[float, float]]:
    """The accuracy by confidence that fits best and never falls: the points at which it rises.

    Least squares by pooling adjacent violators: R. E. Barlow et al., "Statistical Inference under Order Restrictions",
    1972; for confidences: B. Zadrozny and C. Elkan, KDD 2002, https://doi.org/10.1145/775047.775151.
    """
    blocks: list[tuple[float, int, int]] = []  # lowest confidence, right, rows
    for value, group in groupby(pairs, key=lambda pair: pair[0]):
        same = list(group)
        block = (value, sum(one[1] for one in same), len(same))
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:
            before = blocks.pop()
            block = (before[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return [(value, right / rows) for value, right, rows in blocks]


def probability(points: Sequence[tuple[float, float]], confidence: float) -> float | None:
    """What the fit says of a confidence: that of the next point at or below it, of the lowest where there is none."""
    if not points:
        return None
    place = bisect_right([value for value, _ in points], confidence)
    return points[max(0, place - 1)][1]
