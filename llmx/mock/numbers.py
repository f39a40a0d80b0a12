"""Numeric values within a schema's bounds, near zero where the bounds leave room."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any

__all__ = ["NumberDraw", "integer_draw", "number_draw"]

NumberDraw = Callable[[Random], int | float]

_REACH = 100

_LARGEST = 2**63 - 1
"""Beyond 64 bits, parsers of JSON disagree on integers."""


def integer_draw(schema: Mapping[str, Any]) -> NumberDraw | None:
    """What draws integers for a flat schema; None if none satisfies it."""
    low, high = _integer_bounds(schema)
    if (low or 0) > _LARGEST or (high or 0) < -_LARGEST:
        return None
    # An integer multiple of p/q in lowest terms is a multiple of p.
    step = Fraction(str(schema["multipleOf"])).numerator if "multipleOf" in schema else 1
    first, last = _near_zero(low, high, _REACH * step)
    start, stop = -(-first // step), last // step
    if start > stop:
        return None
    return lambda rng: (start + int(rng.random() * (stop - start + 1))) * step


def _integer_bounds(schema: Mapping[str, Any]) -> tuple[int | None, int | None]:
    lows, highs = [], []
    if "minimum" in schema:
        lows.append(math.ceil(schema["minimum"]))
    if "exclusiveMinimum" in schema:
        lows.append(math.floor(schema["exclusiveMinimum"]) + 1)
    if "maximum" in schema:
        highs.append(math.floor(schema["maximum"]))
    if "exclusiveMaximum" in schema:
        highs.append(math.ceil(schema["exclusiveMaximum"]) - 1)
    return max(lows, default=None), min(highs, default=None)


def _near_zero(low: Any, high: Any, reach: Any) -> tuple[Any, Any]:
    """Close what is open, and narrow what is too wide, so that values look like values."""
    if low is None:
        low = 0 if high is None or high >= reach else high - reach
    if high is None:
        high = max(low, 0) + reach
    if low <= 0 <= high:
        return max(low, -reach), min(high, reach)
    return (low, min(high, low + reach)) if low > 0 else (max(low, high - reach), high)


@dataclass(frozen=True, slots=True)
class _Interval:
    """Real numbers from `low` to `high`, its ends included unless they are excluded."""

    low: float
    high: float
    without_low: bool
    without_high: bool

    @property
    def empty(self) -> bool:
        return self.low > self.high or (self.low == self.high and (self.without_low or self.without_high))

    def holds(self, value: float) -> bool:
        above = self.low < value or (self.low == value and not self.without_low)
        return above and (value < self.high or (value == self.high and not self.without_high))


def _interval(schema: Mapping[str, Any]) -> _Interval:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    without_low = above is not None and (low is None or above >= low)
    without_high = below is not None and (high is None or below <= high)
    low, high = (above if without_low else low), (below if without_high else high)
    first, last = _near_zero(low, high, _REACH * max(1, schema.get("multipleOf", 1)))
    return _Interval(float(first), float(last), without_low and first == low, without_high and last == high)


def number_draw(schema: Mapping[str, Any]) -> NumberDraw | None:
    """What draws numbers for a flat schema; None if none satisfies it."""
    interval = _interval(schema)
    if interval.empty:
        return None
    return _multiples(interval, schema["multipleOf"]) if "multipleOf" in schema else _decimals(interval)


def _decimals(interval: _Interval) -> NumberDraw:
    def draw(rng: Random) -> float:
        exact = interval.low + (interval.high - interval.low) * rng.random()
        candidates = (round(exact, 2), exact, (interval.low + interval.high) / 2)
        return next((value for value in candidates if interval.holds(value)), exact)

    return draw


def _multiples(interval: _Interval, unit: float) -> NumberDraw | None:
    exact = Fraction(str(unit))
    low, high = Fraction(str(interval.low)), Fraction(str(interval.high))
    start, stop = math.ceil(low / exact), math.floor(high / exact)
    start += interval.without_low and start * exact == low
    stop -= interval.without_high and stop * exact == high
    if start > stop:
        return None

    def draw(rng: Random) -> float:
        value = 0.0
        for _ in range(30):
            value = float((start + int(rng.random() * (stop - start + 1))) * exact)
            # Validators divide in binary: 0.3 / 0.1 is no integer to them, so look for one that is.
            if interval.holds(value) and (value / unit).is_integer():
                break
        return value

    return draw
