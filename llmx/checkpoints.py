"""How far an output has come: noted while a run goes on, and found again by the next, which then skips those rows.

What is noted is about the input's first rows in their order, all of which ended well, and about the file that their
output rows are in. So it holds for whoever finds the same rows and the same bytes, however the run before ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

from llmx.detached import in_thread
from llmx.errors import InputFailed
from llmx.journal import Chain, Checkpoint, Prefix
from llmx.layers.stop import Stop
from llmx.records import Growing, Mark
from llmx.types import Outcome, Record, Unreadable

__all__ = ["Checkpoints", "skipped"]

EVERY = 1.0
"""Seconds between two notes."""

AT_ONCE = 200
"""Rows that are read between two chances for the event loop to hear a signal."""


class Checkpoints:
    """Notes how far the output of one session has come, up to the first row that failed or was not settled.

    Args:
        note: puts a checkpoint where the next session finds it.
        file: where the rows go.
        made_by: see `Checkpoint`.
    """

    def __init__(self, note: Callable[[Checkpoint], None], file: Growing, made_by: str) -> None:
        self._note = note
        self._file = file
        self._made_by = made_by
        self._chain = Chain()
        self._ended = False
        self._noted = 0
        self._noted_at = time.monotonic()

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether the file begins as it did then. Reads that much; for any thread."""
        return self._file.holds(_mark_of(checkpoint))

    def go_on(self, prefix: Prefix) -> None:
        """Go on behind the rows of a checkpoint. Raises OutputFailed."""
        self._file.go_on(_mark_of(prefix.checkpoint))
        self._chain = prefix.chain
        self._noted = prefix.chain.rows

    def following(self, outcomes: Sequence[Outcome]) -> int:
        """How many of these rows come right behind those that were written, with none left out in between.

        A run that is stopped leaves rows out, and writes later ones that were under way.
        """
        first = self._chain.rows
        if self._ended or outcomes[-1].record.index == first + len(outcomes) - 1:  # they are in their order
            return len(outcomes)
        places = enumerate((outcome.record.index for outcome in outcomes), first)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], places))

    def wrote(self, outcomes: Sequence[Outcome]) -> None:
        """The next rows ended well, and what came of them is written."""
        if not self._ended:
            self._chain.add(outcome.record for outcome in outcomes)

    def end(self) -> None:
        """The next row will not be in the file: what comes behind it cannot be gone on with."""
        if not self._ended:
            self.note()
            self._ended = True

    def note_in_time(self) -> None:
        """Note how far the output has come, if the last note was long ago."""
        if time.monotonic() - self._noted_at >= EVERY:
            self.note()

    def note(self) -> None:
        """Note how far the output has come, if it has come any further."""
        if self._ended or self._chain.rows == self._noted:
            return
        mark, chain = self._file.mark, self._chain
        self._note(Checkpoint(chain.rows, chain.digest, mark.size, mark.crc, self._made_by, mark.encoder))
        self._noted, self._noted_at = chain.rows, time.monotonic()


def _mark_of(checkpoint: Checkpoint) -> Mark:
    return Mark(checkpoint.size, checkpoint.crc, checkpoint.encoder)


async def skipped(
    rows: Iterator[Record | Unreadable], checkpoint: Checkpoint, checkpoints: Checkpoints, stop: Stop
) -> Prefix | None:
    """Read a checkpoint's rows; what follows them is left in `rows`.

    Returns:
        None when the rows or the file are not those of the checkpoint: rows have been taken all the same.

    Raises:
        Stopped: the run was stopped meanwhile.
    """
    with stop.interruptible():
        holds = await asyncio.wrap_future(in_thread(lambda: checkpoints.holds(checkpoint)))
    if not holds:
        return None
    prefix = Prefix(checkpoint)
    try:
        while some := list(islice(rows, min(AT_ONCE, prefix.left))):
            prefix.add(some)
            await asyncio.sleep(0)
            stop.check()
    except InputFailed:  # the run will come to it, and say so
        return None
    return prefix if prefix.is_found else None
