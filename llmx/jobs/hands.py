"""The shards that a process runs at once, as a queue gives them out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from llmx.errors import LlmxError
from llmx.jobs.queue import Run
from llmx.jobs.types import ShardRef

__all__ = ["Hands"]

log = logging.getLogger("llmx.worker")

PAUSE = 1.0
"""Seconds until a shard is tried again that was not to be had."""


class Hands:
    """The shards that this process runs."""

    def __init__(self, run: Run, at_once: int) -> None:
        self._run = run
        self._at_once = at_once
        self._running: dict[ShardRef, asyncio.Task[None]] = {}
        self._begun: dict[ShardRef, float] = {}

    @property
    def full(self) -> bool:
        """Whether no more can be run."""
        return len(self._running) >= self._at_once

    @property
    def wanted(self) -> int:
        """How many to look at: among them may be those that are under way, or were not to be had."""
        return self._at_once + len(self._begun)

    @property
    def runs(self) -> list[asyncio.Task[None]]:
        """What is under way."""
        return list(self._running.values())

    def take(self, refs: Sequence[ShardRef]) -> None:
        """Begin to run these, as far as there is room; not those that were tried just now."""
        now = asyncio.get_running_loop().time()
        self._begun = {
            ref: then for ref, then in self._begun.items() if ref in self._running or now < then + PAUSE
        }
        for ref in refs:
            if not self.full and ref not in self._begun:
                self._begun[ref] = now
                self._running[ref] = asyncio.create_task(self._run(ref))

    def let_go(self) -> None:
        """Forget those that have ended; what one of them raised, if it is our bug, is raised here."""
        for ref, task in list(self._running.items()):
            if task.done():
                del self._running[ref]
                try:
                    task.result()
                except LlmxError as error:  # its lease runs out, and another worker goes on with it
                    log.warning("shard %d of %s: %s", ref.number, ref.job, error)
