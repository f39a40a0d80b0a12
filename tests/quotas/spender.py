"""A process that spends a key's budget until there is no room, and writes down every call: python spender.py LEDGER LIMIT LOG.

A line holds the worst case of a call before it is made, and what it used afterwards.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from llmx.clock import SystemClock
from llmx.errors import BudgetReached
from llmx.layers.budget import Amount, Spending
from llmx.layers.stop import Stop
from llmx.quotas import KeyLimits, Quotas, open_ledger

CALLERS = 4


async def main(where: str, limit: int, log: int) -> None:
    """Spend with a few calls at a time."""
    quotas = Quotas(open_ledger(where))
    budget = quotas.budget(KeyLimits("k", daily_tokens=limit))
    assert budget is not None
    spending = Spending([budget], clock=SystemClock(), stop=Stop())
    budget.listen(spending.look_again)

    async def caller() -> None:
        while True:
            most = random.randint(1, 40)
            reserved = await spending.reserve(Amount(None, most))
            os.write(log, b"+%d\n" % most)
            await asyncio.sleep(random.random() / 50)
            used = random.randint(0, most)
            os.write(log, b"-%d\n" % (most - used))
            spending.settle(reserved, Amount(None, used), counted=True)

    ended = await asyncio.gather(*(caller() for _ in range(CALLERS)), return_exceptions=True)
    await quotas.aclose()
    await quotas.ledger.aclose()
    for error in ended:
        if not isinstance(error, BudgetReached):
            raise error


if __name__ == "__main__":
    where, limit, path = sys.argv[1:]
    asyncio.run(main(where, int(limit), os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)))
    Path(path + ".ended").touch()
