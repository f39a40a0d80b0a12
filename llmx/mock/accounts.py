"""Who calls: every API key is an account, with limits and credit of its own.

Keys are told apart and checked here; what follows from a wrong one is the provider's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llmx.mock.limits import RateLimits
from llmx.mock.settings import MockSettings

__all__ = ["Account", "Accounts", "key_of"]


@dataclass(slots=True, eq=False)
class Account:
    """What one key may do and has done.

    Args:
        calls: that came with it, whatever became of them.
        accepted: answers that its credit was used for, those that never arrive included.
        answered: answers that left, those cut off in the middle included.
    """

    limits: RateLimits
    calls: int = 0
    accepted: int = 0
    answered: int = 0


class Accounts:
    """The accepted keys' accounts, or, where any key is accepted, one for every key that is seen.

    Calls without a key share one account where no key is asked for.
    """

    def __init__(self, settings: MockSettings) -> None:
        self._settings = settings
        self._accounts = {key: self._opened() for key in settings.keys}

    def of(self, key: str) -> Account | None:
        """The account of this key, "" for none; None when the key is not accepted."""
        if self._settings.keys:
            return self._accounts.get(key) if key else None
        if key not in self._accounts:
            self._accounts[key] = self._opened()
        return self._accounts[key]

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Calls and answers by "key 1", "key 2", …, and "no key": the keys themselves are never shown."""
        keyed = [account for key, account in self._accounts.items() if key]
        named = {f"key {number}": account for number, account in enumerate(keyed, 1)}
        if "" in self._accounts:
            named["no key"] = self._accounts[""]
        return {name: {"calls": one.calls, "answered": one.answered} for name, one in named.items()}

    def _opened(self) -> Account:
        settings = self._settings
        limits = RateLimits(
            settings.rpm,
            settings.tpm,
            itpm=settings.itpm,
            otpm=settings.otpm,
            window=settings.limit_window,
            changes=settings.limits_at,
        )
        return Account(limits)


def key_of(headers: Mapping[str, str]) -> str:
    """The API key as either family sends it, "" where there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
