"""The input, counted: every row once, and of all that are looked at what a run would do about them.

Rows are looked at by the hash of what the model is shown of them, so that rows that are alike are looked at together and
what is counted of these holds for the rest. Where there are more different ones than are kept, the share that is looked
at halves: adaptive sampling, as in P. Flajolet, "On adaptive sampling", Computing 43, 1990, section 2
(https://doi.org/10.1007/BF02241657). So memory does not grow with the input, and the same input gives the same sample.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, TypeVar

from msgspec import Struct

from llmx.errors import InputFailed, LlmxError, RowError
from llmx.estimates.candidates import Candidate
from llmx.estimates.stored import Asked, Fate
from llmx.planning import Plan, selection
from llmx.records import to_json
from llmx.types import Record, Unreadable

__all__ = ["KEPT", "Census", "Counts", "Spread", "census"]

KEPT = 100_000
"""Different rows that are looked at, and remembered, at most."""

BATCH = 500
"""Rows that are looked up together."""

_BITS = 2
"""Of a fate."""

_VOTE_BITS = 7
"""Of the number of a row's answers that are not stored, at most 99."""

T = TypeVar("T")


class Counts(Struct, frozen=True):
    """Rows, by what a run with one model would do about them; together they are all that can be read.

    Args:
        ask: rows that are asked about.
        calls: made for them, re-asks aside: one each, or one for each vote that is not stored.
        alike: that wait for one of those, being the same.
        cached, done: whose answers the cache, or the run's journal, has.
        fails: of which no request can be made.
        size: bytes of text of a prompt that is asked, on average.
    """

    ask: int
    calls: int
    alike: int
    cached: int
    done: int
    fails: int
    size: float


class Spread(Generic[T]):
    """Some of many, spread evenly over them, by one look at each: every second is let go when there are too many.

    Args:
        most: how many are kept at least, once there were as many; never more than twice that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._every = 1
        self._seen = 0
        self._kept: list[T] = []

    def offer(self, one: T) -> None:
        """The next one."""
        if self._most and self._seen % self._every == 0:
            self._kept.append(one)
            if len(self._kept) > 2 * self._most:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    def chosen(self) -> list[T]:
        """As many as were wanted, or all there were, in their order."""
        wanted = min(self._most, len(self._kept))
        return [self._kept[number * len(self._kept) // wanted] for number in range(wanted)]


class Census(Struct, frozen=True):
    """What an input comes to.

    Args:
        rows: all there are; `unreadable` of them are none.
        exact: all rows were looked at.
        counts: by model, in their order.
        chosen: by model, rows that would be asked about.
        cut: what ended the input before its end.
    """

    rows: int
    unreadable: int
    exact: bool
    counts: Sequence[Counts]
    chosen: Sequence[Sequence[Record]]
    cut: LlmxError | None = None


async def census(
    plan: Plan, models: Sequence[Candidate], *, choose: int = 0, together: bool = False, kept: int = KEPT
) -> Census:
    """Read the plan's input to its end and count; now and then others have their turn.

    Args:
        choose: rows to choose of those that a model would be asked about, spread over the input.
        together: the models answer one run: what is stored of one of them is asked of none.
        kept: different rows that are remembered at most, from 1.
    """
    total = plan.source.total() or 0
    counter = _Counter(
        plan, models, choose, together, kept, depth=max(0, math.ceil(math.log2(max(1, total) / kept)))
    )
    cut = None
    try:
        await counter.read(plan.source)
    except InputFailed as error:
        cut = error
    finally:
        plan.source.close()
    return counter.result(cut)


class _Question(Struct, gc=False):
    """Rows that are alike: how many; of each model the fate and the missing answers, in bits; the longest prompt's bytes."""

    rows: int
    fates: int = 0
    missing: int = 0
    size: int = 0


