"""What a key may ask and spend: who is let through, and what a client is told of it. The books are `llmx.quotas`'."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from llmx.commons import Commons
from llmx.layers.budget import Amount
from llmx.quotas import Balance, KeyLimits, Quotas, RequestLimits, headers, open_ledger
from llmx.serve.keys import Key, KeyRing
from llmx.serve.problems import Problem

__all__ = ["Limits", "open_limits"]


class Limits:
    """The limits in the keys' file, kept by all processes together, with the rates of the providers' accounts.

    Args:
        keys: where a job's owner is found, whose limits may have changed since.
    """

    def __init__(self, quotas: Quotas, requests: RequestLimits, keys: KeyRing) -> None:
        self._quotas = quotas
        self._requests = requests
        self._keys = keys

    async def admit(self, key: Key) -> Mapping[str, str]:
        """Count a request; the headers that tell the client where it stands.

        Raises:
            Problem: 429, with when to come back.
        """
        standing = await self._requests.hit(key.name, key.rpm)
        told = headers(standing)
        if standing.allowed:
            return told
        problem = f"more than {key.rpm} requests in a minute"
        raise Problem(429, "too_many_requests", problem, headers=told)

    async def standing(self, key: Key) -> dict[str, Any]:
        """Where a key stands, as GET /v1/limits tells it."""
        limits = _limits(key)
        now = await self._requests.standing(key.name, key.rpm)
        balance = None if limits is None else await self._quotas.standing(limits)
        return {
            "key": key.name,
            "rpm": {"limit": now.limit, "remaining": now.remaining, "reset": now.reset_seconds},
            "daily": _daily(balance),
        }

    async def fits(self, key: Key, amount: Amount) -> None:
        """Raises Problem: 402, so much more is not left of what the key may use in a day."""
        limits = _limits(key)
        refusal = None if limits is None else await self._quotas.fits(limits, amount)
        if refusal is not None:
            raise Problem(402, "budget_reached", refusal.message, hint="GET /v1/limits")

    def commons(self, key: Key) -> Commons:
        """What engines of this key share with all others."""
        return self._quotas.commons(_limits(key))

    def of_owner(self, name: str) -> Commons:
        """The same for jobs, by the name of the key that made them. One that was revoked may use nothing any more."""
        key = self._keys.named(name)
        if key is not None or not name:
            return self._quotas.commons(None if key is None else _limits(key))
        return self._quotas.commons(KeyLimits(name, daily_tokens=0))


@asynccontextmanager
async def open_limits(ledger: str | Path, keys: KeyRing) -> AsyncIterator[Limits]:
    """The limits of all keys, released at the end.

    Args:
        ledger: the path of a file, or the URL of a Redis: what all processes share.

    Raises:
        UsageError: an extra is missing.
        OutputFailed: the file cannot be used.
    """
    books = open_ledger(ledger)
    quotas = Quotas(books)
    requests = RequestLimits(str(ledger) if isinstance(ledger, str) else None)
    try:
        yield Limits(quotas, requests, keys)
    finally:
        await quotas.aclose()
        await requests.aclose()
        await books.aclose()


def _limits(key: Key) -> KeyLimits | None:
    """What a key may do; None for one without a name, which is everybody."""
    return KeyLimits(key.name, key.rpm, key.daily_tokens, key.daily_cost) if key.name else None


def _daily(balance: Balance | None) -> dict[str, Any]:
    """The budgets of a day as JSON; money as decimals in text. What is held is set aside for calls that may be made soon."""
    if balance is None or balance.limits.daily is None:
        unlimited = {"limit": None, "spent": None, "held": None, "left": None}
        return {"tokens": unlimited, "cost": unlimited, "frees": None}
    limits, (dollars, tokens) = balance.limits, balance.left
    frees = balance.frees_at
    return {
        "tokens": {
            "limit": limits.daily_tokens,
            "spent": balance.tokens - balance.held_tokens,
            "held": balance.held_tokens,
            "left": tokens,
        },
        "cost": {
            "limit": _text(limits.daily_cost),
            "spent": _text(balance.cost - balance.held_cost),
            "held": _text(balance.held_cost),
            "left": _text(dollars),
        },
        "frees": None if frees is None else datetime.fromtimestamp(frees, UTC).isoformat(timespec="seconds"),
    }


def _text(cost: Decimal | None) -> str | None:
    return None if cost is None else f"{cost:f}"
