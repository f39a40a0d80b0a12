"""One process's way to a ledger: what its engines are given, for whichever key they run.

All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import TYPE_CHECKING

from llmx.clock import Clock, SystemClock
from llmx.commons import Commons
from llmx.layers.budget import Allowance, Amount
from llmx.providers import Endpoint
from llmx.quotas.account import ProviderQuota
from llmx.quotas.keys import KeyLimits
from llmx.quotas.leases import PATIENCE, KeyBudget
from llmx.quotas.ledger import Balance, Refusal
from llmx.quotas.membership import Membership

if TYPE_CHECKING:
    from llmx.quotas.embedded import EmbeddedLedger
    from llmx.quotas.redis import RedisLedger

__all__ = ["Quotas"]

WORKERS = 10
"""Processes that share an account's limits, as one supposes that has never heard of any other."""


class Quotas:
    """See the module.

    Args:
        ledger: closed by whoever opened it.
        most_workers: processes that may share the ledger: one that never reached it keeps to this part of a limit.
        patience: seconds without the ledger after which a run that needs more of a budget is stopped, to be resumed.
    """

    def __init__(
        self,
        ledger: EmbeddedLedger | RedisLedger,
        *,
        most_workers: int = WORKERS,
        patience: float = PATIENCE,
        clock: Clock | None = None,
    ) -> None:
        self.ledger = ledger
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._clock, self._patience = clock or SystemClock(), patience
        self._members = Membership(ledger, self.worker, clock=self._clock, most=most_workers, held=self._held)
        self._accounts: dict[str, ProviderQuota] = {}
        self._budgets: dict[str, KeyBudget] = {}

    def commons(self, limits: KeyLimits | None = None, *more: Allowance) -> Commons:
        """What an engine that runs for a key is given.

        Args:
            limits: of the key; None for a run that is nobody's.
            more: allowances that are asked before those of the key.
        """
        budget = None if limits is None else self.budget(limits)
        allowances = [*more] if budget is None else [*more, budget]
        dollars = limits is not None and limits.daily_cost is not None
        return Commons(self.quota, allowances, dollars)

    def quota(self, endpoint: Endpoint) -> ProviderQuota:
        """The rates of the account that an endpoint's calls go to: a model at an address."""
        account = f"{endpoint.called or endpoint.label}@{endpoint.base_url}"
        if account not in self._accounts:
            self._accounts[account] = ProviderQuota(
                account, rates=self.ledger, members=self._members, clock=self._clock
            )
        return self._accounts[account]

    def budget(self, limits: KeyLimits) -> KeyBudget | None:
        """The daily budgets of a key, of all its runs in this process; None when it has none."""
        if limits.daily is None:
            return None
        budget = self._budgets.get(limits.name)
        if budget is None:
            budget = self._budgets[limits.name] = KeyBudget(
                self.ledger,
                limits.name,
                limits,
                owner=self.worker,
                clock=self._clock,
                patience=self._patience,
            )
        budget.limits = limits  # the operator may have changed them
        return budget

    async def fits(self, limits: KeyLimits, estimate: Amount) -> Refusal | None:
        """See `Ledger.fits`."""
        return await self.ledger.fits(limits.name, limits, estimate)

    async def standing(self, limits: KeyLimits) -> Balance:
        """See `Ledger.standing`."""
        return await self.ledger.standing(limits.name, limits)

    async def aclose(self) -> None:
        """Give back what is not in flight, and give no more signs of life. The ledger stays open."""
        await self._members.aclose()
        await asyncio.gather(*(budget.aclose() for budget in self._budgets.values()))

    def _held(self, account: str, seconds: float) -> None:
        if (quota := self._accounts.get(account)) is not None:
            quota.hold(seconds)
