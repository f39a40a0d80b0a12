"""The run's journal as a worker sees it: another process has it, and is asked and told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from llmx.journal import Found
from llmx.journal.answers import answer_line
from llmx.types import Completion, Outcome, Record, Request, Unreadable
from llmx.workers.messages import Kept, LookedUp, LookUp

__all__ = ["FarJournal"]

REMEMBERED = 10_000
"""Fingerprints of answers that were kept last: what was looked up before says nothing of them."""


class FarJournal:
    """See the module. What was looked up is used once: a second use asks again.

    Args:
        send: to the journal's owner.
    """

    def __init__(self, send: Callable[[Any], None]) -> None:
        self._send = send
        self._known: dict[str, tuple[Found, bool] | None] = {}
        self._kept: OrderedDict[str, None] = OrderedDict()
        self._asked: dict[int, tuple[Sequence[str], Future[None]]] = {}
        self._number = 0

    def expect(self, fingerprints: Sequence[str], rows: Sequence[Record | Unreadable]) -> Future[None]:
        """These answers and rows will be asked for soon: done when it is known what there is of them."""
        self._number += 1
        coming: Future[None] = Future()
        self._asked[self._number] = (fingerprints, coming)
        self._send(LookUp(self._number, list(fingerprints), [row.index for row in rows]))
        return coming

    def looked_up(self, said: LookedUp) -> None:
        """What the owner says to `expect`."""
        fingerprints, coming = self._asked.pop(said.number)
        for fingerprint in fingerprints:
            if fingerprint not in self._kept:
                self._known[fingerprint] = said.found.get(fingerprint)
        if coming.set_running_or_notify_cancel():
            coming.set_result(None)

    def seek(self, request: Request) -> Future[None] | None:
        """See `Answers.seek`."""
        if request.fingerprint in self._known:
            return None
        self._kept.pop(request.fingerprint, None)  # the owner has been told of it, and will know
        return self.expect([request.fingerprint], ())

    def answer(self, request: Request) -> Completion | None:
        """See `Answers.answer`; what was not sought is not known."""
        known = self._known.pop(request.fingerprint, None)
        if known is None:
            return None
        found, first = known
        return found.answer(request, lambda fingerprint: first)

    def keep(self, request: Request, completion: Completion) -> None:
        """See `Answers.keep`: what is said next will be read after it."""
        self._known.pop(request.fingerprint, None)
        self._kept[request.fingerprint] = None
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        self._send(Kept(answer_line(request, completion)))

    def settle(self, *outcomes: Outcome) -> None:
        """How rows ended is written down by the owner, who hears of it anyway."""
