"""What many processes share, for a service: requests per minute and daily budgets of keys, and an account's rates.

The books are kept in a `Ledger`, an SQLite file or a Redis. `Quotas` is one process's way to it, and makes of it what
an engine is given (`llmx.commons`); `RequestLimits` is asked before a request is taken at all. Nothing here knows of HTTP.
"""

from __future__ import annotations

from llmx.quotas.keys import KeyLimits
from llmx.quotas.ledger import Balance, Ledger, Refusal
from llmx.quotas.opening import open_ledger
from llmx.quotas.process import Quotas
from llmx.quotas.requests import RequestLimits, Standing, headers

__all__ = [
    "Balance",
    "KeyLimits",
    "Ledger",
    "Quotas",
    "Refusal",
    "RequestLimits",
    "Standing",
    "headers",
    "open_ledger",
]
