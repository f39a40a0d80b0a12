"""What one API key may use. Who a key belongs to, and how it is checked, is the service's business."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from llmx.budgets import Daily

__all__ = ["KeyLimits"]

LARGEST = 2**53
"""Above it Redis's scripts, which have floating-point numbers alone, no longer count by ones: in nano-dollars, nine
million dollars."""


class KeyLimits(Struct, frozen=True):
    """The limits of one key.

    Args:
        name: of the key, by which its budgets go in the ledger; never the key itself.
        rpm: requests per minute, from 1; None for no limit.
        daily_tokens: input and output together in any 24 hours, from 0; None for no limit.
        daily_cost: US dollars in any 24 hours, from 0 to 9 million; None for no limit.

    Raises:
        ValueError: one of them is none of these.
    """

    name: str
    rpm: int | None = None
    daily_tokens: int | None = None
    daily_cost: Decimal | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("a key's limits need its name")
        if self.rpm is not None and self.rpm < 1:
            raise ValueError(f"rpm is 1 or more, got {self.rpm}")
        if self.daily is not None and not self._countable:
            raise ValueError("a daily budget is at most 9,000,000 dollars and 9e15 tokens")

    @property
    def daily(self) -> Daily | None:
        """The budgets of a day; None when it has none."""
        if self.daily_cost is None and self.daily_tokens is None:
            return None
        return Daily(self.daily_cost, self.daily_tokens)

    @property
    def _countable(self) -> bool:
        return (self.daily_cost or 0) * 10**9 < LARGEST and (self.daily_tokens or 0) < LARGEST
