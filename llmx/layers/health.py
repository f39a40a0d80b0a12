"""What an endpoint has answered so far."""

from __future__ import annotations

import math

from llmx.types import Tally

__all__ = ["ALONE", "Health"]

ALONE = 3
"""Refusals of one row, each with answers to others since the one before, that show that it is this row."""

SPELL = 120.0
"""Seconds without a refusal after which the next one is another matter; the longest pause is a fourth of it."""


class Health:
    """Facts of one endpoint, in the clock's seconds.

    Attributes:
        reached: something came back from it, be it an error: the address is right.
        answered: a good answer did.
        last_answer: when the last one did; minus infinity before.
        refused_since: when the first refusal of a spell came, after the last good answer; None where none did.
        several: not only one row was refused in it.
    """

    def __init__(self) -> None:
        self.reached = False
        self.answered = False
        self.last_answer = -math.inf
        self.refused_since: float | None = None
        self.several = False
        self._row: Tally | None = None
        self._expected = math.inf

    def good(self, now: float) -> None:
        """Note a good answer."""
        self.reached = self.answered = True
        self.last_answer = now
        self.refused_since = None

    def refused(self, now: float, tally: Tally, retry_after: float = 0.0) -> None:
        """Note a refusal for a limit.

        Args:
            tally: of the row whose request it was.
            retry_after: seconds that the server named; who was not asked for long after that is not in a spell.
        """
        self.reached = True
        if self.refused_since is None or now > self._expected:
            self.refused_since, self.several, self._row = now, False, tally
        self.several = self.several or tally is not self._row
        self._expected = now + retry_after + SPELL
        tally.alone += tally.refused_at is not None and self.last_answer > tally.refused_at
        tally.refused_at = now

    def is_alone(self, tally: Tally) -> bool:
        """Whether it is this row that is refused, again and again, and not the limit that is used up.

        So it is with one that is larger than the limit: others are answered all the while. It waits by itself.
        """
        return tally.alone >= ALONE
