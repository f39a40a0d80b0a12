"""Several pieces of work at the same time, all or none.

Not a `TaskGroup`: until Python 3.13 one leaves its task marked as cancelled after a child has failed, which whoever looks at
that mark later takes for a wish of its own caller (https://github.com/python/cpython/issues/116720).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

__all__ = ["together"]

T = TypeVar("T")


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order; the first error, once all others have been cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        failed = [task for task in tasks if task in done and not task.cancelled() and task.exception()]
        if failed:
            failed[0].result()
        return [task.result() for task in tasks]
    finally:
        left = [task for task in tasks if not task.done()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        for task in tasks:  # an error that nobody asks for would be told at exit
            if not task.cancelled():
                task.exception()
