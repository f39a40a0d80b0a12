"""A blocking reader as an async one."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Iterator

import pytest
from fakes import Counted, until

from llmx.feed import HEAVY, Feed


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "llmx-reader"]


async def ended(threads: list[threading.Thread]) -> bool:
    """Whether these threads end soon, the loop running on."""
    await asyncio.gather(*(asyncio.to_thread(thread.join, 5) for thread in threads))
    return not any(thread.is_alive() for thread in threads)


class Pipe:
    """Rows from a writer that is slow: the reader blocks until a row is written."""

    def __init__(self) -> None:
        self.written: queue.Queue[int | None] = queue.Queue()
        self.read = 0

    def __iter__(self) -> Iterator[int]:
        while (row := self.written.get(timeout=5)) is not None:
            self.read += 1
            yield row


async def all_rows(feed: Feed[int]) -> list[int]:
    rows = []
    while (row := await feed.next()) is not None:
        rows.append(row)
    return rows


async def test_rows_come_in_order_and_then_none():
    """Every row once, then None for ever."""
    feed = Feed(range(1, 2001))
    assert await all_rows(feed) == list(range(1, 2001))
    assert await feed.next() is None


async def test_no_rows():
    """An empty input ends at once."""
    assert await Feed[int]([]).next() is None


async def test_rows_are_handed_over_as_they_come():
    """A row that was written is there before the next one is."""
    pipe = Pipe()
    feed = Feed(pipe)
    for n in (1, 2, 3):
        pipe.written.put(n)
        assert await asyncio.wait_for(feed.next(), 5) == n
    pipe.written.put(None)
    assert await asyncio.wait_for(feed.next(), 5) is None


async def test_a_slow_reader_does_not_stop_the_loop():
    """While the reader blocks, other tasks run."""
    pipe = Pipe()
    waiting = asyncio.ensure_future(Feed(pipe).next())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    pipe.written.put(7)
    assert await waiting == 7
    pipe.written.put(None)


async def test_rows_can_be_looked_at():
    """They come all the same; fewer are shown where there are no more."""
    feed = Feed(range(3))
    assert await feed.peek(2) == [0, 1]
    assert await feed.peek(9) == [0, 1, 2]
    assert [await feed.next() for _ in range(4)] == [0, 1, 2, None]
    assert await feed.peek(1) == []


async def test_many_tasks_share_a_feed():
    """Each row goes to one of the tasks that wait, and all of them learn of the end."""
    feed = Feed(range(1000))
    shares = await asyncio.gather(*(all_rows_of_many(feed) for _ in range(20)))
    assert sorted(row for share in shares for row in share) == list(range(1000))


async def all_rows_of_many(feed: Feed[int]) -> list[int]:
    rows = []
    while (row := await feed.next()) is not None:
        rows.append(row)
        await asyncio.sleep(0)
    return rows


async def test_many_waiting_tasks_learn_of_the_end():
    """Tasks that wait when the input ends all get None."""
    pipe = Pipe()
    feed = Feed(pipe)
    waiting = [asyncio.ensure_future(feed.next()) for _ in range(10)]
    await asyncio.sleep(0)
    pipe.written.put(1)
    pipe.written.put(None)
    assert sorted(await asyncio.gather(*waiting), key=str) == [1] + [None] * 9


async def test_an_error_of_the_reader_comes_after_the_rows_before_it():
    """What was read is handed over first; the error is raised once, then the feed is at its end."""

    def failing() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("disk gone")

    feed = Feed(failing())
    assert [await feed.next() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(OSError, match="disk gone"):
        await feed.next()
    assert await feed.next() is None


async def test_reading_ahead_is_bounded():
    """No more rows are read than asked for plus `ahead`, and one in the reader's hand."""
    pipe = Pipe()
    for n in range(100):
        pipe.written.put(n)
    feed = Feed(pipe, ahead=10)
    assert await feed.next() == 0
    await until(lambda: pipe.read >= 12)
    for _ in range(100):
        await asyncio.sleep(0)
    assert pipe.read == 12
    feed.close()


async def test_close_ends_the_thread():
    """A reader that waits for room is let go, and takes no further row."""
    before = set(reader_threads())
    pipe = Pipe()
    for n in range(100):
        pipe.written.put(n)
    feed = Feed(pipe, ahead=1)
    await feed.next()
    mine = [thread for thread in reader_threads() if thread not in before]
    feed.close()
    assert await ended(mine)
    assert pipe.read <= 4


async def test_close_while_the_reader_blocks():
    """A reader blocked in its input ends with the next row, which it drops."""
    before = set(reader_threads())
    pipe = Pipe()
    feed = Feed(pipe)
    mine = [thread for thread in reader_threads() if thread not in before]
    feed.close()
    pipe.written.put(1)
    assert await ended(mine)


async def test_the_reader_is_no_reason_not_to_exit():
    """The thread is a daemon: a terminal that nobody types into does not keep the process."""
    before = set(reader_threads())
    pipe = Pipe()
    Feed(pipe)
    mine = [thread for thread in reader_threads() if thread not in before]
    assert [thread.daemon for thread in mine] == [True]
    pipe.written.put(None)
    assert await ended(mine)


def test_a_reader_may_outlive_the_loop():
    """Rows that come after the loop was closed end the thread quietly."""
    pipe = Pipe()
    before = set(reader_threads())

    async def start() -> None:
        waiting = asyncio.ensure_future(Feed(pipe).next())
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(start())
    mine = [thread for thread in reader_threads() if thread not in before]
    pipe.written.put(1)
    pipe.written.put(2)
    for thread in mine:
        thread.join(5)
    assert [thread.is_alive() for thread in mine] == [False]


async def test_the_last_row_is_not_lost_when_the_end_comes_with_it():
    """A row and the end that arrive between two looks of the consumer: the row comes first."""
    pipe = Pipe()
    before = set(reader_threads())
    feed = Feed(pipe)
    mine = [thread for thread in reader_threads() if thread not in before]

    class Empty(deque[int]):
        """A deque that is filled just after it was found empty."""

        looked = False

        def __bool__(self) -> bool:
            if not self.looked:
                self.looked = True
                pipe.written.put(7)
                pipe.written.put(None)
                mine[0].join(5)
                return False
            return len(self) > 0

    feed._ready = Empty()
    assert await feed.next() == 7
    assert await feed.next() is None


async def test_heavy_rows_are_read_one_by_one() -> None:
    """Few large rows are as much memory as many small ones: no more is read than together weighs `HEAVY`."""
    rows = Counted(100)
    feed = Feed(rows, weigh=lambda row: HEAVY // 2)
    try:
        assert await feed.next() == 0
        await quiet(rows)
        assert rows.taken <= 5  # taken, two that wait, one that is held, one that the reader looks for
        assert await feed.take(50) == [1, 2]
    finally:
        feed.close()


async def test_one_row_may_be_heavier_than_all_may() -> None:
    """It is read and taken by itself."""
    feed = Feed(range(3), weigh=lambda row: 2 * HEAVY)
    assert [await feed.take(10) for _ in range(4)] == [[0], [1], [2], []]


async def quiet(rows: Counted) -> None:
    """Return when nothing has been taken for a moment."""
    before = -1
    while before != rows.taken:
        before = rows.taken
        await asyncio.sleep(0.02)
