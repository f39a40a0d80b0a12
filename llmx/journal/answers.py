"""Answers on their way into a journal, and out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from llmx.journal.entries import answer_entry, caps_of, completion_of
from llmx.journal.lines import encode_anyway
from llmx.types import Completion, Request, Usage

__all__ = ["AnswerLine", "Found", "answer_line"]


class AnswerLine(Struct, frozen=True):
    """A paid answer as it will stand in the journal.

    Args:
        entry: what the line says, but for the text and the body.
    """

    line: bytes
    entry: Mapping[str, Any]
    usage: Usage


def answer_line(request: Request, completion: Completion) -> AnswerLine:
    """The line of an answer; without the body of one that can be read, but not be written again."""
    entry = answer_entry(request, completion)
    line = encode_anyway(entry)
    del entry["text"], entry["body"]
    return AnswerLine(line, entry, completion.usage)


class Found(Struct, frozen=True):
    """An answer that was paid for.

    Args:
        entry: its line.
        outdated: it is of an earlier, finished run.
        fresh: it is of this session: a row that is alike has paid for it just now.
    """

    entry: Mapping[str, Any]
    outdated: bool = False
    fresh: bool = False

    def answer(self, request: Request, is_first_use: Callable[[str], bool]) -> Completion | None:
        """The completion, None when it cannot be used.

        A row whose answers were of an earlier, finished run is noted in its tally: if none of them fits, it is
        worth asking again. A request with `anew` takes those of the present run only.

        Args:
            is_first_use: whether no other row of this session has used the answer to a fingerprint.
        """
        if self.outdated and request.anew:
            return None
        if "caps" in self.entry and self.entry["caps"] != caps_of(request):
            return None  # it was cut, by another limit than that of today
        request.tally.outdated += self.outdated
        completion = completion_of(self.entry, source="coalesced" if self.fresh else "journal")
        if completion is not None and not self.fresh and is_first_use(request.fingerprint):
            request.tally.replayed[request.fingerprint] = completion.usage.cost
        return completion
