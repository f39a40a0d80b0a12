"""Retries stay few while most attempts fail, so that an outage is not amplified; who is over the budget waits.

As in "The Site Reliability Workbook" and Google's SRE book, chapter 21 ("a per-client retry budget"): there 10 % of
all requests, too.
"""

from __future__ import annotations

from llmx.layers.rolling import Rolling

__all__ = ["RetryBudget"]

FAILING = 0.5
"""The share of failed attempts from which on retries are counted out."""

SHARE = 0.1
FLOOR = 10
"""Retries that a minute may have, whatever it had of first attempts."""

STEP = 0.25
"""Seconds after which who waits looks again."""


class RetryBudget:
    """First attempts and retries of one endpoint in the last minute, in the clock's seconds."""

    def __init__(self) -> None:
        self._firsts = Rolling()
        self._retries = Rolling()

    def first(self, now: float) -> None:
        """A first attempt was made."""
        self._firsts.add(now)

    def take(self, now: float, failing: float) -> float:
        """Count a retry, if one may be made now, and return 0; else seconds until it is worth asking again.

        Args:
            failing: the share of the last attempts that failed, 0 to 1.
        """
        most = SHARE * self._firsts.total(now) + FLOOR
        if failing > FAILING and self._retries.total(now) >= most:
            return STEP
        self._retries.add(now)
        return 0.0
