"""Cancellations that a library swallows, raised after all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

__all__ = ["cancellable"]

T = TypeVar("T")


async def cancellable(work: Awaitable[T]) -> T:
    """The same; where it has swallowed a cancellation, that is raised.

    redis-py looks, before every command, for bytes that nobody asked for, under a time limit of 0; a cancellation at that moment
    is taken for the limit's own (`asyncio.timeout`, by `Task.uncancel`).
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await work
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError
