"""Amounts of the last minute, in constant memory."""

from __future__ import annotations

from collections import deque

__all__ = ["SPAN", "Rolling"]

SPAN = 60.0
"""Seconds: limits are told per minute."""

CELL = 0.25
"""Seconds within which amounts are told apart no more: at most 241 cells, whatever the traffic."""


class Rolling:
    """What was added within the last `span` seconds, to a quarter second.

    Args:
        span: seconds.
    """

    def __init__(self, span: float = SPAN) -> None:
        self._cells: deque[list[float]] = deque()  # pairs of a cell's number and its amount
        self._span = round(span / CELL)
        self._total = 0.0
        self._first: float | None = None

    def add(self, now: float, amount: float = 1.0) -> None:
        """Count `amount` at `now`, in seconds that never go back; a correction may be negative."""
        if self._first is None:
            self._first = now
        cell = now // CELL
        if self._cells and self._cells[-1][0] == cell:
            self._cells[-1][1] += amount
        else:
            self._cells.append([cell, amount])
        self._total += amount
        self._forget(cell)

    def _forget(self, cell: float) -> None:
        """Drop what has left the window that ends in a cell."""
        while self._cells and self._cells[0][0] <= cell - self._span:
            self._total -= self._cells.popleft()[1]

    def total(self, now: float) -> float:
        """The sum over the window that ends at `now`."""
        self._forget(now // CELL)
        return self._total if self._cells else 0.0

    def excess(self, now: float, rate: float) -> float:
        """By how much the last seconds, as many as it is most for, hold more than `rate` a second; from 0."""
        amount = most = 0.0
        for cell, added in reversed(self._cells):
            amount += added
            most = max(most, amount - rate * (now - cell * CELL))
        return most

    def age(self, now: float) -> float:
        """Seconds of the window of which something is known: since the first amount, at most `span`."""
        return 0.0 if self._first is None else min(self._span * CELL, now - self._first)
