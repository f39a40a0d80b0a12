"""In a journal's stead where nothing is to be kept: the last answers, in memory, for rows that are alike."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from msgspec.structs import replace

from llmx.journal.entries import caps_of
from llmx.types import Completion, Outcome, Record, Request, Unreadable

__all__ = ["NoJournal"]


class NoJournal:
    """Keeps nothing that outlives it: `--no-store`, and the library.

    Args:
        most: answers that are remembered, the last ones.
    """

    lost = doubles = distrusted = 0

    def __init__(self, most: int = 1_000) -> None:
        self._most = most
        self._answers: OrderedDict[str, tuple[Completion, object]] = OrderedDict()

    def seek(self, request: Request) -> None:
        """See `Journal.seek`: all of it is at hand."""

    def answer(self, request: Request) -> Completion | None:
        """See `Journal.answer`."""
        completion, caps = self._answers.get(request.fingerprint, (None, None))
        return completion if caps in (None, caps_of(request)) else None

    def keep(self, request: Request, completion: Completion) -> None:
        """See `Journal.keep`."""
        caps = caps_of(request) if completion.finish == "length" else None
        again = replace(completion, source="coalesced")
        self._answers[request.fingerprint] = (again, caps)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def expect(self, fingerprints: Sequence[str], rows: Sequence[Record | Unreadable]) -> None:
        """See `Journal.expect`."""

    def settle(self, *outcomes: Outcome) -> None:
        """See `Journal.settle`."""
