"""How long calls took."""

from __future__ import annotations

import math

__all__ = ["Latencies"]


class Latencies:
    """Quantiles in constant memory: a histogram whose bins are 2 % wide (DDSketch, VLDB 2019, section 2)."""

    GROWTH = 1.02

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self.count = 0

    def add(self, seconds: float) -> None:
        """Note one duration, at least a microsecond long."""
        bin_ = math.ceil(math.log(max(seconds, 1e-6), self.GROWTH))
        self._bins[bin_] = self._bins.get(bin_, 0) + 1
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """The duration that `share` (0 to 1) of all do not exceed, within 1 %; None without any."""
        rank = share * (self.count - 1)
        seen = 0
        for bin_ in sorted(self._bins):
            seen += self._bins[bin_]
            if seen > rank:
                return 2 * self.GROWTH**bin_ / (self.GROWTH + 1)
        return None
