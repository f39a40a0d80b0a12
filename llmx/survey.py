"""What an earlier run has left of this one to do: counted before the first call, and told.

When nothing has changed, the journal itself says how many rows are done. Else the input is read once more, up
to a bound, and every row's request is looked for among the answers there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct, field
from msgspec.structs import replace

from llmx.caches import Cache
from llmx.errors import InputFailed, RowError
from llmx.journal import Journal, Known, identity
from llmx.layers.stop import Stop
from llmx.outputs import flows
from llmx.planning import Plan, open_rows
from llmx.report.summary import money
from llmx.state import CONFIG, NAMES, State
from llmx.types import Record, Unreadable

__all__ = ["Survey", "survey"]

SURVEYED = 100_000
"""Rows that are looked at; of a longer input the rest is taken to be alike."""

PAUSE_EVERY = 200
"""Rows between two chances for the event loop to hear a signal."""


class Survey(Struct, frozen=True):
    """What there is to do.

    Args:
        changed: what is not as it was in the last session, as `State.changed` has it.
        done: rows that were settled, and well.
        total: all rows, None when only reading them would tell.
        asked: rows that no stored answer fits, those that are alike counted once; None when nobody has counted.
        cost: of those, in US dollars, by what rows have cost so far; None when unknown.
        new, gone, edited: rows that no session has had, that the last one had and the input has no more, and
            that have their key still, but say something else.
        exact: not extrapolated.
        offline: nobody will be asked: those rows fail.
        replaced: rows of the complete output that the run will replace.
    """

    changed: list[str] = field(default_factory=list)
    done: int = 0
    total: int | None = None
    asked: int | None = None
    cost: Decimal | None = None
    new: int = 0
    gone: int = 0
    edited: int = 0
    exact: bool = True
    offline: bool = False
    replaced: int = 0

    @property
    def lines(self) -> list[str]:
        """The survey for people; nothing for a run that is the first."""
        fewer = self.total is not None and self.total < self.replaced
        told = "input" in self.changed  # what is gone is said there
        shrinks = f"the output is of {self.replaced:,} rows and will be of {self.total or 0:,}"
        return [*self._done_or_changed(), *([shrinks] if fewer and not told else [])]

    def _done_or_changed(self) -> list[str]:
        if not self.changed:
            of_total = "" if self.total is None else f" of {self.total:,}"
            return [f"resuming: {self.done:,}{of_total} rows done"] if self.done else []
        names = ", ".join(NAMES.get(name, name) + self._rows(name) for name in self.changed)
        return [f"changed since the last run: {names}", self._to_ask()]

    def _rows(self, name: str) -> str:
        if name != "input" or self.asked is None:  # what an earlier session had not come to is not new
            return ""
        counts = {"new": self.new, "gone": self.gone, "edited": self.edited}
        told = [f"{n:,} {word}" for word, n in counts.items() if n]
        return f" ({', '.join(told) or 'none is new or gone'})"

    def _to_ask(self) -> str:
        end = "fail (--offline)" if self.offline else "will be asked about"
        if self.asked is None:
            return f"the input cannot be looked at beforehand: rows without a stored answer {end}"
        about = "" if self.exact else "about "
        if self.offline:
            return f"{about}{self.asked:,} of {self.total or 0:,} rows have no stored answer and {end}"
        cost = (
            ""
            if not self.asked
            else f", {money(self.cost) if self.cost is None else 'about ' + money(self.cost)}"
        )
        return f"{about}{self.asked:,} of {self.total or 0:,} rows {end}{cost}"


async def survey(
    plan: Plan, state: State, questions: Callable[[Record], list[list[str]]], cache: Cache, stop: Stop
) -> Survey | None:
    """Compare a run with what its folder holds; None when that is nothing.

    Args:
        questions: as in `Engine`; RowError where there is no question.

    Raises:
        Stopped: the run was stopped while the input was read.
    """
    journal, earlier = state.journal, state.earlier
    if not journal.totals.session or (earlier is None and not journal.totals.answers):
        return None
    changed = await state.changed(stop)
    if not changed and earlier is not None and earlier.selection == state.manifest.selection:
        total = plan.source.total()
        if total is None or journal.rows() <= total:  # else it has rows of other inputs, too
            done = journal.done(state.config)
            return Survey(done=done if total is None else min(done, total), total=total)
    if any(path is None or not path.is_file() for path in plan.source.paths):
        return Survey(changed, done=journal.done(state.config), offline=plan.settings.offline)
    count = _Count(journal, cache, questions)
    await count.read(plan, stop)
    found = count.survey(
        changed, plan.source.total(), everything=plan.settings.limit is plan.settings.sample is None
    )
    if earlier is not None and earlier.state == "complete" and not flows(plan.settings.output, plan.env):
        found = replace(found, replaced=earlier.rows.get("settled") or 0)
    if earlier is not None and earlier.selection.get("key") != plan.settings.key:
        found = replace(found, new=0, gone=0, edited=0)  # no row goes by the name that it had
    return replace(found, cost=Decimal(0), offline=True) if plan.settings.offline else found


class _Count:
    """Rows counted by what is stored of them."""

    def __init__(
        self, journal: Journal, cache: Cache, questions: Callable[[Record], list[list[str]]]
    ) -> None:
        self._journal = journal
        self._cache = cache
        self._questions = questions
        self._finished = journal.totals.complete  # then the rows that failed are tried again
        self.rows = self.new = self.edited = 0
        self.whole = True
        self._asked: set[str] = set()  # rows that are alike are asked about once
        self._kept: set[str] = set()  # those that the last session had, too

    async def read(self, plan: Plan, stop: Stop) -> None:
        source = open_rows(plan.settings, plan.env)
        try:
            for row in source:
                if self.rows == SURVEYED:
                    self.whole = False
                    return
                if self.rows % PAUSE_EVERY == 0:
                    await asyncio.sleep(0)
                    stop.check()
                self.rows += 1
                known = self._meet(row)
                if isinstance(row, Record):
                    self._look_at(row, known)
        except InputFailed:
            return  # the run will come to it, and say so
        finally:
            source.close()

    def _meet(self, row: Record | Unreadable) -> Known | None:
        """Count the row as new or known."""
        known = self._journal.known(row)
        self.new += known is None
        if known is not None and known.last:
            self._kept.add(identity(row))
        return known

    def _look_at(self, row: Record, known: Known | None) -> None:
        try:
            digests = self._questions(row)
        except RowError:
            return  # it fails before anybody is asked
        missing = [some for some in digests if not self._is_cached(some)]
        if not missing:
            return
        answered = all(any(map(self._journal.holds, some)) for some in missing)
        self.edited += known is not None and row.key is not None and not answered
        if not answered or (known is not None and known.failed and self._finished):
            self._asked.add(digests[0][0])

    def _is_cached(self, digests: list[str]) -> bool:
        return any(self._cache.get(digest) is not None for digest in digests)

    def survey(self, changed: list[str], total: int | None, *, everything: bool) -> Survey:
        total = self.rows if self.whole else total or self.rows
        share = Decimal(total) / max(self.rows, 1)
        asked, new, edited = (round(n * share) for n in (len(self._asked), self.new, self.edited))
        gone = max(0, self._journal.last_rows() - round(len(self._kept) * share)) if everything else 0
        if not set(CONFIG).isdisjoint(changed):  # all are asked something else
            edited = 0
        totals = self._journal.totals
        each = None if totals.cost is None or not totals.questions else totals.cost / totals.questions
        cost = None if each is None else each * asked
        return Survey(changed, total - asked, total, asked, cost, new, gone, edited, exact=self.whole)