class _Counter:
    """See the module."""

    def __init__(
        self, plan: Plan, models: Sequence[Candidate], choose: int, together: bool, kept: int, depth: int
    ) -> None:
        self._prompt = plan.prompt
        self._selection = selection(plan.settings)
        self._models = self._firstless = models
        self._together = together
        self._most = kept
        self._mask = (1 << depth) - 1
        self._kept: dict[int, _Question] = {}
        self._waiting: list[tuple[_Question, Record]] = []
        self._spread: list[Spread[Record]] = [Spread(choose) for _ in models]
        self.rows = self.unreadable = 0

    async def read(self, rows: Iterable[Record | Unreadable]) -> None:
        for row in rows:
            if self.rows % BATCH == 0:
                await asyncio.sleep(0)  # a Ctrl-C is heard here
            self.rows += 1
            if isinstance(row, Unreadable):
                self.unreadable += 1
            else:
                self._meet(row)

    def _meet(self, row: Record) -> None:
        if self._firstless:
            self._make_first(row)
        number = _number(self._shown(row.data))
        if number & self._mask:
            return
        question = self._kept.get(number)
        if question is not None:
            question.rows += 1
            return
        question = self._kept[number] = _Question(1)
        self._waiting.append((question, row))
        if len(self._waiting) >= BATCH:
            self._look_at_waiting()
        if len(self._kept) > self._most:
            self._halve()

    def _make_first(self, row: Record) -> None:
        """The first request is that of the first row that makes one, whether or not the row is looked at."""
        with suppress(RowError):
            for model in self._firstless:
                model.asked(row)
            self._firstless = []

    def _shown(self, data: Mapping[str, Any]) -> Any:
        """What decides about a row's request, as far as that can be told without making it."""
        if self._prompt.used is not None and not self._prompt.row_is_shown:
            return [data.get(name) for name in self._prompt.used]
        return self._selection.of(data)

    def _halve(self) -> None:
        self._mask = 2 * self._mask + 1
        self._kept = {number: question for number, question in self._kept.items() if not number & self._mask}

    def _look_at_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        fates = [self._fates(number, waiting) for number in range(len(self._models))]
        if self._together:
            fates = [[max(each) for each in zip(*fates, strict=True)]] * len(fates)
        for number, (spread, of_model) in enumerate(zip(self._spread, fates, strict=True)):
            for (question, row), fate in zip(waiting, of_model, strict=True):
                question.fates |= fate << (_BITS * number)
                if fate is Fate.ASK:
                    spread.offer(row)

    def _fates(self, number: int, waiting: Sequence[tuple[_Question, Record]]) -> list[Fate]:
        model = self._models[number]
        asked: list[Asked] = []
        made: list[int] = []
        for question, row in waiting:
            samples = _asked(model, row)
            question.size = max([question.size, *(sample.size - model.around for sample in samples)])
            asked += samples
            made.append(len(samples))
        found = iter(model.stored.fates(asked))
        fates = []
        for (question, _), count in zip(waiting, made, strict=True):
            each = list(islice(found, count))
            question.missing |= each.count(Fate.ASK) << (_VOTE_BITS * number)
            fates.append(min(each, default=Fate.FAILS))
        return fates

    def result(self, cut: LlmxError | None) -> Census:
        self._look_at_waiting()
        counts = [self._counts(number, model) for number, model in enumerate(self._models)]
        chosen = [spread.chosen() for spread in self._spread]
        return Census(self.rows, self.unreadable, not self._mask, counts, chosen, cut)

    def _counts(self, number: int, model: Candidate) -> Counts:
        questions: dict[Fate, int] = dict.fromkeys(Fate, 0)
        rows = dict(questions)
        size = calls = 0
        for question in self._kept.values():
            fate = Fate(question.fates >> (_BITS * number) & (1 << _BITS) - 1)
            questions[fate] += 1
            rows[fate] += question.rows
            if fate is Fate.ASK:
                size += question.size
                calls += question.missing >> (_VOTE_BITS * number) & (1 << _VOTE_BITS) - 1
        looked_at, readable = sum(rows.values()), self.rows - self.unreadable
        scaled = {fate: round(n * readable / looked_at) if looked_at else 0 for fate, n in rows.items()}
        asked = round(questions[Fate.ASK] * readable / looked_at) if looked_at else 0
        return Counts(
            ask=asked,
            calls=round(calls * readable / looked_at) if looked_at else 0,
            alike=scaled[Fate.ASK] - asked,
            cached=scaled[Fate.CACHED],
            done=scaled[Fate.DONE],
            fails=scaled[Fate.FAILS],
            size=model.around + (size / questions[Fate.ASK] if questions[Fate.ASK] else 0),
        )


def _asked(model: Candidate, row: Record) -> list[Asked]:
    """What would be asked about a row; nothing where the run has it among its errors."""
    try:
        return model.asked(row)
    except RowError:
        return []


def _number(shown: Any) -> int:
    """A digest that is the same in every process."""
    try:
        text = to_json(shown)
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # what no JSON can hold: its request fails, and is counted so
        text = repr(shown).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
