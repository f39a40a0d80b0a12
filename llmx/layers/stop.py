"""Stopping a run: no new calls, those in flight finish, those waiting give up at once.

Every wait of a layer happens inside `interruptible()`, so that a stop ends it without cancelling a
call that has already been paid for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmx.errors import LlmxError, Stopped

__all__ = ["Stop"]


class Stop:
    """One run's stop switch; it is thrown once and stays thrown.

    Args:
        on_stop: told the reason, once.
    """

    def __init__(self, on_stop: Callable[[LlmxError], None] = lambda reason: None) -> None:
        self.reasons: list[LlmxError] = []
        self._on_stop = on_stop
        self._waiting: set[asyncio.Task[object]] = set()

    def set(self, reason: LlmxError) -> None:
        """Throw the switch; later reasons are kept beside the first."""
        self.reasons.append(reason)
        if len(self.reasons) > 1:
            return
        self._on_stop(reason)
        for task in self._waiting - {_running()}:  # who stops the run in the midst of a wait raises by itself
            task.cancel()

    @property
    def reason(self) -> LlmxError | None:
        """Why the run is stopping, None while it is not."""
        return self.reasons[0] if self.reasons else None

    def check(self) -> None:
        """Raise Stopped if the run is stopping."""
        if self.reason is not None:
            raise Stopped(str(self.reason))

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A wait that a stop ends: Stopped is raised at once when the switch is, or was, thrown."""
        self.check()
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self.reason is None:
                raise
            if task.uncancel():  # somebody else has cancelled it, too
                raise
            raise Stopped(str(self.reason)) from None
        finally:
            self._waiting.discard(task)


def _running() -> asyncio.Task[object] | None:
    """The task that runs now; None outside of a loop."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
