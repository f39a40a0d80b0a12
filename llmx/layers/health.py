"""What an endpoint has answered so far."""

from __future__ import annotations

import math

__all__ = ["Health"]


class Health:
    """Facts of one endpoint, in the clock's seconds.

    Attributes:
        reached: something came back from it, be it an error: the address is right.
        answered: a good answer did.
        last_answer: when the last one did; minus infinity before.
        refused_since: when the first refusal came after that, None where none did.
    """

    def __init__(self) -> None:
        self.reached = False
        self.answered = False
        self.last_answer = -math.inf
        self.refused_since: float | None = None

    def good(self, now: float) -> None:
        """Note a good answer."""
        self.reached = self.answered = True
        self.last_answer = now
        self.refused_since = None

    def refused(self, now: float) -> None:
        """Note a refusal for a limit."""
        self.reached = True
        if self.refused_since is None:
            self.refused_since = now
