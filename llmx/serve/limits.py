"""The seam to what a key may ask and spend: who is let through, and what a client is told of it.

The service works without limits; `llmx.quotas` brings them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llmx.serve.keys import Key

__all__ = ["Gatekeeper", "NoLimits"]


class Gatekeeper(Protocol):
    """Limits per key."""

    async def admit(self, key: Key) -> Mapping[str, str]:
        """Count a request; the headers that tell the client where it stands.

        Raises:
            Problem: 429, with when to come back.
        """
        ...

    async def standing(self, key: Key) -> dict[str, Any]:
        """Where a key stands, as GET /v1/limits tells it."""
        ...

    def commons(self, key: Key) -> Any:
        """What engines of this key share with all others (`llmx.quotas`' Commons), None for nothing."""
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...


class NoLimits:
    """Nobody is held back."""

    async def admit(self, key: Key) -> Mapping[str, str]:
        """See `Gatekeeper.admit`."""
        return {}

    async def standing(self, key: Key) -> dict[str, Any]:
        """See `Gatekeeper.standing`."""
        unlimited = {"limit": None, "spent": None, "left": None}
        return {
            "key": key.name,
            "rpm": {"limit": None, "remaining": None, "reset": None},
            "daily": {"tokens": unlimited, "cost": unlimited},
        }

    def commons(self, key: Key) -> Any:
        """See `Gatekeeper.commons`."""
        return None

    async def aclose(self) -> None:
        """See `Gatekeeper.aclose`."""
