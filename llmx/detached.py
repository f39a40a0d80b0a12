"""Blocking work beside the event loop, in a thread that no exit of the process waits for.

An executor's threads are joined at exit, so one that waits for a slow server would hold the process. The
thread here is a daemon: whoever gives up tells it so, and goes on whether or not it listens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ["GRACE_SECONDS", "Progress", "detached", "in_thread"]

T = TypeVar("T")

Progress = Callable[[int, int | None], None]
"""Called with what is done and, where it is known, how much there is."""

GRACE_SECONDS = 0.5
"""What a cancelled caller gives the thread to put its files in order."""


class _Abandoned(Exception):
    """Raised in the thread, by its progress callback: nobody waits for the result any more."""


async def detached(work: Callable[[Progress], T], progress: Progress) -> T:
    """The result of `work`, run in a daemon thread; what it raises is raised here.

    When the caller is cancelled, the work ends at its next sign of progress. The caller goes on as soon as
    it has, after `GRACE_SECONDS` at the latest: work that has stalled is left behind.

    Args:
        work: takes a progress callback; what that raises must end it.
        progress: called on the event loop's thread, never after a cancellation; must not raise.
    """
    loop = asyncio.get_running_loop()
    abandoned = threading.Event()

    def step(done: int, total: int | None) -> None:
        if abandoned.is_set():
            raise _Abandoned
        loop.call_soon_threadsafe(show, done, total)  # raises when the loop is closed: an end just as well

    def show(done: int, total: int | None) -> None:
        if not abandoned.is_set():
            progress(done, total)

    outcome = in_thread(lambda: work(step))
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        abandoned.set()
        with suppress(Exception):  # a timeout, or whatever the work still came to
            await asyncio.wait_for(asyncio.wrap_future(outcome), GRACE_SECONDS)
        raise


def in_thread(work: Callable[[], T]) -> Future[T]:
    """What `work` comes to, in a daemon thread of its own; whoever gives up waiting leaves it behind."""
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()  # from here on a cancelled waiter does not cancel it

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
            outcome.set_exception(error)

    threading.Thread(target=run, name="llmx-detached", daemon=True).start()
    return outcome
