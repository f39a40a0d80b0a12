"""How many values lie where: exact counts in decimal bins, whose range nobody knows beforehand, in bounded memory."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["NumberBins"]

MOST = 2_000
"""Bins that are held; beyond them ten become one."""

SHOWN = 24
"""Bins that are shown at most."""

FINEST = -9
"""The exponent of the narrowest bins: 10 ** -9."""

FINE = 2_000_000
"""Bins from the first to the last that is shown, most of them empty: wider ones say as much."""

FAR = 4.0
"""A range that is more than so many times that of the middle 98 % of all values has its ends cut off."""


class NumberBins:
    """Counts of numbers in bins of equal width, a power of ten that grows as it must; sums are exact to a float.

    Attributes:
        count: finite numbers that were added.
        low, high: the least and the greatest of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high = math.inf, -math.inf
        self._sum = 0.0
        self._whole = True
        self._exponent = FINEST
        self._scale: int = 10**-FINEST
        self._bins: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Count one number; what is not finite is left out."""
        try:
            place = self._place(value)
        except (OverflowError, ValueError):  # an integer beyond any float, or no number
            return
        self.count += 1
        self._sum += value
        self._whole = self._whole and value == int(value)
        self.low, self.high = min(self.low, value), max(self.high, value)
        self._bins[place] = self._bins.get(place, 0) + 1
        while len(self._bins) > MOST:
            self._widen()

    def _place(self, value: float) -> int:
        if self._exponent < 0:
            # A product with an integer is exact where a quotient by 0.1 is not; the rest is mended before the floor.
            return math.floor(float(value) * self._scale + 1e-6)
        return math.floor(float(value) / self._scale)

    def _widen(self) -> None:
        wider: dict[int, int] = {}
        for place, count in self._bins.items():
            wider[place // 10] = wider.get(place // 10, 0) + count
        self._bins, self._exponent = wider, self._exponent + 1
        self._scale = int(10 ** abs(self._exponent))

    def as_json(self) -> dict[str, Any] | None:
        """`bins`: [from, to, count], the last without its `to`; `whole`: all are integers; `below` and `above`: counts of what lies far out; None without a number."""
        if not self.count:
            return None
        about = {
            "count": self.count,
            "whole": self._whole,
            "min": self.low,
            "max": self.high,
            "mean": self._sum / self.count,
        }
        if self.low == self.high:
            return {**about, "bins": [[self.low, self.high, self.count]], "below": 0, "above": 0}
        while self._whole and self._exponent < 0:
            self._widen()
        while (ends := self._ends())[1] - ends[0] > FINE:
            self._widen()
        return {**about, **self._shown(*ends)}

    def _shown(self, first: int, last: int) -> dict[str, Any]:
        step = _step((last - first + 1) / SHOWN)
        bins: dict[int, int] = {}
        below = above = 0
        for place, count in self._bins.items():
            if place < first:
                below += count
            elif place > last:
                above += count
            else:
                bins[place // step] = bins.get(place // step, 0) + count
        edges = range(min(bins), max(bins) + 1)
        shown = [[self._edge(at * step), self._edge((at + 1) * step), bins.get(at, 0)] for at in edges]
        return {"bins": shown, "below": below, "above": above}

    def _edge(self, place: int) -> float:
        return place / self._scale if self._exponent < 0 else float(place * self._scale)

    def _ends(self) -> tuple[int, int]:
        """The first and last bin that are shown: all, or those of the middle 98 % where the rest lies far out."""
        places = sorted(self._bins)
        low, high = self._quantile(places, 0.01), self._quantile(places, 0.99)
        room = FAR * max(1, high - low)
        first = places[0] if low - places[0] <= room else low
        last = places[-1] if places[-1] - high <= room else high
        return first, last

    def _quantile(self, places: list[int], share: float) -> int:
        left = share * self.count
        for place in places:
            left -= self._bins[place]
            if left <= 0:
                return place
        return places[-1]


def _step(least: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50 … that is not below `least`."""
    if least <= 1:
        return 1
    power = 10 ** math.floor(math.log10(least))
    return next(step for times in (1, 2, 5, 10) if (step := int(times * power)) >= least)
