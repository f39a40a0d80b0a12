"""The part of a run's limits that one of several processes keeps to, so that all of them together keep to the whole."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["ALONE", "Share"]


class Share(Struct, frozen=True):
    """One of equal parts.

    Args:
        number: which one, from 0.
        of: how many there are, from 1.
    """

    number: int = 0
    of: int = 1

    def rate(self, per_minute: float | None) -> float | None:
        """This part of a rate; None for none."""
        return None if per_minute is None else per_minute / self.of

    def places(self, calls: int) -> int:
        """This part of the calls in flight, from 1: where they cannot be divided, the first parts have one more."""
        return max(1, calls // self.of + (self.number < calls % self.of))


ALONE = Share()
"""All of it: of a run in one process."""
