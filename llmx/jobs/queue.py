"""Who is given which shard: a protocol with two implementations.

The queue only hands out; what counts is the store's lease. A shard that is handed out twice is claimed once, and one that a
lost message was about is found in the store (`Shards.waiting`) and put again.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from llmx.jobs.types import ShardRef

__all__ = ["Queue", "Run"]

Run = Callable[[ShardRef], Coroutine[Any, Any, None]]
"""Claims a shard and runs it to its end; returns at once where it is not to be had."""


class Queue(Protocol):
    """Shards on their way to workers."""

    async def put(self, refs: Sequence[ShardRef]) -> None:
        """These wait for a worker; to put one again does no harm."""
        ...

    async def consume(self, run: Run, at_once: int) -> None:
        """Give `run` so many shards at a time, until cancelled; then those under way are waited for.

        `run` ends soon after the worker's stop was thrown, which is whose business it is to throw.
        """
        ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...
