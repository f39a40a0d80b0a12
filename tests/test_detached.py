"""Blocking work beside the loop: its result, its errors, its progress, and how it is left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from fakes import settle_down, until

import llmx.detached as module
from llmx.detached import Progress, detached
from llmx.errors import UsageError


class Work:
    """Blocking work that signs once, waits to be let on, and signs again."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.ended_by: BaseException | None = None
        self.thread: threading.Thread | None = None

    def __call__(self, progress: Progress) -> str:
        self.thread = threading.current_thread()
        try:
            progress(1, 2)
            self.started.set()
            assert self.go_on.wait(10)
            progress(2, 2)
        except BaseException as error:
            self.ended_by = error
            raise
        finally:
            self.ended.set()
        return "done"


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go_on.set()
    assert made.thread
    made.thread.join(10)


def nothing(done: int, total: int | None) -> None:
    """A progress callback that shows nothing."""


async def cancelled(task: asyncio.Task[str]) -> None:
    """Wait for a task that must end as cancelled, and soon."""
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_result() -> None:
    """It comes from a thread that the process does not wait for."""
    thread = await detached(lambda progress: threading.current_thread(), nothing)
    assert (thread is threading.current_thread(), thread.daemon) == (False, True)


async def test_an_error() -> None:
    """It is raised as it is."""
    error = UsageError("no weights", hint="h")

    def failing(progress: Progress) -> None:
        raise error

    with pytest.raises(UsageError) as caught:
        await detached(failing, nothing)
    assert caught.value is error


async def test_progress_is_shown_on_the_loops_thread() -> None:
    """In order, and all of it before the result."""
    seen: list[tuple[int, int | None, threading.Thread]] = []

    def counting(progress: Progress) -> None:
        for done in range(3):
            progress(done, None)

    await detached(counting, lambda done, total: seen.append((done, total, threading.current_thread())))
    assert [(done, None, threading.current_thread()) for done in range(3)] == seen


async def test_a_cancelled_caller_ends_the_work(work: Work) -> None:
    """At its next sign of progress, which is not shown any more; the caller waits for it that long."""
    seen: list[int] = []
    task = asyncio.create_task(detached(work, lambda done, total: seen.append(done)))
    await until(lambda: seen == [1])
    task.cancel()
    await settle_down()
    assert not task.done()
    work.go_on.set()
    await cancelled(task)
    assert (work.ended.is_set(), type(work.ended_by), seen) == (True, module._Abandoned, [1])


async def test_progress_that_was_under_way_is_not_shown(work: Work) -> None:
    """Whoever was cancelled may have closed what shows it."""
    seen: list[int] = []
    task = asyncio.create_task(detached(work, lambda done, total: seen.append(done)))
    await until(lambda: seen == [1])
    task.cancel()
    work.go_on.set()
    assert work.ended.wait(10)  # the loop has not turned: its queue holds the cancellation, then the progress
    await cancelled(task)
    assert (work.ended_by, seen) == (None, [1])


async def test_stalled_work_is_left_behind(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller goes on after the grace, and what the work still comes to is nobody's."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    task = asyncio.create_task(detached(work, nothing))
    await until(work.started.is_set)
    task.cancel()
    await cancelled(task)
    assert not work.ended.is_set()


async def test_a_second_cancellation_ends_the_grace(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second Ctrl-C is an order."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 60.0)
    task = asyncio.create_task(detached(work, nothing))
    await until(work.started.is_set)
    task.cancel()
    await settle_down()
    task.cancel()
    await cancelled(task)
    assert not work.ended.is_set()


async def test_an_error_during_the_grace_does_not_replace_the_cancellation(work: Work) -> None:
    """Nobody asked for it any more."""

    def failing(progress: Progress) -> str:
        work(nothing)
        raise UsageError("too late")

    task = asyncio.create_task(detached(failing, nothing))
    await until(work.started.is_set)
    task.cancel()
    await settle_down()
    work.go_on.set()
    await cancelled(task)


def test_work_that_outlives_its_loop(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends in silence."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.01)
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    async def main() -> None:
        task = asyncio.create_task(detached(work, nothing))
        await until(work.started.is_set)
        task.cancel()
        await cancelled(task)

    asyncio.run(main())
    work.go_on.set()
    assert work.thread
    work.thread.join(10)
    assert (type(work.ended_by), raised) == (module._Abandoned, [])
